"""Parametric fits for kernels of 5x5 and more, each with the p-value of its own best fit."""

from __future__ import annotations

import itertools
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .arrays import ROUNDING, as_square, unit_rows
from .nulls import isotropic


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


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x.ravel(), y.ravel()


@lru_cache(maxsize=32)
def _derivative_planes(size: int, orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Sigmas (s,) and orthonormal bases (s, size^2, m) of the sampled Gaussian derivatives."""
    x, y = _grid(size)
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
    p = _p_of(r2, null)
    return GaussianDerivativeFit(*(np.where(zero, np.nan, v) for v in (r2, sigma, p)))


def _gabor_pair(parameters: np.ndarray, x: np.ndarray, y: np.ndarray):
    """Even and odd Gabor on taps x, y; x0, y0, log sigma, log aspect, theta, frequency."""
    x0, y0, log_sigma, log_aspect, theta, frequency = parameters
    c, s = np.cos(theta), np.sin(theta)
    along, across = (x - x0) * c + (y - y0) * s, (y - y0) * c - (x - x0) * s
    sigma = np.exp(log_sigma)
    envelope = np.exp(-((along / sigma) ** 2 + (across / (sigma * np.exp(log_aspect))) ** 2) / 2)
    wave = 2 * np.pi * frequency * along
    return envelope * np.cos(wave), envelope * np.sin(wave)


def _gabor_loss(
    parameters: np.ndarray, unit: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the share of a unit kernel in the span of the pair, and its gradient.

    With the projection P on the pair G and its coefficients c, d(u' P u) = 2 u' (1 - P) dG c
    (variable projection: Golub & Pereyra 1973).
    """
    x0, y0, log_sigma, log_aspect, theta, frequency = parameters
    even, odd = _gabor_pair(parameters, x, y)
    a, b = unit @ even, unit @ odd
    ee, oo, eo = even @ even, odd @ odd, even @ odd
    rest = oo - eo * eo / ee
    c_odd = (b - a * eo / ee) / rest if rest > 1e-9 * ee else 0.0
    c_even = (a - c_odd * eo) / ee
    shown, turned = c_even * even + c_odd * odd, c_odd * even - c_even * odd
    c, s = np.cos(theta), np.sin(theta)
    along, across = (x - x0) * c + (y - y0) * s, (y - y0) * c - (x - x0) * s
    u, v = along * np.exp(-2 * log_sigma), across * np.exp(-2 * (log_sigma + log_aspect))
    # of the envelope's logarithm along x0, y0, log sigma, log aspect, theta
    envelope = np.stack(
        [u * c - v * s, u * s + v * c, u * along + v * across, v * across, v * along - u * across]
    )
    left, wave = unit - shown, 2 * np.pi * frequency
    moved = left * turned  # what a shift of the wave's phase does
    slope = np.append(envelope @ (left * shown), 2 * np.pi * (along @ moved))
    total = moved.sum()
    slope[[0, 1, 4]] += -wave * c * total, -wave * s * total, wave * (across @ moved)
    return -float(a * c_even + b * c_odd), -2 * slope


@lru_cache(maxsize=8)
def _gabor_starts(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Starting parameters (s, 6) and their planes (s, size^2, 2)."""
    starts = np.array(
        [
            (x, y, np.log(sigma), 0.0, theta, frequency)
            for x in (-0.15 * size, 0.0, 0.15 * size)
            for y in (-0.15 * size, 0.0, 0.15 * size)
            for sigma in (0.15 * size, 0.25 * size, 0.4 * size)
            for theta in np.arange(8) * np.pi / 8
            for frequency in (0.5 / size, 1 / size, 1.7 / size, 2.5 / size)
            if frequency < 0.45
        ]
    )
    pairs = (np.stack(_gabor_pair(s, *_grid(size)), axis=1) for s in starts)
    return starts, np.stack([np.linalg.qr(pair)[0] for pair in pairs])


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
    taps = _grid(size)
    return np.array(
        [
            _gabor_pair(np.array([x, y, np.log(s * size), 0.0, t, f]), *taps)
            for x, y, s, t, f in grid
        ]
    )


def _fit_one(unit: np.ndarray, size: int, refine: int) -> tuple[float, np.ndarray]:
    starts, planes = _gabor_starts(size)
    x, y = _grid(size)
    r2 = np.sum(np.einsum("i,sij->sj", unit, planes) ** 2, axis=1)
    bounds = [(-0.4 * size, 0.4 * size)] * 2 + [
        (np.log(0.5), np.log(size)),
        (np.log(0.4), np.log(2.5)),
        (-np.pi, 2 * np.pi),
        (0.1 / size, 0.5),
    ]
    with (
        warnings.catch_warnings()
    ):  # SciPy clips a step that rounding puts past a bound, and says so
        warnings.filterwarnings("ignore", "Values in x were outside bounds", RuntimeWarning)
        found = [
            scipy.optimize.minimize(
                _gabor_loss,
                starts[i],
                args=(unit, x, y),
                jac=True,
                bounds=bounds,
                method="SLSQP",  # L-BFGS-B waits for threads in its 6 x 6 algebra: ten times as long
                options={"ftol": 1e-9},
            )
            for i in np.argsort(r2)[::-1][:refine]
        ]
    best = min(found, key=lambda result: result.fun)
    return -float(best.fun), best.x


@lru_cache(maxsize=8)
def _gabor_null(size: int, draws: int, seed: int, refine: int) -> np.ndarray:
    noise = unit_rows(isotropic(draws, size, seed))
    return np.array([_fit_one(unit, size, refine)[0] for unit in noise])


def gabor_fit(kernels: ArrayLike, *, draws: int = 200, seed: int = 0, refine: int = 3) -> GaborFit:
    """The Gabor function nearest to each kernel: variable projection, SLSQP (Kraft 1988), a grid of starts.

    kernels: (..., k, k), k >= 5 (ValueError) -> `GaborFit`, each entry (...); NaN for a zero
    kernel. Amplitude and phase are solved for exactly; centre, sigma, aspect, direction and
    frequency by scipy.optimize from the `refine` best of some hundred starts. p = (1+b)/(1+B) from
    `draws` isotropic kernels fitted the same way (0: no p, faster): eight free numbers fit about
    half of 5x5 noise, so R2 means nothing without it. Some 20 ms a kernel, and once for every null
    kernel. Source: Daugman 1985. Blind to: several waves in one kernel; below half a cycle
    in the envelope, frequency and sigma trade off against each other.
    """
    kernels = as_square(kernels)
    size = kernels.shape[-1]
    _check_fit(size, max(draws, 1))
    unit = unit_rows(kernels).reshape(-1, size * size)
    out = np.full((len(unit), 9), np.nan)
    for i, row in enumerate(unit):
        if np.isnan(row).any():
            continue
        r2, best = _fit_one(row, size, refine)
        x, y, log_sigma, log_aspect, theta, frequency = best
        pair = np.stack(_gabor_pair(best, *_grid(size)), axis=1)
        even, odd = np.linalg.lstsq(pair, row, rcond=None)[0]
        turned = int(np.floor(theta / np.pi))  # half a turn mirrors the wave, that is its odd part
        phase = np.arctan2(-odd * (-1) ** turned, even)
        out[i] = (
            *(r2, theta - turned * np.pi, frequency, np.exp(log_sigma), np.exp(log_aspect)),
            *(phase, x, y, np.nan),
        )
    if draws:
        p = _p_of(out[:, 0], _gabor_null(size, draws, seed, refine))
        out[:, 8] = np.where(np.isnan(out[:, 0]), np.nan, p)
    return GaborFit(*out.T.reshape(9, *kernels.shape[:-2]))


def _p_of(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    null = np.sort(null)
    return (1 + len(null) - np.searchsorted(null, observed - ROUNDING)) / (1 + len(null))


def _check_fit(size: int, draws: int) -> None:
    if size < 5:
        raise ValueError(f"this fit needs kernels of 5x5 or more, not {size}x{size}")
    if draws < 1:
        raise ValueError(f"draws must be positive, not {draws}")
