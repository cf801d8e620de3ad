"""What this study measures beyond a run's own report: every network at every log point, and its a."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kernelstudy import runs
from kernelstudy.analysis import population_a
from kernelstudy.analysis.trajectory import measure_trajectory, spatial_kernels
from kernelstudy.studies.plan import StudyRuns

HALF_WAY = 4000  # the log point nearest to it


class Course(NamedTuple):
    """course: data, arm, seed, step, value (R2 of W), memory, start_left, edges, low_pass. a: data, arm, seed,
    half_way, end. Networks that diverged are left out. half_way: data -> its step."""

    course: pd.DataFrame
    a: pd.DataFrame
    half_way: dict[str, int]


def course(found: StudyRuns) -> Course:
    """`Course` of all runs."""
    over_time, of_a, half_way = [], [], {}
    for (data, *_), run in found.places.items():
        trajectory, study = runs.read_trajectory(run), runs.read_settings(run)
        kernels = spatial_kernels(trajectory)
        measured = measure_trajectory(trajectory, study.bank.kernels, kernels=kernels)
        columns = {
            "value": measured[found.sweep.metric],
            "memory": measured["memory"],
            "start_left": measured["start_left"],
            "edges": measured["kinds"].sel(kind="edge", drop=True),
            "low_pass": measured["kinds"].sel(kind="low-pass", drop=True),
        }
        steps = trajectory["step"].values
        at = int(np.argmin(np.abs(steps - HALF_WAY)))
        half_way[data] = int(steps[at])
        diverged = trajectory["diverged"].values
        for row, arm in enumerate(trajectory["arm"].values):
            for net in np.flatnonzero(~diverged[row]):
                who = {"data": data, "arm": str(arm), "seed": int(trajectory["seed"][net])}
                each = {
                    name: of.transpose("arm", "seed", "step").values[row, net]
                    for name, of in columns.items()
                }
                over_time.append(pd.DataFrame({**who, "step": steps, **each}))
                both = {
                    name: population_a(kernels[row, net, point]).a
                    for name, point in (("half_way", at), ("end", -1))
                }
                of_a.append({**who, **both})
    return Course(pd.concat(over_time, ignore_index=True), pd.DataFrame(of_a), half_way)


def by_seed(points: pd.DataFrame, column: str, data: str, arm: str, step: int) -> pd.Series:
    """A column of `Course.course` of one arm at one step, by seed."""
    mine = (points["data"] == data) & (points["arm"] == arm) & (points["step"] == step)
    return points[mine].set_index("seed")[column]
