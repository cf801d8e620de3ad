"""Whatever a user names, opened: a file, a directory, a run, a module or an array, as one layer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.system.errors import printable
from kernelstudy.weights import modules, stem
from kernelstudy.weights.choice import choose, rivals
from kernelstudy.weights.isolated import read_isolated
from kernelstudy.weights.layer import LAYOUTS, Layer, Network, WeightsError, with_layout
from kernelstudy.weights.limits import Limits

from . import run_directory

MOST_KERNELS, LONGEST_KERNEL = 2**14, 128


@dataclass(frozen=True)
class Opened:
    """One layer to be measured.

    `kernels` (net, *space, in, out), of two dimensions unless `axes` names others; `rounding` (out,)
    quantisation steps or None; `dtype` as stored; `known`: start, patch_basis and seeds, of a run; `facts` tell
    which layer this is, `details` and `notes` are for the report; `listing`: the layers seen.
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
    dtype: str = ""
    axes: str = "yx"


def listing(source: Any, limits: Limits, layout: str = "auto") -> list[str]:
    """One line a layer (or a run's arms, seeds and steps), without reading weights."""
    if isinstance(source, str | Path):
        path, parts = run_directory.split(str(source))
        if run_directory.is_run(path):
            return _run_listing(run_directory.read(path, parts))
        _refuse_parts(path, parts)
        network = read_isolated(path, limits, wanted="none").network
    else:
        network = modules.read(source)
    network = _in_layout(network, layout)
    return [layer.describe() for layer in network.layers]


def network_of(
    source: Any, limits: Limits, layout: str = "auto"
) -> tuple[str, Network, dict[str, Any]]:
    """A name, all layers, and what the provenance says, of a file, a directory or a module."""
    if isinstance(source, str | Path):
        path, parts = run_directory.split(str(source))
        if run_directory.is_run(path):
            raise WeightsError("--layers: a run directory holds its first layer alone")
        _refuse_parts(path, parts)
        network = read_isolated(path, limits, layout=layout, wanted="all").network
        network = _in_layout(network, layout)
        known = {"file": path.name, "sha256": _digest(path)} if path.is_file() else {}
        return printable(path.name), network, {"format": network.format, **known}
    if modules.is_array(source):
        raise WeightsError("layers='all' is of a network: an array is one layer")
    network = _in_layout(modules.read(source), layout)
    return type(source).__name__, network, {"format": network.format}


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
        found = read_isolated(path, limits, layer=layer, layout=layout)
        network = _in_layout(found.network, layout)
        chosen = network.layers[found.chosen or 0], found.why
        return _open_network(network, chosen, layer, name or path.name, path)
    if modules.is_array(source):
        return _open_array(source, layout, name)
    network = _in_layout(modules.read(source), layout)
    return _open_network(network, choose(network, layer), layer, name or type(source).__name__)


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
    values = modules.as_numpy(source)
    kernels, layout = kernels_of_array(values, layout, torch=hasattr(source, "detach"))
    facts = [
        (
            "Weights",
            f"an array {' x '.join(map(str, values.shape))}, {values.dtype}, read as {layout}",
        )
    ]
    kernels, axes, note = without_single_axes(kernels)
    return Opened(
        name=name or "kernels",
        kernels=kernels,
        rounding=None,
        facts=facts,
        notes=[*note, *_notes(kernels, None)],
        listing=[],
        dtype=str(values.dtype),
        axes=axes,
    )


def kernels_of_array(values: np.ndarray, layout: str, *, torch: bool) -> tuple[np.ndarray, str]:
    """(net, kh, kw, in, out), and the order of axes as which `values` was read: never a guess."""
    if values.ndim in (3, 5) and layout != "auto":
        return Layer("kernels", values.shape, layout, lambda: values).kernels()[None], layout
    if values.ndim == 5:
        raise WeightsError(
            f"an array of five axes {values.shape} may be several networks' kernels or 3-D ones: give one "
            "network's (kh, kw, in, out), the path of a run for several, or a layout for 3-D ones, 'hwio' "
            "where it is (kd, kh, kw, in, out) and 'oihw' where it is (out, in, kd, kh, kw)"
        )
    if values.ndim == 3:
        raise WeightsError(
            f"an array of three axes {values.shape} may be 1-D kernels: give layout='hwio' where it is "
            "(k, in, out), 'oihw' where it is (out, in, k)"
        )
    if values.ndim != 4:
        raise WeightsError(f"kernels must be (kh, kw, in, out), not {values.shape}")
    square = {"hwio": values.shape[:2], "oihw": values.shape[2:]}
    fits = [way for way, (kh, kw) in square.items() if kh == kw > 1]
    if layout == "auto" and not torch and len(fits) > 1:
        raise WeightsError(
            f"kernels {values.shape} may be (kh, kw, in, out) or (out, in, kh, kw): give layout='hwio' "
            "(Flax, Keras) or layout='oihw' (PyTorch)"
        )
    usual = "oihw" if torch else "hwio"  # torch's own order; NumPy's and JAX's is Flax's
    if layout == "auto" and fits and usual not in fits:
        raise WeightsError(
            f"kernels {values.shape} read as {usual} are not square: is layout='{fits[0]}' meant, "
            f"{'the order of Flax and Keras' if torch else 'the order of PyTorch'}?"
        )
    layout = usual if layout == "auto" else layout
    return Layer("kernels", values.shape, layout, lambda: values).hwio()[None], layout


