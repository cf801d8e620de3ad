"""Many runs read together: what was swept, what is missing, and every network's measure. No JAX.

What a run's own report measured is read from its analysis.zarr where that is current, array by
array; elsewhere its trajectory is measured again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy import runs
from kernelstudy.analysis.kernels import DELTA
from kernelstudy.config import Study
from kernelstudy.runs import state, untrusted
from kernelstudy.runs.measures import RunMeasures, fingerprint_of, read_curves, read_measures
from kernelstudy.studies.grid import Key, arrange, flat, label
from kernelstudy.system.errors import RunError


class Member(NamedTuple):
    """A run of a sweep. `study`: its settings, None if they cannot be read. `fingerprint`: of a
    finished one. `reason`: why it is missing; empty if it is not. `condition`: -1 if unknown."""

    path: Path
    study: Study | None
    provenance: dict[str, Any]
    fingerprint: str
    reason: str
    condition: int = -1

    @property
    def settings(self) -> Study:
        """Those of a run that is not missing."""
        assert self.study is not None
        return self.study


Curves = dict[tuple[int, str], tuple[np.ndarray, np.ndarray, np.ndarray]]
MemberMeasures = tuple[Member, RunMeasures]
MOST_CURVES = 36  # conditions of which curves over steps are read, and drawn


class Sweep(NamedTuple):
    """Runs read together.

    `design`: a row a condition, a column a swept key with the index of its value. `networks`: a row
    a network at its run's final step. `cells`: a row a condition and arm: chance, tiers, a.
    `curves`: (condition, arm) -> steps (n,), then W and the update (seed, n). `notes`: what a reader
    has to know.
    """

    members: list[Member]
    keys: list[Key]
    design: pd.DataFrame
    metric: str
    networks: pd.DataFrame
    cells: pd.DataFrame
    curves: Curves
    measured_again: int
    notes: list[str]


def find_runs(paths: list[Path]) -> list[Path]:
    """The run directories among `paths`, each once; of a directory of runs, all that are in it.

    Raises:
        RunError: where one of them is no directory.
    """
    directories: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise RunError(f"{path} is not a directory")
        inside = [] if _is_run(path) else sorted(p for p in path.iterdir() if _is_run(p))
        if not inside and is_report(path):
            continue
        for run in inside or [path]:
            directories.setdefault(run.resolve(), run)
    return list(directories.values())


def _is_run(directory: Path) -> bool:
    return any((directory / name).is_file() for name in (runs.CONFIG, runs.DONE, runs.FAILED))


def is_report(directory: Path) -> bool:
    """Whether `directory` holds a report over many runs, as a shell's * finds beside them."""
    return (directory / "tables" / "networks.csv").is_file() and not _is_run(directory)


def read_sweep(directories: list[Path], *, allow_mixed: bool = False) -> Sweep:
    """Read the runs in `directories` (at least two) as one sweep.

    Raises:
        RunError: none of them is finished; they declare different primary measures; or they were made
            by different versions, or of different data under one name, and that is not allowed.
    """
    members = [_member(directory) for directory in directories]
    finished = [member for member in members if not member.reason]
    if not finished:
        raise RunError(f"none of the {len(members)} runs is finished: {_first_reasons(members)}")
    metric = _metric(finished)
    differences = unexplained_differences(finished)
    if differences and not allow_mixed:
        raise RunError(
            f"the runs do not belong together: {'; '.join(differences)} "
            "(--allow-mixed reports on them together)"
        )
    keys, members, design = _with_conditions(members)
    members, measures, analyses = _measures_of(members)
    if not measures:
        raise RunError(f"none of the {len(members)} runs can be read: {_first_reasons(members)}")
    networks = pd.concat([_networks(*one) for one in measures], ignore_index=True)
    distinct = networks.drop_duplicates(["condition", "arm", "seed"])
    return Sweep(
        members=members,
        keys=keys,
        design=design,
        metric=metric,
        networks=distinct.sort_values("condition", kind="stable", ignore_index=True),
        cells=_cells(measures),
        curves=_curves(measures, analyses) if len(design) <= MOST_CURVES else {},
        measured_again=sum(analysis is not None for analysis in analyses),
        notes=_notes(measures, differences, len(networks) - len(distinct)),
    )


