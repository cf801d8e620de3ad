"""TensorFlow.js: model.json with its weight manifest, and the binary shards beside it.

Source: the converter's write_weights.py: weights of a group follow each other over its shards, and
quantised ones are q * scale + min.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .keras_config import convolutions, in_order, stride_of
from .layer import Layer, Network, WeightsError
from .limits import (
    Limits,
    from_bytes,
    inside,
    parse_json,
    plain_shape,
    read_exactly,
    read_file,
)

_DTYPES = {"float32": 4, "int32": 4, "bool": 1, "uint8": 1, "uint16": 2, "float16": 2}


def read(path: Path, limits: Limits) -> Network:
    """The convolutions of a layers model or graph model; `path` is its model.json."""
    limits.description(path.stat().st_size, path.name)
    model = parse_json(read_file(path, limits), path.name)
    manifest = model.get("weightsManifest") if isinstance(model, dict) else None
    if not isinstance(manifest, list):
        raise WeightsError(f"{path.name} is JSON, but no TensorFlow.js model (no weightsManifest)")
    try:
        found = dict(_weights(path, manifest, limits))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path.name} describes its weights wrongly") from error
    topology = model.get("modelTopology")
    nodes = topology.get("node") if isinstance(topology, dict) else None
    graph = isinstance(nodes, list)
    layers = tuple(_of_nodes(nodes, found) if graph else _of_layers(topology, found))
    writer = model.get("generatedBy") or model.get("convertedBy")
    facts = (("Written by", str(writer)[:200]),) if writer else ()
    return Network("TensorFlow.js", layers, "graph", "tensorflow", facts)


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
            if len(shape) != 4 or 0 in shape:
                continue
            scale, offset = None, 0.0
            if quantised and code != "float16":
                scale, offset = float(quantised["scale"]), float(quantised["min"])

            place_of = (path.parent, shards, start, size)
            load = partial(_load, place_of, dtype, shape, (scale, offset), limits, name)
            step = None if scale is None else lambda scale=scale: np.array([scale])
            yield name, Layer(name, shape, "hwio", load, code, step=step)


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


def _of_layers(topology: Any, found: dict[str, Layer]) -> Iterator[Layer]:
    """Layers model: a Keras config in the topology."""
    config = topology.get("model_config", topology) if isinstance(topology, dict) else None
    for name, settings in in_order(found, list(convolutions(config))):
        depthwise = "depthwise" in name
        yield _with(found[name], stride_of(settings.settings), depthwise=depthwise)


def _of_nodes(nodes: list, found: dict[str, Layer]) -> Iterator[Layer]:
    """Graph model: a TensorFlow GraphDef, whose nodes come in an order in which they can run."""
    for node in nodes:
        kind = node.get("op") if isinstance(node, dict) else None
        inputs = node.get("input") if isinstance(node, dict) else None
        if not isinstance(kind, str) or not isinstance(inputs, list):
            continue
        depthwise = bool(re.search(r"DepthwiseConv2d", kind))
        if not (depthwise or re.search(r"Conv2D$", kind)) or "Backprop" in kind:
            continue
        strides = node.get("attr", {}).get("strides", {}).get("list", {}).get("i", [])
        known = isinstance(strides, list) and len(strides) == 4
        for name in inputs[1:2]:
            layer = found.get(str(name).split(":")[0])
            if layer is not None:
                stride = (int(strides[1]), int(strides[2])) if known else None
                yield _with(layer, stride, depthwise=depthwise)


def _with(layer: Layer, stride: tuple[int, int] | None, *, depthwise: bool) -> Layer:
    layout = "hwim" if depthwise else "hwio"
    fields = {**layer.__dict__, "stride": stride, "depthwise": depthwise, "layout": layout}
    return Layer(**fields)
