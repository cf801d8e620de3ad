"""Flax's parameters on disk: msgpack files and Orbax directories. Neither needs JAX."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .layer import Layer, Network, WeightsError, natural
from .limits import Limits, from_bytes, is_within, plain_dtype, read_file
from .roles import weights_among

_ARRAY = 1  # flax.serialization's _MsgpackExtType.ndarray
_MOST, _DEEP = 1_000_000, 100


def is_msgpack(start: bytes) -> bool:
    """Whether it starts with a map whose first key is text."""
    first = 1 if 0x81 <= start[0] <= 0x8F else {0xDE: 3, 0xDF: 5}.get(start[0], len(start))
    return len(start) > first and _is_text(start[first])


def read_msgpack(path: Path, limits: Limits) -> Network:
    """What flax.serialization.to_bytes or msgpack_serialize wrote."""
    import msgpack

    data = read_file(path, limits)
    try:
        found = list(_arrays(msgpack, data))
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    except Exception as error:  # damaged msgpack raises anything
        raise WeightsError(f"{path.name} is a damaged msgpack file") from error
    layers = []
    for name, shape, dtype, values in found:

        def load(name=name, shape=shape, dtype=dtype, values=values) -> np.ndarray:
            return from_bytes(values, np.dtype(dtype), shape, limits, name)

        layers.append(tree_layer(name, shape, np.dtype(dtype).name, load))
    return Network("Flax msgpack", weights_among(_sorted(layers)), "names", "tensorflow")


def _arrays(msgpack: Any, data: bytes) -> Iterator[tuple[str, tuple[int, ...], Any, bytes]]:
    """(name, shape, dtype, bytes) of every array; containers are walked, not built."""
    walker = msgpack.Unpacker(
        None, max_buffer_size=len(data), strict_map_key=False, ext_hook=msgpack.ExtType
    )
    walker.feed(data)
    left: list[list[Any]] = [["", 1, None]]  # name, entries left, key kind
    for _ in range(_MOST):
        while left and left[-1][1] == 0:
            left.pop()
        if not left:
            return
        if len(left) > _DEEP:
            raise WeightsError("the msgpack file is nested too deeply")
        prefix, _, keyed = left[-1]
        left[-1][1] -= 1
        key = ""
        if keyed is True:
            if not _is_text(data[walker.tell()]):
                raise WeightsError("the msgpack file has keys that are no text")
            key = walker.unpack()
        elif keyed is False:
            key = str(left[-1][1])
        name = f"{prefix}/{key}" if prefix else str(key)
        first = data[walker.tell()]
        if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
            left.append([name, walker.read_map_header(), True])
        elif 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
            left.append([name, walker.read_array_header(), False])
        elif 0xC7 <= first <= 0xC9 or 0xD4 <= first <= 0xD8:
            found = walker.unpack()
            if found.code == _ARRAY:
                array = _array(msgpack, found.data, name)
                if array is not None:
                    yield (name, *array)
        else:
            walker.skip()
    raise WeightsError(f"the msgpack file has more than {_MOST:,} entries: not read")


def _array(msgpack: Any, data: bytes, name: str) -> tuple[tuple[int, ...], Any, bytes] | None:
    """An array's shape, dtype and bytes, if it has an axis at all and holds anything."""
    inner = msgpack.Unpacker(None, max_buffer_size=len(data))
    inner.feed(data)
    if inner.read_array_header() != 3:
        raise WeightsError(f"{name} is no array")
    axes = inner.read_array_header()
    if axes > 32:
        raise WeightsError(f"{name} is no array")
    shape = tuple(inner.unpack() for _ in range(axes))
    dtype, values = inner.unpack(), inner.unpack()
    if axes == 0 or 0 in shape:
        return None
    if not all(isinstance(n, int) and n > 0 for n in shape) or not isinstance(values, bytes):
        raise WeightsError(f"{name} is no array")
    text = dtype.decode() if isinstance(dtype, bytes) else dtype
    return shape, plain_dtype(text, name), values


