"""The ladder of chance: a layer's gradient share against each null model, network by network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_bank, as_kernels, rows, unit_rows
from .inference import FEWEST, sign_flip_test
from .intervals import bootstrap_t_interval
from .layer import mean_over_live
from .nulls import permute_taps

_AT_ONCE = 8192  # permuted kernels in memory: enough to keep NumPy's calls few


class Rung(NamedTuple):
    """One comparison with chance, over networks.

    `value` and `chance`: means over networks of the measure and of what the null gives it;
    `difference` with its bootstrap-t interval `low`, `high`; `p` two-sided, NaN if refused. `passed`: the
    difference is positive and p <= level; None where it cannot be decided, and `reason` says why.
    """

    null: str
    measure: str
    n: int
    value: float
    chance: float
    difference: float
    low: float
    high: float
    p: float
    passed: bool | None
    reason: str


def derivative_plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """First derivatives x and y smoothed by binomials, at any size from 2: Sobel's at 3, 5, ..."""
    smooth, slope = np.ones(1), np.array([-1.0, 1.0])
    for _ in range(size - 1):
        smooth = np.convolve(smooth, [1.0, 1.0])
    for _ in range(size - 2):
        slope = np.convolve(slope, [1.0, 1.0])
    gx = np.outer(smooth, slope)
    return gx, gx.T


def gradient_plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The declared derivative: Sobel x and y at an odd `size`, Sobel 3x3 smoothed by binomials."""
    if size < 3 or size % 2 == 0:
        raise ValueError(f"gradient_plane needs an odd size of at least 3, not {size}")
    return derivative_plane(size)


def permutation_p(
    kernels: ArrayLike, gx: ArrayLike, gy: ArrayLike, *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """N2 kernel by kernel: p of the steered R2 among the same kernel's permuted taps.

    kernels: (..., kh, kw) -> (...), (1+b)/(1+draws); NaN for a zero kernel. A constant kernel has p
    1.
    """
    kernels = as_kernels(kernels)
    axes = plane_axes(kernels, gx, gy)
    observed = plane_r2(kernels, axes)
    rng = np.random.default_rng(seed)
    count = np.zeros(observed.shape)
    unit = unit_rows(kernels).reshape(kernels.shape)  # permuting leaves the norm as it is
    block = max(1, _AT_ONCE // max(1, observed.size))
    for done in range(0, draws, block):
        copies = np.broadcast_to(unit, (min(block, draws - done), *unit.shape))
        r2 = np.sum((rows(permute_taps(copies, rng)) @ axes) ** 2, axis=-1)
        count += np.sum(r2 >= observed - 1e-12, axis=0)
    return np.where(np.isnan(observed), np.nan, (1 + count) / (1 + draws))


def plane_axes(kernels: np.ndarray, gx: ArrayLike, gy: ArrayLike) -> np.ndarray:
    """Orthonormal columns (kh*kw, 2) of span{gx, gy}."""
    return np.linalg.qr(rows(as_bank({"gx": gx, "gy": gy}, kernels.shape)).T)[0]


def plane_r2(kernels: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """`steered_r2` with the plane's axes at hand."""
    return np.sum((unit_rows(kernels) @ axes) ** 2, axis=-1)


def permuted_mean(kernels: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The mean R2 over all permutations of a kernel's taps, exactly.

    A permutation leaves the mean's share where it is and spreads the rest over the d - 1 others.
    """
    d = axes.shape[0]
    in_mean = np.sum(axes.sum(axis=0) ** 2) / d
    dc = unit_rows(kernels).sum(axis=-1) ** 2 / d
    return dc * in_mean + (1 - dc) * (axes.shape[1] - in_mean) / (d - 1)


def _concentration(r2: np.ndarray, live: np.ndarray) -> np.ndarray:
    kept = np.where(live, r2, 0.0)
    total = kept.sum(axis=-1)
    return np.sum(kept**2, axis=-1) / np.where(total > 0, total, np.nan)


def against_draws(
    measure: str, values: np.ndarray, drawn: np.ndarray, live: np.ndarray, level: float
) -> Rung:
    """N3: drawn networks as large as each network, for a ratio depends on their number."""
    summary = _concentration if measure == "concentration" else mean_over_live
    counts = live.sum(axis=-1)
    chance = np.full(len(live), np.nan)
    for count in np.unique(counts[counts > 0]):
        nets = drawn[: len(drawn) // count * count].reshape(-1, count)
        chance[counts == count] = np.nanmean(summary(nets, np.ones_like(nets, dtype=bool)))
    return compare("N3", measure, summary(values, live), chance, level)


def no_rung(null: str, measure: str) -> Rung:
    """A rung that nothing can be said on."""
    nan = float("nan")
    return Rung(null, measure, 0, nan, nan, nan, nan, nan, nan, None, "no live kernels")


def compare(null: str, measure: str, value: np.ndarray, chance: np.ndarray, level: float) -> Rung:
    """Compare networks' values with chance; those without live kernels (NaN) are left out."""
    known = np.isfinite(value) & np.isfinite(chance)
    value, chance = value[known], chance[known]
    n = len(value)
    if n == 0:
        return no_rung(null, measure)
    difference = value - chance
    mean = float(difference.mean())
    low, high = (float(v) for v in bootstrap_t_interval(difference, level=1 - level))
    p, passed, reason = float("nan"), None, f"a test over networks needs {FEWEST}, here are {n}"
    if n >= FEWEST:
        p = float(sign_flip_test(difference))
        passed, reason = bool(mean > 0 and p <= level), ""
    means = float(value.mean()), float(chance.mean())
    return Rung(null, measure, n, *means, mean, low, high, p, passed, reason)
