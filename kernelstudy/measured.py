"""What a run's own report measured, read back array by array while it is current. No JAX."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import kernelstudy
from kernelstudy import runs
from kernelstudy.analysis import study
from kernelstudy.analysis.study import DELTA

OF, BY = "measured_of", "measured_by"  # attributes of analysis.zarr
PARTS = ("W", "update")
MOST_VALUES = 10**7  # of one array; a larger one is no analysis of ours

_PER_STEP = {"accuracy": "test_accuracy", "movement": "movement"}
_A = {"a": "a_pop", "a_low": "a_pop_low", "a_high": "a_pop_high", "a_resolved": "a_pop_resolved"}


class Measured(NamedTuple):
    """One run's measures.

    per_step: value (of W), delta (of the update), accuracy, movement, each (arm, seed, step).
    per_arm: tiers and operators of W and the update, a_pop of both at the final step, each (arm,).
    chance: mean of the primary measure under N0 and the middle 95% of networks.
    """

    arms: list[str]
    seeds: np.ndarray
    steps: np.ndarray
    per_step: dict[str, np.ndarray]
    per_arm: dict[str, np.ndarray]
    chance: tuple[float, float, float]
    diverged: np.ndarray


def seal(analysis: xr.Dataset, run: Path, verdicts: dict) -> xr.Dataset:
    """The analysis with its verdicts, and what it was made of, so that it can be read back."""
    arms = [str(arm) for arm in analysis["arm"].values]
    found = {}
    for field in ("tier", "operator"):
        values = [
            [str(getattr(verdicts.get((arm, part)), field, "")) for part in PARTS] for arm in arms
        ]
        found[field] = (("arm", "part"), np.array(values, dtype="U32"))
    sealed = analysis.assign(found).assign_coords(part=list(PARTS))
    return sealed.assign_attrs({OF: fingerprint(run), BY: kernelstudy.__version__})


def fingerprint(run: Path) -> str:
    """Hash of what tells one trajectory from another: DONE (its checksums), settings, provenance.

    Raises:
        RunError: where one of them is not to be read.
    """
    text = hashlib.sha256()
    for name in (runs.DONE, runs.CONFIG, runs.PROVENANCE):
        try:
            content = (run / name).read_bytes()
        except OSError as error:
            raise runs.RunError(f"{run / name} cannot be read: {error.strerror}") from error
        text.update(f"{name} {len(content)}\n".encode() + content)
    return text.hexdigest()


def read(run: Path, settings: dict[str, Any], metric: str) -> tuple[Measured, bool]:
    """The measures of a finished run, and whether its trajectory had to be measured again.

    Raises:
        RunError: where neither its analysis is current nor its trajectory can be read.
    """
    sealed = fingerprint(run)
    try:
        arrays = _stored(run / runs.ANALYSIS, sealed)
        return _picked(arrays, metric), False
    except Exception:  # whatever is wrong with it, the trajectory is what counts
        pass
    trajectory = runs.read_trajectory(run)
    try:
        bank, arms = settings["bank"]["kernels"], settings["arms"]
        analysis = study.measure(trajectory, bank)
        analysis = seal(analysis, run, study.verdicts(trajectory, bank, arms))
        return _picked(lambda name: analysis[name].values, metric), True
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise runs.RunError(
            f"{run} cannot be measured: {type(error).__name__}: {reason}"
        ) from error


def is_current(run: Path) -> bool:
    """Whether analysis.zarr belongs to the trajectory and to this version of the package."""
    try:
        _stored(run / runs.ANALYSIS, fingerprint(run))
    except Exception:
        return False
    return True


def _stored(place: Path, sealed: str):
    """A reader of single arrays of a current analysis.zarr: of 1,000 runs xarray would open all arrays."""
    import zarr

    group = zarr.open_group(place, mode="r", zarr_format=3, use_consolidated=False)
    if (group.attrs.get(OF), group.attrs.get(BY)) != (sealed, kernelstudy.__version__):
        raise runs.RunError(f"{place} is not of this trajectory and version")

    def array(name: str) -> np.ndarray:
        found = group[name]
        if not isinstance(found, zarr.Array) or found.size > MOST_VALUES:
            raise runs.RunError(f"{place}: {name} is no array of measures")
        values = np.asarray(found[...])
        if values.dtype.kind not in "fiubUT":
            raise runs.RunError(f"{place}: {name} holds no numbers or text")
        return values

    return array


def _picked(array, metric: str) -> Measured:
    arms = [str(arm) for arm in array("arm")]
    seeds, steps = array("seed").astype(int), array("step").astype(int)
    names = {"value": metric, "delta": DELTA + metric, **_PER_STEP}
    shape = (len(arms), len(seeds), len(steps))
    per_step = {name: array(of).astype(float).reshape(shape) for name, of in names.items()}
    per_arm: dict[str, np.ndarray] = {}
    for field in ("tier", "operator"):
        of_parts = array(field).reshape(len(arms), len(PARTS)).astype(str).astype(object)
        per_arm |= {f"{field}_{part}": of_parts[:, i] for i, part in enumerate(PARTS)}
    for part, prefix in zip(PARTS, ("", DELTA), strict=True):
        for name, of in _A.items():
            try:
                values = array(prefix + of).astype(float).reshape(len(arms), len(steps))[:, -1]
            except KeyError:  # 3 x 3 kernels alone have it
                values = np.full(len(arms), np.nan)
            per_arm[f"{name}_{part}"] = values
    row = [str(name) for name in array("measure")].index(metric)
    mean, low, high = (float(array(f"null_{end}")[row]) for end in ("mean", "low", "high"))
    diverged = array("diverged").astype(bool).reshape(shape[:2])
    return Measured(arms, seeds, steps, per_step, per_arm, (mean, low, high), diverged)
