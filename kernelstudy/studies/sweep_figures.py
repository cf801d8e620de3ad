"""Figures of many runs together: the effect of swept keys in small multiples, and curves over steps."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.config.arm_words import words_by_name
from kernelstudy.reporting.curves import OF_KERNELS, OF_UPDATE, steps_to
from kernelstudy.reporting.measure_words import likeness
from kernelstudy.reporting.style import CHANCE, colour_of, styled
from kernelstudy.studies.effects import PARTS, means
from kernelstudy.studies.grid import Key
from kernelstudy.studies.sweep import Sweep

TITLES = {"W": OF_KERNELS, "update": OF_UPDATE}
_MOST_DOTS = 1500  # in a figure
MOST_PANELS = 6  # along one side


def axes_of(keys: list[Key]) -> list[int]:
    """The keys' places in the order in which they get axes: x, columns, then rows.

    Numbers before names, and of those the key with most values first.
    """

    def rank(index: int) -> tuple:
        numbers = all(isinstance(v, (int, float)) for v in keys[index].values)
        return (not numbers, -len(keys[index].values), index)

    return sorted(range(len(keys)), key=rank)


def effect(sweep: Sweep, measures: dict[str, str], label: str) -> Figure:
    """Measures of networks at the final step against the first swept key, the others in small multiples.

    measures: title -> column of `sweep.networks`; several are rows of their own. A line an arm with
    the 95% interval over networks; grey, where the measure is the primary one: N0.
    """
    order = axes_of(sweep.keys)
    x, column, rest = order[0], order[1:2], order[2:]
    columns = _some(_combinations(sweep, column))
    rows = list(itertools.product(measures, _some(_combinations(sweep, rest))))
    arms = list(dict.fromkeys(sweep.networks["arm"]))
    values = sweep.keys[x].values
    # Without its column of steps, which may be a swept key.
    networks = sweep.networks.drop(columns="steps").join(sweep.design, on="condition")
    dots = len(networks) <= _MOST_DOTS
    points = {
        title: means(sweep.networks, name).join(sweep.design, on="condition")
        for title, name in measures.items()
    }
    with styled():
        width = max(2.3, 1.0 + 0.22 * len(values) * len(arms) ** 0.5)
        height = 1.3 + (2.6 if len(rows) < 4 else 1.9) * len(rows)
        size = (max(5.2, 1.0 + width * len(columns)), height)
        figure = Figure(figsize=size)
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        names = [sweep.keys[x].label(i) for i in range(len(values))]
        turned = 45 if sum(map(len, names)) > 9 * width else 0
        limits = _limits(sweep, points, measures, dots=dots)
        for (i, (title, row_values)), (j, column_values) in itertools.product(
            enumerate(rows), enumerate(columns)
        ):
            axis = axes[i, j]
            # Not shared by Matplotlib, which would go through all panels for whatever is drawn in one.
            axis.set(xlim=(-0.6, len(values) - 0.4), ylim=limits, autoscale_on=False)
            axis.set_xticks(range(len(values)), names, rotation=turned)
            axis.grid(axis="x", visible=False)
            fixed = {
                sweep.keys[k].name: v
                for k, v in zip(rest + column, row_values + column_values, strict=True)
            }
            if measures[title] in PARTS.values():
                _chance(axis, _rows_at(networks, fixed), sweep, sweep.keys[x].name)
            if dots:
                _dots(axis, _rows_at(networks, fixed), measures[title], sweep.keys[x].name, arms)
            _lines(axis, _rows_at(points[title], fixed), sweep.keys[x].name, arms)
            if i == 0:
                axis.set_title(_values_in_words(sweep, column, column_values))
            axis.set_xlabel(sweep.keys[x].name)
            axis.set_ylabel(
                "\n".join(t for t in (title, _values_in_words(sweep, rest, row_values)) if t)
            )
            axis.label_outer()
        first = axes[0, 0]
        if any(name in PARTS.values() for name in measures.values()):
            first.fill_between([], [], color=CHANCE, alpha=0.3, label="95% of random networks (N0)")
        ncols, names = max(1, int(size[0] / 2.6)), arm_names(sweep)
        handles, labels = first.get_legend_handles_labels()
        labels = [names.get(str(label), str(label)) for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=ncols)
        figure.suptitle(label, x=0.01, ha="left")
    return figure


def over_time(sweep: Sweep) -> Figure:
    """The primary measure against step, a panel a condition; W above the update where there is room."""
    conditions = list(sweep.design.index)
    both_parts = len(conditions) <= 6
    across = len(conditions) if both_parts else 6
    rows = 2 if both_parts else -(-len(conditions) // across)
    last = max(int(steps[-1]) for steps, *_ in sweep.curves.values())
    arms = list(dict.fromkeys(sweep.networks["arm"]))
    all_keys = list(range(len(sweep.keys)))
    with styled():
        figure = Figure(figsize=(max(5.2, 0.8 + 2.5 * across), 1.2 + 2.2 * rows))
        axes = figure.subplots(rows, across, squeeze=False)
        curves = [values.ravel() for _, *parts in sweep.curves.values() for values in parts]
        limits = _limits_around(
            np.concatenate([*curves, *sweep.cells[["null_low", "null_high"]].to_numpy()])
        )
        panels = [
            (axes[r, i % across], condition, part, r == 0 or not both_parts)
            for i, condition in enumerate(conditions)
            for r, part in ([(0, "W"), (1, "update")] if both_parts else [(i // across, "update")])
        ]
        for axis, condition, part, has_title in panels:
            axis.set(ylim=limits, autoscale_on=False)
            steps_to(np.array([[axis]]), last)
            cells = sweep.cells[sweep.cells["condition"] == condition]
            if len(cells):
                low, high, mean = (cells[f"null_{e}"].iloc[0] for e in ("low", "high", "mean"))
                axis.axhspan(low, high, color=CHANCE, alpha=0.22, lw=0)
                axis.axhline(mean, color=CHANCE, lw=1.2)
            for row, arm in enumerate(arms):
                if (condition, arm) in sweep.curves:
                    steps, *values = sweep.curves[condition, arm]
                    _band(axis, steps, values[part == "update"], colour_of(row))
            if has_title:
                title = _values_in_words(sweep, all_keys, tuple(sweep.design.loc[condition]))
                axis.set_title(title.replace(", ", "\n"), fontsize=8)
            axis.set_ylabel(TITLES[part])
            axis.label_outer()
        if not both_parts:  # what stands above an empty place is the last of its column
            for axis in axes.flat[len(conditions) :]:
                axis.set_visible(False)
            for axis in axes.flat[len(conditions) - across : len(conditions)]:
                axis.tick_params(labelbottom=True)
                axis.set_xlabel("step")
        names = arm_names(sweep)
        for row, arm in enumerate(arms):
            axes[0, 0].plot([], [], color=colour_of(row), label=names.get(arm, arm))
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=max(1, int(figure.get_figwidth() / 2.6)),
        )
        figure.suptitle(likeness(sweep.metric), x=0.01, ha="left")
    return figure


def lead_label(sweep: Sweep) -> str:
    return f"{likeness(sweep.metric)}, final step"


def arm_names(sweep: Sweep) -> dict[str, str]:
    """What people call the arms of all runs that were read: arm -> words."""
    done = [member for member in sweep.members if not member.reason]
    return words_by_name(arm for member in done for arm in member.settings.arms)


def _combinations(sweep: Sweep, keys: list[int]) -> list[tuple[int, ...]]:
    """The combinations of these keys' values that were run, in order; one empty one for no keys."""
    names = [sweep.keys[k].name for k in keys]
    return sorted({tuple(row) for row in sweep.design[names].itertuples(index=False)})


