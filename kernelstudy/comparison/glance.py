"""A comparison in one sentence, in a small table, and what is seen in each of its figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.kernels import Bank

from .figures import most_alike, random_alike
from .measure import LayerMeasures
from .words import position_of

NOTE = (
    "A kernel counts as edge-like if chance gives random kernels as much likeness to an edge detector so "
    "rarely that at most 5% of those counted are expected to be chance (q < .05). The operators differ "
    "in one number, a, the middle weight of [1, a, 1] x [-1, 0, 1]: 1 is Prewitt, 2 Sobel. All p and q "
    "are in the tables."
)


def sentence(layers: list[LayerMeasures]) -> str:
    """The answer in one sentence a network, in plain words."""
    several = len(layers) > 1
    return " ".join(
        (f"{layer.subject.name}: " if several else "") + _sentence(layer) for layer in layers
    )


def _sentence(layer: LayerMeasures) -> str:
    v = layer.verdict
    if not v.live:
        return f"None of the {v.kernels} kernels is alive and varies: there is nothing to compare."
    if layer.networks > 1:
        like = {True: "are", False: "are not shown to be", None: "cannot be shown to be"}
        more = f": a test needs {FEWEST} networks" if v.derivative_like is None else ""
        return (
            f"The first-layer kernels of {layer.networks} networks {like[v.derivative_like]} more like edge "
            f"detectors than chance makes kernels{more}."
        )
    whole = {
        "above both": "as a whole the layer is beyond random kernels and its own weights in shuffled places",
        "above noise": "as a whole the layer is beyond random kernels, not its own weights in shuffled places",
        "as noise": "as a whole the layer is not beyond random kernels",
    }[_whole(layer)]
    return (
        f"{v.significant} of {v.live} first-layer kernels respond to edges more than chance makes random "
        f"kernels do; {whole}."
    )


def _whole(layer: LayerMeasures) -> str:
    """Which rungs the layer's mean passes: 'above both', 'above noise' or 'as noise'."""
    passed = {
        str(row["null"]): row["p"] <= layer.verdict.level and row["value"] > row["chance"]
        for row in layer.ladder.to_dict("records")
        if row["null"] in ("N0", "N2")
    }
    if not passed.get("N0"):
        return "as noise"
    return "above both" if passed.get("N2") else "above noise"


def table(layers: list[LayerMeasures], banks: list[Bank]) -> pd.DataFrame:
    """A row a network: edge-like kernels, the layer as a whole, its nearest operator, its best match."""
    rows = []
    for layer, bank in zip(layers, banks, strict=True):
        v = layer.verdict
        rows.append(
            {
                "network": layer.subject.name,
                "edge-like kernels": f"{v.significant} of {v.live}",
                "likeness (R²), by chance": _r2(layer),
                "nearest operator": _operator(layer),
                "best match, best of as many random": _best(layer, bank),
            }
        )
    return pd.DataFrame(rows)


def _r2(layer: LayerMeasures) -> str:
    rows = layer.ladder[layer.ladder["null"] == "N0"]
    if not len(rows):
        return ""
    row = rows.iloc[0]
    return f"{row['value']:.2f}, by chance {row['chance']:.2f}"


def _operator(layer: LayerMeasures) -> str:
    """Where a lies, as far as it says anything."""
    a, v = layer.a, layer.verdict
    if a is None:
        return "not asked: kernels are not 3 x 3"
    if not np.isfinite(a.phi) or 2 * v.significant < v.live or not a.resolved:
        return "none: too few edges, or they differ"
    return f"{position_of(a.a)} (a = {a.a:.2f})"


def _best(layer: LayerMeasures, bank: Bank) -> str:
    if not bank:
        return "no hand-crafted kernel exists at this size"
    name, cosine, random = _best_match(layer, bank)
    return f"{name} {cosine:.2f}, random {random:.2f}"


def _best_match(layer: LayerMeasures, bank: Bank) -> tuple[str, float, float]:
    """The nearest hand-crafted kernel of all, its |cos|, and that of the best of as many random kernels."""
    _, rows, _ = most_alike(layer, bank, shown=1)
    _, random = random_alike(len(layer.kernels), layer.subject.kernels.shape[-1], bank)
    best = rows.iloc[0]
    return str(best["best"]), float(best["best_abs_cos"]), float(random["best_abs_cos"].iloc[0])


def lead_title(layers: list[LayerMeasures], banks: list[Bank]) -> str:
    """The best match beside the best random one."""
    if not all(banks):
        return "Kernels of this size have no hand-crafted ones to be held against"
    if len(layers) > 1:
        told = [
            f"{layer.subject.name} {cosine:.2f} (the best of as many random kernels {random:.2f})"
            for layer, bank in zip(layers, banks, strict=True)
            for _, cosine, random in [_best_match(layer, bank)]
        ]
        return f"Largest cosine with a hand-crafted kernel: {'; '.join(told)}"
    name, cosine, random = _best_match(layers[0], banks[0])
    return (
        f"The kernel most like a hand-crafted one has a cosine of {cosine:.2f} with {name}, the best of "
        f"as many random kernels {random:.2f}"
    )


def symmetry_title(layers: list[LayerMeasures]) -> str:
    """How much of the energy is gradient-like."""
    told = []
    for layer in layers:
        row = layer.layer.set_index("measure").loc["odd"]
        of = f" of {layer.subject.name}" if len(layers) > 1 else ""
        told.append(
            f"{row['value']:.0%} of the energy{of} is gradient-like, by chance {row['chance']:.0%}"
        )
    return "; ".join(told)


def portrait_title(layers: list[LayerMeasures]) -> str:
    told = []
    for layer in layers:
        a = layer.a
        if a is None:
            continue
        of = f"{layer.subject.name}: " if len(layers) > 1 else ""
        known = f"{a.a:.2f}, {position_of(a.a)}" if np.isfinite(a.phi) else "not known"
        told.append(f"{of}a of the kernels together is {known}")
    return "; ".join(told) or "Orientation and a of every kernel"


def fits_title(layers: list[LayerMeasures]) -> str:
    told = []
    for layer in layers:
        live = layer.kernels[layer.kernels["live"]]
        of = f"{layer.subject.name}: " if len(layers) > 1 else ""
        count = int((live["gauss1_q"] <= layer.verdict.level).sum())
        told.append(
            f"{of}{count} of {len(live)} kernels are first Gaussian derivatives beyond noise"
        )
    return "; ".join(told)


def colour_title(layer: LayerMeasures) -> str:
    """How much of the filters' energy is the same in all channels."""
    rows = layer.layer.set_index("measure")
    if "achromatic" not in rows.index:
        return "the filters hold nothing"
    return (
        f"{rows.loc['achromatic', 'value']:.0%} of the filters' energy is achromatic, by chance 33%"
    )
