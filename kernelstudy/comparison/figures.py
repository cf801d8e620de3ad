"""Figures of finished layers, one or two side by side: no time axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.gradients import phi_of_a
from kernelstudy.analysis.kernels import Bank, exact_means, kernel_matches
from kernelstudy.analysis.nulls import isotropic, r2_quantile
from kernelstudy.comparison.measure import LayerMeasures
from kernelstudy.reporting import lead
from kernelstudy.reporting.colour import kernels_rgb
from kernelstudy.reporting.dark import AS_IT_IS
from kernelstudy.reporting.galleries import mosaic
from kernelstudy.reporting.measure_words import SECTOR_NAMES
from kernelstudy.reporting.operator_figures import a_axis, operator_lines
from kernelstudy.reporting.style import (
    CHANCE,
    DIVERGING,
    SECTOR_COLOURS,
    colour_of,
    styled,
)

SHOWN, COLUMNS, RANDOM_SHOWN = 64, 16, 16
LEAD_SHOWN = 16
# Of the gallery, in sides of a picture: from one to the next, and from one row to the next.
STEP, ROW = 1.15, 1.75


def answer(layers: list[LayerMeasures], banks: list[Bank], *, narrow: bool = False) -> Figure:
    """The kernels most like a hand-crafted one beside the best of as many random ones, and every kernel's R2
    beside isotropic kernels'; `narrow`: as wide as a phone."""
    shown = 12 if narrow else LEAD_SHOWN
    rows = [_rows_of(layer, bank, shown) for layer, bank in zip(layers, banks, strict=True)]
    count = max(len(pictures) for of_layer in rows for _, pictures in of_layer)
    tops = np.cumsum([0, *(lead.block_of(len(of_layer)) for of_layer in rows)])
    width = lead.SIDE * max(count, 8)
    with styled():
        panels = lead.panels(width, float(tops[-1]), rows=len(layers) if narrow else 0)
        figure, pictures, chance = panels
        for i, (layer, of_layer) in enumerate(zip(layers, rows, strict=True)):
            title = _short(layer.subject.name, 48)
            lead.strips(pictures, title, of_layer, tops[i])
            ends = tops[i] + lead.HEAD, tops[i + 1] - lead.FOOT
            if narrow:
                ends = lead.NARROW_ROW * i + 0.16, lead.NARROW_ROW * (i + 1)
                chance.text(0.01, ends[0] - 0.02, title, fontsize=8.5)
            _kernels_beside_chance(chance, layer, ends, colour_of(i))
        chance.plot([], [], "o", ms=5, color="grey", label="a kernel beyond chance, q < .05")
        chance.plot([], [], "o", ms=4, mfc="none", color="grey", label="a kernel that is not")
        chance.plot([], [], color="black", lw=2, label="mean, near-copies once")
        chance.fill_between([], [], color=CHANCE, alpha=0.3, label="95% of random kernels")
        chance.set(xlim=(-0.01, 1.01), xlabel="likeness to an edge detector (R²)")
        lead.legend_of(figure, chance, narrow=narrow)
    return figure


def _rows_of(layer: LayerMeasures, bank: Bank, shown: int) -> list[tuple[str, np.ndarray]]:
    """Of a layer the kernels most like a hand-crafted one, of a colour network in colour, too, their matches,
    and the same of as many random ones."""
    live = int(layer.kernels["live"].sum())
    kernels, table, _ = most_alike(layer, bank, shown=min(shown, live or shown))
    rows = [("kernels", _each_scaled(kernels))]
    colours = layer.subject.colours
    if colours is not None:
        largest = np.abs(colours).max(
            axis=(1, 2, 3), keepdims=True
        )  # each on its own scale, as below
        scaled = colours / np.where(largest > 0, largest, 1)
        rows.insert(0, ("in colour", np.concatenate([*map(kernels_rgb, scaled)])[table.index]))
    if not bank:
        return rows
    noise, of_noise = random_alike(len(layer.kernels), kernels.shape[-1], bank)
    noise = noise[: len(kernels)]
    return [
        *rows,
        ("nearest", lead.nearest_entries(kernels, table["best"].to_numpy(), bank)),
        ("random", _each_scaled(noise)),
        ("nearest", lead.nearest_entries(noise, of_noise["best"].to_numpy()[: len(noise)], bank)),
    ]


def most_alike(
    layer: LayerMeasures, bank: Bank, *, shown: int
) -> tuple[np.ndarray, pd.DataFrame, str]:
    """The kernels (n, k, k) most like a hand-crafted one, their rows of the table, and the column that says
    so."""
    size = layer.subject.kernels.shape[-1]
    column = "best_abs_cos" if bank else "r2"
    score = layer.kernels[column].where(layer.kernels["live"], -1.0)
    order = score.sort_values(ascending=False, kind="stable").index[:shown]
    pictures = layer.subject.kernels.reshape(-1, size, size)
    return pictures[order], layer.kernels.loc[order], column