def _open_network(
    network: Network,
    chosen: tuple[Layer, str],
    layer: str | None,
    name: str,
    path: Path | None = None,
) -> Opened:
    """`chosen` as `choose` answers for `layer`."""
    selection, why = chosen
    _check_measurable(selection)
    kernels = selection.kernels()
    step = selection.steps()
    notes = []
    if kernels.ndim == 4 and (layer is None or stem.is_named(selection.name)):
        kernels, stem_note = stem.unfold(kernels, network.family)
        notes = [stem_note] if stem_note else []
    kernels, axes, note = without_single_axes(kernels[None])
    notes += note
    others = len(network.layers) - 1
    name = printable(name)
    description = f"{name}, {network.format}"
    provenance = {"format": network.format, "layer": selection.name, "shape": list(selection.shape)}
    if path is not None and path.is_file():
        provenance |= {"file": path.name, "sha256": _digest(path)}
        description += f", sha256 {provenance['sha256'][:16]}"
    facts = [
        ("Weights", description),
        ("Layer", f"{selection.describe()}; {why}"),
        ("Others seen", f"{others} more convolutions" if others else "none"),
        *_candidates(network, selection),
    ]
    details = [
        *network.facts,
        *([("Stride", "not in this format")] if selection.stride is None else []),
    ]
    return Opened(
        name=name,
        kernels=kernels,
        rounding=step,
        # names come from the file, and go to the terminal and to pages
        facts=[(fact, printable(value)) for fact, value in facts],
        details=[(printable(fact), printable(value)) for fact, value in details],
        notes=[*notes, *selection.notes, *_notes(kernels, step, selection)],
        listing=[other.describe() for other in network.layers],
        provenance=provenance,
        dtype=selection.dtype,
        axes=axes,
    )


def without_single_axes(kernels: np.ndarray) -> tuple[np.ndarray, str, list[str]]:
    """Kernels (net, *space, in, out) less their axes of one tap, the names of those left, and a note on it.

    An axis of one tap has no shape: 1 x n is of one dimension, 1 x 3 x 3 of two. Of 1 x 1 nothing is taken.
    """
    space = kernels.shape[1:-2]
    names = "zyx"[-len(space) :]
    left = [i for i, n in enumerate(space) if n > 1]
    if len(left) == len(space) or not left:
        return kernels, names, []
    kept = kernels.reshape(len(kernels), *(space[i] for i in left), *kernels.shape[-2:])
    axes = "".join(names[i] for i in left)
    gone = " and ".join(name for name in names if name not in axes)
    size = "x".join(map(str, space))
    return kept, axes, [f"The kernels are {size}: along {gone} they have one tap, and so no shape."]


def _candidates(network: Network, selection: Layer) -> list[tuple[str, str]]:
    """What else looked like the layer that sees the image, in a line of the report's head."""
    found = rivals(network, selection)
    if not found:
        return []
    more = f"; {len(found) - 5} more" if len(found) > 5 else ""
    return [("Candidates too", "; ".join(one.describe() for one in found[:5]) + more)]


def _check_measurable(layer: Layer) -> None:
    """WeightsError for a layer that no network begins with, and whose measures would take hours."""
    *space, _, cout = layer.shape_of_kernels() or (1, 1, 1, 1)
    if cout > MOST_KERNELS or (len(space) == 2 and max(space) > LONGEST_KERNEL):
        raise WeightsError(
            f"{layer.name} has {cout:,} kernels of {' x '.join(map(str, space))}: at most {MOST_KERNELS:,} of "
            f"{LONGEST_KERNEL} x {LONGEST_KERNEL} are measured"
        )


def _in_layout(network: Network, layout: str) -> Network:
    layers = tuple(with_layout(layer, layout) for layer in network.layers)
    return Network(**{**network.__dict__, "layers": layers})


def _notes(kernels: np.ndarray, step: np.ndarray | None, layer: Layer | None = None) -> list[str]:
    """What a reader should know of these weights."""
    notes = []
    cin = kernels.shape[-2]
    if cin == 3:
        notes.append(
            "Whether the channels are R, G, B or B, G, R is not in the file; only how chromatic energy divides "
            "into red-green and blue-yellow depends on it."
        )
    if cin > 1:
        notes.append(
            "Each filter is measured by its dominant spatial profile; colour_share in kernels.csv is the part "
            "of its energy that the profile holds."
        )
    if layer is not None and layer.role:
        notes.append(f"This array is {layer.role}.")
    if layer is not None and layer.transposed:
        notes.append("A transposed convolution: its kernels are what it paints, not what it sees.")
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
    """WeightsError where a path that is no run is to have parts of one, or holds runs."""
    if several := run_directory.runs_in(path):
        count = "a run" if len(several) == 1 else f"{len(several)} runs"
        raise WeightsError(f"{path} holds {count}: name the one that is meant, as {several[0]}")
    if parts:
        after = ":".join(parts)
        raise WeightsError(f"{path} is no run directory, so nothing can follow it: {after}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
