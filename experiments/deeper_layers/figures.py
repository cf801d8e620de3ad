"""The figure of this study: labels over training, what they tell of the end, and agreement over seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measures import LAYERS, course

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.reporting import style

COLOURS: dict[int, str] = {layer: style.colour_of(layer - 1) for layer in LAYERS}
PANELS = {
    "labelled": "channels with a label, %",
    "told": "label now = label at the end (kappa)",
    "agreement": "two seeds agree on labels (kappa)",
}


def over_training(courses: pd.DataFrame, data: str, arms: dict[str, str]) -> Figure:
    """A row an arm, a column a measure of `PANELS`, a line a layer, against step. arms: arm -> words."""
    with style.styled():
        figure = Figure(figsize=(11.5, 0.9 + 2.5 * len(arms)))
        panels = figure.subplots(len(arms), len(PANELS), sharex=True, sharey="col", squeeze=False)
        for row, (arm, words) in zip(panels, arms.items(), strict=True):
            for axes, (measure, label) in zip(row, PANELS.items(), strict=True):
                for layer in LAYERS:
                    _line(
                        axes,
                        course(courses, data, arm, layer, measure),
                        layer,
                        100 if measure == "labelled" else 1,
                    )
                axes.set_title(f"{words}: {label}", fontsize=8)
                axes.set_xscale("symlog", linthresh=1)
                if measure != "labelled":
                    axes.axhline(0, color=style.CHANCE, lw=1.5)
                    axes.text(0, 0.02, "chance", color="#666666", fontsize=6.5)
                    axes.set_ylim(-0.2, 1.03)
                else:
                    axes.axhline(5, color=style.CHANCE, lw=1.5)
                    axes.text(0, 6, "untrained: 5%", color="#666666", fontsize=6.5)
        for axes in panels[-1]:
            axes.set_xlabel("step")
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
    return figure


def _line(axes: Axes, table: pd.DataFrame, layer: int, times: float) -> None:
    if not len(table):
        return
    values = times * table.to_numpy(float)
    steps, means, lows, highs = [], [], [], []
    for step, column in zip(table.columns, values.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known) > 1:
            low, high = bootstrap_t_interval(known)
            steps.append(step)
            means.append(known.mean())
            lows.append(low)
            highs.append(high)
    axes.fill_between(steps, lows, highs, color=COLOURS[layer], alpha=0.18, lw=0)
    axes.plot(steps, means, "o-", ms=3, lw=1.5, color=COLOURS[layer], label=f"layer {layer}")
