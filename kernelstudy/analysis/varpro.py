"""Kernels fitted by a plane that turns with a few parameters: all kernels at a time (variable projection)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Parameters (n, p) -> the two functions that span the plane on the taps (n, 2, taps), and their derivatives
# along each parameter (n, p, 2, taps).
Plane = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
_AT_A_TIME = 1024  # fits: their arrays stay within the cache
_STEPS = 100
_FLAT = 1e-10  # of a kernel's energy: an improvement that is none
_STUCK = 1e9  # of the damping


class Fit(NamedTuple):
    """`r2` (n,), the share of energy in the plane; `parameters` (n, p); `weights` (n, 2) of both functions."""

    r2: np.ndarray
    parameters: np.ndarray
    weights: np.ndarray


def fit(plane: Plane, unit: np.ndarray, starts: np.ndarray, bounds: np.ndarray, refine: int) -> Fit:
    """The parameters within `bounds` (2, p) whose plane holds most of each unit kernel's energy, (n, taps).

    From the `refine` best of `starts` (s, p) for each kernel, by Levenberg and Marquardt's method on what
    the plane leaves of the kernel (Golub & Pereyra 1973; Kaufman 1975). Steps end at the bounds.
    """
    planes = _orthonormal(plane(starts)[0])
    found = []
    for first in range(0, len(unit), max(1, _AT_A_TIME // refine)):
        part = unit[first : first + max(1, _AT_A_TIME // refine)]
        shares = np.zeros((len(part), len(starts)))
        for function in (0, 1):
            shares += (part @ planes[:, function].T) ** 2
        best = np.argsort(shares, axis=1)[:, ::-1][:, :refine]
        rows = np.repeat(part, best.shape[1], axis=0)
        tried = _descend(plane, rows, starts[best.ravel()], bounds)
        r2 = tried.r2.reshape(best.shape)
        taken = np.arange(len(part)) * best.shape[1] + np.argmax(r2, axis=1)
        found.append(Fit(*(values[taken] for values in tried)))
    return Fit(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _descend(plane: Plane, unit: np.ndarray, start: np.ndarray, bounds: np.ndarray) -> Fit:
    at = np.clip(start, *bounds)
    left, slopes, weights = _remainder(plane, unit, at)
    loss = np.sum(left**2, axis=1)
    damping = np.full(len(unit), 1e-2)
    going = np.arange(len(unit))
    for _ in range(_STEPS):
        gradient = np.einsum("npt,nt->np", slopes[going], left[going])
        curvature = slopes[going] @ slopes[going].swapaxes(1, 2)
        here = at[going]
        # a parameter at its bound that would pass it stands still
        held = ((here <= bounds[0]) & (gradient > 0)) | ((here >= bounds[1]) & (gradient < 0))
        curvature[held] = 0
        curvature.swapaxes(1, 2)[held] = 0
        gradient[held] = 0
        diagonal = np.einsum("npp->np", curvature)
        diagonal += damping[going, None] * diagonal + np.where(held, 1.0, 1e-12)
        step = np.linalg.solve(curvature, -gradient[..., None])[..., 0]
        tried = np.clip(here + step, *bounds)
        new_left, new_slopes, new_weights = _remainder(plane, unit[going], tried)
        new_loss = np.sum(new_left**2, axis=1)
        gain = loss[going] - new_loss
        better = gain > 0
        ones = going[better]
        at[ones], left[ones], slopes[ones] = tried[better], new_left[better], new_slopes[better]
        weights[ones], loss[ones] = new_weights[better], new_loss[better]
        damping[going] *= np.where(better, 0.2, 5.0)
        going = going[~((better & (gain < _FLAT)) | (damping[going] > _STUCK))]
        if not len(going):
            break
    return Fit(1 - loss, at, weights)


def _remainder(
    plane: Plane, unit: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the plane leaves (n, taps), its slopes (n, p, taps), and the weights of the functions (n, 2)."""
    functions, derivatives = plane(at)
    base = _orthonormal(functions)
    inside = np.einsum("nft,nt->nf", base, unit)
    # one triangular system: weights of the functions from those of the base
    first, second = functions[:, 0], functions[:, 1]
    norm = np.sqrt(np.sum(first**2, axis=1))
    along = np.sum(base[:, 0] * second, axis=1)
    across = np.sum(base[:, 1] * second, axis=1)
    two = np.divide(inside[:, 1], across, out=np.zeros_like(across), where=across > 0)
    weights = np.stack([(inside[:, 0] - two * along) / norm, two], axis=1)
    moved = np.einsum("npft,nf->npt", derivatives, weights)
    within = moved @ base.swapaxes(1, 2)
    return unit - np.einsum("nft,nf->nt", base, inside), within @ base - moved, weights


def _orthonormal(functions: np.ndarray) -> np.ndarray:
    """A base of each plane (n, 2, taps); where both functions are one, the second is zero."""
    first, second = functions[:, 0], functions[:, 1]
    first = first / np.sqrt(np.sum(first**2, axis=1, keepdims=True))
    rest = second - np.sum(first * second, axis=1, keepdims=True) * first
    norm, whole = (np.sum(v**2, axis=1, keepdims=True) for v in (rest, second))
    kept = norm > 1e-9 * whole
    return np.stack([first, np.where(kept, rest / np.sqrt(np.where(kept, norm, 1)), 0)], axis=1)
