"""Run directories: where a run lives, what it holds, and how that is read back. No JAX here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kernelstudy.config import ConfigError, Study, result_settings, settings_in_id, study_of
from kernelstudy.config.checks import check_reported
from kernelstudy.runs import layout, lock, untrusted
from kernelstudy.system import files, limits, plain_yaml
from kernelstudy.system.errors import RunError, first_line
from kernelstudy.system.files import replacing, write_text
from kernelstudy.system.software import versions
from kernelstudy.system.version import __version__

if TYPE_CHECKING:
    import xarray as xr

TRAJECTORY, ANALYSIS = "trajectory.zarr", "analysis.zarr"
CONFIG, PROVENANCE, METRICS = "config.yaml", "provenance.json", "metrics.jsonl"
CHECKPOINTS, DONE, FAILED = "checkpoints", "DONE", "FAILED"
RESERVE = ".reserve"  # room for the trajectory while it is not there yet
SUMMARY = f"{ANALYSIS}/zarr.json"  # holds the summary of the measures
SEALED = (CONFIG, PROVENANCE)  # by DONE, besides the trajectory


def run_id(study: Study) -> str:
    """Hash of what makes the result: the settings (with the seeds spelled out) and the version."""
    text = json.dumps([__version__, settings_in_id(study)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_dir(study: Study) -> Path:
    """Where the run of `study` lives: <runs_dir>/<name>/<id>."""
    return Path(study.runs_dir) / study.name / run_id(study)


def is_done(run: Path) -> bool:
    return (run / DONE).is_file() and not (run / DONE).is_symlink()


def start(run: Path, study: Study) -> None:
    """Make a run directory ready to be trained into; what an interrupted run has trained stays there."""
    run.mkdir(parents=True, exist_ok=True)
    untrusted.refuse_links(run, CHECKPOINTS)
    tidy(run)
    files.remove(run / RESERVE)  # of an earlier version, and killed
    files.remove(run / FAILED)
    files.remove(run / METRICS)
    write_text(run / CONFIG, yaml.safe_dump(result_settings(study), sort_keys=False))
    if result_settings(read_settings(run)) != result_settings(study):  # as its report will
        raise RunError(f"{run / CONFIG} is not read back as it was written")


def check_reportable(run: Path, provenance: dict[str, Any]) -> None:
    """RunError where the run would be trained to its end and its report refused for its provenance."""
    layout.check_provenance(json.loads(json.dumps(provenance)), run / PROVENANCE)


def tidy(run: Path) -> None:
    """Clear away what killed processes had begun to write, or to clear away: a finished run's checkpoints."""
    if is_done(run):
        files.remove(run / CHECKPOINTS)
    for folder in (run, run / "tables", run / "figures"):
        if not folder.is_symlink():
            files.tidy(folder)


def discard(run: Path) -> None:
    """Delete what is in the directory of a run that could not start, but for what says who holds it."""
    for path in sorted(run.iterdir()):
        if not lock.is_mark(path):
            files.remove(path)


def prune(study: Study) -> None:
    """Delete the directory of a run, and those above it, where they are empty."""
    runs_dir = Path(study.runs_dir)
    above = [] if runs_dir.is_absolute() else [p for p in (runs_dir, *runs_dir.parents) if p.name]
    with suppress(OSError):
        for folder in (run_dir(study), run_dir(study).parent, *above):
            folder.rmdir()


def reserve(run: Path, size: int) -> None:
    """Set aside room for a trajectory of so many bytes, until `release` or until the run is held again.

    Raises:
        OSError: there is not so much, which the message says.
    """
    files.check_guards(run)
    try:
        with _reserved(run).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
    except OSError as error:
        release(run)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return  # a file system that cannot set aside
        need = f"{os.strerror(error.errno)}: the trajectory takes {size / 2**20:,.1f} MiB"
        raise OSError(error.errno, need, str(run)) from error


def release(run: Path) -> None:
    """Give back what `reserve` has set aside."""
    _reserved(run).unlink(missing_ok=True)


def _reserved(run: Path) -> Path:
    return files.scratch(run / RESERVE) / RESERVE


