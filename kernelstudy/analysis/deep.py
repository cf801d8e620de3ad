"""All measures of what the watched networks showed: channel by channel and layer by layer, over steps."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from . import labels as rules
from .layer import cka
from .representation import (
    OF_ITS_WAY,
    SETTLED,
    effective_rank,
    linear_probe,
    settling_step,
    way_level,
)
from .tuning import (
    circular_variance,
    direction_of,
    kind_index,
    on_off,
    orientation_selectivity,
    preferred_frequency,
    resultant,
    tuning_curve,
)
from .units import class_selectivity, dead
from .variables import layers_of

NET = ("arm", "probe_seed", "step")
OF_CHANNELS = (  # measures over steps
    *("osi", "selectivity", "frequency", "on_off", "class_selectivity", "dead", "orientation"),
    "label",
)
OF_LAYERS = ("cka_final", "probe_accuracy", "effective_rank")  # measures over steps
SPOTS = ("blob", "impulse")


def measure_channels(trajectory: xr.Dataset, random: ArrayLike) -> xr.Dataset:
    """Tuning and labels of every channel: <measure>_<layer> (arm, probe_seed, step, channel_<layer>).

    osi and selectivity (1 - circular variance) at the best frequency, orientation (degrees; of the mean
    of the resultants over all frequencies, edges and bars), frequency (cycles a pixel), on_off,
    class_selectivity, dead, label with its parts kind and form (see `Labels`); and
    threshold_channels (layer), how many untrained channels the
    rule of the labels rests on: those of the arms that start from random kernels, as `random` (arm,) says
    of each; where there is none, those of all arms (attribute `random_starts`: 1, or 0 for all).
    """
    angles = np.deg2rad(trajectory["orientation"].values)
    random = np.asarray(random, dtype=bool)
    resting_on = random if random.any() else ~random
    found: dict[str, tuple] = {}
    resting = []
    for layer in layers_of(trajectory):
        dims = (*NET, f"channel_{layer}")
        channel, indices, bar = _channels(trajectory, layer, angles)
        start = indices[resting_on, :, 0][~channel["dead"][resting_on, :, 0]]
        chance = rules.threshold(start)
        resting.append(chance.channels)
        given = rules.label(
            indices, channel["orientation"], channel["frequency"], bar, channel["dead"], chance
        )
        channel |= {"label": given.words, "kind": given.kind, "form": given.form}
        found |= {f"{name}_{layer}": (dims, values) for name, values in channel.items()}
    found["threshold_channels"] = ("layer", resting)
    coords = {name: trajectory[name] for name in NET} | {"layer": layers_of(trajectory)}
    return xr.Dataset(found, coords=coords, attrs={"random_starts": int(random.any())})


def _channels(
    trajectory: xr.Dataset, layer: int, angles: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Measures (arm, seed, step, channel), the indices of `labels` (..., 3), and bar above edge."""
    channel = f"channel_{layer}"

    def values(name: str, *dims: str) -> np.ndarray:
        order = (*NET, channel, *dims)
        return trajectory[f"{name}_{layer}"].transpose(*order).values.astype(float)

    gratings = np.nan_to_num(values("grating", "orientation", "frequency"))
    curve, _ = tuning_curve(gratings)
    peaks = values("stimulus", "stimulus", "statistic")
    peaks = np.nan_to_num(peaks[..., list(trajectory["statistic"].values).index("peak")])
    kinds = trajectory["stimulus_kind"].values.astype(str)
    polarity = trajectory["stimulus_polarity"].values
    spots = np.isin(kinds, SPOTS)
    features = trajectory[f"feature_{layer}"].transpose(*NET, "example", f"cell_{layer}", channel)
    classes = trajectory["example_label"].values
    means = features.values.mean(-2, dtype=np.float32)
    known = len(np.unique(classes)) > 1  # of recordings they may not be
    measures = {
        "osi": orientation_selectivity(curve),
        "selectivity": 1 - circular_variance(curve, angles),
        "frequency": preferred_frequency(gratings, trajectory["frequency"].values),
        "on_off": on_off(
            peaks[..., spots & (polarity > 0)].max(-1), peaks[..., spots & (polarity < 0)].max(-1)
        ),
        "class_selectivity": class_selectivity(means, classes)
        if known
        else np.full_like(means[..., 0, :], np.nan),
        "dead": dead(features.values),
    }
    # One bright or dark field says nothing of form, and a ramp is an edge that is seen from near.
    local, forms = np.isin(kinds, ("edge", "bar", "corner", *SPOTS)), np.where(spots, "blob", kinds)
    of_kinds = (kind_index(peaks[..., local], forms[local], k) for k in ("corner", "blob"))
    direction = np.deg2rad(trajectory["stimulus_direction"].values)
    held = [resultant(gratings[..., i], angles) for i in range(gratings.shape[-1])]
    for kind in ("edge", "bar"):
        held.append(resultant(np.maximum(peaks[..., kinds == kind], 0), direction[kinds == kind]))
    lasting = np.mean(np.nan_to_num(held), axis=0)
    measures["orientation"] = np.where(lasting == 0, np.nan, direction_of(lasting))
    indices = np.stack([np.abs(lasting), *of_kinds], axis=-1)
    # an edge detector answers to the edges of a bar as well
    bar = peaks[..., kinds == "bar"].max(-1) > rules.BAR * peaks[..., kinds == "edge"].max(-1)
    return measures, indices, bar


