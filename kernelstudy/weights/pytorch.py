"""PyTorch's .pt and .pth, zip and legacy, without PyTorch: tensors are described, then read as numbers.

State dicts, checkpoints around them, whole pickled modules and TorchScript archives.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import pickles
from .layer import Layer, Network, WeightsError
from .limits import Limits, read_exactly, read_file, read_member
from .pickles import Name, Record
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

    def storage(pid: Any) -> Storage:
        _, kind, key, _, numel = pid

        def read() -> bytes:
            with zipfile.ZipFile(path) as archive:
                try:
                    return read_member(archive, f"{top}data/{key}", limits)
                except KeyError as error:
                    raise WeightsError(f"{path.name} lacks the data of storage {key}") from error

        return Storage(storage_dtype(kind).newbyteorder(order), str(key), count(numel), read)

    found = pickles.load(io.BytesIO(text), REBUILD, storage, what=path.name)
    script = f"{top}constants.pkl" in names
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
    layers = []
    for name, tensor, owner in _walk(found):
        if len(tensor.size) != 4 or 0 in tensor.size or tensor.storage is None:
            continue
        stride = owner.get("stride") if isinstance(owner, dict) else None
        known = (
            isinstance(stride, tuple)
            and len(stride) == 2
            and all(isinstance(n, int) for n in stride)
        )
        groups = owner.get("groups") if isinstance(owner, dict) else None
        layers.append(
            Layer(
                name,
                tensor.size,
                "oihw" if tensor.torch else None,
                lambda t=tensor, n=name: t.numbers(limits, n),
                str(tensor.storage.dtype),
                stride if known else None,  # pyright: ignore[reportArgumentType]
                depthwise=isinstance(groups, int) and groups > 1 and tensor.size[1] == 1,
                step=None if tensor.scale is None else lambda t=tensor, n=name: t.step(limits, n),
            )
        )
    return Network(form, tuple(layers), "declared")


_SILENT = ("_modules", "_parameters", "_buffers", "state_dict", "model_state_dict")


def _walk(root: Any) -> Iterator[tuple[str, Tensor, Any]]:
    """(name, tensor, the state of the module that holds it), in the order they were saved."""
    todo: list[tuple[str, Any, Any]] = [("", root, None)]
    seen: set[int] = set()
    while todo:
        name, value, owner = todo.pop()
        if id(value) in seen or isinstance(value, str | bytes | int | float | Name):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield name or "tensor", value, owner
            continue
        if isinstance(value, Record):
            state = value.state if isinstance(value.state, dict) else {}
            inner = [*value.items.items(), *state.items()]
            owner = state
        elif isinstance(value, dict):
            inner = list(value.items())
        elif isinstance(value, list | tuple):
            inner = list(enumerate(value))
        else:
            continue
        for key, child in reversed(inner):
            joined = name if key in _SILENT else f"{name}.{key}" if name else str(key)
            keeps = key in ("_parameters", "_buffers")
            todo.append((joined, child, owner if keeps or isinstance(child, Tensor) else None))
