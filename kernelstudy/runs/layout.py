"""What a run's files must hold to be reported, checked before they are used.

A run directory may come from anybody (`untrusted`): what is said here of names, types and sizes is all that
measures, figures and pages rely on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelstudy.analysis import variables
from kernelstudy.analysis.fields import FIELDS, are_fields
from kernelstudy.analysis.variables import RECORDED, Variable
from kernelstudy.config import DEPTHS, KERNEL_SIZES
from kernelstudy.data import corruptions
from kernelstudy.system.errors import ConfigError, RunError

if TYPE_CHECKING:
    import xarray as xr

MOST_LAYERS = max(DEPTHS)


def check_dataset(trajectory: xr.Dataset, path: Path) -> None:
    """Check a trajectory for the variables, dims and types that runs write (`analysis.variables`).

    Raises:
        RunError: for the first that differs.
    """

    def refuse(what: str) -> RunError:
        return RunError(f"{path} is no trajectory of a run: {what}")

    layers = [i for i in range(1, MOST_LAYERS + 1) if f"feature_{i}" in trajectory.variables]
    if layers != list(range(1, len(layers) + 1)):
        raise refuse("a layer between others was not watched")
    required_variables = variables.all_of(len(layers))
    recorded = bool(trajectory.attrs.get(RECORDED, False))
    optional = variables.VALIDATION | (variables.PATCHES if recorded else {})
    if recorded or FIELDS in trajectory.attrs:  # kernels of deeper layers may not be logged
        optional |= {f"kernel_{i}": required_variables.pop(f"kernel_{i}") for i in layers[1:]}
    if layers:
        optional |= variables.DENSE
    required_variables |= {k: v for k, v in optional.items() if k in trajectory.variables}
    if set(variables.CHANGED) & set(trajectory.variables):
        required_variables |= variables.CHANGED
    if not recorded or set(variables.PATCHES) & set(trajectory.variables):
        required_variables |= variables.PATCHES
    for name, variable in required_variables.items():
        _check_variable(trajectory, name, variable, refuse)
    if any(size < 1 for size in trajectory.sizes.values()):
        raise refuse("it has an axis without entries")
    size = trajectory.sizes["ky"]
    if size != trajectory.sizes["kx"] or size not in KERNEL_SIZES:
        raise refuse("its kernels are not square and of a size that is studied")
    for name in (*variables.NET, *({"test"} & set(trajectory.variables))):
        values = trajectory[name].values
        if len(set(values.tolist())) != len(values):
            raise refuse(f"{name} is not one distinct value for each entry")
    steps = trajectory["step"].values
    # a recording starts where its network was first seen
    if steps[0] < 0 or (steps[0] and not recorded) or (np.diff(steps) <= 0).any():
        raise refuse("its steps do not start at 0 and grow")
    if layers:
        _check_subjects(trajectory, refuse, recorded=recorded)
    for number in layers:
        _check_layer(trajectory, number, refuse)
    _check_tests(trajectory, refuse)
    _check_values(trajectory, refuse)


def _check_tests(trajectory: xr.Dataset, refuse: Callable[[str], RunError]) -> None:
    """The names of changed test images are those of a config: they stand in figures and pages."""
    try:
        for test in trajectory["test"].values if "test" in trajectory.variables else ():
            corruptions.parse("test", str(test))
    except ConfigError as error:
        raise refuse(str(error)) from error


def _check_values(trajectory: xr.Dataset, refuse: Callable[[str], RunError]) -> None:
    """What measures rest on, of values that networks of any kind have."""
    for name in ("test_accuracy", "val_accuracy", "changed_accuracy"):
        values = trajectory[name].values if name in trajectory.variables else np.zeros(1)
        if not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
            raise refuse(f"{name} is no share")
    sizes = trajectory.sizes
    if sizes.get("component", sizes["ky"] * sizes["kx"]) != sizes["ky"] * sizes["kx"]:
        raise refuse("patch_basis is no basis of the patches")
    for name in set(variables.PATCHES) & set(trajectory.variables):
        if not np.isfinite(trajectory[name].values).all():
            raise refuse(f"{name} is not finite")


def _check_variable(
    trajectory: xr.Dataset, name: str, variable: Variable, refuse: Callable[[str], RunError]
) -> None:
    if name not in trajectory.variables:
        raise refuse(f"there is no {name}")
    dims, required = set(trajectory[name].dims), set(variable.dims)
    if not required <= dims <= required | ({"arm"} if variable.by_arm else set()):
        raise refuse(f"{name} has the dims {', '.join(map(str, trajectory[name].dims))[:200]}")
    if trajectory[name].dtype.kind not in variable.kinds:
        raise refuse(f"{name} is of the wrong type")


def _check_subjects(
    trajectory: xr.Dataset, refuse: Callable[[str], RunError], *, recorded: bool
) -> None:
    """The images that layers were watched on."""
    if (recorded or FIELDS in trajectory.attrs) and not _has_fields(trajectory):
        raise refuse("the receptive fields of its layers are missing")
    sizes, seeds = trajectory.sizes, trajectory["probe_seed"].values.tolist()
    if seeds != trajectory["seed"].values.tolist()[: len(seeds)] or sizes["statistic"] != 2:
        raise refuse("the networks that were watched are not the first")
    if not {"edge", "bar", "corner", "blob"} <= set(trajectory["stimulus_kind"].values.tolist()):
        raise refuse("stimuli are missing")
    if "test" not in trajectory["probe_part"].values or sizes["orientation"] % 2:
        raise refuse("its probes or gratings are not those of runs")
    if len(set(trajectory["example_label"].values.tolist())) < 2 and not recorded:
        raise refuse("its examples are of one class")


def _has_fields(trajectory: xr.Dataset) -> bool:
    try:
        fields = json.loads(trajectory.attrs.get(FIELDS, ""))
    except (TypeError, ValueError, RecursionError):
        return False
    return are_fields(fields) and len(fields) == len(variables.layers_of(trajectory))


def _check_layer(trajectory: xr.Dataset, number: int, refuse: Callable[[str], RunError]) -> None:
    """The variables of one layer."""
    sizes = trajectory.sizes
    top, positions = (
        trajectory[f"top_example_{number}"].values,
        trajectory[f"top_place_{number}"].values,
    )
    if not ((top >= 0) & (top < sizes["example"])).all():
        raise refuse(f"top_example_{number} names no examples")
    if (positions < 0).any():
        raise refuse(f"top_place_{number} names no places")
    if sizes[f"map_channel_{number}"] > sizes[f"channel_{number}"]:
        raise refuse(f"feature_map_{number} has more channels than the layer")
    side = f"ky_{number}"
    if number > 1 and side in sizes and sizes[side] != sizes[f"kx_{number}"]:
        raise refuse(f"kernel_{number} is not square")


def check_provenance(provenance: dict[str, Any], path: Path) -> None:
    """Check what a report uses of provenance.json; RunError for the first entry that is wrong."""
    text = {"device", "data.name", "data.source", "data.sha256"}
    counts = {"data.train", "data.test", "data.classes"}
    _check(
        provenance,
        path,
        {
            "command": _is_command,
            **{key: lambda v: isinstance(v, str) for key in text},
            **dict.fromkeys(counts, _count),
            "data.image_shape": lambda v: isinstance(v, list) and all(map(_count, v)),
            "data.left_out": lambda v: (
                v is None or (isinstance(v, dict) and _count(v.get("count")))
            ),
            "starts": lambda v: (
                v is None or (isinstance(v, dict) and all(map(_is_source, v.values())))
            ),
            "network": _is_network,
            "packages": lambda v: (
                v is None
                or (isinstance(v, dict) and all(isinstance(version, str) for version in v.values()))
            ),
        },
    )


def _check(content: dict[str, Any], path: Path, rules: dict[str, Callable[[Any], object]]) -> None:
    for key, is_right in rules.items():
        value: Any = content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not is_right(value):
            excerpt = repr(value)[:80]
            raise RunError(f"{path}: {key}: {excerpt} is not what a run writes there")


def _is_source(value: Any) -> bool:
    keys = ("path", "sha256")
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)


def _is_network(value: Any) -> bool:
    """Whether it is what a run writes of a network of one's own, or None."""
    if value is None:
        return True
    watched = value.get("watched", {"layers": []}) if isinstance(value, dict) else None
    layers = watched.get("layers") if isinstance(watched, dict) else None
    return isinstance(layers, list) and all(isinstance(name, str) for name in layers)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_command(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(shlex.split(value))
    except ValueError:
        return False
