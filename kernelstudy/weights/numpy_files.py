""".npy and .npz: headers are read and judged before their data, and pickled objects are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import Limits, read_exactly


def read_npy(path: Path, limits: Limits) -> Network:
    """The one array of a .npy file; its layout cannot be known."""
    with path.open("rb") as file:
        shape, dtype, _ = _header(file, path.name)

    def load() -> np.ndarray:
        with path.open("rb") as file:
            return _array(file, limits, path.name)

    layers = (Layer(path.stem, shape, None, load, str(dtype)),) if _fits(shape) else ()
    facts = (("Array", f"{' x '.join(map(str, shape)) or 'a single number'}, {dtype}"),)
    return Network(".npy", layers, "declared", facts=facts)


def read_npz(path: Path, limits: Limits) -> Network:
    """The arrays of a .npz archive; their layout cannot be known."""
    layers = []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if not entry.endswith(".npy"):
                continue
            name = entry.removesuffix(".npy")
            with archive.open(entry) as member:
                shape, dtype, _ = _header(member, name)  # pyright: ignore[reportArgumentType]

            def load(entry=entry, name=name) -> np.ndarray:
                with zipfile.ZipFile(path) as archive, archive.open(entry) as member:
                    return _array(member, limits, name)  # pyright: ignore[reportArgumentType]

            if _fits(shape):
                layers.append(Layer(name, shape, None, load, str(dtype)))
    return Network(".npz", tuple(layers), "declared")


def _fits(shape: tuple[int, ...]) -> bool:
    return len(shape) in DIMENSIONS and 0 not in shape


class _Bounded:
    """A file of which no more is read at once than a header can be long."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int) -> bytes:
        if size > 2**16:
            raise WeightsError(f"a header claims {size:,} bytes")
        return self._file.read(size)


def _header(file: BinaryIO, what: str) -> tuple[tuple[int, ...], np.dtype, bool]:
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):  # 3.0 is for structured arrays with unusual names
            raise ValueError(f"version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(_Bounded(file))  # pyright: ignore[reportArgumentType]
    except WeightsError:
        raise
    except Exception as error:  # the header is a Python literal: anything may be wrong with it
        raise WeightsError(f"{what} is not a .npy array that can be read") from error
    if dtype.names or dtype.subdtype:
        raise WeightsError(f"{what} holds structures, not numbers")
    if dtype.hasobject:
        raise WeightsError(f"{what} holds pickled Python objects, which are never loaded")
    return tuple(int(n) for n in shape), dtype, fortran


def _array(file: BinaryIO, limits: Limits, what: str) -> np.ndarray:
    shape, dtype, fortran = _header(file, what)
    data = read_exactly(file, limits.array(shape, dtype.itemsize, what), what)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
