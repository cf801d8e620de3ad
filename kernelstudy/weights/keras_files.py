"""Keras' .h5, .hdf5, .weights.h5 and .keras, through h5py alone: no Keras, no TensorFlow.

Source: the layouts that keras.src.saving (legacy/hdf5_format.py and saving_lib.py) writes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from .keras_config import Convolution, convolutions, in_order, stride_of
from .layer import DIMENSIONS, Layer, Network, WeightsError
from .limits import Limits, parse_json, read_file, read_member
from .roles import weights_among

_DEEP, _MANY = 40, 200_000


def read_h5(path: Path, limits: Limits) -> Network:
    """An HDF5 file of Keras: whole model or weights alone, of any version."""
    # In memory, so that the file cannot make HDF5 open others.
    return _read(path.name, read_file(path, limits), limits, None, "Keras (HDF5)")


def read_keras(path: Path, limits: Limits) -> Network:
    """A .keras archive: config.json beside model.weights.h5."""
    with zipfile.ZipFile(path) as archive:
        text = read_member(archive, "config.json", limits, description=True)
        data = read_member(archive, "model.weights.h5", limits)
    return _read(path.name, data, limits, parse_json(text, "config.json"), "Keras (.keras)")


def _read(name: str, data: bytes, limits: Limits, config: Any, form: str) -> Network:
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(
            f"{name} is a Keras or HDF5 file: reading it needs the package h5py "
            "(pip install 'kernelstudy[keras]')"
        ) from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            facts = []
            if config is None and "model_config" in file.attrs:
                config = parse_json(_text(file.attrs["model_config"]), "model_config")
            version = file.attrs.get("keras_version")
            if version is not None:
                facts.append(("Written by", f"Keras {_text(version).decode()}"))
            datasets = {
                p: (d.shape, str(d.attrs.get("dtype", d.dtype))) for p, d in _datasets(file)
            }
            names = _names(file)
    except WeightsError:
        raise
    except Exception as error:  # HDF5 answers damaged files with any of several errors
        raise WeightsError(f"{name} is a damaged HDF5 file") from error

    def load(place: str) -> np.ndarray:
        try:
            with h5py.File(io.BytesIO(data), "r") as file:
                dataset: Any = file[place]
                limits.array(dataset.shape, dataset.dtype.itemsize, place)
                kind, fields = dataset.dtype.kind, dataset.dtype.names or dataset.dtype.subdtype
                if kind not in "fiuV" or fields:  # texts of any length, structures, references
                    raise WeightsError(f"{place} is of type {str(dataset.dtype)[:40]}: not numbers")
                limits.array(dataset.chunks or (), dataset.dtype.itemsize, f"a chunk of {place}")
                return _typed(dataset[()], datasets[place][1])
        except WeightsError:
            raise
        except Exception as error:
            raise WeightsError(f"{place} in {name} is damaged") from error

    found = list(convolutions(config))
    arrays = [
        _layer(place, settings, *datasets[place], names, partial(load, place))
        if place
        else missing(settings)
        for place, settings in in_order(datasets, found)
        if not place or 0 not in datasets[place][0]
    ]
    order = "graph" if found else "names"
    return Network(form, weights_among(arrays), order, "tensorflow", tuple(facts))


def missing(settings: Convolution) -> Layer:
    """A layer of the config whose weights are nowhere in the file."""
    return Layer(
        settings.name,
        (),
        None,
        lambda: np.zeros(0),
        refused=f"its weights ({settings.kind}) are not where this version of Keras keeps them",
        sees=settings.sees,
        source=settings.source,
    )


def _layer(
    place: str,
    settings: Convolution,
    shape: tuple[int, ...],
    dtype: str,
    names: dict[str, str],
    load: Callable[[], np.ndarray],
) -> Layer:
    parts = place.split("/")
    known = settings.kind or _class_of(parts)
    separable, transposed = known.startswith("Separable"), "Transpose" in known
    pointwise = parts[-1].startswith("pointwise") or (separable and parts[-2:] == ["vars", "1"])
    depthwise = not pointwise and (
        "depthwise" in parts[-1].lower() or known.startswith("Depthwise") or separable
    )
    theano = settings.settings.get("dim_ordering") == "th"
    layout = (
        None
        if len(shape) not in DIMENSIONS
        else "oihw" if theano else "hwim" if depthwise
        else "hwoi" if transposed else "hwio"
    )  # fmt: skip
    turned = "Keras 1 on Theano: kernels as a convolution, turned by 180 degrees"
    return Layer(
        _name(place, settings, names, layout, pointwise=pointwise),
        shape,
        layout,
        load,
        dtype,
        stride_of(settings.settings),
        depthwise=layout == "hwim",
        transposed=transposed,
        notes=(turned,) if theano else (),
        sees=settings.sees and not pointwise,  # it sees what the depthwise half gives
        source=settings.source,
    )


def _class_of(parts: list[str]) -> str:
    """The class by which Keras 3 counted the layer, where there is no config."""
    for part in reversed(parts):
        for snake, kind in _CLASSES.items():
            if re.fullmatch(rf"{snake}(_\d+)?", part.lower()):
                return kind
    return ""


_CLASSES = {
    "separable_conv2d": "SeparableConv2D",
    "depthwise_conv2d": "DepthwiseConv2D",
    "conv2d_transpose": "Conv2DTranspose",
    "conv3d_transpose": "Conv3DTranspose",
}


def _typed(values: np.ndarray, dtype: str) -> np.ndarray:
    """h5py gives bfloat16 as two bytes of no type; Keras says beside it what they are."""
    if values.dtype.kind != "V":
        return values
    kind = getattr(ml_dtypes, dtype, None)
    if kind is None or np.dtype(kind).itemsize != values.dtype.itemsize:
        raise WeightsError(f"numbers of type {dtype} are not read")
    return values.view(kind)


def _names(root: Any) -> dict[str, str]:
    """Keras 3's place of a layer's variables -> the layer's own name, which newer files tell."""
    found: dict[str, str] = {}

    def note(place: str, item: Any) -> None:
        name = item.attrs.get("name") if place.endswith("vars") else None
        if isinstance(name, str | bytes):
            found[place] = _text(name).decode("utf-8", "replace")

    root.visititems(note)
    return found


