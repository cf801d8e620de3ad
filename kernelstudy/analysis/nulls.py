"""Chance: what kernels look like that know nothing, or nothing but the statistics of the images."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .arrays import as_kernels, dft2, rows, unit_rows

_BLOCK = 16_384  # kernels at a time that stay in the cache


def isotropic(n: int, size: int, rng: np.random.Generator | int) -> np.ndarray:
    """N0: `n` kernels (n, size, size) of independent standard normal taps: all directions alike."""
    if n < 1 or size < 1:
        raise ValueError(f"n and size must be positive, not {n} and {size}")
    return np.random.default_rng(rng).standard_normal((n, size, size))


def cos2_distribution(d: int):
    """Law of cos^2 between a fixed direction and an isotropic one in `d` dimensions (frozen scipy).

    Beta(1/2, (d-1)/2) (Muirhead 1982, section 1.5). d = k*k for raw kernels, k*k - 1 for centred
    ones against zero-mean operators.
    """
    return r2_distribution(1, d)


def r2_distribution(k: int, d: int):
    """Law of the share of an isotropic direction's energy in `k` of `d` dimensions (frozen scipy).

    Beta(k/2, (d-k)/2), mean k/d (Muirhead 1982, section 1.5). ValueError unless 0 < k < d.
    """
    if not 0 < k < d:
        raise ValueError(f"r2_distribution needs 0 < k < d, not k={k}, d={d}")
    return scipy.stats.beta(k / 2, (d - k) / 2)


def r2_tail(r2: ArrayLike, k: int, d: int) -> np.ndarray:
    """P(share >= r2) under `r2_distribution(k, d)`, (...) -> (...): its `sf`.

    This and the next two by special functions alone: scipy.stats takes half a second to import.
    """
    if not 0 < k < d:
        raise ValueError(f"r2_tail needs 0 < k < d, not k={k}, d={d}")
    return np.asarray(scipy.special.betaincc(k / 2, (d - k) / 2, np.clip(r2, 0, 1)))


def r2_quantile(q: ArrayLike, k: int, d: int) -> np.ndarray:
    """The shares below which `r2_distribution(k, d)` has probability q, (...) -> (...): its `ppf`."""
    if not 0 < k < d:
        raise ValueError(f"r2_quantile needs 0 < k < d, not k={k}, d={d}")
    return np.asarray(scipy.special.betaincinv(k / 2, (d - k) / 2, np.asarray(q, dtype=float)))


def r2_sample(
    shape: int | tuple[int, ...], k: int, d: int, rng: np.random.Generator | int
) -> np.ndarray:
    """Draws from `r2_distribution(k, d)`: its `rvs`."""
    if not 0 < k < d:
        raise ValueError(f"r2_sample needs 0 < k < d, not k={k}, d={d}")
    return np.random.default_rng(rng).beta(k / 2, (d - k) / 2, shape)


def permute_taps(kernels: ArrayLike, rng: np.random.Generator | int) -> np.ndarray:
    """N2: each kernel's taps in a random order of its own, (..., kh, kw) -> (..., kh, kw).

    Keeps every kernel's values, mean and norm, and destroys their places.
    """
    kernels = as_kernels(kernels)
    return np.random.default_rng(rng).permuted(rows(kernels), axis=-1).reshape(kernels.shape)


def phase_scrambled(kernels: ArrayLike, rng: np.random.Generator | int) -> np.ndarray:
    """The kernels with their own |FFT| and mean, and random phases, (..., kh, kw) -> (..., kh, kw).

    The phases are those of white noise (Theiler et al. 1992), so the result is real. Blind to, that
    is keeps: everything a power spectrum holds, orientation of the energy included.
    """
    kernels = as_kernels(kernels)
    generator, taps = np.random.default_rng(rng), kernels.shape[-2] * kernels.shape[-1]
    flat = kernels.reshape(-1, *kernels.shape[-2:])
    found = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        part = flat[start : start + _BLOCK]
        noise = dft2(generator.standard_normal(part.shape))
        spectrum = dft2(part) * (noise / np.abs(noise))
        spectrum[..., 0, 0] = part.sum(axis=(-2, -1))
        # the inverse transform is the conjugate one over the number of taps; the result is real
        even, odd = dft2(np.real(spectrum)), dft2(np.imag(spectrum))
        found[start : start + _BLOCK] = (np.real(even) + np.imag(odd)) / taps
    return found.reshape(kernels.shape)


def covariance_matched(
    kernels: ArrayLike,
    patch_basis: ArrayLike,
    n: int,
    rng: np.random.Generator | int,
    *,
    match: str = "energy",
) -> np.ndarray:
    """N3: `n` Gaussian kernels with the layer's energy along each principal axis of image patches.

    kernels: (..., kh, kw), all pooled; patch_basis: (kh*kw, kh*kw) or (kh*kw, kh, kw), orthonormal,
    an axis a row (`patch_pca`). Returns (n, kh, kw): sum_i sqrt(v_i) z_i axis_i, z standard normal.
    `match="energy"`: v_i is the layer's mean square along axis i, so the draws have its energy
    profile. `match="share"`: every kernel counts the same whatever its norm, and v is solved for so
    that the draws' mean *shares* of energy are the layer's; use this for statistics that ignore a
    kernel's scale (a layer's few large kernels would rule the other form).

    This is the layer 'as image statistics would have it' (Chowers & Weiss 2023: the energy profile
    in the patch-PCA basis is what training fixes). The axes of natural patches are even or odd, so
    the draws have the layer's odd share by construction: test best match, concentration, purity or
    a against it, never that share. Blind to: correlations between axes, on purpose (they would
    carry a over).
    """
    kernels = as_kernels(kernels)
    basis = as_basis(patch_basis, kernels.shape)
    if match not in ("energy", "share"):
        raise ValueError(f'match must be "energy" or "share", not {match!r}')
    if n < 1 or kernels.size == 0:
        raise ValueError(f"n and kernels must not be empty, not {n} and {kernels.shape}")
    if match == "energy":
        coefficients = rows(kernels).reshape(-1, len(basis)) @ basis.T
        variances = np.mean(coefficients**2, axis=0)
    else:
        shares = np.mean((unit_rows(kernels).reshape(-1, len(basis)) @ basis.T) ** 2, axis=0)
        variances = variances_of_shares(shares)
    z = np.random.default_rng(rng).standard_normal((n, len(basis)))
    return (z * np.sqrt(variances) @ basis).reshape(n, *kernels.shape[-2:])


def as_basis(patch_basis: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """A patch basis as (d, d), an axis a row; ValueError unless it fits kernels of `shape`."""
    basis = np.asarray(patch_basis, dtype=np.float64)
    d = shape[-1] * shape[-2]
    if basis.size != d * d or len(basis) != d:
        raise ValueError(
            f"patch_basis must have shape ({d}, {d}), an axis a row, not {basis.shape}"
        )
    return basis.reshape(d, d)


def zero_mean_axes(patch_basis: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """The images' principal axes but that of their mean, (d - 1, d), each of them without a mean.

    patch_basis: as in `covariance_matched`. The axis nearest to the constant kernel is turned into it, in
    the plane of the two, and all others are turned along; of natural images they hardly move.
    """
    basis = as_basis(patch_basis, shape)
    d = len(basis)
    constant = np.full(d, d**-0.5)
    nearest = int(np.argmax(np.abs(basis @ constant)))
    axis = basis[nearest] * np.sign(basis[nearest] @ constant)
    cosine = float(axis @ constant)
    across = constant - cosine * axis
    sine = float(np.linalg.norm(across))
    others = np.delete(basis, nearest, axis=0)
    if sine < 1e-12:
        return others
    across /= sine
    # Orthogonal to `axis`, the others turn by their component along `across` alone.
    along = others @ across
    return others + np.outer(along, (cosine - 1) * across - sine * axis)


def shares_of_variances(variances: np.ndarray) -> np.ndarray:
    """E[v_i z_i^2 / sum_j v_j z_j^2] for independent standard normal z, (d,) -> (d,).

    = integral over s > 0 of v_i / (1 + 2 s v_i) * prod_j (1 + 2 s v_j)^(-1/2), since
    1/q = integral of exp(-s q) ds; taken as a trapezoid sum in log s, where it converges
    exponentially.
    """
    log_s = np.linspace(-16, 40, 281)  # v sums to 1; the tail matters when one axis rules
    factor = 1 + 2 * np.exp(log_s)[:, None] * (variances / variances.sum())
    weight = np.exp(log_s - 0.5 * np.log(factor).sum(axis=1))
    shares = (variances / factor * weight[:, None]).sum(axis=0)
    return shares / shares.sum()


def variances_of_shares(shares: np.ndarray, *, tolerance: float = 1e-4) -> np.ndarray:
    """The variances (d,), summing to 1, whose `shares_of_variances` are `shares`.

    By the fixed point v <- v * wanted / got; stops when no share is off by more than `tolerance`.
    """
    wanted = np.maximum(shares, 1e-12)
    wanted = wanted / wanted.sum()
    variances = wanted
    for _ in range(500):
        got = shares_of_variances(variances)
        if np.max(np.abs(got - wanted)) < tolerance:
            break
        variances = variances * (wanted / got)
        variances = variances / variances.sum()
    return variances
