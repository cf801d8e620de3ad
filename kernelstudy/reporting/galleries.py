"""Figures of kernels and feature maps as pictures.

Each figure has a single axes on which its pictures are placed: one for every picture would take
most of a report's time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.variables import layers_of, probe_names
from kernelstudy.reporting.colour import rgb
from kernelstudy.reporting.style import DIVERGING, MAPS, styled

SHOWN_CHANNELS, SHOWN_STEPS = 16, 7
# Of the gallery of matches, in sides of a picture: a kernel to its match, a pair to the next, rows.
BESIDE, COLUMN, ROW = 1.1, 2.55, 1.6

Bank = Mapping[str, np.ndarray]


def shown_steps(count: int, *, most: int = SHOWN_STEPS) -> np.ndarray:
    """Indices of up to `most` of `count` log points, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def kernels_over_time(
    trajectory: xr.Dataset, kernels: np.ndarray, row: int, *, in_colour: bool = False
) -> Figure:
    """The first seed's kernels of the arm in `row`, a row a step: W on the left, W - W0 on the right.

    Every row has a symmetric colour scale of its own, whose end stands beside it: kernels that shrink or
    grow as they train keep their shapes in sight. `kernels`: the trajectory's `spatial_kernels`, or where
    `in_colour` its filters (arm, seed, step, channel, k, k, 3).
    """
    arm, values = str(trajectory["arm"].values[row]), kernels[row, 0]
    signs = "mid-grey for zero" if in_colour else "orange positive, violet negative"
    steps = shown_steps(len(values))
    channels = min(values.shape[1], SHOWN_CHANNELS)
    rows, beside = len(steps), 1.16 * channels
    with styled():
        figure = Figure(figsize=(9, 0.6 + 3.8 * rows / channels))
        axes = figure.subplots()
        for left, stack, title in (
            (0, values, "W"),
            (beside, values - values[:1], "W − W₀"),
        ):
            shown = stack[steps, :channels]
            finite = np.abs(np.nan_to_num(shown, posinf=0, neginf=0))
            ends = finite.max(axis=tuple(range(1, finite.ndim)))
            axes.imshow(
                tiled_rgb(np.stack([rgb(of) for of in shown]))
                if in_colour
                else tiled(shown / np.where(ends > 0, ends, 1)[:, None, None, None]),
                cmap=DIVERGING,
                vmin=-1,
                vmax=1,
                extent=(left, left + channels, rows, 0),
            )
            axes.annotate(title, (left, 0), (0, 4), textcoords="offset points", fontweight="bold")
            for place, end in enumerate(ends):
                axes.text(
                    left + 1.01 * channels, place + 0.5, f"±{end:.2g}", va="center", fontsize=7.5
                )
        bare(axes)
        axes.set(xlim=(0, beside + 1.1 * channels), ylim=(rows, 0), ylabel="step")
        axes.set_yticks(
            np.arange(rows) + 0.5, [f"{int(s):,}" for s in trajectory["step"].values[steps]]
        )
        axes.set_xlabel(
            f"{channels} of {values.shape[1]} kernels of {arm}, seed "
            f"{int(trajectory['seed'].values[0])}; {signs}, at each step up to the weight beside it",
            fontsize=8.5,
        )
    return figure


def matches(final: xr.Dataset, untrained: xr.Dataset, bank: Bank, title: str) -> Figure:
    """Best, median and worst match of each arm at the final step, and the best at step 0 beside it.

    Each pair is a kernel of the arm (any seed) and its nearest hand-crafted kernel of `bank`, turned
    to the kernel's sign; each picture has its own scale.

    `final`, `untrained`: of `Matches`, those of W (or of W - W0) at the last step, and of W at step 0.
    """
    arms = [str(a) for a in final["arm"].values]
    columns = [
        (f"{title}: best", final, 1.0),
        (f"{title}: median", final, 0.5),
        (f"{title}: worst", final, 0.0),
        ("best at step 0, untrained", untrained, 1.0),
    ]
    with styled():
        figure = Figure(figsize=(9, 0.35 + 1.35 * len(arms)))
        axes = figure.subplots()
        pictures = []
        for column, (name, source, rank) in enumerate(columns):
            left = column * COLUMN
            axes.text(left, -0.1, name, fontsize=8.5, fontweight="bold")
            for row, arm in enumerate(arms):
                pair = _pair(source.sel(arm=arm), rank, bank)
                for offset, (picture, words) in enumerate(pair):
                    x, y = left + offset * BESIDE, row * ROW
                    pictures.append((x, y, picture))
                    axes.text(x + 0.5, y + 1.06, words, fontsize=7.5, ha="center", va="top")
                if not pair:
                    axes.text(left + 0.5, row * ROW + 0.5, "none", ha="center", va="center")
        width, height = (len(columns) - 1) * COLUMN + BESIDE + 1, len(arms) * ROW
        axes.imshow(
            mosaic(pictures, width, height),
            cmap=DIVERGING,
            vmin=-1,
            vmax=1,
            extent=(0, width, height, 0),
            interpolation="nearest",
        )
        bare(axes)
        axes.set_ylim(height - 0.15, -0.3)
        axes.set_yticks(
            [row * ROW + 0.5 for row in range(len(arms))],
            [arm.replace("/", "/\n") for arm in arms],
            rotation=90,
            va="center",
            fontsize=8.5,
        )
    return figure


