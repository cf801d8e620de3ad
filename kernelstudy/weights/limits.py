"""What a file may cost: sizes are checked before anything is allocated, paths before they are opened."""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from kernelstudy.system import files

from .layer import WeightsError

GIB = 2**30
MOST_AXES = 64
# Text and pickles grow some thirtyfold in memory; real ones describe weights and hold none.
DESCRIPTION = 64 * 2**20


@dataclass(frozen=True)
class Limits:
    """How much of a file may be in memory at a time."""

    max_bytes: int = 2 * GIB

    def check(self, size: int, what: str) -> int:
        """`size` in bytes, or WeightsError if it is more than allowed."""
        if size < 0:
            raise WeightsError(f"{what} claims a negative size")
        if size > self.max_bytes:
            raise WeightsError(
                f"{what} needs {size / GIB:,.3g} GiB, more than --max-gib {self.max_bytes / GIB:g} allows"
            )
        return size

    def description(self, size: int, what: str) -> int:
        """As `check`, for headers, JSON and pickles."""
        if size > DESCRIPTION:
            raise WeightsError(
                f"{what} is {size / 2**20:,.0f} MiB, more than the {DESCRIPTION // 2**20} MiB "
                "that a description of weights can need"
            )
        return self.check(size, what)

    def array(self, shape: Iterable[int], itemsize: int, what: str) -> int:
        """Bytes of an array of that shape, allowed ones; its float64 copy counts."""
        shape = tuple(shape)
        if any(n < 0 for n in shape):
            raise WeightsError(f"{what} claims the shape {shape}")
        count = math.prod(shape)
        self.check(count * max(itemsize, 8), what)
        return count * itemsize


def plain_dtype(name: Any, what: str) -> np.dtype:
    """The type of numbers that a file names; WeightsError for structures, text and objects."""
    if isinstance(name, str) and len(name) <= 16 and re.fullmatch(r"[<>|=]?[A-Za-z]\w*", name):
        try:
            dtype = np.dtype(getattr(ml_dtypes, name, name))
        except TypeError:
            dtype = np.dtype("O")
        if dtype.kind in "fiubc" or (dtype.kind == "V" and hasattr(ml_dtypes, name)):
            return dtype
    raise WeightsError(
        f"{what} is of type {str(name)[:40] if isinstance(name, str) else 'unknown'}: not numbers"
    )


def plain_shape(values: Any, what: str) -> tuple[int, ...]:
    """The shape that a file claims, of so many axes and such lengths that their product is a number."""
    if not isinstance(values, list | tuple) or len(values) > MOST_AXES:
        raise WeightsError(f"{what} claims a shape that is none")
    if not all(isinstance(n, int) and 0 <= n < 2**63 for n in values):
        raise WeightsError(f"{what} claims a shape that is none")
    return tuple(values)


def as_wide(values: np.ndarray, others: Iterable[np.ndarray], what: str) -> None:
    """WeightsError where arithmetic with `others` would make more of `values` than there are."""
    shapes = [np.shape(other) for other in others]
    try:
        wide = np.broadcast_shapes(values.shape, *shapes)
    except ValueError:
        wide = ()
    if wide != values.shape:
        raise WeightsError(f"{what}: its scales or zero points do not fit its shape")


def read_file(path: Path, limits: Limits) -> bytes:
    """A whole file, if it is small enough."""
    with files.opened(path) as file:
        size = limits.check(os.fstat(file.fileno()).st_size, path.name)
        return file.read(size)


def read_exactly(file: BinaryIO, size: int, what: str) -> bytes:
    """`size` bytes, checked by the caller against the limits, or WeightsError where there are fewer."""
    found = file.read(size)
    if len(found) != size:
        raise WeightsError(f"{what} is cut short: {len(found):,} of {size:,} bytes")
    return found


def read_member(archive: zipfile.ZipFile, name: str, limits: Limits, *, description=False) -> bytes:
    """One file of a zip archive; what it claims and what it unpacks to are both held to the limits."""
    info = archive.getinfo(name)
    check = limits.description if description else limits.check
    check(info.file_size, f"{name} in the archive")
    if info.flag_bits & 1:
        raise WeightsError(f"{name} in the archive is encrypted")
    with archive.open(info) as member:
        found = member.read(info.file_size)
        if len(found) != info.file_size or member.read(1):
            raise WeightsError(f"{name} in the archive is not of the size that it claims")
    return found


def parse_json(text: bytes, what: str) -> Any:
    """JSON, or WeightsError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{what} is not JSON that can be read") from error


def inside(folder: Path, name: str) -> Path:
    """The file `name` of `folder`; WeightsError where it or a link leads out of it."""
    path = (folder / name).resolve()
    if Path(name).is_absolute() or ".." in Path(name).parts or not is_within(path, folder):
        raise WeightsError(f"{name!r} leads out of {folder.name or folder}: not read")
    if not path.is_file():
        raise WeightsError(f"{folder / name} is missing")
    return path


def is_within(path: Path, folder: Path) -> bool:
    """Whether the resolved `path` lies in `folder`, or where huggingface_hub keeps that folder's files.

    Its cache has <repository>/snapshots/<revision>/... of links into <repository>/blobs.
    """
    if path.is_relative_to(folder.resolve()):
        return True
    absolute = folder.absolute()
    for place in (absolute, *absolute.parents):
        if place.parent.name == "snapshots":
            return path.is_relative_to((place.parents[1] / "blobs").resolve())
    return False


def from_bytes(data: Any, dtype: np.dtype, shape: tuple[int, ...], limits: Limits, what: str):
    """An array out of bytes that must hold exactly that many numbers."""
    size = limits.array(shape, dtype.itemsize, what)
    if len(data) != size:
        raise WeightsError(f"{what} has {len(data):,} bytes where its shape {shape} needs {size:,}")
    return np.frombuffer(data, dtype).reshape(shape)
