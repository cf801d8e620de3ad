"""The answer in plain sentences, each number read from the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy.analysis.gradients import OPERATORS, phi_of_a
from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.study import DELTA

METRIC_WORDS = {
    "r2_sobel_centered": "R² with the steered Sobel pair (mean removed)",
    "r2_sobel": "R² with the steered Sobel pair",
    "r2_prewitt": "R² with the steered Prewitt pair",
    "best_abs_cos": "best |cos| over the bank",
    "odd": "odd (gradient-like) share",
}


def sentences(
    analysis: xr.Dataset, summary: pd.DataFrame, tests: pd.DataFrame, metric: str
) -> list[tuple[str, list[str]]]:
    """(arm, its sentences) for every arm: W, then W - W0, then which operator, then accuracy."""
    step = int(analysis["step"][-1])
    final = summary[summary["step"] == step].set_index(["arm", "measure"])
    tested = tests[tests["step"] == step].set_index(["arm", "measure", "null"])
    chance = float(analysis["null_mean"].sel(measure=metric))
    found = []
    for arm in (str(a) for a in analysis["arm"].values):
        if (arm, metric) not in final.index:
            found.append((arm, ["Every network diverged: nothing to measure."]))
            continue
        lines = [
            _of_kernels(analysis, final, tested, arm, metric, chance),
            _of_update(analysis, final, tested, arm, metric, chance),
        ]
        if "a_pop" in analysis:
            lines.append(_operator(analysis, arm))
        accuracy = final.loc[(arm, "test_accuracy")]
        lines.append(f"Test accuracy {_interval(accuracy, percent=True)}.")
        found.append((arm, lines))
    return found


def refusal(analysis: xr.Dataset) -> str:
    """Why there are no p-values, or nothing."""
    fewest = int((~analysis["diverged"]).sum("seed").min())
    if fewest >= FEWEST:
        return ""
    return (
        f"No p-values where an arm has fewer than {FEWEST} networks (the least here is {fewest}): with "
        f"n networks an exact sign-flip test cannot give less than 2/2ⁿ, so p < .05 is out of reach "
        f"below {FEWEST}."
    )


def diverged(analysis: xr.Dataset) -> str:
    """How many networks were excluded, or nothing."""
    counts = {
        str(arm): int(n)
        for arm, n in zip(
            analysis["arm"].values, analysis["diverged"].sum("seed").values, strict=True
        )
        if n
    }
    if not counts:
        return ""
    listed = ", ".join(f"{n} of {analysis.sizes['seed']} in {arm}" for arm, n in counts.items())
    return f"Diverged (the loss stopped being finite) and excluded: {listed}."


def _of_kernels(analysis, final, tested, arm, metric, chance) -> str:
    row, n0 = final.loc[(arm, metric)], tested.loc[(arm, metric, "N0")]
    start = float(analysis[metric].sel(arm=arm).isel(step=0).mean())
    moved = final.loc[(arm, "movement")]
    text = (
        f"Kernels W: {METRIC_WORDS[metric]} {_interval(row)}; chance is {chance:.2f}"
        f"{_p(n0)}, and it was {start:.2f} at step 0"
    )
    if (arm, metric, "N1") in tested.index:
        text += _p(tested.loc[(arm, metric, "N1")])
    if moved["mean"] == 0:
        return text + ": the first layer was frozen."
    return text + f". The kernels moved by {moved['mean']:.0%} of their initial norm."


def _of_update(analysis, final, tested, arm, metric, chance) -> str:
    name = DELTA + metric
    if (arm, name) not in final.index:
        return "Update W − W₀: none."
    row, n0 = final.loc[(arm, name)], tested.loc[(arm, name, "N0")]
    values = analysis[name].sel(arm=arm).isel(step=-1).values
    above = int((values > chance).sum())
    count = int(np.isfinite(values).sum())
    return (
        f"Update W − W₀: in {above} of {count} networks it is more derivative-like than chance; "
        f"{METRIC_WORDS[metric]} {_interval(row)} where chance is {chance:.2f}{_p(n0)}."
    )


def _operator(analysis: xr.Dataset, arm: str) -> str:
    """Which named operators the intervals of a hold; 'unresolved' is an answer."""
    last = analysis.sel(arm=arm).isel(step=-1)
    parts = []
    for prefix, name in (("", "W"), (DELTA, "W − W₀")):
        a, low, high = (float(last[f"{prefix}a_pop{end}"]) for end in ("", "_low", "_high"))
        if np.isnan(a):
            continue
        if not bool(last[f"{prefix}a_pop_resolved"]):
            parts.append(f"a of {name} unresolved ({str(last[f'{prefix}a_pop_reason'].values)})")
            continue
        held = [o for o, value in OPERATORS.items() if _holds(low, high, value)]
        told = " and ".join(held) if held else "none of the named operators"
        parts.append(f"a of {name} {a:.2f} [{_a(low)}, {_a(high)}], which holds {told}")
    return "Which operator: " + "; ".join(parts) + "." if parts else "Which operator: no gradients."


def _holds(low: float, high: float, a: float) -> bool:
    """Whether the interval of a, which may run through infinity, holds `a`."""
    low, high, a = (float(phi_of_a(value)) for value in (low, high, a))
    return np.mod(a - low, np.pi) <= np.mod(high - low, np.pi)


def _a(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.2f}"


def _interval(row: pd.Series, *, percent: bool = False) -> str:
    form = ".1%" if percent else ".2f"
    if np.isnan(row["ci_low"]):
        return f"{row['mean']:{form}} (n = {int(row['n'])})"
    return f"{row['mean']:{form}} [{row['ci_low']:{form}}, {row['ci_high']:{form}}]"


def _p(row: pd.Series) -> str:
    if np.isnan(row["p"]):
        return ""
    return f" (difference {row['diff']:+.3f}, p = {row['p']:.2g}, q = {row['q']:.2g})"
