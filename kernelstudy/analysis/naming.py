"""Which operator the edge kernels of a layer are, if they are all of one."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import scipy

from .gradients import OPERATORS, derivative_fit, gradient_matrix, phi_of_a
from .inference import FEWEST
from .kinds import KINDS, kind_of
from .layer import live_kernels
from .nulls import isotropic
from .population import PopulationInterval, population_a_interval

UNRESOLVED = "unresolved"
# Of phi: half the way between the two operators that are nearest to each other, Prewitt and Frei-Chen.
# Kernels that differ by more are a mixture, whatever their mean is.
SPREAD = float(np.min(np.diff(phi_of_a(list(OPERATORS.values()))))) / 2
# Of the gradient energy, at least so much must lie nearer to the axes than to the diagonals.
STRAIGHT = 0.1


class Naming(NamedTuple):
    """`operator`: a name of `gradients.OPERATORS`, or 'unresolved' with its `reason`. It rests on `edges`
    kernels; `a`: of these, over networks (None without any); `spread` of their phi in radians beyond
    noise, 0 if the noise explains it, with the ends of its 90% interval, each at 95%."""

    operator: str
    reason: str
    a: PopulationInterval | None
    edges: int
    spread: float
    spread_low: float
    spread_high: float


def name_operator(kernels: np.ndarray, *, level: float = 0.05) -> Naming:
    """The operator that the edge kernels among kernels (net, channel, 3, 3) are, and why there is none.

    Edges by `kinds.kind_of`, which takes any a. A name needs four things. (1) Of the live kernels more are
    edges than of random ones: what few edges are is the noise of kernels that are something else (of Prewitt
    plus a stronger Laplacian). (2) The interval of their a over networks (`population_a_interval`) holds one
    operator's a and no other's. (3) They are of one operator: the spread of phi over kernels, beyond the
    layer's noise, stays below `SPREAD` with 95% confidence (half Sobel, half Prewitt has the mean of
    Frei-Chen). Noise puts as much into a gradient's other direction across the operator as along it, where
    the spread adds to it: the difference is the spread. (4) Not all lie at 45 degrees, where the compass mask
    of Sobel is the steered Prewitt, and the reverse.
    Blind to: what the kernels that are no edges are.
    """
    live = live_kernels(kernels)
    edge = live & (kind_of(kernels).index == KINDS.index("edge"))
    count = int(edge.sum())
    if not count:
        return Naming(UNRESOLVED, "no kernel is an edge", None, 0, np.nan, np.nan, np.nan)
    edges = np.where(edge[..., None, None], kernels, 0.0)[edge.any(axis=1)]
    a = population_a_interval(edges, level=1 - level)
    enough = len(edges) >= FEWEST and np.isfinite(a.phi)
    spread, low, high = _spread(edges, a.phi, level) if enough else (np.nan, np.nan, np.nan)

    def unresolved(reason: str) -> Naming:
        return Naming(UNRESOLVED, reason, a, count, spread, low, high)

    if count <= _by_chance() * live.sum():
        return unresolved("no more of its kernels are edges than of random ones")
    if not a.resolved:
        return unresolved(a.reason)
    names = a.names()
    if len(names) != 1:
        held = " and ".join(names) if names else "no named operator"
        near, far = a.nearest()
        # 'not quite' says more than 'none', where the edges are of one operator at all
        if not names and far < SPREAD and high <= SPREAD:
            held += f"; nearest is {near}, of {OPERATORS[near]:.3g}"
        return unresolved(f"the interval of a holds {held}")
    if not high <= SPREAD:
        return unresolved(
            "its edges differ in a by more than noise makes those of one operator: a mixture"
            if low > 0
            else "too few edges, or too noisy, to tell one operator from a mixture"
        )
    if _straight(edges) < STRAIGHT:
        return unresolved(
            "its edges lie at 45 degrees, where one operator's compass mask is another steered"
        )
    return Naming(names[0], "", a, count, spread, low, high)


@functools.cache
def _by_chance() -> float:
    """The part of isotropic 3 x 3 kernels that are edges."""
    drawn = isotropic(20_000, 3, np.random.default_rng(0))
    return float(np.mean(kind_of(drawn).index == KINDS.index("edge")))


def _spread(edges: np.ndarray, phi: float, level: float) -> tuple[float, float, float]:
    """The spread of phi over the kernels of networks (net, channel, 3, 3), and its ends, in radians."""
    matrices = gradient_matrix(edges)
    operator, across = np.array([np.sin(phi), np.cos(phi)]), np.array([np.cos(phi), -np.sin(phi)])
    along_it, off_it = (np.einsum("i,ncij->ncj", v, matrices) for v in (operator, across))
    energy = np.sum(along_it**2, axis=-1)
    direction = along_it / np.sqrt(np.where(energy > 0, energy, np.inf))[..., None]
    with_it = np.einsum("ncj,ncj->nc", off_it, direction) ** 2
    beside_it = np.sum(off_it**2, axis=-1) - with_it
    excess, total = np.sum(with_it - beside_it, axis=1), np.sum(energy, axis=1)
    ratio = float(excess.sum() / total.sum())
    error = np.sqrt(np.sum((excess - ratio * total) ** 2) / (len(total) - 1))
    error /= len(total) ** 0.5 * total.mean()
    reach = float(scipy.special.stdtrit(len(total) - 1, 1 - level)) * error
    spread, low, high = np.sqrt(np.maximum([ratio, ratio - reach, ratio + reach], 0))
    return float(spread), float(low), float(high)


def _straight(edges: np.ndarray) -> float:
    """The share of gradient energy in kernels whose angle is nearer to an axis than to a diagonal."""
    theta = derivative_fit(edges).theta
    energy = np.sum(gradient_matrix(edges) ** 2, axis=(-2, -1))
    near_axis = np.abs(np.cos(2 * np.nan_to_num(theta))) >= np.cos(np.pi / 4)
    return float(np.sum(energy * near_axis) / np.sum(energy))
