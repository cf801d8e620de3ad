"""Differences of Gaussians, and their derivatives, fitted to kernels of 3x3 and more."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_square, unit_rows
from .fits import grid_of, p_of
from .nulls import isotropic
from .varpro import fit


class DogFit(NamedTuple):
    """Each of the kernels' leading shape.

    `r2` in [0, 1]; `order` of the derivative, 0 to 2; `sigma` of the narrower Gaussian in pixels;
    `ratio` of the wider one's sigma to it; `balance`, the wider one's weight over the narrower one's
    (-1: both integrate to as much, and cancel); `theta` in [0, pi) of the derivative's direction (0 =
    x; NaN for order 0); `x`, `y` the centre in pixels from the kernel's; `p` of the fit (NaN if not
    asked for).
    """

    r2: np.ndarray
    order: np.ndarray
    sigma: np.ndarray
    ratio: np.ndarray
    balance: np.ndarray
    theta: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def _dog_plane(
    parameters: np.ndarray, x: np.ndarray, y: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """A narrow and a wide Gaussian's derivatives (n, 2, taps), and theirs along the parameters (n, p, 2, taps).

    Of x0, y0, log sigma, log ratio, and, from order 1 on, theta. Both Gaussians integrate to one.
    """
    x0, y0, log_sigma, log_ratio = parameters[:, :4].T[..., None]
    theta = parameters[:, 4, None] if order else np.zeros_like(x0)
    c, s = np.cos(theta), np.sin(theta)
    right, down = x - x0, y - y0
    along, across = right * c + down * s, down * c - right * s
    pair, slopes = [], []
    for log_s in (log_sigma, log_sigma + log_ratio):
        scale = np.exp(-log_s)
        u, squared = along * scale, (right**2 + down**2) * scale**2
        g = scale**2 * np.exp(-squared / 2)
        # Hermite's polynomial of the order, and its slope
        h, dh = [(np.ones_like(u), 0 * u), (u, np.ones_like(u)), (u**2 - 1, 2 * u)][order]
        g_x, g_y = right * scale**2, down * scale**2  # of the logarithm of g
        grows = g * (h * (squared - 2) - dh * u)  # with log sigma
        moves = [g * (h * g_x - dh * c * scale), g * (h * g_y - dh * s * scale), grows]
        pair.append(g * h)
        slopes.append([*moves, grows, *([g * dh * across * scale] if order else [])])
    slopes[0][3] = np.zeros_like(slopes[0][3])  # the ratio is the wide one's alone
    return np.stack(pair, axis=1), np.stack([np.stack(one, axis=1) for one in slopes], axis=2)


@lru_cache(maxsize=16)
def _dog_starts(size: int, order: int) -> np.ndarray:
    """Starting parameters (s, 4), (s, 5) from order 1 on."""
    places, sigmas = (-0.15 * size, 0.0, 0.15 * size), (0.12 * size, 0.2 * size, 0.33 * size)
    angles = np.arange(4) * np.pi / 4
    grid = itertools.product(
        places, places, np.log(sigmas), np.log([1.4, 2.5]), *([angles] if order else [])
    )
    return np.array(list(grid))


def _fit_dog(unit: np.ndarray, size: int, orders: tuple[int, ...], refine: int) -> np.ndarray:
    """r2, order, log sigma, log ratio, balance, theta, x, y of the best of `orders`: (8, n)."""
    x, y = grid_of(size)
    rows = np.full((len(orders), 8, len(unit)), np.nan)
    for row, order in zip(rows, orders, strict=True):
        low = [-0.4 * size, -0.4 * size, np.log(0.35), np.log(1.1), -np.inf]
        high = [0.4 * size, 0.4 * size, np.log(size / 2), np.log(6), np.inf]
        bounds = np.array([low, high])[:, : 5 if order else 4]
        found = fit(
            lambda at, order=order: _dog_plane(at, x, y, order),
            *(unit, _dog_starts(size, order), bounds, refine),
        )
        narrow, wide = found.weights.T
        row[:5] = (
            *(found.r2, np.full(len(unit), order), *found.parameters.T[2:4]),
            np.divide(wide, narrow, out=np.full_like(wide, np.nan), where=narrow != 0),
        )
        if order:
            row[5] = found.parameters[:, 4]
        row[6:] = found.parameters[:, :2].T
    best = np.argmax(rows[:, 0], axis=0)
    return np.take_along_axis(rows, best[None, None], axis=0)[0]


@lru_cache(maxsize=16)
def _dog_null(size: int, orders: tuple[int, ...], draws: int, seed: int, refine: int) -> np.ndarray:
    return _fit_dog(unit_rows(isotropic(draws, size, seed)), size, orders, refine)[0]


def dog_fit(
    kernels: ArrayLike,
    *,
    orders: tuple[int, ...] = (0, 1, 2),
    draws: int = 200,
    seed: int = 0,
    refine: int = 3,
    null: ArrayLike | None = None,
) -> DogFit:
    """The difference of two round Gaussians, or its derivative along a direction, nearest to each kernel.

    kernels: (..., k, k), k >= 3 (ValueError) -> `DogFit`, each entry (...); NaN for a zero kernel.
    Both Gaussians have one centre; their two weights, of whatever sign, are solved for exactly;
    centre, both sigmas and the direction by Levenberg and Marquardt's method from the `refine` best
    of some dozens of starts; the best of `orders` is taken. p = (1+b)/(1+B) from `draws` isotropic
    kernels fitted the same way, or from the kernels in `null` (b, k, k): permuted taps, smoothed
    noise, draws on the images' axes. On 3x3 taps six or seven free numbers fit most of any kernel, so
    R2 means nothing without p. Sources: Rodieck 1965 (the model), Babaiee, Kiasari, Rus & Grosu 2024
    (the claim about depthwise kernels). Blind to: elongated kernels and waves.
    """
    kernels = as_square(kernels)
    size = kernels.shape[-1]
    if size < 3:
        raise ValueError(f"this fit needs kernels of 3x3 or more, not {size}x{size}")
    if draws < 0:
        raise ValueError(f"draws must not be negative, not {draws}")
    orders = tuple(sorted(set(orders)))
    if not orders or not set(orders) <= {0, 1, 2}:
        raise ValueError(f"orders must be some of 0, 1, 2, not {orders}")
    unit = unit_rows(kernels).reshape(-1, size * size)
    out = np.full((9, len(unit)), np.nan)
    live = ~np.isnan(unit).any(axis=1)
    if live.any():
        r2, order, log_sigma, log_ratio, balance, theta, x, y = _fit_dog(
            unit[live], size, orders, refine
        )
        direction = np.minimum(theta % np.pi, np.nextafter(np.pi, 0))
        shape = (r2, order, np.exp(log_sigma), np.exp(log_ratio), balance)
        out[:8, live] = (*shape, direction, x, y)
        if null is not None:
            drawn = as_square(null)
            if drawn.shape[-1] != size:
                raise ValueError(
                    f"null: kernels of {drawn.shape[-2:]}, where {kernels.shape[-2:]} are fitted"
                )
            drawn = unit_rows(drawn).reshape(-1, size * size)
            drawn = drawn[~np.isnan(drawn).any(axis=1)]
            if not len(drawn):
                raise ValueError("null: every kernel is zero")
            out[8, live] = p_of(r2, _fit_dog(drawn, size, orders, refine)[0])
        elif draws:
            out[8, live] = p_of(r2, _dog_null(size, orders, draws, seed, refine))
    return DogFit(*out.reshape(9, *kernels.shape[:-2]))