def _pair(matches: xr.Dataset, rank: float, bank: Bank) -> list[tuple[np.ndarray, str]]:
    """The kernel at this rank of best |cos| (1 the best) and its nearest bank entry, in words too.

    Empty where no kernel is live.
    """
    score = np.where(matches["live"], matches["best_abs_cos"], np.nan).ravel()
    order = np.argsort(score)[: np.isfinite(score).sum()]
    if not len(order):
        return []
    index = order[round(rank * (len(order) - 1))]
    size = matches.sizes["ky"]
    kernel = matches["kernel"].values.reshape(-1, size, size)[index]
    name = str(matches["best"].values.ravel()[index])
    entry = bank[name] * (1 if (kernel * bank[name]).sum() >= 0 else -1)
    p = float(matches["p_best"].values.ravel()[index])
    return [(kernel, f"|cos| {score[index]:.2f}\np = {p:.2g}"), (entry, name)]


def mosaic(
    pictures: list[tuple[float, float, np.ndarray]], width: float, height: float
) -> np.ndarray:
    """Square pictures (x, y, values), each scaled to [-1, 1], on one canvas that is NaN elsewhere.

    x, y (of the upper left corner), width and height are in sides of a picture.
    """
    size = len(pictures[0][2]) if pictures else 1
    taps = np.ones((-(-20 // size),) * 2)  # pixels of one tap
    side = size * len(taps)
    canvas = np.full((round(height * side), round(width * side)), np.nan)
    for x, y, values in pictures:
        top, left = round(y * side), round(x * side)
        scaled = values / (np.abs(values).max() or 1)
        canvas[top : top + side, left : left + side] = np.kron(scaled, taps)
    return canvas


def feature_maps(trajectory: xr.Dataset, arm: str) -> Figure:
    """Maps of every layer of one held-out probe over training: a row a step, a block a layer.

    The arm's first network; each channel has one scale over time.
    """
    layers = layers_of(trajectory)
    network = trajectory.sel(arm=arm).isel(probe_seed=0)
    steps = shown_steps(network.sizes["step"], most=3)
    probe = int(np.flatnonzero(network["probe_part"].values == "test")[0])
    picture = network["probe_image"].isel(probe=probe).values.mean(-1)
    rows, top = len(steps), 0.0
    channels = min(SHOWN_CHANNELS, max(network.sizes[f"map_channel_{i}"] for i in layers))
    margin = 0.9  # of a block to what stands left of it, in sides of a map
    with styled():
        height = (rows + 0.55) * len(layers) - 0.55
        figure = Figure(figsize=(9, 0.55 + 7.2 * height / (channels + 2 * margin + 1.5)))
        axes = figure.subplots()
        for layer in layers:
            stack = network[f"feature_map_{layer}"].isel(probe=probe).values.astype(float)
            stack = np.nan_to_num(stack[..., :channels])
            low, high = stack.min((0, 1, 2)), stack.max((0, 1, 2))
            scaled = (stack - low) / np.where(high > low, high - low, 1)
            count = scaled.shape[-1]
            axes.imshow(
                tiled(np.moveaxis(scaled[steps], -1, 1)),
                cmap=MAPS,
                vmin=0,
                vmax=1,
                extent=(0, count, top + rows, top),
            )
            for row, step in enumerate(network["step"].values[steps]):
                axes.text(-0.08, top + row + 0.5, f"{int(step):,}", ha="right", va="center")
            axes.text(-margin, top + rows / 2, "step", rotation=90, ha="right", va="center")
            total = trajectory.sizes[f"channel_{layer}"]
            axes.text(
                0,
                top - 0.08,
                f"layer {layer}: {count} of {total} channels",
                fontsize=8.5,
                fontweight="bold",
                va="bottom",
            )
            top += rows + 0.55
        side = 1.5 * picture.shape[0] / picture.shape[1]
        right, middle = -1.5 * margin, (top - 0.55) / 2
        axes.imshow(picture, cmap="gray", extent=(right - 1.5, right, middle + side, middle))
        name = probe_names(trajectory)[probe].partition(" (")[0]
        axes.text(right - 0.75, middle - 0.1, name, ha="center", va="bottom")
        bare(axes)
        axes.set(xlim=(right - 1.6, channels), ylim=(top - 0.5, -0.5))
    return figure


def mosaic_of(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Rows of pictures alike in shape as one, each on its own scale from 0 to 1."""

    def scaled(picture: np.ndarray) -> np.ndarray:
        low, high = np.nanmin(picture, initial=np.inf), np.nanmax(picture, initial=-np.inf)
        return (picture - low) / (high - low) if high > low else picture * 0

    return tiled(np.stack([np.stack([scaled(p) for p in row]) for row in rows]))


def tiled(stack: np.ndarray) -> np.ndarray:
    """(rows, columns, h, w) pictures as one, an empty pixel (NaN) between them."""
    padded = np.pad(stack, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, height, width = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]


def tiled_rgb(stack: np.ndarray) -> np.ndarray:
    """`tiled`, of pictures (rows, columns, h, w, 3): in red, green, blue and opacity, 0 between them."""
    channels = [tiled(stack[..., channel]) for channel in range(stack.shape[-1])]
    opaque = np.isfinite(channels[0]).astype(float)
    return np.stack([*(np.nan_to_num(channel) for channel in channels), opaque], axis=-1)


def bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
