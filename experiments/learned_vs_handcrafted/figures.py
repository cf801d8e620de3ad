"""The figures of this study, from its networks' accuracies."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.analysis import t_interval
from kernelstudy.reporting import style
from kernelstudy.reporting.marks import versus_learned
from kernelstudy.studies.plan import by_seed

MARKS = "os^vDP"
NAMES = {
    "he_normal": "learned",
    "he_normal/frozen": "random, frozen",
    "sobel_prewitt/frozen": "Sobel and Prewitt, frozen",
    "patch_pca/frozen": "patch axes, frozen",
    "sobel_prewitt": "Sobel and Prewitt, then learned",
    "dense": "dense layer",
}


def accuracy(nets: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel a width, a line an arm, against the size of the training set."""
    sizes, widths = sorted(nets["size"].unique()), sorted(nets["width"].unique())
    with style.styled():
        figure, panels = _panels(widths, sizes)
        for panel, width in zip(panels, widths, strict=True):
            for number, arm in enumerate(arms):
                at, values = [], []
                for size in sizes:
                    found = by_seed(nets, "accuracy", arm, size=size, width=width)
                    if len(found):
                        at.append(_place(sizes, size, number, len(arms), 0.03))
                        values.append((100 * found.mean(), *t_interval(100 * found)))
                _line(panel, at, values, number, arm)
        panels[0].set_ylabel("test accuracy, %")
        _legend(figure, panels, arms)
    return figure


def differences(grid: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel a width, a line an arm: points above or below the learned first layer."""
    sizes, widths = sorted(grid["size"].unique()), sorted(grid["width"].unique())
    with style.styled():
        figure, panels = _panels(widths, sizes)
        for panel, width in zip(panels, widths, strict=True):
            for number, arm in enumerate(arms):
                mine = grid[(grid["width"] == width) & (grid["arm"] == arm)]
                at = [_place(sizes, size, number, len(arms), 0.1) for size in mine["size"]]
                values = list(mine[["points", "low", "high"]].itertuples(index=False))
                _line(panel, at, values, number, arm)
            panel.axhline(0, color="black", lw=0.9)
        versus_learned(panels[0])
        _legend(figure, panels, arms, first=1)  # the first is the line at 0
    return figure


def _panels(widths: Sequence[int], sizes: Sequence[int]):
    figure = Figure(figsize=(max(2.4 + 2.4 * len(widths), 6.0), 4.0))
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for panel, width in zip(panels, widths, strict=True):
        panel.set(title=f"width {width}", xlabel="training images")
        panel.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
        panel.set_xlim(-0.5, len(sizes) - 0.5)
        panel.grid(axis="x", visible=False)
    return figure, panels


def _place(sizes: Sequence[int], size: int, number: int, arms: int, apart: float) -> float:
    """Sizes evenly spaced, arms side by side so that intervals do not hide each other."""
    return list(sizes).index(size) + apart * (number - (arms - 1) / 2)


def _line(panel, at: list[float], values: list, number: int, arm: str) -> None:
    if not at:
        return
    colour = style.colour_of(number)
    middle, low, high = zip(*values, strict=True)
    panel.plot(at, middle, color=colour, lw=0.9, alpha=0.5)
    panel.vlines(at, low, high, color=colour, lw=2)
    panel.plot(at, middle, MARKS[number], ms=7, color=colour, mec="white", mew=0.5)


def _legend(figure: Figure, panels, arms: Sequence[str], first: int = 0) -> None:
    for number, arm in list(enumerate(arms))[first:]:
        label = NAMES.get(arm, arm)
        panels[0].plot([], [], MARKS[number], color=style.colour_of(number), label=label)
    handles = panels[0].get_legend_handles_labels()
    columns = 3
    figure.legend(*handles, loc="outside lower center", ncols=columns, fontsize=7.5)
