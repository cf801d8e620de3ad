"""Whatever a user names, opened: a file, a directory, a run, a module or an array, as one layer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.system.errors import printable
from kernelstudy.weights import modules, stem
from kernelstudy.weights.choice import choose
from kernelstudy.weights.isolated import read_isolated
from kernelstudy.weights.layer import LAYOUTS, Layer, Network, WeightsError, with_layout
from kernelstudy.weights.limits import Limits

from . import run_directory

MOST_KERNELS, LONGEST_KERNEL = 2**14, 128


@dataclass(frozen=True)
class Opened:
    """One layer to be measured.

    `kernels` (net, kh, kw, in, out); `rounding` (out,) quantisation steps or None; `known`: start,
    patch_basis and seeds, of a run; `facts` tell which layer this
    is, `details` and `notes` are for the report; `listing`: the layers seen.
    """

    name: str
    kernels: np.ndarray
    rounding: np.ndarray | None
    facts: list[tuple[str, str]]
    notes: list[str]
    listing: list[str]
    details: list[tuple[str, str]] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def listing(source: Any, limits: Limits, layout: str = "auto") -> list[str]:
    """One line a layer (or a run's arms, seeds and steps), without reading weights."""
    if isinstance(source, str | Path):
        path, parts = run_directory.split(str(source))
        if run_directory.is_run(path):
            return _run_listing(run_directory.read(path, parts))
        _refuse_parts(path, parts)
        network = read_isolated(path, limits, weights=False)
    else:
        network = modules.read(source)
    network = _in_layout(network, layout)
    return [layer.describe() for layer in network.layers]


def open_any(
    source: Any,
    limits: Limits,
    *,
    layer: str | None = None,
    layout: str = "auto",
    name: str | None = None,
) -> Opened:
    """The layer of `source` to be measured.

    Raises:
        WeightsError: it cannot be read, has no such layer, or nothing that sees an image.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise WeightsError(f"layout: {layout!r} is not one of auto, {', '.join(LAYOUTS)}")
    if isinstance(source, str | Path):
        path, parts = run_directory.split(str(source))
        if run_directory.is_run(path):
            return _open_run(path, parts, layer, name)
        _refuse_parts(path, parts)
        network = read_isolated(path, limits, layer=layer, layout=layout)
        return _open_network(network, layer, layout, name or path.name, path)
    if modules.is_array(source):
        return _open_array(source, layout, name)
    return _open_network(modules.read(source), layer, layout, name or type(source).__name__)


def _open_run(path: Path, parts: list[str], layer: str | None, name: str | None) -> Opened:
    if layer is not None:
        raise WeightsError(
            "--layer: a run directory holds its first layer alone; name RUN:arm:seed:step"
        )
    run = run_directory.read(path, parts)
    count = len(run.seeds)
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    facts = [
        ("Run", str(path)),
        ("Networks", f"arm {run.arm}, {seeds}, step {run.step:,}"),
        ("Others", f"arms {', '.join(run.arms)}"),
    ]
    known = {"start": run.start, "patch_basis": run.patch_basis, "seeds": run.seeds}
    return Opened(
        name=name or run.arm,
        kernels=run.kernels,
        rounding=None,
        facts=facts,
        notes=[],
        listing=_run_listing(run),
        known=known,
    )


def _run_listing(run: run_directory.RunKernels) -> list[str]:
    return [
        *(f"arm {arm}" for arm in run.arms),
        f"seeds {', '.join(map(str, run.seeds))}",
        f"steps {', '.join(map(str, run.steps))}",
    ]


def _open_array(source: Any, layout: str, name: str | None) -> Opened:
    # torch's own order, unless told otherwise; NumPy's and JAX's is Flax's
    layout = ("oihw" if hasattr(source, "detach") else "hwio") if layout == "auto" else layout
    values = modules.as_numpy(source)
    if values.ndim not in (4, 5):
        raise WeightsError(f"kernels must be (kh, kw, in, out), not {values.shape}")
    if values.ndim == 5:
        kernels = np.asarray(values, dtype=float)
    else:
        kernels = Layer(name or "kernels", values.shape, layout, lambda: values).hwio()[None]
    if kernels.shape[1] != kernels.shape[2] and values.shape[-1] == values.shape[-2]:
        raise WeightsError(
            f"kernels {values.shape} read as {layout} are not square: is layout='oihw' meant, PyTorch's order?"
        )
    facts = [
        (
            "Weights",
            f"an array {' x '.join(map(str, values.shape))}, {values.dtype}, read as {layout}",
        )
    ]
    return Opened(
        name=name or "kernels",
        kernels=kernels,
        rounding=None,
        facts=facts,
        notes=_notes(kernels, None),
        listing=[],
    )


def _open_network(
    network: Network, layer: str | None, layout: str, name: str, path: Path | None = None
) -> Opened:
    network = _in_layout(network, layout)
    selection, why = choose(network, layer)
    _check_measurable(selection)
    kernels = selection.hwio()
    step = selection.steps()
    kernels, stem_note = stem.unfold(kernels, network.family)
    notes = [stem_note] if stem_note else []
    others = len(network.layers) - 1
    description = f"{name}, {network.format}"
    provenance = {"format": network.format, "layer": selection.name, "shape": list(selection.shape)}
    if path is not None and path.is_file():
        provenance |= {"file": path.name, "sha256": _digest(path)}
        description += f", sha256 {provenance['sha256'][:16]}"
    facts = [
        ("Weights", description),
        ("Layer", f"{selection.describe()}; {why}"),
        ("Others seen", f"{others} more with 4-d weights" if others else "none"),
    ]
    details = [
        *network.facts,
        *([("Stride", "not in this format")] if selection.stride is None else []),
    ]
    return Opened(
        name=name,
        kernels=kernels[None],
        rounding=step,
        # names come from the file, and go to the terminal and to pages
        facts=[(fact, printable(value)) for fact, value in facts],
        details=[(printable(fact), printable(value)) for fact, value in details],
        notes=[*notes, *selection.notes, *_notes(kernels[None], step, selection)],
        listing=[other.describe() for other in network.layers],
        provenance=provenance,
    )


def _check_measurable(layer: Layer) -> None:
    """WeightsError for a layer that no network begins with, and whose measures would take hours."""
    kh, kw, _, cout = layer.shape_hwio() or (1, 1, 1, 1)
    if cout > MOST_KERNELS or max(kh, kw) > LONGEST_KERNEL:
        raise WeightsError(
            f"{layer.name} has {cout:,} kernels of {kh} x {kw}: at most {MOST_KERNELS:,} of {LONGEST_KERNEL} x "
            f"{LONGEST_KERNEL} are measured"
        )


def _in_layout(network: Network, layout: str) -> Network:
    layers = tuple(with_layout(layer, layout) for layer in network.layers)
    return Network(**{**network.__dict__, "layers": layers})


def _notes(kernels: np.ndarray, step: np.ndarray | None, layer: Layer | None = None) -> list[str]:
    """What a reader should know of these weights."""
    notes = []
    cin = kernels.shape[3]
    if cin == 3:
        notes.append(
            "Whether the channels are R, G, B or B, G, R is not in the file; no measure here depends on it."
        )
    if cin > 1:
        notes.append(
            "Each filter is measured by its dominant spatial profile; colour_share in kernels.csv is the part "
            "of its energy that the profile holds."
        )
    if layer is not None and layer.depthwise:
        notes.append("A depthwise layer: every filter sees one channel.")
    if step is not None and step.any():
        notes.append(
            "The weights are quantised; a true weight lies within half a step of the stored one, and the "
            "interval of a is widened by that. rounding_share in kernels.csv is the part of a kernel's energy "
            "that rounding can have made."
        )
    return notes


def _refuse_parts(path: Path, parts: list[str]) -> None:
    if parts:
        after = ":".join(parts)
        raise WeightsError(f"{path} is no run directory, so nothing can follow it: {after}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
