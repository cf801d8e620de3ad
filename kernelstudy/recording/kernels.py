"""The first layer of somebody's model, found once and read again at every log point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelstudy.comparison.opening import kernels_of_array
from kernelstudy.config import KERNEL_SIZES
from kernelstudy.system.errors import InputError
from kernelstudy.weights import modules
from kernelstudy.weights.choice import choose
from kernelstudy.weights.layer import Layer, Network, WeightsError, with_layout


@dataclass(frozen=True)
class Source:
    """`layer` as it was when it was found, and `why` it is this one; `form` of the model it is of.

    `pick` of a model gives what holds the kernels, at the cost of a look-up; `load` of that the array.
    """

    layer: Layer
    why: str
    form: str
    pick: Callable[[Any], Any]
    load: Callable[[Any], np.ndarray]

    def kernels(self, picked: Any) -> np.ndarray:
        """The kernels (kh, kw, in, out) as they are now, bit for bit: floats of the model's own type, or
        float32 where NumPy has none such.

        Raises:
            InputError: the layer has another shape than at first.
        """
        values = self.load(picked)
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
            network = _without_numbers(network)
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


def _without_numbers(network: Network) -> Network:
    rng = np.random.default_rng(0)
    layers = (
        replace(each, load=lambda shape=each.shape: rng.standard_normal(shape))
        for each in network.layers
    )
    return replace(network, layers=tuple(layers))


def _of_array(array: Any, layout: str) -> Source:
    shape = tuple(int(n) for n in array.shape)
    _, way = kernels_of_array(np.empty(shape), layout, torch=hasattr(array, "detach"))
    layer = Layer("kernels", shape, way, lambda: modules.as_numpy(array), str(array.dtype))
    return Source(
        layer, f"an array read as {way}", "an array", lambda given: given, modules.as_numpy
    )


def _of_model(model: Any, network: Network, layer: Layer, why: str) -> Source:
    if modules.is_torch_module(model):
        inside = layer.name.removesuffix("weight").removesuffix(".")

        def pick(given: Any) -> Any:
            return given.get_submodule(inside)

        def load(picked: Any) -> np.ndarray:
            return modules.as_numpy(modules.torch_weight(picked))

    elif modules.is_keras_model(model):
        inside, _, attribute = layer.name.rpartition("/")

        def pick(given: Any) -> Any:
            return next(inner for name, inner in modules.keras_layers(given) if name == inside)

        def load(picked: Any) -> np.ndarray:
            return np.asarray(getattr(picked, attribute))

    else:
        paths = {name: path for name, path, *_ in modules.leaves(model)}
        if layer.name in paths:
            path = paths[layer.name]

            def pick(given: Any) -> Any:
                return modules.follow(given, path)

            def load(picked: Any) -> np.ndarray:
                return modules.as_numpy(picked)

        else:  # its weights are computed from several arrays

            def pick(given: Any) -> Any:
                return given

            def load(picked: Any) -> np.ndarray:
                return choose(modules.read(picked), layer.name)[0].stored()

    return Source(layer, why, f"a {network.format}", pick, load)
