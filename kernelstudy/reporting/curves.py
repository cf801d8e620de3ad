"""Figures of measures: the answer at the final step, and everything against step."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis import OPERATORS, phi_of_a
from kernelstudy.analysis.inference import t_interval
from kernelstudy.analysis.study import DELTA
from kernelstudy.reporting.style import (
    CHANCE,
    SECTOR_COLOURS,
    SECTOR_LABELS,
    colour_of,
    styled,
)

LABELS = {
    "r2_sobel_centered": "R² with the steered Sobel pair, mean removed",
    "r2_sobel": "R² with the steered Sobel pair",
    "r2_prewitt": "R² with the steered Prewitt pair",
    "best_abs_cos": "best |cos| over the bank",
    "odd": "share of the odd (gradient-like) sector",
}
SHORT_LABELS = {
    "r2_sobel_centered": "R², steered Sobel, centred",
    "r2_sobel": "R², steered Sobel",
    "r2_prewitt": "R², steered Prewitt",
    "best_abs_cos": "best |cos| over the bank",
    "odd": "odd (gradient-like) share",
}
OF_KERNELS, OF_UPDATE = "kernels W", "update W − W₀"


def answer(analysis: xr.Dataset, metric: str) -> Figure:
    """The primary measure of every network at the final step, W and W - W0, beside chance."""
    last = analysis.isel(step=-1)
    arms = [str(a) for a in analysis["arm"].values]
    with styled():
        figure = Figure(figsize=(8.2, 1.5 + 0.5 * len(arms)))
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        null = analysis.sel(measure=metric)
        for axis, prefix, title in zip(axes, ("", DELTA), (OF_KERNELS, OF_UPDATE), strict=True):
            axis.axvspan(null["null_low"], null["null_high"], color=CHANCE, alpha=0.25, lw=0)
            axis.axvline(null["null_mean"], color=CHANCE, lw=1.5)
            for row, arm in enumerate(arms):
                values = last[prefix + metric].sel(arm=arm).values
                values = values[np.isfinite(values)]
                if not len(values):
                    axis.text(0.5, row, "none", ha="center", va="center", color="grey")
                    continue
                spread = np.linspace(-0.16, 0.16, len(values)) * (len(values) > 1)
                axis.plot(values, row + spread, "o", ms=3.5, alpha=0.45, color=colour_of(row))
                low, high = t_interval(values)
                axis.plot([low, high], [row, row], color=colour_of(row), lw=2.5)
                axis.plot(values.mean(), row, "D", ms=7, color=colour_of(row), mec="white")
                if not prefix:
                    start = analysis[metric].sel(arm=arm).isel(step=0).mean()
                    axis.plot(start, row, "|", ms=18, mew=2, color="black")
            axis.set(title=title, xlim=(0, 1.02), ylim=(len(arms) - 0.5, -0.5))
            axis.set_yticks(range(len(arms)), arms)
            axis.grid(axis="y", visible=False)
        axes[0].plot([], [], "|", ms=10, mew=2, color="black", label="at step 0")
        axes[0].plot([], [], "o", ms=4, color="grey", alpha=0.6, label="one network")
        axes[0].plot([], [], "D", ms=6, color="grey", label="mean, 95% interval")
        axes[0].fill_between([], [], color=CHANCE, alpha=0.3, label="95% of random networks")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.suptitle(f"{LABELS[metric]}, step {int(last['step']):,}", x=0.01, ha="left")
    return figure


def over_time(analysis: xr.Dataset, measures: list[str]) -> Figure:
    """Measures against step, a column each: W above, W - W0 below, with seeds' interval and N0."""
    with styled():
        figure = Figure(figsize=(3.3 * len(measures), 5.4))
        axes = figure.subplots(2, len(measures), sharex=True, sharey=True, squeeze=False)
        for column, measure in enumerate(measures):
            null = analysis.sel(measure=measure)
            for axis, prefix in zip(axes[:, column], ("", DELTA), strict=True):
                axis.axhspan(null["null_low"], null["null_high"], color=CHANCE, alpha=0.22, lw=0)
                axis.axhline(null["null_mean"], color=CHANCE, lw=1.2)
                _lines(axis, analysis, prefix + measure)
                axis.set_ylim(0, 1.02)
            axes[0, column].set_title(SHORT_LABELS[measure])
        for axis, name in zip(axes[:, 0], (OF_KERNELS, OF_UPDATE), strict=True):
            axis.set_ylabel(name)
        axes[0, 0].fill_between(
            [], [], color=CHANCE, alpha=0.3, label="95% of random networks (N0)"
        )
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(4, 1 + analysis.sizes["arm"]),
        )
    return figure


