"""What this study measures beyond a run's own report: memory and the measure over time, energy profiles, a."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from kernelstudy import runs
from kernelstudy.analysis import energy_profile, population_a
from kernelstudy.analysis.kernels import NEW
from kernelstudy.analysis.trajectory import measure_trajectory, spatial_kernels
from kernelstudy.studies.plan import StudyRuns

FORGOTTEN, KEPT = 0.25, 0.9  # memory


class Course(NamedTuple):
    """points: data, arm, step, memory, value (R2 of W), new, edge, low_pass, means over networks. profiles:
    (data, arm) -> energy profile (seed, axis). a: data, arm, seed, a of W at the end, images."""

    points: pd.DataFrame
    profiles: dict[tuple[str, str], np.ndarray]
    a: pd.DataFrame


def course(found: StudyRuns) -> Course:
    """`Course` of all runs."""
    points, profiles, of_a = [], {}, []
    metric = found.sweep.metric
    for (data, *_), run in found.places.items():
        trajectory = runs.read_trajectory(run)
        study = runs.read_settings(run)
        kernels = spatial_kernels(trajectory)
        measured = measure_trajectory(trajectory, study.bank.kernels, kernels=kernels)
        kinds = measured["kinds"]
        over_time = {
            "memory": measured["memory"],
            "value": measured[metric],
            "new": measured[NEW + metric],
            "edge": kinds.sel(kind="edge"),
            "low_pass": kinds.sel(kind="low-pass"),
        }
        means = {name: of.mean("seed").values for name, of in over_time.items()}
        images = float(measured["a_pca"])
        basis = trajectory["patch_basis"].isel(arm=0, missing_dims="ignore").values.reshape(9, 9)
        for row, name in enumerate(trajectory["arm"].values):
            arm, kept = str(name), ~trajectory["diverged"].values[row]
            for column, step in enumerate(trajectory["step"].values):
                line = (float(of[row, column]) for of in means.values())
                points.append((data, arm, int(step), *line))
            final = kernels[row, kept, -1]
            profiles[data, arm] = energy_profile(final, basis)
            for seed, net in zip(trajectory["seed"].values[kept], final, strict=True):
                of_a.append((data, arm, int(seed), population_a(net).a, images))
    return Course(
        pd.DataFrame(points, columns=["data", "arm", "step", *over_time]),
        profiles,
        pd.DataFrame(of_a, columns=["data", "arm", "seed", "a", "images"]),
    )


def curve(memory: np.ndarray, value: np.ndarray):
    """The best falling curve of `value` against `memory` (least squares), as a function."""
    order = np.argsort(memory, kind="stable")
    x, fitted = memory[order], isotonic_regression(value[order], increasing=False).x
    return lambda at: np.interp(at, x, fitted)


def predicted(points: pd.DataFrame, arms: list[str], left_out: str) -> float:
    """The final R2 of `left_out` by the curve through all log points of the other `arms` of one data set."""
    others = points[points["arm"].isin([arm for arm in arms if arm != left_out])]
    others = others[np.isfinite(others["memory"]) & np.isfinite(others["value"])]
    mine = points[points["arm"] == left_out].sort_values("step").iloc[-1]
    fitted = curve(others["memory"].to_numpy(), others["value"].to_numpy())
    return float(fitted(mine["memory"]))
