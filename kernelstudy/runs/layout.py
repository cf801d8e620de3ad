"""What a run's files must hold to be reported, checked before anything is made of them.

A run directory may come from anybody (`untrusted`): what is said here of names, types and sizes is all that
measures, figures and pages rely on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelstudy.config import KERNEL_SIZES, METRICS, STRIDES
from kernelstudy.handcrafted import names as bank_names
from kernelstudy.system.errors import RunError

if TYPE_CHECKING:
    import xarray as xr

_NET = ("arm", "seed", "step")
# Variables and their dims; those in brackets may be there.
VARIABLES = {
    "kernel": (*_NET, "ky", "kx", "cin", "cout"),
    "train_loss": _NET,
    "test_accuracy": _NET,
    "diverged": ("arm", "seed"),
    "patch_eigenvalue": ("[arm]", "component"),
    "patch_basis": ("[arm]", "component", "ky", "kx"),
}
_WATCHED = ("arm", "probe_seed", "step")
# Of layer {i}, where layers were watched (`training.watch`); the others are there once.
OF_LAYERS = {
    "feature_map_{i}": (*_WATCHED, "probe", "y_{i}", "x_{i}", "map_channel_{i}"),
    "grating_{i}": (*_WATCHED, "orientation", "frequency", "channel_{i}"),
    "stimulus_{i}": (*_WATCHED, "stimulus", "statistic", "channel_{i}"),
    "feature_{i}": (*_WATCHED, "example", "cell_{i}", "channel_{i}"),
    "top_value_{i}": (*_WATCHED, "rank", "channel_{i}"),
    "top_example_{i}": (*_WATCHED, "rank", "channel_{i}"),
    "top_place_{i}": (*_WATCHED, "rank", "axis", "channel_{i}"),
}
# Of layer {i} from the second on.
OF_DEEPER_LAYERS = {
    "kernel_{i}": (*_WATCHED, "ky_{i}", "kx_{i}", "channel_{before}", "channel_{i}"),
}
WITH_LAYERS = {
    "probe_image": ("[arm]", "probe", "row", "column", "colour"),
    "probe_label": ("probe",),
    "probe_part": ("probe",),
    "example_image": ("[arm]", "example", "row", "column", "colour"),
    "example_label": ("example",),
    "orientation": ("orientation",),
    "frequency": ("frequency",),
    "statistic": ("statistic",),
    "stimulus_kind": ("stimulus",),
    "stimulus_direction": ("stimulus",),
    "stimulus_polarity": ("stimulus",),
}
_WORDS = ("probe_part", "statistic", "stimulus_kind")
_KINDS = {"kernel": "f", "diverged": "b", "arm": "U", "seed": "iu", "step": "iu"}


def check_dataset(found: xr.Dataset, where: Path) -> None:
    """Hold a trajectory to the variables, dims and types that runs write.

    Raises:
        RunError: for the first that differs.
    """

    def refuse(what: str) -> RunError:
        return RunError(f"{where} is no trajectory of a run: {what}")

    for name, dims in VARIABLES.items():
        if name not in found.data_vars:
            raise refuse(f"there is no {name}")
        must = {dim for dim in dims if not dim.startswith("[")}
        may = {dim.strip("[]") for dim in dims}
        if not must <= set(found[name].dims) <= may:
            raise refuse(f"{name} has the dims {', '.join(map(str, found[name].dims))[:200]}")
    for name in (*VARIABLES, *_NET):
        if name not in found.variables or found[name].dtype.kind not in _KINDS.get(name, "fiub"):
            raise refuse(f"{name} is not there, or of the wrong type")
    if any(size < 1 for size in found.sizes.values()):
        raise refuse("it has an axis without entries")
    _check_layers(found, refuse)
    if found.sizes["ky"] != found.sizes["kx"] or found.sizes["ky"] not in KERNEL_SIZES:
        raise refuse("its kernels are not square and of a size that is studied")
    for name in _NET:
        values = found[name].values
        if found[name].dims != (name,) or len(set(values.tolist())) != len(values):
            raise refuse(f"{name} is not one distinct value for each entry")
    steps = found["step"].values
    if steps[0] != 0 or (steps[1:] <= steps[:-1]).any():
        raise refuse("its steps do not start at 0 and grow")


def _check_layers(found: xr.Dataset, refuse: Callable[[str], RunError]) -> None:
    """The same for what layers 1, 2, ... showed, where any was watched."""
    if "feature_1" not in found.data_vars:
        return
    layers = [i for i in range(1, 6) if f"feature_{i}" in found.data_vars]
    if layers != list(range(1, len(layers) + 1)):
        raise refuse("a layer between others was not watched")
    wanted = WITH_LAYERS | {
        name.format(i=i): tuple(dim.format(i=i, before=i - 1) for dim in dims)
        for i in layers
        for name, dims in (OF_LAYERS | (OF_DEEPER_LAYERS if i > 1 else {})).items()
    }
    for name, dims in wanted.items():
        must = {dim for dim in dims if not dim.startswith("[")}
        if name not in found.variables or not must <= set(found[name].dims) <= {
            dim.strip("[]") for dim in dims
        }:
            raise refuse(f"{name} is not there, or has other dims")
        if found[name].dtype.kind not in ("UT" if name in _WORDS else "fiu"):
            raise refuse(f"{name} is of the wrong type")
    sizes, seeds = found.sizes, found["probe_seed"].values.tolist()
    if seeds != found["seed"].values.tolist()[: len(seeds)] or sizes["statistic"] != 2:
        raise refuse("the networks that were watched are not the first")
    if not {"edge", "bar", "corner", "blob"} <= set(found["stimulus_kind"].values.tolist()):
        raise refuse("stimuli are missing")
    if "test" not in found["probe_part"].values or sizes["orientation"] % 2:
        raise refuse("its probes or gratings are not those of runs")
    if len(set(found["example_label"].values.tolist())) < 2:
        raise refuse("its examples are of one class")
    for i in layers:
        if i > 1 and sizes[f"ky_{i}"] != sizes[f"kx_{i}"]:
            raise refuse(f"kernel_{i} is not square")
        top, place = found[f"top_example_{i}"].values, found[f"top_place_{i}"].values
        if top.dtype.kind != "i" or not ((top >= 0) & (top < sizes["example"])).all():
            raise refuse(f"top_example_{i} names no examples")
        if place.dtype.kind != "i" or (place < 0).any():
            raise refuse(f"top_place_{i} names no places")
        if sizes[f"map_channel_{i}"] > sizes[f"channel_{i}"]:
            raise refuse(f"feature_map_{i} has more channels than the layer")


def check_settings(settings: dict[str, Any], where: Path) -> None:
    """Hold config.yaml to what a report makes use of; RunError for the first entry that differs."""
    known = set(bank_names())
    plain = (str, int, float, bool, type(None))
    _check(
        settings,
        where,
        {
            "name": lambda v: isinstance(v, str) and v.isprintable() and not set(v) & set("<>/\\"),
            "steps": _count,
            "batch_size": _count,
            "bank.kernels": lambda v: isinstance(v, list) and v and set(map(str, v)) <= known,
            "bank.metric": lambda v: v in METRICS,
            "model": lambda v: (
                isinstance(v, dict)
                and v.get("kernel_size") in KERNEL_SIZES
                and v.get("stride", 1) in STRIDES
            ),
            "arms": lambda v: (
                isinstance(v, list)
                and all(
                    isinstance(arm, dict)
                    and {"init", "labels", "first_layer"} <= arm.keys()
                    and all(isinstance(k, str) and isinstance(e, plain) for k, e in arm.items())
                    for arm in v
                )
            ),
        },
    )


def check_provenance(provenance: dict[str, Any], where: Path) -> None:
    """Hold provenance.json to what a report makes use of; RunError for the first entry that differs."""
    text = {"device", "data.name", "data.source", "data.sha256"}
    counts = {"data.train", "data.test", "data.classes"}
    _check(
        provenance,
        where,
        {
            "command": _is_command,
            **{key: lambda v: isinstance(v, str) for key in text},
            **dict.fromkeys(counts, _count),
            "data.image_shape": lambda v: isinstance(v, list) and all(map(_count, v)),
            "packages": lambda v: (
                v is None
                or (isinstance(v, dict) and all(isinstance(version, str) for version in v.values()))
            ),
        },
    )


def _check(found: dict[str, Any], where: Path, wanted: dict[str, Callable[[Any], object]]) -> None:
    for key, is_right in wanted.items():
        value: Any = found
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not is_right(value):
            shown = repr(value)[:80]
            raise RunError(f"{where}: {key}: {shown} is not what a run writes there")


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_command(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(shlex.split(value))
    except ValueError:
        return False
