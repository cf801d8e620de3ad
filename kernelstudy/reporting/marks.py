"""What figures of studies are made of: chance, means with intervals, curves with bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kernelstudy.analysis.intervals import bootstrap_t_interval, t_interval
from kernelstudy.reporting.style import CHANCE

SHARE = (0.0, 1.0)
CHANCE_LABEL = "95% of random networks"


def chance(axes: Axes, null: Any, *, across: bool = False) -> None:
    """The middle 95% of networks of random kernels and their mean; null: null_low, null_mean, null_high."""
    span, line = (axes.axhspan, axes.axhline) if across else (axes.axvspan, axes.axvline)
    span(null["null_low"], null["null_high"], color=CHANCE, alpha=0.25, lw=0)
    line(null["null_mean"], color=CHANCE, lw=1.5)


def mean_of_shares(axes: Axes, values: Any, at: float, colour: str, marker: str = "D") -> None:
    """A mark at the mean over networks of shares and a bar for its interval, at height `at`."""
    known = np.asarray(values, float)[np.isfinite(values)]
    if len(known):
        low, high = bootstrap_t_interval(known, support=SHARE)
        axes.plot([low, high], [at, at], color=colour, lw=2.5)
        axes.plot(known.mean(), at, marker, ms=5.5, color=colour, mec="white")


def mean_of_differences(axes: Axes, values: Any, at: float, colour: str) -> None:
    """The same for paired differences, with Student's interval."""
    if len(values):
        axes.plot(t_interval(values), [at, at], color=colour, lw=2.5)
        axes.plot(np.mean(values), at, "D", ms=5, color=colour, mec="white")


def band(axes: Axes, x: Any, values: np.ndarray, colour: str, dashes: str = "-", **kind) -> None:
    """The mean over networks (n, x) of shares with its interval, against x."""
    known = values[np.isfinite(values).any(axis=1)]
    if len(known):
        low, high = bootstrap_t_interval(known, support=SHARE)
        axes.fill_between(x, low, high, color=colour, alpha=0.22, lw=0)
        axes.plot(x, known.mean(0), dashes, color=colour, lw=1.5, **kind)


def versus_learned(axes: Axes) -> None:
    """A line at 0 for differences from a learned first layer's accuracy, upwards, and which side is which."""
    axes.axhline(0, color="black", lw=0.9)
    axes.set_ylabel(
        "points of accuracy, less a learned layer's\n← worse                    better →"
    )
