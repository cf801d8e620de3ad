"""The first layer of somebody's model, found once and read again at every log point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelstudy.comparison.opening import kernels_of_array
from kernelstudy.config import KERNEL_SIZES
from kernelstudy.system.errors import InputError
from kernelstudy.weights import modules
from kernelstudy.weights.choice import choose, without_numbers
from kernelstudy.weights.layer import Layer, Network, WeightsError, with_layout


@dataclass(frozen=True)
class Source:
    """`layer` as it was when it was found, and `why` it is this one; `form` of the model it is of.

    `pick` of a model gives what holds the kernels, at the cost of a look-up; `snapshot` of that a copy, still
    on the model's device, that later steps do not change; `load` of the copy NumPy's array.
    """

    layer: Layer
    why: str
    form: str
    pick: Callable[[Any], Any]
    snapshot: Callable[[Any], Any]
    load: Callable[[Any], np.ndarray] = modules.as_numpy

    def kernels(self, copy: Any) -> np.ndarray:
        """The kernels (kh, kw, in, out) of a snapshot, bit for bit: floats of the model's own type, or
        float32 where NumPy has none such.

        Raises:
            InputError: the layer has another shape than at first.
        """
        values = self.load(copy)
        if values.shape != self.layer.shape:
            raise InputError(
                f"{self.layer.name} had the shape {self.layer.shape} when recording began, and now "
                f"{values.shape}"
            )
        kind = values.dtype if values.dtype in (np.float16, np.float64) else np.float32
        return replace(self.layer, load=lambda: values).hwio().astype(kind)


def find_source(model: Any, name: str | None, layout: str, *, values: bool = True) -> Source:
    """The first layer of `model`, found as `compare` finds it, or the one of that name.

    `values`: whether its arrays hold numbers; within `jax.jit` they hold none.

    Raises:
        WeightsError: it has none, several may be meant, or its kernels are of a size without a bank.
    """
    if modules.is_array(model):
        found = _of_array(model, layout)
    else:
        network = _network(model, layout)
        if not values:  # copies of a layer cannot be told from others
            network = without_numbers(network)
        found = _of_model(model, network, *choose(network, name))
    kh, kw, *_ = found.layer.shape_hwio() or (0, 0)
    if kh != kw or kh not in KERNEL_SIZES:
        sizes = ", ".join(map(str, KERNEL_SIZES))
        raise WeightsError(
            f"{found.layer.name} has kernels of {kh}x{kw}: followed over training are square ones of "
            f"{sizes} pixels; layer= names another"
        )
    return found


def _network(model: Any, layout: str) -> Network:
    network = modules.read(model)
    return replace(network, layers=tuple(with_layout(each, layout) for each in network.layers))


def _of_array(array: Any, layout: str) -> Source:
    shape = tuple(int(n) for n in array.shape)
    _, way = kernels_of_array(np.empty(shape), layout, torch=hasattr(array, "detach"))
    layer = Layer("kernels", shape, way, lambda: modules.as_numpy(array), str(array.dtype))
    return Source(layer, f"an array read as {way}", "an array", lambda given: given, _copy)


def _copy(array: Any) -> Any:
    """A copy where the array is: torch's and JAX's stay on their device, and are not waited for."""
    if hasattr(array, "detach"):
        return array.detach().clone()
    if "jax" in sys.modules:
        jax = sys.modules["jax"]
        inner = array[...] if hasattr(array, "__getitem__") else array  # out of an nnx variable
        if isinstance(inner, jax.Array):
            return inner if isinstance(inner, jax.core.Tracer) else inner.copy()
    return np.array(array)


def _of_model(model: Any, network: Network, layer: Layer, why: str) -> Source:
    form = f"{'an' if network.format[0] in 'AEIO' else 'a'} {network.format}"
    if modules.is_keras_model(model):
        inside, _, attribute = layer.name.rpartition("/")

        def pick_keras(given: Any) -> Any:
            layers = (inner for name, inner in modules.keras_layers(given) if name == inside)
            return getattr(next(layers), attribute)

        return Source(layer, why, form, pick_keras, modules.keras_array)
    if modules.is_torch_module(model):
        inside = layer.name.removesuffix("weight").removesuffix(".")

        def copy_torch(picked: Any) -> Any:
            return _copy(modules.torch_weight(picked))

        return Source(layer, why, form, lambda given: given.get_submodule(inside), copy_torch)
    paths = {name: path for name, path, *_ in modules.leaves(model)}
    if layer.name in paths:
        path = paths[layer.name]
        return Source(layer, why, form, lambda given: modules.follow(given, path), _copy)

    def computed(given: Any) -> np.ndarray:
        """Its weights are computed from several arrays."""
        return np.array(choose(modules.read(given), layer.name)[0].stored())

    return Source(layer, why, form, lambda given: given, computed)
