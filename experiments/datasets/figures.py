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
    """Left: learned a beside the images' own, a row a set. Right: alignment, a row a direction."""
    with style.styled():
        figure = Figure(figsize=(11.5, 4.9))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _profiles(left, nets)
        _directions(right, nets)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _profiles(axes: Axes, nets: pd.DataFrame) -> None:
    sets = nets.groupby("data", sort=False)["images_phi"].first().sort_values()
    for (arm, part), (words, colour) in REGIMES.items():
        mine = nets[(nets["arm"] == arm) & (nets["part"] == part)]
        for row, data in enumerate(sets.index):
            phi = mine[mine["data"] == data]["phi"].to_numpy()
            at = row + (0.17 if part == "update" else -0.17)
            axes.plot(bootstrap_t_interval(phi), [at, at], color=colour, lw=2)
            label = words if row == 0 else None
            axes.plot(phi.mean(), at, "D", ms=5.5, color=colour, mec="white", label=label)
    axes.plot(sets.to_numpy(), range(len(sets)), "k|", ms=20, mew=2.2, label="the images' own a")
    ticks = [0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 3.0]
    axes.set_xticks([float(phi_of_a(a)) for a in ticks], [f"{a:g}" for a in ticks])
    ends = [float(phi_of_a(a)) for a in (0.75, 3.4)]  # wider intervals are cut
    names = [
        str(data).replace("colour ", "").replace("photo_patches", "photos") for data in sets.index
    ]
    axes.set_yticks(range(len(sets)), names, fontsize=7.5)
    axes.set(xlim=ends, ylim=(len(sets) - 0.5, -0.5), xlabel="a (1: Prewitt, 2: Sobel)")
    axes.set_title("Profile across the edge, by the images' own a")
    axes.grid(axis="y", visible=False)


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
    axes.set_title("Direction, on images with edges about one")
    axes.set_xlabel("alignment of the edge detectors (1 along, −1 across)")
    axes.grid(axis="y", visible=False)
