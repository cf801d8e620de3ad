"""The answer in plain sentences, each number read from the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.kernels import DELTA, NEW, PREFIXES
from kernelstudy.analysis.opponency import AXES
from kernelstudy.analysis.trajectory import Verdicts
from kernelstudy.analysis.variables import accuracy_on
from kernelstudy.analysis.verdict import TIERS, UNRESOLVED, Verdict
from kernelstudy.reporting.measure_words import METRIC_WORDS

PART_WORDS = {
    "W": "The kernels W",
    "update": "What training adds (the update W − W₀)",
    "new": "What is new in the kernels (W less what it keeps of its start)",
}
_COUNTED = ("edge", "low-pass")
_KIND_WORDS = {"edge": "edge detectors", "low-pass": "low-pass"}


GLANCE_NOTE = (
    "An arm is a way of training: its networks differ in their random seed alone (below its name, small: "
    "what the config calls it). 'Derivative-like': the kernels respond to edges more than chance makes "
    "kernels do; an 'edge detector' is a kernel most of whose energy is such a response. How far each "
    "claim holds, with its p, is in the ladder of chance, under Tables."
)
HOW_TO_READ = (
    "Brackets hold 95% intervals over networks. p is of one test; the q beside it is p corrected over all "
    "tests of the same arm at this step. The ladder of chance, under Tables, has q's of its own, over all "
    "arms and parts, and decides the verdicts."
)
_SURE = {
    "chance": "by tests not above them",
    "structured": "by tests above them and their own start",
    # without the mean, a kernel's own weights in shuffled places are as likely as random kernels
    "spatially structured": "by tests above them and their own start",
    "beyond image energies": "by tests above them, their own start, and random kernels with their energies on "
    "the images' axes",
}


def at_a_glance(
    analysis: xr.Dataset,
    verdicts: Verdicts,
    kinds: pd.DataFrame,
    names: dict[str, str],
    metric: str,
) -> pd.DataFrame:
    """A row an arm: its name in words, whether the kernels are derivative-like, how sure that is, edge
    detectors, the nearest operator, accuracy. names: arm -> its name in words."""
    last, rows = analysis.isel(step=-1), []
    chance = float(analysis["null_mean"].sel(measure=metric))
    for arm in (str(a) for a in analysis["arm"].values):
        verdict, of_arm = verdicts.get((arm, "W")), last.sel(arm=arm)
        if verdict is None:
            continue
        values = of_arm[metric].values
        values = values[np.isfinite(values)]
        like = {True: "yes", False: "no", None: "cannot tell"}[verdict.derivative_like]
        above = int((values > chance).sum())
        sure = f"{above} of {len(values)} networks above the mean of random kernels"
        if verdict.derivative_like is not None:
            already = _was_so_already(verdict)
            like = "as at the start" if already else like
            sure += "; they were so from the start" if already else f"; {_SURE[verdict.tier]}"
        else:
            sure += f"; a test needs {FEWEST}"
        accuracy = float(of_arm["test_accuracy"].mean())
        edges, total, by_chance = _edges(kinds, arm)
        rows.append(
            {
                "arm": names.get(arm, arm),
                "name": arm,
                "derivative-like?": like,
                "how sure": sure,
                "edge detectors": f"{edges:.0f} of {total:.0f} (random: {by_chance:.0f})",
                "nearest operator": _operator_in_words(verdict),
                "test accuracy": f"{accuracy:.1%}" if np.isfinite(accuracy) else "",
            }
        )
    table = pd.DataFrame(rows)
    known = [name for name in table if name != "test accuracy" or (table[name] != "").any()]
    return table[known]


def sentence(
    verdicts: Verdicts, kinds: pd.DataFrame, names: dict[str, str], learning: list[str]
) -> str:
    """The answer in one sentence, in plain words, over the arms `learning`, which learned from true labels."""
    of_kernels = {arm: verdicts[arm, "W"] for arm in learning if (arm, "W") in verdicts}
    if not of_kernels:
        return "Every network diverged: there is no answer."
    if all(v.derivative_like is None for v in of_kernels.values()):
        return f"Too few networks to tell: tests need {FEWEST} an arm."
    turned = [arm for arm, v in of_kernels.items() if v.derivative_like and not _was_so_already(v)]
    if turned:
        arm = max(turned, key=lambda name: _edges(kinds, name)[0])
        verdict, (edges, total, by_chance) = of_kernels[arm], _edges(kinds, arm)
        low, low_chance = _low_pass(kinds, arm)
        operator = verdict.operator if _names_operator(verdict) else "no single textbook operator"
        resemble = f" They resemble {operator}." if verdict.a is not None else ""
        same = (
            "more edge-like than random kernels with their energies on the images' principal axes"
        )
        images = (
            f" They are {same}."
            if verdict.tier == TIERS[-1]
            else f" They are not shown to be {same}."
            if any(rung.null == "N3" for rung in verdict.rungs)
            else ""
        )
        others = {
            "Less so, but derivative-like, too": [a for a in turned if a != arm],
            "Not so": [
                a for a in of_kernels if a not in turned and not _was_so_already(of_kernels[a])
            ],
            "So from the start, and no more so after training": [
                a for a in of_kernels if _was_so_already(of_kernels[a])
            ],
        }
        rest = "".join(
            f" {told}: {'; '.join(names.get(a, a) for a in arms)}."
            for told, arms in others.items()
            if arms
        )
        return (
            f"Training made first-layer kernels derivative-like ({names.get(arm, arm)}): {edges:.0f} of "
            f"{total:.0f} are edge detectors{low}, where random kernels have {by_chance:.0f}{low_chance}."
            f"{resemble}{images}{rest}"
        )
    updates = [
        arm for arm in of_kernels if (v := verdicts.get((arm, "update"))) and v.derivative_like
    ]
    already = [arm for arm in of_kernels if _was_so_already(of_kernels[arm])]
    told = "; ".join(names.get(a, a) for a in already)
    added = "; ".join(names.get(a, a) for a in updates)
    if already:
        more = f" What it added to them is derivative-like ({added})." if updates else ""
        return f"Training made no kernels derivative-like; so from the start: {told}.{more}"
    if updates:
        return (
            "The kernels themselves look like chance. What training added to them does not: it is "
            f"derivative-like ({added})."
        )
    return (
        "Neither the kernels nor what training added to them is more derivative-like than chance."
    )


def _beside_random(kinds: pd.DataFrame, arm: str) -> pd.DataFrame:
    """A row a kind: how many of an arm's kernels W are of it, and of random ones."""
    return kinds[(kinds["arm"] == arm) & (kinds["part"] == "W") & (kinds["null"] == "N0")]


