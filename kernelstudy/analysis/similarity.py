"""How alike kernels and hand-crafted ones are, scale never mattering, and what chance says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import ROUNDING, as_bank, as_kernels, as_square, dft2, moderate, rows, unit_rows

Bank = Mapping[str, ArrayLike]
_BLOCK = 16_384  # kernels at a time that stay in the cache


class BestMatch(NamedTuple):
    """`names` ('' for a zero kernel), `abs_cos` and `p`, each of the kernels' leading shape."""

    names: np.ndarray
    abs_cos: np.ndarray
    p: np.ndarray


class ColourSpatial(NamedTuple):
    """`spatial` (..., out, kh, kw), `colour` (..., out, in) of norm 1, `share` (..., out)."""

    spatial: np.ndarray
    colour: np.ndarray
    share: np.ndarray


def cosine(kernels: ArrayLike, bank: Bank | ArrayLike, *, centered: bool = False) -> np.ndarray:
    """Signed cosine of every kernel with every bank entry.

    kernels: (..., kh, kw); bank: name -> (kh, kw), or (n, kh, kw). Returns (..., n) in [-1, 1], NaN
    where a kernel is zero (with `centered`, also where it is constant). `centered` removes the mean
    of kernel and entry first. ValueError if the sizes differ. Chance: `cos2_distribution`. Blind
    to: scale; centred also to the mean, which turns an impulse into exactly minus the 8-neighbour
    Laplacian, so report the DC share beside it.
    """
    kernels = as_kernels(kernels)
    entries = unit_rows(as_bank(bank, kernels.shape), centered=centered)
    return unit_rows(kernels, centered=centered) @ entries.T


def steered_r2(
    kernels: ArrayLike, gx: ArrayLike, gy: ArrayLike, *, centered: bool = False
) -> np.ndarray:
    """Share of a kernel's energy in span{gx, gy} = squared cosine with the best-steered copy.

    kernels: (..., kh, kw); gx, gy: (kh, kw), not parallel (ValueError). Returns (...) in [0, 1];
    NaN for a zero kernel. Steerability: Freeman & Adelson 1991, eq. 1-3. Chance:
    `r2_distribution(2, d)`. Blind to: orientation, polarity and scale. Sobel and Prewitt share 0.89
    of theirs: a high R2 says 'derivative-like', not which derivative.
    """
    kernels = as_kernels(kernels)
    plane = rows(as_bank({"gx": gx, "gy": gy}, kernels.shape), centered=centered).T
    axes, triangle = np.linalg.qr(plane)
    if np.abs(np.diag(triangle)).min() <= 1e-9 * np.linalg.norm(plane):
        raise ValueError("gx and gy must be two different directions, not parallel or zero")
    return np.sum((unit_rows(kernels, centered=centered) @ axes) ** 2, axis=-1)


def best_match(
    kernels: ArrayLike,
    bank: Bank,
    *,
    centered: bool = False,
    null: str | ArrayLike = "isotropic",
    draws: int = 10_000,
    seed: int = 0,
    shift: int = 0,
) -> BestMatch:
    """The bank entry with the largest |cos| for each kernel, and the p-value of that *maximum*.

    kernels: (..., kh, kw); bank: name -> (kh, kw). Returns names, abs_cos, p, each (...).
    p = (1 + b)/(1 + B), b of the B null kernels having a best |cos| as large (Davison & Hinkley
    1997, section 4.2.1). `null`: 'isotropic' (`draws` of them, from `seed`) or null kernels (B, kh,
    kw) of your own. `shift` also tries every entry moved by up to that many pixels each way,
    kernels and null alike. Blind to: the 2 to 4 names that are nearly as close. 3x3 kernels have 9
    numbers, and the best of 64 random ones against 33 entries has |cos| near 0.9: read p, corrected
    over the kernels (`benjamini_hochberg`), never the bare name.
    """
    kernels = as_kernels(kernels)
    if not isinstance(bank, Mapping):
        raise ValueError(f"bank must map names to kernels, not be a {type(bank).__name__}")
    entries = as_bank(bank, kernels.shape)
    if isinstance(null, str):
        if null != "isotropic" or draws < 1:
            raise ValueError(f"null must be 'isotropic' (draws >= 1) or an array, not {null!r}")
        rng = np.random.default_rng(seed)
        null_kernels = rng.standard_normal((draws, *kernels.shape[-2:]))
    else:
        null_kernels = as_kernels(null)
    names = np.array(list(bank))
    if shift:
        entries, owner = _translated(entries, shift)
        names = names[owner]
    best, abs_cos = _largest(kernels, entries, centered)
    zero = np.isnan(abs_cos)
    null_best = _largest(null_kernels, entries, centered)[1].ravel()
    null_best = np.sort(null_best[~np.isnan(null_best)])
    # rounding must not decide a tie between a kernel and its own copy among the null kernels
    as_large = len(null_best) - np.searchsorted(null_best, abs_cos - ROUNDING)
    p = np.where(zero, np.nan, (1 + as_large) / (1 + len(null_best)))
    return BestMatch(np.where(zero, "", names[best]), abs_cos, p)


