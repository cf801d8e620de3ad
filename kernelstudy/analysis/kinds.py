"""Kinds of kernels, by a declared rule, and how many of each a layer has beside chance.

A layer is a mixture: the mean of a measure over low-pass kernels, edge detectors and gratings names none of
them. The rule: a kernel is of the kind of which some member, at any orientation and scale, holds more than
half of its energy (squared cosine above 1/2; a grating, which has more freedom, above 3/4); of several, the
one that holds most. What no kind holds is 'mixed'. How often chance gives each kind is a part of every count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_square, unit_rows
from .fits import gabor_planes
from .gradients import a_of_phi
from .layer import live_kernels

# Kinds of every size but the last of them, which needs 5 x 5; then what is of no kind.
KINDS = ("low-pass", "edge", "line", "blob", "checker", "grating")
MIXED = "mixed"
HOLDS, GRATING_HOLDS = 0.5, 0.75  # of a kernel's energy
_BLOCK = 4096  # kernels at a time


class Kind(NamedTuple):
    """Of each kernel (...): `index` into `(*KINDS, MIXED)`; -1 for a zero kernel. `share`: of its energy
    that the best member of that kind holds, for a mixed one the largest of any."""

    index: np.ndarray
    share: np.ndarray


def kind_of(kernels: ArrayLike) -> Kind:
    """The kind of each kernel (..., k, k), k >= 3, by the rule of the module.

    - low-pass: constant; from 5 x 5 on also a Gaussian of sigma 1 or more, near any centre.
    - edge: a first derivative at any angle. 3 x 3: [1, a, 1]^T x [-1, 0, 1] for any a from 0 up (Prewitt,
      Sobel, Scharr alike); larger: of a Gaussian at any scale and near any centre.
    - line: a second derivative, smoothed: along any one direction, or a saddle at any angle.
    - blob: centre against surround (Laplacians, differences of Gaussians), and single taps.
    - checker: alternating signs; from 5 x 5 on also in stripes. grating: a Gabor function of at least one
      cycle in k, from 5 x 5 on.

    ValueError unless square and at least 3 x 3. Sources: Koenderink & van Doorn 1987 (derivatives of
    Gaussians as the kinds of local operators), Daugman 1985 (Gabor). Blind to: polarity, and the difference
    between operators of one kind (`derivative_fit` for those).
    """
    kernels = as_square(kernels)
    size = kernels.shape[-1]
    if size < 3:
        raise ValueError(f"kinds need kernels of 3x3 or more, not {size}x{size}")
    unit = unit_rows(kernels).reshape(-1, size * size)
    zero = np.isnan(np.sum(unit, axis=1))
    unit = np.nan_to_num(unit)
    families = _families(size)
    shares = np.zeros((len(unit), len(KINDS)))
    for first in range(0, len(unit), _BLOCK):
        block = unit[first : first + _BLOCK]
        for column, family in enumerate(families):
            of_block = shares[first : first + _BLOCK, column]
            for planes in family:
                parts = block @ planes.reshape(-1, size * size).T
                held = np.sum(parts.reshape(len(block), *planes.shape[:2]) ** 2, axis=-1)
                np.maximum(of_block, held.max(axis=-1, initial=0), out=of_block)
    needed = [GRATING_HOLDS if kind == "grating" else HOLDS for kind in KINDS]
    held = np.where(shares > needed, shares, 0.0)
    index, share = np.argmax(held, axis=1), np.max(held, axis=1)
    mixed = share == 0
    index[mixed], share[mixed] = len(KINDS), shares[mixed].max(axis=1)
    index[zero], share[zero] = -1, np.nan
    shape = kernels.shape[:-2]
    return Kind(index.reshape(shape), share.reshape(shape))


def count_kinds(kernels: ArrayLike) -> np.ndarray:
    """How many live kernels of each network (..., channel, k, k) are of each kind: (..., kinds), the last
    of them mixed. NaN for a network that is not finite."""
    kernels = as_square(kernels)
    finite = np.asarray(np.isfinite(kernels).all(axis=(-3, -2, -1)))
    index = live_kinds(np.where(finite[..., None, None, None], kernels, 0))
    counts = np.stack([(index == kind).sum(-1) for kind in range(len(KINDS) + 1)], axis=-1)
    return np.where(finite[..., None], counts, np.nan)


def live_kinds(kernels: ArrayLike) -> np.ndarray:
    """`Kind.index` of the kernels of each network (..., channel, k, k): (..., channel), -1 if dead."""
    return np.where(live_kernels(kernels), kind_of(kernels).index, -1)


@lru_cache(maxsize=8)
def _families(size: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """Of each kind its members, stacks (m, r, size^2) of orthonormal bases of what steers with phase or
    angle."""
    families = _of_three() if size == 3 else _of_gaussians(size)
    return tuple(tuple(_orthonormal(planes) for planes in family) for family in families)


def _of_three() -> list[list[np.ndarray]]:
    smooth, slope, bend = np.array([1.0, 2, 1]), np.array([-1.0, 0, 1]), np.array([1.0, -2, 1])
    edges = []
    for a in a_of_phi(np.linspace(0, np.pi / 2, 37)):
        across = np.array([0.0, 1, 0]) if np.isinf(a) else np.array([1, a, 1])
        edges.append([np.outer(across, slope), np.outer(slope, across)])
    xx, yy, xy = np.outer(smooth, bend), np.outer(bend, smooth), np.outer(slope, slope)
    angles = np.arange(32) * np.pi / 32
    lines = [
        [np.cos(t) ** 2 * xx + 2 * np.sin(t) * np.cos(t) * xy + np.sin(t) ** 2 * yy] for t in angles
    ]
    # Centre 1, edges e and corners k with 1 + 4e + 4k = 0: against both, from corners to edges alone.
    corners = np.linspace(0, 1, 21)
    blobs = [[_ring(1.0, -(1 - part) / 4, -part / 4)] for part in corners]
    none = np.zeros((0, 2, 9))
    saddle = np.stack([xx - yy, xy])
    return [
        [np.ones((1, 1, 9))],
        [np.array(edges).reshape(-1, 2, 9)],
        [np.array(lines).reshape(-1, 1, 9), saddle.reshape(1, 2, 9)],
        [np.array(blobs).reshape(-1, 1, 9)],
        [_alternating(3)[:1]],
        [none],
    ]


def _of_gaussians(size: int) -> list[list[np.ndarray]]:
    """Derivatives of Gaussians, sampled, at scales and centres on a grid; the starts of the Gabor fit."""
    taps = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(taps, taps, indexing="ij")
    reach = max(1, size // 5)
    low, edges, lines, saddles, blobs = [[np.ones((size, size))]], [], [], [], []
    angles = np.arange(16) * np.pi / 16
    for sigma in np.geomspace(0.6, size / 2, 12):
        for cy in (-reach, 0, reach):
            for cx in (-reach, 0, reach):
                u, v = (x - cx) / sigma, (y - cy) / sigma
                g = np.exp(-(u**2 + v**2) / 2)
                edges.append([u * g, v * g])
                along = [u * np.cos(t) + v * np.sin(t) for t in angles]
                lines += [[(w**2 - 1) * g] for w in along]
                saddles.append([(u**2 - v**2) * g, u * v * g])
                blobs.append([(u**2 + v**2 - 2) * g])
                (low if sigma >= 1 else blobs).append([g])
    d = size * size
    return [
        [np.array(low).reshape(-1, 1, d)],
        [np.array(edges).reshape(-1, 2, d)],
        [np.array(lines).reshape(-1, 1, d), np.array(saddles).reshape(-1, 2, d)],
        [np.array(blobs).reshape(-1, 1, d)],
        [_alternating(size)],
        [gabor_planes(size)],
    ]


def _ring(centre: float, edge: float, corner: float) -> np.ndarray:
    return np.array([[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]])


def _alternating(size: int) -> np.ndarray:
    """Signs that alternate along both axes, along x, along y, their means taken away: (3, 1, size^2)."""
    signs, ones = (-1.0) ** np.arange(size), np.ones(size)
    found = np.stack([np.outer(signs, signs), np.outer(ones, signs), np.outer(signs, ones)])
    return (found - found.mean((1, 2), keepdims=True)).reshape(3, 1, -1)


def _orthonormal(planes: np.ndarray) -> np.ndarray:
    if not len(planes):
        return planes
    return np.linalg.qr(planes.transpose(0, 2, 1))[0].transpose(0, 2, 1)