def _edges(kinds: pd.DataFrame, arm: str) -> tuple[float, float, float]:
    """Edge detectors a network, all kernels, and edge detectors among random ones."""
    rows = _beside_random(kinds, arm)
    edges = rows[rows["kind"] == "edge"]
    if not len(edges):
        return 0.0, 0.0, 0.0
    return float(edges["value"].iloc[0]), float(rows["value"].sum()), float(edges["chance"].iloc[0])


def _low_pass(kinds: pd.DataFrame, arm: str) -> tuple[str, str]:
    """' and 8 low-pass' and ' and 0' of random ones, where they are more than of random ones; else nothing."""
    rows = _beside_random(kinds, arm)
    low = rows[(rows["kind"] == "low-pass") & rows["passed"].eq(True)]
    if not len(low):
        return "", ""
    return f" and {low['value'].iloc[0]:.0f} low-pass", f" and {low['chance'].iloc[0]:.0f}"


def headline(verdicts: Verdicts, learning: list[str], kinds: pd.DataFrame) -> list[str]:
    """The answer in a few sentences, over the arms `learning`: those that learned their first layer from
    true labels. kinds: `tables.kinds`."""
    lines = [line for arm in learning if (line := kind_sentence(kinds, arm, "W"))]
    for part, words in PART_WORDS.items():
        arm_verdicts = {arm: verdicts[arm, part] for arm in learning if (arm, part) in verdicts}
        if not arm_verdicts:
            continue
        if all(v.derivative_like is None for v in arm_verdicts.values()):
            lines.append(f"{words}: no verdict below {FEWEST} networks an arm.")
            continue
        yes = [arm for arm, v in arm_verdicts.items() if v.derivative_like]
        beyond = [arm for arm in yes if arm_verdicts[arm].tier == TIERS[-1]]
        text = f"{words} {'are' if part == 'W' else 'is'}"
        text += f" derivative-like beyond chance in {len(yes)} of {len(arm_verdicts)} arms"
        text += f" ({', '.join(yes)})" if yes and len(yes) < len(arm_verdicts) else ""
        if yes:
            more = f"in {len(beyond)} ({', '.join(beyond)})" if beyond else "in none"
            whose = "their" if part == "W" else "its"
            text += f", and more so than {whose} energies on the images' own axes imply {more}"
        unchanged = [
            a for a, v in arm_verdicts.items() if not v.derivative_like and _was_so_already(v)
        ]
        if unchanged:
            text += f"; in {', '.join(unchanged)} they were so from the start and became no more so"
        lines.append(text + ".")
    arm_verdicts = {key: v for key, v in verdicts.items() if key[0] in learning}
    operators = [
        f"{arm} ({part}): the edges are {v.operator}"
        for (arm, part), v in arm_verdicts.items()
        if _names_operator(v)
    ]
    if operators:
        lines.append("Named operators: " + "; ".join(operators) + ".")
    elif any(v.a is not None for v in arm_verdicts.values()):
        lines.append("No named operator (Sobel, Prewitt, ...) can be called for any of them.")
    return lines