@threadpool_limits.wrap(limits=1)  # the matrices are small: threads would wait for each other
def measure_layers(trajectory: xr.Dataset) -> xr.Dataset:
    """What each layer holds, (arm, probe_seed, step, layer): probe_accuracy, effective_rank, cka_final.

    And cka_seeds (arm, step, layer), the mean over pairs of seeds; settled and settled_way
    (arm, probe_seed, layer), the step from which on CKA with the final state stays at 0.95 or above,
    and at 90% of its own way.
    """
    layers, labels = layers_of(trajectory), trajectory["example_label"].values
    arms, seeds, steps = (trajectory.sizes[d] for d in NET)
    grid = (arms, seeds, steps, len(layers))
    accuracy, rank, final = (np.full(grid, np.nan) for _ in range(3))
    between = np.full((arms, steps, len(layers)), np.nan)
    for column, layer in enumerate(layers):
        order = (*NET, "example", f"cell_{layer}", f"channel_{layer}")
        features = trajectory[f"feature_{layer}"].transpose(*order).values.astype(np.float32)
        features = features.reshape(*features.shape[:4], -1)
        for at in np.ndindex(arms, seeds, steps):
            x, last = features[at], features[at[:2]][-1]
            if np.isfinite(x).all():
                accuracy[*at, column] = linear_probe(x, labels)
                rank[*at, column] = effective_rank(x)
                final[*at, column] = cka(x, last)
        for arm, step in np.ndindex(arms, steps):
            pairs = [cka(features[arm, a, step], features[arm, b, step]) for a, b in _pairs(seeds)]
            between[arm, step, column] = np.mean(pairs) if pairs else np.nan
    at_steps = trajectory["step"].values
    curves = np.moveaxis(final, 2, -1)
    settled = _over(curves, lambda s: settling_step(s, at_steps, level=SETTLED))
    own = _over(curves, lambda s: settling_step(s, at_steps, level=way_level(s)))
    layered = (*NET, "layer")
    return xr.Dataset(
        {
            "probe_accuracy": (layered, accuracy),
            "effective_rank": (layered, rank),
            "cka_final": (layered, final),
            "cka_seeds": (("arm", "step", "layer"), between),
            "settled": (("arm", "probe_seed", "layer"), settled),
            "settled_way": (("arm", "probe_seed", "layer"), own),
        },
        coords={name: trajectory[name] for name in NET} | {"layer": layers},
        attrs={"settled": SETTLED, "of_its_way": OF_ITS_WAY},
    )


def label_agreement(trajectory: xr.Dataset, channels: xr.Dataset) -> xr.Dataset:
    """How far seeds agree on the labels at the final step, (arm, pair, layer): observed and chance.

    Channels of two seeds are matched by their answers to the same test images; sizes are left out of
    the labels, and dead channels count.
    """
    layers, pairs = layers_of(trajectory), _pairs(trajectory.sizes["probe_seed"])
    shape = (trajectory.sizes["arm"], len(pairs), len(layers))
    observed, chance = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, layer in enumerate(layers):
        dims = ("arm", "probe_seed", f"channel_{layer}")
        named = channels[f"form_{layer}"].isel(step=-1).transpose(*dims).values
        order = ("arm", "probe_seed", "example", f"cell_{layer}", f"channel_{layer}")
        features = trajectory[f"feature_{layer}"].isel(step=-1).transpose(*order).values
        features = features.astype(float).reshape(*features.shape[:2], -1, features.shape[-1])
        for arm, (row, (a, b)) in ((i, p) for i in range(shape[0]) for p in enumerate(pairs)):
            if not np.isfinite(features[arm, [a, b]]).all():
                continue
            first, second = rules.matched(features[arm, a], features[arm, b])
            found = rules.agreement(named[arm, a][first], named[arm, b][second])
            observed[arm, row, column], chance[arm, row, column] = found
    dims = ("arm", "pair", "layer")
    coords = {"arm": trajectory["arm"], "layer": layers}
    return xr.Dataset({"observed": (dims, observed), "chance": (dims, chance)}, coords=coords)


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(combinations(range(count), 2))


def _over(curves: np.ndarray, function) -> np.ndarray:
    return np.apply_along_axis(function, -1, curves)
