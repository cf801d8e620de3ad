"""TFLite flatbuffers, through the schema package `tflite`: convolutions in the order they run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .graphs import Step, in_running_order, origins, seen_by
from .layer import Layer, Network, WeightsError
from .limits import MOST_AXES, Limits, as_wide, from_bytes, read_file

_TYPES = {
    0: np.float32,
    1: np.float16,
    2: np.int32,
    3: np.uint8,
    7: np.int16,
    9: np.int8,
    10: np.float64,
}


def read(path: Path, limits: Limits) -> Network:
    """The convolutions of the first subgraph, float or with their scales."""
    try:
        import tflite
    except ImportError as error:
        raise WeightsError(
            f"{path.name} is a TFLite model: reading it needs the package tflite "
            "(pip install 'kernelstudy[tflite]')"
        ) from error
    data = read_file(path, limits)
    try:
        return _read(tflite, data, path.name, limits)
    except WeightsError:
        raise
    except Exception as error:  # offsets of a damaged flatbuffer lead anywhere
        raise WeightsError(f"{path.name} is a damaged TFLite model") from error


def _read(tflite: Any, data: bytes, what: str, limits: Limits) -> Network:
    model = tflite.Model.GetRootAs(data, 0)
    codes = [model.OperatorCodes(i) for i in _range(model.OperatorCodesLength(), data, what)]
    kinds = [code.BuiltinCode() for code in codes]
    if not model.SubgraphsLength():
        raise WeightsError(f"{what} holds no graph")
    graph = model.Subgraphs(0)
    names = {value: key for key, value in vars(tflite.BuiltinOperator).items() if key.isupper()}
    operators = [graph.Operators(i) for i in _range(graph.OperatorsLength(), data, what)]
    ops = [names.get(kinds[op.OpcodeIndex()], "CUSTOM") for op in operators]
    makers = {
        int(op.Outputs(j)): index
        for index, op in enumerate(operators)
        for j in _range(op.OutputsLength(), data, what)
    }
    stored = _Stored(model, graph, operators, ops, makers, data, what, limits)
    steps = [
        Step(
            f"operator {i}",
            _KINDS.get(kind, "other"),
            _data_of(op, kind, stored),
            _made(op, stored),
        )
        for i, (op, kind) in enumerate(zip(operators, ops, strict=True))
    ]
    inputs = [str(graph.Inputs(j)) for j in _range(graph.InputsLength(), data, what)]
    # what nothing makes and nothing stores comes from outside, declared or not
    outside = {
        n for step in steps for n in step.inputs if n not in inputs and stored.is_free(int(n))
    }
    seeing = origins(
        in_running_order(steps), {n: frozenset({stored.name(int(n))}) for n in (*inputs, *outside)}
    )
    layers = []
    for step, operator, kind in zip(steps, operators, ops, strict=True):
        if step.kind in ("conv", "transposed", "function"):
            # where operators have no outputs, their order is all there is
            sees, source = seen_by(step, seeing) if makers else (None, "")
            layer = _layer(tflite, operator, kind, stored, len(layers))
            layers.append(replace(layer, sees=sees, source=source))
    description = (model.Description() or b"").decode("utf-8", "replace")
    facts = (("Written by", description),) if description else ()
    return Network("TFLite", tuple(layers), "graph", "tensorflow", facts)


_KINDS = {
    **{"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "conv", "CONV_3D": "conv"},
    **{"TRANSPOSE_CONV": "transposed", "CONV_3D_TRANSPOSE": "transposed"},
    **{"FULLY_CONNECTED": "weighted", "LSTM": "weighted", "EMBEDDING_LOOKUP": "weighted"},
    **{"UNIDIRECTIONAL_SEQUENCE_LSTM": "weighted", "SVDF": "weighted", "RNN": "weighted"},
    **{"WHILE": "function", "IF": "function", "CALL": "function", "CALL_ONCE": "other"},
    **{"CUSTOM": "function", "STABLEHLO_CONVOLUTION": "function"},
}


class _Stored(NamedTuple):
    """The tensors of the graph and what makes them."""

    model: Any
    graph: Any
    operators: list[Any]
    ops: list[str]
    makers: dict[int, int]
    data: bytes
    what: str
    limits: Limits

    def name(self, index: int) -> str:
        tensor = self.graph.Tensors(index)
        return (tensor.Name() or b"").decode("utf-8", "replace") or f"tensor {index}"

    def shape(self, index: int) -> tuple[int, ...]:
        tensor = self.graph.Tensors(index)
        if tensor.ShapeLength() > MOST_AXES:
            raise WeightsError(f"{self.what} claims a shape of {tensor.ShapeLength():,} axes")
        return tuple(int(tensor.Shape(j)) for j in range(tensor.ShapeLength()))

    def buffer(self, index: int) -> Any:
        found = self.model.Buffers(self.graph.Tensors(index).Buffer())
        return found if found is not None and found.DataLength() else None

    def is_free(self, index: int) -> bool:
        return index >= 0 and index not in self.makers and self.buffer(index) is None


def _data_of(operator: Any, kind: str, stored: _Stored) -> tuple[str, ...]:
    """An operator's inputs, that which it turns into an image first."""
    count = _range(operator.InputsLength(), stored.data, stored.what)
    found = [int(operator.Inputs(j)) for j in count]
    if kind in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE") and len(found) > 2:
        found = found[2:] + found[:2]  # after its output's size and its weights
    return tuple(str(n) for n in found if n >= 0)


