"""How many kernels of each network a Gabor function or derivatives of a Gaussian fit, beside every null."""

import numpy as np
import pandas as pd

from kernelstudy import runs
from kernelstudy.analysis import (
    bootstrap_t_interval,
    gabor_fit,
    gaussian_derivative_fit,
    isotropic,
    mean_test,
    permute_taps,
    phase_scrambled,
)
from kernelstudy.analysis.inference import FEWEST, benjamini_hochberg
from kernelstudy.analysis.layer import live_kernels
from kernelstudy.analysis.nulls import zero_mean_axes
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.studies.plan import StudyRuns

LAZY, FORGETS = "he_normal", "he_normal/wd=2"
FITS = {
    "gabor": lambda kernels: gabor_fit(kernels, draws=0).r2,
    "derivatives": lambda kernels: gaussian_derivative_fit(kernels, draws=1).r2,
}
FITTED = 0.8  # of a kernel's energy
NULLS = ("N0", "N1", "N2", "N3 signs", "N3 phases")
SMALLEST = 5


def shares(found: StudyRuns) -> pd.DataFrame:
    """A row a network and function: data, arm, seed, size, function, live, learned, and a share a null."""
    rows = []
    for run in found.places.values():
        trajectory, settings = runs.read_trajectory(run), runs.read_settings(run)
        size = settings.model.kernel_size
        if size < SMALLEST:
            continue
        kernels = spatial_kernels(trajectory.isel(step=[0, -1]))
        patches = trajectory["patch_basis"].isel(arm=0, missing_dims="ignore")
        basis = patches.transpose("component", "ky", "kx").values.reshape(size**2, -1)
        for row, arm in enumerate(trajectory["arm"].values):
            if str(arm) not in (LAZY, FORGETS):
                continue
            for column, seed in enumerate(trajectory["seed"].values):
                if trajectory["diverged"].values[row, column]:
                    continue
                start, final = kernels[row, column]
                final = final[live_kernels(final)]
                if not len(final):
                    continue
                drawn = {"learned": final, **nulls_of(start, final, basis, int(seed))}
                for name, fit in FITS.items():
                    fitted = {of: float((fit(some) >= FITTED).mean()) for of, some in drawn.items()}
                    key = (settings.data.name, str(arm), int(seed), size, name, len(final))
                    rows.append((*key, *fitted.values()))
    names = ["data", "arm", "seed", "size", "function", "live", "learned", *NULLS]
    return pd.DataFrame(rows, columns=names)


def nulls_of(
    start: np.ndarray, final: np.ndarray, basis: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Kernels of each of `NULLS` for a network's live kernels (n, k, k), drawn from its seed."""
    rng = np.random.default_rng(seed)
    n, size, _ = final.shape
    axes = zero_mean_axes(basis, final.shape)
    flat = final.reshape(n, -1)
    mean = flat.mean(axis=1, keepdims=True)
    signs = rng.choice([-1.0, 1.0], (n, len(axes)))
    turned = ((flat - mean) @ axes.T * signs) @ axes + mean
    made = (isotropic(n, size, rng), start, permute_taps(final, rng))
    return dict(
        zip(NULLS, (*made, turned.reshape(final.shape), phase_scrambled(final, rng)), strict=True)
    )


def compared(of_networks: pd.DataFrame) -> pd.DataFrame:
    """Learned less each null, a row a set, arm, size, function and null: as a rung of the ladder has it, with q
    over all of them."""
    rows = []
    for key, group in of_networks.groupby(["data", "arm", "size", "function"], sort=False):
        for null in NULLS:
            away = (group["learned"] - group[null]).to_numpy()
            p = float(mean_test(away)) if len(away) >= FEWEST else float("nan")
            means = group["learned"].mean(), group[null].mean()
            rows.append(
                (*key, null, len(away), *means, away.mean(), *bootstrap_t_interval(away), p)
            )
    names = ["data", "arm", "size", "function", "null", "n", "value", "chance"]
    table = pd.DataFrame(rows, columns=[*names, "diff", "ci_low", "ci_high", "p"])
    return table.assign(measure="share", q=benjamini_hochberg(table["p"].to_numpy(float)))


def slopes(table: pd.DataFrame) -> np.ndarray:
    """By how much a column grows a pixel, a slope a seed. table: (seed, size); seeds that lack a "
    "size are out."""
    table = table.dropna()
    x = table.columns.to_numpy(float)
    x = x - x.mean() if len(x) else x
    return table.to_numpy() @ x / (x @ x) if len(x) > 1 else np.empty(0)