def random_alike(count: int, size: int, bank: Bank) -> tuple[np.ndarray, pd.DataFrame]:
    """The `RANDOM_SHOWN` of `count` isotropic kernels that are most like a hand-crafted one, with their
    matches."""
    noise = isotropic(max(count, 1), size, 0)
    table = pd.DataFrame(kernel_matches(noise, bank)).assign(live=True, flag="")
    best = table.sort_values("best_abs_cos", ascending=False).index[:RANDOM_SHOWN]
    return noise[best], table.loc[best]


def _each_scaled(kernels: np.ndarray) -> np.ndarray:
    largest = np.abs(kernels).max(axis=(1, 2), keepdims=True)
    return kernels / np.where(largest > 0, largest, 1)


def _kernels_beside_chance(
    axes: Axes, layer: LayerMeasures, ends: tuple[float, float], colour: str
) -> None:
    """Every live kernel's R2 (its mean removed) between two heights, beside isotropic kernels'."""
    size = layer.subject.kernels.shape[-1]
    law = 2, size * size - 1
    table = layer.kernels[layer.kernels["live"]]
    axes.fill_betweenx(ends, *r2_quantile([0.025, 0.975], *law), color=CHANCE, alpha=0.25, lw=0)
    axes.plot([law[0] / law[1]] * 2, ends, color=CHANCE, lw=1.5)
    middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
    heights = middle + 0.65 * half * np.sin(2.4 * np.arange(len(table)))  # the same each time
    above = (table["q_r2"] <= layer.verdict.level).to_numpy()
    r2 = table["r2_centered"].to_numpy()
    axes.plot(r2[~above], heights[~above], "o", ms=4, mfc="none", color=colour, alpha=0.7)
    axes.plot(r2[above], heights[above], "o", ms=5, color=colour, alpha=0.85)
    mean = layer.ladder["value"].iloc[0] if len(layer.ladder) else table["r2_centered"].mean()
    axes.plot([mean] * 2, [middle - 0.8 * half, middle + 0.8 * half], color="black", lw=2)


def symmetry(layers: list[LayerMeasures]) -> Figure:
    """The sectors' shares of every layer's energy beside chance."""
    with styled():
        figure = Figure(figsize=(8.6, 1.5 + 0.45 * len(layers)))
        axes = figure.subplots()
        _sectors(axes, layers, layers[0].subject.kernels.shape[-1])
        handles = axes.get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper right", ncols=5, fontsize=7.5)
    return figure


def _sectors(axes: Axes, layers: list[LayerMeasures], size: int) -> None:
    """Stacked shares of energy, each layer's and below them chance's."""
    shares = [layer.layer.set_index("measure")["value"] for layer in layers]
    chance = pd.Series(exact_means(size))
    names = [*(layer.subject.name for layer in layers), "chance"]
    for row, share in enumerate([*shares, chance]):
        start = 0.0
        for sector, colour in SECTOR_COLOURS.items():
            width = float(share[sector]) if np.isfinite(share[sector]) else 0.0
            label = SECTOR_NAMES[sector] if row == 0 else None
            axes.barh(row, width, left=start, height=0.62, color=colour, label=label)
            if width > 0.07:
                axes.text(
                    start + width / 2,
                    row,
                    f"{width:.0%}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    gid=AS_IT_IS,
                )
            start += width
    _rows(axes, names)
    axes.set(xlim=(0, 1), xlabel="share of energy, by symmetry")
    axes.grid(visible=False)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def gallery(layer: LayerMeasures, bank: Bank) -> Figure:
    """The kernels, most operator-like first, with their nearest hand-crafted one; below, the best of noise.

    As many isotropic kernels are drawn as the layer has; their best show what a resemblance is worth.
    """
    kernels, table, column = most_alike(layer, bank, shown=SHOWN)
    total = len(layer.kernels)
    cells = [
        (kernel, _caption(row, column))
        for kernel, (_, row) in zip(kernels, table.iterrows(), strict=True)
    ]
    random = []
    if bank:
        noise, of_noise = random_alike(total, kernels.shape[-1], bank)
        random = [
            (kernel, _caption(row, column))
            for kernel, (_, row) in zip(noise, of_noise.iterrows(), strict=True)
        ]
    extent = f"{len(cells)} of {total} kernels" if len(cells) < total else "All kernels"
    blocks = [(f"{extent} of {layer.subject.name}, by {_words(column)}", cells)]
    if random:
        blocks.append((f"The best of {total} random kernels", random))
    return _tiles(blocks)


