"""Measures of kernels and of networks of kernels, and what isotropic ones give by chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from kernelstudy import handcrafted

from .gradients import derivative_fit
from .layer import live_kernels, mean_over_live
from .nulls import isotropic
from .opponency import AXES
from .sectors import SECTORS, sector_energies
from .similarity import BestMatch, best_match, cosine, steered_r2

# Of the shape of a network's kernels; each can be held against chance.
SHAPE_MEASURES = (
    *SECTORS,
    "r2_sobel",
    "r2_sobel_centered",
    "r2_prewitt",
    "purity",
    "best_abs_cos",
)
# Prefixes of measures of the update W - W0, and of the new part: W less its projection on W0.
DELTA, NEW = "delta_", "new_"
PREFIXES = {"W": "", "update": DELTA, "new": NEW}

NULL_NETWORKS = 4000

Bank = Mapping[str, np.ndarray]


def support_of(name: str) -> tuple[float, float]:
    """Between which limits the mean of a measure lies: shares within 0 and 1, the rest above 0."""
    plain = name.removeprefix(DELTA).removeprefix(NEW).partition("[")[0]
    if plain == "cos_start":
        return -1.0, 1.0
    share = plain in (*SHAPE_MEASURES, *AXES, "test_accuracy", "changed_accuracy", "memory")
    return (0.0, 1.0) if share else (0.0, np.inf)


def usable_bank(names: list[str], size: int) -> dict[str, np.ndarray]:
    """The hand-crafted kernels of `names` that exist at this size."""
    return {
        name: handcrafted.kernel(name, size) for name in names if name in handcrafted.names(size)
    }


def network_measures(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Measures of networks from their kernels (..., channel, k, k): name -> (...).

    The sector shares weigh each kernel by its energy; the others are means over live kernels.
    `purity` exists for 3 x 3 only. Non-finite kernels give NaN.
    """
    kernels = np.where(np.isfinite(kernels).all((-3, -2, -1), keepdims=True), kernels, 0)
    size, live = kernels.shape[-1], live_kernels(kernels)
    energy = (kernels**2).sum((-3, -2, -1))
    shares = sector_energies(kernels).sum(-2) / np.where(energy > 0, energy, np.nan)[..., None]
    measures = {name: shares[..., i] for i, name in enumerate(SECTORS)}
    for name, values in kernel_measures(kernels, bank).items():
        if name != "theta" and name != "a":
            measures[name] = mean_over_live(values, live)
    assert size == 3 or "purity" not in measures
    return measures


def kernel_measures(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Measures of single kernels (..., k, k): name -> (...); theta, a and purity for 3 x 3 only."""
    size = kernels.shape[-1]
    measures = {}
    # Hand-crafted kernels exist at odd sizes up to 11; other people's networks have others too.
    if "sobel_x" in handcrafted.names(size):
        sobel, prewitt = (
            [handcrafted.kernel(f"{operator}_{axis}", size) for axis in "xy"]
            for operator in ("sobel", "prewitt")
        )
        measures |= {
            "r2_sobel": steered_r2(kernels, *sobel),
            "r2_sobel_centered": steered_r2(kernels, *sobel, centered=True),
            "r2_prewitt": steered_r2(kernels, *prewitt),
        }
    if bank:
        measures["best_abs_cos"] = np.abs(cosine(kernels, bank)).max(-1)
    if size == 3:
        fit = derivative_fit(kernels)
        measures |= {"theta": fit.theta, "a": fit.a, "purity": fit.purity}
    return measures


def isotropic_chance(
    size: int, channels: int, bank: Bank, *, networks: int = NULL_NETWORKS, seed: int = 0
) -> xr.Dataset:
    """N0: what networks of `channels` isotropic kernels give.

    Returns null_mean (measure): exact where the law is known (sector shares, R2), else by Monte
    Carlo over so many `networks`; null_low, null_high (measure): the middle 95% of networks.
    """
    rng = np.random.default_rng(seed)
    kernels = isotropic(networks * channels, size, rng)
    drawn = network_measures(kernels.reshape(networks, channels, size, size), bank)
    low, high = np.quantile(np.stack(list(drawn.values())), [0.025, 0.975], axis=1)
    mean = {name: values.mean() for name, values in drawn.items()} | exact_means(size)
    return xr.Dataset(
        {
            "null_mean": ("measure", [mean[name] for name in drawn]),
            "null_low": ("measure", low),
            "null_high": ("measure", high),
        },
        coords={"measure": list(drawn)},
    )


def exact_means(size: int) -> dict[str, float]:
    """Expectations under isotropy that are known: a subspace's share is its part of the dimensions."""
    taps = np.eye(size * size).reshape(-1, size, size)
    dimensions = sector_energies(taps).sum(0)
    plane, centered = (2 / d for d in (size**2, size**2 - 1))  # of `r2_distribution(2, d)`
    return {
        **{name: float(n) / size**2 for name, n in zip(SECTORS, dimensions, strict=True)},
        "r2_sobel": plane,
        "r2_prewitt": plane,
        "r2_sobel_centered": centered,
    }


def kernel_matches(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Single kernels (..., channel, k, k) with their best matches: name -> (..., channel).

    norm, live, the five sector shares, the measures of `kernel_measures`, best (a name), best_abs_cos
    and p_best, the p-value of that maximum; '' and NaN where the bank is empty.
    """
    if bank:
        match = best_match(kernels, bank)
    else:
        nothing = np.full(kernels.shape[:-2], np.nan)
        match = BestMatch(np.full(nothing.shape, ""), nothing, nothing)
    norm = np.linalg.norm(kernels, axis=(-2, -1))
    energies = sector_energies(kernels) / np.where(norm > 0, norm, np.nan)[..., None] ** 2
    return kernel_measures(kernels, bank) | {
        "norm": norm,
        "live": live_kernels(kernels),
        **{name: energies[..., i] for i, name in enumerate(SECTORS)},
        "best": match.names,
        "best_abs_cos": match.abs_cos,
        "p_best": match.p,
    }