def _with_conditions(members: list[Member]) -> tuple[list[Key], list[Member], pd.DataFrame]:
    """The swept keys, the members with their conditions, and the conditions' design."""
    known = [i for i, member in enumerate(members) if member.study is not None]
    keys, conditions, design = arrange([members[i].settings for i in known])
    condition_of = dict(zip(known, conditions, strict=True))
    members = [
        member._replace(condition=condition_of.get(i, -1)) for i, member in enumerate(members)
    ]
    return keys, members, design


def _measures_of(
    members: list[Member],
) -> tuple[list[Member], list[MemberMeasures], list[xr.Dataset | None]]:
    """The members, of which some turn out not to be readable; the others with their measures; and the
    analyses of those that had to be measured again."""
    all_members, measures, analyses = [], [], []
    for member in members:
        if not member.reason:
            try:
                run_measures, analysis = read_measures(
                    member.path, member.fingerprint, member.settings
                )
                measures.append((member, run_measures))
                analyses.append(analysis)
            except RunError as error:
                member = member._replace(reason=str(error))
        all_members.append(member)
    return all_members, measures, analyses


def _notes(measures: list[MemberMeasures], differences: list[str], repeated: int) -> list[str]:
    notes = []
    if differences:
        notes.append(f"Made of runs that differ, as was allowed: {'; '.join(differences)}.")
    if repeated:
        notes.append(f"{repeated} networks are in more than one run, and counted once.")
    commits = Counter(str(member.provenance.get("git_commit"))[:12] for member, _ in measures)
    if len(commits) > 1:
        listed = ", ".join(f"{commit} ({count})" for commit, count in commits.most_common())
        notes.append(f"The runs come from different commits of one version: {listed}.")
    return notes


def _member(directory: Path) -> Member:
    study: Study | None = None
    provenance: dict[str, Any] = {}
    fingerprint, reason = "", ""
    try:
        study = runs.read_settings(directory)
        if not runs.is_done(directory):
            reason = _reason(directory)
        else:
            study, provenance = runs.read_facts(directory)
            fingerprint = fingerprint_of(directory)
    except RunError as error:
        reason = str(error)
    return Member(directory, study, provenance, fingerprint, reason)


def _reason(directory: Path) -> str:
    """Why a run has no DONE: the last line of its traceback, or where it is."""
    if not (directory / runs.FAILED).is_file():
        return f"not finished: {state.status_of(directory).words}"
    try:
        text = untrusted.read_bytes(directory, runs.FAILED, last=4000)
        lines = text.decode("utf-8", "replace").split("\n")
    except OSError as error:
        return f"failed ({error.strerror})"
    return "failed: " + next((line.strip()[:200] for line in lines[::-1] if line.strip()), "")


def _metric(members: list[Member]) -> str:
    metrics = {member.settings.bank.metric for member in members}
    if len(metrics) > 1:
        raise RunError(
            f"the runs declare different primary measures ({', '.join(sorted(metrics))}): report on those of "
            "one bank.metric at a time"
        )
    return metrics.pop()


def unexplained_differences(members: list[Member]) -> list[str]:
    """Versions and data in which the runs differ though their settings do not, in words."""
    sentences = []
    versions: dict[str, dict[str, list[Path]]] = {}
    data: dict[str, dict[str, list[Path]]] = {}
    for member in members:
        for name, version in _versions(member.provenance).items():
            versions.setdefault(str(name), {}).setdefault(str(version), []).append(member.path)
        settings = {k: v for k, v in flat(member.settings).items() if k.startswith("data.")}
        paths_by_hash = data.setdefault(json.dumps(settings, sort_keys=True, default=str), {})
        paths_by_hash.setdefault(member.provenance["data"]["sha256"], []).append(member.path)
    for name, by_version in versions.items():
        if len(by_version) > 1:
            sentences.append(f"{name} is {_groups_in_words(by_version)}")
    for settings, by_hash in data.items():
        if len(by_hash) > 1:
            short = {sha[:16]: paths for sha, paths in by_hash.items()}
            name = json.loads(settings).get("data.name", "data")
            sentences.append(f"the data {label(name)} have sha256 {_groups_in_words(short)}")
    return sentences


