"""The ladder of chance as a table that explains itself: a row an arm, a column a rung."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernelstudy.analysis.ladder import CENTRED

RUNGS = {
    "N0": ("noise", "kernels of isotropic noise: is there structure at all?"),
    "N1": ("step 0", "the same networks before training: did training bring it?"),
    "N2": ("permuted taps", "the same kernels, taps permuted: does it matter where weights are?"),
    "N3": (
        "image energies",
        "the same kernels with random signs on the images' principal axes, and with random phases of their "
        "Fourier components: is it more than their energies alone give, by 0.05 of R² or more?",
    ),
    "N4": (
        "shuffled labels",
        "the arm that differs in shuffled labels alone: does it take the task?",
    ),
}


def in_words(ladder: pd.DataFrame) -> dict[str, Any]:
    """`analysis.tables.ladder` as {rungs, rows}: each rung's name and question, and each arm's answers.

    A cell has the difference from chance with its interval and p, and 'yes', 'no' or 'undecided'; it is
    None where a rung was not asked.
    """
    nulls = [null for null in RUNGS if null in set(ladder["null"])]
    rows = []
    deciding = ladder[ladder["measure"] == CENTRED]
    for (arm, part), group in deciding.groupby(["arm", "part"], sort=False):
        first = group.drop_duplicates("null").set_index("null")
        rungs = first.to_dict("index")
        cells = [_cell(rungs[null]) if null in rungs else None for null in nulls]
        rows.append({"arm": arm, "part": part, "n": int(group["n"].max()), "cells": cells})
    return {"rungs": [(null, *RUNGS[null]) for null in nulls], "rows": rows}


def _cell(rung: dict[Any, Any]) -> dict[str, Any]:
    passed = rung["passed"]
    undecided = passed is None or pd.isna(passed)
    return {**rung, "answer": "undecided" if undecided else "yes" if passed else "no"}