def finish(run: Path, trajectory: xr.Dataset, provenance: dict[str, Any]) -> None:
    """Put the trajectory and its provenance in place, DONE last; checkpoints are of no more use.

    DONE holds the checksums of the trajectory's files, of the settings and of the provenance, so that
    `sha256sum -c DONE` checks them.
    """
    release(run)
    write_dataset(run / TRAJECTORY, trajectory)
    write_text(run / PROVENANCE, json.dumps(provenance, indent=2) + "\n")
    _write_done(run, _checksums(run))
    files.remove(run / CHECKPOINTS)


def _write_done(run: Path, digests: dict[str, str]) -> None:
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    write_text(run / DONE, "".join(lines))


def read_done(run: Path) -> dict[str, str]:
    """The checksums in DONE, by file; of very old runs there are none.

    Raises:
        OSError, RunError: it cannot be read.
    """
    lines = untrusted.read_text(run, DONE).splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def seal_analysis(run: Path) -> None:
    """Add to DONE the checksum of what analysis.zarr says of itself, its summary in it."""
    digests = {name: digest for name, digest in read_done(run).items() if name != SUMMARY}
    if digests:
        digest = hashlib.sha256(untrusted.read_bytes(run, SUMMARY)).hexdigest()
        _write_done(run, {**digests, SUMMARY: digest})


def not_sealed(run: Path) -> list[str]:
    """What of a finished run no checksum covers: runs of earlier versions sealed less."""
    done = read_done(run)
    return [name for name in (TRAJECTORY, *SEALED) if not any(k.startswith(name) for k in done)]


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one object to metrics.jsonl."""
    files.append(run / METRICS, json.dumps(record) + "\n")


def renew_metrics(run: Path) -> None:
    """Make metrics.jsonl another file with the same lines: an earlier holder may still have it open."""
    if (run / METRICS).is_file() and not (run / METRICS).is_symlink():
        files.write_bytes(run / METRICS, (run / METRICS).read_bytes())


def write_metrics(run: Path, records: Iterable[dict[str, Any]]) -> None:
    """Begin metrics.jsonl with the records of log points passed before."""
    write_text(run / METRICS, "".join(json.dumps(record) + "\n" for record in records))


def _checksums(run: Path) -> dict[str, str]:
    """SHA-256 of every file of the trajectory, of the settings and the provenance, by its path in the run."""
    listing = list(untrusted.entries(run / TRAJECTORY))
    size = sum(entry.stat(follow_symlinks=False).st_size for _, entry in listing)
    if size > limits.memory():
        raise RunError(f"it has {size / 2**30:,.3g} GiB, more than there is memory")
    digests = {}
    for name in (*(f"{TRAJECTORY}/{name}" for name, _ in listing), *SEALED):
        with untrusted.opened(run, name) as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def check_trajectory(run: Path) -> None:
    """Check the trajectory's files, the settings and the provenance against the checksums in DONE, which very
    old runs do not have; those of the settings and the provenance came later.

    Raises:
        RunError: a file is missing, was added, differs from what the run wrote, or is not such as runs write.
    """
    try:
        if (run / TRAJECTORY).is_symlink():
            raise RunError("it is a link, and links are not followed")
        recorded = read_done(run)
        recorded.pop(SUMMARY, None)  # held to it where it is read
        digests = _checksums(run) if recorded else {}
        for name in not_sealed(run):
            digests.pop(name, None)
        for name in sorted(recorded.keys() | digests.keys()):
            if name not in digests:
                raise RunError(f"{name} is missing")
            if digests[name] != recorded.get(name):
                difference = (
                    "is not what the run wrote"
                    if name in recorded
                    else "was not written by the run"
                )
                raise RunError(
                    f"{name} {difference}, its checksum says; delete {run} and run it again"
                )
        untrusted.check_store(run / TRAJECTORY)
    except (OSError, ValueError) as error:
        raise RunError(f"{run / TRAJECTORY} cannot be read: {first_line(error)}") from error


def read_settings(run: Path) -> Study:
    """The settings that a run was made with.

    Names that later versions may know (of activations, initialisers, ...) are taken as they are.

    Raises:
        RunError: they cannot be read, or are not such as a report can rest on.
    """
    try:
        study = study_of(_read(run, CONFIG, plain_yaml.load))
        check_reported(study)
    except ConfigError as error:
        raise RunError(f"{run / CONFIG} is not that of a run: {error}") from error
    return study


def read_provenance(run: Path) -> dict[str, Any]:
    """The provenance that a run recorded, as plain data."""
    return _read(run, PROVENANCE, json.loads)


def read_facts(run: Path, arms: int | None = None) -> tuple[Study, dict[str, Any]]:
    """Settings and provenance of a run, checked as far as a report uses them.

    `arms`: how many its trajectory has, where that is known.

    Raises:
        RunError: one of them cannot be read, or is not what runs write.
    """
    study, provenance = read_settings(run), read_provenance(run)
    layout.check_provenance(provenance, run / PROVENANCE)
    if arms is not None and len(study.arms) != arms:
        raise RunError(f"{run / CONFIG} has {len(study.arms)} arms, its trajectory {arms}")
    return study, provenance


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
    check_trajectory(run)
    try:
        with xr.open_zarr(
            run / TRAJECTORY, consolidated=False, zarr_format=3, decode_times=False
        ) as dataset:
            layout.check_dataset(dataset, run / TRAJECTORY)
            return dataset.load()
    except RunError:
        raise
    except Exception as error:
        raise RunError(f"{run / TRAJECTORY} cannot be read: {first_line(error)}") from error


def _read(run: Path, name: str, parse: Any) -> Any:
    try:
        content = parse(untrusted.read_text(run, name))
    except RunError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{run / name} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise RunError(f"{run / name} cannot be read: it holds no mapping")
    return content


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a Zarr store whole or not at all; one that is there with the same bytes is left alone.

    It is made in memory: hundreds of small files are slow to delete again on many file systems.
    """
    content = _stored(dataset)
    if files.holds(path, content):
        return
    with replacing(path) as temporary:
        for name, data in content.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(data)