def _some(items: list) -> list:
    """At most `MOST_PANELS` of them, evenly from the first to the last."""
    indices = np.linspace(0, len(items) - 1, min(len(items), MOST_PANELS)).round().astype(int)
    return [items[i] for i in indices]


def _chance(axis: Axes, networks: pd.DataFrame, sweep: Sweep, key: str) -> None:
    """N0 at every value of x: the mean, and the middle 95% of networks of random kernels."""
    cells = networks[["condition", key]].drop_duplicates().merge(sweep.cells, on="condition")
    cells = cells.drop_duplicates(key)
    x = np.stack([cells[key] - 0.45, cells[key] + 0.45, np.full(len(cells), np.nan)], 1).ravel()
    mean, low, high = (np.repeat(cells[f"null_{end}"], 3) for end in ("mean", "low", "high"))
    axis.fill_between(x, low, high, color=CHANCE, alpha=0.25, lw=0)
    axis.plot(x, mean, color=CHANCE, lw=1.5)


def _limits(
    sweep: Sweep, points: dict, measures: dict[str, str], *, dots: bool
) -> tuple[float, float]:
    """Ends of an axis that holds all that is drawn; every measure is a share."""
    samples = [table[["mean", "ci_low", "ci_high"]].to_numpy().ravel() for table in points.values()]
    if dots:
        samples += [sweep.networks[name].to_numpy() for name in measures.values()]
    if any(name in PARTS.values() for name in measures.values()):
        samples.append(sweep.cells[["null_low", "null_high"]].to_numpy().ravel())
    return _limits_around(np.concatenate(samples))


