"""A set's decoded arrays, kept on disk and mapped into memory on the next start."""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.data.idx import Progress
from kernelstudy.data.options import Data
from kernelstudy.data.packed import BLOCK, partial
from kernelstudy.data.photos import luma
from kernelstudy.data.registry import colour

FOLDER, FACTS = "decoded", "facts.json"


class Decoded(NamedTuple):
    """A set as arrays. `train.images` is None where they are too large to be kept so."""

    train: Part
    test: Part
    facts: dict[str, Any]  # train, test, image_shape, classes, sha256, histogram of training pixels
    # Then these (N, H, W, C) are the same on disk, of sets that are not packed beside their decoded arrays.
    by_row: np.ndarray | None = None


def path_of(place: Path, folder: str, data: Data) -> Path:
    """Where the decoded arrays of a set under these options are kept."""
    options = [
        colour(data) or "own",
        *(f"{k}{v}" for k in ("crop", "resize") if (v := getattr(data, k))),
    ]
    return place / FOLDER / folder.replace("/", "-").replace(":", "-") / "-".join(options)


def read(path: Path, *, limit: float) -> Decoded | None:
    """What `write` has written, mapped into memory; None if it is not there, or not what it was.

    Training images of more than `limit` bytes as float32 are left out.
    """
    parts = []
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        few = 4 * facts["train"] * math.prod(facts["image_shape"]) <= limit
        for role in Parts._fields:
            arrays: dict[str, Any] = {"images": None}
            for kind in ("images", "labels") if few or role == "test" else ("labels",):
                arrays[kind] = np.load(path / f"{role}_{kind}.npy", mmap_mode="r")
                if content_hash(arrays[kind]) != facts["sha256_of"][f"{role}_{kind}"]:
                    return None
            parts.append(Part(**arrays))
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    return Decoded(parts[0], parts[1], facts)


def write(path: Path, found: Decoded) -> None:
    """Keep arrays and facts at `path`, whole or not at all; training images only if they are there."""
    with placing(path) as made:
        save(made, found)


