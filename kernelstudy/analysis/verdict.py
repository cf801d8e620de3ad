"""From a layer's kernels to claims: 'derivative-like', how far up the ladder, and which operator.

One pure function, `judge`, used alike by a run's report, by the comparison of any network, and by
the calibration that measures how often it is wrong. `wording.claims` puts its answer in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_kernels, rows
from .inference import FEWEST, benjamini_hochberg
from .ladder import (
    Rung,
    against_draws,
    compare,
    gradient_plane,
    no_rung,
    permutation_p,
    permuted_mean,
    plane_axes,
    plane_r2,
)
from .layer import live_kernels, mean_over_live
from .nulls import as_basis, covariance_matched, r2_tail
from .population import PopulationInterval, population_a_interval
from .theory import a_pca

TIERS = ("chance", "structured", "spatially structured", "beyond image statistics")
UNRESOLVED = "unresolved"


class Verdict(NamedTuple):
    """What may be said of a layer (of all networks of an arm at a step).

    `rungs`: N0, N1, N2, N3, N4, those that could be asked. `tier`: the highest of `TIERS` reached
    without a gap, or 'unresolved'. `derivative_like`: at least 'spatially structured'; None if it
    cannot be decided. `operator`: a name of `gradients.OPERATORS`, or 'unresolved', with `reason`.
    `a`: None unless 3x3. `a_images`: the a that the layer's energies on the images' own axes would
    give (NaN without them). `kernels`, `live`: all kernels and those not dead. `significant`: live
    kernels above isotropic chance and (only below 6 networks, else None) `significant_permuted`
    above their own permuted taps, both at Benjamini-Hochberg q <= level over the live kernels.
    `r2_all`: the mean R2 with the dead ones in. `excluded`: networks that are not finite.
    """

    rungs: tuple[Rung, ...]
    tier: str
    derivative_like: bool | None
    operator: str
    reason: str
    a: PopulationInterval | None
    a_images: float
    networks: int
    excluded: int
    kernels: int
    live: int
    significant: int
    significant_permuted: int | None
    r2_all: float
    level: float


def judge(
    kernels: ArrayLike,
    *,
    start: ArrayLike | None = None,
    patch_basis: ArrayLike | None = None,
    controls: ArrayLike | None = None,
    plane: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.05,
    draws: int = 8192,
    seed: int = 0,
) -> Verdict:
    """Climb the ladder of chance with the kernels of several networks.

    kernels: (net, channel, k, k), trained W or updates W - W0. `start`: the same networks at step 0
    (leave it out for updates, which start at 0). `patch_basis`: (k*k, k*k) of the images
    (`patch_pca`). `controls`: the same seeds trained on control data. `plane`: gx, gy of the
    declared derivative, `gradient_plane` otherwise.

    The measure is the steered R2 of each live kernel (norm at least 1% of its network's largest),
    averaged within the network; a network is one observation. Each rung asks whether the networks'
    differences from chance are positive, by the exact two-sided sign-flip test, so that each errs
    at most at level/2 in that direction:

    - N0, isotropic kernels: chance is 2/k^2 exactly.
    - N1, the same network at step 0.
    - N2, the same kernels with permuted taps: chance is the exact mean over all permutations.
    - N3, Gaussian kernels with the layer's own mean shares of energy on the images' principal axes.
      They have its odd share by construction, so the measure here is the *concentration*
      sum R2^2 / sum R2: how purely gradient the kernels are in which the gradient lies.
    - N4, the control networks, paired by seed; it is shown and decides nothing.

    Tiers: above N0 and N1 is structured; above N2 as well spatially structured, which is what
    'derivative-like' needs; above N3 as well beyond image statistics. An operator is named only
    there, at 3x3, and only if the interval of a (`population_a_interval`) holds that operator's a
    and no other's. 'Unresolved' is an answer. Below 6 networks no p-value over networks exists: the
    tier is unresolved, and what is left is the number of kernels that stand out within them.
    ValueError for shapes that do not fit. How often it is wrong: results/calibration.
    Blind to: operators other than first derivatives; at k > 3 derivatives at a scale far from the
    plane's; whatever all networks share, such as one training set.
    """
    kernels = _checked(kernels, level, draws)
    plane = gradient_plane(kernels.shape[-1]) if plane is None else plane
    networks = len(kernels)
    kernels, start, controls = _finite(kernels, start, controls)
    layer = _Layer(kernels, plane_axes(kernels, *plane), level)
    rungs = [layer.compare("N0", np.full(len(kernels), layer.isotropic))]
    if start is not None:
        rungs.append(layer.compare("N1", layer.mean_of(start)))
    rungs.append(layer.compare("N2", layer.mean_permuted()))
    a_images = float("nan")
    if patch_basis is not None:
        rung, a_images = _image_statistics(layer, patch_basis, draws, seed)
        rungs.append(rung)
    if controls is not None:
        rungs.append(layer.compare("N4", layer.mean_of(controls)))

    a = population_a_interval(kernels, level=1 - level) if kernels.shape[-1] == 3 else None
    tier = tier_of({rung.null: rung.passed for rung in rungs})
    operator, reason = _operator(a, tier, rungs)
    significant, significant_permuted = _significant(layer, plane, seed)
    return Verdict(
        rungs=tuple(rungs),
        tier=tier,
        derivative_like=None if tier == UNRESOLVED else TIERS.index(tier) >= 2,
        operator=operator,
        reason=reason,
        a=a,
        a_images=a_images,
        networks=len(kernels),
        excluded=networks - len(kernels),
        kernels=layer.r2.size,
        live=int(layer.live.sum()),
        significant=significant,
        significant_permuted=significant_permuted,
        r2_all=layer.mean_of_all(),
        level=level,
    )


def _checked(kernels: ArrayLike, level: float, draws: int) -> np.ndarray:
    kernels = as_kernels(kernels)
    if kernels.ndim != 4:
        raise ValueError(f"kernels must have shape (net, channel, k, k), not {kernels.shape}")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"level must be in (0, 1) and draws positive, not {level} and {draws}")
    return kernels


class _Layer:
    """Kernels (net, channel, k, k) of finite networks and their R2 with a plane, kernel by kernel."""

    def __init__(self, kernels: np.ndarray, axes: np.ndarray, level: float):
        self.kernels, self.axes, self.level = kernels, axes, level
        self.live = live_kernels(kernels)
        self.r2 = plane_r2(kernels, axes)
        self.isotropic = axes.shape[1] / axes.shape[0]

    def mean_of(self, others: np.ndarray) -> np.ndarray:
        """Mean R2 (net,) of other kernels of the same networks, over those of them that live."""
        return mean_over_live(plane_r2(others, self.axes), live_kernels(others))

    def mean_permuted(self) -> np.ndarray:
        """Mean R2 (net,) over all permutations of the taps of the live kernels."""
        return mean_over_live(permuted_mean(self.kernels, self.axes), self.live)

    def mean_of_all(self) -> float:
        """Mean R2 of all kernels, the dead ones in; NaN without any."""
        return float(np.nanmean(self.r2)) if np.isfinite(self.r2).any() else float("nan")

    def compare(self, null: str, chance: np.ndarray) -> Rung:
        return compare(null, "r2", mean_over_live(self.r2, self.live), chance, self.level)


def _finite(
    kernels: np.ndarray, start: ArrayLike | None, controls: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The networks whose kernels are finite, at the start, too; a control that is not is NaN."""
    kept = np.isfinite(kernels).all(axis=(1, 2, 3))
    if start is not None:
        start = _paired("start", start, kernels)
        kept &= np.isfinite(start).all(axis=(1, 2, 3))
        start = start[kept]
    if controls is not None:
        controls = _paired("controls", controls, kernels)
        broken = ~np.isfinite(controls).all(axis=(1, 2, 3), keepdims=True)
        controls = np.where(broken, np.nan, controls)[kept]  # leaves out its pair in N4 alone
    return kernels[kept], start, controls


def _image_statistics(
    layer: _Layer, patch_basis: ArrayLike, draws: int, seed: int
) -> tuple[Rung, float]:
    """Rung N3, and the a that the layer's energies on the images' own axes would give."""
    basis = as_basis(patch_basis, layer.kernels.shape)
    if not layer.live.any():
        return no_rung("N3", "concentration"), float("nan")
    mine = layer.kernels[layer.live]
    drawn = covariance_matched(mine, basis, draws, seed, match="share")
    theirs = plane_r2(drawn, layer.axes)
    rung = against_draws("concentration", layer.r2, theirs, layer.live, layer.level)
    if mine.shape[-1] != 3:
        return rung, float("nan")
    return rung, a_pca(np.mean((rows(mine) @ basis.T) ** 2, axis=0), basis)


def _significant(
    layer: _Layer, plane: tuple[ArrayLike, ArrayLike], seed: int
) -> tuple[int, int | None]:
    """How many live kernels are above isotropic chance, and above their own permuted taps; the latter
    only where rung N2 cannot answer it."""
    of_live, (d, k) = layer.r2[layer.live], layer.axes.shape
    count = int(np.sum(benjamini_hochberg(r2_tail(of_live, k, d)) <= layer.level))
    if len(layer.kernels) >= FEWEST:
        return count, None
    p = permutation_p(layer.kernels[layer.live], *plane, seed=seed)
    return count, int(np.sum(benjamini_hochberg(p) <= layer.level))


def _paired(name: str, value: ArrayLike, kernels: np.ndarray) -> np.ndarray:
    other = as_kernels(value)
    if len(other) != len(kernels) or other.shape[-2:] != kernels.shape[-2:]:
        raise ValueError(f"{name} must pair with kernels {kernels.shape}, not {other.shape}")
    return other


def tier_of(passed: Mapping[str, bool | None]) -> str:
    """The highest of `TIERS` that is reached without a gap, from the rungs that were passed, by their nulls.

    'unresolved' where N0 is undecided. A rung N1 that was not asked (of an update) stops nothing.
    """
    if passed["N0"] is None:
        return UNRESOLVED
    steps = (
        bool(passed["N0"] and passed.get("N1", True)),
        bool(passed.get("N2")),
        bool(passed.get("N3")),
    )
    return TIERS[steps.index(False) if False in steps else len(steps)]


def _operator(a: PopulationInterval | None, tier: str, rungs: list[Rung]) -> tuple[str, str]:
    if a is None:
        return UNRESOLVED, "a is defined for 3x3 kernels only"
    if tier != TIERS[-1]:
        if "N3" not in {rung.null for rung in rungs}:
            return UNRESOLVED, "no patch statistics to hold it against (N3)"
        return UNRESOLVED, f"a name needs kernels that are {TIERS[-1]}"
    if not a.resolved:
        return UNRESOLVED, a.reason
    names = a.names()
    if len(names) == 1:
        return names[0], ""
    if names:
        return UNRESOLVED, "the interval of a holds " + " and ".join(names)
    return UNRESOLVED, "the interval of a holds no named operator"
