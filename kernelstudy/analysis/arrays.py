"""What every measure does first: check that it got kernels, and make them float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

# Below this share of a kernel's norm, what is left after removing its mean is rounding error.
ROUNDING = 1e-12


def as_kernels(kernels: ArrayLike) -> np.ndarray:
    """Kernels as float64 (..., kh, kw); ValueError for fewer than two axes or no taps."""
    kernels = np.asarray(kernels, dtype=np.float64)
    if kernels.ndim < 2 or 0 in kernels.shape[-2:]:
        raise ValueError(f"kernels must have shape (..., kh, kw), not {kernels.shape}")
    return kernels


def as_square(kernels: ArrayLike) -> np.ndarray:
    """Square kernels as float64 (..., k, k); ValueError otherwise."""
    kernels = as_kernels(kernels)
    if kernels.shape[-1] != kernels.shape[-2]:
        raise ValueError(f"kernels must be square (..., k, k), not {kernels.shape}")
    return kernels


def as_bank(bank: Mapping[str, ArrayLike] | ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """A bank (name -> kernel, or an array (n, kh, kw)) as (n, kh, kw) for kernels of `shape`."""
    entries = list(bank.values()) if isinstance(bank, Mapping) else bank
    stacked = np.asarray(entries, dtype=np.float64)
    if stacked.ndim != 3 or len(stacked) == 0 or stacked.shape[1:] != shape[-2:]:
        raise ValueError(
            f"bank must hold kernels of shape {shape[-2:]} as (n, kh, kw), not {stacked.shape}"
        )
    return stacked


def rows(kernels: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """Flatten the taps, (..., kh, kw) -> (..., kh*kw); `centered` takes each kernel's mean away."""
    flat = kernels.reshape(*kernels.shape[:-2], -1)
    if not centered:
        return flat
    moved = flat - flat.mean(axis=-1, keepdims=True)
    constant = _norm(moved) <= ROUNDING * _norm(flat)
    return np.where(constant[..., None], 0.0, moved)


def unit_rows(kernels: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """Rows of norm 1; NaN where a kernel is zero (or constant and centred), without a warning."""
    flat = rows(kernels, centered=centered)
    norm = _norm(flat)
    return flat / np.where(norm > 0, norm, np.nan)[..., None]


def _norm(flat: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("...i,...i->...", flat, flat))
