"""One a for the kernels of many networks, its interval over networks, and when there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_kernels, moderate
from .gradients import OPERATORS, a_of_phi, gradient_moments, phi_of_a, wrap_phi
from .inference import FEWEST, sign_patterns
from .intervals import check_level

_EXACT = 14


class PopulationA(NamedTuple):
    """One a for a population: `phi` in (-pi/2, pi/2], `gap` in [0, 1] (0: no direction at all)."""

    a: float
    phi: float
    gap: float


class PopulationInterval(NamedTuple):
    """`population_a` with its interval over networks.

    `phi_low <= phi <= phi_high`, unwrapped: they may reach past a quarter turn, and then the
    interval of a runs from `low` up through infinity to `high`. `p_gap`: sign-flip p that the
    networks share no direction. `resolved` is False where no interval shorter than half the circle
    exists; `reason` then says why, in words. NaN bounds: not computable.
    """

    a: float
    low: float
    high: float
    gap: float
    resolved: bool
    reason: str
    phi: float
    phi_low: float
    phi_high: float
    p_gap: float

    def holds(self, a: float) -> bool:
        """Whether the interval holds `a` (which may be infinite). True for all a if unresolved."""
        if not self.resolved:
            return True
        away = float(wrap_phi(phi_of_a(a) - self.phi))
        # a population of exact copies has an interval of no width: rounding must not empty it
        return self.phi_low - self.phi - 1e-9 <= away <= self.phi_high - self.phi + 1e-9

    def names(self) -> tuple[str, ...]:
        """The names in `OPERATORS` whose a the interval holds; all of them if unresolved."""
        return tuple(name for name, a in OPERATORS.items() if self.holds(a))

    def nearest(self) -> tuple[str, float]:
        """Of operators outside the interval the one that is nearest to it, and how far it is from the nearer
        end, in radians of phi."""

        def beyond(a: float) -> float:
            away = float(wrap_phi(phi_of_a(a) - self.phi))
            return max(self.phi_low - self.phi - away, away - (self.phi_high - self.phi))

        far = {name: beyond(a) for name, a in OPERATORS.items() if not self.holds(a)}
        return min(far.items(), key=lambda item: item[1], default=("", np.nan))


def population_a(kernels: ArrayLike) -> PopulationA:
    """One a for all kernels (..., 3, 3): top eigenvector of their sum of M M^T (`gradient_matrix`).

    Every kernel counts by its odd energy, whatever its orientation and polarity. Isotropic noise
    adds the same to both eigenvalues, so it lowers `gap` = (l1 - l2)/(l1 + l2) but does not bias a.
    NaN where there is no odd energy. It is a second moment: blind to how the energy is spread over
    kernels, and meaningless where the gap is near 0; `population_a_interval` says when.
    """
    kernels = as_kernels(kernels)
    z, trace = gradient_moments(moderate(kernels, axis=tuple(range(kernels.ndim))))
    return _pooled(np.sum(z), np.sum(trace))


def population_a_interval(
    kernels: ArrayLike,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    unit: str = "networks",
) -> PopulationInterval:
    """`population_a` of kernels (net, channel, 3, 3) with an interval over networks.

    Each network's sum of M M^T is one vector in the plane of doubled phi; a's direction is that of
    their mean. The interval is all directions about which the networks' sideways components could
    be symmetric: it inverts the two-sided sign-flip test over networks (typical values: Hartigan
    1969, JASA 64:1303), over all patterns up to n = 14 networks, `draws` random ones (from `seed`)
    beyond. `unit`: what the reason calls the observations.
    Percentiles of resampled networks undercover with 10 of them (results/calibration says
    by how much); this holds its level at any n, however unequal the networks' energies.

    'Unresolved' is an answer: fewer than 6 networks (no two-sided p < .05 exists), no direction
    that the networks share (sign-flip p of |mean vector| above 1 - level, as for isotropic
    kernels), or an interval of half the circle. For one network pass its kernels as (channel, 1, 3,
    3): the interval then speaks about that network's kernels and nothing else. Blind to: as
    `population_a`; a mixture of two operators gives an a between them; and what all networks share:
    one training set moves them all alike, and no number of seeds shows that.
    """
    check_level(level)
    kernels = as_kernels(kernels)
    z, trace = gradient_moments(moderate(kernels, axis=tuple(range(kernels.ndim))))
    if z.ndim != 2:
        raise ValueError(f"kernels must have shape (net, channel, 3, 3), not {np.shape(kernels)}")
    z, trace = z.sum(axis=1), trace.sum(axis=1)
    whole = _pooled(z.sum(), trace.sum())
    missing = (np.nan,) * 4
    if np.isnan(whole.a):
        finite = np.isfinite(trace).all()
        reason = "no gradient energy" if finite else "some kernels are not finite"
        return PopulationInterval(np.nan, np.nan, np.nan, np.nan, False, reason, *missing)
    if len(z) < FEWEST:
        reason = f"an interval over {unit} needs {FEWEST}, here are {len(z)}"
        return PopulationInterval(
            whole.a, np.nan, np.nan, whole.gap, False, reason, whole.phi, *missing[1:]
        )
    # along and sideways to the pooled direction, whose own sideways sum is 0
    turned = z * np.exp(-2j * whole.phi)
    flipped = _patterns(len(z), draws, seed) @ np.stack([turned.real, turned.imag], axis=1)
    length = abs(turned.sum())
    p_gap = float(np.mean(np.hypot(*flipped.T) >= length * (1 - 1e-10)))
    down = _last_kept(flipped[:, 0], -flipped[:, 1], length, level)
    up = _last_kept(flipped[:, 0], flipped[:, 1], length, level)
    phi_low, phi_high = whole.phi - np.arctan(down) / 2, whole.phi + np.arctan(up) / 2
    reason = ""
    if p_gap > 1 - level:
        reason = f"the {unit} share no direction (gap {whole.gap:.2f}, p {p_gap:.2f})"
    elif not np.isfinite(down + up):
        reason = "the interval is half the circle"
    return PopulationInterval(
        whole.a,
        float(a_of_phi(phi_low)),
        float(a_of_phi(phi_high)),
        whole.gap,
        not reason,
        reason,
        whole.phi,
        float(phi_low),
        float(phi_high),
        p_gap,
    )


def _pooled(z: complex, trace: float) -> PopulationA:
    if not (trace > 0 and np.isfinite(trace)):
        return PopulationA(np.nan, np.nan, np.nan)
    phi = wrap_phi(np.angle(z) / 2)
    return PopulationA(float(a_of_phi(phi)), float(phi), float(np.abs(z) / trace))


@lru_cache(maxsize=8)
def _patterns(n: int, draws: int, seed: int) -> np.ndarray:
    """Sign patterns, the unflipped one first."""
    if n <= _EXACT:
        return sign_patterns(n)
    random = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, n))
    return np.concatenate([np.ones((1, n)), random])


def _last_kept(along: np.ndarray, side: np.ndarray, length: float, level: float) -> float:
    """The largest tangent t (of the angle from the pooled direction) that the test keeps.

    At the direction with tangent t a pattern's sideways sum is at least the unflipped one's when
    |side - t along| >= t length. For |along| < length that is all t up to side/(length + along), or
    up to -side/(length - along) where side is negative; a pattern that is longer counts everywhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        last = np.where(side > 0, side / (length + along), -side / (length - along))
    last[np.abs(along) >= length * (1 - 1e-12)] = np.inf  # the unflipped one among them
    return np.sort(last)[::-1][int((1 - level) * len(last) + 1e-9)]
