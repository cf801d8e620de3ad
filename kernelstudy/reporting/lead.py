"""What reports begin with: kernels, what they are nearest to, and chance beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.analysis.kernels import support_of
from kernelstudy.analysis.kinds import KINDS, live_kinds
from kernelstudy.reporting import colour
from kernelstudy.reporting.galleries import bare, tiled
from kernelstudy.reporting.measure_words import likeness
from kernelstudy.reporting.style import CHANCE, DIVERGING, colour_of, styled

ARMS = 6  # shown, the first
SIDE = 0.25  # inches of a kernel
PHONE = 4.2  # inches that are as wide as a phone, at least
NARROW_ROW = 0.46  # inches of an arm's networks there
HEAD, FOOT = 0.24, 0.14  # inches above and below the rows of an arm
LABEL = 9  # points of words, which a page shows smaller
CAPTION = (
    "Left: the kernels of an arm's first network before training and after it. Centred: after it, each less "
    "its mean and on its own scale, which is what likeness is judged by. Nearest: the hand-crafted kernel "
    "nearest to it (random kernels have near ones, too). A triangle marks each kernel that counts as an "
    "edge detector, its mean left in. Purple is negative, orange positive. Right: likeness to an edge "
    "detector (R²), the part of a centred kernel that Sobel's kernel at its best angle explains, from 0 to "
    "1. A dot is a network's mean over its kernels."
)
IN_COLOUR = (
    " Start and end are in colour, mid-grey for zero. Pattern: what a filter's colours have in common, the "
    "largest term of colour x pattern, which is what is measured."
)
EDGE_LABEL = "counts as an edge detector"


def before_and_after(
    kernels: np.ndarray,
    analysis: xr.Dataset,
    nearest: xr.DataArray,
    bank: Mapping[str, np.ndarray],
    metric: str,
    names: Mapping[str, str],
    *,
    filters: np.ndarray | None = None,
    narrow: bool = False,
) -> Figure:
    """Kernels (arm, seed, step, channel, k, k) of each arm's first network, and every network beside chance.

    `nearest`: name of each final kernel's match in `bank` (arm, seed, channel). `names`: arm -> its name in
    words. `filters`: of networks that see three colours, (arm, seed, 2, channel, k, k, 3) at the start and the
    end, of which the kernels are the patterns. `narrow`: as wide as a phone, chance below the kernels and not
    beside them.
    """
    arms = [str(arm) for arm in analysis["arm"].values[:ARMS]]
    shown = min(kernels.shape[3], 12 if narrow else 16)
    block = block_of(4 if filters is None else 5)
    height, width = block * len(arms), SIDE * shown
    if narrow:
        rows = [(NARROW_ROW * i + 0.32, 0.1) for i in range(len(arms))]
    else:
        rows = [(block * i + HEAD + 2 * SIDE, 1.3 * SIDE) for i in range(len(arms))]
    with styled():
        figure, pictures, chance = panels(width, height, rows=len(arms) if narrow else 0)
        for i, arm in enumerate(arms):
            network = int(np.argmin(analysis["diverged"].sel(arm=arm).values))
            matches = nearest.sel(arm=arm).isel(seed=network).values[:shown]
            start, end = kernels[i, network, [0, -1], :shown]
            edges = live_kinds(kernels[i, network, -1])[:shown] == KINDS.index("edge")
            rows_of_arm = [
                ("centred", centred(end)),
                ("nearest", nearest_entries(end, matches, bank)),
            ]
            if filters is None:
                rows_of_arm = [("start", scaled(start)), ("end", scaled(end)), *rows_of_arm]
            else:
                pictures_of = [colour.rgb(of[:shown]) for of in filters[i, network]]
                in_colour = zip(("start", "end"), pictures_of, strict=True)
                rows_of_arm = [*in_colour, ("pattern", scaled(end)), *rows_of_arm]
            strips(pictures, names.get(arm, arm), rows_of_arm, block * i)
            _mark(pictures, edges, 1 / (1 + end.shape[-1]), block * (i + 1) - FOOT)
        chance.plot([], [], "^", ms=5, color="black", label=EDGE_LABEL)
        _networks(chance, analysis, arms, metric, rows)
        if narrow:
            for (centre, _), arm in zip(rows, arms, strict=True):
                chance.text(0.01, centre - 0.17, names.get(arm, arm), fontsize=8.5)
        legend_of(figure, chance, narrow=narrow)
    return figure


def panels(width: float, height: float, *, rows: int = 0) -> tuple[Figure, Axes, Axes]:
    """A figure with axes for `strips` of so many inches and, at their right, axes for chance, in inches from
    the
    top, too; with `rows`, as wide as a phone, chance is below, with `NARROW_ROW` inches for each."""
    left, below, apart, beside = 0.66, 1.15 if rows else 0.95, 0.35, NARROW_ROW * rows
    if rows:
        size = max(left + width + 0.1, PHONE), height + beside + below + 0.25
        places = [
            (left, below + beside + 0.25, width, height),
            (0.15, below, size[0] - 0.3, beside),
        ]
    else:
        size = left + width + apart + 4.25, height + below
        places = [(left, below, width, height), (left + width + apart, below, 4.05, height)]
    figure = Figure(figsize=size)
    figure.set_layout_engine("none")
    pictures, chance = (
        figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))
        for x, y, w, h in places
    )
    bare(pictures)
    pictures.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    chance.set(ylim=(beside or height, 0), yticks=[])
    chance.spines["left"].set_visible(False)
    return figure, pictures, chance


def legend_of(figure: Figure, axes: Axes, *, narrow: bool) -> None:
    """The legend of a figure of `panels`, at its foot."""
    handles = axes.get_legend_handles_labels()
    columns = 2 if narrow else 4 if len(handles[0]) < 5 else 3
    size = LABEL - 1 if narrow else LABEL
    figure.legend(*handles, loc="lower right", ncols=columns, fontsize=size, columnspacing=1.0)


def block_of(rows: int) -> float:
    """The height of so many rows of pictures with their title, in inches."""
    return HEAD + rows * SIDE + FOOT


def strips(axes: Axes, title: str, rows: Sequence[tuple[str, np.ndarray]], top: float) -> None:
    """Rows of pictures (name, (n, k, k) within -1 and 1, or in colour (n, k, k, 3) within 0 and 1) below a
    title, from `top` on, all in inches."""
    count, size = rows[0][1].shape[:2]
    gap = 1 / (size + 1)  # the line between kernels is one of their pixels wide
    place = top + HEAD
    plain = [p if p.ndim == 3 else np.full(p.shape[:3], np.nan) for _, p in rows]
    axes.imshow(
        tiled(np.stack(plain)),
        cmap=DIVERGING,
        vmin=-1,
        vmax=1,
        extent=(0, SIDE * (count - gap), place + SIDE * (len(rows) - gap), place),
        aspect="auto",
    )
    for row, (name, pictures) in enumerate(rows):
        for column in range(count if pictures.ndim == 4 else 0):
            left, up = SIDE * column, place + SIDE * row
            square = (left, left + SIDE * (1 - gap), up + SIDE * (1 - gap), up)
            axes.imshow(pictures[column], extent=square, aspect="auto")
        axes.text(-0.06, place + SIDE * (row + 0.45), name, ha="right", va="center", fontsize=LABEL)
    axes.text(-0.55, top + 0.15, title, fontweight="bold", fontsize=LABEL + 0.5)


def scaled(kernels: np.ndarray) -> np.ndarray:
    """Kernels (n, k, k) on one scale, within -1 and 1."""
    return kernels / (np.nan_to_num(np.abs(kernels)).max() or 1)


def centred(kernels: np.ndarray) -> np.ndarray:
    """Kernels (n, k, k) less their means, each on its own scale, within -1 and 1."""
    less = kernels - kernels.mean(axis=(1, 2), keepdims=True)
    largest = np.abs(less).max(axis=(1, 2), keepdims=True)
    return less / np.where(largest > 0, largest, 1)


def _mark(axes: Axes, counts: np.ndarray, gap: float, top: float) -> None:
    """A triangle below each kernel that `counts` (n,), `top` inches down; gap: between kernels, of `SIDE`."""
    centres = SIDE * (np.flatnonzero(counts) + (1 - gap) / 2)
    axes.plot(centres, np.full(len(centres), top + 0.05), "^", ms=4, color="black")


def nearest_entries(
    kernels: np.ndarray, names: np.ndarray, bank: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The entries of `bank` that match kernels (n, k, k), turned to their signs, each on its own scale; NaN
    where there is none."""
    entries = np.full(kernels.shape, np.nan)
    for i, name in enumerate(names.astype(str)):
        if name in bank:
            sign = 1 if (kernels[i] * bank[name]).sum() >= 0 else -1
            entries[i] = sign * bank[name] / np.abs(bank[name]).max()
    return entries


