"""The answer in plain sentences, each number read from the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.kernels import DELTA
from kernelstudy.analysis.trajectory import Verdicts
from kernelstudy.analysis.verdict import TIERS, UNRESOLVED, Verdict
from kernelstudy.reporting.measure_words import METRIC_WORDS


def headline(verdicts: Verdicts, learning: list[str]) -> list[str]:
    """The answer in a few sentences, over the arms `learning`: those that learned their first layer from
    true labels."""
    lines = []
    for part, words in (
        ("update", "What training adds (the update W − W₀)"),
        ("W", "The kernels W"),
    ):
        arm_verdicts = {arm: verdicts[arm, part] for arm in learning if (arm, part) in verdicts}
        if not arm_verdicts:
            continue
        if all(v.derivative_like is None for v in arm_verdicts.values()):
            lines.append(f"{words}: no verdict below {FEWEST} networks an arm.")
            continue
        yes = [arm for arm, v in arm_verdicts.items() if v.derivative_like]
        beyond = [arm for arm in yes if arm_verdicts[arm].tier == TIERS[-1]]
        text = f"{words} is" if part == "update" else f"{words} are"
        text += f" derivative-like beyond chance in {len(yes)} of {len(arm_verdicts)} arms"
        text += f" ({', '.join(yes)})" if yes and len(yes) < len(arm_verdicts) else ""
        if yes:
            more = f"in {len(beyond)} ({', '.join(beyond)})" if beyond else "in none"
            text += f", and more so than the statistics of the images imply {more}"
        unchanged = [
            a for a, v in arm_verdicts.items() if not v.derivative_like and _was_so_already(v)
        ]
        if unchanged:
            text += f"; in {', '.join(unchanged)} they were so from the start and became no more so"
        lines.append(text + ".")
    arm_verdicts = {key: v for key, v in verdicts.items() if key[0] in learning}
    operators = [
        f"{arm} ({part}): {v.operator}"
        for (arm, part), v in arm_verdicts.items()
        if _names_operator(v)
    ]
    lines.append(
        "Named operators: " + "; ".join(operators) + "."
        if operators
        else "No named operator (Sobel, Prewitt, ...) can be called for any of them: see a below."
    )
    return lines


def _names_operator(verdict: Verdict) -> bool:
    return verdict.operator != UNRESOLVED


def _was_so_already(verdict: Verdict) -> bool:
    """Above isotropic chance, but not above its own start."""
    passed = {rung.null: rung.passed for rung in verdict.rungs}
    return bool(passed["N0"]) and passed.get("N1") is False


def sentences(
    analysis: xr.Dataset,
    summary: pd.DataFrame,
    tests: pd.DataFrame,
    verdicts: Verdicts,
    metric: str,
) -> list[tuple[str, list[str]]]:
    """(arm, its sentences) for every arm: W, the update, which operator, accuracy."""
    step = int(analysis["step"][-1])
    final: Any = summary[summary["step"] == step].set_index(["arm", "measure"])
    final_tests: Any = tests[tests["step"] == step].set_index(["arm", "measure", "null"])
    chance = float(analysis["null_mean"].sel(measure=metric))
    sections = []
    for arm in (str(a) for a in analysis["arm"].values):
        if (arm, metric) not in final.index:
            sections.append((arm, ["Every network diverged: nothing to measure."]))
            continue
        lines = [
            _kernel_sentence(analysis, final, final_tests, arm, metric, chance),
            _update_sentence(analysis, final, final_tests, arm, metric, chance),
        ]
        for i, part in enumerate(("W", "update")):
            if (arm, part) in verdicts:
                lines[i] += " " + _tier(verdicts[arm, part])
        if float(final.loc[(arm, "movement"), "mean"]) > 0:
            lines.append(_growth(analysis, arm))
        if "a_pop" in analysis:
            lines.append(_operator(analysis, verdicts, arm))
        accuracy = final.loc[(arm, "test_accuracy")]
        lines.append(f"Test accuracy {_interval(accuracy, percent=True)}.")
        sections.append((arm, lines))
    return sections


def _tier(verdict: Verdict) -> str:
    if verdict.derivative_like is None:
        return f"No verdict: {verdict.rungs[0].reason}."
    text = "Verdict, by the ladder below: "
    if _was_so_already(verdict):
        return text + "above chance, but so it was at the start, and training added nothing to it."
    if not verdict.derivative_like:
        return text + f"not shown to be derivative-like (tier: {verdict.tier})."
    more = "more than" if verdict.tier == TIERS[-1] else "not shown to be more than"
    return text + f"derivative-like beyond chance, {more} the statistics of the images imply."


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


def dead(verdicts: Verdicts) -> str:
    """How many kernels were left out of averages as dead (W) or unmoved (the update)."""
    counts = []
    for (arm, part), verdict in verdicts.items():
        left_out = verdict.kernels - verdict.live
        if left_out:
            kind = "dead" if part == "W" else "unmoved"
            counts.append(
                f"{left_out} of {verdict.kernels} kernels {kind} in {arm} (mean R² with them "
                f"{verdict.r2_all:.3f}, without {verdict.rungs[0].value:.3f})"
            )
    rule = "below 1% of the largest norm in their network, and left out of averages over kernels"
    return f"{rule[0].upper()}{rule[1:]}: " + ("; ".join(counts) if counts else "no kernel") + "."


def _kernel_sentence(analysis, final, tests, arm, metric, chance) -> str:
    row, n0 = final.loc[(arm, metric)], tests.loc[(arm, metric, "N0")]
    start = float(analysis[metric].sel(arm=arm).isel(step=0).mean())
    moved = final.loc[(arm, "movement")]
    text = (
        f"Kernels W: {METRIC_WORDS[metric]} {_interval(row)}; chance is {chance:.2f}"
        f"{_p(n0)}, and it was {start:.2f} at step 0"
    )
    if (arm, metric, "N1") in tests.index:
        text += _p(tests.loc[(arm, metric, "N1")])
    if moved["mean"] == 0:
        return text + ": the first layer was frozen."
    return text + f". The kernels moved by {moved['mean']:.0%} of their initial norm."


def _update_sentence(analysis, final, tests, arm, metric, chance) -> str:
    name = DELTA + metric
    if (arm, name) not in final.index:
        return "Update W − W₀: none."
    row, n0 = final.loc[(arm, name)], tests.loc[(arm, name, "N0")]
    values = analysis[name].sel(arm=arm).isel(step=-1).values
    above = int((values > chance).sum())
    count = int(np.isfinite(values).sum())
    return (
        f"Update W − W₀: in {above} of {count} networks it is more derivative-like than chance; "
        f"{METRIC_WORDS[metric]} {_interval(row)} where chance is {chance:.2f}{_p(n0)}."
    )


def _growth(analysis: xr.Dataset, arm: str) -> str:
    """Learned or amplified: where the odd sector's change of energy comes from."""
    odd = analysis.sel(arm=arm, sector="odd").isel(step=-1)
    start, new, cross = (float(odd[f"growth_{p}"].mean()) for p in ("start", "new", "cross"))
    turned = "amplified" if cross >= 0 else "turned down"
    return (
        f"Gradient-like (odd) energy, in units of |W₀|²: {start:.2f} at the start, "
        f"{start + new + cross:.2f} at the end; {new:+.2g} is new (|W − W₀|²), {cross:+.2g} is what was "
        f"there, {turned} (2⟨W₀, W − W₀⟩)."
    )


def _operator(analysis: xr.Dataset, verdicts: Verdicts, arm: str) -> str:
    """a with its interval beside the images' own; 'unresolved' is an answer."""
    last = analysis.sel(arm=arm).isel(step=-1)
    parts = []
    for prefix, part, name in (("", "W", "W"), (DELTA, "update", "W − W₀")):
        a, low, high = (float(last[f"{prefix}a_pop{end}"]) for end in ("", "_low", "_high"))
        if np.isnan(a) or (arm, part) not in verdicts:
            continue
        verdict = verdicts[arm, part]
        interval = f" [{_a(low)}, {_a(high)}]" if bool(last[f"{prefix}a_pop_resolved"]) else ""
        operator = verdict.operator if _names_operator(verdict) else f"unresolved: {verdict.reason}"
        parts.append(f"a of {name} = {_a(a)}{interval} ({operator})")
    if not parts:
        return "Which operator: there are no gradients."
    return (
        f"Which operator: {'; '.join(parts)}. The images' own patches have "
        f"a = {float(analysis['a_pca']):.2f}; Prewitt is 1, Sobel 2."
    )


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
