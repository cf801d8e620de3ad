"""A set's decoded arrays, kept on disk and mapped into memory on the next start."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.data.idx import Progress
from kernelstudy.data.options import Data
from kernelstudy.data.packed import BLOCK, PlainSplit, Split, partial
from kernelstudy.data.photos import luma
from kernelstudy.data.registry import colour

FOLDER, FACTS = "decoded", "facts.json"


class Decoded(NamedTuple):
    """A set as arrays. `train.images` is None where they are too large to be kept so."""

    train: Part
    test: Part
    facts: dict[str, Any]  # train, test, image_shape, classes, sha256, histogram of training pixels


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial(path.parent, path.name) as temporary:
        made = temporary / path.name
        made.mkdir()
        for role, part in zip(Parts._fields, (found.train, found.test), strict=True):
            for kind, array in part._asdict().items():
                if array is not None:
                    np.save(made / f"{role}_{kind}.npy", array)
        (made / FACTS).write_text(json.dumps(found.facts) + "\n", encoding="utf-8")
        if path.is_dir():
            path.rename(temporary / "old")
        made.rename(path)


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


def blocks(split: Split | PlainSplit | Arrays, data: Data, name: str) -> Iterator[Part]:
    """All of a split in blocks of examples, in the colours and the size that are asked for."""
    shapes: set[tuple[int, ...]] = set()
    for start in range(0, len(split), BLOCK):
        rows = range(start, min(len(split), start + BLOCK))
        found = [(fitted(i, data, f"the images of {name}"), y) for i, y in split.examples(rows)]
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
) -> Decoded:
    """Read a whole set. Training images of more than `limit` bytes as float32 are not kept.

    Raises:
        DataError: where an image cannot be read or does not serve.
    """
    parts, hashes, facts = [], {}, {}
    digest = hashlib.sha256()
    for role in Parts._fields:
        split, images, labels = splits[role], [], []
        counts, own = np.zeros(256, int), hashlib.sha256()
        for block in blocks(split, data, name):
            raw = np.ascontiguousarray(block.images).data
            digest.update(raw)
            own.update(raw)
            counts += np.bincount(block.images.ravel(), minlength=256)
            kept = role == "test" or 4 * len(split) * block.images[0].size <= limit
            images += [block.images] if kept else []
            labels.append(block.labels)
            facts["image_shape"] = list(block.images.shape[1:])
            progress(f"decoding {role} images", sum(map(len, labels)), len(split))
        if not labels:
            raise DataError(f"data: {name} has no {role} images")
        part = Part(np.concatenate(images) if images else None, np.concatenate(labels))  # type: ignore[arg-type]
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
