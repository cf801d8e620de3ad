"""The figures of this study, from its networks' measures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.curves import steps_to
from kernelstudy.reporting.measure_words import data_words
from kernelstudy.studies.inputs_figure import LABELLED, Name


def derivative_share(shares: dict, inputs: Sequence[str], name: Name) -> Figure:
    """A row a data set, a column a kind of inputs: the odd share of the update and its prediction."""
    sets = list(dict.fromkeys(data for data, _ in shares))
    with style.styled():
        figure = Figure(figsize=(0.8 + 3.6 * len(inputs), 0.9 + 2.4 * len(sets)))
        panels = figure.subplots(len(sets), len(inputs), sharex=True, sharey=True, squeeze=False)
        last = 1
        for row, data in enumerate(sets):
            for panel, kind in zip(panels[row], inputs, strict=True):
                panel.axhline(4 / 9, color=style.CHANCE, lw=1.2, ls=":")
                for labels, colour in LABELLED.items():
                    if (data, name(kind, labels)) not in shares:
                        continue
                    steps, odd, predicted = shares[data, name(kind, labels)]
                    last = int(steps[-1])
                    marks.band(panel, steps, odd, colour)
                    if labels == "true":  # the same prediction for both
                        panel.plot(steps, predicted, "--", color="black", lw=1.3)
                panel.set_title(f"{data_words(data)}, {kind.replace('_', '-')}")
            panels[row, 0].set_ylabel("gradient-like (odd) share of the update")
        panels[0, 0].set_ylim(0, 1.02)
        steps_to(panels, last)
        for labels, colour in LABELLED.items():
            panels[0, 0].plot([], [], color=colour, label=f"measured, {labels} labels")
        panels[0, 0].plot([], [], "--", color="black", label="linear theory, nothing fitted")
        panels[0, 0].plot([], [], ":", color=style.CHANCE, label="chance")
        handles = panels[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=4)
    return figure


def profile(profiles: pd.DataFrame, inputs: Sequence[str], name: Name) -> Figure:
    """A row a data set, a column a kind of inputs: energy of the update on each axis, and its prediction."""
    sets = list(dict.fromkeys(profiles["data"]))
    with style.styled():
        figure = Figure(figsize=(0.8 + 3.6 * len(inputs), 0.9 + 2.4 * len(sets)))
        panels = figure.subplots(len(sets), len(inputs), sharex=True, sharey=True, squeeze=False)
        for row, data in enumerate(sets):
            for panel, kind in zip(panels[row], inputs, strict=True):
                for labels, colour in LABELLED.items():
                    arm = name(kind, labels)
                    mine = profiles[(profiles["data"] == data) & (profiles["arm"] == arm)]
                    panel.plot(mine["axis"], mine["energy"], "o-", ms=4, color=colour, lw=1.3)
                    if labels == "true":
                        panel.plot(
                            mine["axis"], mine["predicted"], "s--", ms=4, color="black", lw=1.2
                        )
                        for line in mine[mine["odd_of_axis"] > 0.5].itertuples():
                            panel.axvspan(
                                line.axis - 0.5, line.axis + 0.5, color="#D55E00", alpha=0.1, lw=0
                            )
                panel.set_title(f"{data_words(data)}, {kind.replace('_', '-')}")
            panels[row, 0].set_ylabel("share of energy")
        panels[0, 0].set(yscale="log", ylim=(1e-3, 1.3))
        panels[0, 0].set_xticks(range(1, 10))
        for panel in panels[-1]:
            panel.set_xlabel("principal axis of the patches")
        for labels, colour in LABELLED.items():
            panels[0, 0].plot([], [], "o-", color=colour, label=f"measured, {labels} labels")
        panels[0, 0].plot([], [], "s--", color="black", label="linear theory, nothing fitted")
        panels[0, 0].fill_between([], [], color="#D55E00", alpha=0.15, label="odd axis")
        handles = panels[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=4)
    return figure
