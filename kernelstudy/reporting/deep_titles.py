"""What is seen in each figure of deeper layers, in one sentence, out of what is drawn in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from kernelstudy.analysis import labels
from kernelstudy.analysis.deep_tables import Deeper
from kernelstudy.analysis.representation import SETTLED
from kernelstudy.analysis.variables import layers_of
from kernelstudy.reporting.deep_figures import KINDS, PATCH_CHANNELS, most_selective
from kernelstudy.reporting.galleries import SHOWN_CHANNELS

Names = Mapping[str, str]


def layers(deep: Deeper) -> str:
    """From which step on each layer is near its end, in the median of all watched networks."""
    told = []
    for n in deep.layers["layer"].values:
        steps = deep.layers["settled"].sel(layer=n).values
        if np.isfinite(steps).any():
            told.append(f"layer {int(n)} from step {np.nanmedian(steps):,.0f} on")
    if not told:
        return "No layer's way to its end is known"
    return f"A layer is close to its end (CKA above {SETTLED}) in the median network: {', '.join(told)}"


def feature_maps(trajectory: xr.Dataset, arm: str, names: Names) -> str:
    """How like their start the maps that are shown are in the end, layer by layer."""
    network = trajectory.sel(arm=arm).isel(probe_seed=0)
    probe = int(np.flatnonzero(network["probe_part"].values == "test")[0])
    told = []
    for i in layers_of(trajectory):
        ends = network[f"feature_map_{i}"].isel(probe=probe, step=[0, -1])
        first, last = ends.values.astype(float)[..., :SHOWN_CHANNELS]
        told.append(f"{_mean_correlation(first, last):.2f} in layer {i}")
    return f"'{names.get(arm, arm)}': maps at the end correlate with those at the start by {', '.join(told)}"


def _mean_correlation(first: np.ndarray, last: np.ndarray) -> float:
    """The mean over channels (h, w, channel) that vary in both."""
    one, other = (np.nan_to_num(m - m.mean((0, 1))) for m in (first, last))
    norm = np.sqrt((one**2).sum((0, 1)) * (other**2).sum((0, 1)))
    products = (one * other).sum((0, 1))
    return float(np.mean(products[norm > 0] / norm[norm > 0])) if (norm > 0).any() else 0.0


def patches(deep: Deeper, arm: str, names: Names) -> str:
    """How many of the channels that are shown have a label, and which is most frequent."""
    told = []
    last = deep.channels.sel(arm=arm).isel(probe_seed=0, step=-1)
    for n in deep.layers["layer"].values:
        kinds = last[f"kind_{n}"].values[most_selective(last, int(n))].astype(str)
        counts = {kind: int((kinds == kind).sum()) for kind in KINDS if (kinds == kind).any()}
        listed = (
            ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none with a label"
        )
        told.append(f"layer {n}: {listed}")
    return (
        f"'{names.get(arm, arm)}': labels of the {PATCH_CHANNELS} most selective channels of a layer: "
        f"{'; '.join(told)}"
    )


def labelled(deep: Deeper) -> str:
    """Between which parts of each layer's channels have a label, arm by arm."""
    told = []
    for n in deep.layers["layer"].values:
        kinds = deep.channels[f"kind_{n}"].isel(step=-1).transpose("arm", ...).values.astype(str)
        share = np.isin(kinds, KINDS).mean(axis=tuple(range(1, kinds.ndim)))
        ends = dict.fromkeys((f"{share.min():.0%}", f"{share.max():.0%}"))
        told.append(f"{' to '.join(ends)} of layer {n}")
    return f"Channels with a label at the end: {', '.join(told)}; untrained {1 - labels.RATE:.0%} by the rule"