def kind_sentence(kinds: pd.DataFrame, arm: str, part: str) -> str:
    """How many kernels of a layer are edges and how many low-pass, beside chance; '' without any."""
    rows: Any = kinds[(kinds["arm"] == arm) & (kinds["part"] == part)]
    if not len(rows):
        return ""
    cells = rows.set_index(["kind", "null"])
    total = rows[rows["null"] == "N0"]["value"].sum()

    def counts(column: str, null: str) -> str:
        return " and ".join(f"{cells.loc[(kind, null), column]:.1f}" for kind in _COUNTED)

    found = " and ".join(
        f"{cells.loc[(kind, 'N0'), 'value']:.1f} are {_KIND_WORDS[kind]}" for kind in _COUNTED
    )
    chances = [f"random kernels {counts('chance', 'N0')}"]
    if ("edge", "N1") in cells.index:
        chances.append(f"step 0 {counts('chance', 'N1')}")
    if ("edge", "N3") in cells.index:
        chances.append(f"the same energies on the images' axes {counts('chance', 'N3')}")
    return f"{arm}: of {total:.0f} kernels {found} (by chance: {'; '.join(chances)})."


def agreement(table: pd.DataFrame, arms: list[str]) -> list[str]:
    """On how many kernels two networks of an arm agree, by kind, in a sentence; nothing where no arm has two.
    table: `tables.kind_agreement`."""
    known: Any = table[(table["part"] == "W") & table["share"].notna() & table["arm"].isin(arms)]
    told = []
    for row in known.itertuples():
        ends = f" [{row.ci_low:.0%}, {row.ci_high:.0%}]" if row.n > 2 else ""
        told.append(
            f"{row.arm} {row.share:.0%}{ends} (random kernels {row.random:.0%}, draws from the arm's own "
            f"mixture of kinds {row.drawn:.0%})"
        )
    if not told:
        return []
    return [
        f"Agreement over seeds, the share of kernels that two networks can pair off by kind: {'; '.join(told)}."
    ]


def _operator_in_words(verdict: Verdict) -> str:
    if verdict.a is None:
        return "not asked: kernels are not 3 x 3"
    return verdict.operator if _names_operator(verdict) else "none alone"


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
        if (arm, "new") in verdicts:
            lines.append(_new_sentence(final, arm, metric) + " " + _tier(verdicts[arm, "new"]))
        if float(final.loc[(arm, "movement"), "mean"]) > 0:
            lines.append(_growth(analysis, arm))
        if "a_pop" in analysis:
            lines.append(_operator(analysis, verdicts, arm))
        if (arm, "achromatic") in final.index:
            lines.append(_colours(final, arm))
        if (arm, "test_accuracy") in final.index:  # a recording need not know it
            accuracy = final.loc[(arm, "test_accuracy")]
            lines.append(f"Test accuracy {_interval(accuracy, percent=True)}.")
        changed = [
            f"{test} {_interval(final.loc[(arm, accuracy_on(test))], percent=True)}"
            for test in map(str, analysis["test"].values if "changed_accuracy" in analysis else ())
            if (arm, accuracy_on(test)) in final.index
        ]
        if changed:
            lines.append(f"On changed test images: {'; '.join(changed)}.")
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
    more = "more so than" if verdict.tier == TIERS[-1] else "not shown to be more so than"
    n3 = next((rung for rung in verdict.rungs if rung.null == "N3"), None)
    if n3 is None:
        return text + "derivative-like beyond chance."
    return (
        f"{text}derivative-like beyond chance, {more} its energies on the images' own axes imply "
        f"(they give {n3.chance:.2f} where it has {n3.value:.2f})."
    )


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
    return f"Diverged (a loss or a weight stopped being finite) and excluded: {listed}."


