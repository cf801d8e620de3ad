"""Figures of layers whose kernels are not square ones of two axes."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.any_shape import (
    central_slices,
    derivatives,
    frequency_response,
    parities,
    parity_dimensions,
)
from kernelstudy.analysis.nulls import r2_quantile
from kernelstudy.comparison.shapes import ShapeMeasures
from kernelstudy.reporting.style import ARM_COLOURS, CHANCE, DIVERGING, colour_of, styled

SHOWN = 32
_OTHERS = [c for c in ARM_COLOURS if c not in ("#666666", "#E69F00")]
_PARITY_COLOURS = (
    "#666666",
    "#E69F00",
    *_OTHERS,
    "#F0E442",
)  # as many as three axes have symmetries


def answer(layer: ShapeMeasures) -> Figure:
    """Every kernel's R2 beside isotropic kernels', and the parities' shares beside chance."""
    shape = layer.profiles.shape[1:]
    law = len(derivatives(shape)), math.prod(shape) - 1
    table = layer.kernels[layer.kernels["live"]]
    with styled():
        figure = Figure(figsize=(8.6, 2.6))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        left.fill_betweenx(
            [-0.4, 0.4], *r2_quantile([0.025, 0.975], *law), color=CHANCE, alpha=0.3, lw=0,
            label="95% of random kernels",
        )  # fmt: skip
        left.axvline(law[0] / law[1], color=CHANCE, lw=1.5)
        heights = 0.26 * np.sin(2.4 * np.arange(len(table)))
        above = (table["q_r2"] <= layer.level).to_numpy()
        dots = (("beyond chance, q < .05", above, colour_of(0)), ("not", ~above, "none"))
        for label, chosen, fill in dots:
            r2 = table["r2_centered"][chosen]
            left.plot(r2, heights[chosen], "o", ms=4, mfc=fill, color=colour_of(0), label=label)
        left.plot([table["r2_centered"].mean()] * 2, [-0.32, 0.32], "k", lw=2, label="mean")
        left.set(xlim=(-0.01, 1.01), ylim=(-0.6, 0.6), yticks=[])
        left.set_xlabel("R² with the first derivatives, means removed")
        left.set_title("Every kernel", loc="left")
        _parities(right, layer)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=7.5
        )
        figure.legend(
            *right.get_legend_handles_labels(), loc="outside upper right", ncols=5, fontsize=7
        )
    return figure


def _parities(axes: Axes, layer: ShapeMeasures) -> None:
    shape = layer.profiles.shape[1:]
    values = layer.layer.set_index("measure")["value"] if len(layer.layer) else {}
    chance = parity_dimensions(shape) / math.prod(shape)
    for row in (0, 1):
        start = 0.0
        for name, expected, colour in zip(parities(shape), chance, _PARITY_COLOURS, strict=False):
            width = float(expected if row else values.get(name, 0.0))
            axes.barh(
                row, width, left=start, height=0.62, color=colour, label=None if row else name
            )
            if width > 0.08:
                place = start + width / 2
                axes.text(place, row, f"{width:.0%}", ha="center", va="center", fontsize=7)
            start += width
    axes.set_yticks([0, 1], ["the layer", "chance"])
    axes.set(xlim=(0, 1), ylim=(1.6, -0.6), xlabel="share of energy, by symmetry")
    axes.grid(visible=False)


def pictures(layer: ShapeMeasures) -> Figure:
    """The kernels, of evenly spaced ranks in R2: as curves, as pictures, or by their three central planes."""
    picked = _picked(layer)
    draw = (_curves, _oblong, _planes)[layer.profiles.ndim - 2]
    with styled():
        return draw(layer, picked)


def _picked(layer: ShapeMeasures) -> np.ndarray:
    table = layer.kernels[layer.kernels["live"]].sort_values("r2_centered", ascending=False)
    ranks = np.linspace(0, len(table) - 1, min(SHOWN, len(table))).round().astype(int)
    return table.index.to_numpy()[np.unique(ranks)]


