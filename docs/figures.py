"""python docs/figures.py [DIR]: the pictures of the page on statistics, each for light and dark pages.

They are committed, for code hosts show the page as well; everything is computed with the package, or read from
results/.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kernelstudy import analysis, bank, family
from kernelstudy.config.study import Arm
from kernelstudy.reporting.style import ARM_COLOURS, CHANCE, DIVERGING, styled

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
DRAWS = (1, 16, 64, 256)  # random kernels of which the best is shown
SEED = 0


class Ink(NamedTuple):
    """Colours of what is drawn on a page of some colour, which shows through."""

    text: str
    grid: str


INKS = {"light": Ink("#16202b", "#e3e5e8"), "dark": Ink("#d5dae0", "#3a4048")}


def best_of_random() -> Figure:
    """The most Sobel-like of more and more random kernels, above the Sobel that it is like."""
    gx, gy = analysis.gradient_plane(3)
    kernels = analysis.isotropic(max(DRAWS), 3, SEED)
    r2 = analysis.steered_r2(kernels, gx, gy, centered=True)
    figure = Figure(figsize=(7.4, 4.1))
    rows = figure.subplots(2, len(DRAWS))
    for column, count in zip(rows.T, DRAWS, strict=True):
        best = int(np.argmax(r2[:count]))
        kernel = kernels[best] - kernels[best].mean()
        _kernel(column[0], kernel).set_title(
            f"best of {count:,}\nR² = {r2[best]:.2f}", loc="center"
        )
        x, y = (float(np.sum(kernel * g)) for g in (gx, gy))
        _kernel(column[1], x * gx + y * gy)
    rows[0, 0].set_ylabel("random\nnumbers")
    rows[1, 0].set_ylabel("Sobel, turned\nto it")
    return figure


def share_of_energy() -> Figure:
    """What R² chance gives to kernels of three sizes: drawn, and in closed form."""
    figure = Figure(figsize=(7.4, 3.2))
    axes = figure.subplots()
    r2 = np.linspace(0, 1, 201)
    for size, colour in zip((3, 5, 7), ARM_COLOURS, strict=False):
        d = size * size - 1  # the mean is removed
        plane = analysis.gradient_plane(size)
        drawn = analysis.steered_r2(analysis.isotropic(40_000, size, SEED), *plane, centered=True)
        axes.hist(drawn, bins=50, range=(0, 1), density=True, color=colour, alpha=0.28)
        law = analysis.r2_distribution(2, d)
        words = f"{size} x {size}: {law.mean():.2f} on average"
        axes.plot(r2, law.pdf(r2), color=colour, lw=2, label=words)
    axes.set(xlim=(0, 1), ylim=(0, 12), xlabel="R² with Sobel at its best angle", yticks=[])
    axes.set_ylabel("how often in random kernels")
    axes.legend(title="bars: drawn; lines: closed form", alignment="left")
    return figure


def sectors() -> Figure:
    """Frei and Chen's nine kernels, of which every 3 x 3 kernel is a sum, by their symmetry."""
    words = {"odd": "edge", "isotropic": "blob", "b1": "line, xx − yy", "b2": "line, xy"}
    words["dc"] = "constant"
    figure = Figure(figsize=(7.4, 3.1))
    rows = figure.subplots(2, 5)
    for axes in rows.ravel():
        axes.axis("off")
    places = {sector: iter(rows[int(sector != "odd")][:]) for sector in ("odd", "dc")}
    for kernel in bank("freichen").values():
        sector = analysis.SECTORS[int(np.argmax(analysis.sectors(kernel)))]
        axes = next(places["odd" if sector == "odd" else "dc"])
        _kernel(axes, kernel).set_title(words[sector], loc="center", size=8.5)
    return figure


