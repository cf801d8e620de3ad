"""A kernel's energy by its symmetry under the square's rotations and reflections (D4)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_square, moderate, rows

SECTORS = ("dc", "isotropic", "b1", "b2", "odd")

# Characters of D4 over (identity, 180 degrees, +-90 degrees, mirrors in x or y, mirrors in a
# diagonal), in front of them dim/8: Serre, Linear Representations of Finite Groups (1977),
# sections 5.3 and 2.6 (theorem 8).
_CHARACTERS = {
    "a1": (1, 1, 1, 1, 1),
    "b1": (1, 1, -1, 1, -1),
    "b2": (1, 1, -1, -1, 1),
    "odd": (2, -2, 0, 0, 0),
    "a2": (1, 1, 1, -1, -1),
}


@lru_cache(maxsize=16)
def _adapted_basis(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns (size^2, size^2) by sector, and their one-hot sectors (size^2, 5)."""
    taps = np.eye(size * size).reshape(-1, size, size)
    turned = [np.rot90(taps, r, axes=(1, 2)) for r in range(4)]
    mirrored = [t[:, :, ::-1] for t in turned]
    classes = (
        turned[0],
        turned[2],
        turned[1] + turned[3],
        mirrored[0] + mirrored[2],
        mirrored[1] + mirrored[3],
    )
    columns, sector = [], []
    for name, character in _CHARACTERS.items():
        summed = np.sum([c * g for c, g in zip(character, classes, strict=True)], axis=0)
        projector = summed.reshape(size**2, -1) * character[0] / 8
        if name == "a1":  # the mean is the one invariant direction with a name of its own
            constant = np.full((size * size, 1), 1 / size)
            columns.append(constant)
            sector.append(0)
            projector = projector - constant @ constant.T
        values, vectors = np.linalg.eigh(projector)
        kept = vectors[:, values > 0.5]
        columns.append(kept)
        sector += [{"a1": 1, "b1": 2, "b2": 3, "odd": 4, "a2": 5}[name]] * kept.shape[1]
    basis = np.concatenate(columns, axis=1)
    onehot = np.eye(6)[sector][:, :5]  # a2 has no column of its own: it is what the five leave over
    basis.setflags(write=False)
    onehot.setflags(write=False)
    return basis, onehot


def sector_products(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Inner products of two kernels within each D4 sector.

    `a`, `b`: (..., k, k), broadcast against each other. Returns (..., 5) in the order of `SECTORS`.
    With W = W0 + dW the energy of a sector grows by `sector_products(dW, dW)` (new) plus
    `2 * sector_products(W0, dW)` (amplified: what was there already, turned up or down).
    """
    a, b = as_square(a), as_square(b)
    if a.shape[-2:] != b.shape[-2:]:
        raise ValueError(f"both must have kernels of one size, not {a.shape} and {b.shape}")
    basis, onehot = _adapted_basis(a.shape[-1])
    left = rows(a) @ basis
    right = left if b is a else rows(b) @ basis
    return (left * right) @ onehot


def sector_growth(start: ArrayLike, kernels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """How each sector's energy grew from W0 to W: the new part |dW|^2 and the cross term 2<W0, dW>.

    start, kernels: (..., k, k) -> two arrays (..., 5) in the order of `SECTORS`, in units of squared
    weights; together exactly energy(W) - energy(W0). New energy was learned; the cross term is what
    was there already, amplified (positive) or turned down. Both add up over kernels.
    """
    start = as_square(start)
    update = as_square(kernels) - start
    return sector_products(update, update), 2 * sector_products(start, update)


def network_growth(kernels: np.ndarray) -> dict[str, np.ndarray]:
    """Each sector's energy in networks' kernels (..., step, channel, k, k) as W = W0 + dW grows.

    growth_start, growth_new, growth_cross, (..., step, sector), sums over a network's kernels in
    units of its |W0|^2: energy of W0, the new part |dW|^2 and the cross term 2<W0, dW>.
    """
    start = kernels[..., :1, :, :, :]
    energy = sector_energies(start).sum(-2)
    parts = [energy, *(part.sum(-2) for part in sector_growth(start, kernels))]
    size = (start**2).sum((-3, -2, -1))[..., None]
    size = np.where(size > 0, size, np.nan)
    shape = parts[1].shape
    names = ("growth_start", "growth_new", "growth_cross")
    return {n: np.broadcast_to(part / size, shape) for n, part in zip(names, parts, strict=True)}


def sector_energies(kernels: ArrayLike) -> np.ndarray:
    """Energy (sum of squares) of kernels (..., k, k) in each D4 sector, (..., 5); see `sectors`."""
    kernels = as_square(kernels)
    return sector_products(kernels, kernels)


def sectors(kernels: ArrayLike) -> np.ndarray:
    """Shares of a kernel's energy in the sectors dc, isotropic, b1, b2, odd.

    kernels: (..., k, k) -> (..., 5), each in [0, 1]; NaN for a zero kernel. ValueError if not
    square.

    The sectors are the isotypic parts of the k x k grid under D4, from the projector
    (dim/8) * sum_g character(g) g (Serre 1977, theorem 8): **dc** the mean; **isotropic** the rest
    of A1 (Laplacian, centre-surround); **b1** like xx - yy; **b2** like xy; **odd** the E part,
    which changes sign under a half turn (every gradient). They are orthogonal and unchanged by
    sign, scale, quarter turns and reflections. For k = 3 their dimensions are 1, 2, 1, 1, 4 and the
    shares sum to 1. From k = 4 on there is also A2, like xy(xx - yy): its share is 1 - sum.

    Chance (isotropic noise): each sector has its dimension's share on average, odd 4/9 at k = 3, so
    a large odd share is no finding by itself. Blind to: orientation, polarity, spatial scale, and
    what in the odd sector is a gradient and what is noise (see `derivative_fit` for that).
    """
    kernels = moderate(as_square(kernels))
    energies = sector_energies(kernels)
    total = np.einsum("...ij,...ij->...", kernels, kernels)
    return energies / np.where(total > 0, total, np.nan)[..., None]
