"""From a layer's kernels to claims: 'derivative-like', how far up the ladder, and which operator.

One pure function, `judge`, used alike by a run's report, by the comparison of any network, and by
the calibration that measures how often it is wrong. `wording.claims` puts its answer in words.
"""

from __future__ import annotations

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
    live_mean,
    no_rung,
    permutation_p,
    permuted_mean,
    plane_axes,
    plane_r2,
)
from .layer import live_kernels
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
    kernels = as_kernels(kernels)
    if kernels.ndim != 4:
        raise ValueError(f"kernels must have shape (net, channel, k, k), not {kernels.shape}")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"level must be in (0, 1) and draws positive, not {level} and {draws}")
    size = kernels.shape[-1]
    gx, gy = gradient_plane(size) if plane is None else plane
    finite = np.isfinite(kernels).all(axis=(1, 2, 3))
    if start is not None:
        start = _paired("start", start, kernels)
        finite &= np.isfinite(start).all(axis=(1, 2, 3))
        start = start[finite]
    if controls is not None:
        controls = _paired("controls", controls, kernels)
        broken = ~np.isfinite(controls).all(axis=(1, 2, 3), keepdims=True)
        controls = np.where(broken, np.nan, controls)[finite]  # leaves out its pair in N4 alone
    excluded = int(np.sum(~finite))
    kernels = kernels[finite]

    axes = plane_axes(kernels, gx, gy)
    live = live_kernels(kernels)
    r2 = plane_r2(kernels, axes)
    value = live_mean(r2, live)
    d = size * kernels.shape[-2]
    rungs = [compare("N0", "r2", value, np.full_like(value, axes.shape[1] / d), level)]
    if start is not None:
        before = live_mean(plane_r2(start, axes), live_kernels(start))
        rungs.append(compare("N1", "r2", value, before, level))
    rungs.append(compare("N2", "r2", value, live_mean(permuted_mean(kernels, axes), live), level))
    a_images = float("nan")
    if patch_basis is not None:
        basis = as_basis(patch_basis, kernels.shape)
        rungs.append(no_rung("N3", "concentration"))
        if live.any():
            drawn = covariance_matched(kernels[live], basis, draws, seed, match="share")
            rungs[-1] = against_draws("concentration", r2, plane_r2(drawn, axes), live, level)
            if size == 3:
                a_images = a_pca(np.mean((rows(kernels[live]) @ basis.T) ** 2, axis=0), basis)
    if controls is not None:
        against = live_mean(plane_r2(controls, axes), live_kernels(controls))
        rungs.append(compare("N4", "r2", value, against, level))

    a = population_a_interval(kernels, level=1 - level) if size == 3 else None
    tier, derivative_like = _tier(rungs)
    operator, reason = _operator(a, tier, rungs)
    q = benjamini_hochberg(r2_tail(r2[live], axes.shape[1], d))
    permuted = None
    if len(kernels) < FEWEST:  # many networks answer this by rung N2
        q_permuted = benjamini_hochberg(permutation_p(kernels[live], gx, gy, seed=seed))
        permuted = int(np.sum(q_permuted <= level))
    return Verdict(
        rungs=tuple(rungs),
        tier=tier,
        derivative_like=derivative_like,
        operator=operator,
        reason=reason,
        a=a,
        a_images=a_images,
        networks=len(kernels),
        excluded=excluded,
        kernels=r2.size,
        live=int(live.sum()),
        significant=int(np.sum(q <= level)),
        significant_permuted=permuted,
        r2_all=float(np.nanmean(r2)) if np.isfinite(r2).any() else float("nan"),
        level=level,
    )


def _paired(name: str, value: ArrayLike, kernels: np.ndarray) -> np.ndarray:
    other = as_kernels(value)
    if len(other) != len(kernels) or other.shape[-2:] != kernels.shape[-2:]:
        raise ValueError(f"{name} must pair with kernels {kernels.shape}, not {other.shape}")
    return other


def _tier(rungs: list[Rung]) -> tuple[str, bool | None]:
    outcome = {rung.null: rung.passed for rung in rungs}
    if outcome["N0"] is None:
        return UNRESOLVED, None
    steps = (
        bool(outcome["N0"] and outcome.get("N1", True)),
        bool(outcome["N2"]),
        bool(outcome.get("N3", False)),
    )
    reached = steps.index(False) if False in steps else len(steps)
    return TIERS[reached], reached >= 2


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
