"""Measures of a run, and those that its own report made, read back as long as they are current. No JAX.

The report marks analysis.zarr with the run that it was made of, and adds a summary that is enough for
a report over a thousand runs: opening every array of every run would take minutes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy.analysis import tables
from kernelstudy.analysis.deep_tables import Deeper, deep_tables, measure_deep
from kernelstudy.analysis.kernels import DELTA, NEW, PREFIXES
from kernelstudy.analysis.trajectory import (
    Matches,
    Verdicts,
    agreement_of_arms,
    count_arms,
    final_matches,
    judge_arms,
    measure_trajectory,
    spatial_kernels,
)
from kernelstudy.config import Study
from kernelstudy.reporting import page
from kernelstudy.runs import directory, state, untrusted
from kernelstudy.system import files
from kernelstudy.system.errors import RunError, first_line
from kernelstudy.system.version import __version__

OF, BY, SUMMARY = "measured_of", "measured_by", "summary"  # attributes of analysis.zarr
PARTS = tuple(PREFIXES)
# What is measured and how a verdict is made, counted up when that changes: older measures are made again.
MADE_BY = f"{__version__}, measures 3"
MOST_VALUES = 10**7  # of one array

_LAST = {
    "accuracy": "test_accuracy",
    "movement": "movement",
    "memory": "memory",
    "cos_start": "cos_start",
    "start_left": "start_left",
}
_A = {"a": "a_pop", "a_low": "a_pop_low", "a_high": "a_pop_high", "a_resolved": "a_pop_resolved"}


class RunMeasures(NamedTuple):
    """One run's measures at its final step.

    per_network: value (of W), delta (of the update), new (of the new part), start (of W at step 0),
    accuracy, movement, memory, cos_start, start_left, diverged, and of W edges and low_pass, how many kernels
    are of these kinds, each (arm, seed). per_arm: tiers and operators (text), a_pop with its interval, of W,
    of the update and of the new part, each (arm,). chance: the measure's mean under N0 and the middle 95% of
    networks.
    """

    metric: str
    arms: list[str]
    seeds: np.ndarray
    step: int
    per_network: dict[str, np.ndarray]
    per_arm: dict[str, np.ndarray]
    chance: tuple[float, float, float]


def seal(analysis: xr.Dataset, fingerprint: str, verdicts: Verdicts, metric: str) -> xr.Dataset:
    """The analysis with what it was made of and its summary, so that it can be read back."""
    text = json.dumps(summary(analysis, verdicts, metric))
    return analysis.assign_attrs({OF: fingerprint, BY: MADE_BY, SUMMARY: text})


def summary(analysis: xr.Dataset, verdicts: Verdicts, metric: str) -> dict[str, Any]:
    """`RunMeasures` as plain data."""
    last, net = analysis.isel(step=-1), ("arm", "seed")
    arms = [str(arm) for arm in analysis["arm"].values]
    per_network = {
        "value": last[metric].transpose(*net),
        "delta": last[DELTA + metric].transpose(*net),
        "new": last[NEW + metric].transpose(*net),
        "edges": last["kinds"].sel(kind="edge").transpose(*net),
        "low_pass": last["kinds"].sel(kind="low-pass").transpose(*net),
        "start": analysis[metric].isel(step=0).transpose(*net),
        "diverged": analysis["diverged"].transpose(*net),
        **{name: last[variable].transpose(*net) for name, variable in _LAST.items()},
    }
    per_arm: dict[str, list] = {}
    for part, prefix in PREFIXES.items():
        for field in ("tier", "operator"):
            arm_verdicts = [verdicts.get((arm, part)) for arm in arms]
            per_arm[f"{field}_{part}"] = [str(getattr(v, field, "")) for v in arm_verdicts]
        for name, variable in _A.items():  # 3 x 3 kernels alone have it
            values = (
                last[prefix + variable].values
                if prefix + variable in last
                else np.full(len(arms), np.nan)
            )
            per_arm[f"{name}_{part}"] = values.astype(float).tolist()
    null = analysis.sel(measure=metric)
    return {
        "metric": metric,
        "arms": arms,
        "seeds": analysis["seed"].values.tolist(),
        "step": int(analysis["step"][-1]),
        "per_network": {k: v.values.astype(float).tolist() for k, v in per_network.items()},
        "per_arm": per_arm,
        "chance": [float(null[f"null_{end}"]) for end in ("mean", "low", "high")],
    }


def fingerprint_of(run: Path) -> str:
    """Hash of what distinguishes one trajectory from another: DONE (its checksums), settings, provenance.

    Raises:
        RunError: where one of them cannot be read.
    """
    text = hashlib.sha256()
    for name in (directory.DONE, directory.CONFIG, directory.PROVENANCE):
        try:
            content = untrusted.read_bytes(run, name)
            if name == directory.DONE:  # the seal of what is made with this hash came after it
                lines = content.splitlines(keepends=True)
                seal_of = f"  {directory.SUMMARY}\n".encode()
                content = b"".join(line for line in lines if not line.endswith(seal_of))
        except OSError as error:
            raise RunError(f"{run / name} cannot be read: {error.strerror}") from error
        text.update(f"{name} {len(content)}\n".encode() + content)
    return text.hexdigest()


def read_measures(
    run: Path, fingerprint: str, study: Study
) -> tuple[RunMeasures, xr.Dataset | None]:
    """The measures of a finished run, and its analysis if it had to be measured again.

    Raises:
        RunError: where neither its analysis is current nor its trajectory can be read.
    """
    try:
        measures = _from_summary(json.loads(_attributes(run, fingerprint)[SUMMARY]))
        if measures.metric == study.bank.metric:
            return measures, None
    except Exception:  # whatever is wrong with it, the trajectory is what counts
        pass
    trajectory = directory.read_trajectory(run)
    try:
        kernels = spatial_kernels(trajectory)
        analysis = measure_trajectory(trajectory, study.bank.kernels, kernels=kernels)
        verdicts = judge_arms(trajectory, study.controls, kernels=kernels)
        return _from_summary(summary(analysis, verdicts, study.bank.metric)), analysis
    except Exception as error:
        raise RunError(
            f"{run} cannot be measured: {type(error).__name__}: {first_line(error)}"
        ) from error


def is_current(run: Path, fingerprint: str) -> bool:
    """Whether analysis.zarr belongs to the trajectory and to this version of the package."""
    try:
        _attributes(run, fingerprint)
    except Exception:
        return False
    return True


def read_curves(
    run: Path, fingerprint: str, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log steps (step,) and the measure of W and of the update (arm, seed, step), from analysis.zarr.

    Raises:
        Exception: of any kind, where that is not current or not as it should be.
    """
    import zarr

    _attributes(run, fingerprint)
    untrusted.check_store(run / directory.ANALYSIS)
    group = zarr.open_group(
        run / directory.ANALYSIS, mode="r", zarr_format=3, use_consolidated=False
    )

    def array(name: str) -> np.ndarray:
        stored = group[name]
        if not isinstance(stored, zarr.Array) or stored.size > MOST_VALUES:
            raise RunError(f"{name} is no array of measures")
        values = np.asarray(stored[...])
        if values.dtype.kind not in "fiu":
            raise RunError(f"{name} holds no numbers")
        return values

    return array("step"), array(metric), array(DELTA + metric)


