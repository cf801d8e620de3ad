"""The tables of a report over many runs, with a column for each swept key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from kernelstudy.reporting.page import Link
from kernelstudy.studies import effects as analysis
from kernelstudy.studies.sweep import Sweep


def conditions(sweep: Sweep) -> pd.DataFrame:
    """`effects.conditions` with the keys' values, tiers, operators, a and the mean accuracy."""
    table = analysis.conditions(sweep.networks)
    parts = []
    for part in analysis.PARTS:
        names = {f"{name}_{part}": name for name in ("tier", "operator", "a", "a_low", "a_high")}
        cells = sweep.cells.rename(columns=names).assign(part=part)
        cells.loc[cells[f"a_resolved_{part}"] != 1, ["a_low", "a_high"]] = float("nan")
        parts.append(cells[["condition", "arm", "part", *names.values()]])
    keys = ["condition", "arm"]
    accuracy = sweep.networks.groupby(keys, as_index=False)["accuracy"].mean()
    joined = table.merge(pd.concat(parts), on=[*keys, "part"], how="left")
    return spread(sweep, joined.merge(accuracy, on=keys, how="left"))


def spread(sweep: Sweep, table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each swept key in place of the index of the condition."""
    columns = {
        key.name: [key.label(i) for i in sweep.design[key.name].reindex(table["condition"])]
        for key in sweep.keys
    }
    rest = table.drop(columns="condition").reset_index(drop=True)
    # A swept key may be called like a column: `steps` is both.
    rest = rest.drop(columns=[name for name in columns if name in rest])
    return pd.concat([pd.DataFrame(columns, index=rest.index), rest], axis=1)


def labelled(sweep: Sweep, effects: pd.DataFrame) -> pd.DataFrame:
    by_name = {key.name: key for key in sweep.keys}
    table = effects.astype({"value": object, "reference": object})
    for column in ("value", "reference"):
        table[column] = [
            by_name[key].label(i) for key, i in zip(effects["key"], effects[column], strict=True)
        ]
    return table


def members(sweep: Sweep, out: Path) -> pd.DataFrame:
    """A row a run, in the order of its swept values: these, then where it is, which leads to its report from
    `out` where it has one."""
    rows = []
    for member in sorted(sweep.members, key=lambda member: member.condition):
        has_condition = member.condition >= 0
        values: Any = sweep.design.loc[member.condition] if has_condition else {}
        keys = {
            key.name: key.label(values[key.name]) if has_condition else "" for key in sweep.keys
        }
        state = {"state": "missing" if member.reason else "read", "reason": member.reason}
        rows.append({**keys, **state, "run": _link(member.path, out)})
    return pd.DataFrame(rows, dtype=object)  # so that a link stays one


def _link(run: Path, out: Path) -> str:
    report = run / "report.html"
    if not report.is_file():
        return str(run)
    return Link(str(run), Path(os.path.relpath(report, out)).as_posix())


SHOWN = 16  # rows of `glance`
_LIKENESS = {"W": "kernels (R²)", "update": "what training added (R²)"}


def glance(conditions: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """A row a condition and arm: the swept values, likeness of the kernels and of what training added, chance
    and
    accuracy; the first `SHOWN`. conditions: `conditions`; names: arm -> words."""
    keys = list(conditions.columns[: conditions.columns.get_loc("arm")])
    rows = []
    for key, group in conditions.groupby([*keys, "arm"], sort=False):
        means = group.set_index("part")["mean"]
        row = group.iloc[0]
        *values, arm = key
        rows.append(
            {
                **dict(zip(keys, values, strict=True)),
                "arm": names.get(str(arm), str(arm)),
                **{
                    words: f"{means[part]:.2f}" if part in means else "none"
                    for part, words in _LIKENESS.items()
                },
                "random kernels": f"{row['chance']:.2f}",
                "test accuracy": f"{row['accuracy']:.1%}",
            }
        )
    return pd.DataFrame(rows[:SHOWN])
