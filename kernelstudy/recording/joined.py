"""Recordings made into run directories: each by itself, and all of a place together as one population."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from kernelstudy import runs
from kernelstudy.analysis import variables
from kernelstudy.analysis.fields import FIELDS
from kernelstudy.analysis.variables import RECORDED
from kernelstudy.config import Arm, Bank, Data, Model, Study, result_settings
from kernelstudy.data import stimuli
from kernelstudy.handcrafted import names as bank_names
from kernelstudy.recording import points
from kernelstudy.recording.points import Point
from kernelstudy.system import files, software
from kernelstudy.system.errors import RunError

JOINED = "joined"
# What is looked for: the bank of conf/bank/classical.yaml.
CLASSICAL = (
    *("sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y"),
    *("laplacian4", "laplacian8"),
)
METRIC = "r2_sobel_centered"


class Recording(NamedTuple):
    """One network's log. `about`: as `points.read_about` has it; `ended`: whether it was closed."""

    folder: Path
    about: dict[str, Any]
    points: list[Point]
    patches: tuple[np.ndarray, np.ndarray] | None
    ended: bool
    watched_at: tuple[int, ...] = ()

    @property
    def steps(self) -> list[int]:
        return [point.step for point in self.points]

    @property
    def watched(self) -> dict[str, Any] | None:
        """Which layers were watched, on what; None where none were."""
        return self.about.get("watched") if self.watched_at else None


def read(folder: Path) -> Recording:
    """A recording, whether it was closed or not.

    Raises:
        RunError: it is not what a Recorder writes, or holds no log point.
    """
    about, found = points.read_about(folder), points.read_points(folder)
    if not found:
        raise RunError(f"{folder} holds no log point yet")
    if len({point.kernel.shape for point in found}) > 1:
        raise RunError(f"the kernels in {folder} change their shape from step to step")
    at = tuple(points.steps(folder, points.RESPONSES))
    return Recording(folder, about, found, points.read_patches(folder), runs.is_done(folder), at)


def finish(folder: Path) -> None:
    """Make the directory of a recording that of a finished run, too; its log points stay."""
    write([read(folder)], folder)


def reopen(folder: Path) -> None:
    """Let a finished recording go on: what says that it is finished goes."""
    for name in (runs.DONE, runs.TRAJECTORY, runs.ANALYSIS):
        files.remove(folder / name)


def below(paths: Iterable[Path]) -> list[Path]:
    """The recordings among `paths` and up to two levels below them; links are not followed."""
    found: dict[Path, None] = {}

    def look(folder: Path, depth: int) -> None:
        if points.is_recording(folder):
            found[folder] = None
        elif depth:
            for entry in sorted(folder.iterdir()):
                if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                    look(entry, depth - 1)

    for path in paths:
        if path.is_dir() and not (path / runs.CONFIG).exists():
            look(path, 2)
        elif points.is_recording(path):
            found[path] = None
    return list(found)


def join(folders: list[Path], out: Path | None = None) -> Path:
    """Make one run directory of several recordings: arms by seeds, at the steps that all of them logged.

    `out`: where; without it, `joined` in the directory that holds them all.

    Raises:
        RunError: they do not belong together.
    """
    recordings = [read(folder) for folder in folders]
    if out is None:
        place = recordings[0].folder.parents[1]
        out = (place if len(folders) > 1 else recordings[0].folder.parent) / JOINED
    write(recordings, out)
    return out


def write(recordings: list[Recording], out: Path) -> None:
    """The run directory of these recordings.

    Raises:
        RunError: they do not belong together.
    """
    study = _study(recordings)
    files.write_text(out / runs.CONFIG, yaml.safe_dump(result_settings(study), sort_keys=False))
    provenance = _provenance(recordings, study)
    runs.check_reportable(out, provenance)
    runs.finish(out, _trajectory(recordings, study), provenance)


