"""Keras' .h5, .hdf5, .weights.h5 and .keras, through h5py alone: no Keras, no TensorFlow.

Source: the layouts that keras.src.saving (legacy/hdf5_format.py and saving_lib.py) writes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .keras_config import convolutions, in_order, stride_of
from .layer import Layer, Network, WeightsError
from .limits import Limits, parse_json, read_file, read_member

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
            datasets = {p: (d.shape, str(d.dtype)) for p, d in _datasets(file) if len(d.shape) == 4}
    except WeightsError:
        raise
    except Exception as error:  # HDF5 answers damaged files with any of several errors
        raise WeightsError(f"{name} is a damaged HDF5 file") from error

    def load(place: str) -> np.ndarray:
        try:
            with h5py.File(io.BytesIO(data), "r") as file:
                dataset: Any = file[place]
                limits.array(dataset.shape, dataset.dtype.itemsize, place)
                if dataset.dtype.kind not in "fiu":  # texts of any length, structures, references
                    raise WeightsError(f"{place} is of type {str(dataset.dtype)[:40]}: not numbers")
                limits.array(dataset.chunks or (), dataset.dtype.itemsize, f"a chunk of {place}")
                return dataset[()]
        except WeightsError:
            raise
        except Exception as error:
            raise WeightsError(f"{place} in {name} is damaged") from error

    found = list(convolutions(config))
    layers = []
    for place, settings in in_order(datasets, found):
        shape, dtype = datasets[place]
        if 0 in shape:
            continue
        parts = place.split("/")
        depthwise = "depthwise" in place.lower() or settings.kind.startswith(
            ("Depthwise", "Separable")
        )
        pointwise = parts[-1].startswith("pointwise") or (
            settings.kind.startswith("Separable") and parts[-2:] == ["vars", "1"]
        )
        theano = settings.settings.get("dim_ordering") == "th"
        layout = "oihw" if theano else "hwim" if depthwise and not pointwise else "hwio"
        layers.append(
            Layer(
                _name(place, settings.name, layout, pointwise=pointwise),
                shape,
                layout,
                lambda p=place: load(p),
                dtype,
                stride_of(settings.settings),
                depthwise=layout == "hwim",
                notes=("Keras 1 on Theano: kernels as a convolution, turned by 180 degrees",)
                if theano
                else (),
            )
        )
    order = "graph" if found else "names"  # Keras writes layers in the order in which they compute
    return Network(form, tuple(layers), order, "tensorflow", tuple(facts))


def _name(place: str, layer: str, layout: str, *, pointwise: bool) -> str:
    """By the layer's own name, where the config tells it."""
    if not layer:
        return place
    leaf = "pointwise_kernel" if pointwise else "depthwise_kernel" if layout == "hwim" else "kernel"
    return f"{layer}/{leaf}"


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
