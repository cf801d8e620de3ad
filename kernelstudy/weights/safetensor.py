""".safetensors, through the library of that name: a checked header and raw numbers, nothing executed."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import ml_dtypes  # noqa: F401  (its import makes bfloat16 known to NumPy)
import numpy as np
from safetensors import SafetensorError, safe_open

from .layer import DIMENSIONS, LAYOUTS, Layer, Network, WeightsError, natural
from .limits import Limits, inside, parse_json, read_file
from .roles import weights_among

_LAYOUT_OF_WRITER = {"pt": "oihw", "flax": "hwio", "jax": "hwio", "tf": "hwio", "mlx": "ohwi"}


def read(path: Path, limits: Limits) -> Network:
    """The tensors of a file; who wrote it, and their names, tell the layout."""
    arrays, family = _arrays(path, limits)
    return Network("safetensors", weights_among(arrays), "names", family)


def read_shards(path: Path, limits: Limits) -> Network:
    """The tensors of the shards that an index (model.safetensors.index.json) names, beside it."""
    limits.description(path.stat().st_size, path.name)
    index = parse_json(read_file(path, limits), path.name)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
        raise WeightsError(f"{path.name} is no index of shards (no weight_map)")
    arrays: list[Layer] = []
    family = "torch"
    for name in sorted(set(places.values())):
        shard = inside(path.parent, name)
        with shard.open("rb") as file:
            if not claims_header(file.read(16)):
                raise WeightsError(
                    f"{name}, which {path.name} names, is no safetensors file: name it itself"
                )
        own, family = _arrays(shard, limits)
        arrays += [array for array in own if places.get(array.name) == name]
    arrays.sort(key=lambda array: natural(array.name))
    if missing := sorted(places.keys() - {array.name for array in arrays}):
        raise WeightsError(f"{missing[0]} is not in the shard that {path.name} names for it")
    facts = (("Shards", str(len(set(places.values())))),)
    return Network("safetensors in shards", weights_among(arrays), "names", family, facts)


def _arrays(path: Path, limits: Limits) -> tuple[list[Layer], str]:
    try:
        with safe_open(path, framework="numpy") as file:
            writer = (file.metadata() or {}).get("format", "")
            arrays = []
            for name in sorted(file.keys(), key=natural):
                tensor = file.get_slice(name)
                shape = tuple(tensor.get_shape())
                load = partial(_load, path, name, limits)
                layout = layout_by_name(name, shape, writer)
                arrays.append(Layer(name, shape, layout, load, tensor.get_dtype()))
    except SafetensorError as error:
        raise WeightsError(
            f"{path.name} is not a safetensors file that can be read: {error}"
        ) from error
    family = "tensorflow" if writer in ("tf", "flax", "jax") else "torch"
    return arrays, family


def claims_header(start: bytes) -> bool:
    """Whether a file that starts so is one; that its header's size is absurd is told when reading."""
    return len(start) > 8 and start[8:9] == b"{" and not start[:1].isspace()


def _load(path: Path, name: str, limits: Limits) -> np.ndarray:
    with safe_open(path, framework="numpy") as file:
        tensor = file.get_slice(name)
        limits.array(tensor.get_shape(), 8, name)
        try:
            return np.array(file.get_tensor(name))
        except AttributeError as error:  # float8 has no NumPy type
            raise WeightsError(
                f"{name} is of type {tensor.get_dtype()}, which is not read"
            ) from error


def layout_by_name(name: str, shape: tuple[int, ...], writer: str = "") -> str | None:
    """By the writing framework, then the tensor's name, then the one layout with square kernels."""
    if len(shape) not in DIMENSIONS:
        return None
    if writer in _LAYOUT_OF_WRITER:
        return _LAYOUT_OF_WRITER[writer]
    last = name.replace("/", ".").rsplit(".", 1)[-1]
    kind = re.match(r"(weight|kernel)(_orig|_v)?$|original1?$", last)
    if kind:
        return "hwio" if kind[1] == "kernel" else "oihw"
    if len(shape) != 4:
        return None
    places = {"hwio": (0, 1), "oihw": (2, 3), "ohwi": (1, 2)}
    square = [way for way in LAYOUTS if shape[places[way][0]] == shape[places[way][1]]]
    return square[0] if len(square) == 1 else None
