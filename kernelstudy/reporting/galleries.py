"""Figures of kernels and feature maps as pictures."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.study import final_matches, spatial_kernels, updates, usable_bank
from kernelstudy.reporting.style import DIVERGING, MAPS, styled

SHOWN_CHANNELS, SHOWN_STEPS = 16, 7


def shown_steps(count: int, *, most: int = SHOWN_STEPS) -> np.ndarray:
    """Indices of up to `most` of `count` log points, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def kernel_scales(trajectory: xr.Dataset) -> tuple[float, float]:
    """The largest |weight| of W and of W - W0 over the run: one colour scale each, for all arms."""
    kernels = np.nan_to_num(spatial_kernels(trajectory), posinf=0, neginf=0)
    return float(np.abs(kernels).max()), float(np.abs(kernels - kernels[:, :, :1]).max())


def kernels_over_time(trajectory: xr.Dataset, arm: str, scales: tuple[float, float]) -> Figure:
    """The first seed's kernels of an arm, a row a step: W on the left, W - W0 on the right."""
    values = spatial_kernels(trajectory.sel(arm=[arm]))[0, 0]
    steps = shown_steps(len(values))
    channels = min(values.shape[1], SHOWN_CHANNELS)
    with styled():
        figure = Figure(figsize=(9, 0.7 + 3.6 * len(steps) / channels))
        blocks = figure.subplots(1, 2)
        updates = values - values[:1]
        for axis, stack, scale, title in zip(
            blocks, (values, updates), scales, ("W", "W − W₀"), strict=True
        ):
            image = _tiled(stack[steps, :channels])
            shown = axis.imshow(image, cmap=DIVERGING, vmin=-scale or -1, vmax=scale or 1)
            axis.set_title(title)
            _bare(axis)
            height = image.shape[0] / len(steps)
            axis.set_yticks(
                (np.arange(len(steps)) + 0.5) * height - 0.5,
                [f"{int(s):,}" for s in trajectory["step"].values[steps]],
            )
            bar = figure.colorbar(shown, ax=axis, fraction=0.03, pad=0.02, ticks=[-scale, 0, scale])
            bar.ax.set_yticklabels([f"{-scale:.2g}", "0", f"{scale:.2g}"])
            bar.outline.set_visible(False)
        blocks[0].set_ylabel("step")
        figure.supxlabel(
            f"{channels} of {values.shape[1]} kernels of {arm}, seed "
            f"{int(trajectory['seed'].values[0])}",
            fontsize=8.5,
        )
    return figure


def matches(trajectory: xr.Dataset, bank_names: list[str], *, update: bool) -> Figure:
    """Best, median and worst match of each arm at the final step, and the best at step 0 beside it.

    Each pair is a kernel of the arm (any seed) and its nearest hand-crafted kernel, turned to the
    kernel's sign. With `update`: of W - W0, where the comparison is still W at step 0.
    """
    arms = [str(a) for a in trajectory["arm"].values]
    bank = usable_bank(bank_names, trajectory.sizes["ky"])
    final = updates(trajectory) if update else trajectory
    title = "update W − W₀" if update else "W"
    columns = [
        (f"{title}: best", final, -1, 1.0),
        (f"{title}: median", final, -1, 0.5),
        (f"{title}: worst", final, -1, 0.0),
        ("best at step 0, untrained", trajectory, 0, 1.0),
    ]
    with styled():
        figure = Figure(figsize=(9, 0.4 + 1.3 * len(arms)))
        # an empty column between the pairs keeps each kernel with its match
        widths = [1, 1, 0.25] * len(columns)
        axes = figure.subplots(len(arms), len(widths), squeeze=False, width_ratios=widths)
        for gap in axes[:, 2::3].flat:
            gap.axis("off")
        for column, (name, source, step, rank) in enumerate(columns):
            found = final_matches(source, bank_names, step=step)
            for row, arm in enumerate(arms):
                left, right = axes[row, 3 * column : 3 * column + 2]
                _pair(left, right, found.sel(arm=arm), rank, bank)
                if row == 0:
                    left.set_title(name, fontsize=8.5)
        for row, arm in enumerate(arms):
            axes[row, 0].set_ylabel(arm.replace("/", "/\n"), fontsize=8.5)
    return figure


def _pair(left: Axes, right: Axes, found: xr.Dataset, rank: float, bank: dict) -> None:
    """Draw the kernel at this rank of best |cos| (1 the best) beside its nearest bank entry."""
    _bare(left)
    _bare(right)
    score = np.where(found["live"], found["best_abs_cos"], np.nan).ravel()
    order = np.argsort(score)[: np.isfinite(score).sum()]
    if not len(order):
        left.text(0.5, 0.5, "none", ha="center", va="center", transform=left.transAxes)
        right.axis("off")
        return
    chosen = order[round(rank * (len(order) - 1))]
    size = found.sizes["ky"]
    kernel = found["kernel"].values.reshape(-1, size, size)[chosen]
    name = str(found["best"].values.ravel()[chosen])
    entry = bank[name] * (1 if (kernel * bank[name]).sum() >= 0 else -1)
    for axis, picture in ((left, kernel), (right, entry)):
        scale = np.abs(picture).max()
        axis.imshow(picture, cmap=DIVERGING, vmin=-scale, vmax=scale)
    p = float(found["p_best"].values.ravel()[chosen])
    left.set_xlabel(f"|cos| {score[chosen]:.2f}\np = {p:.2g}", fontsize=7.5)
    right.set_xlabel(name, fontsize=7.5)


def feature_maps(trajectory: xr.Dataset, arm: str) -> Figure:
    """Layer-2 maps of two probes over training, a row a step; each channel has one scale."""
    maps = trajectory["feature_map"].sel(arm=arm)
    steps = shown_steps(maps.sizes["step"], most=5)
    channels = min(maps.sizes["channel"], SHOWN_CHANNELS)
    probes = list(range(min(2, maps.sizes["probe"])))
    with styled():
        figure = Figure(figsize=(9, 0.5 + len(probes) * 7.4 * len(steps) / channels))
        blocks = figure.subplots(len(probes), 2, squeeze=False, width_ratios=(1, 6))
        for (picture, axis), probe in zip(blocks, probes, strict=True):
            _bare(picture)
            image = trajectory["probe_image"].isel(probe=probe).values
            picture.imshow(image.mean(-1), cmap="gray")
            picture.set_title(f"probe: class {int(trajectory['probe_label'][probe])}", fontsize=8.5)
            stack = maps.isel(probe=probe).values.astype(float)[..., :channels]
            low, high = (f(stack, axis=(0, 1, 2)) for f in (np.min, np.max))
            scaled = (stack - low) / np.where(high > low, high - low, 1)
            tiles = _tiled(np.moveaxis(scaled[steps], -1, 1))
            axis.imshow(tiles, cmap=MAPS, vmin=0, vmax=1)
            _bare(axis)
            height = tiles.shape[0] / len(steps)
            axis.set_yticks(
                (np.arange(len(steps)) + 0.5) * height - 0.5,
                [f"{int(s):,}" for s in maps["step"].values[steps]],
            )
            axis.set_ylabel("step")
        total = maps.sizes["channel"]
        blocks[-1, 1].set_xlabel(f"{channels} of {total} channels of layer 2, {arm}")
    return figure


def _tiled(stack: np.ndarray) -> np.ndarray:
    """(rows, columns, h, w) pictures as one, an empty pixel (NaN) between them."""
    padded = np.pad(stack, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, height, width = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
