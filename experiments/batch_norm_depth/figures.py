"""The figure of this study: memory and likeness at the end, of every arm in the four networks."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.measure_words import data_words

NETWORKS = {
    (False, 2): ("2 layers", style.colour_of(5)),
    (False, 4): ("4 layers", style.colour_of(0)),
    (True, 2): ("2 layers, batch norm", style.colour_of(1)),
    (True, 4): ("4 layers, batch norm", style.colour_of(4)),
}
PANELS = {
    "memory": "memory: share of the energy that is the start's",
    "value": "likeness to an edge detector (R²)",
}


def ends(nets: pd.DataFrame, arms: Mapping[str, str], null: Any) -> Figure:
    """A row a set, a column a measure: a group an arm, in it a mark a network. nets: set, norm, depth, arm and
    measures; arms -> words; null: null_low, null_mean, null_high of random networks."""
    sets = list(dict.fromkeys(nets["set"]))
    with style.styled():
        figure = Figure(figsize=(10.5, 1.0 + 2.6 * len(sets)))
        panels = figure.subplots(len(sets), 2, sharex="col", sharey=True, squeeze=False)
        for row, data in zip(panels, sets, strict=True):
            for axes, column in zip(row, PANELS, strict=True):
                mine = nets[nets["set"] == data]
                if column == "value":
                    marks.chance(axes, null)
                for (at, arm), (shift, (norm, depth)) in (
                    (place, cell) for place in enumerate(arms) for cell in enumerate(NETWORKS)
                ):
                    of_arm = mine[
                        (mine["arm"] == arm) & (mine["norm"] == norm) & (mine["depth"] == depth)
                    ]
                    colour = NETWORKS[norm, depth][1]
                    marks.mean_of_shares(axes, of_arm[column], at + 0.19 * (shift - 1.5), colour)
                axes.grid(axis="y", visible=False)
                axes.set_xlim(-0.02, 1.02)
            row[0].set_title(data_words(data))
            row[0].set_yticks(range(len(arms)), [fill(words, 24) for words in arms.values()])
            row[0].set_ylim(len(arms) - 0.5, -0.5)
        for axes, words in zip(panels[-1], PANELS.values(), strict=True):
            axes.set_xlabel(words)
        for words, colour in NETWORKS.values():
            panels[0, 0].plot([], [], "D-", color=colour, mec="white", label=words)
        panels[0, 0].fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        handles = panels[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=5)
    return figure
