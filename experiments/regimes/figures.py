"""The figures of this study."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measures import curve

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.measure_words import data_words as words_of

EDGE, LOW_PASS = style.SECTOR_COLOURS["odd"], style.CHANCE


def family(arm: str) -> str:
    """What makes an arm forget, in words."""
    if "wd=1" in arm:
        return "weight decay 1"
    if "wd=0.1" in arm:
        return "weight decay 0.1"
    return "small start" if "*" in arm or arm.startswith("glorot") else "no decay"


FAMILIES = {
    name: style.colour_of(i)
    for i, name in enumerate(["no decay", "weight decay 0.1", "weight decay 1", "small start"])
}


def collapse(points: pd.DataFrame, null: Any, arms: list[str]) -> Figure:
    """R2 of W against memory, a panel a data set: every arm's way, and one falling curve through all. null:
    null_low, null_mean, null_high of random networks."""
    sets = list(dict.fromkeys(points["data"]))
    with style.styled():
        figure = Figure(figsize=(1.2 + 3.4 * len(sets), 4.2))
        panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
        for panel, data in zip(panels, sets, strict=True):
            marks.chance(panel, null, across=True)
            mine = points[(points["data"] == data) & points["arm"].isin(arms)]
            for arm, way in mine.groupby("arm", sort=False):
                way, colour = way.sort_values("step"), FAMILIES[family(str(arm))]
                panel.plot(way["memory"], way["value"], color=colour, lw=1, alpha=0.7)
                panel.plot(
                    way["memory"].iloc[-1],
                    way["value"].iloc[-1],
                    "o",
                    ms=6,
                    color=colour,
                    mec="white",
                )
            known = mine.dropna(subset=["memory", "value"])
            grid = np.linspace(0, 1, 201)
            fitted = curve(known["memory"].to_numpy(), known["value"].to_numpy())
            panel.plot(grid, fitted(grid), "--", color="black", lw=1.2)
            panel.set(title=words_of(data), xlim=(1.02, -0.02), ylim=(0, 1))
            panel.set_xlabel("memory: share of the energy that is the start's")
        panels[0].set_ylabel("likeness to an edge detector (R²)")
        for name, colour in FAMILIES.items():
            panels[0].plot([], [], "o-", ms=5, color=colour, label=name)
        panels[0].plot([], [], "--", color="black", label="one falling curve")
        panels[0].fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=6 if len(sets) > 1 else 2,
        )
    return figure


def kinds_by_arm(points: pd.DataFrame, arms: list[str], names: Mapping[str, str]) -> Figure:
    """Edge detectors and low-pass kernels at the end, a row an arm in the order of the first set's memory.
    names: arm -> words."""
    sets = list(dict.fromkeys(points["data"]))
    last = points[points["step"] == points["step"].max()]
    first = last[last["data"] == sets[0]].set_index("arm")["memory"]
    order = sorted((a for a in arms if a in first.index), key=lambda arm: first[arm])
    with style.styled():
        figure = Figure(figsize=(4.2 + 2.5 * len(sets), 1.2 + 0.27 * len(order)))
        panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
        for panel, data in zip(panels, sets, strict=True):
            rows = last[last["data"] == data].set_index("arm")
            start = points[(points["data"] == data) & (points["step"] == 0)].set_index("arm")
            for at, arm in enumerate(order):
                if arm not in rows.index:
                    continue
                edges, low = rows.loc[arm, "edge"], rows.loc[arm, "low_pass"]
                panel.barh(at, edges, color=EDGE, height=0.7)
                panel.barh(at, low, left=edges, color=LOW_PASS, height=0.7)
                panel.plot(start.loc[arm, "edge"], at, "|", ms=10, mew=1.6, color="black")
            panel.set(
                title=words_of(data).partition(" (")[0], xlim=(0, 16), ylim=(len(order) - 0.4, -0.6)
            )
            panel.set_xlabel("kernels of 16")
            panel.grid(axis="y", visible=False)
        labels = [f"{names.get(arm, arm)}  ({first[arm]:.0%})" for arm in order]
        panels[0].set_yticks(range(len(order)), labels, fontsize=7.5)
        panels[0].plot([], [], "s", color=EDGE, label="edge detectors")
        panels[0].plot([], [], "s", color=LOW_PASS, label="low-pass")
        panels[0].plot([], [], "|", ms=9, mew=1.6, color="black", label="edges at step 0")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle(
            f"In brackets: memory of the start on {words_of(sets[0])}",
            x=0.01,
            ha="left",
            fontsize=8.5,
        )
    return figure
