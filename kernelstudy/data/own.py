"""Images of one's own, from `data.path`: decoded once into arrays on disk, which larger sets are streamed from.

The arrays are known by their source's path, and by size and times of its files: where these change, the source
is decoded again and what was made of its former contents is dropped.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.data import DataError, Parts, arrays, decoded, folder, registry
from kernelstudy.data.decoded import Arrays, Decoded
from kernelstudy.data.idx import Progress
from kernelstudy.data.options import Data
from kernelstudy.system.errors import printable

READER = 1  # counted up when the same files would be read otherwise: they are decoded anew
BLOCK = 64  # files decoded at a time
MOST_NAMES = 1000  # of classes, in the facts
MOST_LEFT_OUT = 20  # files that are named, in the facts


def obtain(data: Data, place: Path, limit: float, progress: Progress) -> Decoded:
    """The set at `data.path`, under `place`; training images of more than `limit` bytes as float32 by row.

    Raises:
        DataError: it is not there, not laid out as it should be, or holds too few images that can be read.
        OSError: `place` cannot be written.
    """
    files = folder.listing(data) if data.name == registry.FOLDER else None
    fingerprint = f"{READER}-{files.fingerprint if files else arrays.fingerprint(data)}-"
    name = registry.folder(data)
    options = decoded.path_of(place, name, data)
    path = options.with_name(f"{fingerprint}{options.name}")
    if found := _read(path, limit):
        return found
    with decoded.at_work(place, name):
        if found := _read(path, limit):
            return found
        with decoded.placing(path) as made:
            whole = _from_files(data, files, made, progress) if files else _from_arrays(data, made)
            decoded.save(made, whole)
        for other in path.parent.iterdir():
            if not other.name.startswith((fingerprint, ".")):
                shutil.rmtree(other, ignore_errors=True)
        found = _read(path, limit)
    if found is None:
        raise DataError(
            f"data.path: what was decoded of {data.path} cannot be read again from {path}"
        )
    return found


def _read(path: Path, limit: float) -> Decoded | None:
    found = decoded.read(path, limit=limit)
    if found is None or found.train.images is not None:
        return found
    return found._replace(by_row=np.load(path / "train_images.npy", mmap_mode="r"))


def _from_files(data: Data, found: folder.Listing, made: Path, progress: Progress) -> Decoded:
    left_out = dict(found.left_out)
    splits: Any = (
        [folder.Photographs(found, part, data, left_out) for part in (0, 1)]
        if data.task == "photo"
        else [folder.Files(found, rows, data, left_out) for rows in found.parts]
    )
    found = found._replace(left_out=left_out)
    try:
        whole = decoded.decode(
            dict(zip(Parts._fields, splits, strict=True)),
            replace(data, crop=None, resize=None),  # which reading the files has done
            printable(str(data.path)),
            limit=0,
            progress=progress,
            spool=made,
            block=BLOCK,
        )
    except decoded.NoImagesError as error:
        told = folder.told(left_out)
        raise DataError(f"data.path: {data.path} holds no images that serve{told}") from error
    classes = found.classes
    if data.task == "photo":
        classes = list(splits[0].names.values())
        if len(classes) < 2:
            raise DataError(
                f"data.path: {data.path} has one photograph that serves, where two are needed to tell apart"
                f"{folder.told(left_out)}"
            )
    else:
        folder.check_counts(found, whole.train.labels, whole.test.labels)
    named = [printable(f"{name} {why}") for name, why in sorted(left_out.items())]
    whole.facts.update(
        source=printable(f"{len(found.files):,} files in {data.path}"),
        class_names=[printable(name) for name in classes[:MOST_NAMES]],
        left_out={"count": len(named), "files": named[:MOST_LEFT_OUT]},
    )
    return whole


def _from_arrays(data: Data, made: Path) -> Decoded:
    parts = arrays.read(data)
    whole = decoded.decode(
        dict(zip(Parts._fields, map(Arrays, parts), strict=True)),
        data,
        printable(str(data.path)),
        limit=0,
        spool=made,
    )
    whole.facts.update(source=printable(str(data.path)))
    return whole
