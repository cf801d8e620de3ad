"""Figures of the number a: over time for whole arms, and kernel by kernel with its orientation."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis import OPERATORS, phi_of_a
from kernelstudy.analysis.kernels import DELTA
from kernelstudy.reporting.curves import OF_KERNELS, OF_UPDATE, step_axis
from kernelstudy.reporting.style import colour_of, styled


def population_a(analysis: xr.Dataset) -> Figure:
    """a_pop against step with its interval over networks, beside the named operators.

    Drawn on the circle of phi = atan2(sqrt2 a, 2), where a = infinity is an ordinary point.
    """
    with styled():
        figure = Figure(figsize=(8.2, 3.6))
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for axis, prefix, title in zip(axes, ("", DELTA), (OF_KERNELS, OF_UPDATE), strict=True):
            operator_lines(axis, named=axis is axes[1])
            images = float(phi_of_a(analysis["a_pca"]))
            if np.isfinite(images):
                label = "the images' own patches"
                axis.axhline(images, color="black", lw=1.2, ls="--", label=label)
            for row, arm in enumerate(analysis["arm"].values):
                arm_values = analysis.sel(arm=arm)
                resolved = arm_values[f"{prefix}a_pop_resolved"].values
                low, mid, high = (
                    phi_of_a(arm_values[f"{prefix}a_pop{end}"].values)
                    for end in ("_low", "", "_high")
                )
                # The ends next to the middle, on whichever side of infinity they are.
                low = mid - np.mod(mid - low, np.pi)
                high = mid + np.mod(high - mid, np.pi)
                steps = arm_values["step"].values + 0.0
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
            axis.set_title(title)
        step_axis(axes, analysis)
        a_axis(axes[0])
        axes[0].set_ylabel("a of the arm's kernels")
        axes[0].plot([], [], "x", color="grey", label="unresolved")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def portrait(kernels: xr.Dataset, update: xr.Dataset) -> Figure:
    """Every kernel of every network at the final step: its orientation theta against its a.

    `kernels`, `update`: `final_matches` of W and of W - W0. A dot's area is its kernel's energy in the
    odd sector, relative to the largest of its panel: what has no gradient in it does not show.
    """
    with styled():
        figure = Figure(figsize=(8.2, 4))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, matches, title in zip(
            axes, (kernels, update), (OF_KERNELS, OF_UPDATE), strict=True
        ):
            operator_lines(axis, named=axis is axes[1])
            energy = (matches["odd"] * matches["norm"] ** 2).fillna(0)
            largest = energy.max(["seed", "channel"])
            for row, arm in enumerate(matches["arm"].values):
                arm_matches = matches.sel(arm=arm)
                # a kernel and its negative are the same operator: orientation has period 180 degrees
                theta = np.degrees(arm_matches["theta"]) % 180
                area = 60 * energy.sel(arm=arm) / largest.sel(arm=arm).clip(min=1e-30)
                axis.scatter(
                    theta,
                    phi_of_a(arm_matches["a"]),
                    s=area,
                    color=colour_of(row),
                    alpha=0.5,
                    lw=0,
                )
                axis.scatter([], [], s=30, color=colour_of(row), alpha=0.7, label=str(arm))
            axis.set(title=title, xlim=(-4, 184), xlabel="orientation θ, degrees")
            axis.set_xticks(range(0, 181, 45))
        a_axis(axes[0])
        axes[0].set_ylabel("a of the kernel")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def operator_lines(axis: Axes, *, named: bool) -> None:
    for name, a in OPERATORS.items():
        phi = float(phi_of_a(a))
        axis.axhline(phi, color="black", lw=0.8, ls=":")
        if named:
            axis.annotate(f" {name}", (1, phi), xycoords=("axes fraction", "data"), fontsize=8)


def a_axis(axis: Axes) -> None:
    """The circle of phi cut at a = infinity, labelled with a."""
    ticks = [-2.0, -1.0, 0.0, 1.0, 2.0, np.inf]
    axis.set_yticks(phi_of_a(np.array(ticks)), [f"{t:g}".replace("inf", "∞") for t in ticks])
    axis.set_ylim(-np.pi / 2 - 0.1, np.pi / 2 + 0.1)
