"""All that was measured of deeper layers, and its tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from . import deep, labels


class Deeper(NamedTuple):
    """All that was measured of the watched networks."""

    channels: xr.Dataset
    layers: xr.Dataset
    agreement: xr.Dataset


def measure_deep(trajectory: xr.Dataset, random: ArrayLike) -> Deeper | None:
    """The measures of `deep`; None where nothing was watched. `random`: of each arm, see `measure_channels`."""
    if not deep.layers_of(trajectory):
        return None
    channels = deep.measure_channels(trajectory, random)
    layers = deep.measure_layers(trajectory)
    return Deeper(channels, layers, deep.label_agreement(trajectory, channels))


def deep_tables(found: Deeper) -> dict[str, pd.DataFrame]:
    """By the names of their files."""
    return {"layers": layer_table(found), "channels": channel_table(found)}


def layer_table(found: Deeper) -> pd.DataFrame:
    """Every measure of every layer at the first and the final step, means over networks."""
    rows = []
    last = found.layers.sizes["step"] - 1
    for arm in found.layers["arm"].values:
        for n in found.layers["layer"].values:
            for step in dict.fromkeys((0, last)):
                at = found.layers.sel(arm=arm, layer=n).isel(step=step)
                of = found.channels.sel(arm=arm).isel(step=step)
                rows.append(
                    {
                        "arm": arm,
                        "layer": int(n),
                        "step": int(at["step"]),
                        "networks": at.sizes["probe_seed"],
                        **{k: _mean(at[k].values) for k in (*deep.OF_LAYERS, "cka_seeds")},
                        "selectivity": _mean(of[f"selectivity_{n}"].values),
                        "class_selectivity": _mean(of[f"class_selectivity_{n}"].values),
                        "dead": _mean(of[f"dead_{n}"].values),
                        "unselective": float((of[f"kind_{n}"] == labels.UNSELECTIVE).mean()),
                    }
                )
    return pd.DataFrame(rows)


def channel_table(found: Deeper) -> pd.DataFrame:
    """Every channel of every watched network at the final step."""
    last, tables = found.channels.isel(step=-1), []
    for n in found.layers["layer"].values:
        columns = {f"{name}_{n}": name for name in deep.OF_CHANNELS} | {f"channel_{n}": "channel"}
        of_layer = last[[f"{name}_{n}" for name in deep.OF_CHANNELS]]
        table = of_layer.to_dataframe().reset_index().rename(columns=columns)
        tables.append(table.assign(layer=int(n)))
    return pd.concat(tables).drop(columns="step")


def _mean(values: Any) -> float:
    values = np.asarray(values, dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
