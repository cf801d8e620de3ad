"""What the interactive part of a report shows, packed for its script (assets/explorer.js).

Arrays are gzipped and in base64; maps and responses are bytes between the ends of one scale per channel
over time, so that steps compare. What is left out to keep a page small follows from `MAP_BYTES`, in a
fixed order, and is told in `notes`.
"""

from __future__ import annotations

import base64
import gzip
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr

from kernelstudy.analysis.deep_tables import Deeper
from kernelstudy.analysis.fields import Field, fields_of
from kernelstudy.analysis.kernels import PREFIXES, Bank, kernel_matches
from kernelstudy.analysis.sectors import SECTORS
from kernelstudy.analysis.variables import layers_of, probe_names
from kernelstudy.reporting.colour import CHANNELS, filters_of
from kernelstudy.reporting.measure_words import METRIC_WORDS, SECTOR_WORDS
from kernelstudy.reporting.style import (
    ARM_COLOURS,
    DIVERGING,
    MAPS,
    SECTOR_COLOURS,
    colour_of,
)

MAP_BYTES = 3_000_000  # of all maps, before compression
MAP_SIDE = 16  # pixels of a map on the page, the most; larger ones are averaged
COARSE = 4  # of 256 levels of a map every fourth
KERNEL_VALUES = 1_500_000
WHOLE = 2**11 - 1  # more than an eye or two digits tell apart
STRIP = 9  # steps in a channel's history, evenly spaced over the log points
INPUTS = 4  # of a deeper channel's kernel, those in which it is strongest at the end
MEASURES = ("selectivity", "osi", "orientation", "frequency", "on_off", "class_selectivity")


def payload(
    trajectory: xr.Dataset,
    kernels: np.ndarray,
    analysis: xr.Dataset,
    deep: Deeper | None,
    *,
    bank: Bank,
    metric: str,
    stride: int,
    names: dict[str, str],
) -> dict[str, Any]:
    """All the script needs, as what JSON can hold.

    `kernels`: the trajectory's `spatial_kernels`. `bank`, `metric`: as declared. `stride`: of all layers.
    `names`: arm -> its name in words.
    """
    notes: list[str] = []
    seeds = _page_seeds(kernels, trajectory["seed"].values.tolist(), notes)
    kernels = kernels[:, : len(seeds)]
    matches = kernel_matches(np.nan_to_num(kernels), bank)
    nets = analysis.isel(seed=slice(len(seeds)))
    arrays = {
        "kernels": pack_whole(kernels, ends=3),
        "p": pack(matches["p_best"].astype(np.float32)),
        **{
            f"{prefix}sectors": pack(_stacked(nets, [f"{prefix}{s}" for s in SECTORS]))
            for prefix in PREFIXES.values()
        },
        "lines": pack(_stacked(nets, [f"{prefix}{metric}" for prefix in PREFIXES.values()])),
    }
    for name, colours in (("lut_diverging", DIVERGING), ("lut_maps", MAPS)):
        table = mpl.colormaps[colours](np.arange(256), bytes=True)[:, :3]
        arrays[name] = pack(table)
    filters = filters_of(trajectory.isel(seed=slice(len(seeds))))
    if filters is not None:
        arrays["colour"] = pack_whole(filters.reshape(*filters.shape[:4], -1), ends=CHANNELS)
    arms = [str(a) for a in trajectory["arm"].values]
    content: dict[str, Any] = {
        "arms": arms,
        "arm_words": [names.get(arm, arm) for arm in arms],
        "colour": filters is not None,
        "colours": [colour_of(i) for i in range(trajectory.sizes["arm"])],
        "seeds": seeds,
        "steps": trajectory["step"].values.tolist(),
        "size": int(kernels.shape[-1]),
        "channels": int(kernels.shape[3]),
        "strip": _strip(trajectory.sizes["step"]),
        "prefixes": PREFIXES,
        "open": _opening(analysis),
        "bank": {name: np.asarray(k).tolist() for name, k in bank.items()},
        "sectors": [[SECTOR_WORDS[s], SECTOR_COLOURS[s]] for s in SECTORS],
        "metric": metric,
        "metric_words": METRIC_WORDS[metric],
        "chance": {
            name: float(analysis["null_mean"].sel(measure=name)) for name in (*SECTORS, metric)
        },
        "layers": [],
        "layer_colours": list(ARM_COLOURS),
    }
    if deep is not None:
        content |= _deep(trajectory, deep, stride, arrays, notes)
    return content | {"arrays": arrays, "notes": notes}


