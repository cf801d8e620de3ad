"""ONNX, through the library of that name: convolutions in graph order, quantised ones in real numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .graphs import LAYER, Origins
from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import Limits, as_wide, read_file
from .onnx_values import Scope, attribute

# Which input of a node is the weight; of quantised ones also its scale and zero point.
_CONVOLUTIONS = {
    "Conv": (1, None, None),
    "FusedConv": (1, None, None),
    "DeformConv": (1, None, None),
    "ConvInteger": (1, None, 3),
    "QLinearConv": (3, 4, 5),
}
_TRANSPOSED = {"ConvTranspose": (1, None, None), "QLinearConvTranspose": (3, 4, 5)}
MOST_NODES, DEEPEST = 200_000, 16
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
    scope = Scope(model.graph, path.parent, limits)
    scope.opset = max(
        (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=17
    )
    walk = _Walk({(f.domain, f.name): f for f in model.functions})
    walk.graph(model.graph.node, scope, input_origins(model.graph), 0)
    layers = walk.layers
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


class _Walk:
    """The convolutions of a graph, of its functions and of its subgraphs, in the order they run."""

    def __init__(self, functions: dict[tuple[str, str], Any]):
        self.functions, self.layers, self.count = functions, [], 0

    def graph(self, nodes: Any, scope: Scope, found: Origins, depth: int) -> Origins:
        """Walk the nodes; gives `found` with the origins of what they compute."""
        for node in nodes:
            self.count += 1
            if self.count > MOST_NODES or depth > DEEPEST:
                raise WeightsError("the graph has too many nodes, or functions within functions")
            # what nothing makes comes from outside, declared or not
            found.update(
                {
                    n: frozenset({n})
                    for n in node.input
                    if n and n not in found and not scope.knows(n)
                }
            )
            function = self.functions.get((node.domain, node.op_type))
            inner = [
                a for a in node.attribute if a.type == 5 and a.HasField("g")
            ]  # of If, Loop and Scan
            if function is not None:
                self._function(function, node, scope, found, depth)
                continue
            for entry in inner:
                own = Scope(entry.g, scope.folder, scope.limits, scope)
                given = dict(found)
                fed = _united(found, node.input)
                given |= {value.name: fed for value in entry.g.input}
                self.graph(entry.g.node, own, given, depth + 1)
                fed = _united(given, [value.name for value in entry.g.output])
                found.update({out: _united(found, [out]) | fed for out in node.output})
            origin = _united(found, node.input)
            if node.op_type in _CONVOLUTIONS or node.op_type in _TRANSPOSED:
                data = found.get(node.input[0], frozenset()) if node.input else frozenset()
                self.layers.append(_layer(node, scope, len(self.layers), data))
            if origin and _has_weights(node, scope):
                origin = frozenset({LAYER})
            found.update({out: _united(found, [out]) | origin for out in node.output})
        return found

    def _function(self, function: Any, node: Any, scope: Scope, found: Origins, depth: int) -> None:
        own = scope.of_function(function, node)
        given = {
            name: found.get(outer, frozenset())
            for name, outer in zip(function.input, node.input, strict=False)
        }
        given = self.graph(function.node, own, given, depth + 1)
        for out, name in zip(node.output, function.output, strict=False):
            found[out] = given.get(name, frozenset())
            scope.aliases[out] = (own, name)


def input_origins(graph: Any) -> Origins:
    """The graph's inputs that are no weights."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {tensor.values.name for tensor in graph.sparse_initializer}
    return {v.name: frozenset({v.name}) for v in graph.input if v.name not in constants}


def _united(found: Origins, names: Any) -> frozenset[str]:
    return frozenset().union(*(found.get(name, frozenset()) for name in names))


def _has_weights(node: Any, scope: Scope) -> bool:
    """Whether a node multiplies with weights; an operator that nobody knows may."""
    if node.op_type in _CONVOLUTIONS or node.op_type in _TRANSPOSED or node.op_type in _RECURRENT:
        return True
    if node.op_type in ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "QGemm"):
        return any(scope.is_constant(name) for name in node.input[:5] if name)
    return node.domain not in ("", "ai.onnx", "com.microsoft", "ai.onnx.ml")


_RECURRENT = ("LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "FusedGemm", "FusedMatMul")


def _layer(node: Any, scope: Scope, count: int, data: frozenset[str]) -> Layer:
    """A convolution; one whose weights cannot be had is told all the same."""
    weight, scale, zero = (
        None if i is None or i >= len(node.input) else node.input[i] or None
        for i in (_CONVOLUTIONS | _TRANSPOSED)[node.op_type]
    )
    transposed = node.op_type in _TRANSPOSED
    known, refused = None, "it has no weights"
    if weight is not None:
        try:
            known, refused = scope.shape(weight), ""
        except WeightsError as error:
            refused = str(error)
    shape, dtype = known or ((), "")
    if known and len(shape) not in DIMENSIONS:
        size = " x ".join(map(str, shape))
        refused = f"a convolution whose weights are {size}, which is not measured"
    elif known and 0 in shape:
        refused = "its weights are empty"
    group = int(attribute(node, "group") or 1)
    strides = tuple(int(n) for n in attribute(node, "strides") or (1, 1))

    def load() -> np.ndarray:
        values = scope.value(weight or "")
        columns = [
            None if name is None else _column(scope.value(name), values.ndim)
            for name in (zero, scale)
        ]
        as_wide(values, [column for column in columns if column is not None], weight or "")
        if columns[0] is not None:
            values = values.astype(float) - columns[0]
        return values if columns[1] is None else values * columns[1]

    def step() -> np.ndarray:
        if node.op_type == "ConvInteger":
            return np.ones(1)  # the scale comes later in the graph; here are whole numbers
        if scale is not None:
            return np.ravel(scope.value(scale))
        found = scope.step(weight or "")
        return np.zeros(1) if found is None else found

    quantised = node.op_type in ("ConvInteger", "QLinearConv") or (
        dtype in ("int8", "uint8", "int4", "uint4")
    )
    notes = (f"in groups of {shape[1]} channels",) if group > 1 and len(shape) > 1 else ()
    if known and weight is not None and not scope.is_stored(weight):
        notes = (*notes, f"Its weights are computed in the graph ({scope.rule(weight)}), as here.")
    return Layer(
        scope.stored_name(weight) or (node.name or weight or f"conv {count}"),
        shape,
        "iohw" if transposed else "oihw",
        load,
        dtype,
        strides if len(strides) == 2 else None,  # pyright: ignore[reportArgumentType]
        depthwise=not transposed and group > 1 and len(shape) > 1 and shape[1] == 1,
        step=step if quantised else None,
        notes=notes if not (group > 1 and len(shape) > 1 and shape[1] == 1) else notes[1:],
        transposed=transposed,
        refused=refused,
        sees=bool(data) and LAYER not in data,
        source=", ".join(sorted(data - {LAYER})),
    )


def _column(values: np.ndarray, ndim: int) -> np.ndarray:
    """A number, or one a filter, to go with weights whose first axis is the filters."""
    values = np.asarray(values, dtype=np.float64)
    return values if values.size == 1 else values.reshape(-1, *[1] * (ndim - 1))