def _stored(dataset: xr.Dataset) -> dict[str, bytes]:
    """The files of a dataset's Zarr store, by their paths in it."""
    from zarr.storage import MemoryStore

    stored: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Zarr 3 says of text coordinates that their encoding is not in its specification yet.
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        dataset.to_zarr(MemoryStore(stored), consolidated=False)
    content = {name: buffer.to_bytes() for name, buffer in sorted(stored.items())}
    return {**content, "zarr.json": _consolidated(content)}


def _consolidated(content: dict[str, bytes]) -> bytes:
    """The group's metadata with the arrays' in it, sorted, so that plain `xarray.open_zarr` reads it in one go.

    As zarr.consolidate_metadata does, which gathers them in whatever order they come: the same dataset is to be
    the same bytes.
    """
    group = json.loads(content["zarr.json"])
    arrays = {
        name.partition("/")[0]: json.loads(data)
        for name, data in content.items()
        if re.fullmatch(r"[^/]+/zarr[.]json", name)
    }
    group["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": arrays,
    }
    return json.dumps(group, indent=2).encode()


def stale(run: Path) -> str:
    """Versions by which a run was finished and which differ from those here, in words; '' if none does."""
    provenance = read_provenance(run)
    packages = provenance.get("packages")
    then = {**(packages if isinstance(packages, dict) else {}), **provenance}
    return ", ".join(
        f"{name} {then.get(name, 'unknown')} where {now} is here"
        for name, now in versions().items()
        if then.get(name) != now
    )


def of_another_version(study: Study) -> Path | None:
    """A finished run of these very settings by another version of this package, if there is one."""
    settings = result_settings(study)
    own = run_dir(study)
    for run in sorted(own.parent.iterdir()) if own.parent.is_dir() else []:
        with suppress(RunError):
            if run == own or not is_done(run):
                continue
            # the settings last: YAML is slow to read, and a study may have a thousand runs
            other = read_provenance(run).get("kernelstudy") != __version__
            if other and result_settings(read_settings(run)) == settings:
                return run
    return None