def _largest(
    kernels: np.ndarray, entries: np.ndarray, centered: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which entry has the largest |cos|, and that |cos| (NaN for a zero kernel), (...) both."""
    flat = kernels.reshape(-1, *kernels.shape[-2:])
    best, largest = np.zeros(len(flat), dtype=int), np.empty(len(flat))
    for start in range(0, len(flat), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = np.abs(cosine(flat[part], entries, centered=centered))
        largest[part] = cosines.max(axis=-1)
        best[part] = np.argmax(cosines, axis=-1)
    shape = kernels.shape[:-2]
    return best.reshape(shape), largest.reshape(shape)


def _translated(entries: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Entries moved by up to `shift` pixels, zeros moving in, and the index each came from."""
    n, kh, kw = entries.shape
    if not 0 <= shift < min(kh, kw):
        raise ValueError(f"shift must be at least 0 and less than the kernel's size, not {shift}")
    padded = np.pad(entries, ((0, 0), (shift, shift), (shift, shift)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
    moved = windows.reshape(-1, kh, kw)
    owner = np.repeat(np.arange(n), (2 * shift + 1) ** 2)
    flat = rows(moved)
    varied = np.ptp(flat, axis=1) > ROUNDING * np.abs(flat).max(axis=1)
    same = np.tile(np.arange((2 * shift + 1) ** 2) == 2 * shift * (shift + 1), n)
    keep = varied | same  # an entry moved out of the window is none
    return moved[keep], owner[keep]


def spectrum_similarity(kernels: ArrayLike, bank: Bank | ArrayLike) -> np.ndarray:
    """Cosine of the |FFT| of kernels and bank entries, each centred over the frequencies first.

    kernels: (..., k, k) -> (..., n) in [-1, 1]; NaN where a spectrum is flat (an impulse, zero).
    Without centring any two spectra are alike, all numbers being positive. Secondary: blind to
    shifts (cyclic), polarity, and the difference between an edge and a line of the same spectrum.
    """
    kernels = as_square(kernels)
    entries = as_bank(bank, kernels.shape)
    wanted = unit_rows(np.abs(dft2(moderate(entries))), centered=True).T
    flat = kernels.reshape(-1, *kernels.shape[-2:])
    found = np.empty((len(flat), len(entries)))
    for start in range(0, len(flat), _BLOCK):
        part = np.abs(dft2(moderate(flat[start : start + _BLOCK])))
        found[start : start + _BLOCK] = unit_rows(part, centered=True) @ wanted
    return found.reshape(*kernels.shape[:-2], len(entries))


def colour_spatial(kernels_hwio: ArrayLike) -> ColourSpatial:
    """Each filter as its best colour x spatial profile: first term of the SVD of (in, kh*kw).

    kernels_hwio: (..., kh, kw, in, out), Flax's order. Returns spatial (..., out, kh, kw), carrying
    the scale, so that spatial x colour is the best rank-one filter; colour (..., out, in) of norm 1
    whose sum is not negative (so spatial is what a grey image meets); share (..., out) of the
    energy in that term, NaN for a zero filter. in = 1 gives the kernel itself, colour 1 and share
    1. The channel slices of one filter are not independent samples: analyse `spatial`, once a
    filter. Blind to: the other terms, that is a filter whose edge changes colour across it.
    """
    kernels = np.asarray(kernels_hwio, dtype=np.float64)
    if kernels.ndim < 4 or 0 in kernels.shape:
        raise ValueError(
            f"kernels_hwio must have shape (..., kh, kw, in, out), not {kernels.shape}"
        )
    *_, kh, kw, cin, cout = kernels.shape
    matrix = np.moveaxis(kernels, (-1, -2), (-4, -3)).reshape(
        *kernels.shape[:-4], cout, cin, kh * kw
    )
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    colour, profile = u[..., :, 0], vt[..., 0, :] * s[..., :1]
    sign = np.where(colour.sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    total = np.sum(s**2, axis=-1)
    share = s[..., 0] ** 2 / np.where(total > 0, total, np.nan)
    spatial = (profile * sign).reshape(*profile.shape[:-1], kh, kw)
    return ColourSpatial(spatial, colour * sign, share)
