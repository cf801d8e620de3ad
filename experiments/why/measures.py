"""What this study measures beyond a run's own report: N3 in the primary measure, and the linear theory."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy import handcrafted, runs
from kernelstudy.analysis import (
    covariance_matched,
    energy_profile,
    live_kernels,
    predicted_profile,
    sector_energies,
    steered_r2,
)
from kernelstudy.analysis.kernels import network_measures
from kernelstudy.analysis.ladder import compare
from kernelstudy.analysis.layer import mean_over_live
from kernelstudy.analysis.sectors import SECTORS
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.studies.plan import PLACE, StudyRuns

METRIC = "r2_sobel_centered"
DRAWS = 8192
ANY_RATE = np.geomspace(1e-3, 1e6, 61)  # multiples of the learning rate


class Theory(NamedTuple):
    """n3: rungs of the ladder. fits: a row a network. curves: a row an arm and step. profiles: an axis."""

    n3: pd.DataFrame
    fits: pd.DataFrame
    curves: pd.DataFrame
    profiles: pd.DataFrame
    shares: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


def measured(found: StudyRuns) -> Theory:
    """`Theory` of all runs; shares: (data, arm) -> steps, share of the odd sector (seed, step), predicted."""
    rungs, fits, curves, profiles, shares = [], [], [], [], {}
    rates = {m.path: m.settings.optim.learning_rate for m in found.sweep.members if m.study}
    for place, run in found.places.items():
        trajectory = runs.read_trajectory(run)
        update = spatial_kernels(trajectory)
        update = update - update[:, :, :1]
        steps = trajectory["step"].values
        for row, name in enumerate(trajectory["arm"].values):
            arm, kept = str(name), ~trajectory["diverged"].values[row]
            nets, seeds = update[row, kept], trajectory["seed"].values[kept]
            values, axes = _images(trajectory, row)
            rung = n3(nets[:, -1], axes)
            of_run = dict(zip(PLACE, place, strict=True))
            rungs.append({**of_run, "arm": arm, "part": "update", **rung})
            odd = network_measures(nets, {})["odd"]
            # labels unrelated to patches: b squared is as the eigenvalues are
            profile, odd_of_axis = _predictor(values, axes)
            predicted = np.array([profile(rates[run] * t) @ odd_of_axis for t in steps[1:]])
            shares[place[0], arm] = steps[1:], odd[:, 1:], predicted
            for step, share, theory in zip(steps[1:], odd[:, 1:].T, predicted, strict=True):
                curves.append((place[0], arm, step, np.nanmean(share), theory))
            shown = energy_profile(nets[:, -1], axes)
            theory = profile(rates[run] * steps[-1])
            any_rate = [profile(rates[run] * steps[-1] * factor) for factor in ANY_RATE]
            for seed, mine in zip(seeds, shown, strict=True):
                best = max(_r(mine, other) for other in any_rate)
                line = (place[0], arm, seed, _r(mine, theory), _r(mine[1:], theory[1:]), best)
                fits.append(line)
            for axis in range(len(values)):
                line = values[axis], odd_of_axis[axis], shown[:, axis].mean(), theory[axis]
                profiles.append((place[0], arm, axis + 1, *line))
    return Theory(
        pd.DataFrame(rungs),
        pd.DataFrame(fits, columns=["data", "arm", "seed", "r", "r_without_first", "r_any_rate"]),
        pd.DataFrame(curves, columns=["data", "arm", "step", "odd", "predicted"]),
        pd.DataFrame(
            profiles,
            columns=["data", "arm", "axis", "eigenvalue", "odd_of_axis", "energy", "predicted"],
        ),
        shares,
    )


def _images(trajectory: xr.Dataset, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (9,) and axes (9, 9) of the patches that an arm sees."""
    of_arm = trajectory[["patch_eigenvalue", "patch_basis"]].isel(arm=row, missing_dims="ignore")
    axes = of_arm["patch_basis"].transpose("component", "ky", "kx").values
    return of_arm["patch_eigenvalue"].values, axes.reshape(len(axes), -1)


def _predictor(values: np.ndarray, axes: np.ndarray):
    """The closed-form profile as a function of rate x steps, and the share of each axis that is odd."""
    energies = sector_energies(axes.reshape(-1, 3, 3))
    odd = energies[:, list(SECTORS).index("odd")]
    # the form depends on rate and steps by their product alone, as long as the rate is small
    small = 1e-4 / values.max()

    def profile(product: float) -> np.ndarray:
        return predicted_profile(values, np.sqrt(values), small, product / small)

    return profile, odd


def _r(one: np.ndarray, other: np.ndarray) -> float:
    spread = one.std() * other.std()
    return (
        float(np.mean((one - one.mean()) * (other - other.mean())) / spread) if spread else np.nan
    )


def n3(kernels: np.ndarray, axes: np.ndarray) -> dict:
    """The networks' mean primary measure (net, channel, 3, 3) against Gaussian kernels with their energies."""
    pair = [handcrafted.kernel(f"sobel_{axis}") for axis in "xy"]
    live = live_kernels(kernels)
    drawn = covariance_matched(kernels[live], axes, DRAWS, 0, match="share")
    mine, theirs = (steered_r2(k, *pair, centered=True) for k in (kernels, drawn))
    rung = compare(
        "N3", METRIC, mean_over_live(mine, live), np.full(len(mine), theirs.mean()), 0.05
    )
    return {
        **{
            name: getattr(rung, name)
            for name in ("null", "measure", "n", "value", "chance", "p", "q")
        },
        "diff": rung.difference,
        "ci_low": rung.low,
        "ci_high": rung.high,
        "passed": rung.passed,
    }
