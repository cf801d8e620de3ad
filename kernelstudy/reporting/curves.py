"""Figures of measures: the answer at the final step, and everything against step."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.analysis.kernels import DELTA, PREFIXES, support_of
from kernelstudy.reporting.measure_words import METRIC_WORDS, SECTOR_WORDS, SHORT_WORDS
from kernelstudy.reporting.style import (
    CHANCE,
    COLUMN_MM,
    SECTOR_COLOURS,
    colour_of,
    styled,
)

OF_KERNELS, OF_UPDATE, OF_NEW = "kernels W", "update W − W₀", "new part of W"


def parts(analysis: xr.Dataset, metric: str) -> Figure:
    """The primary measure of every network at the final step, of W, of W - W0 and of the new part, beside
    chance."""
    last = analysis.isel(step=-1)
    arms = [str(a) for a in analysis["arm"].values]
    with styled():
        figure = Figure(figsize=(10.6, 1.5 + 0.5 * len(arms)))
        axes = figure.subplots(1, 3, sharex=True, sharey=True)
        null = analysis.sel(measure=metric)
        titles = (OF_KERNELS, OF_UPDATE, OF_NEW)
        for axis, prefix, title in zip(axes, PREFIXES.values(), titles, strict=True):
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
                low, high = bootstrap_t_interval(values, support=support_of(metric))
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
        figure.suptitle(f"{METRIC_WORDS[metric]}, step {int(last['step']):,}", x=0.01, ha="left")
    return figure


def over_time(analysis: xr.Dataset, measures: list[str]) -> Figure:
    """Measures against step, a column each: W above, W - W0 below, with seeds' interval and N0."""
    with styled():
        figure = Figure(figsize=(3.3 * len(measures), 5.4))
        axes = figure.subplots(2, len(measures), sharex=True, sharey=True, squeeze=False)
        for column, measure in enumerate(measures):
            for axis, prefix in zip(axes[:, column], ("", DELTA), strict=True):
                beside_chance(axis, analysis, measure, prefix)
            axes[0, column].set_title(SHORT_WORDS[measure])
        axes[0, 0].set_ylim(0, 1.02)  # all share it
        step_axis(axes, analysis)
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


def beside_chance(axis: Axes, analysis: xr.Dataset, measure: str, prefix: str = "") -> None:
    """A measure of W (prefix '') or of another part against step: a line an arm, and N0 in grey."""
    null = analysis.sel(measure=measure)
    low, mean, high = (float(null[f"null_{end}"]) for end in ("low", "mean", "high"))
    axis.axhspan(low, high, color=CHANCE, alpha=0.22, lw=0)
    axis.axhline(mean, color=CHANCE, lw=1.2, label="_chance")
    _lines(axis, analysis, prefix + measure)


