"""Figures of deeper layers: what they hold over training, their labels, and what excites their channels."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis import deep, labels, t_interval
from kernelstudy.analysis.fields import crop, fields_of
from kernelstudy.analysis.representation import SETTLED
from kernelstudy.reporting.curves import step_axis
from kernelstudy.reporting.galleries import mosaic_of
from kernelstudy.reporting.style import ARM_COLOURS, CHANCE, colour_of, styled

LINES = {
    "cka_final": "CKA with its final state",
    "probe_accuracy": "linear-probe accuracy",
    "effective_rank": "effective rank",
}
KINDS = ("edge", "bar", "corner", "blob")
KIND_COLOURS = dict(zip(KINDS, ARM_COLOURS, strict=False))
PATCH_CHANNELS, PATCHES = 8, 4


def _large(patch: np.ndarray) -> np.ndarray:
    """A small patch in larger pixels, so that the line to the next one is thin."""
    times = -(-24 // len(patch))
    return np.kron(patch, np.ones((times, times)))


def layer_figure(data: xr.Dataset) -> Figure:
    """CKA with the final state, linear-probe accuracy and effective rank of each layer over steps."""
    arms = data["arm"].values.astype(str)
    steps = data["step"].values
    with styled():
        figure = Figure(figsize=(9, 1 + 1.75 * len(LINES)))
        axes = figure.subplots(len(LINES), len(arms), squeeze=False, sharex=True, sharey="row")
        for row, (name, words) in zip(axes, LINES.items(), strict=True):
            for axis, arm in zip(row, arms, strict=True):
                for i, n in enumerate(data["layer"].values):
                    values = data[name].sel(arm=arm, layer=n).transpose("probe_seed", "step").values
                    most = 1 if name != "effective_rank" else np.inf
                    _band(axis, steps, values, colour_of(i), f"layer {n}", most)
                if name == "cka_final":
                    axis.set_title(arm)
                    axis.axhline(SETTLED, color=CHANCE, lw=0.8, ls=":")
            row[0].set_ylabel(words)
        step_axis(axes, data)
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=5)
    return figure


def _band(
    axis: Axes, steps: np.ndarray, values: np.ndarray, colour: str, name: str, most: float
) -> None:
    """Mean over networks with Student's interval, cut at 0 and `most`."""
    networks = values[np.isfinite(values).all(axis=1)]
    if not len(networks):
        return
    axis.plot(steps, networks.mean(axis=0), color=colour, lw=1.6, label=name)
    if len(networks) > 1:
        axis.fill_between(
            steps, *np.clip(t_interval(networks), 0, most), color=colour, alpha=0.18, lw=0
        )


def label_figure(channels: xr.Dataset) -> Figure:
    """Which part of each layer's channels has which label at the end, a bar an arm; chance as a line."""
    arms = channels["arm"].values.astype(str)
    numbers = channels["layer"].values
    with styled():
        figure = Figure(figsize=(9, 1.1 + 0.34 * len(arms) * -(-len(numbers) // 3)))
        axes = figure.subplots(1, len(numbers), squeeze=False, sharey=True, sharex=True)[0]
        for axis, n in zip(axes, numbers, strict=True):
            left = np.zeros(len(arms))
            last = channels[f"kind_{n}"].isel(step=-1).transpose("arm", ...).values.astype(str)
            kinds = last.reshape(len(arms), -1)
            for kind in KINDS:
                share = (kinds == kind).mean(axis=1)
                axis.barh(arms, share, left=left, color=KIND_COLOURS[kind], label=kind, height=0.7)
                left += share
            axis.axvline(
                1 - labels.RATE, color="black", lw=1, ls=":", label="untrained, by the rule"
            )
            axis.set_title(f"layer {n}")
            axis.grid(axis="y", visible=False)
        axes[0].invert_yaxis()
        axes[0].set_xlim(0, None)
        figure.supxlabel("part of the channels that has a label", fontsize=9)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=5)
    return figure


def most_selective(network: xr.Dataset, layer: int) -> np.ndarray:
    """The channels of a layer whose patches are shown, the most selective first."""
    return np.argsort(-np.nan_to_num(network[f"selectivity_{layer}"].values))[:PATCH_CHANNELS]


def patch_figure(trajectory: xr.Dataset, channels: xr.Dataset, arm: str, stride: int) -> Figure:
    """Top patches of an arm's first network at the end: the most selective channels of each layer.

    `stride`: of all layers.
    """
    numbers = deep.layers_of(trajectory)
    network = trajectory.sel(arm=arm).isel(probe_seed=0, step=-1)
    images = network["example_image"].values.astype(float).mean(-1)
    fields = fields_of(trajectory, stride)
    with styled():
        rows = -(-len(numbers) // 2)
        figure = Figure(figsize=(9, 3.0 * rows))
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for axis in axes[len(numbers) :]:
            axis.set_visible(False)
        for axis, n, field in zip(axes, numbers, fields, strict=False):
            last = channels.sel(arm=arm).isel(probe_seed=0, step=-1)
            order = most_selective(last, n)
            examples = network[f"top_example_{n}"].values
            places = network[f"top_place_{n}"].transpose("rank", "axis", ...).values
            patches = [
                [_large(crop(images[examples[r, c]], field, *places[r, :, c])) for c in order]
                for r in range(min(PATCHES, len(examples)))
            ]
            # pixels beside the image, and the lines between patches, keep the colour of the ground
            axis.set_facecolor("#d9b8a0")
            axis.imshow(mosaic_of(patches), cmap="gray", extent=(0, len(order), len(patches), 0))
            axis.set(xticks=np.arange(len(order)) + 0.5, yticks=[])
            names = [str(last[f"label_{n}"].values[c]).replace(" ", "\n") for c in order]
            axis.set_xticklabels(
                [f"{c}\n{name}" for c, name in zip(order, names, strict=True)], fontsize=6
            )
            axis.set_title(f"layer {n}: {field.size} × {field.size} pixels")
            axis.tick_params(length=0)
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
    return figure
