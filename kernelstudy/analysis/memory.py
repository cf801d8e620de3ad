"""What trained kernels remember of their start, and what of them is new."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_kernels, rows


class Memory(NamedTuple):
    """Of a layer, each (...): `memory` and `cos_start` of the whole layer, `start_left` of its start."""

    memory: np.ndarray
    cos_start: np.ndarray
    start_left: np.ndarray


def memory_of_start(start: ArrayLike, kernels: ArrayLike) -> Memory:
    """How much of a layer W is still its start W0, all its kernels taken as one vector.

    start, kernels: (..., channel, kh, kw). Returns `cos_start` = <W, W0> / (|W| |W0|) in [-1, 1];
    `memory` = its square, the share of W's energy that W0 explains; and `start_left` = <W, W0> / |W0|^2,
    what is left of W0 along itself: 1 at the start, 0 when it is forgotten, however much has come on top.
    NaN where either is zero. Blind to: which kernels remember (`memory_of_kernels`); an isotropic
    kernel of d taps that never saw W0 has a memory of 1/d on average.
    """
    start, kernels = as_kernels(start), as_kernels(kernels)
    return _memory(*(rows(k).reshape(*k.shape[:-3], -1) for k in (start, kernels)))


def memory_of_kernels(start: ArrayLike, kernels: ArrayLike) -> Memory:
    """`memory_of_start` kernel by kernel: (..., kh, kw) -> each (...)."""
    return _memory(rows(as_kernels(start)), rows(as_kernels(kernels)))


def new_part(start: ArrayLike, kernels: ArrayLike) -> np.ndarray:
    """What of each kernel is new: W minus its projection on its own start W0, (..., kh, kw).

    It answers what training has made whatever is left of the start: W - W0 holds -W0 once the start has
    decayed, the new part never does. It has one dimension less than W (that of W0), so an isotropic new
    part has slightly less than chance of any direction W0 lies along. Where W0 is zero, all of W is new.
    """
    start, kernels = as_kernels(start), as_kernels(kernels)
    along = np.einsum("...ij,...ij->...", start, kernels)
    energy = np.einsum("...ij,...ij->...", start, start)
    left = along / np.where(energy > 0, energy, np.inf)
    new = kernels - left[..., None, None] * start
    # An unmoved kernel leaves rounding, which is not a direction.
    size = np.abs(kernels).max(axis=(-2, -1), keepdims=True, initial=0)
    unmoved = np.abs(new).max(axis=(-2, -1), keepdims=True, initial=0) <= 1e-7 * size
    return np.where(unmoved, 0.0, new)


def _memory(start: np.ndarray, kernels: np.ndarray) -> Memory:
    inner = np.einsum("...i,...i->...", start, kernels)
    of_start, of_kernels = (np.einsum("...i,...i->...", k, k) for k in (start, kernels))
    scale = np.sqrt(of_start * of_kernels)
    cosine = np.clip(inner / np.where(scale > 0, scale, np.nan), -1, 1)
    return Memory(cosine**2, cosine, inner / np.where(of_start > 0, of_start, np.nan))
