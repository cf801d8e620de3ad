"""TFLite flatbuffers, through the schema package `tflite`: convolutions in the order they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .layer import Layer, Network, WeightsError
from .limits import Limits, as_wide, from_bytes, read_file

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
    builtin = tflite.BuiltinOperator
    layers, sources = [], {}
    for i in _range(graph.OperatorsLength(), data, what):
        operator = graph.Operators(i)
        kind = kinds[operator.OpcodeIndex()]
        if kind == builtin.DEQUANTIZE and operator.InputsLength() and operator.OutputsLength():
            sources[operator.Outputs(0)] = operator.Inputs(0)  # float16 weights
        if kind not in (builtin.CONV_2D, builtin.DEPTHWISE_CONV_2D) or operator.InputsLength() < 2:
            continue
        tensor = graph.Tensors(sources.get(operator.Inputs(1), operator.Inputs(1)))
        if tensor.ShapeLength() != 4:
            continue
        shape = tuple(int(tensor.Shape(j)) for j in range(4))
        buffer = model.Buffers(tensor.Buffer())
        if min(shape) < 1 or buffer is None or not buffer.DataLength():
            continue
        depthwise = kind == builtin.DEPTHWISE_CONV_2D
        options = (tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)()
        stride = None
        if operator.BuiltinOptions() is not None:
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            stride = (options.StrideH(), options.StrideW())
        name = (tensor.Name() or b"").decode("utf-8", "replace") or f"conv {len(layers)}"
        values, step = _numbers(tensor, buffer, shape, name, limits)
        dtype = _TYPES.get(tensor.Type())
        layers.append(
            Layer(
                name,
                shape,
                "ohwi",
                values,
                np.dtype(dtype).name if dtype else f"type {tensor.Type()}",
                stride,
                depthwise=depthwise,
                step=step,
            )
        )
        if depthwise:  # (1, kh, kw, channels): every channel is a filter
            turned = (shape[3], shape[1], shape[2], 1)
            layers[-1] = _depthwise(layers[-1], turned)
    description = (model.Description() or b"").decode("utf-8", "replace")
    facts = (("Written by", description),) if description else ()
    return Network("TFLite", tuple(layers), "graph", "tensorflow", facts)


def _depthwise(layer: Layer, shape: tuple[int, ...]) -> Layer:
    load = layer.load
    fields = {**layer.__dict__, "shape": shape, "load": lambda: load().transpose(3, 1, 2, 0)}
    return Layer(**fields)


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
