"""Layers whose kernels are 1-D, 3-D or oblong, measured as far as there is chance to hold them against.

Square kernels of two axes have more: named operators, parametric fits, image statistics. Their nulls are of
such kernels alone, so of others they are not asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kernelstudy.analysis.any_shape import (
    central_slices,
    derivatives,
    low_share,
    parities,
    parity_dimensions,
    parity_energies,
    textbook,
)
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.kernels import exact_means
from kernelstudy.analysis.ladder import derivative_plane, plane_axes, plane_r2
from kernelstudy.analysis.layer import orthogonality, variance_entropy
from kernelstudy.analysis.nulls import r2_tail
from kernelstudy.analysis.sectors import SECTORS, sector_energies
from kernelstudy.analysis.similarity import best_match

from .measure import Subject, flags_of, float_precision, profiles_of
from .opening import Opened
from .within import NULL_NUMBERS, WITHIN_COLUMNS, kernels_a, ladder_within

MOST_TAPS = 1024
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class ShapeMeasures:
    """`profiles` (channel, *shape), whose axes `axes` names; `flags` (channel,): '', 'dead' or 'constant'.

    Tables: `kernels` (a row a kernel), `layer` (measures beside chance), `ladder` (null models), `slices` (the
    three central planes of 3-D kernels, square ones; else empty).
    """

    name: str
    axes: str
    profiles: np.ndarray
    flags: np.ndarray
    kernels: pd.DataFrame
    layer: pd.DataFrame
    ladder: pd.DataFrame
    slices: pd.DataFrame
    level: float

    @property
    def live(self) -> np.ndarray:
        """The profiles of the kernels that count."""
        return self.profiles[self.flags == ""]


def is_square(one: Opened) -> bool:
    """Whether the kernels are square ones of two axes (1 x 1 among them)."""
    return one.kernels.ndim == 5 and one.kernels.shape[1] == one.kernels.shape[2]


def measure_shape(one: Opened, *, level: float, seed: int) -> ShapeMeasures:
    """All that can be measured of one network's kernels (1, *shape, in, out).

    Raises:
        ValueError: kernels of one tap, of too many, of too few to tell shapes apart, or not finite.
    """
    _check(one)
    shape, (cin, cout) = one.kernels.shape[1:-2], one.kernels.shape[-2:]
    # the measures that know no places, only taps, take kernels as (1, taps)
    flat = one.kernels.reshape(1, 1, -1, cin, cout)
    profiles, share = profiles_of(flat)
    step = np.broadcast_to(0.0 if one.rounding is None else one.rounding, (cout,))
    ulp = np.abs(flat).max(axis=(0, 1, 2, 3)) * float_precision(flat, one.dtype)
    flags = flags_of(Subject(one.name, profiles, share, step, ulp))[0]
    live, rows = flags == "", profiles[0]
    kernels = rows.reshape(cout, *shape)
    frame = tuple(d.reshape(1, -1) for d in derivatives(shape).values())
    rungs, p_permuted = ladder_within(rows[live], frame, None, seed=seed)
    table = _kernel_table(kernels, flags, frame, p_permuted, seed)
    table.insert(3, "colour_share", share[0])
    slices = pd.DataFrame()
    if len(shape) == 3 and len(set(shape)) == 1 and live.any():
        slices = _slices(kernels[live], ulp[live], level=level, seed=seed)
    return ShapeMeasures(
        one.name,
        one.axes,
        kernels,
        flags,
        table,
        _layer_table(kernels[live], seed) if live.any() else pd.DataFrame(),
        pd.DataFrame(rungs, columns=WITHIN_COLUMNS),
        slices,
        level,
    )


def _check(one: Opened) -> None:
    shape, taps = one.kernels.shape[1:-2], math.prod(one.kernels.shape[1:-2])
    size = " x ".join(map(str, shape))
    if taps == 1:
        raise ValueError(
            f"{one.name}: its kernels are of one tap, which has no shape: there is nothing to compare"
        )
    if taps > MOST_TAPS:
        raise ValueError(
            f"{one.name}: its kernels are {size}; compared are {MOST_TAPS:,} taps at most"
        )
    if taps - 1 <= sum(n > 1 for n in shape):
        raise ValueError(
            f"{one.name}: kernels of {taps} taps have, less their mean, one shape alone: there is nothing to "
            "hold against chance"
        )
    broken = int((~np.isfinite(one.kernels)).any(axis=tuple(range(one.kernels.ndim - 1))).sum())
    if broken:
        raise ValueError(
            f"{one.name}: {broken} of {one.kernels.shape[-1]} filters hold NaN or infinite weights"
        )


def _kernel_table(
    kernels: np.ndarray, flags: np.ndarray, frame: tuple, p_permuted: np.ndarray, seed: int
) -> pd.DataFrame:
    shape, live = kernels.shape[1:], flags == ""
    flat = kernels.reshape(len(kernels), 1, -1)
    axes = plane_axes(flat, *frame)
    bank = {name: kernel.reshape(1, -1) for name, kernel in textbook(shape).items()}
    match = best_match(flat, bank, seed=seed)
    r2 = plane_r2(flat, axes, centered=True)
    tail = r2_tail(np.nan_to_num(r2), axes.shape[1], axes.shape[0] - 1)
    permuted = np.full(len(kernels), np.nan)
    permuted[live] = p_permuted
    energy = (flat**2).sum(axis=(-2, -1))
    shares = parity_energies(kernels, len(shape)) / np.where(energy > 0, energy, np.nan)[:, None]
    columns = {
        "channel": np.arange(len(kernels)),
        "live": live,
        "flag": flags,
        "norm": np.sqrt(energy),
        **dict(zip(parities(shape), shares.T, strict=True)),
        "r2": plane_r2(flat, axes),
        "r2_centered": r2,
        "p_r2": np.where(live, tail, np.nan),
        "p_permuted": permuted,
        "best": match.names,
        "best_abs_cos": match.abs_cos,
        "p_best": np.where(live, match.p, np.nan),
    }
    for name in ("r2", "permuted", "best"):
        columns[f"q_{name}"] = benjamini_hochberg(columns[f"p_{name}"])
    if len(shape) == 1:
        columns["low_share"] = low_share(kernels)
    return pd.DataFrame(columns)


def _layer_table(kernels: np.ndarray, seed: int) -> pd.DataFrame:
    """measure, value, chance, chance_low, chance_high: layers of as many isotropic kernels (N0)."""
    shape, n = kernels.shape[1:], len(kernels)
    networks = int(np.clip(NULL_NUMBERS // (8 * max(n, 64) * kernels.size), 20, 400))
    rng = np.random.default_rng(seed)
    drawn = [_layer_values(rng.standard_normal(kernels.shape)) for _ in range(networks)]
    exact = dict(zip(parities(shape), parity_dimensions(shape) / math.prod(shape), strict=True))
    rows = []
    for name, value in _layer_values(kernels).items():
        chance = np.array([one[name] for one in drawn])
        mean = exact.get(name, 0.5 if name == "low_share" else chance.mean())
        rows.append((name, value, mean, *np.quantile(chance, [_LOW, _HIGH])))
    return pd.DataFrame(rows, columns=["measure", "value", "chance", "chance_low", "chance_high"])


def _layer_values(kernels: np.ndarray) -> dict[str, float]:
    shape, flat = kernels.shape[1:], kernels.reshape(len(kernels), 1, -1)
    energies = parity_energies(kernels / np.abs(kernels).max(), len(shape)).sum(axis=0)
    found = dict(zip(parities(shape), (energies / energies.sum()).tolist(), strict=True))
    if len(shape) == 1:
        found["low_share"] = float(np.mean(low_share(kernels)))
    if len(kernels) > 1:
        found["variance_entropy"] = float(variance_entropy(flat))
        found["orthogonality"] = float(orthogonality(flat))
    return found


def _slices(kernels: np.ndarray, ulp: np.ndarray, *, level: float, seed: int) -> pd.DataFrame:
    """The central planes of 3-D kernels (n, k, k, k) as n square kernels each: sectors and R2 beside chance.

    a, of 3 x 3 planes, where it is resolved over the layer's kernels.
    """
    rows, size = [], kernels.shape[-1]
    chance = exact_means(size)
    for plane, found in central_slices(kernels).items():
        peak = np.abs(found).max() or 1.0
        energies = sector_energies(found / peak).sum(axis=0)
        axes = plane_axes(found, *derivative_plane(size))
        row = {"plane": plane, "energy": (found**2).sum() / (kernels**2).sum()}
        row |= dict(zip(SECTORS, energies / ((found / peak) ** 2).sum(), strict=True))
        row |= {
            "r2": np.nanmean(plane_r2(found, axes, centered=True)),
            "r2_chance": 2 / (size**2 - 1),
        }
        if size == 3:
            a = kernels_a(found, np.sqrt(12) * ulp, level=level, seed=seed)
            row |= {"a": a.a, "a_low": a.low, "a_high": a.high} if a.resolved else {"a": np.nan}
        rows.append(row)
    rows.append({"plane": "chance", "energy": 1 / size, **{s: chance[s] for s in SECTORS}})
    return pd.DataFrame(rows)