def sectors(analysis: xr.Dataset) -> Figure:
    """Shares of the five symmetry sectors against step, a column an arm; dashed: chance."""
    arms = analysis["arm"].values
    with styled():
        figure = Figure(figsize=(0.8 + 2.5 * len(arms), 5.2))
        axes = figure.subplots(2, len(arms), sharex=True, sharey=True, squeeze=False)
        for column, arm in enumerate(arms):
            for axis, prefix in zip(axes[:, column], ("", DELTA), strict=True):
                for sector, colour in SECTOR_COLOURS.items():
                    of_arm = analysis[prefix + sector].sel(arm=arm)
                    _band(axis, of_arm, colour, SECTOR_LABELS[sector])
                    chance = float(analysis["null_mean"].sel(measure=sector))
                    axis.axhline(chance, color=colour, lw=1, ls=(0, (2, 3)), alpha=0.8)
                axis.set_ylim(-0.02, 1.02)
                _step_axis(axis, analysis)
            axes[0, column].set_title(str(arm))
        for axis, name in zip(axes[:, 0], (OF_KERNELS, OF_UPDATE), strict=True):
            axis.set_ylabel(f"share of energy, {name}")
        axes[0, 0].plot([], [], color="grey", lw=1, ls=(0, (2, 3)), label="chance")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def performance(analysis: xr.Dataset) -> Figure:
    """Test accuracy and training loss against step."""
    with styled():
        figure = Figure(figsize=(8.2, 3.2))
        for axis, name, label in zip(
            figure.subplots(1, 2),
            ("test_accuracy", "train_loss"),
            ("test accuracy", "training loss (mean of minibatches)"),
            strict=True,
        ):
            _lines(axis, analysis, name)
            axis.set(title=label)
            axis.set_ylim(bottom=0)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def population_a(analysis: xr.Dataset) -> Figure:
    """a_pop against step with its interval over networks, beside the named operators.

    Drawn on the circle of phi = atan2(sqrt2 a, 2), where a = infinity is an ordinary point.
    """
    marks = {name: float(phi_of_a(a)) for name, a in OPERATORS.items()}
    with styled():
        figure = Figure(figsize=(8.2, 3.6))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, prefix, title in zip(axes, ("", DELTA), (OF_KERNELS, OF_UPDATE), strict=True):
            for name, phi in marks.items():
                axis.axhline(phi, color="black", lw=0.8, ls=":")
                if axis is axes[1]:
                    label = f" {name}"
                    axis.annotate(label, (1, phi), xycoords=("axes fraction", "data"), fontsize=8)
            images = float(phi_of_a(analysis["a_pca"]))
            axis.axhline(images, color="black", lw=1.2, ls="--", label="the images' own patches")
            for row, arm in enumerate(analysis["arm"].values):
                of_arm = analysis.sel(arm=arm)
                resolved = of_arm[f"{prefix}a_pop_resolved"].values
                low, mid, high = (
                    phi_of_a(of_arm[f"{prefix}a_pop{end}"].values) for end in ("_low", "", "_high")
                )
                # The ends next to the middle, on whichever side of infinity they are.
                low = mid - np.mod(mid - low, np.pi)
                high = mid + np.mod(high - mid, np.pi)
                steps = of_arm["step"].values + 0.0
                axis.errorbar(
                    steps[resolved],
                    mid[resolved],
                    [(mid - low)[resolved], (high - mid)[resolved]],
                    fmt="o-",
                    ms=3.5,
                    lw=1,
                    color=colour_of(row),
                    label=str(arm),
                )
                axis.plot(
                    steps[~resolved], mid[~resolved], "x", ms=4, alpha=0.4, color=colour_of(row)
                )
            axis.set(title=title, ylim=(-np.pi / 2 - 0.1, np.pi / 2 + 0.1))
            _step_axis(axis, analysis)
        ticks = [-2.0, -1.0, 0.0, 1.0, 2.0, np.inf]
        axes[0].set_yticks(phi_of_a(np.array(ticks)), [f"{t:g}".replace("inf", "∞") for t in ticks])
        axes[0].set_ylabel("a of the arm's kernels")
        axes[0].plot([], [], "x", color="grey", label="unresolved")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _lines(axis: Axes, analysis: xr.Dataset, measure: str) -> None:
    for row, arm in enumerate(analysis["arm"].values):
        _band(axis, analysis[measure].sel(arm=arm), colour_of(row), str(arm))
    _step_axis(axis, analysis)


def _band(axis: Axes, values: xr.DataArray, colour: str, label: str) -> None:
    """Mean over seeds against step with its t-interval."""
    kept = values.transpose("seed", "step").values
    kept = kept[np.isfinite(kept).any(axis=1)]
    if not len(kept):
        return
    low, high = t_interval(kept)
    axis.fill_between(values["step"], low, high, color=colour, alpha=0.22, lw=0)
    axis.plot(values["step"], kept.mean(0), color=colour, lw=1.6, label=label)


def _step_axis(axis: Axes, analysis: xr.Dataset) -> None:
    """Steps on a logarithmic axis that has a place for 0."""
    last = int(analysis["step"][-1])
    axis.set_xscale("symlog", linthresh=1, linscale=0.4)
    ticks = [0, *(10**e for e in range(12) if 10**e < last * 0.7), last]
    axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axis.minorticks_off()
    axis.set_xlim(-0.1, last * 1.15)
    axis.set_xlabel("step")