def _groups_in_words(groups: dict[str, list[Path]]) -> str:
    return " and ".join(
        f"{label(name)} in {len(paths)} (such as {paths[0]})"
        for name, paths in sorted(groups.items())
    )


def _networks(member: Member, measures: RunMeasures) -> pd.DataFrame:
    arms, seeds = len(measures.arms), len(measures.seeds)
    columns = {name: values.ravel() for name, values in measures.per_network.items()}
    return pd.DataFrame(
        {
            "condition": member.condition,
            "arm": np.repeat(np.array(measures.arms, dtype=object), seeds),
            "seed": np.tile(measures.seeds, arms),
            "run": str(member.path),
            "steps": measures.step,
            **columns,
            "chance": measures.chance[0],
            "diverged": columns["diverged"] != 0,
        }
    )


def _cells(measures: list[MemberMeasures]) -> pd.DataFrame:
    """A row a condition and arm. Verdicts and a are of a run: where several share it there are none."""
    frames = []
    for member, run_measures in measures:
        mean, low, high = run_measures.chance
        chance = {"null_mean": mean, "null_low": low, "null_high": high}
        axes = {"condition": member.condition, "arm": run_measures.arms}
        frames.append(pd.DataFrame({**axes, **chance, **run_measures.per_arm}))
    cells = pd.concat(frames, ignore_index=True)
    shared = cells.duplicated(["condition", "arm"], keep=False)
    for name in measures[0][1].per_arm:
        nothing = "" if cells[name].dtype == object else np.nan
        cells.loc[shared, name] = nothing
    return cells.drop_duplicates(["condition", "arm"], ignore_index=True)


def _curves(measures: list[MemberMeasures], analyses: list[xr.Dataset | None]) -> Curves:
    """Curves of all runs that have them; seeds of several runs with the same log steps together."""
    curves: Curves = {}
    for (member, run_measures), analysis in zip(measures, analyses, strict=True):
        try:
            if analysis is None:
                steps, *parts = read_curves(member.path, member.fingerprint, run_measures.metric)
            else:
                names = ("step", run_measures.metric, DELTA + run_measures.metric)
                steps, *parts = (analysis[name].values for name in names)
            shape = (len(run_measures.arms), len(run_measures.seeds), len(steps))
            parts = [np.asarray(values, dtype=float).reshape(shape) for values in parts]
        except Exception:  # its summary is whole, and this is but a picture
            continue
        for row, arm in enumerate(run_measures.arms):
            arm_curves = [values[row] for values in parts]
            earlier = curves.get((member.condition, arm))
            if earlier and np.array_equal(earlier[0], steps):
                arm_curves = [
                    np.concatenate(pair) for pair in zip(earlier[1:], arm_curves, strict=True)
                ]
            curves[member.condition, arm] = (steps, arm_curves[0], arm_curves[1])
    return curves


@dataclass(frozen=True)
class Sources:
    """What the finished runs of a report rest on, each in one line."""

    versions: str
    commits: str
    data: str
    devices: str


def sources_of(members: list[Member]) -> Sources:
    """The `Sources` of those members that are not missing."""
    known = [member.provenance for member in members if not member.reason]

    def line(texts: Iterable[Any]) -> str:
        return "; ".join(dict.fromkeys(map(str, texts)))

    return Sources(
        versions=line(
            ", ".join(f"{name} {version}" for name, version in _versions(one).items())
            for one in known
        ),
        commits=line(one.get("git_commit") for one in known),
        data=line(
            f"{one['data']['name']} ({one['data']['train']:,} images, sha256 {one['data']['sha256'][:16]})"
            for one in known
        ),
        devices=line(one["device"] for one in known),
    )


def _versions(provenance: dict[str, Any]) -> dict[str, Any]:
    """Of the package and of those that it rests on, as far as a run says."""
    return {"kernelstudy": provenance.get("kernelstudy"), **(provenance.get("packages") or {})}


def _first_reasons(members: list[Member]) -> str:
    return "; ".join(f"{m.path}: {m.reason}" for m in members[:3])