def _attributes(run: Path, fingerprint: str) -> dict[str, Any]:
    """The attributes of a current analysis.zarr."""
    untrusted.refuse_links(run, directory.ANALYSIS)
    store = run / directory.ANALYSIS
    content = untrusted.read_bytes(store, "zarr.json")
    recorded = directory.read_done(run).get(directory.SUMMARY)  # runs of earlier versions: None
    if recorded not in (None, hashlib.sha256(content).hexdigest()):
        raise RunError(f"{store} is not what the report wrote, its checksum says")
    attributes = json.loads(content)["attributes"]
    if (attributes[OF], attributes[BY]) != (fingerprint, MADE_BY):
        raise RunError(f"{store} is not of this trajectory and version")
    return attributes


def _from_summary(content: dict[str, Any]) -> RunMeasures:
    """`RunMeasures` from a summary; ValueError, KeyError or TypeError where its shapes do not fit."""
    arms, seeds = [str(arm) for arm in content["arms"]], np.array(content["seeds"], dtype=int)
    shape = (len(arms), len(seeds))
    names = ("value", "delta", "new", "start", "edges", "low_pass", "diverged", *_LAST)
    per_network = {
        name: np.array(content["per_network"][name], dtype=float).reshape(shape) for name in names
    }
    per_arm: dict[str, np.ndarray] = {}
    for part in PARTS:
        for name in ("tier", "operator"):
            texts = [str(text) for text in content["per_arm"][f"{name}_{part}"]]
            per_arm[f"{name}_{part}"] = np.array(texts, dtype=object).reshape(len(arms))
        for name in _A:
            values = np.array(content["per_arm"][f"{name}_{part}"], dtype=float)
            per_arm[f"{name}_{part}"] = values.reshape(len(arms))
    mean, low, high = (float(value) for value in content["chance"])
    step, metric = int(content["step"]), str(content["metric"])
    return RunMeasures(
        metric=metric,
        arms=arms,
        seeds=seeds,
        step=step,
        per_network=per_network,
        per_arm=per_arm,
        chance=(mean, low, high),
    )


