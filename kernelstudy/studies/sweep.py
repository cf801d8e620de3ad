"""Many runs read together: what was swept, what is missing, and every network's measure. No JAX.

What a run's own report measured is read from its analysis.zarr where that is current, array by
array; elsewhere its trajectory is measured again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from kernelstudy import runs
from kernelstudy.analysis.kernels import DELTA
from kernelstudy.config import METRICS, Arm
from kernelstudy.runs import measures, untrusted
from kernelstudy.studies.grid import Key, arrange, flat, label
from kernelstudy.system.errors import RunError


class Member(NamedTuple):
    """A run as it was found. `reason`: why it is missing; empty if it is not. `condition`: -1 if unknown."""

    path: Path
    settings: dict[str, Any]
    provenance: dict[str, Any]
    reason: str
    condition: int


Curves = dict[tuple[int, str], tuple[np.ndarray, np.ndarray, np.ndarray]]
Part = tuple[Member, measures.RunMeasures]
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
    raw = [_member(place) for place in places]
    finished = [member for member in raw if not member.reason]
    if not finished:
        raise RunError(f"none of the {len(raw)} runs is finished: {_first(raw)}")
    metric = _metric(finished)
    differing = mixed(finished)
    if differing and not allow_mixed:
        raise RunError(
            f"the runs do not belong together: {'; '.join(differing)} (--allow-mixed reports on them together)"
        )
    known = [i for i, member in enumerate(raw) if member.settings]
    keys, places_of, design = arrange([raw[i].settings for i in known])
    condition = dict(zip(known, places_of, strict=True))
    parts, kept, again = [], [], {}
    for i, member in enumerate(raw):
        member = member._replace(condition=condition.get(i, -1))
        if not member.reason:
            try:
                part, remade = measures.read(member.path, member.settings, metric)
                parts.append((member, part))
                again[i] = remade
            except RunError as error:
                member = member._replace(reason=str(error))
        kept.append(member)
    if not parts:
        raise RunError(f"none of the {len(raw)} runs can be read: {_first(kept)}")
    networks = pd.concat([_networks(member, part) for member, part in parts], ignore_index=True)
    place = ["condition", "arm", "seed"]
    alone = networks.drop_duplicates(place)
    notes = _notes(parts, differing, len(networks) - len(alone))
    networks = alone.sort_values("condition", kind="stable", ignore_index=True)
    cells = _cells(parts)
    count = sum(analysis is not None for analysis in again.values())
    curves = _curves(parts, again.values()) if len(design) <= MOST_CURVES else {}
    return Sweep(kept, keys, design, metric, networks, cells, curves, count, notes)


def _notes(parts: list[Part], differing: list[str], repeated: int) -> list[str]:
    notes = [f"Made of runs that differ, as was allowed: {'; '.join(differing)}."] * bool(differing)
    if repeated:
        notes.append(f"{repeated} networks are in more than one run, and counted once.")
    commits = Counter(str(member.provenance.get("git_commit"))[:12] for member, _ in parts)
    if len(commits) > 1:
        listed = ", ".join(f"{commit} ({count})" for commit, count in commits.most_common())
        notes.append(f"The runs come from different commits of one version: {listed}.")
    return notes


def _member(place: Path) -> Member:
    settings: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    try:
        found = runs.read_config(place)
        reason = _unusable(found)
        settings = {} if reason else found
        if not runs.is_done(place):
            reason = _why(place)
        elif not reason:
            settings, provenance = runs.read_facts(place)
    except RunError as error:
        reason = str(error)
    return Member(place, settings, provenance, reason, -1)


def _unusable(settings: dict[str, Any]) -> str:
    """What keeps settings from being those of a run, or nothing."""
    try:
        learning_arms(settings)
        if settings["bank"]["metric"] in METRICS and isinstance(settings["bank"]["kernels"], list):
            return ""
        reason = "its bank is none"
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    return f"{runs.CONFIG} is not that of a run: {reason}"


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
    found = {str(member.settings["bank"]["metric"]) for member in members}
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
        packages = member.provenance.get("packages")
        named = {"kernelstudy": member.provenance.get("kernelstudy")}
        for name, version in (named | (packages if isinstance(packages, dict) else {})).items():
            versions.setdefault(str(name), {}).setdefault(str(version), []).append(member.path)
        of_data = member.provenance.get("data")
        sha = of_data.get("sha256") if isinstance(of_data, dict) else None
        chosen = {k: v for k, v in flat(member.settings).items() if k.startswith("data.")}
        place = data.setdefault(json.dumps(chosen, sort_keys=True, default=str), {})
        place.setdefault(str(sha), []).append(member.path)
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


def learning_arms(settings: dict[str, Any]) -> list[str]:
    """The names of the arms that learned their first layer from true labels."""
    arms = [arm for arm in settings["arms"] if arm["labels"] == "true"]
    return [arm_name(arm) for arm in arms if arm["first_layer"] == "learned"]


def arm_name(arm: dict[str, Any]) -> str:
    return Arm(**arm).name


def _networks(member: Member, part: measures.RunMeasures) -> pd.DataFrame:
    arms, seeds = len(part.arms), len(part.seeds)
    columns = {name: values.ravel() for name, values in part.per_network.items()}
    return pd.DataFrame(
        {
            "condition": member.condition,
            "arm": np.repeat(np.array(part.arms, dtype=object), seeds),
            "seed": np.tile(part.seeds, arms),
            "run": str(member.path),
            "steps": part.step,
            **columns,
            "chance": part.chance[0],
            "diverged": columns["diverged"] != 0,
        }
    )


def _cells(parts: list[Part]) -> pd.DataFrame:
    """A row a condition and arm. Verdicts and a are of a run: where several share it there are none."""
    frames = []
    for member, part in parts:
        mean, low, high = part.chance
        chance = {"null_mean": mean, "null_low": low, "null_high": high}
        place = {"condition": member.condition, "arm": part.arms}
        frames.append(pd.DataFrame({**place, **chance, **part.per_arm}))
    cells = pd.concat(frames, ignore_index=True)
    shared = cells.duplicated(["condition", "arm"], keep=False)
    for name in parts[0][1].per_arm:
        cells.loc[shared, name] = "" if name.startswith(("tier", "operator")) else np.nan
    return cells.drop_duplicates(["condition", "arm"], ignore_index=True)


def _curves(parts: list[Part], remade: Iterable[xr.Dataset | None]) -> Curves:
    """Curves of all runs that have them; seeds of several runs with the same log steps together."""
    found: Curves = {}
    for (member, part), analysis in zip(parts, remade, strict=True):
        try:
            if analysis is None:
                steps, *both = measures.curves(member.path, part.metric)
            else:
                names = ("step", part.metric, DELTA + part.metric)
                steps, *both = (analysis[name].values for name in names)
            shape = (len(part.arms), len(part.seeds), len(steps))
            both = [np.asarray(values, dtype=float).reshape(shape) for values in both]
        except Exception:  # its summary is whole, and this is but a picture
            continue
        for row, arm in enumerate(part.arms):
            mine = [values[row] for values in both]
            before = found.get((member.condition, arm))
            if before and np.array_equal(before[0], steps):
                mine = [np.concatenate(pair) for pair in zip(before[1:], mine, strict=True)]
            found[member.condition, arm] = (steps, mine[0], mine[1])
    return found


def _first(members: list[Member]) -> str:
    return "; ".join(f"{m.path}: {m.reason}" for m in members[:3])