def _study(recordings: list[Recording]) -> Study:
    """The settings as far as a recording tells them."""
    shapes = {recording.points[0].kernel.shape for recording in recordings}
    if len(shapes) > 1:
        told = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise RunError(
            f"the recordings are of layers of different shapes ({told}): report them apart"
        )
    size, _, _, width = shapes.pop()
    if len({recording.folder.resolve() for recording in recordings}) < len(recordings):
        raise RunError("a recording is named twice")
    by_network: dict[tuple[str, int], Path] = {}
    for each in recordings:
        network = each.about["arm"], each.about["seed"]
        if network in by_network:
            raise RunError(
                f"{by_network[network]} and {each.folder} are both of arm {network[0]}, seed {network[1]}"
            )
        by_network[network] = each.folder
    arms = list(dict.fromkeys(arm for arm, _ in by_network))
    seeds = [
        seed
        for seed in dict.fromkeys(seed for _, seed in sorted(by_network, key=lambda n: n[1]))
        if all((arm, seed) in by_network for arm in arms)
    ]
    if not seeds:
        raise RunError(f"no seed was recorded in all of the arms {', '.join(arms)}")
    watched = _watched(recordings, arms, seeds)
    seeds = watched + [seed for seed in seeds if seed not in watched]
    steps = _steps(_chosen(recordings, arms, seeds), watched)
    about = recordings[0].about
    bank = [name for name in CLASSICAL if name in bank_names(size)]
    return Study(
        name=about["name"],
        arms=[Arm(init=arm) for arm in arms],
        seeds=seeds,
        steps=max(1, steps[-1]),
        batch_size=1,  # not known
        log_points=max(2, len(steps)),
        probe_seeds=len(watched),
        data=Data(name="recorded"),
        model=Model(kernel_size=size, width=width, depth=1, stride=about["stride"]),
        bank=Bank(kernels=bank, metric=METRIC),
        recorded=True,
    )


def _watched(recordings: list[Recording], arms: list[str], seeds: list[int]) -> list[int]:
    """The seeds whose layers were watched in every arm, at two common steps or more; none where they were
    watched on different images, or are of different layers."""
    by_network = {(one.about["arm"], one.about["seed"]): one for one in recordings}
    kept = [seed for seed in seeds if all(by_network[arm, seed].watched for arm in arms)]
    networks = _chosen(recordings, arms, kept)
    alike = {json.dumps(one.watched, sort_keys=True) for one in networks}
    at = [set(one.steps) & set(one.watched_at or one.steps) for one in recordings]
    return kept if len(alike) == 1 and len(set.intersection(*at)) > 1 else []


def _steps(recordings: list[Recording], watched: list[int]) -> list[int]:
    """The steps that all of them have logged; of `watched` seeds with what their layers show."""
    common = set(recordings[0].steps)
    for recording in recordings:
        common &= set(recording.steps)
        if recording.about["seed"] in watched:
            common &= set(recording.watched_at)
    if len(common) < 2:
        of = "the recordings have" if len(recordings) > 1 else f"{recordings[0].folder} has"
        logged = "one logged step" if common else "no logged step"
        together = " in common: record them with the same every=" if len(recordings) > 1 else ""
        raise RunError(f"{of} {logged}{together}; a report over training needs two")
    return sorted(common)