class Findings(NamedTuple):
    """A finished run and what was found in it. `kernels`: its `spatial_kernels`."""

    trajectory: xr.Dataset
    study: Study
    provenance: dict[str, Any]
    kernels: np.ndarray
    matches: Matches
    analysis: xr.Dataset
    verdicts: Verdicts
    deep: Deeper | None
    tables: dict[str, pd.DataFrame]
    csv: dict[str, str]  # the same as they were written


def measure_run(
    run: Path, *, out: Path | None = None, trajectory: xr.Dataset | None = None
) -> Findings:
    """Measure a finished run and write tables/ into `out`.

    Into the run's own directory (the default) also analysis.zarr, elsewhere provenance.json.
    `trajectory`: the run's, where it has just been written; else it is read, and held to its checksums.

    Raises:
        RunError: where `run` cannot be read.
    """
    out = run if out is None else out
    return complete(measure_first_layer(run, out=out, trajectory=trajectory), run, out)


def measure_first_layer(run: Path, *, out: Path, trajectory: xr.Dataset | None = None) -> Findings:
    """The first part of `measure_run`, which writes nothing: `deep` and `tables` are still missing."""
    if trajectory is None:
        state.refuse_unfinished(run)
        trajectory = directory.read_trajectory(run)
    untrusted.refuse_links(out, "tables", "figures")
    study, provenance = directory.read_facts(run, trajectory.sizes["arm"])
    kernels = spatial_kernels(trajectory)
    return Findings(
        trajectory=trajectory,
        study=study,
        provenance=provenance,
        kernels=kernels,
        matches=final_matches(trajectory, study.bank.kernels, kernels=kernels),
        analysis=measure_trajectory(trajectory, study.bank.kernels, kernels=kernels),
        verdicts=judge_arms(trajectory, study.controls, kernels=kernels),
        deep=None,
        tables={},
        csv={},
    )


def complete(findings: Findings, run: Path, out: Path) -> Findings:
    """The second part of `measure_run`: with deeper layers and tables, written into `out`."""
    trajectory, study, analysis = findings.trajectory, findings.study, findings.analysis
    verdicts, trained = findings.verdicts, findings.matches.trained
    deep = measure_deep(trajectory, [arm.starts_random for arm in study.arms])
    frames = {
        "summary": tables.summary(analysis),
        "tests": tables.tests(analysis),
        "ladder": tables.ladder(verdicts),
        "kinds": tables.kinds(count_arms(trajectory, study.controls, kernels=findings.kernels)),
        "kind_agreement": tables.kind_agreement(
            agreement_of_arms(trajectory, kernels=findings.kernels)
        ),
        "growth": tables.growth(analysis),
        "kernels": tables.kernels(trained, trajectory["diverged"]),
        **({"colours": tables.colours(analysis)} if "achromatic" in analysis else {}),
        **({"changed": tables.changed(analysis)} if "changed_accuracy" in analysis else {}),
        **({} if deep is None else deep_tables(deep)),
    }
    if out == run:
        layer_datasets = [] if deep is None else [deep.channels, deep.layers]
        whole = xr.merge([analysis, *layer_datasets])
        sealed = seal(whole, fingerprint_of(run), verdicts, study.bank.metric)
        directory.write_dataset(out / directory.ANALYSIS, sealed)
        directory.seal_analysis(out)
    else:  # a report on its own still says where it comes from
        text = json.dumps(findings.provenance, indent=2) + "\n"
        files.write_text(out / directory.PROVENANCE, text)
    csv = page.write_tables(frames, out)
    return findings._replace(deep=deep, tables=frames, csv=csv)
