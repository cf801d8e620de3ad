"""A layer as a whole: which kernels live, how varied they are, where their energy lies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .arrays import as_kernels, moderate, rows, unit_rows
from .nulls import as_basis

LOW = 0.01  # of the layer's largest: below it a kernel counts as dead (Gavrikov & Keuper 2022)


class SeedMatch(NamedTuple):
    """`order` (n,): b[order[i]] belongs to a[i]; `abs_cos` (n,): how alike the two are."""

    order: np.ndarray
    abs_cos: np.ndarray


def live_kernels(kernels: ArrayLike, *, low: float = LOW) -> np.ndarray:
    """Which kernels have at least `low` of the largest norm in their layer.

    kernels: (..., channel, kh, kw) -> bool (..., channel). All False in a layer of zeros, and for a
    kernel that is not finite. Blind to: a kernel whose output dies later, for instance in the ReLU.
    """
    norm = np.linalg.norm(rows(moderate(_layer(kernels), axis=(-3, -2, -1))), axis=-1)
    finite = np.where(np.isfinite(norm), norm, 0.0)
    return (finite > 0) & (finite >= low * finite.max(axis=-1, keepdims=True))


def mean_over_live(values: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Mean over the last axis where `live` and defined; NaN where nothing is."""
    counted = live & ~np.isnan(values)
    count, total = counted.sum(-1), np.where(counted, values, 0).sum(-1)
    return total / np.where(count > 0, count, np.nan)


def sparsity(kernels: ArrayLike, *, low: float = LOW) -> np.ndarray:
    """Share of kernels all of whose weights are below `low` of the layer's largest weight.

    kernels: (..., channel, kh, kw) -> (...); 1 in a layer of zeros, NaN in one not finite.
    Source: CNN Filter DB (Gavrikov & Keuper 2022), their sparsity. Blind to: small weights in
    kernels that also hold a large one.
    """
    peak = np.abs(rows(_layer(kernels))).max(axis=-1)
    threshold = low * peak.max(axis=-1, keepdims=True)
    found = np.mean((peak < threshold) | (threshold == 0), axis=-1)
    return np.where(_finite(kernels), found, np.nan)[()]


def explained_variance(kernels: ArrayLike) -> np.ndarray:
    """Shares of the layer's variance along its principal axes, falling.

    kernels: (..., channel, kh, kw), the mean kernel removed -> (..., kh*kw), summing to 1, NaN if
    all kernels are equal or one is not finite. Source: CNN Filter DB (Gavrikov & Keuper 2022), the
    filter basis by SVD. Blind to: which axes these are, and to the mean kernel. Few channels make
    it steep by themselves.
    """
    flat = rows(moderate(_layer(kernels), axis=(-3, -2, -1)))
    moved = flat - flat.mean(axis=-2, keepdims=True)
    finite = _finite(kernels)[..., None]
    variance = np.linalg.svd(np.where(finite[..., None], moved, 0.0), compute_uv=False) ** 2
    missing = flat.shape[-1] - variance.shape[-1]
    if missing > 0:
        variance = np.concatenate([variance, np.zeros((*variance.shape[:-1], missing))], axis=-1)
    total = variance.sum(axis=-1, keepdims=True)
    rounding = 1e-24 * np.sum(flat**2, axis=(-2, -1))[..., None]
    return variance / np.where((total > rounding) & finite, total, np.nan)


def variance_entropy(kernels: ArrayLike) -> np.ndarray:
    """-sum r log10 r over the `explained_variance` r: how many patterns a layer really holds.

    kernels: (..., channel, kh, kw) -> (...), from 0 (one pattern, or all kernels equal) to
    log10(kh*kw), 0.954 at 3x3; NaN if one is not finite. Source: CNN Filter DB (Gavrikov & Keuper
    2022), base 10 as there. Blind to: what the patterns are. It depends on the number of channels:
    compare equal widths.
    """
    ratio = np.nan_to_num(explained_variance(kernels))
    entropy = np.sum(ratio * np.log10(1 / np.where(ratio > 0, ratio, 1.0)), axis=-1)
    return np.where(_finite(kernels), entropy, np.nan)[()]


def orthogonality(kernels: ArrayLike) -> np.ndarray:
    """1 - the mean |cos| between two different kernels of a layer.

    kernels: (..., channel, kh, kw) -> (...) in [0, 1]; 1: all orthogonal, 0: all parallel. A zero
    kernel counts as orthogonal to all; NaN if one is not finite. For more input channels pass each
    filter whole, as (..., out, in*kh, kw). Source: CNN Filter DB (Gavrikov & Keuper 2022), as their
    tool torchconvquality has it. Blind to: with more channels than taps it cannot reach 1, whatever
    the layer does.
    """
    unit = np.nan_to_num(unit_rows(_layer(kernels)))
    n = unit.shape[-2]
    if n < 2:
        raise ValueError(f"orthogonality needs at least 2 kernels in a layer, not {n}")
    cosines = np.abs(unit @ np.swapaxes(unit, -1, -2))
    both = cosines.sum(axis=(-2, -1)) - np.trace(cosines, axis1=-2, axis2=-1)
    return np.where(_finite(kernels), 1 - both / (n * (n - 1)), np.nan)[()]


