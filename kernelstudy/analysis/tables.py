"""The tidy tables of a run: summary, tests, ladder, kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from .inference import FEWEST, benjamini_hochberg
from .intervals import bootstrap_t_interval, mean_test
from .kernels import PREFIXES, SHAPE_MEASURES, support_of
from .kind_counts import KindAgreement
from .ladder import Rung
from .opponency import AXES
from .variables import accuracy_on
from .verdict import Verdict

SUMMARY_COLUMNS = ["arm", "step", "measure", "n", "mean", "ci_low", "ci_high"]
TESTS_COLUMNS = ["arm", "step", "measure", "null", "n", "diff", "ci_low", "ci_high", "p", "q"]
KERNELS_COLUMNS = [
    *("arm", "seed", "channel", "norm", "live", "dc", "isotropic", "b1", "b2", "odd"),
    *("theta", "a", "purity", "best", "best_abs_cos", "p_best", "q_best"),
    *("r2_sobel", "r2_sobel_centered"),
]
LADDER_COLUMNS = [
    *("arm", "part", "null", "measure", "n", "value", "chance"),
    *("diff", "ci_low", "ci_high", "p", "q", "passed"),
]
GROWTH_COLUMNS = [
    *("arm", "sector", "n", "start", "end", "new", "new_low", "new_high"),
    *("cross", "cross_low", "cross_high"),
]
CHANGED_COLUMNS = [
    *("arm", "test", "n", "accuracy", "ci_low", "ci_high"),
    *("change", "change_low", "change_high"),
]
COLOURS_COLUMNS = ["arm", "axis", "n", "start", "value", "ci_low", "ci_high", "chance", "p", "q"]
_PLAIN = (
    *("movement", "memory", "cos_start", "start_left"),
    *AXES,
    *("train_loss", "test_accuracy"),
)


def summary(analysis: xr.Dataset) -> pd.DataFrame:
    """Means over networks with 95% bootstrap-t intervals: arm, step, measure, n, mean, ci_low, ci_high.

    a_pop is pooled over the arm's networks, its interval over networks; ci_low > ci_high is an
    interval that runs through infinity, and an empty one is 'unresolved'. Where nothing can be
    measured (the update at step 0) there is no row.
    """
    rows = []
    names = [prefix + name for prefix in PREFIXES.values() for name in SHAPE_MEASURES]
    names += _PLAIN
    measures = {name: analysis[name] for name in names if name in analysis}
    for test in analysis["test"].values if "changed_accuracy" in analysis else ():
        measures[accuracy_on(str(test))] = analysis["changed_accuracy"].sel(test=test, drop=True)
    for name, measure in measures.items():
        interval = partial(bootstrap_t_interval, support=support_of(name))
        for arm, step, values, low, high in _with(interval, measure):
            rows.append((arm, step, name, len(values), values.mean(), low, high))
    kept = (~analysis["diverged"]).sum("seed").values
    for name in (prefix + "a_pop" for prefix in PREFIXES.values()):
        if name not in analysis:
            continue
        at = ("arm", "step")
        value, low, high = (
            analysis[name + end].transpose(*at).values for end in ("", "_low", "_high")
        )
        low, high = (
            np.where(analysis[f"{name}_resolved"].transpose(*at), v, np.nan) for v in (low, high)
        )
        for i, arm in enumerate(analysis["arm"].values):
            for j, step in enumerate(analysis["step"].values):
                if not np.isnan(value[i, j]):
                    row = int(kept[i]), float(value[i, j]), float(low[i, j]), float(high[i, j])
                    rows.append((arm, step, name, *row))
    return _in_order(pd.DataFrame(rows, columns=SUMMARY_COLUMNS), analysis)


def tests(analysis: xr.Dataset) -> pd.DataFrame:
    """Paired tests over networks: arm, step, measure, null, n, diff, ci_low, ci_high, p, q.

    Null N0: the measure less its expectation for isotropic kernels. Null N1: less the same
    network's at step 0 (for the update and the new part: less that of its initial kernels). p is that of
    `mean_test`, empty below 6 networks, where p < .05 is out of reach; q is Benjamini and Hochberg's within
    each arm and step; the interval is the bootstrap-t's.
    """
    rows = []
    for measure in SHAPE_MEASURES:
        if measure not in analysis:
            continue
        initial = analysis[measure].isel(step=0, drop=True)
        expected = analysis["null_mean"].sel(measure=measure, drop=True)
        for name in (prefix + measure for prefix in PREFIXES.values()):
            for null, reference in (("N0", expected), ("N1", initial)):
                for arm, step, values, low, high, p in _with(_test, analysis[name] - reference):
                    if null == "N0" or step > 0:
                        row = arm, step, name, null, len(values), values.mean(), low, high, p
                        rows.append((*row, np.nan))
    table = pd.DataFrame(rows, columns=TESTS_COLUMNS)
    family = table.groupby(["arm", "step"])["p"]
    table["q"] = family.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    return _in_order(table, analysis)


def _test(differences: np.ndarray) -> tuple[np.ndarray, ...]:
    """Interval and p of differences (n, cells)."""
    n, cells = differences.shape
    p = mean_test(differences) if n >= FEWEST else np.full(cells, np.nan)
    return *bootstrap_t_interval(differences), p


def _with(
    function: Callable[[np.ndarray], tuple[np.ndarray, ...]], values: xr.DataArray
) -> list[tuple]:
    """(arm, step, finite values over seeds, and what `function` says of them) of every cell that has any.

    `function`: of (n, cells) gives arrays (cells,); cells with as many values are given to it at once.
    """
    cells = list(_cells(values))
    found: list[tuple[float, ...]] = [()] * len(cells)
    for n in {len(finite) for *_, finite in cells}:
        places = [i for i, (*_, finite) in enumerate(cells) if len(finite) == n]
        together = np.stack([cells[i][2] for i in places], axis=1)
        for i, *of_cell in zip(places, *function(together), strict=True):
            found[i] = tuple(of_cell)
    return [(*cell, *of_cell) for cell, of_cell in zip(cells, found, strict=True)]


def ladder(verdicts: dict[tuple[str, str], Verdict]) -> pd.DataFrame:
    """Every rung of every verdict at the final step, in the deciding measure and then in that of whole
    kernels; `part` is W, update or new."""
    return _rungs({key: [*v.rungs, *v.raw] for key, v in verdicts.items()})


def kinds(counts: dict[tuple[str, str], list[Rung]]) -> pd.DataFrame:
    """Kernels of each kind a network at the final step beside each null model: `trajectory.count_arms`."""
    return _rungs(counts).rename(columns={"measure": "kind"})


def kind_agreement(agreement: dict[tuple[str, str], KindAgreement]) -> pd.DataFrame:
    """How alike the kinds of kernels of two networks of an arm are: `trajectory.agreement_of_arms`."""
    rows = [(*key, *found) for key, found in agreement.items()]
    return pd.DataFrame(rows, columns=["arm", "part", *KindAgreement._fields])


def _rungs(rungs: dict[tuple[str, str], list[Rung]]) -> pd.DataFrame:
    rows = [(*key, *rung[:-1]) for key, of_layer in rungs.items() for rung in of_layer]
    return pd.DataFrame(rows, columns=LADDER_COLUMNS)


def growth(analysis: xr.Dataset) -> pd.DataFrame:
    """How each sector's energy grew by the final step, in units of |W0|^2, means over networks.

    end = start + new + cross: `new` is |dW|^2, learned; `cross` is 2<W0, dW>, amplified; both with
    bootstrap-t intervals. No row for an arm without finite networks or with W0 = 0.
    """
    rows, last = [], analysis.isel(step=-1)
    for arm in analysis["arm"].values:
        for sector in analysis["sector"].values:
            parts = (
                last[f"growth_{p}"].sel(arm=arm, sector=sector) for p in ("start", "new", "cross")
            )
            start, new, cross = (part.values[np.isfinite(part.values)] for part in parts)
            if not len(new):
                continue
            ends = *bootstrap_t_interval(new, support=(0, np.inf)), *bootstrap_t_interval(cross)
            means = start.mean(), (start + new + cross).mean(), new.mean(), cross.mean()
            rows.append((arm, sector, len(new), *means[:3], *ends[:2], means[3], *ends[2:]))
    return pd.DataFrame(rows, columns=GROWTH_COLUMNS)


def colours(analysis: xr.Dataset) -> pd.DataFrame:
    """The filters' energy on each axis of colour at the final step, means over networks with bootstrap-t
    intervals, beside its mean at the start and chance.

    Chance is a third, whatever the filters' patterns: of a filter whose colours are turned at random every axis
    holds as much on average. p is that of `mean_test`, empty below 6 networks; q is over arms and axes.
    """
    rows = []
    for arm in analysis["arm"].values:
        for axis in AXES:
            of_arm = analysis[axis].sel(arm=arm).transpose("step", "seed")
            values, start = (of_arm.values[i] for i in (-1, 0))
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            chance = 1 / len(AXES)
            low, high = bootstrap_t_interval(values, support=support_of(axis))
            p = mean_test(values - chance) if len(values) >= FEWEST else np.nan
            row = arm, axis, len(values), np.nanmean(start), values.mean(), low, high, chance
            rows.append((*row, float(p), np.nan))
    table = pd.DataFrame(rows, columns=COLOURS_COLUMNS)
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    return table


def changed(analysis: xr.Dataset) -> pd.DataFrame:
    """Accuracy on changed test images at the final step, and its difference from the same networks' on the
    clean ones: means over networks with bootstrap-t intervals. No row for an arm without finite networks."""
    rows, last = [], analysis.isel(step=-1)
    for arm in analysis["arm"].values:
        clean = last["test_accuracy"].sel(arm=arm).values
        for test in analysis["test"].values:
            found = last["changed_accuracy"].sel(arm=arm, test=test).values
            known = np.isfinite(found) & np.isfinite(clean)
            if known.any():
                values, change = found[known], (found - clean)[known]
                ends = bootstrap_t_interval(values, support=(0, 1))
                change_ends = bootstrap_t_interval(change, support=(-1, 1))
                row = arm, test, len(values), values.mean(), *ends, change.mean(), *change_ends
                rows.append(row)
    return pd.DataFrame(rows, columns=CHANGED_COLUMNS)


def kernels(trained: xr.Dataset, diverged: xr.DataArray) -> pd.DataFrame:
    """Every kernel of every network at the final step (`Matches.trained`); q_best is within its arm.

    theta, a and purity are empty unless kernels are 3 x 3. Networks that diverged are left out.
    """
    table = trained.drop_vars("kernel").to_dataframe().reset_index()
    kept = ~diverged.to_dataframe(name="diverged")["diverged"]
    table = table[kept.loc[list(zip(table["arm"], table["seed"], strict=True))].to_numpy()]
    family = table.groupby("arm")["p_best"]
    table["q_best"] = family.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    return table.reindex(columns=KERNELS_COLUMNS)


def _cells(values: xr.DataArray):
    """(arm, step, finite values over seeds) of every cell that has any."""
    values = values.transpose("arm", "step", "seed")
    for arm, of_arm in zip(values["arm"].values, values.values, strict=True):
        for step, of_step in zip(values["step"].values, of_arm, strict=True):
            finite = of_step[np.isfinite(of_step)]
            if len(finite):
                yield arm, step, finite


def _in_order(table: pd.DataFrame, analysis: xr.Dataset) -> pd.DataFrame:
    """Arms as the study lists them, then steps; measures stay as they came."""
    rank = {arm: i for i, arm in enumerate(analysis["arm"].values)}
    order = table.assign(_arm=table["arm"].map(rank)).sort_values(["_arm", "step"], kind="stable")
    return order.drop(columns="_arm").reset_index(drop=True)
