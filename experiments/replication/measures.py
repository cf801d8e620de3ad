"""What this study measures beyond a run's own report: accuracy on changed images, and kernels' "
"first direction."""

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy import runs
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.studies.plan import StudyRuns

CHANGES = ("noise@0.5", "blur@1", "contrast@0.5", "shift@2")
CLONE = "gaussian_clone"
CLASSES = {"mnist5k": 10, "photo_patches": 8}


def courses(found: StudyRuns) -> pd.DataFrame:
    """A row a network and log point: data, arm, seed, step, clean, under (mean over `CHANGES`), clone,
    direction, and accuracy on each change. Networks that diverged are left out."""
    tables = []
    for (data, *_), run in found.places.items():
        trajectory = runs.read_trajectory(run)
        net = ("arm", "seed", "step")
        changed = trajectory["changed_accuracy"].transpose(*net, "test")
        of_tests = {str(test): changed.sel(test=test).values for test in changed["test"].values}
        columns = {
            "clean": trajectory["test_accuracy"].transpose(*net).values,
            "under": np.mean([of_tests[change] for change in CHANGES], axis=0),
            "clone": of_tests[CLONE],
            "direction": first_direction(spatial_kernels(trajectory)),
            **{change: of_tests[change] for change in CHANGES},
        }
        table = xr.Dataset(
            {name: (net, values) for name, values in columns.items()},
            coords={name: trajectory[name] for name in net},
        )
        table = table.where(~trajectory["diverged"]).to_dataframe().reset_index()
        tables.append(table.assign(data=data))
    return pd.concat(tables, ignore_index=True).dropna(subset=["clean"])


def first_direction(kernels: np.ndarray) -> np.ndarray:
    """Of kernels (..., channel, k, k), each at norm 1, the largest eigenvalue of their second "
    "moments, (...)."""
    flat = kernels.reshape(*kernels.shape[:-2], -1)
    norm = np.linalg.norm(flat, axis=-1, keepdims=True)
    unit = np.nan_to_num(flat / np.where(norm > 0, norm, np.nan))
    products = unit @ unit.swapaxes(-1, -2) / unit.shape[-2]
    return np.linalg.eigvalsh(products)[..., -1]


def course(table: pd.DataFrame, data: str, arm: str, column: str) -> pd.DataFrame:
    """(seed, step) of one arm."""
    mine = table[(table["data"] == data) & (table["arm"] == arm)]
    return mine.pivot_table(index="seed", columns="step", values=column)


def fall_of_lead(table: pd.DataFrame, data: str, arm: str) -> np.ndarray:
    """Accuracy on clones less that on the images, at the first log point at which the arm has half of its final
    accuracy (from chance), less the same at the end; a value a seed."""
    clean, clone = (course(table, data, arm, column) for column in ("clean", "clone"))
    if not len(clean):
        return np.empty(0)
    chance, mean = 1 / CLASSES[data], clean.mean()
    half = chance + (mean.iloc[-1] - chance) / 2
    step = mean.index[int((mean >= half).to_numpy().argmax())]
    lead = clone - clean
    return (lead[step] - lead.iloc[:, -1]).to_numpy()


def fall_from_peak(table: pd.DataFrame, data: str, arm: str) -> tuple[int, np.ndarray]:
    """The log point at which the mean lead of clones is largest, and each seed's lead at the largest one of all
    others less that at the end; it was not planned."""
    lead = course(table, data, arm, "clone") - course(table, data, arm, "clean")
    if len(lead) < 2:
        return 0, np.empty(0)
    values = lead.to_numpy()
    falls = []
    for row in range(len(values)):
        step = int(np.delete(values, row, axis=0).mean(axis=0).argmax())
        falls.append(values[row, step] - values[row, -1])
    return int(lead.columns[int(lead.mean().to_numpy().argmax())]), np.array(falls)


def condensed(table: pd.DataFrame, data: str, small: str, full: str) -> np.ndarray:
    """First direction of `small` less that of `full` at the log point, after the start, at which all other
    networks of `small` have it highest; a value a seed."""
    mine, other = (course(table, data, arm, "direction") for arm in (small, full))
    shared = mine.index.intersection(other.index)
    one, two = mine.loc[shared].to_numpy(), other.loc[shared].to_numpy()
    away = []
    for row in range(len(one) if len(one) > 1 else 0):
        step = 1 + int(np.delete(one, row, axis=0).mean(axis=0)[1:].argmax())
        away.append(one[row, step] - two[row, step])
    return np.array(away)
