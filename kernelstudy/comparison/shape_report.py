"""The report on a layer whose kernels are not square ones of two axes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy import runs
from kernelstudy.analysis.any_shape import derivatives, textbook
from kernelstudy.reporting import page, style
from kernelstudy.system import files
from kernelstudy.system.errors import InputError
from kernelstudy.system.software import environment

from . import shape_figures
from .opening import Opened
from .shapes import ShapeMeasures, is_square, measure_shape

NOT_ASKED = (
    "Not asked of kernels of this shape: likeness to named operators, the number a of the layer, image "
    "statistics (N3), parametric fits. What they are held against exists for square kernels of two axes "
    "alone."
)


@dataclass(frozen=True, repr=False)
class ShapeComparison:
    """What `kernelstudy.compare` found of 1-D, 3-D or oblong kernels.

    `tables`: 'kernels', 'layer', 'ladder' and, of cubic kernels, 'slices'; `figure`: every kernel and the layer
    beside chance; `sentences`: what can be said.
    """

    opened: Opened
    measured: ShapeMeasures
    figure: Figure = field(repr=False)

    def __iter__(self) -> Iterator:
        """`tables, figure = compare(...)`."""
        return iter((self.tables, self.figure))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        found = {
            name: getattr(self.measured, name) for name in ("kernels", "layer", "ladder", "slices")
        }
        return {name: table for name, table in found.items() if len(table)}

    @property
    def kernels(self) -> pd.DataFrame:
        return self.measured.kernels

    @property
    def layer(self) -> pd.DataFrame:
        return self.measured.layer

    @property
    def ladder(self) -> pd.DataFrame:
        return self.measured.ladder

    @property
    def introduction(self) -> list[str]:
        return [f"{name.lower()}: {value}" for name, value in self.opened.facts]

    @property
    def sentences(self) -> list[str]:
        return [*claims(self.measured), NOT_ASKED, _ONE]

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def __repr__(self) -> str:
        return f"<Comparison of {self.measured.name}: {claims(self.measured)[0]}>"

    def save(self, folder: Path | str, *, command: str = "") -> Path:
        """Write tables/, figures/, provenance.json, report.md and report.html; the page's path."""
        folder, one = Path(folder), self.measured
        weights = [self.opened.provenance or {"name": one.name}]
        provenance = {"command": command, "weights": weights, **environment()}
        csv = page.write_tables(self.tables, folder)
        files.write_text(folder / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
        style.save(self.figure, folder / "figures", "answer")
        told = claims(one)
        shape = one.profiles.shape[1:]
        size = f"{shape[0]} taps" if len(shape) == 1 else "x".join(map(str, shape))
        names = {"kernels": "Every kernel", "layer": "The layer", "ladder": "The ladder of chance"}
        names["slices"] = "The central planes"
        content = page.Page(
            title=f"{one.name}: do its kernels of {size} look hand-crafted?",
            facts=[*self.opened.facts, *self.opened.details, ("Bank", ", ".join(textbook(shape)))],
            headline=told[:2],
            answer=[(one.name, [*told, *self.opened.notes])],
            notes=[NOT_ASKED, _ONE],
            lead=page.Figure(
                "answer",
                "Every kernel and the layer beside chance",
                "Left: each dot a kernel; filled, it is derivative-like beyond isotropic chance after "
                "correction over the layer. Right: a kernel's energy divides exactly by its symmetry under "
                "reflections of its axes; chance is each one's part of the dimensions.",
            ),
            sections=self._draw(folder / "figures"),
            tables=[(names[name], self.tables[name]) for name in ("ladder", "layer", "slices", "kernels")
                    if name in self.tables],
            method=_METHOD,
            reproduce=command or "kernelstudy.compare(...)",
            provenance=provenance,
            tables_note="",
        )  # fmt: skip
        content.csv = csv
        return page.write(content, folder)

    def _draw(self, folder: Path) -> list[tuple[str, str, list[page.Figure]]]:
        one = self.measured
        if not len(one.live):
            return []
        style.save(shape_figures.pictures(one), folder, "kernels")
        how = (
            "Each kernel as a curve over its taps, largest weight 1.",
            "Each picture has its own scale.",
            "Of each kernel the planes through its middle, on one scale: 'yx' lies across z, the first axis; "
            "the first letter names the axis that goes down, the second the one to the right.",
        )[one.profiles.ndim - 2]
        shown = page.Figure(
            "kernels", f"Kernels of {one.name}", f"{how} Of evenly spaced ranks in R²."
        )
        sections = [("Kernels", "Neither the best nor the worst are picked.", [shown])]
        if one.profiles.ndim == 2:
            style.save(shape_figures.responses(one), folder, "responses")
            figure = page.Figure(
                "responses",
                "Frequency responses",
                "Of kernels at norm 1; 0.5 cycles a tap is the highest frequency. A random layer passes all "
                "frequencies alike: its mean power is 1.",
            )
            sections.append(("What they pass", "A 1-D kernel is a filter of a sequence.", [figure]))
        return sections


def compare_shape(
    opened: list[Opened], others: dict[str, Any], *, level: float, seed: int
) -> ShapeComparison:
    """Measure the one layer of which `shapes.is_square` is not true.

    Raises:
        InputError: there are several, or one of the `others` is asked for, by name.
    """
    one = next(one for one in opened if not is_square(one))
    size = "x".join(map(str, one.kernels.shape[1:-2]))
    asked = [f"--{name}" for name, value in others.items() if value is not None]
    if len(opened) > 1 or asked:
        what = asked[0] if asked else "several networks"
        raise InputError(
            f"{one.name}: its kernels are {size}; {what} can be asked of square kernels of two axes alone"
        )
    measured = measure_shape(one, level=level, seed=seed)
    return ShapeComparison(one, measured, shape_figures.answer(measured))


def claims(layer: ShapeMeasures) -> list[str]:
    """What can be said, first the answer."""
    table = layer.kernels[layer.kernels["live"]]
    gone = len(layer.flags) - len(table)
    if not len(table):
        return [f"No verdict: none of the {gone} kernels is alive and varies."]
    shape = layer.profiles.shape[1:]
    frame = ", ".join(derivatives(shape))
    found, permuted = ((table[f"q_{name}"] <= layer.level).sum() for name in ("r2", "permuted"))
    level = f"q < {layer.level:g}".replace("0.", ".", 1)
    others = (
        ", smoothed by binomials along the other axes"
        if len(shape) > 1
        else ", smoothed by binomials"
    )
    lines = [
        f"{found} of {len(table)} kernels are derivative-like beyond chance ({level}), and {permuted} of "
        f"{len(table)} beyond their own permuted taps: by R² with the first derivative{_s(frame)} along "
        f"{frame}{others}."
    ]
    if 0 < table["r2_centered"].mean() < _LITTLE and found:
        lines[0] += (
            f" The likeness is small: mean R² is {table['r2_centered'].mean():.2f} where a derivative has 1, "
            f"and with {math.prod(shape)} taps little is needed to be beyond chance."
        )
    words = {"N0": "isotropic kernels (N0)", "N2": "the same kernels with permuted taps (N2)"}
    lines += [
        f"Against {words[str(row.null)]}: mean R², means removed, {row.value:.3f}, by chance {row.chance:.3f} "
        f"[{row.chance_low:.3f}, {row.chance_high:.3f}], p = {row.p:.2g}."
        for row in layer.ladder.itertuples(index=False)
    ]
    if "low_share" in table:
        rows = layer.layer[layer.layer["measure"] == "low_share"]
        value, low, high = rows[["value", "chance_low", "chance_high"]].to_numpy()[0]
        lines.append(
            f"{value:.0%} of a kernel's energy lies below half of the highest frequency, by chance 50% "
            f"[{low:.0%}, {high:.0%}]."
        )
    lines += [_plane(row) for row in layer.slices.itertuples(index=False) if row.plane != "chance"]
    if gone:
        lines.append(f"{gone} of {len(layer.flags)} kernels are dead or constant, and left out.")
    return lines


def _plane(row) -> str:
    a = getattr(row, "a", np.nan)
    told = (
        ""
        if np.isnan(a)
        else f"; their a is {a:.2g} [{row.a_low:.2g}, {row.a_high:.2g}] over these kernels"
    )
    return (
        f"In the central {row.plane} plane {row.odd:.0%} of the energy is gradient-like (odd), mean R² with "
        f"the steered derivative pair {row.r2:.2f} where chance gives {row.r2_chance:.2f}{told}."
    )


def _s(names: str) -> str:
    return "s" if "," in names else ""


_LITTLE = 0.2  # of R2: a likeness that may be beyond chance and is small

_ONE = (
    "What one network cannot tell: whether another seed, trained the same way, would learn the same. p and q "
    "say that these kernels are not what the null would draw, no more."
)
_METHOD = [
    "Each filter is measured by its dominant spatial profile, the first term of the singular value "
    "decomposition of its weights as inputs by taps. Axes: x is the last stored one, y the one before, z the "
    "first of three.",
    "R²: share of a kernel's energy, its mean removed, in the span of the first derivatives along its axes, "
    "each smoothed by binomials along the others: of 3 x 3 Sobel's two, of 3 x 3 x 3 three. By chance m / (d "
    "- 1) of m derivatives and d taps, exactly (Beta(m/2, (d - 1 - m)/2)).",
    "N0: isotropic kernels of the same shape and number. N2: each kernel's own taps permuted. Near-copies, "
    "of |cos| above 0.95, count once in the layer's mean. q is Benjamini and Hochberg's over the layer's "
    "live kernels. best: the nearest of the bank by |cos|, p_best that of the maximum over it.",
    "Symmetry: 'odd x' is odd along x and even along all other axes, 'even' even along all, less the mean "
    "(dc).",
]