def _networks(
    axes: Axes, analysis: xr.Dataset, arms: list[str], metric: str, rows: list[tuple[float, float]]
) -> None:
    """The primary measure of every network at the end, at the heights `rows` (centre, half a spread)."""
    null: Any = analysis.sel(measure=metric)
    axes.axvspan(null["null_low"], null["null_high"], color=CHANCE, alpha=0.25, lw=0)
    axes.axvline(null["null_mean"], color=CHANCE, lw=1.5)
    for i, (arm, (centre, spread)) in enumerate(zip(arms, rows, strict=True)):
        values = analysis[metric].sel(arm=arm).isel(step=-1).values
        values = values[np.isfinite(values)]
        if not len(values):
            axes.text(0.5, centre, "every network diverged", ha="center", va="center")
            continue
        heights = centre + np.linspace(-spread, spread, len(values)) * (len(values) > 1)
        axes.plot(values, heights, "o", ms=3.5, alpha=0.45, color=colour_of(i))
        low, high = bootstrap_t_interval(values, support=support_of(metric))
        axes.plot([low, high], [centre, centre], color=colour_of(i), lw=2.5)
        axes.plot(values.mean(), centre, "D", ms=7, color=colour_of(i), mec="white")
        start = float(analysis[metric].sel(arm=arm).isel(step=0).mean())
        axes.plot(start, centre, "|", ms=16, mew=2, color="black")
    axes.plot([], [], "|", ms=10, mew=2, color="black", label="mean before training")
    axes.plot([], [], "o", ms=4, color="grey", alpha=0.6, label="one network")
    axes.plot([], [], "D", ms=6, color="grey", label="mean, 95% interval")
    axes.fill_between([], [], color=CHANCE, alpha=0.3, label="95% of random networks")
    axes.set(xlim=(0, 1.02), xlabel=likeness(metric))
