"""The figures of this study: what redrawn kernels are worth, and accuracy on the way."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from measures import FROZEN_COPIED, FROZEN_RANDOM, FROZEN_REDRAWN, RANDOM, REDRAWN, REGIMES

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.reporting import style

COLOURS = dict(zip(REGIMES, (style.colour_of(4), style.colour_of(0)), strict=True))
_LOOKS = {
    RANDOM: ("-", "black"),
    REDRAWN: ("-", style.colour_of(0)),
    FROZEN_RANDOM: ("--", "black"),
    FROZEN_COPIED: ("--", style.colour_of(2)),
    FROZEN_REDRAWN: ("--", style.colour_of(0)),
}


def worth(table: pd.DataFrame, rows: Sequence[str]) -> Figure:
    """A panel a set, a row a comparison, a colour a regime. table: `run.compared`."""
    sets = list(dict.fromkeys(table["data"]))
    with style.styled():
        figure = Figure(figsize=(11.5, 1.4 + 0.5 * len(rows)))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, data in zip(panels, sets, strict=True):
            axes.axvline(0, color="black", lw=0.9)
            for shift, regime in zip((-0.14, 0.14), REGIMES, strict=True):
                mine = table[(table["data"] == data) & (table["regime"] == regime)]
                for one in mine.to_dict("records"):
                    at = rows.index(one["comparison"]) + shift
                    axes.plot([one["low"], one["high"]], [at, at], color=COLOURS[regime], lw=2)
                    axes.plot(one["points"], at, "D", ms=5.5, color=COLOURS[regime], mec="white")
            axes.set(title=data, xlabel="points of accuracy")
            axes.grid(axis="y", visible=False)
        panels[0].set_yticks(range(len(rows)), rows)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        for regime, colour in COLOURS.items():
            panels[0].plot([], [], "D", ms=5.5, color=colour, label=regime)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def ways(table: pd.DataFrame) -> Figure:
    """A row a set, a column a regime: mean accuracy at the log points. table: `measures.courses`."""
    sets = list(dict.fromkeys(table["data"]))
    with style.styled():
        figure = Figure(figsize=(11.5, 1.0 + 2.8 * len(sets)))
        panels = figure.subplots(len(sets), len(REGIMES), sharex=True, sharey="row", squeeze=False)
        for row, data in zip(panels, sets, strict=True):
            for axes, regime in zip(row, REGIMES, strict=True):
                mine = table[(table["data"] == data) & (table["regime"] == regime)]
                for layer, (dashes, colour) in _LOOKS.items():
                    of = mine[mine["layer"] == layer].groupby("step")["accuracy"]
                    ends = of.apply(lambda values: bootstrap_t_interval(values.to_numpy()))
                    means, at = of.mean(), of.mean().index.to_numpy(float) + 1
                    axes.plot(at, means, dashes, color=colour, lw=1.6, label=layer)
                    low, high = zip(*ends, strict=True)
                    axes.fill_between(at, low, high, color=colour, alpha=0.1, lw=0)
                axes.set(title=f"{data}, {regime}", xscale="log")
            row[0].set_ylabel("test accuracy, %")
        for axes in panels[-1]:
            axes.set_xlabel("step + 1")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(_LOOKS))
    return figure
