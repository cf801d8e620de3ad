"""The tables of a report over many runs, with a column for each swept key."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernelstudy.studies import effects as analysis
from kernelstudy.studies.sweep import Sweep


def conditions(sweep: Sweep) -> pd.DataFrame:
    """`analysis.sweep.conditions` with the keys' values, tiers, operators, a and the mean accuracy."""
    table = analysis.conditions(sweep.networks)
    parts = []
    for part in analysis.PARTS:
        names = {f"{name}_{part}": name for name in ("tier", "operator", "a", "a_low", "a_high")}
        cells = sweep.cells.rename(columns=names).assign(part=part)
        cells.loc[cells[f"a_resolved_{part}"] != 1, ["a_low", "a_high"]] = float("nan")
        parts.append(cells[["condition", "arm", "part", *names.values()]])
    place = ["condition", "arm"]
    accuracy = sweep.networks.groupby(place, as_index=False)["accuracy"].mean()
    joined = table.merge(pd.concat(parts), on=[*place, "part"], how="left")
    return spread(sweep, joined.merge(accuracy, on=place, how="left"))


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
    found = effects.astype({"value": object, "reference": object})
    for column in ("value", "reference"):
        found[column] = [
            by_name[key].label(i) for key, i in zip(effects["key"], effects[column], strict=True)
        ]
    return found


def members(sweep: Sweep) -> pd.DataFrame:
    rows = []
    for member in sweep.members:
        known = member.condition >= 0
        at: Any = sweep.design.loc[member.condition] if known else {}
        keys = {key.name: key.label(at[key.name]) if known else "" for key in sweep.keys}
        state = {"state": "missing" if member.reason else "read", "reason": member.reason}
        rows.append({"run": str(member.path), **keys, **state})
    return pd.DataFrame(rows)
