"""PyTorch's .pt2 of torch.export: the graph as JSON, followed from its input, and raw weights beside it.

Source: torch/_export/serde/schema.py and torch/export/pt2_archive of PyTorch 2.8 and later.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from .effective import turned
from .graphs import Step, in_running_order, origins, seen_by
from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import Limits, from_bytes, parse_json, plain_shape, read_member
from .roles import weights_among

# schema.ScalarType
_TYPES: dict[int, Any] = {
    **{1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64},
    **{6: np.float16, 7: np.float32, 8: np.float64, 12: np.bool_, 13: ml_dtypes.bfloat16},
}
_WEIGHTED = ("linear", "addmm", "lstm", "gru", "embedding", "mm", "bilinear", "scaled_dot_product")


def is_exported(names: list[str]) -> bool:
    return any(n.endswith(("archive_format", "serialized_exported_program.json")) for n in names)


def read(path: Path, limits: Limits) -> Network:
    """The convolutions of an exported program, in its order."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        model = next((n for n in names if n.endswith("models/model.json")), None)
        config = next((n for n in names if n.endswith("_weights_config.json")), None)
        if model is None or config is None:
            raise WeightsError(
                f"{path.name} was made by an older torch.export, or holds no model: load it and save its "
                "state_dict with torch.save"
            )
        program = parse_json(read_member(archive, model, limits, description=True), model)
        told = parse_json(read_member(archive, config, limits, description=True), config)
    try:
        arrays = dict(_arrays(path, config.rpartition("/")[0], told["config"], limits))
        module = program["graph_module"]
        parameters = dict(_named(module["signature"]["input_specs"]))
        layers = tuple(_layers(module["graph"], parameters, arrays))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise WeightsError(f"{path.name} describes its program wrongly") from error
    return Network("PyTorch (.pt2)", weights_among(layers), "graph")


def _arrays(
    path: Path, folder: str, config: dict[str, Any], limits: Limits
) -> Iterator[tuple[str, Layer]]:
    for name, entry in config.items():
        meta = entry["tensor_meta"]
        shape = plain_shape([n["as_int"] for n in meta["sizes"]], name)
        strides = plain_shape([n["as_int"] for n in meta["strides"]], name)
        dtype = _TYPES.get(meta["dtype"])
        member = f"{folder}/{entry['path_name']}"
        load = partial(_load, path, member, name, dtype, shape, strides, limits)
        layout = "oihw" if len(shape) in DIMENSIONS else None
        kind = np.dtype(dtype).name if dtype else f"type {meta['dtype']}"
        refused = "it is stored as a pickle within the archive" if entry.get("use_pickle") else ""
        yield name, Layer(name, shape, layout, load, kind, refused=refused)


def _load(
    path: Path,
    member: str,
    name: str,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    limits: Limits,
) -> np.ndarray:
    if dtype is None:
        raise WeightsError(f"{name} is of a type that is not read")
    limits.array(shape, 8, name)
    with zipfile.ZipFile(path) as archive:
        data = read_member(archive, member, limits)
    # the bytes are those of the tensor's memory: axes in the order of falling strides
    order = sorted(range(len(shape)), key=lambda i: -strides[i])
    stored = tuple(shape[i] for i in order)
    values = from_bytes(data, np.dtype(dtype).newbyteorder("<"), stored, limits, name)
    return values.transpose(np.argsort(order))


def _named(specs: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The graph's name of each parameter and buffer -> its own."""
    for spec in specs:
        for kind in ("parameter", "buffer", "tensor_constant"):
            if kind in spec:
                yield spec[kind]["arg"]["name"], str(spec[kind][f"{kind}_name"])


def _layers(
    graph: dict[str, Any], parameters: dict[str, str], arrays: dict[str, Layer]
) -> Iterator[Layer]:
    steps, nodes = [], {}
    for entry in graph["inputs"]:
        for name in _tensors(entry):
            steps.append(Step(name, "constant" if name in parameters else "input", ()))
    for index, node in enumerate(graph["nodes"]):
        made = tuple(_tensors(node["outputs"]))
        step = Step(f"node {index}", _kind(node), tuple(_tensors(node["inputs"])), made or ("",))
        steps.append(step)
        nodes[step.name] = node
    steps = in_running_order(steps)
    seeing = origins(steps)
    makers = {out: nodes[s.name] for s in steps if s.name in nodes for out in s.outputs}
    for step in steps:
        if step.kind not in ("conv", "transposed"):
            continue
        sees, source = seen_by(step, seeing)
        node = nodes[step.name]
        layer = _layer(node, step, parameters, arrays, makers)
        fields = {**layer.__dict__, "sees": sees, "source": source}
        yield Layer(**fields)


def _layer(
    node: dict[str, Any],
    step: Step,
    parameters: dict[str, str],
    arrays: dict[str, Layer],
    makers: dict[str, dict[str, Any]],
) -> Layer:
    weight = step.inputs[1] if len(step.inputs) > 1 else ""
    for _ in range(8):  # through what only hands it on
        if weight in parameters or weight not in makers:
            break
        if not any(w in makers[weight]["target"] for w in ("detach", "alias", "clone", "lift")):
            break
        weight = next(iter(_tensors(makers[weight]["inputs"])), "")
    stored = arrays.get(parameters.get(weight, ""))
    if stored is None:
        by = str(makers[weight]["target"]) if weight in makers else "an input"
        told = f"its weights are computed in the program by {by}, not stored"
        return Layer(str(node.get("name", step.name)), (), None, lambda: np.zeros(0), refused=told)
    given = {entry["name"]: entry["arg"] for entry in node["inputs"]}
    stride = given.get("stride", {}).get("as_ints")
    groups = given.get("groups", {}).get("as_int", 1)
    pair = tuple(stride) if isinstance(stride, list) else (1, 1)
    pair = pair * 2 if len(pair) == 1 else pair
    fields = {
        **stored.__dict__,
        "stride": pair if len(pair) == 2 else None,
        "depthwise": groups > 1 and len(stored.shape) in DIMENSIONS and stored.shape[1] == 1,
    }
    layer = Layer(**fields)
    return turned(layer) if step.kind == "transposed" and len(layer.shape) in DIMENSIONS else layer


def _kind(node: dict[str, Any]) -> str:
    target = str(node["target"])
    if "conv" in target:
        given = {entry["name"]: entry["arg"] for entry in node["inputs"]}
        back = "conv_transpose" in target or given.get("transposed", {}).get("as_bool") is True
        return "transposed" if back else "conv"
    last = target.split(".")[-2] if "." in target else target
    if last in _WEIGHTED or last.startswith(("linear", "quantized_")):
        return "weighted"
    return "other"


def _tensors(value: Any, depth: int = 0) -> Iterator[str]:
    """The names of the tensors in a description of arguments."""
    if isinstance(value, list) and depth < 8:
        for inner in value:
            yield from _tensors(inner, depth + 1)
    elif isinstance(value, dict) and depth < 8:
        for key, inner in value.items():
            if key == "as_tensor" and isinstance(inner, dict):
                yield str(inner.get("name"))
            elif key in ("as_tensors", "as_optional_tensors") and isinstance(inner, list):
                for one in inner:
                    if isinstance(one, dict):
                        yield from (
                            [str(one["name"])] if "name" in one else _tensors(one, depth + 1)
                        )
            elif key == "arg":
                yield from _tensors(inner, depth + 1)
