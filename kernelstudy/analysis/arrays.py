"""What every measure does first: check that it got kernels, and make them float64."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

# Below this share of a kernel's norm, what is left after removing its mean is rounding error.
ROUNDING = 1e-12


def wrapped(angles: ArrayLike, period: float) -> np.ndarray:
    """Angles brought into [0, period): what `np.mod` rounds up to the period itself is 0."""
    angles = np.mod(np.asarray(angles, dtype=np.float64), period)
    return np.where(angles >= period, 0.0, angles)


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
    flat = kernels.reshape(*kernels.shape[:-2], kernels.shape[-2] * kernels.shape[-1])
    if not centered:
        return flat
    moved = flat - flat.mean(axis=-1, keepdims=True)
    constant = _norm(moved) <= ROUNDING * _norm(flat)
    return np.where(constant[..., None], 0.0, moved)


def unit_rows(kernels: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """Rows of norm 1; NaN where a kernel is zero (or constant and centred), without a warning."""
    flat = rows(moderate(kernels), centered=centered)
    norm = _norm(flat)
    return flat / np.where(norm > 0, norm, np.nan)[..., None]


def moderate(kernels: np.ndarray, *, axis: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    """The same kernels for a measure that scale along `axis` does not change, safe to square.

    What is so large or small that its squares are not numbers is brought to a peak of 1; what is
    not finite becomes NaN. Anything else is returned as it is.
    """
    if kernels.size == 0:
        return kernels
    peak = np.fmax.reduce(np.abs(kernels), axis=axis, keepdims=True)
    odd = (peak > 1e100) | ((peak < 1e-100) & (peak > 0))
    if not odd.any():
        return kernels
    scaled = kernels / np.where(odd & np.isfinite(peak), peak, 1.0)
    return np.where(np.isfinite(kernels), scaled, np.nan)


def dft2(kernels: np.ndarray) -> np.ndarray:
    """`numpy.fft.fft2` of (..., kh, kw); for small kernels as one product, many times as fast."""
    shape = kernels.shape[-2:]
    if shape[0] * shape[1] > 256:
        return np.fft.fft2(kernels)
    flat, matrix = rows(kernels), _dft_matrix(*shape)
    found = flat @ np.real(matrix) + 1j * (flat @ np.imag(matrix))
    return found.reshape(kernels.shape)


@lru_cache(maxsize=16)
def _dft_matrix(kh: int, kw: int) -> np.ndarray:
    return np.fft.fft2(np.eye(kh * kw).reshape(-1, kh, kw)).reshape(kh * kw, -1)


def _norm(flat: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("...i,...i->...", flat, flat))
