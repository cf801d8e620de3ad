"""The figure of this study: a against the images' own, and the directions of edge detectors."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis import bootstrap_t_interval, phi_of_a
from kernelstudy.reporting import style

REGIMES = {
    ("he_normal/wd=2", "W"): ("start forgotten: kernels", style.colour_of(0)),
    ("he_normal", "update"): ("lazy: what training added", style.colour_of(4)),
}


def followed(nets: pd.DataFrame) -> Figure:
    """Left: learned a against the images' own, a dot a set and regime. Right: alignment, a row a direction."""
    with style.styled():
        figure = Figure(figsize=(11.5, 4.9))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _profiles(left, nets)
        _directions(right, nets)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _profiles(axes: Axes, nets: pd.DataFrame) -> None:
    for (arm, part), (words, colour) in REGIMES.items():
        mine = nets[(nets["arm"] == arm) & (nets["part"] == part)]
        for at, (_, of_set) in enumerate(mine.groupby("data", sort=False)):
            x, phi = of_set["images_phi"].iloc[0], of_set["phi"].to_numpy()
            axes.plot([x, x], bootstrap_t_interval(phi), color=colour, lw=2)
            axes.plot(
                x, phi.mean(), "D", ms=5.5, color=colour, mec="white", label=None if at else words
            )
    sets = nets.groupby("data", sort=False)["images_phi"].first().sort_values()
    low, high = axes.get_ylim()
    for number, (data, x) in enumerate(sets.items()):
        axes.annotate(
            str(data).replace("photo_patches", "photos").replace("oriented, ", ""),
            (x, high),
            xytext=(0, 4 + 9 * (number % 4)),
            textcoords="offset points",
            fontsize=6.5,
            ha="center",
            color="#555555",
        )
    ends = [sets.min() - 0.01, sets.max() + 0.01]
    axes.plot(ends, ends, "--", color="black", lw=1, label="the images' own a")
    ticks = [1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 2.0, 3.0]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([float(phi_of_a(a)) for a in ticks], [f"{a:g}" for a in ticks])
    axes.set(xlim=ends, ylim=(low, high), xlabel="a of the images' own patches", ylabel="learned a")


def _directions(axes: Axes, nets: pd.DataFrame) -> None:
    mine = nets[nets["concentration"] > 0]
    angles = sorted(mine["orientation"].unique())
    for (arm, part), (_, colour) in REGIMES.items():
        for row, angle in enumerate(angles):
            rows = mine[
                (mine["arm"] == arm) & (mine["part"] == part) & (mine["orientation"] == angle)
            ]
            values = rows["aligned"].dropna().to_numpy()
            at = row + (0.15 if part == "update" else -0.15)
            axes.plot(values, [at] * len(values), "o", ms=3, alpha=0.4, color=colour, mew=0)
            if len(values):
                axes.plot(
                    bootstrap_t_interval(values, support=(-1, 1)), [at, at], color=colour, lw=2.5
                )
                axes.plot(values.mean(), at, "D", ms=5.5, color=colour, mec="white")
    axes.axvline(0, color=style.CHANCE, lw=1.5)
    axes.text(0.01, len(angles) - 0.55, "no preference", color="#666666", fontsize=7)
    axes.set_yticks(range(len(angles)), [f"images' edges\nabout {angle:g}°" for angle in angles])
    axes.set(xlim=(-1, 1.02), ylim=(len(angles) - 0.5, -0.5))
    axes.set_xlabel("alignment of the edge detectors (1 along, −1 across)")
    axes.grid(axis="y", visible=False)
