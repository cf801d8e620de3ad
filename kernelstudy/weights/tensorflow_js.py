"""TensorFlow.js: model.json with its weight manifest, and the binary shards beside it.

Source: the converter's write_weights.py: weights of a group follow each other over its shards, and
quantised ones are q * scale + min.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .graphs import Step, in_running_order, origins, seen_by
from .keras_config import Convolution, convolutions, in_order, stride_of
from .keras_files import missing
from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import (
    Limits,
    from_bytes,
    inside,
    parse_json,
    plain_shape,
    read_exactly,
    read_file,
)
from .roles import weights_among

_DTYPES = {"float32": 4, "int32": 4, "bool": 1, "uint8": 1, "uint16": 2, "float16": 2}


def read(path: Path, limits: Limits) -> Network:
    """The convolutions of a layers model or graph model; `path` is its model.json."""
    limits.description(path.stat().st_size, path.name)
    model = parse_json(read_file(path, limits), path.name)
    manifest = model.get("weightsManifest") if isinstance(model, dict) else None
    bare = isinstance(model, list)  # a *-weights_manifest.json by itself
    manifest = model if bare else manifest
    if not isinstance(manifest, list) or not all(isinstance(g, dict) for g in manifest):
        raise WeightsError(f"{path.name} is JSON, but no TensorFlow.js model (no weightsManifest)")
    try:
        found = dict(_weights(path, manifest, limits))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path.name} describes its weights wrongly") from error
    topology = None if bare else model.get("modelTopology")
    nodes = topology.get("node") if isinstance(topology, dict) else None
    if isinstance(topology, dict) and isinstance(nodes, list):
        layers, order = tuple(_of_nodes(topology, found)), "graph"
    else:
        config = topology.get("model_config", topology) if isinstance(topology, dict) else None
        known = convolutions(config)
        layers, order = (
            weights_among(list(_of_layers(known, found))),
            "graph" if known else "declared",
        )
    writer = None if bare else model.get("generatedBy") or model.get("convertedBy")
    facts = (("Written by", str(writer)[:200]),) if writer else ()
    return Network("TensorFlow.js", layers, order, "tensorflow", facts)


def _weights(path: Path, manifest: list, limits: Limits) -> Iterator[tuple[str, Layer]]:
    for group in manifest:
        shards = [str(name) for name in group["paths"]]
        place = 0
        for entry in group["weights"]:
            name = str(entry["name"])
            shape = plain_shape(entry["shape"], name)
            quantised = entry.get("quantization")
            code = (quantised or entry)["dtype"]
            if code not in _DTYPES:  # strings have no fixed size: what follows cannot be placed
                break
            dtype = np.dtype(code).newbyteorder("<")
            size = math.prod(shape) * dtype.itemsize
            start, place = place, place + size
            if 0 in shape:
                continue
            scale, offset = None, 0.0
            if quantised and code != "float16":
                scale, offset = float(quantised["scale"]), float(quantised["min"])

            place_of = (path.parent, shards, start, size)
            load = partial(_load, place_of, dtype, shape, (scale, offset), limits, name)
            step = None if scale is None else lambda scale=scale: np.array([scale])
            layout = "hwio" if len(shape) in DIMENSIONS else None
            yield name, Layer(name, shape, layout, load, code, step=step)


def _load(
    place: tuple[Path, list[str], int, int],
    dtype: np.dtype,
    shape: tuple[int, ...],
    quantised: tuple[float | None, float],
    limits: Limits,
    name: str,
) -> np.ndarray:
    limits.array(shape, dtype.itemsize, name)
    values = from_bytes(_span(*place, name), dtype, shape, limits, name)
    scale, offset = quantised
    return values if scale is None else values * scale + offset


def _span(folder: Path, shards: list[str], start: int, size: int, what: str) -> bytes:
    """`size` bytes from `start` of the shards laid end to end."""
    parts = []
    for name in shards:
        path = inside(folder, name)
        length = path.stat().st_size
        if start < length and size > 0:
            with path.open("rb") as file:
                file.seek(start)
                parts.append(read_exactly(file, min(size, length - start), path.name))
            size -= len(parts[-1])
        start = max(start - length, 0)
    if size:
        raise WeightsError(f"{what} is cut short: the shards lack {size:,} bytes of it")
    return b"".join(parts)


def _of_layers(known: list[Convolution], found: dict[str, Layer]) -> Iterator[Layer]:
    """Layers model: a Keras config in the topology; or a manifest alone, in its order."""
    for name, settings in in_order(found, known) if known else ((n, None) for n in found):
        if not name:
            yield missing(settings)  # pyright: ignore[reportArgumentType]
            continue
        kind = settings.kind if settings else ""
        depthwise = "depthwise" in name and "pointwise" not in name
        layer = _with(
            found[name],
            stride_of(settings.settings) if settings else None,
            depthwise=depthwise,
            transposed="Transpose" in kind,
        )
        seen = {"sees": settings.sees, "source": settings.source} if settings else {}
        yield replace(layer, **seen)


def _of_nodes(topology: dict[str, Any], found: dict[str, Layer]) -> Iterator[Layer]:
    """Graph model: a TensorFlow GraphDef. What its functions hold is told, not read."""
    nodes = [
        node
        for node in topology["node"]
        if isinstance(node, dict)
        and isinstance(node.get("op"), str)
        and isinstance(node.get("input", []), list)
    ]
    by_name = {str(node.get("name")): node for node in nodes}
    steps = [Step(str(n.get("name")), _kind(n), _sources(n)) for n in nodes]
    seeing = origins(in_running_order(steps))
    for step in in_running_order(steps):
        node = by_name[step.name]
        sees, source = seen_by(step, seeing)
        if step.kind == "function":
            told = (
                "a function of the graph, within which nothing is read: convert the model to ONNX"
            )
            yield Layer(
                step.name, (), None, lambda: np.zeros(0), refused=told, sees=sees, source=source
            )
        if step.kind not in ("conv", "transposed"):
            continue
        depthwise = "Depthwise" in node["op"]
        weight, how = _weight_of(step, by_name, found)
        strides = node.get("attr", {}).get("strides", {}).get("list", {}).get("i", [])
        known = isinstance(strides, list) and len(strides) == 4
        stride = (int(strides[1]), int(strides[2])) if known else None
        if weight is None:
            layer = Layer(step.name, (), None, lambda: np.zeros(0), refused=how)
        else:
            layer = _with(weight, stride, depthwise=depthwise, transposed=step.kind == "transposed")
            if len(weight.shape) not in DIMENSIONS:
                told = f"a convolution of {len(weight.shape) - 2} dimensions, which is not measured"
                layer = replace(layer, refused=told)
        yield replace(layer, sees=sees, source=source)


def _kind(node: dict[str, Any]) -> str:
    op = node["op"]
    if "Conv" in op and "Backprop" in op:
        return "transposed" if "BackpropInput" in op else "other"
    if re.search(r"Conv[23]D$|DepthwiseConv2d", op):
        return "conv"
    if re.search(r"MatMul|LSTM|GRU|BlockLSTM|Einsum", op):
        return "weighted"
    if re.search(r"PartitionedCall|^While$|StatelessWhile|^If$|StatelessIf", op):
        return "function"
    return {"Const": "constant", "VarHandleOp": "constant", "Placeholder": "input"}.get(op, "other")


def _sources(node: dict[str, Any]) -> tuple[str, ...]:
    names = [str(name) for name in node.get("input", [])]
    data = tuple(name.split(":")[0] for name in names if not name.startswith("^"))
    # the gradient with respect to the input: its sizes, the filters, then what is turned into an image
    return (data[2], data[1]) if "BackpropInput" in node["op"] and len(data) > 2 else data


def _weight_of(
    step: Step, by_name: dict[str, Any], found: dict[str, Layer]
) -> tuple[Layer | None, str]:
    """The filters of a convolution, through nodes that hand them on; or why they cannot be had."""
    name = step.inputs[1] if len(step.inputs) > 1 else ""
    for _ in range(16):
        node = by_name.get(name)
        if name in found and (node is None or _kind(node) == "constant"):
            return found[name], ""
        if node is None or node["op"] not in ("Identity", "ReadVariableOp", "Enter", "Cast"):
            break
        name = next(iter(_sources(node)), "")
    op = f" (by {by_name[name]['op']})" if name in by_name else ""
    return None, f"its weights are computed in the graph{op}, not stored"


def _with(
    layer: Layer, stride: tuple[int, int] | None, *, depthwise: bool, transposed: bool
) -> Layer:
    if len(layer.shape) not in DIMENSIONS:
        return layer
    layout = "hwoi" if transposed else "hwim" if depthwise else "hwio"
    return replace(layer, stride=stride, depthwise=depthwise, layout=layout, transposed=transposed)
