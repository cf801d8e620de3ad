"""PyTorch's .pt and .pth, zip and legacy, without PyTorch: tensors are described, then read as numbers.

State dicts, checkpoints around them, whole pickled modules and TorchScript archives.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import pickles
from .effective import turned
from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import Limits, read_exactly, read_file, read_member
from .pickles import Name, Record
from .roles import OPTIMISER, weights_among
from .torch_tensors import REBUILD, Storage, Tensor, count, storage_dtype

# The pickled torch.serialization.MAGIC_NUMBER.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_zip(path: Path, limits: Limits) -> Network:
    """A zip archive of torch.save or torch.jit.save."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        top = min((n for n in names if n.endswith("/data.pkl")), key=len).removesuffix("data.pkl")
        text = read_member(archive, f"{top}data.pkl", limits, description=True)
        order = "<"
        if f"{top}byteorder" in names:
            told = read_member(archive, f"{top}byteorder", limits, description=True)
            order = ">" if told.strip() == b"big" else "<"
        script = f"{top}constants.pkl" in names
        constants = b""
        if script:
            constants = read_member(archive, f"{top}constants.pkl", limits, description=True)

    def storage(pid: Any, folder: str = "data") -> Storage:
        _, kind, key, _, numel = pid

        def read() -> bytes:
            with zipfile.ZipFile(path) as archive:
                try:
                    return read_member(archive, f"{top}{folder}/{key}", limits)
                except KeyError as error:
                    raise WeightsError(f"{path.name} lacks the data of storage {key}") from error

        return Storage(storage_dtype(kind).newbyteorder(order), str(key), count(numel), read)

    found = pickles.load(io.BytesIO(text), REBUILD, storage, what=path.name)
    if constants:  # of a frozen module, whose code names them CONSTANTS.c0, ...
        frozen = pickles.load(
            io.BytesIO(constants), REBUILD, partial(storage, folder="constants"), what=path.name
        )
        if isinstance(frozen, list | tuple) and frozen:
            found = [found, {"CONSTANTS": {f"c{i}": value for i, value in enumerate(frozen)}}]
    return _network("PyTorch (TorchScript)" if script else "PyTorch (zip)", found, limits)


def read_legacy(path: Path, limits: Limits) -> Network:
    """What torch.save wrote before version 1.6: pickles one after another, then the storages."""
    data = read_file(path, limits)
    file, size = io.BytesIO(data), len(data)
    places: dict[str, tuple[int, int]] = {}

    def storage(pid: Any) -> Storage:
        _, kind, key, _, numel, *view = pid
        if view and view[0] is not None:
            raise WeightsError("storages that are views of others are not read")
        dtype = storage_dtype(kind)

        def read() -> bytes:
            if str(key) not in places:
                raise WeightsError(f"{path.name} lacks the data of storage {key}")
            start, held = places[str(key)]
            file.seek(start)
            length = limits.array((held,), dtype.itemsize, f"storage {key}")
            return read_exactly(file, length, f"storage {key} of {path.name}")

        found = Storage(dtype, str(key), count(numel), read)
        kinds[str(key)] = dtype.itemsize
        return found

    kinds: dict[str, int] = {}
    for _ in ("magic number", "protocol", "system"):
        pickles.load(file, {}, what=path.name)
    found = pickles.load(file, REBUILD, storage, what=path.name)
    keys = pickles.load(file, {}, what=path.name)
    for key in keys if isinstance(keys, list) else []:
        numel = int.from_bytes(read_exactly(file, 8, path.name), "little", signed=True)
        if not 0 <= numel <= limits.max_bytes or str(key) not in kinds:
            raise WeightsError(f"{path.name} is damaged at storage {key}")
        places[str(key)] = (file.tell(), numel)
        file.seek(numel * kinds[str(key)], io.SEEK_CUR)
        if file.tell() > size:
            raise WeightsError(f"{path.name} is cut short in storage {key}")
    return _network("PyTorch (legacy)", found, limits)


def read_pickle(path: Path, limits: Limits) -> Network:
    """A plain pickle of NumPy arrays; their layout cannot be known."""
    found = pickles.load(io.BytesIO(read_file(path, limits)), REBUILD, what=path.name)
    return _network("pickle", found, limits)


def _network(form: str, found: Any, limits: Limits) -> Network:
    layers = weights_among([_layer(*entry, limits) for entry in _walk(found)])
    return Network(form, layers, "declared")


def _layer(name: str, tensor: Tensor, owner: Any, role: str, limits: Limits) -> Layer:
    settings = owner.state if isinstance(owner, Record) and isinstance(owner.state, dict) else {}
    stride, groups = settings.get("stride"), settings.get("groups")
    known = (
        isinstance(stride, tuple) and len(stride) == 2 and all(isinstance(n, int) for n in stride)
    )
    is_kernel = len(tensor.size) in DIMENSIONS
    layer = Layer(
        name,
        tensor.size,
        "oihw" if tensor.torch else None,
        lambda: tensor.numbers(limits, name),
        str(tensor.storage.dtype) if tensor.storage else "",
        stride if known else None,  # pyright: ignore[reportArgumentType]
        depthwise=is_kernel and isinstance(groups, int) and groups > 1 and tensor.size[1] == 1,
        step=None if tensor.scale is None else lambda: tensor.step(limits, name),
        role=role,
    )
    transposed = settings.get("transposed") is True or (
        isinstance(owner, Record) and "Transpose" in owner.kind.name
    )
    return turned(layer) if transposed and is_kernel and tensor.torch else layer


_SILENT = ("_modules", "_parameters", "_buffers", "state_dict", "model_state_dict")


def _walk(root: Any) -> Iterator[tuple[str, Tensor, Any, str]]:
    """(name, tensor, the module that holds it, role), in the order they were saved."""
    todo: list[tuple[str, Any, Any, str]] = [("", root, None, "")]
    seen: set[int] = set()
    while todo:
        name, value, owner, role = todo.pop()
        if id(value) in seen or isinstance(value, str | bytes | int | float | Name):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.storage is not None:
                yield name or "tensor", value, owner, role
            continue
        if isinstance(value, Record):
            inner = [*value.items.items(), *_state_of(value)]
            owner = value
            if value.kind.module.startswith("torch.optim.") and "swa" not in value.kind.module:
                role = OPTIMISER
        elif isinstance(value, dict):
            inner = list(value.items())
            if {"state", "param_groups"} <= {key for key in value if isinstance(key, str)}:
                role = OPTIMISER
        elif isinstance(value, list | tuple):
            inner = list(enumerate(value))
        else:
            continue
        for key, child in reversed(inner):
            joined = name if key in _SILENT else f"{name}.{key}" if name else str(key)
            keeps = key in ("_parameters", "_buffers") or isinstance(child, Tensor)
            todo.append((joined, child, owner if keeps else None, role))


def _state_of(record: Record) -> list[tuple[Any, Any]]:
    """What an object's state names; of the packed weights of quantised modules, which have no names."""
    if isinstance(record.state, dict):
        return list(record.state.items())
    if isinstance(record.state, list | tuple):
        return list(enumerate(record.state))
    return []
