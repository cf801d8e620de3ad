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
# Of the gallery, in sides of a picture: from one to the next, and from one row to the next.
STEP, ROW = 1.15, 1.75


def answer(layers: list[LayerMeasures]) -> Figure:
    """Every kernel's R2 beside isotropic kernels', and the sectors' shares beside chance."""
    size = layers[0].subject.kernels.shape[-1]
    with styled():
        figure = Figure(figsize=(8.6, 1.7 + 0.62 * len(layers)))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        for row, layer in enumerate(layers):
            k = layer.subject.kernels.shape[-1]
            law = 2, k * k - 1
            table = layer.kernels[layer.kernels["live"]]
            left.fill_betweenx(
                [row - 0.4, row + 0.4],
                *r2_quantile([0.025, 0.975], *law),
                color=CHANCE,
                alpha=0.25,
                lw=0,
            )
            left.plot([law[0] / law[1]] * 2, [row - 0.4, row + 0.4], color=CHANCE, lw=1.5)
            heights = row + 0.26 * np.sin(2.4 * np.arange(len(table)))  # spread, the same each time
            above = (table["q_r2"] <= layer.verdict.level).to_numpy()
            colour = colour_of(row)
            left.plot(
                table["r2_centered"][~above],
                heights[~above],
                "o",
                ms=4,
                mfc="none",
                color=colour,
                alpha=0.7,
            )
            left.plot(
                table["r2_centered"][above], heights[above], "o", ms=5, color=colour, alpha=0.85
            )
            left.plot(
                [table["r2_centered"].mean()] * 2, [row - 0.32, row + 0.32], color="black", lw=2
            )
        _rows(left, [layer.subject.name for layer in layers])
        left.set(xlim=(-0.01, 1.01), xlabel="R² with the steered derivative pair, means removed")
        left.set_title("Every kernel", loc="left")
        left.plot([], [], "o", ms=5, color="grey", label="beyond chance, q < .05")
        left.plot([], [], "o", ms=4, mfc="none", color="grey", label="not")
        left.plot([], [], color="black", lw=2, label="mean")
        left.fill_between([], [], color=CHANCE, alpha=0.3, label="95% of random kernels")
        _sectors(right, layers, size)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=7.5
        )
        figure.legend(
            *right.get_legend_handles_labels(), loc="outside upper right", ncols=5, fontsize=7
        )
    return figure


def _sectors(axes: Axes, layers: list[LayerMeasures], size: int) -> None:
    """Stacked shares of energy, each layer's and below them chance's."""
    shares = [layer.layer.set_index("measure")["value"] for layer in layers]
    chance = pd.Series(exact_means(size))
    names = [*("" for _ in layers), "chance"]
    for row, share in enumerate([*shares, chance]):
        start = 0.0
        for sector, colour in SECTOR_COLOURS.items():
            width = float(share[sector]) if np.isfinite(share[sector]) else 0.0
            label = SECTOR_NAMES[sector] if row == 0 else None
            axes.barh(row, width, left=start, height=0.62, color=colour, label=label)
            if width > 0.07:
                axes.text(
                    start + width / 2, row, f"{width:.0%}", ha="center", va="center", fontsize=7
                )
            start += width
    _rows(axes, names)
    axes.set(xlim=(0, 1), xlabel="share of energy, by symmetry")
    axes.grid(visible=False)
    axes.set_title("The layer", loc="left")


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
    size = layer.subject.kernels.shape[-1]
    pictures = layer.subject.kernels.reshape(-1, size, size)
    column = "best_abs_cos" if bank else "r2"
    order = layer.kernels.assign(score=layer.kernels[column].where(layer.kernels["live"], -1.0))
    shown_kernels = order.sort_values("score", ascending=False, kind="stable").index[:SHOWN]
    cells = [(pictures[i], _caption(layer.kernels.loc[i], column)) for i in shown_kernels]
    random = []
    if bank:
        noise = isotropic(max(len(pictures), 1), size, 0)
        table = pd.DataFrame(kernel_matches(noise, bank)).assign(live=True, flag="")
        best = table.sort_values(column, ascending=False).index[: min(RANDOM_SHOWN, len(table))]
        random = [(noise[i], _caption(table.loc[i], column)) for i in best]
    extent = (
        f"{len(cells)} of {len(pictures)} kernels" if len(cells) < len(pictures) else "All kernels"
    )
    blocks = [(f"{extent} of {layer.subject.name}, by {_words(column)}", cells)]
    if random:
        blocks.append((f"The best of {len(pictures)} random kernels", random))
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
