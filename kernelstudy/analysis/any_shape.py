"""Kernels of one, two or three axes, each of any length: derivatives, symmetries, frequency responses, slices.

`shape` is a kernel's, (x,), (y, x) or (z, y, x); kernels have it as their last axes.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

AXES = "zyx"  # the names of the last three axes


def derivatives(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The first derivative along each axis, smoothed by binomials: 'x' -> an array of `shape`, and so on.

    Of (3, 3) Sobel's two, of (3, 3, 3) Sobel's three (Zucker & Hummel 1981 weigh the corners otherwise). An
    axis of one tap has no derivative. ValueError where no axis has two taps.
    """
    _check(shape)
    return {names: kernel for names, kernel in _products(shape, most=1).items() if names}


def textbook(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The binomial smoother, its first and its second derivatives and the sum of the pure second ones:
    'smooth', 'd/dx', 'd2/dx2', 'd2/dxdy', 'laplacian', as far as the taps allow."""
    _check(shape)
    found, pure = {}, []
    for names, kernel in _products(shape, most=2).items():
        if not names:
            found["smooth"] = kernel
        elif len(names) == 1:
            found[f"d/d{names}"] = kernel
        elif names[0] == names[1]:
            found[f"d2/d{names[0]}2"] = kernel
            pure.append(kernel / np.linalg.norm(kernel))
        else:
            found[f"d2/d{names[1]}d{names[0]}"] = kernel
    if len(pure) > 1:
        found["laplacian"] = np.sum(pure, axis=0)
    return found


def parities(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The symmetries that `parity_energies` tells apart: 'dc', 'even', 'odd x', 'odd y', 'odd yx', ..."""
    axes = AXES[-len(shape) :]
    odd = [
        "".join(some)
        for count in range(1, len(shape) + 1)
        for some in itertools.combinations(axes, count)
        if all(shape[axes.index(a)] > 1 for a in some)
    ]
    return ("dc", "even", *(f"odd {names}" for names in odd))


def parity_energies(kernels: ArrayLike, axes: int) -> np.ndarray:
    """Energy of kernels (..., *shape), shape their last `axes` axes, by symmetry: (..., len(parities(shape))).

    'odd yx' is odd under reflection along y and along x, and even along all other axes; 'dc' is the mean,
    'even' what is even along all axes, less the mean. They are orthogonal and sum to the kernel's energy.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    shape = kernels.shape[-axes:]
    space, names = tuple(range(-axes, 0)), AXES[-axes:]
    mean = kernels.mean(axis=space)
    found = [mean**2 * np.prod(shape)]
    for parity in parities(shape)[1:]:
        part = kernels
        for axis, name in zip(space, names, strict=True):
            sign = -1 if name in parity.removeprefix("odd ") and parity != "even" else 1
            part = (part + sign * np.flip(part, axis)) / 2
        energy = (part**2).sum(axis=space)
        found.append(energy - found[0] if parity == "even" else energy)
    return np.stack(found, axis=-1)


def parity_dimensions(shape: tuple[int, ...]) -> np.ndarray:
    """How many dimensions each of `parities` has; over the number of taps, its share by isotropic chance."""
    taps = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return parity_energies(taps, len(shape)).sum(axis=0).round(9)


def frequency_response(kernels: ArrayLike, frequencies: ArrayLike) -> np.ndarray:
    """|sum_n k[n] exp(-2 pi i f n)| of kernels (..., k) at frequencies (m,) in cycles a tap: (..., m).

    Of isotropic kernels of norm 1 the mean of its square is 1 at every frequency. [-1, 1] has |2 sin(pi f)|.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    taps = np.arange(kernels.shape[-1])
    return np.abs(kernels @ np.exp(-2j * np.pi * np.outer(taps, np.asarray(frequencies))))


def low_share(kernels: ArrayLike) -> np.ndarray:
    """The share of the energy of kernels (..., k) below half of the highest frequency, 1/4 cycle a tap.

    The integral of the squared response over |f| < 1/4, sum over n and m of k[n] k[m] sin(pi (n - m) / 2) /
    (pi (n - m)). One half for isotropic kernels on average; NaN for a zero kernel.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    apart = np.subtract.outer(np.arange(kernels.shape[-1]), np.arange(kernels.shape[-1]))
    energy = (kernels**2).sum(axis=-1)
    low = np.einsum("...n,nm,...m->...", kernels, np.sinc(apart / 2) / 2, kernels)
    return low / np.where(energy > 0, energy, np.nan)


def central_slices(kernels: ArrayLike) -> dict[str, np.ndarray]:
    """The middle planes of kernels (..., kz, ky, kx): 'yx' (across z), 'zx' and 'zy'.

    Of an even number of taps the mean of the two in the middle.
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    found = {}
    for axis, name in zip((-3, -2, -1), AXES, strict=True):
        n = kernels.shape[axis]
        middle = np.take(kernels, sorted({(n - 1) // 2, n // 2}), axis=axis)
        found[AXES.replace(name, "")] = middle.mean(axis=axis)
    return found


@lru_cache(maxsize=32)
def _products(shape: tuple[int, ...], most: int) -> dict[str, np.ndarray]:
    """Products over axes of binomials and their derivatives, of `most` orders in all, by what is derived."""
    axes, found = AXES[-len(shape) :], {}
    for orders in itertools.product(range(most + 1), repeat=len(shape)):
        possible = all(order < n for order, n in zip(orders, shape, strict=True))
        if sum(orders) <= most and possible:
            kernel = np.ones(())
            for n, order in zip(shape, orders, strict=True):
                kernel = np.multiply.outer(kernel, _binomial(n, order))
            found["".join(a * order for a, order in zip(axes, orders, strict=True))] = kernel
    return found


def _binomial(size: int, order: int) -> np.ndarray:
    """Row size - 1 - order of Pascal's triangle, differenced `order` times: `size` taps."""
    taps = np.ones(1)
    for _ in range(size - 1 - order):
        taps = np.convolve(taps, [1.0, 1.0])
    for _ in range(order):
        taps = np.convolve(taps, [-1.0, 1.0])
    return taps


def _check(shape: tuple[int, ...]) -> None:
    if not 1 <= len(shape) <= 3 or max(shape) < 2:
        raise ValueError(f"a kernel has one to three axes, one of two taps at least, not {shape}")