def _limits_around(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return -0.02, 1.02
    margin = 0.05 * max(0.02, known.max() - known.min())
    return max(-0.02, known.min() - margin), min(1.02, known.max() + margin)


def _rows_at(table: pd.DataFrame, fixed: dict[str, int]) -> pd.DataFrame:
    return table[(table[list(fixed)] == list(fixed.values())).all(axis=1)]


def _aside(row: int, arms: list[str]) -> float:
    """How far beside a value an arm's points stand, so that arms do not hide one another."""
    return (row - (len(arms) - 1) / 2) * 0.66 / max(1, len(arms))


def _dots(axis: Axes, networks: pd.DataFrame, column: str, key: str, arms: list[str]) -> None:
    for row, arm in enumerate(arms):
        known = networks[(networks["arm"] == arm) & np.isfinite(networks[column])]
        x = known[key].to_numpy() + _aside(row, arms)
        axis.plot(x, known[column].to_numpy(), "o", ms=2.5, alpha=0.35, color=colour_of(row))


def _lines(axis: Axes, points: pd.DataFrame, key: str, arms: list[str]) -> None:
    for row, arm in enumerate(arms):
        known = points[points["arm"] == arm].sort_values(key)
        x = known[key].to_numpy() + _aside(row, arms)
        low, high, mean = (known[name].to_numpy() for name in ("ci_low", "ci_high", "mean"))
        axis.vlines(x, low, high, color=colour_of(row), lw=1.8)
        axis.plot(x, mean, "D-", ms=4, lw=1, mec="white", color=colour_of(row), label=arm)


def _band(axis: Axes, steps: np.ndarray, values: np.ndarray, colour: str) -> None:
    networks = values[np.isfinite(values).any(axis=1)]
    if not len(networks):
        return
    low, high = bootstrap_t_interval(networks, support=(0.0, 1.0))
    axis.fill_between(steps, low, high, color=colour, alpha=0.22, lw=0)
    axis.plot(steps, networks.mean(0), color=colour, lw=1.4)


def _values_in_words(sweep: Sweep, keys: list[int], values: tuple[int, ...]) -> str:
    return ", ".join(
        f"{sweep.keys[k].name.rpartition('.')[2]} = {sweep.keys[k].label(v)}"
        for k, v in zip(keys, values, strict=True)
    )
