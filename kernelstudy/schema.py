"""What a run's files must hold to be reported, checked before anything is made of them.

A run directory may come from anybody (`untrusted`): what is said here of names, types and sizes is all that
measures, figures and pages rely on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelstudy.config import KERNEL_SIZES, METRICS
from kernelstudy.handcrafted import names as bank_names
from kernelstudy.untrusted import RunError

if TYPE_CHECKING:
    import xarray as xr

_NET = ("arm", "seed", "step")
# Variables and their dims; those in brackets may be there.
VARIABLES = {
    "kernel": (*_NET, "ky", "kx", "cin", "cout"),
    "train_loss": _NET,
    "test_accuracy": _NET,
    "diverged": ("arm", "seed"),
    "feature_map": ("arm", "step", "probe", "y", "x", "channel"),
    "probe_image": ("[arm]", "probe", "row", "column", "colour"),
    "probe_label": ("probe",),
    "patch_eigenvalue": ("[arm]", "component"),
    "patch_basis": ("[arm]", "component", "ky", "kx"),
}
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
    if found.sizes["ky"] != found.sizes["kx"] or found.sizes["ky"] not in KERNEL_SIZES:
        raise refuse("its kernels are not square and of a size that is studied")
    for name in _NET:
        values = found[name].values
        if found[name].dims != (name,) or len(set(values.tolist())) != len(values):
            raise refuse(f"{name} is not one distinct value for each entry")
    steps = found["step"].values
    if steps[0] != 0 or (steps[1:] <= steps[:-1]).any():
        raise refuse("its steps do not start at 0 and grow")


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
            "arms": lambda v: (
                isinstance(v, list)
                and all(
                    isinstance(arm, dict)
                    and "labels" in arm
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
