"""A comparison: layers opened, measured, put in words, tables, a figure and a report."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy import handcrafted, runs
from kernelstudy.analysis.kernels import Bank, usable_bank
from kernelstudy.comparison import glance, opening
from kernelstudy.comparison.colour import colour_gallery
from kernelstudy.comparison.figures import SHOWN, answer, fits, gallery, portrait, symmetry
from kernelstudy.comparison.measure import LayerMeasures, measure_layer, subject
from kernelstudy.comparison.opening import Opened
from kernelstudy.comparison.patches import patch_basis
from kernelstudy.comparison.seeds import as_seeds
from kernelstudy.comparison.shape_report import ShapeComparison, compare_shape
from kernelstudy.comparison.shapes import is_square
from kernelstudy.comparison.start import with_start
from kernelstudy.comparison.words import (
    headline_claims,
    left_out,
    network_claims,
    what_one_cannot_tell,
)
from kernelstudy.reporting import page, style
from kernelstudy.reporting.colour import kernels_rgb
from kernelstudy.system import files
from kernelstudy.system.errors import InputError
from kernelstudy.system.software import environment
from kernelstudy.weights import Limits, WeightsError

# What is looked for unless --bank says otherwise: the bank of conf/bank/classical.yaml.
CLASSICAL = (
    *("sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y"),
    *("laplacian4", "laplacian8"),
)


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `kernelstudy.compare` found.

    `tables`: 'kernels' (a row a kernel), 'layer' (measures beside chance), 'ladder' (null models), with
    a column `network` in front where two are compared; also as attributes. `figure`: every kernel and
    the layer beside chance. `sentences`: the verdict in words. `measured`: all that was measured.
    """

    measured: list[LayerMeasures]
    opened: list[Opened]
    banks: list[Bank]
    tables: dict[str, pd.DataFrame] = field(repr=False)
    figure: Figure = field(repr=False)
    images: str = ""

    def __iter__(self) -> Iterator[Any]:
        """`tables, figure = compare(...)`."""
        return iter((self.tables, self.figure))

    @property
    def kernels(self) -> pd.DataFrame:
        return self.tables["kernels"]

    @property
    def layer(self) -> pd.DataFrame:
        return self.tables["layer"]

    @property
    def ladder(self) -> pd.DataFrame:
        return self.tables["ladder"]

    @property
    def introduction(self) -> list[str]:
        """Which layer this is, and what else was seen."""
        lines = [f"{name.lower()}: {value}" for one in self.opened for name, value in one.facts]
        return lines + ([f"image statistics: {self.images}"] if self.images else [])

    @property
    def sentences(self) -> list[str]:
        """The verdict in plain words, what was left out, and what one network cannot tell."""
        lines = []
        for one in self.measured:
            lead = f"{one.subject.name}: " if len(self.measured) > 1 else ""
            lines += [lead + line for line in (*network_claims(one), left_out(one))]
        lines.append(what_one_cannot_tell(self.measured[0]))
        return [line for line in lines if line]

    def __repr__(self) -> str:
        lines = [headline_claims(one)[0] for one in self.measured]
        names = [one.subject.name for one in self.measured]
        told = "; ".join(f"{n}: {line}" for n, line in zip(names, lines, strict=True))
        return f"<Comparison of {told}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentences, the figure and the ladder."""
        picture = io.BytesIO()
        with style.styled():
            self.figure.savefig(picture, format="png", dpi=110)
        data = base64.b64encode(picture.getvalue()).decode()
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.sentences)
        table = self.ladder.to_html(index=False, float_format="{:.3g}".format, border=0)
        source = f"data:image/png;base64,{data}"
        return f'<ul>{lines}</ul><img alt="Every kernel beside chance" src="{source}">{table}'

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def kernels_rgb(self) -> np.ndarray:
        """The first network's filters on three channels as pictures (out, kh, kw, 3) within 0 and 1."""
        return kernels_rgb(self.opened[0].kernels[0])

    def save(self, folder: Path | str, *, command: str = "") -> Path:
        """Write tables/, figures/, provenance.json, report.md and report.html; the page's path."""
        folder = Path(folder)
        provenance = {
            "command": command,
            "weights": [one.provenance or {"name": one.name} for one in self.opened],
            **environment(),
        }
        csv = page.write_tables(self.tables, folder)
        files.write_text(folder / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
        style.save(self.figure, folder / "figures", "answer", dark=True)
        small = answer(self.measured, self.banks, narrow=True)
        style.save(small, folder / "figures", "answer_narrow", dark=True, vector=False)
        content = self._compose(
            folder / "figures", command or "kernelstudy.compare(...)", provenance
        )
        content.csv = csv
        return page.write(content, folder)

    def _compose(self, figures: Path, command: str, provenance: dict[str, Any]) -> page.Page:
        names = [one.subject.name for one in self.measured]
        bank_names = sorted({name for bank in self.banks for name in bank})
        facts = [fact for one in self.opened for fact in (*one.facts, *one.details)]
        facts.append(
            ("Bank", ", ".join(bank_names) or "no hand-crafted kernel exists at this size")
        )
        facts.append(("Image statistics", self.images or "none given (--images): N3 is not asked"))
        claims = [network_claims(one) for one in self.measured]
        return page.Page(
            title=f"{' and '.join(names)}: do the kernels look hand-crafted?",
            facts=facts,
            sentence=glance.sentence(self.measured),
            glance=glance.table(self.measured, self.banks),
            glance_note=glance.NOTE,
            facts_title="What was read",
            numbers_title="Every claim in numbers: intervals, p and q",
            headline=[],
            answer=[
                (name, [*lines, left_out(one), *opened.notes])
                for name, lines, one, opened in zip(
                    names, claims, self.measured, self.opened, strict=True
                )
            ],
            notes=[note for note in (what_one_cannot_tell(self.measured[0]),) if note],
            lead=page.Figure(
                "answer",
                glance.lead_title(self.measured, self.banks),
                "Left: the kernels most like a hand-crafted one, that one below each, and the same of as "
                "many random kernels; each picture has its own scale. Right: each dot a kernel; the part "
                "of its variation that an edge detector (Sobel's kernel at odd sizes) at its best angle "
                "explains, from 0 to 1. Filled, it is beyond chance after correction over the layer.",
                pictures=True,
                narrow=True,
            ),
            sections=self._draw(figures),
            tables=[
                ("The ladder of chance", self.ladder),
                ("The layer", self.layer),
                ("Every kernel", self.kernels),
            ],
            method=_METHOD,
            reproduce=command,
            provenance=provenance,
            tables_note="",
        )

    def _draw(self, folder: Path) -> list[tuple[str, str, list[page.Figure]]]:
        save = partial(style.save, dark=True)
        galleries = []
        for index, (one, bank) in enumerate(zip(self.measured, self.banks, strict=True)):
            save(gallery(one, bank), folder, f"kernels_{index}")
            shown = min(len(one.kernels), SHOWN)
            galleries.append(
                page.Figure(
                    f"kernels_{index}",
                    f"{shown} of {len(one.kernels)} kernels of {one.subject.name}, and the best of as "
                    "many random",
                    "Below each its nearest hand-crafted kernel and |cos|; each picture has its own scale.",
                    pictures=True,
                )
            )
            if self.opened[index].kernels.shape[3] == 3 and one.networks == 1:
                save(colour_gallery(one, self.opened[index].kernels[0]), folder, f"colour_{index}")
                galleries.append(
                    page.Figure(
                        f"colour_{index}",
                        f"In colour: {glance.colour_title(one)}",
                        "As if the channels were R, G and B, strongest first. All filters share one scale: "
                        "pale ones are weak. Below each the spatial profile that holds most of its energy.",
                        pictures=True,
                    )
                )
        save(symmetry(self.measured), folder, "symmetry")
        by_symmetry = page.Figure(
            "symmetry",
            glance.symmetry_title(self.measured),
            "A kernel's energy divides exactly into these sectors of symmetry; chance is each sector's "
            "part of the dimensions (from 4 x 4 on, a sixth makes up the rest).",
        )
        sections = [
            (
                "Kernels and matches",
                "A gallery of best matches proves nothing: the best of many random kernels looks good too. So "
                "the best of as many random ones stand below.",
                [*galleries, by_symmetry],
            )
        ]
        small = [one for one in self.measured if one.subject.kernels.shape[-1] == 3]
        large = [one for one in self.measured if one.subject.kernels.shape[-1] >= 5]
        if small:
            save(portrait(small), folder, "portrait")
            figure = page.Figure(
                "portrait",
                glance.portrait_title(small),
                "Orientation and a of every kernel; the larger the dot, the more gradient energy. a is "
                "the middle weight of [1, a, 1] x [-1, 0, 1]: 1 is Prewitt, √2 Frei-Chen, 2 Sobel, 10/3 "
                "Scharr. Shaded: the interval of the population's a, where there is one.",
            )
            sections.append(
                ("Which operator", "Operators are lines: they exist at all orientations.", [figure])
            )
        if large:
            save(fits(large), folder, "fits")
            figure = page.Figure(
                "fits",
                glance.fits_title(large),
                "Filled: the fit is better than that of noise at q < .05. A flexible function fits noise well "
                "too, so R² alone says little.",
            )
            sections.append(
                ("Gaussian derivatives and Gabor functions", "Each with its own null.", [figure])
            )
        return sections


def compare(
    sources: list[Any],
    *,
    layer: str | None,
    layout: str,
    bank: str | None,
    images: Any,
    max_gib: float,
    level: float,
    seed: int,
    start: Any = None,
    alike: bool = False,
) -> Comparison | ShapeComparison:
    """See `kernelstudy.compare`. `alike`: the sources are networks trained alike, one layer's seeds."""
    limits = Limits(int(max_gib * 2**30))
    # --layer names a layer of the first; the second may have none of that name
    opened = [
        _open(source, limits, layer, layout, fallback=index > 0)
        for index, source in enumerate(sources)
    ]
    if not all(is_square(one) for one in opened):
        others = {"bank": bank, "images": images, "start": start, "as": alike or None}
        return compare_shape(opened, others, level=level, seed=seed)
    starts = [] if start is None else list(start) if isinstance(start, list | tuple) else [start]
    if len(starts) > len(opened) or (alike and starts and len(starts) < len(opened)):
        raise InputError(f"start: {len(starts)} starts of {len(opened)} networks")
    for index, before in enumerate(starts):
        opened[index] = with_start(opened[index], before, limits, layout)
    if alike:
        opened = [as_seeds(opened)]
    layers, banks, image_source = [], [], ""
    for one in opened:
        network = subject(
            one.name, one.kernels, rounding=one.rounding, dtype=one.dtype, **one.known
        )
        size = network.kernels.shape[-1]
        if images is not None:
            basis, image_source = patch_basis(images, size)
            network = replace(network, patch_basis=basis)
        elif network.patch_basis is not None:
            image_source = "the run's own training images"
        kernels = (
            usable_bank(list(CLASSICAL), size) if bank is None else handcrafted.bank(bank, size)
        )
        banks.append(kernels)
        layers.append(measure_layer(network, kernels, level=level, seed=seed))
    names = _distinct([one.name for one in opened])
    tables = {}
    for name in ("kernels", "layer", "ladder"):
        parts = [getattr(one, name) for one in layers]
        if len(parts) > 1:
            parts = [part.assign(network=n) for part, n in zip(parts, names, strict=True)]
            first = ["network", *[c for c in parts[0].columns if c != "network"]]
            tables[name] = pd.concat(parts, ignore_index=True)
            rest = [c for c in tables[name].columns if c not in first]
            tables[name] = tables[name][[*first, *rest]]
        else:
            tables[name] = parts[0]
    return Comparison(layers, opened, banks, tables, answer(layers, banks), image_source)


def _open(source: Any, limits: Limits, layer: str | None, layout: str, *, fallback: bool) -> Opened:
    try:
        return opening.open_any(source, limits, layer=layer, layout=layout)
    except WeightsError:
        if not (fallback and layer is not None):
            raise
        return opening.open_any(source, limits, layout=layout)


def _distinct(names: list[str]) -> list[str]:
    return [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]


_METHOD = [
    "The same measures as a run's report, of one finished layer. Of one network its kernels are the "
    "observations: what is said holds for this network, not for others trained like it.",
    "Per kernel: R² with the steered derivative pair (Sobel's at odd sizes), of the whole kernel and of the "
    "kernel less its mean. The latter has two p: from the exact law under isotropy, and from the kernel's "
    "own permuted taps. Best |cos| over the bank has the p of that maximum. Each p has a q, Benjamini and "
    "Hochberg's over the layer's live kernels.",
    "Per layer: the mean over kernels among layers that each null draws, p = (1 + b)/(1 + B). N0: isotropic "
    "kernels. N2: permuted taps. N3, where image statistics are given: the same kernels with random signs on "
    "the images' principal patch axes, and with random phases of their Fourier components, whichever is "
    "exceeded least. Its p is of an excess over 0.05. All in R² of kernels less their mean. Near-copies, of "
    "|cos| above 0.95, count once: they are not independent.",
    "a: the top eigenvector of the summed gradient matrices of all live kernels; its interval inverts the "
    "sign-flip test over kernels. A network's overall scale and a batch norm folded into its filters change no "
    "per-kernel measure; a filter's norm, and so whether it counts as dead, they do change.",
]
