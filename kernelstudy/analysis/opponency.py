"""Colour filters on the axes of human colour vision: achromatic, red-green and blue-yellow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Rows of an orthonormal base of (R, G, B): the sum, red against green, blue against yellow (Krauskopf, Williams
# & Heeley 1982, in its simplest form on device colours, as Rafegas & Vanrell 2018 use it for CNNs).
AXES = {
    "achromatic": np.array([1.0, 1.0, 1.0]) / np.sqrt(3),
    "red_green": np.array([1.0, -1.0, 0.0]) / np.sqrt(2),
    "blue_yellow": np.array([-1.0, -1.0, 2.0]) / np.sqrt(6),
}


class Opponency(NamedTuple):
    """Of each of `AXES`: `value`, the mean share over filters; `low`, `high`, the middle 95% of layers whose
    filters have their colours turned at random; `p`, two-sided, of the value among them. By chance a third."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def opponent_shares(kernels_hwio: ArrayLike) -> np.ndarray:
    """Shares of each filter's energy on the axes of `AXES`: (..., kh, kw, 3, out) -> (..., out, 3), sum 1.

    NaN for a zero filter; ValueError for other than three channels. The channels are taken as R, G, B:
    read as B, G, R, the achromatic share is the same and the other two divide the rest otherwise.
    Blind to: where in a filter its colours lie.
    """
    kernels = np.asarray(kernels_hwio, dtype=np.float64)
    if kernels.ndim < 4 or kernels.shape[-2] != 3:
        raise ValueError(f"kernels_hwio must be (..., kh, kw, 3, out), not {kernels.shape}")
    peak = np.abs(kernels).max(axis=(-4, -3, -2), keepdims=True)
    with np.errstate(invalid="ignore"):
        projected = np.einsum("...yxco,ac->...yxoa", kernels / peak, np.stack(list(AXES.values())))
        energy = np.sum(projected**2, axis=(-4, -3))
        return energy / energy.sum(axis=-1, keepdims=True)


def layer_opponency(kernels_hwio: ArrayLike, *, draws: int = 2000, seed: int = 0) -> Opponency:
    """Mean shares of a layer's filters (kh, kw, 3, out), zero filters left out, beside their own null.

    Null: each filter keeps its pattern, and how many colours it has, and its colours are turned by a
    random rotation of its own. ValueError where every filter is zero.
    """
    shares = opponent_shares(kernels_hwio)
    live = np.isfinite(shares).all(axis=-1)
    if not live.any():
        raise ValueError("every filter is zero")
    kernels = np.asarray(kernels_hwio, dtype=np.float64)[..., live]
    flat = kernels.reshape(-1, 3, kernels.shape[-1]) / np.abs(kernels).max(axis=(0, 1, 2))
    gram = np.einsum("tco,tdo->ocd", flat, flat)
    spectrum = np.linalg.eigvalsh(gram)
    spectrum = spectrum / spectrum.sum(axis=-1, keepdims=True)
    # a fixed axis meets turned colours as a random axis meets them unturned
    axis = np.random.default_rng(seed).standard_normal((draws, *spectrum.shape)) ** 2
    drawn = (np.sum(axis * spectrum, axis=-1) / axis.sum(axis=-1)).mean(axis=-1)
    value = shares[live].mean(axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    beyond = np.abs(drawn[:, None] - 1 / 3) >= np.abs(value - 1 / 3) - 1e-12
    p = (1 + beyond.sum(axis=0)) / (1 + draws)
    return Opponency(value, np.full(3, low), np.full(3, high), p)