def filter_kl(a: ArrayLike, b: ArrayLike, *, bins: int = 64) -> float:
    """How differently two sets of kernels are distributed: symmetric KL of their PCA coefficients.

    a: (n, kh, kw), b: (m, kh, kw), each kernel scaled to its largest |weight|; PCA of both
    together; per component a Gaussian kernel density (Silverman's width, `bins` points); KL(P|Q) +
    KL(Q|P) in nats, averaged with the components' explained variance as weights. 0 for equal sets.
    Source: CNN Filter DB (Gavrikov & Keuper 2022): the weighting and the peak scaling; the
    symmetric form and the density are ours to keep it finite at a few dozen kernels. Compare equal
    set sizes only: small sets differ by chance. Blind to: dependence between components.
    """
    scaled = []
    for kernels in (a, b):
        flat = rows(as_kernels(kernels)).reshape(-1, rows(as_kernels(kernels)).shape[-1])
        peak = np.abs(flat).max(axis=1)
        scaled.append(flat[peak > 0] / peak[peak > 0, None])
    x, y = scaled
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError("filter_kl needs two sets of at least 2 non-zero kernels of one size")
    both = np.concatenate(scaled)
    _, s, axes = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    weights = s**2 / np.sum(s**2) if s.any() else s
    total = 0.0
    for weight, axis in zip(weights, axes, strict=True):
        if weight < 1e-12:
            continue
        p, q = _densities(x @ axis, y @ axis, bins)
        total += weight * np.sum((p - q) * np.log(p / q))
    return float(total)


def _densities(x: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([x, y])
    # one width for both, or a difference of sample sizes alone would look like a shift
    width = 1.06 * both.std() * min(len(x), len(y)) ** -0.2
    grid = np.linspace(both.min() - 3 * width, both.max() + 3 * width, bins)
    found = []
    for values in (x, y):
        density = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2).sum(axis=1) + 1e-12
        found.append(density / density.sum())
    return found[0], found[1]


def energy_profile(kernels: ArrayLike, patch_basis: ArrayLike) -> np.ndarray:
    """Shares of a layer's energy along the principal axes of image patches.

    kernels: (..., channel, kh, kw); patch_basis: (kh*kw, kh*kw), an axis a row (`patch_pca`).
    Returns (..., kh*kw), summing to 1, in the basis' order; NaN for a layer of zeros. Source:
    Chowers & Weiss 2023, the energy profile; give it W - W0 to compare with `predicted_profile`.
    Blind to: how the energy is spread over kernels, and to correlations between axes
    (`covariance_matched` draws differ from the layer in nothing but those).
    """
    kernels = moderate(_layer(kernels), axis=(-3, -2, -1))
    energy = np.sum((rows(kernels) @ as_basis(patch_basis, kernels.shape).T) ** 2, axis=-2)
    total = energy.sum(axis=-1, keepdims=True)
    return energy / np.where(total > 0, total, np.nan)


def movement(kernels: ArrayLike, start: ArrayLike) -> np.ndarray:
    """|W - W0| / |W0| of a layer: (..., channel, kh, kw) and its start -> (...). NaN if W0 = 0.

    Below about 0.3 a layer still looks like its start whatever it learned: read the update.
    """
    kernels, start = _layer(kernels), _layer(start)
    moved = np.linalg.norm(rows(kernels - start), axis=(-2, -1))
    size = np.linalg.norm(rows(start), axis=(-2, -1))
    return moved / np.where(size > 0, size, np.nan)


def match_seeds(a: ArrayLike, b: ArrayLike) -> SeedMatch:
    """The one-to-one pairing of two networks' kernels with the largest total |cos|.

    a, b: (n, kh, kw) -> order (n,), abs_cos (n,). Source: Kuhn 1955 (Hungarian method). A zero
    kernel has |cos| 0 with all. Chance is well above 0: pair two untrained layers for comparison.
    """
    a, b = as_kernels(a), as_kernels(b)
    if a.ndim != 3 or a.shape != b.shape:
        raise ValueError(f"a and b must both be (n, kh, kw), not {a.shape} and {b.shape}")
    cosines = np.nan_to_num(np.abs(unit_rows(a) @ unit_rows(b).T))
    first, order = scipy.optimize.linear_sum_assignment(cosines, maximize=True)
    return SeedMatch(order, cosines[first, order])


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment of two sets of features for the same inputs, in [0, 1].

    x: (inputs, p), y: (inputs, q). Source: Kornblith et al. 2019. NaN if either is constant.
    Blind to: rotations and overall scale, on purpose; small directions (it weighs by variance).
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise ValueError(
            f"x and y must be (inputs, features), not {first.shape} and {second.shape}"
        )
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    both = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.linalg.norm(first.T @ second) ** 2 / both) if both > 0 else float("nan")


def _layer(kernels: ArrayLike) -> np.ndarray:
    kernels = as_kernels(kernels)
    if kernels.ndim < 3:
        raise ValueError(f"a layer must have shape (..., channel, kh, kw), not {kernels.shape}")
    if kernels.shape[-3] == 0:
        raise ValueError(f"a layer must have at least one kernel, not shape {kernels.shape}")
    return kernels


def _finite(kernels: ArrayLike) -> np.ndarray:
    """Whether all of a layer is finite, (..., channel, kh, kw) -> (...)."""
    return np.asarray(np.isfinite(as_kernels(kernels)).all(axis=(-3, -2, -1)))
