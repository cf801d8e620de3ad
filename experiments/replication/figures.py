"""The figures of this study: how the parts of each published claim fared, and accuracy on changed images."""

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.reporting import style

PARTS = {"hold": style.colour_of(2), "open": "#d0d0d0", "fail": style.colour_of(4)}
ARMS = {
    "he_normal": "learned, lazy",
    "he_normal/wd=2": "learned, start forgotten",
    "he_normal/frozen": "random, frozen, lazy",
    "he_normal/frozen/wd=2": "random, frozen, decay",
    "gabor/frozen": "Gabor, frozen, lazy",
    "gabor/frozen/wd=2": "Gabor, frozen, decay",
    "gabor": "Gabor, then learned, lazy",
    "he_normal*0.01": "learned, start times 0.01",
}


def by_claim(table: pd.DataFrame) -> Figure:
    """A row a claim: the shares of its parts that hold, are open and fail, and its verdict."""
    with style.styled():
        figure = Figure(figsize=(11.5, 0.9 + 0.46 * len(table)))
        axes = figure.subplots()
        for at, row in enumerate(table.to_dict("records")):
            left, total = 0.0, sum(int(row[name]) for name in PARTS)
            for name, colour in PARTS.items():
                count = int(row[name])
                if count:
                    axes.barh(at, count / total, left=left, color=colour, height=0.72)
                    axes.text(
                        left + count / total / 2,
                        at,
                        str(count),
                        ha="center",
                        va="center",
                        fontsize=7.5,
                    )
                    left += count / total
            words = str(row["verdict"]) if total else "not tested"
            axes.text(
                1.02, at, words, va="center", fontsize=8.5, fontweight="bold" if total else "normal"
            )
        labels = [
            "\n".join([*textwrap.wrap(claim, 74), paper])
            for claim, paper in zip(table["claim"], table["paper"], strict=True)
        ]
        axes.set_yticks(range(len(table)), labels, fontsize=6.8)
        axes.set(xlim=(0, 1.2), ylim=(len(table) - 0.4, -0.6))
        axes.set_xticks([])
        axes.grid(visible=False)
        for name, colour in PARTS.items():
            words = {"hold": "part holds", "open": "cannot be told", "fail": "part fails"}[name]
            axes.plot([], [], "s", ms=8, color=colour, label=words)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def under_changes(last: pd.DataFrame, sets: Sequence[str]) -> Figure:
    """A panel a set, a row an arm: accuracy as the images are, and under changes."""
    with style.styled():
        figure = Figure(figsize=(11.5, 3.6))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, data in zip(panels, sets, strict=True):
            for at, arm in enumerate(ARMS):
                mine = last[(last["data"] == data) & (last["arm"] == arm)]
                colour = style.colour_of(at // 2)
                for column, face in (("clean", "white"), ("under", colour)):
                    values = 100 * mine[column].to_numpy()
                    if len(values):
                        axes.plot(bootstrap_t_interval(values), [at, at], color=colour, lw=2)
                        axes.plot(values.mean(), at, "D", ms=5.5, mfc=face, mec=colour)
            axes.set(title=data, xlabel="test accuracy, %")
            axes.grid(axis="y", visible=False)
        panels[0].set_yticks(range(len(ARMS)), list(ARMS.values()))
        panels[0].set_ylim(len(ARMS) - 0.5, -0.5)
        panels[0].plot(
            [], [], "D", mfc="white", mec="#555555", color="#555555", label="images as they are"
        )
        panels[0].plot(
            [], [], "D", color="#555555", label="mean over noise, blur, contrast and shift"
        )
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
