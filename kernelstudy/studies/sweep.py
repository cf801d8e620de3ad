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
from kernelstudy.runs import untrusted
from kernelstudy.runs.measures import RunMeasures, fingerprint_of, read_curves, read_measures
from kernelstudy.studies.grid import Key, arrange, flat, label
from kernelstudy.system.errors import RunError


class Member(NamedTuple):
    """A run as it was found. `study`: its settings, None if they cannot be read. `fingerprint`: of a
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


def find_runs(places: list[Path]) -> list[Path]:
    """The run directories among `places`, each once; of a directory of runs, all that are in it.

    Raises:
        RunError: where one of them is no directory.
    """
    found: dict[Path, Path] = {}
    for place in places:
        if not place.is_dir():
            raise RunError(f"{place} is not a directory")
        inside = [] if _is_run(place) else sorted(p for p in place.iterdir() if _is_run(p))
        if not inside and is_report(place):
            continue
        for path in inside or [place]:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _is_run(place: Path) -> bool:
    return any((place / name).is_file() for name in (runs.CONFIG, runs.DONE, runs.FAILED))


def is_report(place: Path) -> bool:
    """Whether `place` holds a report over many runs, as a shell's * finds beside them."""
    return (place / "tables" / "networks.csv").is_file() and not _is_run(place)


def read_sweep(places: list[Path], *, allow_mixed: bool = False) -> Sweep:
    """Read the runs in `places` (at least two) as one sweep.

    Raises:
        RunError: none of them is finished; they declare different primary measures; or they were made
            by different versions, or of different data under one name, and that is not allowed.
    """
    members = [_member(place) for place in places]
    finished = [member for member in members if not member.reason]
    if not finished:
        raise RunError(f"none of the {len(members)} runs is finished: {_first(members)}")
    metric = _metric(finished)
    differing = mixed(finished)
    if differing and not allow_mixed:
        raise RunError(
            f"the runs do not belong together: {'; '.join(differing)} (--allow-mixed reports on them together)"
        )
    keys, members, design = _placed(members)
    members, read, again = _measures_of(members)
    if not read:
        raise RunError(f"none of the {len(members)} runs can be read: {_first(members)}")
    networks = pd.concat([_networks(*one) for one in read], ignore_index=True)
    alone = networks.drop_duplicates(["condition", "arm", "seed"])
    return Sweep(
        members=members,
        keys=keys,
        design=design,
        metric=metric,
        networks=alone.sort_values("condition", kind="stable", ignore_index=True),
        cells=_cells(read),
        curves=_curves(read, again) if len(design) <= MOST_CURVES else {},
        measured_again=sum(analysis is not None for analysis in again),
        notes=_notes(read, differing, len(networks) - len(alone)),
    )


def _placed(members: list[Member]) -> tuple[list[Key], list[Member], pd.DataFrame]:
    """The swept keys, the members with their conditions, and the conditions' design."""
    known = [i for i, member in enumerate(members) if member.study is not None]
    keys, conditions, design = arrange([members[i].settings for i in known])
    of = dict(zip(known, conditions, strict=True))
    placed = [member._replace(condition=of.get(i, -1)) for i, member in enumerate(members)]
    return keys, placed, design


def _measures_of(
    members: list[Member],
) -> tuple[list[Member], list[MemberMeasures], list[xr.Dataset | None]]:
    """The members, of which some turn out not to be readable; the others with their measures; and the
    analyses of those that had to be measured again."""
    kept, read, again = [], [], []
    for member in members:
        if not member.reason:
            try:
                found, remade = read_measures(member.path, member.fingerprint, member.settings)
                read.append((member, found))
                again.append(remade)
            except RunError as error:
                member = member._replace(reason=str(error))
        kept.append(member)
    return kept, read, again


def _notes(read: list[MemberMeasures], differing: list[str], repeated: int) -> list[str]:
    notes = []
    if differing:
        notes.append(f"Made of runs that differ, as was allowed: {'; '.join(differing)}.")
    if repeated:
        notes.append(f"{repeated} networks are in more than one run, and counted once.")
    commits = Counter(str(member.provenance.get("git_commit"))[:12] for member, _ in read)
    if len(commits) > 1:
        listed = ", ".join(f"{commit} ({count})" for commit, count in commits.most_common())
        notes.append(f"The runs come from different commits of one version: {listed}.")
    return notes


def _member(place: Path) -> Member:
    study: Study | None = None
    provenance: dict[str, Any] = {}
    fingerprint, reason = "", ""
    try:
        study = runs.read_settings(place)
        if not runs.is_done(place):
            reason = _why(place)
        else:
            study, provenance = runs.read_facts(place)
            fingerprint = fingerprint_of(place)
    except RunError as error:
        reason = str(error)
    return Member(place, study, provenance, fingerprint, reason)


