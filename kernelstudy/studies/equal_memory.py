"""Arms compared where they have forgotten as much of their start, not after as many steps. No JAX."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy import runs
from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.analysis.kernels import DELTA
from kernelstudy.analysis.trajectory import measure_trajectory
from kernelstudy.studies.plan import StudyRuns

PARTS = {"W": "", "update": DELTA}  # prefixes of measures


def first_at(memory: np.ndarray, value: np.ndarray, level: float) -> float:
    """The value where memory first falls to `level`, between log points in a straight line.

    memory, value: (steps,), from step 0 on. NaN where memory stays above the level, or the value is not known.
    """
    known = np.isfinite(memory) & np.isfinite(value)
    memory, value = memory[known], value[known]
    below = np.flatnonzero(memory <= level)
    if not len(below):
        return np.nan
    at = below[0]
    if at == 0 or memory[at - 1] == memory[at]:
        return float(value[at])
    share = (memory[at - 1] - level) / (memory[at - 1] - memory[at])
    return float(value[at - 1] + share * (value[at] - value[at - 1]))


def difference(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """(memory, value of `one` less that of `other` there), for (memory, value) of two networks of one seed: at
    the least memory that both have come to."""
    lowest = [np.nanmin(memory, initial=1.0) for memory, _ in (one, other)]
    level = float(max(lowest))
    return level, first_at(*one, level) - first_at(*other, level)


def compared(found: StudyRuns, pairs: dict[str, str], part: str = "W") -> pd.DataFrame:
    """Every pair of arms (one -> other) in every run, paired by seed.

    data, arm, other, n, memory; the primary measure of the one less that of the other after as many steps
    (at_steps) and where both have that memory (at_memory), with 95% bootstrap-t intervals (_low, _high)."""
    rows = []
    for (data, *_), run in found.places.items():
        trajectory = runs.read_trajectory(run)
        study = runs.read_settings(run)
        measured = measure_trajectory(trajectory, study.bank.kernels)
        values = measured[PARTS[part] + found.sweep.metric]
        for one, other in pairs.items():
            if {one, other} <= set(trajectory["arm"].values):
                rows.append((data, one, other, *_row(measured, values, one, other)))
    ends = [f"{name}{end}" for name in ("at_steps", "at_memory") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["data", "arm", "other", "n", "memory", *ends])


def _row(measured: xr.Dataset, values: xr.DataArray, one: str, other: str) -> tuple[float, ...]:
    kept = ~measured["diverged"].sel(arm=[one, other]).any("arm").values

    def curves(arm: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """(memory, value) of every network, over the steps."""
        parts = (of.sel(arm=arm).transpose("seed", "step").values[kept] for of in both)
        return list(zip(*parts, strict=True))

    both = measured["memory"], values
    pairs = list(zip(curves(one), curves(other), strict=True))
    at_steps = np.array([mine[1][-1] - theirs[1][-1] for mine, theirs in pairs])
    levels, at_memory = np.array([difference(*pair) for pair in pairs]).reshape(-1, 2).T
    ends = [(of.mean(), *bootstrap_t_interval(of)) for of in (at_steps, at_memory)]
    return (len(pairs), float(levels.mean()), *(float(x) for end in ends for x in end))


READING = (
    "At equal memory: each pair of networks is compared where both have come to the same memory of their "
    "start, the least that both reach; memory and measure lie on straight lines between log points. An arm "
    "may have changed its kernels further in as many steps; this takes that away."
)


def shown(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """`compared` as a page shows it. names: arm -> words, of all arms."""

    def interval(row: pd.Series, at: str) -> str:
        return f"{row[at]:+.2f} [{row[f'{at}_low']:+.2f}, {row[f'{at}_high']:+.2f}]"

    columns = {
        "data": table["data"],
        "arm": table["arm"].map(names),
        "less": table["other"].map(names),
        "after as many steps": [interval(row, "at_steps") for _, row in table.iterrows()],
        "at equal memory": [interval(row, "at_memory") for _, row in table.iterrows()],
        "memory there": table["memory"].map("{:.0%}".format),
    }
    return pd.DataFrame(columns)
