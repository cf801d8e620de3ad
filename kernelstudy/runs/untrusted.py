"""Run directories may come from anybody: what is in them is checked before it is read.

Nothing is unpickled, imported or instantiated; no link is followed; sizes are known before anything is
allocated. A store is read only if it is of the few plain kinds of Zarr (version 3) that runs write.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.system import files, limits
from kernelstudy.system.errors import RunError

TEXT_BYTES = 4 * 2**20
CHUNKS, ENTRIES = 10**6, 10**6
# What networks show compresses a few times at most; measures of a claim without data would take hours.
LARGE, DENSEST = 2**26, 100
_ZSTD = 0xFD2FB528.to_bytes(4, "little")
_TYPES = {
    "bool",
    *(f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
}


@contextmanager
def opened(folder: Path, name: str) -> Iterator[BufferedReader]:
    """A regular file of `folder`, open to be read; no part of `name` may be a link.

    Raises:
        OSError: it cannot be opened.
        RunError: it is a link or no file.
    """
    path = folder
    for part in Path(name).parts:
        path /= part
        if path.is_symlink():
            raise RunError(f"{path} is a link, and links are not followed")
    if path.exists() and not path.is_file():
        raise RunError(f"{path} is not a file")
    with files.opened(path, follow=False) as file:
        yield file


def read_bytes(folder: Path, name: str, limit: int = TEXT_BYTES, *, last: int = 0) -> bytes:
    """A regular file of `folder`, of `limit` bytes at most; with `last`, only so many at its end.

    Raises:
        OSError: it cannot be read.
        RunError: it is a link, no file, or too large.
    """
    path = folder / name
    with opened(folder, name) as file:
        status = os.fstat(file.fileno())
        if last:
            file.seek(max(0, status.st_size - last))
            return file.read(last)
        if status.st_size > limit:
            raise RunError(f"{path} has {status.st_size:,} bytes, more than {limit:,}")
        return file.read(limit)


def read_text(folder: Path, name: str) -> str:
    """A small text file of `folder`."""
    return read_bytes(folder, name).decode()


def refuse_links(folder: Path, *names: str) -> None:
    """RunError where one of the directories `names` of `folder`, to be written into, is a link."""
    for name in names:
        if (folder / name).is_symlink():
            raise RunError(f"{folder / name} is a link, and links are not followed")


def entries(folder: Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file under `folder`, by its path in it.

    Raises:
        RunError: for a link, and whatever else is neither file nor directory.
    """
    with os.scandir(folder / below) as scan:
        children = sorted(scan, key=lambda entry: entry.name)
    for entry in children:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            if name.count("/") > 32:
                raise RunError(f"{folder} nests too deeply")
            yield from entries(folder, name)
        elif entry.is_file(follow_symlinks=False):
            yield name, entry
        else:
            raise RunError(f"{folder / name} is a link or no file: not followed")


def check_store(store: Path, *, limit: int | None = None) -> None:
    """Refuse a Zarr store that is not plain arrays of a size that memory holds.

    Args:
        limit: most bytes of all arrays together; None: half of the machine's memory.

    Raises:
        RunError: with what is wrong.
    """
    limit = limits.memory() // 2 if limit is None else limit
    if store.is_symlink() or not store.is_dir():
        raise RunError(f"{store} is a link or no directory")
    sizes: dict[str, int] = {}
    for name, entry in entries(store):
        sizes[name] = entry.stat(follow_symlinks=False).st_size
        if len(sizes) > ENTRIES:
            raise RunError(f"{store} has more than {ENTRIES:,} files")
    root = _metadata(store, "zarr.json")
    if root.get("node_type") != "group":
        raise RunError(f"{store} is no group of arrays")
    total, chunk_bytes = 0, {}
    for name in sizes:
        array, _, rest = name.partition("/")
        if name == "zarr.json":
            continue
        if rest == "zarr.json":
            size, chunk_size = _check_array(store, array, _metadata(store, name))
            total, chunk_bytes[array] = total + size, chunk_size
            if total > limit:
                raise RunError(
                    f"{store} claims arrays of {total / 2**30:,.3g} GiB, more than the {limit / 2**30:,.3g} "
                    "GiB that are read at most"
                )
        elif not re.fullmatch(r"c(/\d+)*", rest):
            raise RunError(f"{store / name} does not belong in a store of plain arrays")
    on_disk = sum(sizes.values())
    if total > LARGE and total > DENSEST * on_disk:
        raise RunError(
            f"{store} claims {total / 2**20:,.0f} MiB of numbers in files of {on_disk / 2**20:,.3g} MiB: they "
            "are not such as networks have"
        )
    for name in sizes:
        array, _, rest = name.partition("/")
        if rest.startswith("c"):
            if array not in chunk_bytes:
                raise RunError(f"{store / array} is no array")
            with opened(store, name) as file:
                _check_frame(store / name, file, sizes[name], chunk_bytes[array])


