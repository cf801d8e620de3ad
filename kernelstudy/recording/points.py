"""A recording on disk: one directory a network, one small file a log point, whole or not there."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy import runs
from kernelstudy.analysis.fields import are_fields
from kernelstudy.runs import untrusted
from kernelstudy.system import files
from kernelstudy.system.errors import RunError, first_line

ABOUT, POINTS, PATCHES = "recording.json", "points", "patches.npz"
RESPONSES, SUBJECTS = "responses", "probes.npz"  # of networks that are watched
_LARGEST = 2**28  # bytes of a log point


class Point(NamedTuple):
    """What was logged at a step: `kernel` (kh, kw, in, out); `accuracy` and `loss`, NaN where not given."""

    step: int
    kernel: np.ndarray
    accuracy: float
    loss: float


def write_point(folder: Path, point: Point) -> None:
    """Add a log point; the system is not waited for, so that it takes a millisecond."""
    path = folder / POINTS / _file(point.step)
    files.write_bytes(path, _packed(point._asdict()), durable=False)
    numbers = {"step": point.step, "test_accuracy": point.accuracy, "train_loss": point.loss}
    known = {k: v for k, v in numbers.items() if v == v}
    runs.append_metrics(folder, known)


def discard(folder: Path, steps: list[int]) -> None:
    """Delete the log points of these steps."""
    for step in steps:
        files.remove(folder / POINTS / _file(step))
    discard_responses(folder, steps)


def read_points(folder: Path) -> list[Point]:
    """All log points that can be read, in the order of their steps: a power cut may have damaged the last.

    Raises:
        RunError: none of them can be read, with why the first cannot.
    """
    place = folder / POINTS
    names = sorted(path.name for path in place.glob("*.npz")) if place.is_dir() else []
    found, errors = [], []
    for name in names:
        try:
            found.append(_read_point(folder, f"{POINTS}/{name}"))
        except RunError as error:
            errors.append(error)
    if errors and not found:
        raise errors[0]
    return found


def write_responses(folder: Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Add what all watched layers show at a step."""
    files.write_bytes(folder / RESPONSES / _file(step), _packed(arrays), durable=False)


def read_responses(folder: Path, step: int) -> dict[str, np.ndarray]:
    return _unpacked(folder, f"{RESPONSES}/{_file(step)}")


def discard_responses(folder: Path, steps: list[int]) -> None:
    for step in steps:
        files.remove(folder / RESPONSES / _file(step))


def bound_responses(folder: Path, most: float) -> bool:
    """Delete every second of the responses, never the first and last, where all take more than `most` bytes."""
    kept = steps(folder, RESPONSES)
    size = sum((folder / RESPONSES / _file(step)).stat().st_size for step in kept)
    if size <= most or len(kept) < 3:
        return False
    discard_responses(folder, kept[1:-1][::2])
    return True


def write_subjects(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write down the images that a network is watched on."""
    files.write_bytes(folder / SUBJECTS, _packed(arrays))


def read_subjects(folder: Path) -> dict[str, np.ndarray]:
    return _unpacked(folder, SUBJECTS)


def steps(folder: Path, kind: str = POINTS) -> list[int]:
    """The steps of all log points, or of all `RESPONSES`, from the names of their files alone."""
    place = folder / kind
    names = (path.stem for path in place.glob("*.npz")) if place.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


def write_patches(folder: Path, eigenvalues: np.ndarray, basis: np.ndarray) -> None:
    files.write_bytes(folder / PATCHES, _packed({"eigenvalues": eigenvalues, "basis": basis}))


def read_patches(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Eigenvalues (d,) and basis (d, d) of the images' patches; None where no images were given."""
    if not (folder / PATCHES).exists():
        return None
    found = _unpacked(folder, PATCHES)
    values, basis = found["eigenvalues"], found["basis"]
    if basis.shape != (len(values), len(values)) or not np.isfinite(basis).all():
        raise RunError(f"{folder / PATCHES} holds no basis of patches")
    return values, basis


def write_about(folder: Path, about: dict[str, Any]) -> None:
    files.write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n")


def read_about(folder: Path) -> dict[str, Any]:
    """What the Recorder wrote of itself when it began."""
    try:
        about = json.loads(untrusted.read_text(folder, ABOUT))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / ABOUT} cannot be read: {first_line(error)}") from error
    texts = ("name", "arm", "layer", "why", "form", "command", "images")
    if (
        not isinstance(about, dict)
        or any(not isinstance(about.get(key), str) for key in texts)
        or any(not isinstance(about.get(key), int) for key in ("seed", "stride"))
        or not _is_watched(about.get("watched"))
    ):
        raise RunError(f"{folder / ABOUT} is not what a Recorder writes")
    return about


def _is_watched(watched: Any) -> bool:
    """Whether it is what a Recorder writes of the layers that it watches, or None."""
    if watched is None:
        return True
    if not isinstance(watched, dict):
        return False
    layers, fields = watched.get("layers"), watched.get("fields")
    return (
        isinstance(layers, list)
        and all(isinstance(name, str) for name in layers)
        and isinstance(watched.get("convolutions"), int)
        and isinstance(fields, list)
        and are_fields(fields)
        and len(fields) == len(layers)
    )


def is_recording(folder: Path) -> bool:
    return (folder / ABOUT).is_file() and not (folder / ABOUT).is_symlink()


def _read_point(folder: Path, name: str) -> Point:
    found = _unpacked(folder, name)
    kernel = found.get("kernel", np.zeros(0))
    if kernel.ndim != 4 or kernel.dtype.kind != "f":
        raise RunError(f"{folder / name} holds no kernels")
    try:
        accuracy, loss = (float(found[key]) for key in ("accuracy", "loss"))
        return Point(int(found["step"]), kernel, accuracy, loss)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / name} is no log point") from error


def _file(step: int) -> str:
    return f"{step:012d}.npz"


def _packed(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpacked(folder: Path, name: str) -> dict[str, np.ndarray]:
    try:
        content = untrusted.read_bytes(folder, name, _LARGEST)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except RunError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise RunError(f"{folder / name} cannot be read: {first_line(error)}") from error
