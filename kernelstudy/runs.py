"""Run directories: where a run lives, what it holds, and how that is read back. No JAX here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import kernelstudy
from kernelstudy.config import NEUTRAL, NOT_IN_ID, Study

if TYPE_CHECKING:
    import xarray as xr

TRAJECTORY, ANALYSIS = "trajectory.zarr", "analysis.zarr"
CONFIG, PROVENANCE, METRICS = "config.yaml", "provenance.json", "metrics.jsonl"
DONE, FAILED = "DONE", "FAILED"


class RunError(ValueError):
    """A run directory is not what it should be; the message is one sentence."""


def result_settings(study: Study) -> dict[str, Any]:
    """All settings that change the result, as plain data."""
    settings = dataclasses.asdict(study)
    for key in NOT_IN_ID:
        group, _, entry = key.rpartition(".")
        (settings[group] if group else settings).pop(entry)
    return settings


def run_id(study: Study) -> str:
    """Hash of what makes the result: the settings (with the seeds spelled out) and the version."""
    settings = {**result_settings(study), "seeds": study.seed_list}
    for key, neutral in NEUTRAL.items():
        group, _, entry = key.rpartition(".")
        place = settings[group] if group else settings
        if place[entry] == neutral:
            place.pop(entry)
    text = json.dumps([kernelstudy.__version__, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_dir(study: Study) -> Path:
    """Where the run of `study` lives: <runs_dir>/<name>/<id>."""
    return Path(study.runs_dir) / study.name / run_id(study)


def is_done(run: Path) -> bool:
    return (run / DONE).is_file()


def start(run: Path, study: Study) -> None:
    """Make an empty run directory; what an interrupted run left there is cleared away."""
    if run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True)
    write_text(run / CONFIG, yaml.safe_dump(result_settings(study), sort_keys=False))


def finish(run: Path, trajectory: xr.Dataset, provenance: dict[str, Any]) -> None:
    """Put the trajectory and its provenance in place, DONE last."""
    write_dataset(run / TRAJECTORY, trajectory)
    write_text(run / PROVENANCE, json.dumps(provenance, indent=2) + "\n")
    write_text(run / DONE, "")


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one object to metrics.jsonl."""
    with (run / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_config(run: Path) -> dict[str, Any]:
    """The settings of a run, as plain data."""
    return _read(run, CONFIG, yaml.safe_load)


def read_provenance(run: Path) -> dict[str, Any]:
    return _read(run, PROVENANCE, json.loads)


def read_trajectory(run: Path) -> xr.Dataset:
    """The logged trajectory, in memory.

    Raises:
        RunError: where `run` is not a finished run, or its trajectory cannot be read.
    """
    import xarray as xr  # slow to import: training starts without it

    if not run.is_dir():
        raise RunError(f"{run} is not a directory")
    if not is_done(run):
        raise RunError(f"{run} holds no finished run (there is no {DONE} in it)")
    try:
        with xr.open_zarr(run / TRAJECTORY, consolidated=False) as dataset:
            return dataset.load()
    except Exception as error:
        raise RunError(f"{run / TRAJECTORY} cannot be read: {_first_line(error)}") from error


def _read(run: Path, name: str, parse: Any) -> Any:
    try:
        found = parse((run / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{run / name} cannot be read: {_first_line(error)}") from error
    if not isinstance(found, dict):
        raise RunError(f"{run / name} cannot be read: it holds no mapping")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as place:
        temporary = Path(place) / path.name
        yield temporary
        if path.is_dir():  # a directory cannot be renamed over one that is not empty
            path.rename(Path(place) / "old")
        temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a Zarr store whole or not at all."""
    with replacing(path) as temporary, warnings.catch_warnings():
        # Zarr 3 says of text coordinates that their encoding is not in its specification yet.
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        dataset.to_zarr(temporary, consolidated=False)


def environment() -> dict[str, Any]:
    """Versions of what a result rests on, the machine's kind and the commit of a checkout."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tensorflow-datasets", "xarray")
    return {
        "kernelstudy": kernelstudy.__version__,
        "git_commit": _commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": {name: metadata.version(name) for name in packages},
    }


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, '+' if it was changed since."""
    root = Path(kernelstudy.__file__).parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None
