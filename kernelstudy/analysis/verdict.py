"""From a layer's kernels to claims: 'derivative-like', how far up the ladder, and which operator.

One pure function, `judge`, used alike by a run's report, by the comparison of any network, and by
the calibration that measures how often it is wrong. `wording.claims` puts its answer in words.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_kernels, rows
from .inference import FEWEST, benjamini_hochberg
from .ladder import (
    CENTRED,
    MARGIN,
    RAW,
    Rung,
    compare,
    gradient_plane,
    least_passed,
    no_rung,
    permutation_p,
    permuted_mean,
    phases_mean,
    plane_axes,
    plane_r2,
    signs_mean,
    within_family,
)
from .layer import live_kernels, mean_over_live
from .naming import UNRESOLVED, Naming, name_operator
from .nulls import as_basis, r2_tail, zero_mean_axes
from .population import PopulationInterval, population_a_interval
from .theory import a_pca

TIERS = ("chance", "structured", "spatially structured", "beyond image energies")

Key = TypeVar("Key", bound=Hashable)


class Verdict(NamedTuple):
    """What may be said of a layer (of all networks of an arm at a step).

    `rungs`: N0, N1, N2, N3, N4, those that could be asked, in the centred R2, which decides; `raw`: the same
    in the R2 of whole kernels, their mean left in, which is shown beside it. `tier`: the highest of `TIERS`
    reached without a gap, or 'unresolved'. `derivative_like`: at least 'spatially structured'; None if it
    cannot be decided. `operator`: a name of `gradients.OPERATORS`, or 'unresolved', with `reason`;
    `naming`: what it rests on (None unless 3x3). `a`: of all kernels, None unless 3x3. `a_images`: the a that
    the layer's energies on the images' own axes would give (NaN without them). `kernels`, `live`: all
    kernels and those not dead. `significant`: live kernels above isotropic chance and (only below 6
    networks, else None) `significant_permuted` above their own permuted taps, both at Benjamini-Hochberg q <=
    level over the live kernels. `r2_all`: the mean centred R2 with the dead ones in. `excluded`: networks
    that are not finite.
    """

    rungs: tuple[Rung, ...]
    raw: tuple[Rung, ...]
    tier: str
    derivative_like: bool | None
    operator: str
    reason: str
    naming: Naming | None
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
    draws: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Climb the ladder of chance with the kernels of several networks.

    kernels: (net, channel, k, k), trained W, updates W - W0 or new parts. `start`: the same networks at step
    0 (leave it out for updates, which start at 0). `patch_basis`: (k*k, k*k) of the images
    (`patch_pca`). `controls`: the same seeds trained on control data. `plane`: gx, gy of the
    declared derivative, without a mean, `gradient_plane` otherwise. `draws`: permutations of each kernel's
    taps, which only fewer than 6 networks need.

    The measure is the steered R2 of each live kernel (norm at least 1% of its network's largest), of the
    kernel less its mean, averaged within the network; a network is one observation. Each rung asks whether
    the networks' differences from chance are positive, by `mean_test`, two-sided, so that each errs
    about level/2 in that direction:

    - N0, isotropic kernels: chance is 2/(k^2 - 1) exactly.
    - N1, the same network at step 0.
    - N2, the same kernels with permuted taps: the exact mean over all permutations, which for a centred
      measure is that of N0; it differs for whole kernels (`raw`), whose mean no permutation moves.
    - N3, the same kernels with random signs on the images' principal axes, and with random phases of their
      Fourier components: each kernel's norm, mean and energies stay, so what passes is combined as a
      derivative is, not only made of what the images have much of. Both must be exceeded by `MARGIN`;
      the one that is exceeded least is shown.
    - N4, the control networks, paired by seed; it is shown and decides nothing.

    Tiers: above N0 and N1 is structured; above N2 as well spatially structured, which is what
    'derivative-like' needs; above N3 as well beyond image energies. An operator is named at 3x3 where the
    kernels are derivative-like, by their edges alone (`naming.name_operator`). 'Unresolved' is an answer.
    Below 6 networks no p-value over networks exists: the tier is unresolved, and what is left is the number
    of kernels that stand out within them. A report that judges several layers passes them on to `as_family`.
    ValueError for shapes that do not fit. How often it is wrong: results/calibration.
    Blind to: operators other than first derivatives, and layers in which a few kernels are edges among many
    that are not (`kinds` counts them); at k > 3 derivatives at a scale far from the plane's; whatever all
    networks share, such as one training set.
    """
    kernels = _checked(kernels, level, draws)
    plane = gradient_plane(kernels.shape[-1]) if plane is None else plane
    networks = len(kernels)
    kernels, start, controls = _finite(kernels, start, controls)
    axes = plane_axes(kernels, *plane)
    if np.abs(axes.sum(axis=0)).max() > 1e-9:
        raise ValueError("plane must have no mean: a derivative of a constant is 0")
    basis = None if patch_basis is None else as_basis(patch_basis, kernels.shape)
    layer = _Layer(kernels, axes, level, centered=True)
    rungs, raw = (
        _rungs(of, start, basis, controls)
        for of in (layer, _Layer(kernels, axes, level, centered=False))
    )
    three = kernels.shape[-1] == 3
    significant, significant_permuted = _significant(layer, plane, draws, seed)
    verdict = Verdict(
        rungs=tuple(rungs),
        raw=tuple(raw),
        tier=UNRESOLVED,
        derivative_like=None,
        operator=UNRESOLVED,
        reason="",
        naming=name_operator(kernels, level=level) if three else None,
        a=population_a_interval(kernels, level=1 - level) if three else None,
        a_images=_a_of_images(layer, basis) if three and basis is not None else float("nan"),
        networks=len(kernels),
        excluded=networks - len(kernels),
        kernels=layer.r2.size,
        live=int(layer.live.sum()),
        significant=significant,
        significant_permuted=significant_permuted,
        r2_all=layer.mean_of_all(),
        level=level,
    )
    return _concluded(verdict)