def _why(place: Path) -> str:
    """Why a run has no DONE: the last line of its traceback, or that it has not ended."""
    if not (place / runs.FAILED).is_file():
        return "not finished"
    try:
        text = untrusted.read_bytes(place, runs.FAILED, last=4000)
        lines = text.decode("utf-8", "replace").split("\n")
    except OSError as error:
        return f"failed ({error.strerror})"
    return "failed: " + next((line.strip()[:200] for line in lines[::-1] if line.strip()), "")


def _metric(members: list[Member]) -> str:
    found = {member.settings.bank.metric for member in members}
    if len(found) > 1:
        raise RunError(
            f"the runs declare different primary measures ({', '.join(sorted(found))}): report on those of "
            "one bank.metric at a time"
        )
    return found.pop()


def mixed(members: list[Member]) -> list[str]:
    """Versions and data in which the runs differ though their settings do not, in words."""
    found = []
    versions: dict[str, dict[str, list[Path]]] = {}
    data: dict[str, dict[str, list[Path]]] = {}
    for member in members:
        for name, version in _versions(member.provenance).items():
            versions.setdefault(str(name), {}).setdefault(str(version), []).append(member.path)
        chosen = {k: v for k, v in flat(member.settings).items() if k.startswith("data.")}
        place = data.setdefault(json.dumps(chosen, sort_keys=True, default=str), {})
        place.setdefault(member.provenance["data"]["sha256"], []).append(member.path)
    for name, by_version in versions.items():
        if len(by_version) > 1:
            found.append(f"{name} is {_listed(by_version)}")
    for chosen, by_hash in data.items():
        if len(by_hash) > 1:
            short = {sha[:16]: paths for sha, paths in by_hash.items()}
            name = json.loads(chosen).get("data.name", "data")
            found.append(f"the data {label(name)} have sha256 {_listed(short)}")
    return found


def _listed(groups: dict[str, list[Path]]) -> str:
    return " and ".join(
        f"{label(name)} in {len(paths)} (such as {paths[0]})"
        for name, paths in sorted(groups.items())
    )


def _networks(member: Member, found: RunMeasures) -> pd.DataFrame:
    arms, seeds = len(found.arms), len(found.seeds)
    columns = {name: values.ravel() for name, values in found.per_network.items()}
    return pd.DataFrame(
        {
            "condition": member.condition,
            "arm": np.repeat(np.array(found.arms, dtype=object), seeds),
            "seed": np.tile(found.seeds, arms),
            "run": str(member.path),
            "steps": found.step,
            **columns,
            "chance": found.chance[0],
            "diverged": columns["diverged"] != 0,
        }
    )


def _cells(read: list[MemberMeasures]) -> pd.DataFrame:
    """A row a condition and arm. Verdicts and a are of a run: where several share it there are none."""
    frames = []
    for member, found in read:
        mean, low, high = found.chance
        chance = {"null_mean": mean, "null_low": low, "null_high": high}
        place = {"condition": member.condition, "arm": found.arms}
        frames.append(pd.DataFrame({**place, **chance, **found.per_arm}))
    cells = pd.concat(frames, ignore_index=True)
    shared = cells.duplicated(["condition", "arm"], keep=False)
    for name in read[0][1].per_arm:
        nothing = "" if cells[name].dtype == object else np.nan
        cells.loc[shared, name] = nothing
    return cells.drop_duplicates(["condition", "arm"], ignore_index=True)


def _curves(read: list[MemberMeasures], again: list[xr.Dataset | None]) -> Curves:
    """Curves of all runs that have them; seeds of several runs with the same log steps together."""
    curves: Curves = {}
    for (member, found), analysis in zip(read, again, strict=True):
        try:
            if analysis is None:
                steps, *both = read_curves(member.path, member.fingerprint, found.metric)
            else:
                names = ("step", found.metric, DELTA + found.metric)
                steps, *both = (analysis[name].values for name in names)
            shape = (len(found.arms), len(found.seeds), len(steps))
            both = [np.asarray(values, dtype=float).reshape(shape) for values in both]
        except Exception:  # its summary is whole, and this is but a picture
            continue
        for row, arm in enumerate(found.arms):
            mine = [values[row] for values in both]
            before = curves.get((member.condition, arm))
            if before and np.array_equal(before[0], steps):
                mine = [np.concatenate(pair) for pair in zip(before[1:], mine, strict=True)]
            curves[member.condition, arm] = (steps, mine[0], mine[1])
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


def _first(members: list[Member]) -> str:
    return "; ".join(f"{m.path}: {m.reason}" for m in members[:3])
