"""Image sets, from their sources to standardised arrays, and the controls made of them. No JAX here."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernelstudy.system.errors import UserError


class DataError(UserError):
    """The data cannot be had or are not what they should be."""


class Part(NamedTuple):
    """The training or the test part of a set, as its source has it."""

    images: np.ndarray  # (N, H, W, C) uint8
    labels: np.ndarray  # (N,) int32


class Parts(NamedTuple):
    train: Part
    test: Part


def data_dir() -> Path:
    """Where prepared data sets live: $KERNELSTUDY_DATA_DIR, else the user's cache directory."""
    if given := os.environ.get("KERNELSTUDY_DATA_DIR"):
        return Path(given).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kernelstudy" / "data"
