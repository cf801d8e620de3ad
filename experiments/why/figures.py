"""The figures of this study, from its networks' measures."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.curves import steps_to
from kernelstudy.reporting.measure_words import METRIC_WORDS
from kernelstudy.studies.plan import StudyRuns, by_seed, rung

LABELLED = {"true": style.colour_of(0), "shuffled": style.colour_of(1)}
Name = Callable[[str, str], str]


def update(found: StudyRuns, inputs: Sequence[str], name: Name) -> Figure:
    """A panel a data set, a row a kind of inputs, a colour a kind of labels."""
    sets = list(dict.fromkeys(found.networks["data"]))
    metric = found.sweep.metric
    with style.styled():
        figure = Figure(figsize=(0.8 + 4.1 * len(sets), 4.2))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for panel, data in zip(panels, sets, strict=True):
            marks.chance(panel, found.sweep.cells.iloc[0])
            for row, kind in enumerate(inputs):
                for number, (labels, colour) in enumerate(LABELLED.items()):
                    at, arm = row + 0.36 * (number - 0.5), name(kind, labels)
                    values = by_seed(found.networks, "delta", arm, data=data)
                    spread = np.linspace(-0.09, 0.09, len(values))
                    panel.plot(values, at + spread, "o", ms=3, alpha=0.4, color=colour, mew=0)
                    marks.mean_of_shares(panel, values, at, colour)
                    n3 = rung(found.ladder, arm, "update", "N3", data=data, measure=metric)
                    if n3 is not None and n3.n:
                        panel.plot(n3.chance, at, "s", ms=7, mfc="none", mec="black", mew=1)
            panel.set(title=data, xlim=(0, 1.02), xlabel="R² of the update")
            panel.set_yticks(range(len(inputs)), [kind.replace("_", "-") for kind in inputs])
            panel.set_ylim(len(inputs) - 0.5, -0.5)
            panel.grid(axis="y", visible=False)
        for labels, colour in LABELLED.items():
            panels[0].plot([], [], "D", ms=6, color=colour, label=f"{labels} labels")
        panels[0].plot([], [], "s", ms=7, mfc="none", mec="black", ls="", label="N3")
        panels[0].fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=4 if len(sets) > 1 else 2)
        figure.suptitle(f"{METRIC_WORDS[metric]}: update W − W₀", x=0.01, ha="left")
    return figure


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
                panel.set_title(f"{data}, {kind.replace('_', '-')}")
            panels[row, 0].set_ylabel("odd share of the update")
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
                panel.set_title(f"{data}, {kind.replace('_', '-')}")
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
