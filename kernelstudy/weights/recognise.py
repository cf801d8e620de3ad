"""Which format a file or directory is, by what is in it; its name and ending say nothing."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from kernelstudy.system import files

from . import (
    exported,
    flax_trees,
    keras_files,
    numpy_files,
    onnx_graph,
    pytorch,
    safetensor,
    tensorflow_js,
    tflite_graph,
)
from .layer import Network, WeightsError, said
from .limits import Limits, parse_json, read_file

FORMATS = (
    ".npy, .npz, safetensors, PyTorch (.pt, .pth, .pt2), ONNX, Keras (.keras, .h5), TFLite, TensorFlow.js, "
    "Orbax, Flax msgpack, run directories"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_START = 2**16
Reader = Callable[[Path, Limits], Network]


def read(path: Path, limits: Limits | None = None, *, shown: str = "") -> Network:
    """The convolutions of the network in `path`, a file or directory of any of `FORMATS`.

    `shown`: what messages call it; `path` unless given.

    Raises:
        WeightsError: it is missing, of no known format, damaged, hostile, or larger than allowed.
    """
    limits = limits or Limits()
    try:
        if path.is_dir():
            network = _folder(path)(path, limits)
        elif path.is_file():
            network = _file(path)(path, limits)
        else:
            raise WeightsError(
                f"{shown or path} is not there"
                if not path.exists()
                else f"{shown or path} is no file"
            )
    except OSError as error:
        raise WeightsError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # a decoder may answer damaged bytes with any exception
        raise WeightsError(
            f"{path.name} is damaged or no such file as it claims: {said(error)}"
        ) from error
    if not network.layers:
        raise WeightsError(f"{path.name} ({network.format}) holds no convolution" + _seen(network))
    return network


def _seen(network: Network) -> str:
    return "".join(f"; {name.lower()}: {value}" for name, value in network.facts[:1])


def _folder(path: Path) -> Reader:
    if (path / "model.json").exists():
        return lambda folder, limits: tensorflow_js.read(folder / "model.json", limits)
    if (path / "saved_model.pb").exists():
        raise WeightsError(_SAVED_MODEL.format(path))
    if any(path.glob("*.ckpt.index")) or (path / "variables.index").exists():
        raise WeightsError(_CHECKPOINT.format(path))
    if flax_trees.is_orbax(path):
        return flax_trees.read_orbax
    if one := _weights_in(path):
        return lambda folder, limits: _file(folder / one)(folder / one, limits)
    raise WeightsError(f"{path} is a directory of none of the known formats: {FORMATS}")


_SAVED_MODEL = (
    "{} is a TensorFlow SavedModel, which is not read: convert it with tf2onnx to ONNX, with TensorFlow's "
    "TFLiteConverter to TFLite, or save it from Keras as .keras"
)
_CHECKPOINT = (
    "{} is a TensorFlow checkpoint, which is not read: load it in its model and save that as .keras, ONNX or "
    "TFLite"
)
_ENDINGS = (
    *(
        ".safetensors",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".onnx",
        ".keras",
        ".h5",
        ".hdf5",
        ".msgpack",
    ),
    *(".tflite", ".npz", ".npy", ".pt2"),
)


def _weights_in(folder: Path) -> str | None:
    """The one file of weights in a directory, an index of shards first, as model hubs lay them out."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    indices = [name for name in names if name.endswith(".safetensors.index.json")]
    found = indices or [name for name in names if name.endswith(_ENDINGS)]
    if len(found) > 1:
        raise WeightsError(
            f"{folder} holds several files of weights: name one, {', '.join(found[:6])}"
        )
    return found[0] if found else None


def _json(path: Path, limits: Limits) -> Network:
    limits.description(path.stat().st_size, path.name)
    model = parse_json(read_file(path, limits), path.name)
    if isinstance(model, dict) and "weight_map" in model:
        return safetensor.read_shards(path, limits)
    return tensorflow_js.read(path, limits)


def _file(path: Path) -> Reader:
    size = path.stat().st_size
    with files.opened(path) as file:
        start = file.read(_START)
    if not start:
        raise WeightsError(f"{path} is empty")
    known: tuple[tuple[bool, Reader], ...] = (
        (start.startswith(b"\x93NUMPY"), numpy_files.read_npy),
        (start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"), _archive),
        (start.startswith(pytorch.LEGACY_START), pytorch.read_legacy),
        (start.startswith(_HDF5), keras_files.read_h5),
        (start[4:8] == b"TFL3", tflite_graph.read),
        (safetensor.claims_header(start), safetensor.read),
        (start.lstrip()[:1] in (b"{", b"["), _json),
        (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and size > 2, pytorch.read_pickle),
        (onnx_graph.looks_like_onnx(start, size), onnx_graph.read),
        (flax_trees.is_msgpack(start), flax_trees.read_msgpack),
        (start[:1] in b"(}]c" and start[-1:] == b".", pytorch.read_pickle),  # pickle protocol 0
    )
    for fits, reader in known:
        if fits:
            return reader
    if path.suffix == ".index" or ".ckpt.data-" in path.name or path.name.startswith("variables."):
        raise WeightsError(_CHECKPOINT.format(path.name))
    if path.name == "saved_model.pb":
        raise WeightsError(_SAVED_MODEL.format(path.name))
    hint = ""
    if start.startswith(b"\n"):
        hint = "; it may be a TensorFlow graph: convert it to ONNX or TFLite"
    raise WeightsError(f"{path.name} is of none of the known formats ({FORMATS}){hint}")


def _archive(path: Path, limits: Limits) -> Network:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if names and min(info.header_offset for info in archive.infolist()) > 0:
            # of an archive that is cut short, zipfile finds one that lies within it
            raise WeightsError(f"{path.name} is cut short, or holds more than one archive")
    if len(set(names)) != len(names):
        raise WeightsError(
            f"{path.name} holds two files of one name: which is meant cannot be told"
        )
    if exported.is_exported(names):
        return exported.read(path, limits)
    if any(name.endswith("/data.pkl") for name in names):
        return pytorch.read_zip(path, limits)
    if {"config.json", "model.weights.h5"} <= set(names):
        return keras_files.read_keras(path, limits)
    if names and all(name.endswith(".npy") for name in names):
        return numpy_files.read_npz(path, limits)
    raise WeightsError(
        f"{path.name} is a zip archive of none of the known formats (first in it: "
        f"{', '.join(names[:3]) or 'nothing'}); unpack it and name the weights in it"
    )
