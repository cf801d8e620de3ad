"""ONNX, through the library of that name: convolutions in graph order, quantised ones in real numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .layer import Layer, Network, WeightsError
from .limits import Limits, as_wide, from_bytes, inside, read_exactly, read_file

# Which input of a node is the weight; of quantised ones also its scale and zero point.
_CONVOLUTIONS = {
    "Conv": (1, None, None),
    "FusedConv": (1, None, None),
    "ConvInteger": (1, None, 3),
    "QLinearConv": (3, 4, 5),
}
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


def looks_like_onnx(data: bytes, size: int) -> bool:
    """Whether the fields at the start of a protocol buffer are those of a ModelProto with a graph.

    There is no magic number. `data`: the first bytes of a file of `size` bytes.
    """
    place, seen = 0, set()
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if _MODEL_FIELDS.get(number) != kind:
            return False
        value, place = _varint(data, place)
        if value < 0:
            return False
        place += value if kind == 2 else 0
        if place > size:
            return False
        seen.add(number)
        if number == 7:
            return True
    return False


def read(path: Path, limits: Limits) -> Network:
    """The convolutions of a model's graph, in its order, which is the one it computes in."""
    try:
        import onnx
    except ImportError as error:
        raise WeightsError(
            f"{path.name} is an ONNX model: reading it needs the package onnx "
            "(pip install 'kernelstudy[onnx]')"
        ) from error
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(read_file(path, limits))
    except DecodeError as error:
        raise WeightsError(f"{path.name} is a damaged ONNX model") from error
    graph = _Graph(model.graph, path.parent, limits)
    layers = []
    for node in model.graph.node:
        if node.op_type in _CONVOLUTIONS:
            found = _layer(node, graph, len(layers))
            if found is not None:
                layers.append(found)
    producer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    facts = (("Written by", producer),) if producer else ()
    tensorflow = "tf2onnx" in producer or "keras" in producer.lower()
    return Network("ONNX", tuple(layers), "graph", "tensorflow" if tensorflow else "torch", facts)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            return -1, place
        byte = data[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    return -1, place


MOST_EVALUATIONS = 10_000  # of constants, for one graph


class _Graph:
    """Where the values of a graph's names come from."""

    def __init__(self, graph: Any, folder: Path, limits: Limits):
        self.folder, self.limits = folder, limits
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.left = MOST_EVALUATIONS
        self.nodes = {output: node for node in graph.node for output in node.output}

    def shape(self, name: str) -> tuple[tuple[int, ...], str] | None:
        """Shape and type of a constant, without its numbers; None where it is none."""
        for tensor, axes in self._source(name):
            shape = tuple(int(n) for n in tensor.dims)
            if axes is not None:
                if sorted(axes) != list(range(len(shape))):
                    return None
                shape = tuple(shape[i] for i in axes)
            return shape, _dtype(tensor.data_type)[1]
        return None

    def value(self, name: str) -> np.ndarray:
        """A constant in real numbers: dequantised, transposed and cast as the graph does it."""
        return self._value(name, 0)[0]

    def step(self, name: str) -> np.ndarray | None:
        """The quantisation step that DequantizeLinear gives it, one or one a filter."""
        return self._value(name, 0)[1]

    def _source(self, name: str) -> Iterator[tuple[Any, tuple[int, ...] | None]]:
        axes: tuple[int, ...] | None = None
        for _ in range(16):
            if name in self.tensors:
                yield self.tensors[name], axes
                return
            node = self.nodes.get(name)
            if node is None:
                return
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        yield attribute.t, axes
                return
            if node.op_type not in _PASSING or not node.input:
                return
            if node.op_type == "Transpose":
                perm = tuple(_attribute(node, "perm") or ())
                axes = perm if axes is None else tuple(perm[i] for i in axes if i < len(perm))
            name = node.input[0]

    def _value(self, name: str, depth: int) -> tuple[np.ndarray, np.ndarray | None]:
        node = self.nodes.get(name)
        self.left -= 1
        if self.left < 0:
            raise WeightsError(
                f"the graph takes more than {MOST_EVALUATIONS:,} steps to its weights"
            )
        if name in self.tensors:
            return self._numbers(self.tensors[name]), None
        if node is None or depth > 16:
            raise WeightsError(f"{name} is not a constant of the graph")
        if node.op_type == "Constant":
            for tensor, _ in self._source(name):
                return self._numbers(tensor), None
            raise WeightsError(f"{name} is not a tensor")
        values, step = self._value(node.input[0], depth + 1)
        if node.op_type == "Transpose":
            perm = tuple(_attribute(node, "perm") or range(values.ndim)[::-1])
            return values.transpose(perm), step
        if node.op_type == "QuantizeLinear":  # and back, at once: rounding to the steps
            scale, zero = self._scales(node.input[1], node.input[2:3], values.ndim, node)
            as_wide(values, (scale, zero), name)
            low, high = (0, 255) if zero.dtype == np.uint8 else (-128, 127)
            return np.clip(np.round(values / scale) + zero.astype(float), low, high), None
        if node.op_type == "DequantizeLinear":
            scale, zero = self._scales(node.input[1], node.input[2:3], values.ndim, node)
            as_wide(values, (scale, zero), name)
            return (values.astype(float) - zero.astype(float)) * scale, np.ravel(scale)
        if node.op_type in _PASSING:  # Identity, and casts between floats
            return values, step
        raise WeightsError(f"{name} is computed by {node.op_type}, not a constant of the graph")

    def _scales(self, scale: str, zero: Any, ndim: int, node: Any) -> tuple[np.ndarray, np.ndarray]:
        axis = _attribute(node, "axis") if ndim > 1 else 0
        axis = (1 if axis is None else int(axis)) % max(ndim, 1)
        found: list[np.ndarray] = [self.value(scale).astype(np.float64)]
        found.append(self.value(zero[0]) if zero and zero[0] else np.zeros((), np.int8))
        shape = [-1 if i == axis else 1 for i in range(ndim)]
        return tuple(v if v.size == 1 else v.reshape(shape) for v in found)  # type: ignore[return-value]

    def _numbers(self, tensor: Any) -> np.ndarray:
        shape, what = tuple(int(n) for n in tensor.dims), tensor.name or "a constant"
        dtype, _ = _dtype(tensor.data_type)
        if dtype is None:
            raise WeightsError(f"{what} is of a type that is not read")
        size = self.limits.array(shape, dtype.itemsize, what)
        if tensor.data_location == 1:
            return from_bytes(self._external(tensor, size), dtype, shape, self.limits, what)
        if tensor.raw_data and dtype.name not in _PACKED:
            return from_bytes(tensor.raw_data, dtype.newbyteorder("<"), shape, self.limits, what)
        from onnx import numpy_helper

        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise WeightsError(f"{what} does not hold the numbers that its shape needs") from error

    def _external(self, tensor: Any, size: int) -> bytes:
        told = {entry.key: entry.value for entry in tensor.external_data}
        path = inside(self.folder, told.get("location", ""))
        offset = int(told.get("offset", "0")) if told.get("offset", "0").isdigit() else 0
        with path.open("rb") as file:
            file.seek(min(offset, path.stat().st_size))
            return read_exactly(file, size, path.name)


_PACKED = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn")  # several numbers a byte
_PASSING = ("Identity", "Cast", "Transpose", "DequantizeLinear", "QuantizeLinear")


def _layer(node: Any, graph: _Graph, count: int) -> Layer | None:
    weight, scale, zero = (
        None if i is None or i >= len(node.input) else node.input[i] or None
        for i in _CONVOLUTIONS[node.op_type]
    )
    known = graph.shape(weight) if weight else None
    if weight is None or known is None or len(known[0]) != 4 or 0 in known[0]:
        return None
    shape, dtype = known
    group = int(_attribute(node, "group") or 1)
    strides = tuple(int(n) for n in _attribute(node, "strides") or (1, 1))

    def load() -> np.ndarray:
        values = graph.value(weight)
        columns = [
            None if name is None else _column(graph.value(name), values.ndim)
            for name in (zero, scale)
        ]
        as_wide(values, [column for column in columns if column is not None], weight)
        if columns[0] is not None:
            values = values.astype(float) - columns[0]
        return values if columns[1] is None else values * columns[1]

    def step() -> np.ndarray:
        if node.op_type == "ConvInteger":
            return np.ones(1)  # the scale comes later in the graph; here are whole numbers
        if scale is not None:
            return np.ravel(graph.value(scale))
        found = graph.step(weight)
        return np.zeros(1) if found is None else found

    quantised = node.op_type in ("ConvInteger", "QLinearConv") or dtype in (
        "int8",
        "uint8",
        "int4",
        "uint4",
    )
    return Layer(
        weight if weight in graph.tensors else (node.name or f"conv {count}"),
        shape,
        "oihw",
        load,
        dtype,
        strides if len(strides) == 2 else None,  # pyright: ignore[reportArgumentType]
        depthwise=group > 1 and shape[1] == 1,
        step=step if quantised else None,
        notes=(f"in groups of {shape[1]} channels",) if group > 1 and shape[1] > 1 else (),
    )


def _column(values: np.ndarray, ndim: int) -> np.ndarray:
    """A number, or one a filter, to go with weights whose first axis is the filters."""
    values = np.asarray(values, dtype=np.float64)
    return values if values.size == 1 else values.reshape(-1, *[1] * (ndim - 1))


def _attribute(node: Any, name: str) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.i if attribute.type == 2 else list(attribute.ints)
    return None


def _dtype(code: int) -> tuple[np.dtype | None, str]:
    from onnx import helper

    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError, TypeError):
        return None, f"type {code}"
    return (None if dtype.hasobject else dtype), str(dtype)
