"""The variables of a trajectory: the one table that its writer, its checker and its readers share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr  # slow to import: a run directory is opened without it

NET = ("arm", "seed", "step")
WATCHED = ("arm", "probe_seed", "step")

RECORDED = "recorded"  # attribute of the trajectory of a training that somebody else's loop did

# How much is kept of what a watched network shows.
PROBES = 8  # images whose maps are kept
EXAMPLES = 256  # images that channels are excited by
TOP = 6  # of them, those that excite a channel most
MAP_SIDE, MAP_CHANNELS = 32, 64  # of a kept map, the most
STATISTICS = ("mean", "peak")  # of |activation| and of the activation, over the middle of a map


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
    "arm": Variable(("arm",), "U"),
    "seed": Variable(("seed",), "iu"),
    "step": Variable(("step",), "iu"),
}
VALIDATION = {"val_accuracy": Variable(NET, "f")}
# Where networks were scored on changed test images as well; `test`: how these were changed.
CHANGED = {
    "changed_accuracy": Variable((*NET, "test"), "f"),
    "test": Variable(("test",), "UT"),
}
# Principal axes of the images' patches: of every run, and of recordings that were given images.
PATCHES = {
    "patch_eigenvalue": Variable(("component",), "f", by_arm=True),
    "patch_basis": Variable(("component", "ky", "kx"), "f", by_arm=True),
}

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
# Weights of a dense first layer, of the middle unit of each map.
DENSE = {"dense_weight": Variable((*WATCHED, "row", "column", "colour", "channel_1"), "f")}


# Long name and unit of every variable, of those of layer {i} with their number.
_WORDS = {
    "kernel": ("kernels of the first layer", "1"),
    "train_loss": ("training loss, mean since the log point before", "nat"),
    "test_accuracy": ("share of test images classified correctly", "1"),
    "changed_accuracy": ("share of changed test images classified correctly", "1"),
    "test": ("how test images were changed", ""),
    "val_accuracy": ("share of validation images classified correctly", "1"),
    "diverged": ("whether a loss or a weight was not finite", "1"),
    "patch_eigenvalue": ("variance of the images' patches along each principal axis", "1"),
    "patch_basis": ("principal axes of the images' patches", "1"),
    "arm": ("condition", ""),
    "seed": ("network of an arm", ""),
    "step": ("training step", "step"),
    "feature_map_{i}": ("feature maps of layer {i} for the probes", "1"),
    "grating_{i}": ("mean |activation| of layer {i} for gratings, over phases", "1"),
    "stimulus_{i}": ("activation of layer {i} for edges, bars, corners and blobs", "1"),
    "feature_{i}": ("mean activation of layer {i} in the quarters of the examples' maps", "1"),
    "top_value_{i}": ("largest activations of layer {i} over the examples", "1"),
    "top_example_{i}": ("examples with the largest activations of layer {i}", ""),
    "top_place_{i}": ("row and column of the largest activations of layer {i}", "pixel"),
    "kernel_{i}": ("kernels of layer {i}", "1"),
    "dense_weight": ("weights of the first layer's middle units over the image", "1"),
    "probe_image": ("images whose feature maps are kept", "1"),
    "probe_label": ("class of each probe", ""),
    "probe_part": ("whether a probe is a training or a test image", ""),
    "example_image": ("test images that units are excited by", "1"),
    "example_label": ("class of each example", ""),
    "probe_seed": ("networks of an arm whose layers were watched", ""),
    "orientation": ("orientation of a grating", "degree"),
    "frequency": ("spatial frequency of a grating", "cycle/pixel"),
    "statistic": ("statistic of an activation", ""),
    "stimulus_kind": ("kind of a local stimulus", ""),
    "stimulus_direction": ("direction of a local stimulus", "degree"),
    "stimulus_polarity": ("sign of a local stimulus", ""),
}


def words_of(name: str) -> dict[str, str]:
    """`long_name` and, where there is one, `units` of a variable, as attributes of xarray's."""
    plain = re.sub(r"_\d+$", "_{i}", name)
    long_name, unit = _WORDS.get(name) or _WORDS.get(plain) or ("", "")
    number = name.rpartition("_")[2]
    found = {"long_name": long_name.format(i=number), "units": unit}
    return {key: value for key, value in found.items() if value}


def accuracy_on(test: str) -> str:
    """The name of the accuracy on test images changed by `test`, in metrics.jsonl and tables."""
    return f"test_accuracy[{test}]"


def of_layer(number: int) -> dict[str, Variable]:
    """What layer `number` (from 1) showed, by name."""
    table = _OF_LAYER | (_OF_DEEPER_LAYER if number > 1 else {})
    return {
        name.format(i=number): Variable(
            (*WATCHED, *(dim.format(i=number, before=number - 1) for dim in dims)), kinds
        )
        for name, (dims, kinds) in table.items()
    }


def with_dims(
    arrays: dict[str, Any], layers: int
) -> dict[str, tuple[tuple[str, ...], Any, dict[str, str]]]:
    """Arrays by name, each with its dims, values and `words_of`, as `xarray.Dataset` takes them."""
    table = all_of(layers) | PATCHES | VALIDATION | CHANGED | DENSE
    found = {}
    for name, values in arrays.items():
        variable = table[name]
        leads = variable.by_arm and np.ndim(values) > len(variable.dims)
        dims = ("arm", *variable.dims) if leads else variable.dims
        found[name] = dims, values, words_of(name)
    return found


def all_of(layers: int) -> dict[str, Variable]:
    """Every variable of a trajectory of which so many layers were watched, less those that
    not every run has: `PATCHES`, `VALIDATION`, `CHANGED` and `DENSE`."""
    found = dict(ALWAYS)
    for number in range(1, layers + 1):
        found |= of_layer(number)
    return found | (SUBJECTS if layers else {})


def quarters(h: int, w: int) -> list[tuple[slice, slice]]:
    """The four quarters of a map, which share the middle row and column of an odd one; the whole map
    where a side is one pixel."""
    if min(h, w) < 2:
        return [(slice(None), slice(None))]
    rows, columns = ((slice(0, -(-n // 2)), slice(n // 2, n)) for n in (h, w))
    return [(r, c) for r in rows for c in columns]


def probe_names(trajectory: xr.Dataset) -> list[str]:
    """What every probe is, in words: of recordings it is not known whether the network is trained on it."""
    parts = {"train": "training", "test": "held-out"}
    found = []
    for number, (label, part) in enumerate(
        zip(trajectory["probe_label"].values, trajectory["probe_part"].values, strict=True), 1
    ):
        known = f"class {label}" if label >= 0 else ""
        if trajectory.attrs.get(RECORDED):
            found.append(f"probe {number}" + (f", {known}" if known else ""))
        else:
            found.append(f"{known} ({parts[str(part)]} image)")
    return found


def layers_of(trajectory: xr.Dataset) -> list[int]:
    """The numbers of the layers that were watched, from 1; none where nothing was."""
    found = [str(n).removeprefix("feature_") for n in trajectory.data_vars]
    return sorted(int(n) for n in found if n.isdigit())
