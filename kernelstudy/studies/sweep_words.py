"""What a report over many runs says, in words; each number is read from its tables."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.verdict import TIERS, UNRESOLVED
from kernelstudy.reporting.measure_words import METRIC_WORDS, likeness
from kernelstudy.studies.effects import PARTS
from kernelstudy.studies.grid import Key
from kernelstudy.studies.sweep import Sweep

LEVEL = 0.05
_PART = {"W": "kernels W", "update": "update W − W₀"}


GLANCE_NOTE = (
    "R² is likeness to an edge detector: the part of a kernel's variation that Sobel's kernel at its "
    "best angle explains. An arm is a way of training: its networks differ in their random seed alone. "
    "q is p corrected for the number of tests. More rows, intervals, p and q are in the tables."
)


def sentence(
    sweep: Sweep, learning: set[str], conditions: pd.DataFrame, names: dict[str, str]
) -> str:
    """Where what training added is most like an edge detector, and where least, beyond chance. conditions:
    `sweep_tables.conditions`; names: arm -> words."""
    rows = conditions[(conditions["part"] == "update") & conditions["arm"].isin(learning)]
    rows = rows[np.isfinite(rows["mean"])]
    if not len(rows):
        return "No network left anything to measure."
    beyond = ((rows["mean"] - rows["chance"]) / (1 - rows["chance"])).to_numpy()

    def told(row: pd.Series) -> str:
        arm = f"'{names.get(row['arm'], row['arm'])}'"
        where = ", ".join(f"{key.name.rpartition('.')[2]} = {row[key.name]}" for key in sweep.keys)
        return (
            f"{where + ', ' if where else ''}{arm} ({row['mean']:.2f}, random {row['chance']:.2f})"
        )

    most = told(rows.iloc[int(beyond.argmax())])
    measure = "R²" if sweep.metric.startswith("r2") else METRIC_WORDS[sweep.metric]
    if len(rows) == 1:
        return f"What training added, its likeness to an edge detector ({measure}): {most}."
    least = told(rows.iloc[int(beyond.argmin())])
    return (
        f"What training added is most like an edge detector ({measure}, beyond chance) with {most}. "
        f"It is least so with {least}."
    )


def seen_in_parts(sweep: Sweep) -> str:
    """In how many combinations kernels and update lie above random networks."""
    kernels, update = (_above(sweep, column) for column in PARTS.values())
    return (
        f"Above 95% of random networks lie the kernels in {kernels[0]} and what training added in "
        f"{update[0]} of {kernels[1]} combinations of condition and arm"
    )


def seen_in_part(sweep: Sweep, title: str, column: str) -> str:
    above, total = _above(sweep, column)
    return (
        f"The {title} lie above 95% of random networks in {above} of {total} combinations of "
        f"condition and arm"
    )


def seen_over_time(sweep: Sweep) -> str:
    """In how many curves the update ends higher than it was halfway."""
    grown = []
    for _, _, update in sweep.curves.values():
        ends = update[:, [update.shape[1] // 2, -1]]
        if np.isfinite(ends).any(axis=0).all():
            halfway, last = np.nanmean(ends, axis=0)
            grown.append(bool(last > halfway))
    return (
        "What training added grows more edge-like in the later half of the log, too, in "
        f"{sum(grown)} of {len(grown)} combinations of condition and arm"
    )


def seen_in_accuracy(sweep: Sweep) -> str:
    means = sweep.networks.groupby(["condition", "arm"])["accuracy"].mean().dropna()
    if not len(means):
        return "No accuracy is known"
    return f"Mean test accuracy lies between {means.min():.1%} and {means.max():.1%}"


def _above(sweep: Sweep, column: str) -> tuple[int, int]:
    """How many combinations of condition and arm have a mean above the middle 95% of random networks; of how
    many."""
    means = sweep.networks.groupby(["condition", "arm"], as_index=False)[column].mean()
    joined = means.merge(sweep.cells[["condition", "arm", "null_high"]], on=["condition", "arm"])
    return int((joined[column] > joined["null_high"]).sum()), len(joined)


def headline(
    sweep: Sweep, learning: set[str], tests: pd.DataFrame, effects: pd.DataFrame
) -> list[str]:
    """The answer in a few sentences, over the arms that learned their first layer from true labels."""
    lines = []
    for part, words in (
        ("update", "What training adds (the update W − W₀)"),
        ("W", "The kernels W"),
    ):
        cells = sweep.cells[sweep.cells["arm"].isin(learning)]
        tiers = cells[f"tier_{part}"]
        known_tiers = tiers[(tiers != "") & (tiers != UNRESOLVED)]
        if not len(known_tiers):
            lines.append(f"{words}: no verdict below {FEWEST} networks in one run.")
            continue
        derivative_like = int(known_tiers.isin(TIERS[2:]).sum())
        beyond = int((known_tiers == TIERS[-1]).sum())
        verb = "is" if part == "update" else "are"
        lines.append(
            f"{words} {verb} derivative-like (more like an edge detector than chance) in {derivative_like} "
            f"of {len(known_tiers)} combinations of condition and arm. More so than energies on the images' "
            f"axes imply: in {beyond}."
        )
    for key in sweep.keys:
        rows = effects[(effects["key"] == key.name) & effects["arm"].isin(learning)]
        update_rows = rows[rows["part"] == "update"]
        rows_with_q = update_rows[np.isfinite(update_rows["q"])]
        if not len(rows_with_q):
            why = (
                "there is nothing to compare"
                if not len(update_rows)
                else "too few networks to tell"
            )
            lines.append(f"{key.name}: {why} (update).")
            continue
        clear = rows_with_q[rows_with_q["q"] <= LEVEL]
        up = int((clear["diff"] > 0).sum())
        ways = f": {up} up, {len(clear) - up} down" if len(clear) else ""
        lines.append(
            f"{key.name} moves the {likeness(sweep.metric)} of what training added in {len(clear)} of "
            f"{len(rows_with_q)} comparisons with {key.label(0)}{ways} (corrected for chance; q ≤ {LEVEL:g} "
            "over all comparisons of swept values)."
        )
    if not len(tests):
        lines.append("No network left anything to measure.")
    return lines


def answers(sweep: Sweep, effects: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """(key, its sentences): how the comparisons are made, then an arm and part the largest difference."""
    sections = []
    for key in sweep.keys:
        key_effects = effects[effects["key"] == key.name]
        lines = [_how(key, key_effects)]
        for (arm, part), rows in key_effects.groupby(["arm", "part"], sort=False):
            rows = rows[np.isfinite(rows["diff"])]
            if not len(rows):
                continue
            row: Any = rows.iloc[int(rows["diff"].abs().argmax())]
            which = "" if len(rows) == 1 else f", the largest of {len(rows)} differences"
            interval = (
                f" [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
                if np.isfinite(row["ci_low"])
                else ""
            )
            test = (
                f", p = {row['p']:.2g}, q = {row['q']:.2g}"
                if np.isfinite(row["p"])
                else ", no p: too few networks"
            )
            lines.append(
                f"{arm}, {_PART[str(part)]}: {row['diff']:+.3f}{interval} at {key.label(row['value'])} "
                f"against {key.label(row['reference'])}{test} (n = {row['n']}){which}."
            )
        if key.follows:
            lines.append(
                f"{', '.join(key.follows)}: decided by {key.name}, so that their effects cannot be told apart."
            )
        sections.append((f"{key.name}: {values_of(key)}", lines))
    return sections


def _how(key: Key, effects: pd.DataFrame) -> str:
    pairings = set(effects["pairing"])
    over = sorted(set(effects["averaged"]))
    if not pairings:
        return "No two of its values were run with all else alike: nothing to compare."
    text = {
        frozenset(
            {"by seed"}
        ): "Paired by seed: each network is compared with that of the same seed and arm",
        frozenset({"none"}): "Not paired, for the runs share too few seeds: means are compared",
    }.get(
        frozenset(pairings), "Paired by seed where the runs share enough seeds (table of effects)"
    )
    if over[-1] > 1:
        counts = f"{over[0]}" if len(over) == 1 else f"{over[0]} to {over[-1]}"
        text += (
            f", averaged over the {counts} combinations of the other keys that were run with both"
        )
    return text + "."


def values_of(key: Key) -> str:
    labels = [key.label(i) for i in range(len(key.values))]
    return ", ".join(labels if len(labels) <= 12 else [*labels[:11], f"... {labels[-1]}"])


def pairing(sweep: Sweep) -> str:
    """Which seeds the runs share."""
    seeds = sweep.networks.groupby("condition")["seed"].unique()
    sets = {tuple(sorted(group_seeds)) for group_seeds in seeds}
    if len(sets) == 1:
        (one,) = sets
        return f"by seed: every condition has the same {len(one)} seeds"
    shared = set.intersection(*(set(one) for one in sets))
    if shared:
        return f"by seed, where seeds are shared; all conditions share {len(shared)}"
    return "where two conditions share seeds; none is in all of them"


def missing(sweep: Sweep) -> list[str]:
    """Runs that are not in the report, and combinations of a grid that no run was found of."""
    notes = []
    missing_members = [member for member in sweep.members if member.reason]
    if missing_members:
        text = "; ".join(
            f"{m.path}{_condition(sweep, m.condition)}: {m.reason}" for m in missing_members[:20]
        )
        more = (
            f"; and {len(missing_members) - 20} more (tables/runs.csv)"
            if len(missing_members) > 20
            else ""
        )
        notes.append(f"Missing: {len(missing_members)} of {len(sweep.members)} runs. {text}{more}.")
    size = int(np.prod([len(key.values) for key in sweep.keys], dtype=float))
    absent = size - len(sweep.design)
    if 0 < absent < len(sweep.design) and size <= 100_000:
        present = {tuple(row) for row in sweep.design.itertuples(index=False)}
        grid = itertools.product(*(range(len(key.values)) for key in sweep.keys))
        gaps = [_in_words(sweep, indices) for indices in grid if indices not in present]
        more = f"; and {absent - 10} more" if absent > 10 else ""
        notes.append(
            f"No run was found of {absent} of the grid's {size} combinations: {'; '.join(gaps[:10])}{more}."
        )
    return notes


def _condition(sweep: Sweep, condition: int) -> str:
    if condition < 0 or not sweep.keys:
        return ""
    indices: Any = tuple(sweep.design.loc[condition])
    return f" ({_in_words(sweep, indices)})"


def _in_words(sweep: Sweep, indices: tuple[int, ...]) -> str:
    return ", ".join(
        f"{key.name}={key.label(i)}" for key, i in zip(sweep.keys, indices, strict=True)
    )


def refusal(sweep: Sweep) -> str:
    """Why some have no p-values, or nothing."""
    counts = sweep.networks[~sweep.networks["diverged"]].groupby(["condition", "arm"]).size()
    few = int((counts < FEWEST).sum())
    if not few:
        return ""
    return (
        f"No p-values against chance in {few} of {len(counts)} combinations of condition and arm: below "
        f"{FEWEST} networks an exact sign-flip test cannot reach p < .05."
    )


def diverged(sweep: Sweep) -> str:
    count = int(sweep.networks["diverged"].sum())
    if not count:
        return ""
    return f"Diverged (the loss stopped being finite) and excluded: {count} of {len(sweep.networks)} networks."
