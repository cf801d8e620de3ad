"""R² under every kind of inputs and labels: the figure of the studies that ask where likeness comes from."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.reporting import marks, style
from kernelstudy.reporting.measure_words import METRIC_WORDS, data_words
from kernelstudy.studies.plan import StudyRuns, by_seed, rung

LABELLED = {"true": style.colour_of(0), "shuffled": style.colour_of(1)}
# part of the ladder -> column of the networks' measures, and its words
_PARTS = {"W": ("value", "kernels W"), "update": ("delta", "update W − W₀")}
Name = Callable[[str, str], str]


def r2_by_inputs(
    found: StudyRuns, inputs: Sequence[str], name: Name, part: str, n3_measure: str = CENTRED
) -> Figure:
    """A panel a data set, a row a kind of inputs, a colour a kind of labels.

    `name(inputs, labels)` is the arm's name; `part` is 'W' or 'update', `n3_measure` the ladder's name of the
    measure that N3 is shown in. Networks are dots, their means with 95% intervals diamonds, N3 squares, random
    kernels grey. Arms that no run holds are left out.
    """
    column, words = _PARTS[part]
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
                    values = by_seed(found.networks, column, arm, data=data)
                    spread = np.linspace(-0.09, 0.09, len(values))
                    panel.plot(values, at + spread, "o", ms=3, alpha=0.4, color=colour, mew=0)
                    marks.mean_of_shares(panel, values, at, colour)
                    n3 = rung(found.ladder, arm, part, "N3", data=data, measure=n3_measure)
                    if n3 is not None and n3.n:
                        panel.plot(n3.chance, at, "s", ms=7, mfc="none", mec="black", mew=1)
            panel.set(title=data_words(data), xlim=(0, 1.02))
            panel.set_xlabel(f"likeness of the {words} to an edge detector (R²)")
            panel.set_yticks(range(len(inputs)), [kind.replace("_", "-") for kind in inputs])
            panel.set_ylim(len(inputs) - 0.5, -0.5)
            panel.grid(axis="y", visible=False)
        for labels, colour in LABELLED.items():
            panels[0].plot([], [], "D", ms=6, color=colour, label=f"{labels} labels")
        panels[0].plot(
            [],
            [],
            "s",
            ms=7,
            mfc="none",
            mec="black",
            ls="",
            label="by energies on the images' axes (N3)",
        )
        panels[0].fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=4 if len(sets) > 1 else 2)
        figure.suptitle(f"{METRIC_WORDS[metric]}: {words}", x=0.01, ha="left")
    return figure
