"""The figure of this study: what is left of the start, and likeness, over the steps."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.measure_words import data_words

ROWS = {
    "memory": "memory: share of\nthe energy that\nis the start's",
    "start_left": "length left along\nthe start",
    "value": "likeness to an\nedge detector (R²)",
}
FIRST = 10  # steps that are drawn; before them nothing moves


def over_steps(
    points: pd.DataFrame, names: Mapping[str, str], null: Any, half_way: Mapping[str, int]
) -> Figure:
    """A row a measure, a column a data set, a curve an arm. points: `Course.course`; names: arm -> words; null:
    null_low, null_mean, null_high of random networks."""
    arms = [arm for arm in names if arm in set(points["arm"])]
    with style.styled():
        figure = Figure(figsize=(1.4 + 3.9 * len(half_way), 6.6))
        panels = figure.subplots(len(ROWS), len(half_way), sharex=True, sharey="row", squeeze=False)
        for row, (measure, words) in zip(panels, ROWS.items(), strict=True):
            for axes, data in zip(row, half_way, strict=True):
                if measure == "value":
                    marks.chance(axes, null, across=True)
                for number, arm in enumerate(arms):
                    mine = points[
                        (points["data"] == data)
                        & (points["arm"] == arm)
                        & (points["step"] >= FIRST)
                    ]
                    wide = mine.pivot_table(index="seed", columns="step", values=measure)
                    dashes = "--" if arm.startswith("sobel") else "-"
                    marks.band(axes, wide.columns, wide.to_numpy(), style.colour_of(number), dashes)
                axes.axvline(half_way[data], color="black", lw=1, ls=":")
                axes.set_xscale("log")
                axes.set_ylim(bottom=0)
            row[0].set_ylabel(words)
        for axes, data in zip(panels[0], half_way, strict=True):
            axes.set_title(data_words(data))
        for axes in panels[-1]:
            axes.set_xlabel("step")
        first = panels[-1, 0]
        for number, arm in enumerate(arms):
            dashes = "--" if arm.startswith("sobel") else "-"
            first.plot([], [], dashes, color=style.colour_of(number), label=names[arm])
        first.fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        handles = first.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(half_way))
    return figure