def dead(verdicts: Verdicts) -> str:
    """How many kernels were left out of averages as dead (W) or unmoved (the update), or nothing."""
    counts = []
    for (arm, part), verdict in verdicts.items():
        left_out = verdict.kernels - verdict.live
        if left_out:
            kind = {"W": "dead", "update": "unmoved", "new": "with nothing new"}[part]
            counts.append(
                f"{left_out} of {verdict.kernels} kernels {kind} in {arm} (mean centred R² with them "
                f"{verdict.r2_all:.3f}, without {verdict.rungs[0].value:.3f})"
            )
    if not counts:
        return ""
    rule = "Below 1% of the largest norm in their network, and left out of averages over kernels"
    return f"{rule}: {'; '.join(counts)}."


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
    memory, cosine = (float(final.loc[(arm, name), "mean"]) for name in ("memory", "cos_start"))
    return (
        f"{text}. The kernels moved by {moved['mean']:.0%} of their initial norm; they have a cosine of "
        f"{cosine:.2f} with their start, which explains {memory:.0%} of their energy."
    )


def _update_sentence(analysis, final, tests, arm, metric, chance) -> str:
    name = DELTA + metric
    if (arm, name) not in final.index:
        return "Update W − W₀: none."
    row, n0 = final.loc[(arm, name)], tests.loc[(arm, name, "N0")]
    values = analysis[name].sel(arm=arm).isel(step=-1).values
    above = int((values > chance).sum())
    count = int(np.isfinite(values).sum())
    left = float(final.loc[(arm, "start_left"), "mean"])
    decayed = f" Of W₀ {left:.0%} is left, so the update holds −W₀." if left < 0.5 else ""
    return (
        f"Update W − W₀: in {above} of {count} networks it is more derivative-like than chance; "
        f"{METRIC_WORDS[metric]} {_interval(row)} where chance is {chance:.2f}{_p(n0)}.{decayed}"
    )


def _new_sentence(final, arm, metric) -> str:
    row = final.loc[(arm, NEW + metric)]
    return f"New part (W less its projection on W₀): {METRIC_WORDS[metric]} {_interval(row)}."


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


def _colours(final: Any, arm: str) -> str:
    """How the energy of filters that see three colours divides."""
    shares = [_interval(final.loc[(arm, axis)], percent=True) for axis in AXES]
    names = [axis.replace("_", "-") for axis in AXES]
    told = ", ".join(f"{share} {name}" for share, name in zip(shares, names, strict=True))
    return f"Of a filter's energy {told}; by chance each is 33%."


def _operator(analysis: xr.Dataset, verdicts: Verdicts, arm: str) -> str:
    """a with its interval beside the images' own; 'unresolved' is an answer."""
    last = analysis.sel(arm=arm).isel(step=-1)
    parts = []
    names = {"W": "W", "update": "W − W₀", "new": "the new part"}
    for part, name in names.items():
        prefix = PREFIXES[part]
        a, low, high = (float(last[f"{prefix}a_pop{end}"]) for end in ("", "_low", "_high"))
        if np.isnan(a) or (arm, part) not in verdicts:
            continue
        verdict = verdicts[arm, part]
        interval = f" [{_a(low)}, {_a(high)}]" if bool(last[f"{prefix}a_pop_resolved"]) else ""
        operator = verdict.operator if _names_operator(verdict) else f"unresolved: {verdict.reason}"
        parts.append(f"a of {name} = {_a(a)}{interval} ({operator}).")
    if not parts:
        return "Which operator: there are no gradients."
    of_images = float(analysis["a_pca"])
    images = f" The images' own patches have a = {of_images:.2f}." if np.isfinite(of_images) else ""
    return (
        "Which operator: a of [1, a, 1] x [-1, 0, 1] is 1 in Prewitt's, 2 in Sobel's, and changes as "
        f"training goes on. At step {int(last['step']):,}: {' '.join(parts)}{images}"
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