@contextmanager
def placing(path: Path) -> Iterator[Path]:
    """A directory that takes its place at `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial(path.parent, path.name) as temporary:
        made = temporary / path.name
        made.mkdir()
        yield made
        if path.is_dir():
            path.rename(temporary / "old")
        made.rename(path)


def save(folder: Path, found: Decoded) -> None:
    """Write arrays and facts into `folder`, but for arrays that `decode` has spooled there."""
    for role, part in zip(Parts._fields, (found.train, found.test), strict=True):
        for kind, array in part._asdict().items():
            file = folder / f"{role}_{kind}.npy"
            if array is not None and not file.exists():
                np.save(file, array)
    (folder / FACTS).write_text(json.dumps(found.facts) + "\n", encoding="utf-8")


@contextmanager
def at_work(place: Path, name: str) -> Iterator[None]:
    """Alone at work on a set, for jobs of a sweep start together; what fails leaves nothing behind."""
    place_was, set_was = place.exists(), (place / name).exists()
    place.mkdir(parents=True, exist_ok=True)
    lock = place / f".{name.replace('/', '-')}.lock"
    try:
        with FileLock(lock):
            yield
    except BaseException:
        if not set_was:
            shutil.rmtree(place / name, ignore_errors=True)
        lock.unlink(missing_ok=True)
        kept = place / FOLDER
        for folder in (kept / name, kept, *([] if place_was else [place])):
            with suppress(OSError):  # others' work may be in it
                folder.rmdir()
        raise


def fitted(image: np.ndarray, data: Data, where: str) -> np.ndarray:
    """An image (H, W, C) uint8 in the colours and the size that are asked for.

    First its central square of `crop` pixels; then, scaled to `resize` pixels (bilinear, with
    antialiasing), the largest central square.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(
            f"data: {where} are {image.dtype} of {_times(image.shape)}, not 8-bit grey or RGB"
        )
    if data.crop or data.resize:
        side = data.crop or min(image.shape[:2])
        if side > min(image.shape[:2]):
            raise DataError(
                f"data.crop: {side} is more than {where} have, {_times(image.shape[:2])}"
            )
        top, left = ((n - side) // 2 for n in image.shape[:2])
        image = image[top : top + side, left : left + side]
    if colour(data) == "rgb" and image.shape[2] == 1:
        raise DataError(f"data.colour: {where} have no colours, only grey")
    if colour(data) == "grey" and image.shape[2] == 3:
        image = np.rint(luma(image)).astype(np.uint8)[..., None]
    if data.resize:
        from PIL import Image

        size = (data.resize, data.resize)
        scaled = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
        image = np.asarray(scaled.resize(size, Image.Resampling.BILINEAR))
        image = image.reshape(*image.shape[:2], -1)
    return image


class NoImagesError(DataError):
    """A part of a set is empty."""


class SizesDifferError(DataError):
    """The images of a set cannot be one array as they are."""


@dataclass(frozen=True)
class Arrays:
    """Arrays read as a `Split` is."""

    part: Part

    def __len__(self) -> int:
        return len(self.part.labels)

    def examples(self, rows: range) -> Iterator[tuple[np.ndarray, int]]:
        yield from zip(*(array[rows.start : rows.stop] for array in self.part), strict=True)


class Spool:
    """A .npy file that grows by blocks of images: NumPy leaves room in its header for that."""

    def __init__(self, path: Path):
        self.path, self.shape, self.count = path, (), 0

    def append(self, images: np.ndarray) -> None:
        with self.path.open("ab") as file:
            if not self.shape:
                self.shape = images.shape[1:]
                self._write_header(file)
            file.write(np.ascontiguousarray(images).data)
        self.count += len(images)

    def close(self) -> np.ndarray:
        """All of them (N, H, W, C), mapped into memory."""
        with self.path.open("r+b") as file:
            self._write_header(file)
        return np.load(self.path, mmap_mode="r")

    def _write_header(self, file: Any) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(file, header)


def blocks(split: Any, data: Data, name: str, size: int = BLOCK) -> Iterator[Part]:
    """All of a split in blocks of examples, in the colours and the size that are asked for."""
    shapes: set[tuple[int, ...]] = set()
    for start in range(0, len(split), size):
        rows = range(start, min(len(split), start + size))
        found = [(fitted(i, data, f"the images of {name}"), y) for i, y in split.examples(rows)]
        if not found:
            continue
        shapes |= {image.shape for image, _ in found}
        if len(shapes) > 1:
            sizes = " and ".join(_times(shape) for shape in sorted(shapes)[:2])
            raise SizesDifferError(
                f"data.resize: the images of {name} differ in size ({sizes}); set data.resize or "
                "data.crop"
            )
        yield Part(np.stack([i for i, _ in found]), np.array([y for _, y in found], np.int32))


def decode(
    splits: Mapping[str, Any],
    data: Data,
    name: str,
    *,
    limit: float,
    progress: Progress = lambda *_: None,
    spool: Path | None = None,
    block: int = BLOCK,
) -> Decoded:
    """Read a whole set, `block` examples at a time; a split may yield fewer examples than it has, or more.

    Training images of more than `limit` bytes as float32 are not kept. With `spool`, a directory, all images
    are written there as they come, and mapped into memory.

    Raises:
        DataError: where an image cannot be read or does not serve.
    """
    parts, hashes, facts = [], {}, {}
    digest = hashlib.sha256()
    for role in Parts._fields:
        split, images, labels = splits[role], [], []
        counts, own = np.zeros(256, int), hashlib.sha256()
        spooled = None if spool is None else Spool(spool / f"{role}_images.npy")
        for found in blocks(split, data, name, block):
            raw = np.ascontiguousarray(found.images).data
            digest.update(raw)
            own.update(raw)
            counts += np.bincount(found.images.ravel(), minlength=256)
            if spooled:
                spooled.append(found.images)
            elif role == "test" or 4 * len(split) * found.images[0].size <= limit:
                images.append(found.images)
            labels.append(found.labels)
            facts["image_shape"] = list(found.images.shape[1:])
            progress(f"decoding {role} images", sum(map(len, labels)), len(split))
        if not labels:
            raise NoImagesError(f"data: {name} has no {role} images")
        kept: Any = np.concatenate(images) if images else spooled.close() if spooled else None
        part = Part(kept, np.concatenate(labels))
        digest.update(part.labels.data)
        hashes |= {f"{role}_images": own.hexdigest(), f"{role}_labels": content_hash(part.labels)}
        facts |= {role: len(part.labels)} | (
            {"histogram": counts.tolist()} if role == "train" else {}
        )
        parts.append(part)
    classes = 1 + max(int(part.labels.max()) for part in parts)
    facts |= {"classes": classes, "sha256": digest.hexdigest(), "sha256_of": hashes}
    return Decoded(parts[0], parts[1], facts)


def content_hash(*arrays: np.ndarray) -> str:
    """SHA-256 of the raw bytes of the arrays in turn; blind to how they were compressed."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