def _metadata(store: Path, name: str) -> dict[str, Any]:
    try:
        metadata = json.loads(read_bytes(store, name, 2**20))
    except (ValueError, RecursionError, OSError) as error:
        raise RunError(f"{store / name} cannot be read") from error
    if not isinstance(metadata, dict) or metadata.get("zarr_format") != 3:
        raise RunError(f"{store / name} is not metadata of Zarr 3")
    return metadata


def _check_array(store: Path, name: str, metadata: dict[str, Any]) -> tuple[int, int]:
    """Bytes of an array and of one of its chunks."""
    where = store / name
    try:
        item = _item_bytes(metadata["data_type"])
        shape = metadata["shape"]
        chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        kinds = metadata["node_type"], metadata["chunk_grid"]["name"]
        codecs = [codec["name"] for codec in metadata["codecs"]]
        separator = metadata["chunk_key_encoding"].get("configuration", {}).get("separator", "/")
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{where} is not described as an array") from error
    if item is None:
        kind = str(metadata["data_type"])[:80]
        raise RunError(f"{where} is of type {kind!r}: only numbers and text are read")
    if not (_whole(shape, 0) and _whole(chunk, 1) and len(shape) == len(chunk)):
        raise RunError(f"{where} has a shape that cannot be: {str(shape)[:80]}")
    if kinds != ("array", "regular") or codecs != ["bytes", "zstd"] or separator != "/":
        raise RunError(f"{where} is stored in a way that runs do not use")
    if metadata.get("storage_transformers"):
        raise RunError(f"{where} is stored in a way that runs do not use")
    if math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True)) > CHUNKS:
        raise RunError(f"{where} has more than {CHUNKS:,} chunks")
    chunk_size = item * math.prod(chunk)
    return item * math.prod(shape) + chunk_size, chunk_size


def _item_bytes(data_type: Any) -> int | None:
    """Bytes of a value; None for a type that is not read."""
    if isinstance(data_type, str):
        return np.dtype(data_type).itemsize if data_type in _TYPES else None
    if data_type["name"] != "fixed_length_utf32":
        return None
    length = data_type["configuration"]["length_bytes"]
    return length if isinstance(length, int) and 0 <= length <= 2**16 else None


def _whole(numbers: Any, least: int) -> bool:
    return isinstance(numbers, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and least <= n < 2**63 for n in numbers
    )


def _check_frame(path: Path, file: BufferedReader, length: int, size: int) -> None:
    """A chunk must be one frame of Zstandard (RFC 8878, 3.1.1) that says that it holds a chunk, no more and
    no less: a second frame behind the first would be decompressed as well."""
    wrong = RunError(f"{path} is damaged: it is not a chunk of {size:,} bytes")
    if length > size + size // 128 + 1024:  # nor so large that to walk through it takes long
        raise wrong
    start = file.read(18)
    if start[:4] != _ZSTD or len(start) < 6:
        raise wrong
    flag, single, dictionary = start[4] >> 6, start[4] >> 5 & 1, start[4] & 3
    width = (1 if single else 0, 2, 4, 8)[flag]
    first = 5 + (not single) + (0, 1, 2, 4)[dictionary]
    content_size = int.from_bytes(start[first : first + width], "little")
    content_size += 256 if width == 2 else 0
    if not width or content_size != size:
        raise wrong
    position = first + width
    is_last = False
    while not is_last:  # block by block
        file.seek(position)
        header = int.from_bytes(block := file.read(3), "little")
        is_last, kind, block_size = bool(header & 1), header >> 1 & 3, header >> 3
        position += 3 + (1 if kind == 1 else block_size)
        if len(block) < 3 or kind == 3 or position > length:
            raise wrong
    if position + (4 if start[4] >> 2 & 1 else 0) != length:
        raise wrong
