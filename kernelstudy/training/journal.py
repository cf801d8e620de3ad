"""What a group of networks has logged so far, and how that is kept on disk: piece by piece, each written once.

A piece holds what came since the piece before it. Its name says which steps those are and ends in the
hash of its content.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.system import files

_NAME = re.compile(r"log-(\d+)-(\d+)-(\d+)-([0-9a-f]{16})\.npz")
_LOSSES, _RECORDS, _POINT = "losses", "records", "point."


@dataclass
class Journal:
    """What one group has logged; S steps done, L log points passed."""

    losses: list[np.ndarray] = field(default_factory=list)  # S of (arm, seed)
    points: dict[str, list[np.ndarray]] = field(default_factory=dict)  # by name, L arrays each
    records: list[dict[str, Any]] = field(default_factory=list)  # L lines of metrics.jsonl

    def log(self, record: dict[str, Any], **arrays: np.ndarray) -> None:
        """Add a log point."""
        self.records.append(record)
        self.show(**arrays)

    def show(self, **arrays: np.ndarray) -> None:
        """Add arrays to the first log point that lacks them."""
        for name, array in arrays.items():
            self.points.setdefault(name, []).append(array)

    def since(self, steps: int, points: int) -> "Journal":
        """What came after so many steps and log points."""
        later = {name: arrays[points:] for name, arrays in self.points.items()}
        return Journal(self.losses[steps:], later, self.records[points:])

    def extend(self, other: "Journal") -> None:
        """Add what came after."""
        self.losses += other.losses
        self.records += other.records
        for name, arrays in other.points.items():
            self.points.setdefault(name, []).extend(arrays)


def packed(journal: Journal) -> bytes:
    """A journal as the bytes of an .npz file."""
    arrays = {_RECORDS: np.frombuffer(json.dumps(journal.records).encode(), np.uint8)}
    if journal.losses:
        arrays[_LOSSES] = np.stack(journal.losses)
    arrays |= {_POINT + name: np.stack(of) for name, of in journal.points.items() if of}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpacked(content: bytes) -> Journal:
    """The journal in `content`; ValueError where there is none."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        arrays = dict(found)
    records = json.loads(arrays.pop(_RECORDS).tobytes())
    losses = list(arrays.pop(_LOSSES, ()))
    points = {name.removeprefix(_POINT): list(of) for name, of in arrays.items()}
    return Journal(losses, points, records)


class Piece(NamedTuple):
    """The file of one piece: its group, and the steps start .. stop - 1."""

    group: int
    start: int
    stop: int
    digest: str
    path: Path


def pieces(folder: Path) -> list[Piece]:
    """The pieces in `folder`, in their order."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(Piece(int(m[1]), int(m[2]), int(m[3]), m[4], path) for m, path in found if m)


def write_piece(folder: Path, group: int, start: int, journal: Journal) -> None:
    """Keep a piece that starts at step `start`."""
    content = packed(journal)
    digest = hashlib.sha256(content).hexdigest()[:16]
    stop = start + len(journal.losses)
    files.write_bytes(folder / f"log-{group:04d}-{start:09d}-{stop:09d}-{digest}.npz", content)


def read_pieces(folder: Path, group: int, step: int) -> list[Journal]:
    """The journals of the groups up to `group`, of that one up to `step`.

    Raises:
        ValueError: a piece is missing, or not what was written.
    """
    found: list[Journal] = []
    for piece in _until(pieces(folder), group, step):
        if piece.group == len(found):
            found.append(Journal())
        content = piece.path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:16] != piece.digest:
            raise ValueError(f"the checksum of {piece.path.name} differs")
        if piece.group != len(found) - 1 or piece.start != len(found[-1].losses):
            raise ValueError(f"a piece before {piece.path.name} is missing")
        found[-1].extend(unpacked(content))
    if len(found) != group + 1 or len(found[-1].losses) != step:
        raise ValueError("the last piece of what was logged is missing")
    return found


def drop_pieces(folder: Path, group: int, step: int) -> None:
    """Delete what lies beyond `step` of `group`."""
    kept = set(_until(pieces(folder), group, step))
    for piece in pieces(folder):
        if piece not in kept:
            piece.path.unlink()


def _until(found: list[Piece], group: int, step: int) -> Iterator[Piece]:
    return (p for p in found if p.group < group or (p.group == group and p.stop <= step))