def _is_text(byte: int) -> bool:
    return 0xA0 <= byte <= 0xBF or byte in (0xD9, 0xDA, 0xDB)


def tree_layer(name: str, shape: tuple[int, ...], dtype: str, load: Any) -> Layer:
    """A leaf of a Flax tree, named as `params/Conv_0/kernel`."""
    return Layer(name, shape, "hwio", load, dtype)


def _sorted(layers: list[Layer]) -> tuple[Layer, ...]:
    return tuple(sorted(layers, key=lambda layer: natural(layer.name)))


def is_orbax(folder: Path) -> bool:
    return _checkpoint(folder) is not None


def read_orbax(folder: Path, limits: Limits) -> Network:
    """The newest checkpoint in an Orbax directory, read by TensorStore, which Orbax writes with."""
    try:
        import tensorstore
    except ImportError as error:
        raise WeightsError(
            f"{folder} is an Orbax checkpoint: reading it needs the package tensorstore "
            "(pip install orbax-checkpoint)"
        ) from error
    place = _checkpoint(folder)
    if place is None:
        raise WeightsError(f"{folder} holds no Orbax checkpoint")
    _no_links_out(folder)
    kind = "ocdbt" if (place / "manifest.ocdbt").is_file() else "file"
    inner = {"driver": "file", "path": f"{place.absolute()}/"}
    store = {"driver": "ocdbt", "base": inner} if kind == "ocdbt" else inner
    try:
        keys = tensorstore.KvStore.open(store).result().list().result()
        layers = []
        for key in keys[:_MOST]:
            name, _, last = key.decode("utf-8", "replace").rpartition("/")
            driver = {".zarray": "zarr", "zarr.json": "zarr3"}.get(last)
            if driver is None or not name:
                continue
            layer = _stored(tensorstore, {**store}, kind, name, driver, limits)
            if layer is not None:
                layers.append(layer)
    except WeightsError:
        raise
    except Exception as error:  # TensorStore answers damaged stores with any of several errors
        raise WeightsError(f"{folder} is a damaged Orbax checkpoint") from error
    return Network(
        "Orbax",
        weights_among(_sorted(layers)),
        "names",
        "tensorflow",
        (("Checkpoint", place.name),),
    )


def _stored(
    tensorstore: Any, store: dict, kind: str, name: str, driver: str, limits: Limits
) -> Layer | None:
    path = f"{name}/" if kind == "ocdbt" else f"{store['path']}{name}/"
    spec = {"driver": driver, "kvstore": {**store, "path": path}}
    array = tensorstore.open(spec, open=True, read=True).result()
    shape = tuple(int(n) for n in array.shape)
    if not shape or 0 in shape:
        return None

    def load() -> np.ndarray:
        limits.array(shape, array.dtype.numpy_dtype.itemsize, name)
        limits.array(array.chunk_layout.read_chunk.shape, 8, f"a chunk of {name}")
        try:
            return np.asarray(array.read().result())
        except Exception as error:
            raise WeightsError(f"{name} is damaged") from error

    return tree_layer(name.replace(".", "/"), shape, array.dtype.name, load)


def _checkpoint(folder: Path, depth: int = 2) -> Path | None:
    """Where arrays lie: `folder`, or the largest step's item in it."""
    if any((folder / name).exists() for name in ("manifest.ocdbt", "_METADATA")):
        return folder
    if any(folder.glob("*/.zarray")) and not (folder / "zarr.json").exists():
        return folder
    if depth == 0:
        return None
    inner = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: natural(p.name))
    for place in reversed(inner[:1000]):
        found = _checkpoint(place, depth - 1)
        if found is not None:
            return found
    return None


def _no_links_out(folder: Path) -> None:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink() and not is_within(path.resolve(), folder):
                raise WeightsError(
                    f"{path.name} in {folder.name} is a link that leads out of it: not read"
                )
            if name in files and not path.is_file():
                raise WeightsError(f"{path.name} in {folder.name} is not a regular file: not read")
