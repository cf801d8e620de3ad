"""The one figure: what is found, where it comes from, and what it is worth; all from tables in results/."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from words import CHANCE, METRIC, SMALL, Results, against_learned, final, image_energies

from kernelstudy.reporting import style
from kernelstudy.reporting.marks import versus_learned

W, OF_UPDATE, NEW = style.colour_of(0), style.colour_of(4), style.colour_of(2)
LIKENESS = "likeness to an edge detector (R²)"
ARMS = {
    "he_normal": "random start",
    "he_normal/wd=2": "random start,\nweight decay 2",
    "sobel/wd=2": "started as Sobel,\nweight decay 2",
    "he_normal/shuffled/wd=2": "random start,\nshuffled labels,\nweight decay 2",
}
INPUTS = {
    "images and labels\nas they are": SMALL,
    "shuffled labels": f"{SMALL}/shuffled",
    "images with\nscrambled phases": f"{SMALL}/phase_scrambled",
    "whitened images": f"{SMALL}/whitened",
    "pixels in one\nother order": f"{SMALL}/permuted",
    "independent\npixels": f"{SMALL}/iid",
}
LAYERS = {
    "he_normal/frozen": "random kernels, frozen",
    "sobel_prewitt/frozen": "Sobel and Prewitt, frozen",
    "patch_pca/frozen": "images' patch axes, frozen",
    "sobel_prewitt": "Sobel and Prewitt, then learned",
    "dense": "a dense layer",
}


def figure(results: Results) -> Figure:
    with style.styled():
        drawn = Figure(figsize=(12, 4.9))
        found, why, worth = drawn.subplots(1, 3, width_ratios=(1, 1, 1.15))
        _found(found, results)
        _why(why, results("why/tables/arms.csv"))
        _worth(worth, against_learned(results))
    return drawn


def _found(axes: Axes, results: Results) -> None:
    """Kernels, update and new part of the main experiment's arms."""
    summary, ladder = results("mnist/tables/summary.csv"), results("mnist/tables/ladder.csv")
    if summary is None or ladder is None:
        return _absent(axes, "mnist")
    names = list(dict.fromkeys(summary["arm"]))
    for row, arm in enumerate(names):
        for offset, prefix, colour in (
            (-0.22, "", W),
            (0, "delta_", OF_UPDATE),
            (0.22, "new_", NEW),
        ):
            line = final(summary, arm, prefix + METRIC)
            _mark(axes, line["mean"], line["ci_low"], line["ci_high"], row + offset, colour)
        implied = image_energies(ladder, arm)
        if implied is not None:
            axes.plot(implied, row - 0.22, "|", ms=13, mew=2, color="black", zorder=5)
    step = int(summary["step"].max())
    _rows(axes, [ARMS.get(name, name) for name in names], f"What is found: digits, step {step:,}")
    for colour, label in (
        (W, "the kernels (W)"),
        (OF_UPDATE, "what training added (W − W₀)"),
        (NEW, "what of the kernels is new"),
    ):
        axes.plot([], [], "D", ms=6, color=colour, label=label)
    label = "random kernels with the energies\nof W on the images' axes (N3)"
    axes.plot([], [], "|", ms=10, mew=2, color="black", label=label)
    _legend(axes)
    return None


def _why(axes: Axes, arms: pd.DataFrame | None) -> None:
    if arms is None:
        return _absent(axes, "why")
    sets = list(dict.fromkeys(arms["data"]))
    for number, data in enumerate(sets):
        mine = arms[(arms["data"] == data) & (arms["measure"] == "update")].set_index("arm")
        marker = "Ds"[number % 2]
        for row, arm in enumerate(INPUTS.values()):
            if arm in mine.index:
                line = mine.loc[arm]
                at = row + 0.28 * (number - (len(sets) - 1) / 2)
                _mark(axes, line["mean"], line["low"], line["high"], at, OF_UPDATE, marker)
        face = "white" if marker == "s" else OF_UPDATE
        label = f"what training added (W − W₀), {_SETS.get(data, data)}"
        axes.plot([], [], marker, ms=6, color=OF_UPDATE, mfc=face, label=label)
    _rows(axes, list(INPUTS), "Where it comes from (small start)")
    _legend(axes)
    return None


_SETS = {"mnist5k": "digits", "photo_patches": "photographs"}


def _worth(axes: Axes, grid: pd.DataFrame | None) -> None:
    if grid is None:
        return _absent(axes, "learned_vs_handcrafted")
    width = 16 if 16 in set(grid["width"]) else int(grid["width"].iloc[0])
    sizes = sorted(grid.loc[grid["width"] == width, "size"].unique())
    versus_learned(axes)
    for number, (arm, label) in enumerate(LAYERS.items()):
        mine = grid[(grid["arm"] == arm) & (grid["width"] == width)]
        at = [sizes.index(size) + 0.09 * (number - 2) for size in mine["size"]]
        colour = style.colour_of(number + 1)
        axes.plot(at, mine["points"], color=colour, lw=0.8, alpha=0.5)
        axes.vlines(at, mine["low"], mine["high"], color=colour, lw=2)
        mark = {"ms": 7, "color": colour, "mec": "white", "mew": 0.6, "label": label}
        axes.plot(at, mine["points"], "s^vDP"[number], **mark)
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.set_xlabel("training images (garments)")
    axes.set_title(f"What it is worth: {width} kernels, no decay")
    _legend(axes)
    return None


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.14), fontsize=8.5, alignment="left")


def _mark(
    axes: Axes, mean: float, low: float, high: float, at: float, colour: str, marker: str = "D"
) -> None:
    """A mean with its interval; a square is open, so that it is told from a diamond."""
    axes.plot([low, high], [at, at], color=colour, lw=2.5)
    face, edge = ("white", colour) if marker == "s" else (colour, "white")
    axes.plot(mean, at, marker, ms=5.5, mfc=face, mec=edge)


def _rows(axes: Axes, names: list[str], title: str) -> None:
    axes.axvline(CHANCE, color=style.CHANCE, lw=1.5, zorder=0)
    label = "random kernels"
    axes.text(CHANCE + 0.01, len(names) - 0.53, label, color="#555555", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1.03), ylim=(len(names) - 0.5, -0.75), xlabel=LIKENESS)
    axes.set_title(title)
    axes.grid(axis="y", visible=False)


def _absent(axes: Axes, study: str) -> None:
    axes.text(0.5, 0.5, f"{study}:\nnot in results/ yet", ha="center", va="center", color="grey")
    axes.set_axis_off()
