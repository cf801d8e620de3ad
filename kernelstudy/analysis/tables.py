"""The tidy tables of a run: summary, tests, ladder, kernels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from .inference import FEWEST, benjamini_hochberg, sign_flip_test
from .intervals import bootstrap_t_interval, t_interval
from .kernels import DELTA, SHAPE_MEASURES, support_of
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
    *("diff", "ci_low", "ci_high", "p", "passed"),
]
GROWTH_COLUMNS = [
    *("arm", "sector", "n", "start", "end", "new", "new_low", "new_high"),
    *("cross", "cross_low", "cross_high"),
]
_PLAIN = ("movement", "train_loss", "test_accuracy")


def summary(analysis: xr.Dataset) -> pd.DataFrame:
    """Means over networks with 95% bootstrap-t intervals: arm, step, measure, n, mean, ci_low, ci_high.

    a_pop is pooled over the arm's networks, its interval over networks; ci_low > ci_high is an
    interval that runs through infinity, and an empty one is 'unresolved'. Where nothing can be
    measured (the update at step 0) there is no row.
    """
    rows = []
    names = [*SHAPE_MEASURES, *(DELTA + name for name in SHAPE_MEASURES), *_PLAIN]
    for name in names:
        if name in analysis:
            for arm, step, values in _cells(analysis[name]):
                low, high = bootstrap_t_interval(values, support=support_of(name))
                rows.append((arm, step, name, len(values), values.mean(), low, high))
    kept = (~analysis["diverged"]).sum("seed")
    for name in ("a_pop", f"{DELTA}a_pop"):
        if name not in analysis:
            continue
        for arm in analysis["arm"].values:
            for step in analysis["step"].values:
                at = {"arm": arm, "step": step}
                value, low, high = (
                    float(analysis[name + end].sel(at)) for end in ("", "_low", "_high")
                )
                if not bool(analysis[f"{name}_resolved"].sel(at)):
                    low = high = np.nan
                if not np.isnan(value):
                    rows.append((arm, step, name, int(kept.sel(arm=arm)), value, low, high))
    return _in_order(pd.DataFrame(rows, columns=SUMMARY_COLUMNS), analysis)


def tests(analysis: xr.Dataset) -> pd.DataFrame:
    """Paired tests over networks: arm, step, measure, null, n, diff, ci_low, ci_high, p, q.

    Null N0: the measure less its expectation for isotropic kernels. Null N1: less the same
    network's at step 0 (for the update: less that of the network's initial kernels). p is the exact
    sign-flip test's, empty below 6 networks, where p < .05 is out of reach; q is Benjamini and
    Hochberg's within each arm and step; the interval is Student's.
    """
    rows = []
    for measure in SHAPE_MEASURES:
        if measure not in analysis:
            continue
        initial = analysis[measure].isel(step=0, drop=True)
        expected = analysis["null_mean"].sel(measure=measure, drop=True)
        for name in (measure, DELTA + measure):
            for null, reference in (("N0", expected), ("N1", initial)):
                for arm, step, values in _cells(analysis[name] - reference):
                    if null == "N1" and step == 0:
                        continue
                    low, high = t_interval(values)
                    p = sign_flip_test(values) if len(values) >= FEWEST else np.nan
                    rows.append(
                        (arm, step, name, null, len(values), values.mean(), low, high, p, np.nan)
                    )
    table = pd.DataFrame(rows, columns=TESTS_COLUMNS)
    family = table.groupby(["arm", "step"])["p"]
    table["q"] = family.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    return _in_order(table, analysis)


def ladder(verdicts: dict[tuple[str, str], Verdict]) -> pd.DataFrame:
    """Every rung of every verdict at the final step; `part` is W or update."""
    rows = [
        (
            arm,
            part,
            r.null,
            r.measure,
            r.n,
            r.value,
            r.chance,
            r.difference,
            r.low,
            r.high,
            r.p,
            r.passed,
        )
        for (arm, part), verdict in verdicts.items()
        for r in verdict.rungs
    ]
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