def _made(operator: Any, stored: _Stored) -> tuple[str, ...]:
    count = _range(operator.OutputsLength(), stored.data, stored.what)
    return tuple(str(int(operator.Outputs(j))) for j in count)


def _layer(tflite: Any, operator: Any, kind: str, stored: _Stored, count: int) -> Layer:
    """A convolution; one whose weights cannot be had is told all the same."""
    if _KINDS[kind] == "function" or operator.InputsLength() < 2:
        told = (
            "what is within it is not read" if _KINDS[kind] == "function" else "it has no weights"
        )
        name = f"{kind} {count}"
        return Layer(name, (), None, lambda: np.zeros(0), refused=f"an operator {kind}: {told}")
    index, order = int(operator.Inputs(1)), None
    for _ in range(8):  # float16 weights, and weights that are only laid out anew
        if index not in stored.makers or stored.buffer(index) is not None:
            break
        maker = stored.operators[stored.makers[index]]
        op = stored.ops[stored.makers[index]]
        if op == "RESHAPE" and order is None:
            order = stored.shape(index)
        elif op not in ("DEQUANTIZE", "CAST"):
            break
        index = int(maker.Inputs(0))
    name, shape, buffer = stored.name(index), stored.shape(index), stored.buffer(index)
    if buffer is None:
        by = stored.ops[stored.makers[index]] if index in stored.makers else "nothing"
        told = f"its weights are computed in the graph by {by}, not stored"
        return Layer(name, (), None, lambda: np.zeros(0), refused=told)
    tensor = stored.graph.Tensors(index)
    values, step = _numbers(tensor, buffer, shape, name, stored.limits)
    if order is not None and math.prod(order) == math.prod(shape):
        values, shape = (lambda load=values, order=order: load().reshape(order)), order
    dtype = _TYPES.get(tensor.Type())
    layer = Layer(
        name or f"conv {count}",
        shape,
        "ohwi",
        values,
        np.dtype(dtype).name if dtype else f"type {tensor.Type()}",
        _stride(tflite, operator, kind),
        depthwise=kind == "DEPTHWISE_CONV_2D",
        step=step,
        transposed=_KINDS[kind] == "transposed",
    )
    if kind.startswith("CONV_3D") and len(shape) == 5:  # stored as (depth, height, width, in, out)
        layer = replace(layer, layout="hwoi" if layer.transposed else "hwio")
    elif len(shape) != 4 or min(shape) < 1:
        size = " x ".join(map(str, shape))
        told = f"a convolution whose weights are {size}, which is not measured"
        return replace(layer, refused=told)
    if layer.depthwise:  # (1, kh, kw, channels): every channel is a filter
        turned = (shape[3], shape[1], shape[2], 1)
        return replace(layer, shape=turned, load=lambda: values().transpose(3, 1, 2, 0))
    return layer


def _stride(tflite: Any, operator: Any, kind: str) -> tuple[int, int] | None:
    options = {
        "CONV_2D": tflite.Conv2DOptions,
        "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
        "TRANSPOSE_CONV": tflite.TransposeConvOptions,
    }.get(kind)
    found = operator.BuiltinOptions()
    if options is None or found is None:
        return None
    read = options()
    read.Init(found.Bytes, found.Pos)
    return read.StrideH(), read.StrideW()


def _numbers(
    tensor: Any, buffer: Any, shape: tuple[int, ...], name: str, limits: Limits
) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray] | None]:
    """What gives the weights, and what their quantisation steps (None for floats)."""
    kind = _TYPES.get(tensor.Type())
    quantisation = tensor.Quantization()
    quantised = kind is not None and np.dtype(kind).kind in "iu"
    scale = zero = np.zeros(0)
    axis = 0
    if quantisation is not None and quantisation.ScaleLength():
        scale = np.array(quantisation.ScaleAsNumpy(), np.float64)
        if quantisation.ZeroPointLength():
            zero = np.array(quantisation.ZeroPointAsNumpy(), np.float64)
        axis = quantisation.QuantizedDimension()

    def along(values: np.ndarray) -> np.ndarray:
        if values.size <= 1:
            return values
        return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])

    def load() -> np.ndarray:
        if kind is None:
            raise WeightsError(f"{name} is of TFLite's type {tensor.Type()}, which is not read")
        dtype = np.dtype(kind).newbyteorder("<")
        values = from_bytes(buffer.DataAsNumpy().tobytes(), dtype, shape, limits, name)
        if not quantised or not scale.size:
            return values
        as_wide(values, (along(zero), along(scale)) if zero.size else (along(scale),), name)
        return (values - (along(zero) if zero.size else 0.0)) * along(scale)

    return load, (lambda: scale) if quantised and scale.size else None


def _range(length: int, data: bytes, what: str) -> range:
    """Indices of a vector, whose entries take 4 bytes each at least."""
    if not 0 <= length <= len(data) // 4:
        raise WeightsError(f"{what} claims a list of {length:,} entries: not read")
    return range(length)