def _opening(analysis: xr.Dataset) -> dict[str, Any]:
    """The arm that has turned furthest from its start, and the part of its kernels that shows it: the update
    while half of the start or more is there, else the kernels themselves, for then the update holds -W0."""
    last = analysis.isel(step=-1)
    turned = (1 - last["cos_start"]).median("seed").fillna(-1)
    arm = int(turned.argmax("arm"))
    forgotten = float(last["start_left"].isel(arm=arm).median("seed")) < 0.5
    return {"arm": arm, "part": "W" if forgotten else "update"}


def pack(values: np.ndarray) -> dict[str, Any]:
    """An array as {type, shape, data}, little-endian, gzipped, in base64; floats to four digits."""
    kind = {"f": "Float32Array", "u": "Uint8Array", "i": "Int16Array"}[values.dtype.kind]
    if values.dtype.kind == "f":  # rounded, what is below is as random as it is useless
        values = _rounded(values.astype(np.float32))
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
    zipped = gzip.compress(raw, compresslevel=6, mtime=0)
    return {"type": kind, "shape": list(values.shape), "data": base64.b64encode(zipped).decode()}


def _rounded(values: np.ndarray) -> np.ndarray:
    """Float32 whose last 11 of 23 bits are zero, to the nearest."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    nearest = ((bits.astype(np.uint64) + 1024) >> 11 << 11).astype(np.uint32)
    return np.where(np.isfinite(values), nearest.view(np.float32), values)


def pack_whole(values: np.ndarray, *, ends: int) -> dict[str, Any]:
    """`pack_over_steps` (axis 2) in whole numbers of a unit, `WHOLE` of which are the largest |value| over all
    but the first `ends` axes. NaN is 0."""
    values = np.nan_to_num(values)
    axes = tuple(range(ends, values.ndim))
    units = np.abs(values).max(axis=axes, keepdims=True) / WHOLE
    whole = np.round(values / np.where(units > 0, units, 1)).astype(np.int16)
    packed = pack_over_steps(whole, axis=2)
    return packed | {"units": pack(np.squeeze(units, axes).astype(np.float32))}


def pack_over_steps(values: np.ndarray, *, axis: int) -> dict[str, Any]:
    """`pack` of whole numbers, the steps (along `axis`) last and each as its difference from the one before:
    neighbours are alike, which takes less room."""
    last = np.moveaxis(values, axis, -1)
    changes = np.concatenate([last[..., :1], last[..., 1:] - last[..., :-1]], axis=-1)  # wraps
    outer = int(np.prod(values.shape[:axis]))
    steps = [outer, values.shape[axis]]
    return pack(changes) | {"shape": list(values.shape), "steps": steps}


def _stacked(dataset: xr.Dataset, names: Any) -> np.ndarray:
    """(arm, seed, step, name)."""
    order = ("arm", "seed", "step")
    parts = [dataset[name].transpose(*order).values for name in names]
    return np.stack(parts, -1).astype(np.float32)


def _page_seeds(kernels: np.ndarray, seeds: list[int], notes: list[str]) -> list[int]:
    """The first seeds, as many as the page has room for."""
    total = len(seeds)
    count = int(np.clip(KERNEL_VALUES // max(1, kernels[:, 0].size), 1, total))
    if count < total:
        notes.append(f"kernels of the first {count} of {total} seeds are in this page")
    return seeds[:count]


def _deep(
    trajectory: xr.Dataset,
    deep: Deeper,
    stride: int,
    arrays: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """Maps, tuning, measures and top patches of the watched networks."""
    channels, layers = deep.channels, deep.layers
    numbers, net = layers_of(trajectory), ("arm", "probe_seed", "step")
    probes, seeds = _map_selection(trajectory, numbers, notes)
    fields, names = fields_of(trajectory, stride), probe_names(trajectory)
    words = sorted({str(w) for i in numbers for w in np.unique(channels[f"label_{i}"].values)})
    networks, network_channels = (
        d.isel(probe_seed=slice(len(seeds))) for d in (trajectory, channels)
    )
    content = [
        _layer(networks.isel(probe=probes), network_channels, words, i, field, arrays)
        for i, field in zip(numbers, fields, strict=True)
    ]
    curves = ("probe_accuracy", "cka_final", "effective_rank")
    network_layers = layers.isel(probe_seed=slice(len(seeds)))
    parts = [network_layers[name].transpose(*net, "layer").values for name in curves]
    arrays["curves"] = pack(np.stack(parts, -1).astype(np.float32))
    for name, image in (
        ("examples", trajectory["example_image"]),
        ("probes", trajectory["probe_image"].isel(probe=probes)),
    ):
        arrays[name] = pack(_pictures(image))
    return {
        "layers": content,
        "probe_seeds": seeds,
        "probe_words": _listed(seeds),
        "measures": list(MEASURES),
        "labels": words,
        "curves": list(curves),
        "orientations": trajectory["orientation"].values.tolist(),
        "frequencies": trajectory["frequency"].values.tolist(),
        "probes": [
            {"name": names[p], "part": str(trajectory["probe_part"][p].item())} for p in probes
        ],
    }


def _listed(seeds: list[int]) -> str:
    """'seed 0', or 'seeds 0, 1 and 2'."""
    *most, last = map(str, seeds)
    return f"seeds {', '.join(most)} and {last}" if most else f"seed {last}"


def _layer(
    networks: xr.Dataset,
    channels: xr.Dataset,
    words: list[str],
    i: int,
    field: Field,
    arrays: dict[str, Any],
) -> dict[str, Any]:
    """Pack what layer `i` of the page's networks shows into `arrays`, and describe the layer.

    `words`: all labels, sorted.
    """
    net, c = ("arm", "probe_seed", "step"), f"channel_{i}"
    maps = (
        networks[f"feature_map_{i}"].transpose(*net, "probe", f"map_{c}", f"y_{i}", f"x_{i}").values
    )
    small = _averaged(maps.astype(np.float32))
    scaled, low, high = to_bytes(small, axes=(2, 3, 5, 6))
    arrays[f"maps_{i}"] = pack_over_steps(scaled // COARSE * COARSE, axis=2)
    arrays[f"map_low_{i}"], arrays[f"map_high_{i}"] = pack(low), pack(high)
    values = [channels[f"{m}_{i}"].transpose(*net, c).values for m in MEASURES]
    arrays[f"measures_{i}"] = pack(np.stack(values, -1).astype(np.float32))
    label = channels[f"label_{i}"].transpose(*net, c).values.astype(str)
    arrays[f"labels_{i}"] = pack(np.searchsorted(words, label).astype(np.int16))
    tuning = networks[f"grating_{i}"].transpose(*net, c, "frequency", "orientation").values
    responses = to_bytes(tuning.astype(np.float32), axes=(2, 4, 5))[0]
    arrays[f"gratings_{i}"] = pack_over_steps(responses // 2 * 2, axis=2)
    top = networks[f"top_example_{i}"].transpose(*net, c, "rank").values
    place = networks[f"top_place_{i}"].transpose(*net, c, "rank", "axis").values
    arrays[f"top_{i}"] = pack(np.concatenate([top[..., None], place], -1).astype(np.int16))
    value = networks[f"top_value_{i}"].transpose(*net, c, "rank").values
    arrays[f"top_value_{i}"] = pack_whole(value.astype(float), ends=4)
    # of recordings and of some networks of one's own deeper kernels are not known
    side = networks.sizes.get(f"ky_{i}" if i > 1 else "ky")
    if i > 1 and side:
        weights, inputs = _deeper_kernels(networks, i)
        arrays[f"kernels_{i}"], arrays[f"inputs_{i}"] = pack(weights), pack(inputs)
    return {
        "number": i,
        "channels": networks.sizes[c],
        "shown": small.shape[4],
        "height": small.shape[5],
        "width": small.shape[6],
        "kernel": side,
        "field": list(field),
    }


def _strip(points: int) -> list[int]:
    """Log points that stand for all in a channel's history."""
    return np.unique(np.linspace(0, points - 1, STRIP).round().astype(int)).tolist()