def as_family(verdicts: Mapping[Key, Verdict]) -> dict[Key, Verdict]:
    """The verdicts of one report with each rung's q over all of them, and what then follows.

    The family of a null model and measure is every layer that it was asked of (Benjamini & Hochberg 1995).
    """
    found = dict(verdicts)
    for field in ("rungs", "raw"):
        nulls = dict.fromkeys(r.null for v in verdicts.values() for r in getattr(v, field))
        for null in nulls:
            asked = {
                key: rung
                for key, verdict in found.items()
                for rung in getattr(verdict, field)
                if rung.null == null
            }
            q = benjamini_hochberg([rung.p for rung in asked.values()])
            levels = {found[key].level for key in asked}
            assert len(levels) == 1, levels
            of_family = within_family(list(asked.values()), q, levels.pop())
            for key, rung in zip(asked, of_family, strict=True):
                before = getattr(found[key], field)
                after = tuple(rung if r.null == null else r for r in before)
                found[key] = found[key]._replace(**{field: after})
    return {key: _concluded(verdict) for key, verdict in found.items()}


def _concluded(verdict: Verdict) -> Verdict:
    """The verdict with what follows from its rungs and its naming."""
    tier = tier_of({rung.null: rung.passed for rung in verdict.rungs})
    derivative_like = None if tier == UNRESOLVED else TIERS.index(tier) >= 2
    operator, reason = UNRESOLVED, "a is defined for 3x3 kernels only"
    if verdict.naming is not None:
        operator, reason = verdict.naming.operator, verdict.naming.reason
        if not derivative_like:
            operator, reason = UNRESOLVED, "a name needs kernels that are derivative-like"
    return verdict._replace(
        tier=tier, derivative_like=derivative_like, operator=operator, reason=reason
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

    def __init__(self, kernels: np.ndarray, axes: np.ndarray, level: float, *, centered: bool):
        self.kernels, self.axes, self.level, self.centered = kernels, axes, level, centered
        self.live = live_kernels(kernels)
        self.r2 = plane_r2(kernels, axes, centered=centered)
        self.dimensions = axes.shape[0] - centered
        self.isotropic = axes.shape[1] / self.dimensions

    def mean(self, of_kernels: np.ndarray) -> np.ndarray:
        """Mean (net,) over the live kernels."""
        return mean_over_live(of_kernels, self.live)

    def mean_of(self, others: np.ndarray) -> np.ndarray:
        """Mean R2 (net,) of other kernels of the same networks, over those of them that live."""
        r2 = plane_r2(others, self.axes, centered=self.centered)
        return mean_over_live(r2, live_kernels(others))

    def mean_of_all(self) -> float:
        """Mean R2 of all kernels, the dead ones in; NaN without any."""
        return float(np.nanmean(self.r2)) if np.isfinite(self.r2).any() else float("nan")

    def compare(self, null: str, chance: np.ndarray, margin: float = 0.0) -> Rung:
        measure = CENTRED if self.centered else RAW
        return compare(null, measure, self.mean(self.r2), chance, self.level, margin)


def _rungs(
    layer: _Layer,
    start: np.ndarray | None,
    basis: np.ndarray | None,
    controls: np.ndarray | None,
) -> list[Rung]:
    """All rungs that can be asked."""
    kernels, axes, centered = layer.kernels, layer.axes, layer.centered
    rungs = [layer.compare("N0", np.full(len(kernels), layer.isotropic))]
    if start is not None:
        rungs.append(layer.compare("N1", layer.mean_of(start)))
    permuted = permuted_mean(kernels, axes, centered=centered)
    rungs.append(layer.compare("N2", layer.mean(permuted)))
    if basis is not None and not layer.live.any():
        rungs.append(no_rung("N3", CENTRED if centered else RAW))
    elif basis is not None:
        image_axes = zero_mean_axes(basis, kernels.shape)
        chances = (
            signs_mean(kernels, axes, image_axes, centered=centered),
            phases_mean(kernels, axes, centered=centered),
        )
        rungs.append(
            least_passed(
                [layer.compare("N3", layer.mean(chance), MARGIN) for chance in chances], MARGIN
            )
        )
    if controls is not None:
        rungs.append(layer.compare("N4", layer.mean_of(controls)))
    return rungs


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


def _a_of_images(layer: _Layer, basis: np.ndarray) -> float:
    """The a that the live kernels' energies on the images' own axes would give; NaN without any."""
    if not layer.live.any():
        return float("nan")
    return a_pca(np.mean((rows(layer.kernels[layer.live]) @ basis.T) ** 2, axis=0), basis)


def _significant(
    layer: _Layer, plane: tuple[ArrayLike, ArrayLike], draws: int, seed: int
) -> tuple[int, int | None]:
    """How many live kernels are above isotropic chance, and above their own permuted taps; the latter
    only where rung N2 cannot answer it."""
    of_live = layer.r2[layer.live]
    p = r2_tail(of_live, layer.axes.shape[1], layer.dimensions)
    count = int(np.sum(benjamini_hochberg(p) <= layer.level))
    if len(layer.kernels) >= FEWEST:
        return count, None
    p = permutation_p(layer.kernels[layer.live], *plane, draws=draws, seed=seed)
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