def _cells(count: int, columns: int, wide: float, high: float) -> tuple[Figure, list[Axes]]:
    rows = max(-(-count // columns), 1)
    figure = Figure(figsize=(wide * columns, high * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for one in axes:
        one.set_axis_off()
    return figure, axes


def _title(layer: ShapeMeasures, index: int) -> str:
    row = layer.kernels.loc[index]
    return f"{row['channel']}: R² {row['r2_centered']:.2f}"


def _curves(layer: ShapeMeasures, picked: np.ndarray) -> Figure:
    figure, axes = _cells(len(picked), 8, 1.1, 0.85)
    for one, index in zip(axes, picked, strict=False):
        taps = layer.profiles[index] / np.abs(layer.profiles[index]).max()
        one.axhline(0, color="0.8", lw=0.7)
        one.plot(taps, "-", marker="o" if len(taps) <= 33 else "", ms=2, lw=1, color=colour_of(0))
        one.set_ylim(-1.1, 1.1)
        one.set_title(_title(layer, index), fontsize=6, fontweight="normal", loc="center")
    return figure


def _oblong(layer: ShapeMeasures, picked: np.ndarray) -> Figure:
    figure, axes = _cells(len(picked), 8, 1.1, 1.2)
    for one, index in zip(axes, picked, strict=False):
        _show(one, layer.profiles[index], np.abs(layer.profiles[index]).max())
        one.set_title(_title(layer, index), fontsize=6, fontweight="normal", loc="center")
    return figure


def _planes(layer: ShapeMeasures, picked: np.ndarray) -> Figure:
    """A block of three planes a kernel, on one scale; the axis down and the axis to the right are named."""
    picked = picked[np.unique(np.linspace(0, len(picked) - 1, 16).round().astype(int))]
    figure, axes = _cells(3 * len(picked), 12, 0.78, 1.05)
    for place, index in enumerate(picked):
        planes = central_slices(layer.profiles[index])
        for one, (name, plane) in zip(axes[3 * place :], planes.items(), strict=False):
            _show(one, plane, np.abs(layer.profiles[index]).max())
            words = f"{_title(layer, index)}\n{name}" if name == "zx" else f"\n{name}"
            one.set_title(words, fontsize=6, fontweight="normal", loc="center")
    return figure


def _show(axes: Axes, picture: np.ndarray, peak: float) -> None:
    axes.imshow(picture, cmap=DIVERGING, vmin=-peak, vmax=peak, interpolation="nearest")


def responses(layer: ShapeMeasures) -> Figure:
    """Amplitude against frequency of every live 1-D kernel at norm 1, and the mean power beside chance."""
    frequencies = np.linspace(0, 0.5, 129)
    unit = layer.live / np.linalg.norm(layer.live, axis=1, keepdims=True)
    found = frequency_response(unit, frequencies)
    with styled():
        figure = Figure(figsize=(8.6, 3.0))
        left, right = figure.subplots(1, 2)
        shown = found[np.unique(np.linspace(0, len(found) - 1, 64).round().astype(int))]
        left.plot(frequencies, shown.T, color=colour_of(0), lw=0.7, alpha=0.5)
        left.set_title(
            "Every kernel" if len(shown) == len(found) else f"{len(shown)} of {len(found)} kernels"
        )
        left.set(
            xlabel="frequency, cycles a tap",
            ylabel="|H|, kernel at norm 1",
            xlim=(0, 0.5),
            ylim=(0, None),
        )
        right.plot(frequencies, (found**2).mean(axis=0), color=colour_of(0), label="the layer")
        low, high = _power_band(len(found), unit.shape[1], frequencies)
        right.fill_between(
            frequencies, low, high, color=CHANCE, alpha=0.3, lw=0, label="95% of random layers"
        )
        right.axhline(1, color=CHANCE, lw=1.5, label="chance")
        right.set_title("Mean power")
        right.set(
            xlabel="frequency, cycles a tap", ylabel="mean of |H|²", xlim=(0, 0.5), ylim=(0, None)
        )
        right.legend()
    return figure


def _power_band(count: int, taps: int, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95% of the mean power of so many isotropic kernels."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((200, min(count, 512), taps))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    power = np.stack([(frequency_response(d, frequencies) ** 2).mean(axis=0) for d in drawn])
    low, high = np.quantile(power, [0.025, 0.975], axis=0)
    return low, high