def operators() -> Figure:
    """One family holds the named first derivatives, and they are hard to tell apart."""
    named = analysis.OPERATORS
    figure = Figure(figsize=(7.4, 2.5))
    sobel = family(2).ravel()
    for axes, (name, a) in zip(figure.subplots(1, len(named)), named.items(), strict=True):
        kernel = family(a)
        cosine = kernel.ravel() @ sobel / np.linalg.norm(kernel) / np.linalg.norm(sobel)
        value = "∞" if np.isinf(a) else f"{a:.3g}"
        _kernel(axes, kernel).set_title(f"{name}\na = {value}", loc="center", size=8.5)
        axes.set_xlabel(f"cosine with\nSobel {cosine:.2f}", size=8.5)
    return figure


def ladder() -> Figure:
    """The main run's kernels beside each kind of chance."""
    table = pd.read_csv(ROOT / "results" / "mnist" / "tables" / "ladder.csv")
    table = table[(table.part == "W") & (table.measure == "r2_centered")]
    config = yaml.safe_load((ROOT / "conf" / "exp" / "mnist.yaml").read_text(encoding="utf-8"))
    words = {arm.name: arm.words for arm in (Arm(**given) for given in config["arms"])}
    nulls = {
        "N0": ("random kernels", "o"),
        "N1": ("the same network at step 0", "s"),
        "N2": ("the same weights, shuffled in each kernel", "^"),
        "N3": ("the same energies on the images' axes", "D"),
    }
    figure = Figure(figsize=(7.4, 3.6))
    axes = figure.subplots()
    arms = list(words)
    for row, arm in enumerate(arms):
        of_arm = table[table.arm == arm].set_index("null")
        first = of_arm.loc["N0"]
        low, high = first.chance + first.ci_low, first.chance + first.ci_high
        axes.plot([low, high], [row, row], color=ARM_COLOURS[0], lw=9, alpha=0.35)
        axes.plot(first.value, row, "o", color=ARM_COLOURS[0], ms=9, label=None if row else "W")
        for index, (null, (_, mark)) in enumerate(nulls.items()):
            if null in of_arm.index:
                height = row + 0.13 * (index + 1) + 0.05
                colour = ARM_COLOURS[index + 1]
                axes.plot(of_arm.loc[null].chance, height, mark, color=colour, ms=6)
    handles = [mpl.lines.Line2D([], [], marker="o", ls="", color=ARM_COLOURS[0], ms=9)]
    handles += [
        mpl.lines.Line2D([], [], marker=mark, ls="", color=colour)
        for (_, mark), colour in zip(nulls.values(), ARM_COLOURS[1:], strict=False)
    ]
    labels = ["trained kernels, 95% interval over networks", *(text for text, _ in nulls.values())]
    axes.set(yticks=range(len(arms)), yticklabels=[_broken(words[arm]) for arm in arms])
    axes.set(ylim=(len(arms) - 0.2, -0.5), xlim=(0, 1.02))
    axes.set_xlabel("R² with Sobel at its best angle")
    axes.axvline(analysis.r2_distribution(2, 8).mean(), color=CHANCE, lw=1)
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _broken(words: str) -> str:
    return words.replace(", ", ",\n", 1)


def _kernel(axes: Axes, kernel: np.ndarray) -> Axes:
    largest = np.abs(kernel).max()
    axes.imshow(kernel, cmap=DIVERGING, vmin=-largest, vmax=largest)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


FIGURES: tuple[Callable[[], Figure], ...] = (
    best_of_random,
    share_of_energy,
    sectors,
    operators,
    ladder,
)


def draw(folder: Path = PICTURES) -> None:
    """Write <figure>-light.png and <figure>-dark.png of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in FIGURES:
        for page, ink in INKS.items():
            colours = dict.fromkeys(
                ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"),
                ink.text,
            )
            with styled(), mpl.rc_context({**colours, "grid.color": ink.grid}):
                path = folder / f"{make.__name__}-{page}.png"
                drawn = io.BytesIO()
                make().savefig(drawn, dpi=144, transparent=True)
                few = Image.open(drawn).quantize(
                    128, Image.Quantize.FASTOCTREE
                )  # keeps what shows through
                few.save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)
