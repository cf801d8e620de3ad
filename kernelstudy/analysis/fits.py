"""Parametric fits for kernels of 5x5 and more, each with the p-value of its own best fit."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import ROUNDING, as_square, unit_rows
from .nulls import isotropic
from .varpro import Fit, fit


class GaussianDerivativeFit(NamedTuple):
    """`r2` in [0, 1], `sigma` in pixels, `p` of the fit; each of the kernels' leading shape."""

    r2: np.ndarray
    sigma: np.ndarray
    p: np.ndarray


class GaborFit(NamedTuple):
    """Each of the kernels' leading shape.

    `r2` in [0, 1]; `theta` in [0, pi) of the wave's direction (0 = x); `frequency` in cycles per
    pixel; `sigma` in pixels along the wave; `aspect` sigma across / along; `phase` in (-pi, pi] at
    the centre; `x`, `y` the centre in pixels from the kernel's; `p` of the fit (NaN if not asked
    for).
    """

    r2: np.ndarray
    theta: np.ndarray
    frequency: np.ndarray
    sigma: np.ndarray
    aspect: np.ndarray
    phase: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def grid_of(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every tap from the middle one, each (size^2,)."""
    axis = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x.ravel(), y.ravel()


@lru_cache(maxsize=32)
def _derivative_planes(size: int, orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Sigmas (s,) and orthonormal bases (s, size^2, m) of the sampled Gaussian derivatives."""
    x, y = grid_of(size)
    sigmas = np.geomspace(0.4, size / 2, 81)
    planes = []
    for sigma in sigmas:
        u, v = x / sigma, y / sigma
        g = np.exp(-(u**2 + v**2) / 2)
        by_order = {0: [g], 1: [u * g, v * g], 2: [(u**2 - 1) * g, u * v * g, (v**2 - 1) * g]}
        planes.append(np.linalg.qr(np.stack([k for o in orders for k in by_order[o]], axis=1))[0])
    return sigmas, np.stack(planes)


def _best_plane(unit: np.ndarray, sigmas: np.ndarray, planes: np.ndarray):
    r2 = np.stack([np.sum((unit @ plane) ** 2, axis=-1) for plane in planes])
    best = np.argmax(r2, axis=0)
    top = np.take_along_axis(r2, best[None], axis=0)[0]
    # a parabola through the best and its neighbours places sigma between the grid's points
    inner = np.clip(best, 1, len(sigmas) - 2)
    left, mid, right = (np.take_along_axis(r2, (inner + i)[None], axis=0)[0] for i in (-1, 0, 1))
    bend = left - 2 * mid + right
    shift = np.where(
        (bend < 0) & (inner == best), 0.5 * (left - right) / np.minimum(bend, -1e-300), 0
    )
    step = np.log(sigmas[1] / sigmas[0])
    return top, sigmas[best] * np.exp(np.clip(shift, -0.5, 0.5) * step)


def gaussian_derivative_fit(
    kernels: ArrayLike,
    *,
    orders: tuple[int, ...] = (0, 1, 2),
    draws: int = 2000,
    seed: int = 0,
) -> GaussianDerivativeFit:
    """Share of a kernel's energy in the span of Gaussian derivatives at its best sigma.

    kernels: (..., k, k), k >= 5 (ValueError), -> r2, sigma, p, each (...); NaN for a zero kernel.
    `orders` of derivatives in the span: 0 the Gaussian itself, 1 two gradients, 2 three second
    derivatives; `(1,)` asks for a gradient alone. Sigma from 0.4 pixels to k/2, sampled kernels
    centred on the middle tap. p = (1+b)/(1+B) from `draws` isotropic kernels fitted the same way:
    the choice of sigma is paid for. Source: Koenderink & van Doorn 1987 (the jet as a basis). Blind
    to: off-centre kernels, anisotropic ones, and derivatives of higher order.
    """
    kernels = as_square(kernels)
    size = kernels.shape[-1]
    _check_fit(size, draws)
    if not orders or not set(orders) <= {0, 1, 2}:
        raise ValueError(f"orders must be some of 0, 1, 2, not {orders}")
    sigmas, planes = _derivative_planes(size, tuple(sorted(set(orders))))
    unit = unit_rows(kernels)
    zero = np.isnan(unit).any(axis=-1)
    r2, sigma = _best_plane(np.nan_to_num(unit), sigmas, planes)
    null, _ = _best_plane(unit_rows(isotropic(draws, size, seed)), sigmas, planes)
    p = p_of(r2, null)
    return GaussianDerivativeFit(*(np.where(zero, np.nan, v) for v in (r2, sigma, p)))


def _gabor_functions(parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Even and odd Gabor (n, 2, taps) on taps x, y; of x0, y0, log sigma, log aspect, theta, frequency."""
    return _gabor_plane(parameters, x, y)[0]


def _gabor_plane(
    parameters: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`_gabor_functions`, and their derivatives (n, 6, 2, taps)."""
    x0, y0, log_sigma, log_aspect, theta, frequency = parameters.T[..., None]
    c, s = np.cos(theta), np.sin(theta)
    along, across = (x - x0) * c + (y - y0) * s, (y - y0) * c - (x - x0) * s
    u, v = along * np.exp(-2 * log_sigma), across * np.exp(-2 * (log_sigma + log_aspect))
    envelope = np.exp(-(u * along + v * across) / 2)
    turns = 2 * np.pi * frequency
    pair = np.stack([envelope * np.cos(turns * along), envelope * np.sin(turns * along)], axis=1)
    turned = np.stack([-pair[:, 1], pair[:, 0]], axis=1)  # what a shift of the wave's phase does
    still = np.zeros_like(along)
    # of the envelope's logarithm, and of the wave's phase
    grows = [u * c - v * s, u * s + v * c, u * along + v * across, v * across]
    grows = np.stack([*grows, v * along - u * across, still], axis=1)
    shifts = [still - turns * c, still - turns * s, still, still]
    shifts = np.stack([*shifts, turns * across, 2 * np.pi * along], axis=1)
    return pair, grows[:, :, None] * pair[:, None] + shifts[:, :, None] * turned[:, None]


@lru_cache(maxsize=8)
def _gabor_starts(size: int) -> np.ndarray:
    """Starting parameters (s, 6)."""
    places, sigmas = (-0.15 * size, 0.0, 0.15 * size), (0.15 * size, 0.25 * size, 0.4 * size)
    frequencies = [f / size for f in (0.5, 1, 1.7, 2.5) if f / size < 0.45]
    angles = np.arange(8) * np.pi / 8
    grid = itertools.product(places, places, np.log(sigmas), [0.0], angles, frequencies)
    return np.array(list(grid))


def gabor_planes(size: int) -> np.ndarray:
    """A grid of Gabor functions of at least one cycle in `size` taps: (m, 2, size^2), even and odd.

    Round ones near the middle, at 12 angles, three sizes and frequencies from 1/size on in steps of a
    quarter, below 0.45 cycles a tap.
    """
    places = (-0.15 * size, 0.0, 0.15 * size)
    frequencies = [1.25**step / size for step in range(12) if 1.25**step / size < 0.45]
    grid = itertools.product(
        places, places, (0.2, 0.28, 0.4), np.arange(12) * np.pi / 12, frequencies
    )
    parameters = [(x, y, np.log(s * size), 0.0, t, f) for x, y, s, t, f in grid]
    return _gabor_functions(np.array(parameters), *grid_of(size))


def _fit_gabor(unit: np.ndarray, size: int, refine: int) -> Fit:
    x, y = grid_of(size)
    reach = 0.4 * size
    low = [-reach, -reach, np.log(0.5), np.log(0.4), -np.inf, 0.1 / size]
    high = [reach, reach, np.log(size), np.log(2.5), np.inf, 0.5]
    bounds = np.array([low, high])
    return fit(lambda at: _gabor_plane(at, x, y), unit, _gabor_starts(size), bounds, refine)


@lru_cache(maxsize=8)
def _gabor_null(size: int, draws: int, seed: int, refine: int) -> np.ndarray:
    return _fit_gabor(unit_rows(isotropic(draws, size, seed)), size, refine).r2


def gabor_fit(kernels: ArrayLike, *, draws: int = 200, seed: int = 0, refine: int = 3) -> GaborFit:
    """The Gabor function nearest to each kernel: variable projection, a grid of starts.

    kernels: (..., k, k), k >= 5 (ValueError) -> `GaborFit`, each entry (...); NaN for a zero
    kernel. Amplitude and phase are solved for exactly; centre, sigma, aspect, direction and
    frequency by Levenberg and Marquardt's method from the `refine` best of some hundred starts. p =
    (1+b)/(1+B) from `draws` isotropic kernels fitted the same way (0: no p): eight free numbers fit
    about half of 5x5 noise, so R2 means nothing without it. Source: Daugman 1985. Blind to: several
    waves in one kernel; below half a cycle in the envelope, frequency and sigma trade off against
    each other.
    """
    kernels = as_square(kernels)
    size = kernels.shape[-1]
    _check_fit(size, max(draws, 1))
    unit = unit_rows(kernels).reshape(-1, size * size)
    out = np.full((9, len(unit)), np.nan)
    live = ~np.isnan(unit).any(axis=1)
    if live.any():
        found = _fit_gabor(unit[live], size, refine)
        x, y, log_sigma, log_aspect, theta, frequency = found.parameters.T
        even, odd = found.weights.T
        turned = np.floor(theta / np.pi)  # half a turn mirrors the wave, that is its odd part
        phase = np.arctan2(-odd * (-1) ** turned, even)
        direction = np.minimum(theta - turned * np.pi, np.nextafter(np.pi, 0))  # rounding, below 0
        shape = (found.r2, direction, frequency, np.exp(log_sigma), np.exp(log_aspect))
        out[:8, live] = (*shape, phase, x, y)
        if draws:
            out[8, live] = p_of(found.r2, _gabor_null(size, draws, seed, refine))
    return GaborFit(*out.reshape(9, *kernels.shape[:-2]))


def p_of(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1+b)/(1+B), b of the B in `null` as large as each observed one."""
    null = np.sort(null)
    return (1 + len(null) - np.searchsorted(null, observed - ROUNDING)) / (1 + len(null))


def _check_fit(size: int, draws: int) -> None:
    if size < 5:
        raise ValueError(f"this fit needs kernels of 5x5 or more, not {size}x{size}")
    if draws < 1:
        raise ValueError(f"draws must be positive, not {draws}")
