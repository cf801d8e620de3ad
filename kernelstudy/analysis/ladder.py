"""The ladder of chance: a layer's gradient share against each null model, network by network."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_bank, as_kernels, rows, unit_rows
from .inference import FEWEST
from .intervals import bootstrap_t_interval, mean_test
from .nulls import permute_taps

_AT_ONCE = 8192  # permuted kernels in memory: enough to keep NumPy's calls few
# Of R2: the smallest excess over N3 that counts. Networks trained on images that hold nothing but second
# moments, or no neighbourhoods at all, have up to 0.04 (results/calibration): image statistics as the layer
# sees them, behind its pool and its nonlinearity, are not quite those of the pixels.
MARGIN = 0.05
CENTRED, RAW = (
    "r2_centered",
    "r2",
)  # measures of rungs: of kernels less their mean, and of whole ones


class Rung(NamedTuple):
    """One comparison with chance, over networks.

    `value` and `chance`: means over networks of the measure and of what the null gives it;
    `difference` with its bootstrap-t interval `low`, `high`; `p` two-sided (`mean_test`), of the
    difference or, of N3, of its excess over `MARGIN`; NaN if refused. `q`: p within the family of a
    report, p itself where there is none. `passed`: the difference is positive (of N3: above the margin) and
    q <= level; None where it cannot be decided, and `reason` says why.
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
    q: float
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


def plane_axes(kernels: np.ndarray, *directions: ArrayLike) -> np.ndarray:
    """Orthonormal columns (kh*kw, m) of the span of m directions (kh, kw), gx and gy for instance."""
    return np.linalg.qr(rows(as_bank(np.stack(directions), kernels.shape)).T)[0]


def plane_r2(kernels: np.ndarray, axes: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """`steered_r2` with the plane's axes at hand; `centered`: of the kernels less their means."""
    return np.sum((unit_rows(kernels, centered=centered) @ axes) ** 2, axis=-1)


def permuted_mean(kernels: np.ndarray, axes: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """N2: the mean R2 over all permutations of a kernel's taps, exactly.

    A permutation leaves the mean's share where it is and spreads the rest over the d - 1 others. So the
    centred R2 of a plane without a mean is 2 / (d - 1) for every kernel, as under isotropy (N0).
    """
    d = axes.shape[0]
    in_mean = np.sum(axes.sum(axis=0) ** 2) / d
    dc = unit_rows(kernels, centered=centered).sum(axis=-1) ** 2 / d
    return dc * in_mean + (1 - dc) * (axes.shape[1] - in_mean) / (d - 1)


def signs_mean(
    kernels: np.ndarray, axes: np.ndarray, basis: np.ndarray, *, centered: bool = False
) -> np.ndarray:
    """N3: the mean R2 over all signs of a kernel's coefficients on the axes of image patches, exactly.

    basis: (d - 1, d), an axis a row, without a mean (`nulls.zero_mean_axes`); the plane has none either.
    Every kernel keeps its norm, its mean and its energy on each axis of the images: whatever the law of
    these (Gaussian, heavy-tailed, unequal between kernels), only how the axes are combined is left to
    chance. E (sum_i s_i c_i p_i)^2 = sum_i c_i^2 p_i^2 for independent signs s.
    """
    on_axes = (unit_rows(kernels, centered=centered) @ basis.T) ** 2
    return on_axes @ np.sum((basis @ axes) ** 2, axis=1)


def phases_mean(kernels: np.ndarray, axes: np.ndarray, *, centered: bool = False) -> np.ndarray:
    """N3: the mean R2 over all phases of a kernel's Fourier components, its mean kept, exactly.

    The cosine and sine of a frequency span two dimensions (one at 0 and at the Nyquist frequencies), over
    which a random phase spreads their energy evenly. Theiler et al. 1992 draw such surrogates;
    `nulls.phase_scrambled` does, too.
    """
    unit, found = unit_rows(kernels, centered=centered), 0.0
    for component in _fourier_components(*kernels.shape[-2:]):
        energy = np.sum((unit @ component) ** 2, axis=-1)
        found = found + energy * np.sum((component.T @ axes) ** 2) / component.shape[1]
    return np.asarray(found)


@lru_cache(maxsize=16)
def _fourier_components(kh: int, kw: int) -> list[np.ndarray]:
    """Orthonormal columns (kh*kw, 1 or 2) of each spatial frequency but 0."""
    y, x = np.mgrid[:kh, :kw]
    components, seen = [], {(0, 0)}
    for fy, fx in np.ndindex(kh, kw):
        if (fy, fx) in seen:
            continue
        mirrored = (-fy % kh, -fx % kw)
        seen |= {(fy, fx), mirrored}
        wave = 2 * np.pi * (fy * y / kh + fx * x / kw).ravel()
        columns = np.stack([np.cos(wave), np.sin(wave)], axis=1)
        columns = columns if mirrored != (fy, fx) else columns[:, :1]
        components.append(columns / np.linalg.norm(columns, axis=0))
    return components


def no_rung(null: str, measure: str) -> Rung:
    """A rung that nothing can be said on."""
    nan = float("nan")
    return Rung(null, measure, 0, nan, nan, nan, nan, nan, nan, nan, None, "no live kernels")


def compare(
    null: str,
    measure: str,
    value: np.ndarray,
    chance: np.ndarray,
    level: float,
    margin: float = 0.0,
) -> Rung:
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
        p = float(mean_test(difference - margin))
        passed, reason = bool(mean > margin and p <= level), ""
    means = float(value.mean()), float(chance.mean())
    return Rung(null, measure, n, *means, mean, low, high, p, p, passed, reason)


def least_passed(rungs: list[Rung], margin: float) -> Rung:
    """Of comparisons that must all be passed, the one that is furthest from it."""

    def one_sided(rung: Rung) -> float:
        return rung.p / 2 if rung.difference > margin else 1 - rung.p / 2

    return max(rungs, key=lambda r: (0 if np.isnan(r.p) else one_sided(r), -r.difference))


def margin_of(null: str, measure: str) -> float:
    """How far above chance a rung must be: `MARGIN` on N3 in R2, nothing elsewhere."""
    return MARGIN if null == "N3" and measure in (CENTRED, RAW) else 0.0


def within_family(rungs: list[Rung], q: np.ndarray, level: float) -> list[Rung]:
    """The rungs with their q within a family, and passed where that is small enough."""
    found = []
    for rung, of_family in zip(rungs, q, strict=True):
        margin = margin_of(rung.null, rung.measure)
        passed = None if rung.passed is None else rung.difference > margin and of_family <= level
        found.append(rung._replace(q=float(of_family), passed=passed and bool(passed)))
    return found
