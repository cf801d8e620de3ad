""".safetensors, through the library of that name: a checked header and raw numbers, nothing executed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ml_dtypes  # noqa: F401  (its import makes bfloat16 known to NumPy)
import numpy as np
from safetensors import SafetensorError, safe_open

from .layer import LAYOUTS, Network, WeightsError, natural, tensor_layers
from .limits import Limits

_LAYOUT_OF_WRITER = {"pt": "oihw", "flax": "hwio", "jax": "hwio", "tf": "hwio", "mlx": "ohwi"}


def read(path: Path, limits: Limits) -> Network:
    """The tensors of a file; who wrote it, and their names, tell the layout."""
    try:
        with safe_open(path, framework="numpy") as file:
            writer = (file.metadata() or {}).get("format", "")
            tensors = []
            for name in sorted(file.keys(), key=natural):
                tensor = file.get_slice(name)
                load = partial(_load, path, name, limits)
                tensors.append((name, tuple(tensor.get_shape()), tensor.get_dtype(), load))
    except SafetensorError as error:
        raise WeightsError(
            f"{path.name} is not a safetensors file that can be read: {error}"
        ) from error
    layers = tensor_layers(tensors, lambda name, shape: _layout(name, shape, writer))
    family = "tensorflow" if writer in ("tf", "flax", "jax") else "torch"
    return Network("safetensors", layers, "names", family)


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


def _layout(name: str, shape: tuple[int, ...], writer: str) -> str | None:
    """By the writing framework, then the tensor's name, then the one layout with square kernels."""
    if writer in _LAYOUT_OF_WRITER:
        return _LAYOUT_OF_WRITER[writer]
    last = name.replace("/", ".").rsplit(".", 1)[-1]
    if last in ("weight", "kernel"):
        return {"weight": "oihw", "kernel": "hwio"}[last]
    places = {"hwio": (0, 1), "oihw": (2, 3), "ohwi": (1, 2)}
    square = [way for way in LAYOUTS if shape[places[way][0]] == shape[places[way][1]]]
    return square[0] if len(square) == 1 else None
