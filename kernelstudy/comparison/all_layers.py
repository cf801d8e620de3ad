"""All layers of one network: a row a convolution, and likeness to hand-crafted kernels against depth."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kernelstudy import handcrafted, runs
from kernelstudy.analysis.any_shape import derivatives
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.kernels import Bank, usable_bank
from kernelstudy.analysis.ladder import derivative_plane, plane_axes, plane_r2
from kernelstudy.analysis.layer import live_kernels, orthogonality, variance_entropy
from kernelstudy.analysis.nulls import isotropic, r2_tail
from kernelstudy.analysis.sectors import SECTORS, sector_energies
from kernelstudy.analysis.similarity import colour_spatial, cosine
from kernelstudy.reporting import page, style
from kernelstudy.system import files
from kernelstudy.system.errors import printable
from kernelstudy.system.software import environment
from kernelstudy.weights import Layer, Limits, Network, WeightsError, choose, role_of

from .measure import float_precision
from .opening import network_of
from .shapes import MOST_TAPS
from .within import kernels_a

MOST = 1_000_000  # kernels of one layer; of more, so many are drawn
_COLOURS = 4  # inputs at most of a layer that sees an image
_PAIRS, _FOR_A, _DRAWS = 1000, 2000, 20_000
_BLOCK = 100_000
_CENTRE = 0.95
_NONE = np.full(1, np.nan)

COLUMNS = [
    *("depth", "layer", "shape", "kernels", "measured", "dead", "r2", "r2_chance", "r2_p", "r2_q"),
    *("share_significant", "best_abs_cos", "best_chance", "best_low", "best_high", *SECTORS),
    *("a", "a_low", "a_high", "variance_entropy", "orthogonality", "verdict"),
]


@dataclass(frozen=True)
class LayerSurvey:
    """What `kernelstudy.compare(..., layers="all")` found.

    `table`: a row a convolution, in the order that `facts` tell; `figure`: likeness against depth;
    `sentences`: what there is to say. A layer that is not measured has its reason as verdict.
    """

    name: str
    table: pd.DataFrame
    figure: Figure = field(repr=False)
    facts: list[tuple[str, str]]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def introduction(self) -> list[str]:
        return [f"{name.lower()}: {value}" for name, value in self.facts]

    @property
    def sentences(self) -> list[str]:
        known = self.table[self.table["r2"].notna()]
        above = known[known["verdict"].str.startswith("more")]
        lines = [
            f"{len(above)} of {len(known)} layers {'is' if len(above) == 1 else 'are'} more like edge "
            "detectors, on average over kernels, than random kernels are (q < .05 over layers)."
        ]
        if len(known):
            best = known.iloc[int(known["r2"].to_numpy().argmax())]
            lines.append(
                f"The most like edge detectors: {best['layer']}, depth {best['depth']}, mean R² "
                f"{best['r2']:.2f} where chance gives {best['r2_chance']:.2f}."
            )
        if len(self.table) > len(known):
            lines.append(
                f"Not measured: {len(self.table) - len(known)} of {len(self.table)}; layers.csv says why."
            )
        return [
            *lines,
            "Inner kernels are many and share inputs, so p says little there; the sizes are what to read.",
        ]

    def _seen(self) -> str:
        known = self.table[self.table["r2"].notna()]
        first, last = (known["r2"].iloc[i] for i in (0, -1))
        return f"Likeness to edge detectors (R²) is {first:.2f} in the first layer and {last:.2f} in the last"

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def save(self, folder: Path | str, *, command: str = "") -> Path:
        """Write tables/layers.csv, figures/, provenance.json, report.md and report.html; the page's path."""
        folder = Path(folder)
        provenance = {"command": command, "weights": [self.provenance], **environment()}
        files.write_text(folder / "tables" / "layers.csv", self.table.to_csv(index=False))
        files.write_text(folder / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
        style.save(self.figure, folder / "figures", "depth", dark=True)
        small = _figure(self.table, self.name, narrow=True)
        style.save(small, folder / "figures", "depth_narrow", dark=True, vector=False)
        content = page.Page(
            title=f"{self.name}: which layers look hand-crafted?",
            facts=self.facts,
            sentence=self.sentences[0],
            lines=self.sentences[1:],
            facts_title="What was read",
            headline=[],
            answer=[],
            notes=[],
            lead=page.Figure(
                "depth",
                self._seen(),
                "Likeness to hand-crafted kernels against depth. Above: mean R² with the steered "
                "derivative pair; below: mean of each kernel's best |cos| over "
                "the bank. Grey: isotropic kernels of the same size and number.",
                narrow=True,
                pictures=True,
            ),
            sections=[],
            tables=[("Every layer", self.table)],
            method=_METHOD,
            reproduce=command or "kernelstudy.compare(..., layers='all')",
            provenance=provenance,
            tables_note="",
        )
        return page.write(content, folder)


def survey(
    source: Any,
    limits: Limits,
    bank_names: Sequence[str],
    *,
    layout: str = "auto",
    bank: str | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> LayerSurvey:
    """All convolutions of one network, measured.

    Raises:
        WeightsError: it cannot be read, or none of its layers has kernels with a shape in space.
    """
    name, network, provenance = network_of(source, limits, layout)
    layers = [layer for layer in network.layers if not role_of(layer)] or list(network.layers)
    # without a graph an array of three axes may be a matrix among many as well as a 1-D convolution
    layers = [o for o in layers if len(o.shape) != 3 or o.sees is not None] or layers
    chances: dict[int, tuple[Bank, np.ndarray]] = {}
    rows = []
    for depth, layer in enumerate(layers, start=1):
        row = {"depth": depth, "layer": printable(layer.name), "shape": _shape_of(layer)}
        why = _left_out(layer)
        if not why:
            size = _square(layer)
            if size and size not in chances:
                kernels = (
                    usable_bank(list(bank_names), size)
                    if bank is None
                    else handcrafted.bank(bank, size)
                )
                chances[size] = kernels, _best(isotropic(_DRAWS, size, seed), kernels)
            try:
                row |= _measured(layer, *chances.get(size, ({}, _NONE)), level=level, seed=seed)
            except WeightsError as error:
                why = str(error)
        rows.append(row | ({"verdict": why} if why else {}))
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    if table["r2"].isna().all():
        raise WeightsError(
            f"{name}: none of its {len(table)} layers can be measured: {rows[0]['verdict']}"
        )
    table["r2_q"] = benjamini_hochberg(table["r2_p"].to_numpy(float))
    table["verdict"] = [
        _verdict(r2, chance, q, reason, level)
        for r2, chance, q, reason in zip(
            table["r2"], table["r2_chance"], table["r2_q"], table["verdict"], strict=True
        )
    ]
    return LayerSurvey(name, table, _figure(table, name), _facts(name, network, table), provenance)


def _shape_of(layer: Layer) -> str:
    shape = layer.shape_of_kernels()
    if shape is None:
        return " x ".join(map(str, layer.shape))
    *space, cin, cout = shape
    kind = ", depthwise" if layer.depthwise else ", transposed" if layer.transposed else ""
    return f"{'x'.join(map(str, space))}, {cin} -> {cout}{kind}"


def _square(layer: Layer) -> int:
    """The side of square kernels of two axes, axes of one tap left out; 0 of others."""
    space = [n for n in (layer.shape_of_kernels() or ())[:-2] if n > 1]
    return space[0] if len(space) == 2 and len(set(space)) == 1 else 0


def _left_out(layer: Layer) -> str:
    """Why a layer is not measured, or nothing."""
    shape = layer.shape_of_kernels()
    if layer.refused or shape is None:
        return f"not measured: {layer.refused or 'the order of its axes is not known (--layout)'}"
    space = [n for n in shape[:-2] if n > 1]
    if not space:
        return f"not measured: {'x'.join(map(str, shape[:-2]))} kernels have no shape in space"
    if math.prod(space) > MOST_TAPS:
        return f"not measured: kernels of more than {MOST_TAPS:,} taps are not"
    if math.prod(space) - 1 <= len(space):
        return "not measured: so few taps have, less their mean, one shape alone"
    return ""


def _measured(
    layer: Layer, bank: Bank, chance: np.ndarray, *, level: float, seed: int
) -> dict[str, Any]:
    """The row of one layer: of a few colours each filter's dominant spatial profile is a kernel, else each
    (in, out) slice."""
    stored, size = layer.kernels(), _square(layer)
    space = tuple(n for n in stored.shape[:-2] if n > 1)
    # measures that know no places take kernels of other shapes as (1, taps)
    stored = stored.reshape(*((size, size) if size else (1, math.prod(space))), *stored.shape[-2:])
    if 1 < stored.shape[2] <= _COLOURS and np.isfinite(stored).all():
        kernels = colour_spatial(stored).spatial
    else:
        kernels = stored.reshape(*stored.shape[:2], -1).transpose(2, 0, 1)
    total, rng = len(kernels), np.random.default_rng(seed)
    if total > MOST:
        kernels = kernels[np.sort(rng.choice(total, MOST, replace=False))]
    broken = int((~np.isfinite(kernels)).any(axis=(1, 2)).sum())
    if broken:
        raise WeightsError(f"not measured: {broken} kernels hold NaN or infinite weights")
    live = live_kernels(kernels)
    row: dict[str, Any] = {"kernels": total, "measured": len(kernels), "dead": int((~live).sum())}
    kernels = kernels[live]
    if not len(kernels):
        return row | {"verdict": "not measured: every weight is zero"}
    others = (d.reshape(1, -1) for d in derivatives(space).values())
    axes = plane_axes(kernels[:1], *(derivative_plane(size) if size else others))
    k, d = axes.shape[1], axes.shape[0] - 1  # of kernels less their means
    parts = [kernels[i : i + _BLOCK] for i in range(0, len(kernels), _BLOCK)]
    r2 = np.concatenate([plane_r2(part, axes, centered=True) for part in parts])
    r2 = r2[np.isfinite(r2)]  # a constant kernel has none
    if not len(r2):
        return row | {"verdict": "not measured: every kernel is constant"}
    spread = np.sqrt(
        2 * k * (d - k) / (d**2 * (d + 2)) / len(r2)
    )  # of a mean of Beta's k/2, (d - k)/2
    row |= {
        "r2": r2.mean(),
        "r2_chance": k / d,
        "r2_p": 2 * scipy.special.ndtr(-abs(r2.mean() - k / d) / spread),
        "share_significant": np.mean(benjamini_hochberg(r2_tail(r2, k, d)) <= level),
        "variance_entropy": float(variance_entropy(kernels)) if len(kernels) > 1 else np.nan,
    }
    if size:
        energies = sum(sector_energies(part / np.abs(kernels).max()).sum(0) for part in parts)
        row |= dict(zip(SECTORS, energies / np.sum(energies), strict=True))
    if bank:
        best = np.concatenate([_best(part, bank) for part in parts])
        half = scipy.special.ndtri((1 + _CENTRE) / 2) * chance.std() / np.sqrt(len(best))
        row |= {"best_abs_cos": best.mean(), "best_chance": chance.mean()}
        row |= {"best_low": chance.mean() - half, "best_high": chance.mean() + half}
    few = kernels if len(kernels) <= _PAIRS else rng.permutation(kernels)[:_PAIRS]
    if len(few) > 1:
        row["orthogonality"] = float(orthogonality(few))
    if size == 3:
        few = kernels if len(kernels) <= _FOR_A else rng.permutation(kernels)[:_FOR_A]
        ulp = np.abs(few).max(axis=(1, 2)) * float_precision(few, layer.dtype)
        found = kernels_a(few, np.sqrt(12) * ulp, level=level, seed=seed)
        if found.resolved:
            row |= {"a": found.a, "a_low": found.low, "a_high": found.high}
    return row


def _best(kernels: np.ndarray, bank: Bank) -> np.ndarray:
    return np.abs(cosine(kernels, bank)).max(-1) if bank else np.full(len(kernels), np.nan)


def _verdict(r2: float, chance: float, q: float, reason: str, level: float) -> str:
    if not np.isfinite(r2):
        return reason
    if q > level:
        return "as isotropic kernels"
    return f"{'more' if r2 > chance else 'less'} derivative-like than isotropic kernels"


def _facts(name: str, network: Network, table: pd.DataFrame) -> list[tuple[str, str]]:
    order = {
        "graph": "as the network computes",
        "declared": "as they were declared, which need not be how it computes",
        "names": "by name, which says little of the order in which it computes",
    }[network.order]
    facts = [
        ("Weights", f"{name}, {network.format}"),
        ("Layers", f"{len(table)} convolutions, {int(table['r2'].notna().sum())} measured"),
        ("Depth", f"the place among the layers, {order}"),
    ]
    try:
        facts.append(("Sees the image", choose(network)[0].name))
    except WeightsError as error:
        facts.append(("Sees the image", f"not known: {error}"))
    drawn = table[table["measured"] < table["kernels"]]
    if len(drawn):
        facts.append(("Drawn", f"{MOST:,} kernels each of {', '.join(drawn['layer'])}"))
    return [(key, printable(value)) for key, value in facts]


def _figure(table: pd.DataFrame, name: str, *, narrow: bool = False) -> Figure:
    """`narrow`: as wide as a phone."""
    known = table[table["r2"].notna()]
    with style.styled():
        figure = Figure(figsize=(4.2, 5.0) if narrow else (8.6, 5.2))
        above, below = figure.subplots(2, 1, sharex=True)
        _against_depth(above, known, "r2", "r2_chance")
        above.set(ylabel="likeness to an edge\ndetector (mean R²)", ylim=(0, 1))
        above.set_title(name, loc="left")
        _against_depth(below, known, "best_abs_cos", "best_chance")
        below.fill_between(
            known["depth"].to_numpy(float),
            known["best_low"].to_numpy(float),
            known["best_high"].to_numpy(float),
            color=style.CHANCE,
            alpha=0.3,
            lw=0,
        )
        below.set(
            ylabel="best |cos| with a hand-\ncrafted kernel (mean)",
            xlabel="depth (place among the layers)",
        )
        below.set_ylim(0, 1)
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _against_depth(axes: Axes, table: pd.DataFrame, value: str, chance: str) -> None:
    depthwise = table["shape"].str.contains("depthwise")
    axes.plot(table["depth"], table[value], color="0.7", lw=0.8, zorder=1)
    for chosen, marker, label in ((~depthwise, "o", "convolution"), (depthwise, "D", "depthwise")):
        if chosen.any():
            axes.plot(
                table["depth"][chosen], table[value][chosen], marker, ms=5, label=label, zorder=2
            )
    axes.plot(table["depth"], table[chance], color=style.CHANCE, lw=1.5, label="chance")


_METHOD = [
    "A row a convolution. A depthwise filter is one kernel. Of a layer of two to four inputs, colours, each "
    "filter's dominant spatial profile is one, as where the layer is compared alone. Of any other layer each "
    f"slice of one input and one output channel. Of a layer with more than {MOST:,} kernels so many are drawn "
    "at random.",
    "R²: of a kernel less its mean with the steered derivative pair of its size (Sobel's at odd sizes), by "
    "chance 2/(k² - 1) exactly. Of other shapes with the first derivative along each axis of more than one "
    "tap, m of them, by chance m/(d - 1) of d taps. Sectors, bank and a are of square kernels of two axes "
    "alone. p: of the mean over kernels, two-sided, by the normal limit, as if kernels were independent. q is "
    "Benjamini and Hochberg's over layers. share_significant: kernels that are derivative-like at that level "
    "after correction over the layer.",
    f"Orthogonality is over {_PAIRS:,} kernels at most, a over {_FOR_A:,}; a is given where it is resolved.",
]
