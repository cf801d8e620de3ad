"""Accuracies of this study by regime and first layer, and what its starts are."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernelstudy import runs
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.config.study import Arm
from kernelstudy.studies.plan import StudyRuns

REGIMES = ("lazy", "forgetting")
RANDOM, REDRAWN = "random, learned", "redrawn, learned"
FROZEN_RANDOM, FROZEN_COPIED, FROZEN_REDRAWN = (
    f"{start}, frozen" for start in ("random", "copied", "redrawn")
)
LAYERS = (RANDOM, REDRAWN, FROZEN_RANDOM, FROZEN_COPIED, FROZEN_REDRAWN)
EARLY = 0.1  # of the steps


class Layer(NamedTuple):
    """What an arm is: its regime, and its first layer, one of `LAYERS`."""

    regime: str
    layer: str


def layer_of(arm: Arm) -> Layer:
    start = "random" if arm.init != "run" else "copied" if arm.how == "copy" else "redrawn"
    return Layer(REGIMES[bool(arm.weight_decay)], f"{start}, {arm.first_layer}")


def planned(settings: dict[str, Any]) -> dict[str, Layer]:
    """Of the plan's arms, by name."""
    arms = [Arm(**arm) for arm in settings["arms"]]
    return {arm.name: layer_of(arm) for arm in arms}


def courses(found: StudyRuns) -> pd.DataFrame:
    """A row a network and log point: data, regime, layer, seed, step, accuracy (in percent); networks that
    diverged are left out."""
    layers, tables = planned(found.plan.settings), []
    for (data, *_), run in found.places.items():
        trajectory = runs.read_trajectory(run)
        accuracy = 100 * trajectory["test_accuracy"].where(~trajectory["diverged"])
        of_run = accuracy.to_dataframe("accuracy").reset_index()
        here = [layers[str(arm)] for arm in of_run["arm"]]
        regime, layer = zip(*here, strict=True)
        tables.append(of_run.assign(data=data, regime=regime, layer=layer))
    names = ["data", "regime", "layer", "seed", "step", "accuracy"]
    return pd.concat(tables, ignore_index=True)[names].dropna(subset=["accuracy"])


def points(
    table: pd.DataFrame, data: str, regime: str, layer: str, other: str, part: float = 1.0
) -> pd.Series:
    """Points of one first layer less another at the log point nearest to a part of the steps, by seed."""
    here = table[(table["data"] == data) & (table["regime"] == regime)]
    if not len(here):
        return pd.Series(dtype=float)
    steps = np.sort(here["step"].unique())
    at = here[here["step"] == steps[np.abs(steps - part * steps[-1]).argmin()]]
    by_layer = at.pivot_table(index="seed", columns="layer", values="accuracy")
    by_layer = by_layer.reindex(columns=[layer, other])
    return (by_layer[layer] - by_layer[other]).dropna()


def starts(found: StudyRuns) -> pd.DataFrame:
    """A row a first layer that is not frozen, or copied: data, regime, layer, norm (mean squared, of He's start
    2), axes (participation ratio of the second moment over all networks' kernels)."""
    rows = []
    for (data, *_), run in found.places.items():
        trajectory = runs.read_trajectory(run)
        first = spatial_kernels(trajectory)[:, :, 0]
        for row, name in enumerate(trajectory["arm"].values):
            here = planned(found.plan.settings)[str(name)]
            if here.layer in (RANDOM, REDRAWN, FROZEN_COPIED):
                rows.append((data, *here, *spread(first[row])))
    return pd.DataFrame(rows, columns=["data", "regime", "layer", "norm", "axes"])


def spread(kernels: np.ndarray) -> tuple[float, float]:
    """Of kernels (..., k, k) the mean squared norm, and the participation ratio of their second moment."""
    flat = kernels.reshape(-1, kernels.shape[-1] ** 2).astype(float)
    values = np.linalg.eigvalsh(flat.T @ flat / len(flat))
    return float(values.sum()), float(values.sum() ** 2 / (values**2).sum())
