"""The ladder of chance as a table that explains itself."""

from __future__ import annotations

from typing import Any

import pandas as pd

MEANINGS = {
    "N0": "kernels of isotropic noise: is there structure at all?",
    "N1": "the same networks at step 0: did training bring it?",
    "N2": "the same kernels with their taps permuted: is it where the weights are?",
    "N3": "Gaussian kernels with the layer's own energies on the images' principal axes: is it more than image "
    "statistics?",
    "N4": "the arm that differs in shuffled labels alone: does it take the task?",
}
MEASURES = {
    "r2": "R² with the best-steered Sobel",
    "concentration": "concentration of R² in few kernels",
    "purity": "purity: one direction a kernel",
    "best_abs_cos": "best |cos| over the bank",
}


def in_words(ladder: pd.DataFrame) -> list[dict[str, Any]]:
    """Rungs of `analysis.tables.ladder` with what each means, and yes, no or undecided."""
    rows = []
    for rung in ladder.to_dict("records"):
        passed = rung["passed"]
        undecided = passed is None or pd.isna(passed)
        rows.append(
            {
                **rung,
                "who": f"{rung['arm']}, {rung['part']}",
                "meaning": MEANINGS.get(rung["null"], rung["null"]),
                "measure": MEASURES.get(rung["measure"], rung["measure"]),
                "answer": "undecided" if undecided else "yes" if passed else "no",
            }
        )
    return rows
