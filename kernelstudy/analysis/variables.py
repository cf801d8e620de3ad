"""The variables of a trajectory: the one table that its writer, its checker and its readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr  # slow to import: a run directory is opened without it

NET = ("arm", "seed", "step")
WATCHED = ("arm", "probe_seed", "step")


class Variable(NamedTuple):
    """`kinds`: of its NumPy type. `by_arm`: with a leading axis of arms where they see their images in
    several variants."""

    dims: tuple[str, ...]
    kinds: str
    by_arm: bool = False


# Of every trajectory; val_accuracy where images were held out to validate.
ALWAYS = {
    "kernel": Variable((*NET, "ky", "kx", "cin", "cout"), "f"),
    "train_loss": Variable(NET, "f"),
    "test_accuracy": Variable(NET, "f"),
    "diverged": Variable(("arm", "seed"), "b"),
    "patch_eigenvalue": Variable(("component",), "f", by_arm=True),
    "patch_basis": Variable(("component", "ky", "kx"), "f", by_arm=True),
    "arm": Variable(("arm",), "U"),
    "seed": Variable(("seed",), "iu"),
    "step": Variable(("step",), "iu"),
}
VALIDATION = {"val_accuracy": Variable(NET, "f")}

# Where layers were watched: of each layer {i} (1, 2, ...), and of those from the second on.
_OF_LAYER = {
    "feature_map_{i}": (("probe", "y_{i}", "x_{i}", "map_channel_{i}"), "f"),
    "grating_{i}": (("orientation", "frequency", "channel_{i}"), "f"),
    "stimulus_{i}": (("stimulus", "statistic", "channel_{i}"), "f"),
    "feature_{i}": (("example", "cell_{i}", "channel_{i}"), "f"),
    "top_value_{i}": (("rank", "channel_{i}"), "f"),
    "top_example_{i}": (("rank", "channel_{i}"), "i"),
    "top_place_{i}": (("rank", "axis", "channel_{i}"), "i"),
}
_OF_DEEPER_LAYER = {"kernel_{i}": (("ky_{i}", "kx_{i}", "channel_{before}", "channel_{i}"), "f")}
# What they were watched on.
SUBJECTS = {
    "probe_image": Variable(("probe", "row", "column", "colour"), "f", by_arm=True),
    "probe_label": Variable(("probe",), "iu"),
    "probe_part": Variable(("probe",), "UT"),
    "example_image": Variable(("example", "row", "column", "colour"), "f", by_arm=True),
    "example_label": Variable(("example",), "iu"),
    "probe_seed": Variable(("probe_seed",), "iu"),
    "orientation": Variable(("orientation",), "f"),
    "frequency": Variable(("frequency",), "f"),
    "statistic": Variable(("statistic",), "UT"),
    "stimulus_kind": Variable(("stimulus",), "UT"),
    "stimulus_direction": Variable(("stimulus",), "fiu"),
    "stimulus_polarity": Variable(("stimulus",), "fiu"),
}


def of_layer(number: int) -> dict[str, Variable]:
    """What layer `number` (from 1) showed, by name."""
    table = _OF_LAYER | (_OF_DEEPER_LAYER if number > 1 else {})
    return {
        name.format(i=number): Variable(
            (*WATCHED, *(dim.format(i=number, before=number - 1) for dim in dims)), kinds
        )
        for name, (dims, kinds) in table.items()
    }


def with_dims(arrays: dict[str, Any], layers: int) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Arrays by name, each with the dims that the table has for it, as `xarray.Dataset` takes them."""
    table = all_of(layers) | VALIDATION
    found = {}
    for name, values in arrays.items():
        variable = table[name]
        leads = variable.by_arm and np.ndim(values) > len(variable.dims)
        found[name] = (("arm", *variable.dims) if leads else variable.dims, values)
    return found


def all_of(layers: int) -> dict[str, Variable]:
    """Every variable of a trajectory of which so many layers were watched, val_accuracy apart."""
    found = dict(ALWAYS)
    for number in range(1, layers + 1):
        found |= of_layer(number)
    return found | (SUBJECTS if layers else {})


def layers_of(trajectory: xr.Dataset) -> list[int]:
    """The numbers of the layers that were watched, from 1; none where nothing was."""
    found = [str(n).removeprefix("feature_") for n in trajectory.data_vars]
    return sorted(int(n) for n in found if n.isdigit())