def _name(
    place: str, settings: Convolution, names: dict[str, str], layout: str | None, *, pointwise: bool
) -> str:
    """By the layers' own names from the outermost, where the file tells them."""
    own = settings.path or ((settings.name,) if settings.name else ())
    if not own and (parts := place.split("/")) and "vars" in parts:
        ends = [i + 1 for i, part in enumerate(parts) if part == "vars"]
        known = names.get("/".join(parts[: ends[0]]))
        if parts[-1] != "0" and not pointwise:
            return place
        outer = [names.get("/".join([*parts[:i], "vars"])) for i in range(2, ends[0] - 1, 2)]
        own = (*[n for n in outer if n], known) if known else ()
    if not own:
        return place
    leaf = "pointwise_kernel" if pointwise else "depthwise_kernel" if layout == "hwim" else "kernel"
    return "/".join((*own, leaf))


def _datasets(root: Any) -> Iterator[tuple[str, Any]]:
    """Every dataset by hard links alone: no other file is opened, no circle walked."""
    import h5py

    todo, seen = [("", root, 0)], set()
    while todo:
        place, group, depth = todo.pop()
        for key in reversed(list(group)):
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item, path = group[key], f"{place}/{key}" if place else key
            number = hash(item.id)  # of the object's address in the file
            if number in seen or depth > _DEEP or len(seen) > _MANY:
                continue
            seen.add(number)
            if isinstance(item, h5py.Group):
                todo.append((path, item, depth + 1))
            elif isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
                yield path, item


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