def _deeper_kernels(trajectory: xr.Dataset, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """A deeper layer's kernels over the strip, on the input channels where they are strongest at the end.

    Returns:
        (arm, seed, channel, input, strip, k, k) bytes, 128 for 0 and 1 .. 255 for the largest weight of
        a channel; (arm, seed, channel, input) numbers of those input channels.
    """
    dims = ("arm", "probe_seed", f"channel_{layer}", f"channel_{layer - 1}", "step")
    whole = trajectory[f"kernel_{layer}"].transpose(*dims, f"ky_{layer}", f"kx_{layer}")
    whole = whole.isel(step=_strip(trajectory.sizes["step"])).values.astype(np.float32)
    whole = np.nan_to_num(whole)
    energy = (whole[..., -1, :, :] ** 2).sum((-2, -1))
    inputs = np.argsort(-energy, -1, kind="stable")[..., :INPUTS]
    strongest = np.take_along_axis(whole, inputs[..., None, None, None], 3)
    largest = np.abs(strongest).max((3, 4, 5, 6), keepdims=True)
    scaled = 128 + np.round(127 * strongest / np.where(largest > 0, largest, 1))
    return scaled.astype(np.uint8), inputs.astype(np.int16)


def _map_selection(
    trajectory: xr.Dataset, numbers: list[int], notes: list[str]
) -> tuple[list[int], list[int]]:
    """Probes and watched seeds whose maps are in the page: first a probe of each part, then all seeds,
    then further probes, as `MAP_BYTES` allows."""
    sizes = trajectory.sizes
    each = sizes["arm"] * sizes["step"]
    each *= sum(
        sizes[f"map_channel_{i}"] * min(sizes[f"y_{i}"], MAP_SIDE) * min(sizes[f"x_{i}"], MAP_SIDE)
        for i in numbers
    )
    room = max(1, MAP_BYTES // max(1, each))
    parts = trajectory["probe_part"].values.astype(str)
    order = [int(np.flatnonzero(parts == p)[0]) for p in dict.fromkeys(parts)]
    order += [p for p in range(len(parts)) if p not in order]
    first = min(len(order), 2, room)
    count = int(np.clip(room // first, 1, sizes["probe_seed"]))
    probes = sorted(order[: max(first, min(len(order), room // count))])
    seeds = trajectory["probe_seed"].values.tolist()[:count]
    if count < sizes["probe_seed"]:
        notes.append(
            f"feature maps of {count} of {sizes['probe_seed']} watched seeds are in this page"
        )
    if len(probes) < len(order):
        notes.append(f"feature maps of {len(probes)} of {len(order)} probe images are in this page")
    if any(max(sizes[f"y_{i}"], sizes[f"x_{i}"]) > MAP_SIDE for i in numbers):
        notes.append(f"feature maps larger than {MAP_SIDE} pixels are shown averaged")
    if notes:
        notes.append("trajectory.zarr holds all of them")
    return probes, seeds


def _averaged(maps: np.ndarray) -> np.ndarray:
    """(..., h, w) averaged over blocks of pixels until a side has `MAP_SIDE` at most."""
    h, w = maps.shape[-2:]
    step = min(-(-max(h, w) // MAP_SIDE), h, w)
    cut = maps[..., : h // step * step, : w // step * step]
    return cut.reshape(*maps.shape[:-2], h // step, step, w // step, step).mean((-3, -1))


def to_bytes(
    values: np.ndarray, *, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values as 0 .. 255 between their ends over `axes`, and those ends without these axes."""
    values = np.nan_to_num(values)
    low, high = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    scaled = np.round((values - low) / spread * 255).astype(np.uint8)
    ends = (np.squeeze(end, axes).astype(np.float32) for end in (low, high))
    return scaled, *ends


def _pictures(images: xr.DataArray) -> np.ndarray:
    """Images as grey bytes (arm or 1, image, row, column), each on its own scale."""
    grey = images.values.astype(np.float32).mean(-1)
    grey = grey[None] if grey.ndim == 3 else grey
    return to_bytes(grey, axes=(-2, -1))[0]