def _words(column: str) -> str:
    return {"best_abs_cos": "|cos| with the nearest hand-crafted kernel", "r2": "R²"}[column]


def _caption(row: pd.Series, column: str) -> str:
    if row["flag"]:
        return str(row["flag"])
    name = f"{row['best']}\n" if column == "best_abs_cos" else ""
    return f"{name}{row[column]:.2f}"


def _tiles(blocks: list[tuple[str, list[tuple[np.ndarray, str]]]]) -> Figure:
    """Blocks of pictures with words below each, on one axes; every picture has its own scale."""
    columns = min(COLUMNS, max(len(cells) for _, cells in blocks))
    top, titles, pictures = 0.0, [], []
    for title, cells in blocks:
        titles.append((top, title))
        for i, cell in enumerate(cells):
            pictures.append((i % columns * STEP, top + 0.35 + i // columns * ROW, cell))
        top += 0.6 + -(-len(cells) // columns) * ROW
    with styled():
        figure = Figure(figsize=(9, 0.1 + 9 * top / (COLUMNS * STEP)))
        axes = figure.subplots()
        width = COLUMNS * STEP
        image = mosaic([(x, y, picture) for x, y, (picture, _) in pictures], width, top)
        axes.imshow(
            image,
            cmap=DIVERGING,
            vmin=-1,
            vmax=1,
            extent=(0, width, top, 0),
            interpolation="nearest",
        )
        for x, y, (_, words) in pictures:
            axes.text(x + 0.5, y + 1.04, words, ha="center", va="top", fontsize=5.6)
        for y, title in titles:
            axes.text(0, y + 0.12, title, fontsize=9, fontweight="bold", va="center")
        axes.set(xlim=(-0.05, width), ylim=(top, -0.15), aspect="equal")
        axes.axis("off")
    return figure


def portrait(layers: list[LayerMeasures]) -> Figure:
    """Every live 3x3 kernel: its orientation against its a; a dot's area is its gradient energy."""
    with styled():
        figure = Figure(figsize=(8.6, 3.8))
        axes = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        for row, (axis, layer) in enumerate(zip(axes, layers, strict=True)):
            operator_lines(axis, named=axis is axes[-1])
            table = layer.kernels[layer.kernels["live"] & layer.kernels["a"].notna()]
            energy = table["odd"] * table["norm"] ** 2
            # a kernel and its negative are the same operator: orientation has period 180 degrees
            axis.scatter(
                np.degrees(table["theta"]) % 180,
                phi_of_a(table["a"].to_numpy()),
                s=110 * energy / max(energy.max(), 1e-300) if len(table) else [],
                color=colour_of(row),
                alpha=0.6,
                lw=0,
            )
            if layer.a is not None and layer.a.resolved:
                axis.axhspan(
                    layer.a.phi_low, layer.a.phi_high, color=colour_of(row), alpha=0.15, lw=0
                )
            axis.set(
                title=_short(layer.subject.name, 40),
                xlim=(-4, 184),
                xlabel="orientation θ, degrees",
            )
            axis.set_xticks(range(0, 181, 45))
        a_axis(axes[0])
        axes[0].set_ylabel("a of the kernel")
    return figure


def fits(layers: list[LayerMeasures]) -> Figure:
    """R2 of the parametric fits of larger kernels, filled where better than noise is fitted."""
    names = {
        "gauss1": "Gaussian, first derivative",
        "gauss012": "up to 2nd derivatives",
        "gabor": "Gabor function",
    }
    with styled():
        figure = Figure(figsize=(8.6, 1.5 + 0.55 * len(layers)))
        axes = figure.subplots(1, 3, sharex=True, sharey=True)
        for axis, (name, words) in zip(axes, names.items(), strict=True):
            for row, layer in enumerate(layers):
                if f"{name}_r2" not in layer.kernels:
                    axis.text(0.5, row, "not fitted", ha="center", va="center", color="grey")
                    continue
                table = layer.kernels[layer.kernels["live"]]
                heights = row + 0.26 * np.sin(2.4 * np.arange(len(table)))
                above = (table[f"{name}_q"] <= layer.verdict.level).to_numpy()
                for mask, fill in ((above, colour_of(row)), (~above, "none")):
                    r2 = table[f"{name}_r2"][mask]
                    axis.plot(
                        r2, heights[mask], "o", ms=4, mfc=fill, color=colour_of(row), alpha=0.8
                    )
            axis.set_title(words, fontsize=8.5)
            axis.set_xlabel("R²")
        _rows(axes[0], [layer.subject.name for layer in layers])
        axes[0].set_xlim(-0.02, 1.02)
    return figure