def column(analysis: xr.Dataset, measure: str, prefix: str) -> Figure:
    """One measure of W (prefix '') or of W - W0 ('delta_') against step, for a column of a paper."""
    with styled():
        figure = Figure(figsize=(COLUMN_MM / 25.4, 2.9))
        axis = figure.subplots()
        beside_chance(axis, analysis, measure, prefix)
        axis.lines[0].set_label("chance (N0)")
        axis.set_ylim(0, 1.02)
        axis.set_ylabel(SHORT_WORDS[measure])
        axis.set_title(OF_UPDATE if prefix else OF_KERNELS)
        step_axis(np.array([axis]), analysis)
        handles = axis.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def sectors(analysis: xr.Dataset) -> Figure:
    """Shares of the five symmetry sectors against step, a column an arm; dashed: chance."""
    arms = analysis["arm"].values
    chance = analysis["null_mean"].sel(measure=list(SECTOR_COLOURS)).values
    with styled():
        figure = Figure(figsize=(0.8 + 2.5 * len(arms), 5.2))
        axes = figure.subplots(2, len(arms), sharex=True, sharey=True, squeeze=False)
        for column, arm in enumerate(arms):
            for axis, prefix in zip(axes[:, column], ("", DELTA), strict=True):
                for sector, colour in SECTOR_COLOURS.items():
                    shares = analysis[prefix + sector].sel(arm=arm)
                    band(axis, shares, colour, SECTOR_WORDS[sector])
                axis.hlines(
                    chance,
                    0,
                    1,
                    transform=axis.get_yaxis_transform(),
                    colors=list(SECTOR_COLOURS.values()),
                    lw=1,
                    ls=(0, (2, 3)),
                    alpha=0.8,
                )
            axes[0, column].set_title(str(arm))
        axes[0, 0].set_ylim(-0.02, 1.02)  # all share it
        step_axis(axes, analysis)
        for axis, name in zip(axes[:, 0], (OF_KERNELS, OF_UPDATE), strict=True):
            axis.set_ylabel(f"share of energy, {name}")
        axes[0, 0].plot([], [], color="grey", lw=1, ls=(0, (2, 3)), label="chance")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def performance(analysis: xr.Dataset) -> Figure:
    """Test accuracy and training loss against step."""
    with styled():
        figure = Figure(figsize=(8.2, 3.2))
        axes = figure.subplots(1, 2, sharex=True)
        for axis, name, label in zip(
            axes,
            ("test_accuracy", "train_loss"),
            ("test accuracy", "training loss (mean of minibatches)"),
            strict=True,
        ):
            _lines(axis, analysis, name)
            axis.set(title=label)
            axis.set_ylim(bottom=0)
        step_axis(axes, analysis)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def changed(analysis: xr.Dataset) -> Figure:
    """Accuracy on changed test images against step, a panel a change; dotted: on the clean ones."""
    tests = analysis["test"].values
    columns = min(3, len(tests))
    rows = -(-len(tests) // columns)
    with styled():
        figure = Figure(figsize=(0.8 + 2.9 * columns, 0.6 + 2.5 * rows))
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, test in zip(axes.flat, tests, strict=False):
            for row, arm in enumerate(analysis["arm"].values):
                of_arm = analysis.sel(arm=arm)
                band(axis, of_arm["changed_accuracy"].sel(test=test), colour_of(row), str(arm))
                clean = of_arm["test_accuracy"].mean("seed")
                axis.plot(clean["step"], clean, color=colour_of(row), lw=1, ls=(0, (1, 2)))
            axis.set(title=str(test))
        axes[0, 0].set_ylim(0, 1.02)
        step_axis(axes, analysis)
        for index in range(len(tests), axes.size):
            axes.flat[index].set_axis_off()
            axes.flat[index - columns].tick_params(labelbottom=True)
            axes.flat[index - columns].set_xlabel("step")
        for axis in axes[:, 0]:
            axis.set_ylabel("accuracy")
        axes[0, 0].plot([], [], color="grey", lw=1, ls=(0, (1, 2)), label="clean test images")
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def _lines(axis: Axes, analysis: xr.Dataset, measure: str) -> None:
    for row, arm in enumerate(analysis["arm"].values):
        band(axis, analysis[measure].sel(arm=arm), colour_of(row), str(arm))


def band(axis: Axes, values: xr.DataArray, colour: str, label: str) -> None:
    """Mean over seeds against step with its interval over networks."""
    networks = values.transpose("seed", "step").values
    networks = networks[np.isfinite(networks).any(axis=1)]
    if not len(networks):
        return
    low, high = bootstrap_t_interval(networks, support=support_of(str(values.name)))
    axis.fill_between(values["step"], low, high, color=colour, alpha=0.22, lw=0)
    axis.plot(values["step"], networks.mean(0), color=colour, lw=1.6, label=label)


def step_axis(axes: np.ndarray, analysis: xr.Dataset) -> None:
    """`steps_to` the last step of an analysis."""
    steps_to(axes, int(analysis["step"][-1]))


def steps_to(axes: np.ndarray, last: int) -> None:
    """Steps on the logarithmic x axis that all of a figure's `axes` share, with a place for 0."""
    first = axes.flat[0]
    first.set_xscale("symlog", linthresh=1, linscale=0.4)
    ticks = [0, *(10**e for e in range(12) if 10**e < last * 0.35), last]
    first.set_xticks(ticks, [f"{t:,}" for t in ticks])
    first.set_xlim(-0.1, last * 1.15)
    for axis in axes.flat:
        axis.minorticks_off()
    for axis in np.atleast_2d(axes)[-1]:
        axis.set_xlabel("step")
