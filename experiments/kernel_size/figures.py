"""The figure of this study: shares of fitted kernels beside chance, and what learning is worth, by size."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measures import FORGETS, LAZY, NULLS

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.reporting import style

REGIMES = {FORGETS: ("start forgotten", style.colour_of(0)), LAZY: ("lazy", style.colour_of(4))}
WORDS = {"gabor": "a Gabor function", "derivatives": "derivatives of a Gaussian"}
_LOOKS = {
    "N0": ("random (N0)", ":", "."),
    "N2": ("pixels permuted (N2)", "-.", "x"),
    "N3 signs": ("images' axes, random signs (N3)", "--", "s"),
    "N3 phases": ("random phases (N3)", "--", "^"),
}


def fitted(table: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """A row a set: panels of both functions in the forgetting regime, and the gain of learning."""
    sets = list(dict.fromkeys(gains["data"]))
    with style.styled():
        figure = Figure(figsize=(11.5, 1.0 + 2.9 * len(sets)))
        panels = figure.subplots(len(sets), 3, sharex=True, squeeze=False)
        for row, data in zip(panels, sets, strict=True):
            for axes, (function, words) in zip(row, WORDS.items(), strict=False):
                _shares(axes, table[(table["data"] == data) & (table["function"] == function)])
                axes.set_title(f"{data}: fitted by {words}", fontsize=8.5)
                axes.set(ylim=(-2, None), ylabel="% of kernels")
            _gains(row[2], gains[gains["data"] == data])
            row[2].set_title(f"{data}: learned − frozen random", fontsize=8.5)
            row[2].set_ylabel("points of accuracy")
        for axes in panels[-1]:
            axes.set_xlabel("kernel, pixels a side")
            axes.set_xticks(sorted(gains["size"].unique()))
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7.5)
    return figure


def _shares(axes: Axes, table: pd.DataFrame) -> None:
    for arm, (words, colour) in REGIMES.items():
        mine = table[(table["arm"] == arm) & (table["null"] == NULLS[0])].sort_values("size")
        axes.plot(
            mine["size"], 100 * mine["value"], "D-", ms=5, color=colour, label=f"learned, {words}"
        )
    for null, (words, dashes, marker) in _LOOKS.items():
        mine = table[(table["arm"] == FORGETS) & (table["null"] == null)].sort_values("size")
        colour = "black" if null.startswith("N3") else "#777777"
        axes.plot(
            mine["size"],
            100 * mine["chance"],
            dashes,
            marker=marker,
            ms=4,
            color=colour,
            lw=1,
            mfc="none",
            label=words,
        )


def _gains(axes: Axes, gains: pd.DataFrame) -> None:
    axes.axhline(0, color="black", lw=0.9)
    for shift, (arm, (_, colour)) in zip((-0.15, 0.15), REGIMES.items(), strict=True):
        mine = gains[gains["arm"] == arm]
        for size, group in mine.groupby("size"):
            points = group["points"].to_numpy()
            at = float(str(size)) + shift
            axes.plot([at, at], bootstrap_t_interval(points), color=colour, lw=2)
            axes.plot(at, points.mean(), "D", ms=5, color=colour, mec="white")
