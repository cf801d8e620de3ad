"""One network by itself: its kernels are the observations, and nothing is said of other networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kernelstudy.analysis.arrays import unit_rows
from kernelstudy.analysis.gradients import a_of_phi, wrap_phi
from kernelstudy.analysis.ladder import (
    CENTRED,
    MARGIN,
    phases_mean,
    plane_axes,
    plane_r2,
    signs_mean,
)
from kernelstudy.analysis.nulls import (
    permute_taps,
    phase_scrambled,
    r2_sample,
    zero_mean_axes,
)
from kernelstudy.analysis.population import PopulationInterval, population_a, population_a_interval

# Of the null networks drawn: bounds memory at large kernels.
NULL_NUMBERS = 20_000_000
WITHIN_COLUMNS = ["null", "measure", "kernels", "value", "chance", "chance_low", "chance_high", "p"]
Plane = tuple[ArrayLike, ...]  # directions: gx and gy, or those of another number of axes

COPIES = 0.95  # |cos| above which of two kernels of a layer one is an observation


def one_of_each(kernels: np.ndarray) -> np.ndarray:
    """Which kernels (n, k, k) of a layer stand for it where near-copies count once: rising indices (m,).

    From the largest kernel on, each is taken that has a |cos| of `COPIES` at most with all taken before.
    Layers hold many copies: counted one by one they would be called independent evidence. A zero kernel is a
    copy of none.
    """
    unit = np.nan_to_num(unit_rows(kernels))
    taken: list[int] = []
    for index in np.argsort(-np.linalg.norm(kernels, axis=(-2, -1)), kind="stable"):
        if not taken or np.abs(unit[taken] @ unit[index]).max() <= COPIES:
            taken.append(int(index))
    return np.sort(np.array(taken, dtype=int))


def kernels_a(
    kernels: np.ndarray,
    rounding: np.ndarray,
    *,
    level: float = 0.05,
    draws: int = 200,
    seed: int = 0,
) -> PopulationInterval:
    """`population_a_interval` over the kernels (n, 3, 3) of one network, near-copies once
    (`one_of_each`); it speaks of no other network.

    `rounding` (n,): quantisation steps. The true weight lies within half a step of the stored one:
    the spread of a over `draws` of such errors, of the law of their sum over input channels (normal
    with step / sqrt(12)), widens the interval in quadrature.
    """
    if not len(kernels):
        kernels, rounding = np.zeros((1, 3, 3)), np.zeros(1)
    taken = one_of_each(kernels)
    told = "kernels" if len(taken) == len(kernels) else "kernels that are no copies of each other"
    kernels, rounding = kernels[taken], rounding[taken]
    a = population_a_interval(kernels[:, None], level=1 - level, unit=told)
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

    The measure is the centred R2; near-copies count once (`one_of_each`). p = (1 + b) / (1 + B), of the null
    that the kernels are so drawn. N3 as in `analysis.verdict.judge`: random signs on the images' axes and
    random phases, whichever is exceeded least, and p is of an excess over `MARGIN`. Also N2's p of each
    kernel, copies or not.
    """
    if not len(kernels):
        return [], np.zeros(0)
    axes = plane_axes(kernels, *plane)
    r2, taken = plane_r2(kernels, axes, centered=True), one_of_each(kernels)
    n, value = len(taken), float(r2[taken].mean())
    rng = np.random.default_rng(seed)
    law = axes.shape[1], axes.shape[0] - 1
    chance = law[0] / law[1]
    null_means = r2_sample((10_000, min(n, 4096)), *law, rng).mean(axis=1)
    rungs = [_rung("N0", n, value, chance, null_means)]
    count, means = np.zeros(len(kernels)), []
    batch = max(1, 100_000 // kernels.size)
    for first in range(0, draws, batch):
        copies = np.broadcast_to(kernels, (min(batch, draws - first), *kernels.shape))
        permuted = plane_r2(permute_taps(copies, rng), axes, centered=True)
        count += np.sum(permuted >= r2 - 1e-12, axis=0)
        means.append(permuted[:, taken].mean(axis=1))
    rungs.append(_rung("N2", n, value, chance, np.concatenate(means)))
    if patch_basis is not None:
        nets = int(np.clip(NULL_NUMBERS // kernels.size, 20, draws))
        rungs.append(_image_energies(kernels[taken], axes, patch_basis, nets, rng))
    return rungs, (1 + count) / (1 + draws)


def _image_energies(
    kernels: np.ndarray,
    axes: np.ndarray,
    patch_basis: np.ndarray,
    nets: int,
    rng: np.random.Generator,
) -> tuple:
    """Rung N3."""
    n, value = len(kernels), float(plane_r2(kernels, axes, centered=True).mean())
    basis = zero_mean_axes(patch_basis, kernels.shape)
    on_axes, through = unit_rows(kernels, centered=True) @ basis.T, basis @ axes
    signs = (rng.choice([-1.0, 1.0], on_axes.shape) for _ in range(nets))
    by_signs = [np.sum((on_axes * s @ through) ** 2) / n for s in signs]
    by_phases = [
        plane_r2(phase_scrambled(kernels, rng), axes, centered=True).mean() for _ in range(nets)
    ]
    chances = (
        float(signs_mean(kernels, axes, basis, centered=True).mean()),
        float(phases_mean(kernels, axes, centered=True).mean()),
    )
    found = [
        _rung("N3", n, value, chance, np.array(drawn), MARGIN)
        for chance, drawn in zip(chances, (by_signs, by_phases), strict=True)
    ]
    return max(found, key=lambda rung: rung[-1])


def _rung(
    null: str, n: int, value: float, expected: float, samples: np.ndarray, margin: float = 0.0
) -> tuple:
    low, high = np.quantile(samples, [0.025, 0.975])
    p = (1 + np.sum(samples + margin >= value - 1e-12)) / (1 + len(samples))
    return null, CENTRED, n, float(value), float(expected), float(low), float(high), float(p)
