"""One network by itself: its kernels are the observations, and nothing is said of other networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kernelstudy.analysis.gradients import a_of_phi, wrap_phi
from kernelstudy.analysis.ladder import permuted_mean, plane_axes, plane_r2
from kernelstudy.analysis.layer import mean_over_live
from kernelstudy.analysis.nulls import as_basis, covariance_matched, permute_taps, r2_distribution
from kernelstudy.analysis.population import PopulationInterval, population_a, population_a_interval

# Of the null networks drawn: bounds memory at large kernels.
NULL_NUMBERS = 20_000_000
WITHIN_COLUMNS = ["null", "measure", "kernels", "value", "chance", "chance_low", "chance_high", "p"]
Plane = tuple[ArrayLike, ArrayLike]


def kernels_a(
    kernels: np.ndarray,
    rounding: np.ndarray,
    *,
    level: float = 0.05,
    draws: int = 200,
    seed: int = 0,
) -> PopulationInterval:
    """`population_a_interval` over the kernels (n, 3, 3) of one network; it speaks of no other.

    `rounding` (n,): quantisation steps. The true weight lies within half a step of the stored one:
    the spread of a over `draws` of such errors, of the law of their sum over input channels (normal
    with step / sqrt(12)), widens the interval in quadrature.
    """
    if not len(kernels):
        kernels = np.zeros((1, 3, 3))
    a = population_a_interval(kernels[:, None], level=1 - level, unit="kernels")
    if not (a.resolved and rounding.any()):
        return a
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, *kernels.shape)) * (rounding / np.sqrt(12))[:, None, None]
    turns = [float(wrap_phi(population_a(kernels + n).phi - a.phi)) for n in noise]
    off = float(np.quantile(np.abs(turns), 1 - level))
    low = a.phi - float(np.hypot(a.phi - a.phi_low, off))
    high = a.phi + float(np.hypot(a.phi_high - a.phi, off))
    if high - low >= np.pi / 2:
        return a._replace(resolved=False, reason="rounding to so few levels leaves a open")
    bounds = {"low": float(a_of_phi(low)), "high": float(a_of_phi(high))}
    return a._replace(phi_low=low, phi_high=high, **bounds)


def ladder_within(
    kernels: np.ndarray,
    plane: Plane,
    patch_basis: np.ndarray | None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[list[tuple], np.ndarray]:
    """The ladder within one network: its mean over kernels among networks that the null draws.

    p = (1 + b) / (1 + B), of the null that the kernels are so drawn. Also N2's p of each kernel.
    """
    n = len(kernels)
    if not n:
        return [], np.zeros(0)
    axes = plane_axes(kernels, *plane)
    r2 = plane_r2(kernels, axes)
    rng = np.random.default_rng(seed)
    law = r2_distribution(axes.shape[1], axes.shape[0])
    null_means = law.rvs((10_000, min(n, 4096)), random_state=rng).mean(axis=1)
    rungs = [_rung("N0", "r2", n, r2.mean(), law.mean(), null_means)]
    count, means = np.zeros(n), []
    batch = max(1, 100_000 // kernels.size)
    for first in range(0, draws, batch):
        copies = np.broadcast_to(kernels, (min(batch, draws - first), *kernels.shape))
        permuted = plane_r2(permute_taps(copies, rng), axes)
        count += np.sum(permuted >= r2 - 1e-12, axis=0)
        means.append(permuted.mean(axis=1))
    expected = mean_over_live(permuted_mean(kernels, axes), np.ones(n, bool))
    rungs.append(_rung("N2", "r2", n, r2.mean(), float(expected), np.concatenate(means)))
    if patch_basis is not None:
        nets = int(np.clip(NULL_NUMBERS // kernels.size, 20, draws))
        basis = as_basis(patch_basis, kernels.shape)
        null_kernels = covariance_matched(kernels, basis, nets * n, rng, match="share")
        null_r2 = plane_r2(null_kernels, axes).reshape(nets, n)
        null_concentration = (null_r2**2).sum(1) / null_r2.sum(1)
        concentration = (r2**2).sum() / r2.sum() if r2.any() else np.nan
        rungs.append(
            _rung(
                "N3",
                "concentration",
                n,
                concentration,
                null_concentration.mean(),
                null_concentration,
            )
        )
    return rungs, (1 + count) / (1 + draws)


def _rung(
    null: str, measure: str, n: int, value: float, expected: float, samples: np.ndarray
) -> tuple:
    low, high = np.quantile(samples, [0.025, 0.975])
    p = (1 + np.sum(samples >= value - 1e-12)) / (1 + len(samples))
    return null, measure, n, float(value), float(expected), float(low), float(high), float(p)
