"""How many kernels of each kind networks have, beside what chance gives them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .arrays import as_kernels, rows
from .inference import benjamini_hochberg
from .intervals import bootstrap_t_interval
from .kinds import KINDS, MIXED, count_kinds, kind_of
from .ladder import Rung, compare, within_family
from .layer import live_kernels
from .nulls import as_basis, isotropic, permute_taps, zero_mean_axes

ALL_KINDS = (*KINDS, MIXED)
_ISOTROPIC = 20_000  # kernels
_DRAWN = 40_000  # kernels of N2 and of N3, about


@lru_cache(maxsize=8)
def isotropic_rates(size: int) -> np.ndarray:
    """Which part of isotropic kernels is of each of `ALL_KINDS`, by Monte Carlo: (kinds,), sums to 1."""
    index = kind_of(isotropic(_ISOTROPIC, size, 0)).index
    return np.bincount(index, minlength=len(ALL_KINDS)) / _ISOTROPIC


def signs_drawn(
    kernels: np.ndarray, patch_basis: ArrayLike, rng: np.random.Generator
) -> np.ndarray:
    """Each kernel (..., k, k) with random signs on the images' axes, its mean as it is: a draw of N3."""
    axes = zero_mean_axes(patch_basis, kernels.shape)
    mean = kernels.mean(axis=(-2, -1), keepdims=True)
    on_axes = rows(kernels) @ axes.T
    drawn = (on_axes * rng.choice([-1.0, 1.0], size=on_axes.shape)) @ axes
    return drawn.reshape(kernels.shape) + mean


def kinds_by_chance(
    kernels: ArrayLike,
    *,
    start: ArrayLike | None = None,
    patch_basis: ArrayLike | None = None,
    controls: ArrayLike | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> list[Rung]:
    """Counts of each kind in networks (net, channel, k, k) beside each null model's, a rung each.

    `value`, `chance`: kernels a network, means over networks; `measure`: the kind. The nulls are those of
    `verdict.judge`: N0 isotropic kernels; N1 the same network at `start`; N2 the same kernels with permuted
    taps; N3 with random signs on the axes of `patch_basis`; N4 the paired `controls`. N0, N2 and N3 by Monte
    Carlo. p is of more or of fewer kernels than by chance (`mean_test` over networks; NaN below 6).
    Networks that are not finite are left out.
    """
    kernels = as_kernels(kernels)
    kept = np.isfinite(kernels).all(axis=(1, 2, 3))
    kernels = kernels[kept]
    rng = np.random.default_rng(seed)
    counts = count_kinds(kernels)
    live = live_kernels(kernels).sum(axis=-1)
    repeats = int(np.clip(_DRAWN // max(1, kernels.shape[0] * kernels.shape[1]), 1, 50))
    chances = {"N0": live[:, None] * isotropic_rates(kernels.shape[-1])}
    if start is not None:
        chances["N1"] = count_kinds(as_kernels(start)[kept])
    chances["N2"] = _mean_count(lambda: permute_taps(kernels, rng), repeats)
    if patch_basis is not None:
        basis = as_basis(patch_basis, kernels.shape)
        chances["N3"] = _mean_count(lambda: signs_drawn(kernels, basis, rng), repeats)
    if controls is not None:
        chances["N4"] = count_kinds(as_kernels(controls)[kept])
    return [
        compare(null, kind, counts[:, column], chance[:, column], level)
        for column, kind in enumerate(ALL_KINDS)
        for null, chance in chances.items()
    ]


class KindAgreement(NamedTuple):
    """Of `n` networks: which share of two networks' kernels can be paired off by kind, mean over pairs with a
    95% interval; of networks of `random` kernels; of networks whose kernels are `drawn` one by one from the
    pooled mixture of these. NaN with fewer than two networks, the interval with fewer than three."""

    n: int
    share: float
    ci_low: float
    ci_high: float
    random: float
    drawn: float


def kind_agreement(kernels: ArrayLike) -> KindAgreement:
    """How alike the mixtures of kinds are that networks (net, channel, k, k) of one arm have come to.

    Two networks share the sum over `ALL_KINDS` of the smaller of their counts, over the number of channels.
    Above `drawn`, networks are more alike than draws from one mixture; below it, they differ as wholes. Both
    expectations are exact given the rates of the kinds, for counts are binomial. The interval is of the
    jackknife's pseudo-values of a U-statistic (Arvesen 1969, Ann. Math. Stat. 40:2076), which are skewed where
    nearly all kernels pair off (`bootstrap_t_interval`); there it still covers somewhat less than it says
    (results/calibration). Networks that are not finite are left out. Blind to: which kernel is of which kind,
    and how far it is; networks of a rare sort of which none is among these.
    """
    kernels = as_kernels(kernels)
    kernels = kernels[np.isfinite(kernels).all(axis=(1, 2, 3))]
    n, channels = kernels.shape[:2]
    if n < 2:
        return KindAgreement(n, *[np.nan] * 5)
    counts, wanted = count_kinds(kernels), np.arange(1, channels + 1)
    live = counts.sum(axis=1).astype(int)

    def shared(at_least: np.ndarray) -> np.ndarray:
        """(net,): what each shares with all others together, from how likely each has so many of a kind at
        least: (net, kind, channel)."""
        flat = at_least.reshape(n, -1)  # the smaller of two counts: how many numbers both reach
        return (flat @ flat.sum(axis=0) - np.sum(flat**2, axis=1)) / channels

    def expected(rates: np.ndarray) -> float:
        tail = special.bdtrc(wanted - 1, live[:, None, None], rates[:, None])
        return float(shared(np.nan_to_num(tail)).sum() / (n * (n - 1)))

    found = shared((counts[..., None] >= wanted).astype(float))
    share = found.sum() / (n * (n - 1))
    ci_low = ci_high = np.nan
    if n > 2:
        without = (found.sum() - 2 * found) / ((n - 1) * (n - 2))
        low, high = bootstrap_t_interval(n * share - (n - 1) * without, support=(0, 1))
        ci_low, ci_high = float(low), float(high)
    pooled = counts.sum(axis=0) / max(1, counts.sum())
    random = expected(isotropic_rates(kernels.shape[-1]))
    return KindAgreement(n, float(share), ci_low, ci_high, random, expected(pooled))


def counts_as_family(found: dict, level: float = 0.05) -> dict:
    """Rungs of several layers, by any key, each with its q over the layers of its kind and null model."""
    places: dict[tuple[str, str], list[tuple]] = {}
    for key, rungs in found.items():
        for index, rung in enumerate(rungs):
            places.setdefault((rung.measure, rung.null), []).append((key, index))
    settled = {key: list(rungs) for key, rungs in found.items()}
    for family in places.values():
        rungs = [found[key][index] for key, index in family]
        q = benjamini_hochberg([rung.p for rung in rungs])
        for (key, index), rung in zip(family, within_family(rungs, q, level), strict=True):
            settled[key][index] = rung
    return settled


def _mean_count(draw, repeats: int) -> np.ndarray:
    return np.mean([count_kinds(draw()) for _ in range(repeats)], axis=0)
