"""The figure of this study: what becomes of labels, what they tell of the end, and agreement over seeds."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measures import course

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.reporting import style

DEEPER = (2, 3)
FATES = {  # of channels: what part of them, as columns of `Ways.channels`
    "ends with a label, had no other": style.colour_of(2),
    "ends with one, had another before": style.colour_of(0),
    "had one, ends without": style.colour_of(1),
}


def ways_of_labels(
    channels: pd.DataFrame, courses: pd.DataFrame, data: str, arms: dict[str, str]
) -> Figure:
    """Left: the fate of channels, a bar an arm and layer. Middle and right: kappa with the channel's own
    label at the end, and of two seeds, against step. arms: arm -> words; the last of them is in the bars
    alone."""
    with style.styled():
        figure = Figure(figsize=(11.5, 4.3))
        bars, told, agreed = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
        _fates(bars, channels[channels["data"] == data], arms)
        for number, (arm, words) in enumerate(list(arms.items())[:-1]):
            for layer in DEEPER:
                look = {"color": style.colour_of((4, 5)[number]), "ls": "-" if layer == 3 else "--"}
                for axes, measure in ((told, "told"), (agreed, "agreement")):
                    _line(
                        axes,
                        course(courses, data, arm, layer, measure),
                        f"{words}, layer {layer}",
                        look,
                    )
        told.set_title("Label at a step = label at the end")
        agreed.set_title("Two seeds agree on labels")
        for axes in (told, agreed):
            axes.axhline(0, color=style.CHANCE, lw=1.5)
            axes.text(0, 0.02, "chance", color="#666666", fontsize=7)
            axes.set(xlabel="step", ylabel="kappa", ylim=(-0.15, 1.03))
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(0, 1.1 * courses["step"].max())
        handles, labels = (
            one + other
            for one, other in zip(
                bars.get_legend_handles_labels(), told.get_legend_handles_labels(), strict=True
            )
        )
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _fates(axes: Axes, channels: pd.DataFrame, arms: dict[str, str]) -> None:
    means = channels.groupby(["arm", "layer"])[["labelled", "hidden", "passing"]].mean()
    rows = [(arm, layer) for layer in DEEPER for arm in arms]
    for at, key in enumerate(rows):
        if key not in means.index:
            continue
        labelled, hidden, passing = (100 * float(means[name][key]) for name in means.columns)
        left = 0.0
        for width, colour in zip(
            (labelled - passing, passing, hidden - passing), FATES.values(), strict=True
        ):
            axes.barh(at, width, left=left, color=colour, height=0.7)
            left += width
    axes.axvline(5, color="black", lw=1, ls=":")
    axes.text(5.5, -0.62, "untrained: 5%", fontsize=6.5, va="center")
    axes.set_yticks(
        range(len(rows)), [f"layer {layer}: {arms[arm]}" for arm, layer in rows], fontsize=8
    )
    axes.set(xlim=(0, 100), ylim=(len(rows) - 0.5, -0.9), xlabel="% of the layer's channels")
    axes.set_title("What becomes of labels")
    axes.grid(axis="y", visible=False)
    for words, colour in FATES.items():
        axes.plot([], [], "s", ms=8, color=colour, label=words)


def _line(axes: Axes, table: pd.DataFrame, words: str, look: dict[str, str]) -> None:
    """Means over networks or pairs against step, with intervals at the last log points."""
    if not len(table):
        return
    colour, dashes = look["color"], look["ls"]
    axes.plot(table.columns, table.mean(), dashes, color=colour, lw=1.6, label=words)
    for column in table.columns[-3:]:
        known = table[column].dropna().to_numpy(float)
        if len(known) > 2:
            low, high = bootstrap_t_interval(known, support=(-1, 1))
            axes.plot([column, column], [low, high], color=colour, lw=1, alpha=0.6)