def _trajectory(recordings: list[Recording], study: Study):
    import xarray as xr  # slow to import: a training begins without it

    arms, seeds = [arm.init for arm in study.arms], study.seed_list
    networks = _chosen(recordings, arms, seeds)
    watched = seeds[: study.probe_seeds]
    steps = _steps(networks, watched)
    seen = [_at(one.points, steps) for one in networks]
    chosen = [seen[i * len(seeds) : (i + 1) * len(seeds)] for i in range(len(arms))]

    def stacked(name: str, kind: Any = None) -> np.ndarray:
        return np.array(
            [[[getattr(p, name) for p in seen] for seen in row] for row in chosen], dtype=kind
        )

    kernels = stacked("kernel")
    arrays = {
        "kernel": kernels,
        "train_loss": stacked("loss", np.float32),
        "test_accuracy": stacked("accuracy", np.float32),
        "diverged": ~np.isfinite(kernels).all(axis=(2, 3, 4, 5, 6)),
    }
    arrays |= _patches(networks, arms)
    coords: dict[str, Any] = {"arm": arms, "seed": seeds, "step": steps}
    attrs: dict[str, Any] = {RECORDED: 1}
    layers = 0
    if watched:
        of = _chosen(recordings, arms, watched)
        arrays |= _responses(of, steps, (len(arms), len(watched))) | points.read_subjects(
            of[0].folder
        )
        coords |= stimuli.coords() | {
            "probe_seed": watched,
            "statistic": list(variables.STATISTICS),
        }
        layers = len(of[0].about["watched"]["layers"])
        attrs[FIELDS] = json.dumps(of[0].about["watched"]["fields"])
    return xr.Dataset(
        variables.with_dims(arrays, layers), coords=variables.with_dims(coords, layers), attrs=attrs
    )


def _responses(
    networks: list[Recording], steps: list[int], grid: tuple[int, int]
) -> dict[str, np.ndarray]:
    """What the layers of these networks showed, (arm, probe_seed, step, ...) by name."""
    found: dict[str, list[np.ndarray]] = {}
    for one in networks:
        for step in steps:
            for name, values in points.read_responses(one.folder, step).items():
                found.setdefault(name, []).append(values)
    try:
        return {
            name: np.stack(values).reshape(*grid, len(steps), *values[0].shape)
            for name, values in found.items()
        }
    except ValueError as error:
        raise RunError(
            f"what the layers in {networks[0].folder.parent} show changes its shape"
        ) from error


def _chosen(recordings: list[Recording], arms: list[str], seeds: list[int]) -> list[Recording]:
    """The recordings that are in the report, arm by arm."""
    by_network = {(one.about["arm"], one.about["seed"]): one for one in recordings}
    return [by_network[arm, seed] for arm in arms for seed in seeds]


def _patches(networks: list[Recording], arms: list[str]) -> dict[str, np.ndarray]:
    """The images' axes; with an axis of arms where these saw different images. Of each arm those of its first
    network that was given images; none where an arm was given none."""
    of_arm = [
        next((o.patches for o in networks if o.about["arm"] == arm and o.patches is not None), None)
        for arm in arms
    ]
    known = [one for one in of_arm if one is not None]
    if len(known) < len(arms):
        return {}
    values, bases = (np.stack([one[i] for one in known]) for i in (0, 1))
    size = round(bases.shape[-1] ** 0.5)
    bases = bases.reshape(len(known), -1, size, size)
    if all(np.allclose(one[1], known[0][1]) and np.allclose(one[0], known[0][0]) for one in known):
        values, bases = values[0], bases[0]
    return {"patch_eigenvalue": values, "patch_basis": bases}


def _at(logged: list[Point], steps: list[int]) -> list[Point]:
    by_step = {point.step: point for point in logged}
    return [by_step[step] for step in steps]


def _provenance(recordings: list[Recording], study: Study) -> dict[str, Any]:
    about = recordings[0].about
    digest = hashlib.sha256()
    for recording in recordings:
        for point in recording.points:
            digest.update(point.kernel.tobytes())
    networks = _chosen(recordings, [arm.init for arm in study.arms], study.seed_list)
    ends = sorted({one.steps[-1] for one in networks})
    images = "; ".join(dict.fromkeys(one.about["images"] for one in networks))
    data = {
        "name": "recorded",
        "source": images,
        "sha256": digest.hexdigest(),
        "train": 0,
        "test": 0,
    }
    return {
        "command": about["command"],
        "data": {**data, "classes": 0, "image_shape": []},
        "device": "",
        "recorded": {
            "layer": about["layer"],
            "why": about["why"],
            "form": about["form"],
            "networks": len(recordings),
            "not_closed": sum(not one.ended for one in networks),
            "last_steps": ends,
            "in_report": len(study.arms) * len(study.seed_list),
            "watched": networks[0].watched if study.probe_seeds else None,
        },
        **software.environment(),
    }
