"""A network of one's own, a function that makes Flax nnx modules: what it is found to make (`find`)."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from kernelstudy.config import KERNEL_SIZES
from kernelstudy.system.errors import ConfigError
from kernelstudy.weights import modules
from kernelstudy.weights.choice import choose, without_numbers
from kernelstudy.weights.layer import Layer, WeightsError

Make = Callable[[nnx.Rngs, Any], nnx.Module]


class Own(NamedTuple):
    """A network of one's own, as far as it is known without images."""

    make: Make
    name: str
    first: tuple[Any, ...]  # path of the first layer's kernel among the parameters
    shape: tuple[int, ...]  # (kh, kw, cin, cout) of that
    parameters: list[str]  # 'conv/kernel 3 x 3 x 1 x 16', ...


def find(make: Make, name: str) -> Own:
    """What `make(rngs, first_init)` makes, without computing anything.

    Raises:
        ConfigError: it makes no module with a first convolution that starts from `first_init` and can be
            measured.
    """
    if isinstance(make, nnx.Module) or not callable(make):
        raise ConfigError(
            f"model: must be a function make(rngs, first_init) that makes a Flax nnx module, not "
            f"{kind_of(make)}, for every network is made anew"
        )
    try:
        inspect.signature(make).bind(None, None)
    except TypeError as error:
        raise ConfigError(f"model: {name} must take (rngs, first_init): {error}") from error
    except ValueError:  # of a function that tells no signature
        pass
    found: list[Own] = []

    def build() -> nnx.Module:
        drawn: list[tuple[int, ...]] = []

        def first_init(key: Any, shape: Any, dtype: Any = jnp.float32, *_: Any, **__: Any) -> Array:
            del key
            drawn.append(tuple(shape))
            return jnp.zeros(shape, dtype)

        module = made(make, name, jax.random.key(0), first_init)
        found.append(_looked_at(module, make, name, drawn))
        return module

    nnx.eval_shape(build)
    return found[0]


def name_of(make: Any) -> str:
    """What a function or class is called: its module, but that of a script, and its name."""
    inner = make
    while isinstance(inner, partial):
        inner = inner.func
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    module = getattr(inner, "__module__", None) or "__main__"
    return name if module == "__main__" else f"{module}:{name}"


def _looked_at(module: nnx.Module, make: Make, name: str, drawn: list[tuple[int, ...]]) -> Own:
    """A module just made, while its attributes still have the order in which they were set."""
    layer = _first_convolution(module, name)
    value = {each: value for each, _, value, _ in modules.leaves(module)}.get(layer.name)
    if not isinstance(value, nnx.Param):
        raise ConfigError(
            f"model: {name}'s first convolution, {layer.name}, is not one parameter (nnx.Param), and so cannot "
            "be followed"
        )
    _check_start(name, layer, drawn)
    path = next(path for path, node in nnx.iter_graph(module) if node is value)
    parameters = nnx.to_flat_state(nnx.state(module, nnx.Param))
    described = [_described(where, each) for where, each in parameters]
    return Own(make, name, path, layer.shape, described)


def kind_of(value: Any) -> str:
    return f"a {type(value).__name__}"


def made(make: Make, name: str, key: Any, first_init: Any) -> nnx.Module:
    module = make(nnx.Rngs(key), first_init)
    if not isinstance(module, nnx.Module):
        raise ConfigError(f"model: {name} makes {kind_of(module)}, and must make a Flax nnx.Module")
    return module


def _first_convolution(module: nnx.Module, name: str) -> Layer:
    """As `kernelstudy.compare` finds it; only shapes are known."""
    try:
        layer, _ = choose(without_numbers(modules.read(module)))
    except WeightsError as error:
        told = re.sub(r"[:,]? ?name one with --layer.*", "", str(error))
        raise ConfigError(
            f"model: {name} has no convolution that can be followed: {told}"
        ) from error
    kh, kw = (*layer.shape, 0, 0)[:2]
    if len(layer.shape) != 4 or kh != kw or kh not in KERNEL_SIZES:
        raise ConfigError(
            f"model: {name}'s first convolution, {layer.name}, is {times(layer.shape)}, and kernels that are "
            f"measured are square, of {', '.join(map(str, KERNEL_SIZES))} pixels"
        )
    return layer


def _check_start(name: str, layer: Layer, drawn: list[tuple[int, ...]]) -> None:
    others = [shape for shape in drawn if shape != layer.shape]
    if layer.shape not in drawn:
        used = f", which draws {times(others[0])} for another layer" if others else ""
        raise ConfigError(
            f"model: {name}'s first convolution, {layer.name} of {times(layer.shape)}, does not start from "
            f"first_init{used}: give it kernel_init=first_init"
        )
    if others:
        raise ConfigError(
            f"model: {name} starts a layer of {times(others[0])} from first_init, too, which is for the first "
            f"convolution alone, {layer.name} of {times(layer.shape)}"
        )


def _described(path: tuple[Any, ...], variable: Any) -> str:
    where = "/".join(map(str, path))
    if variable.dtype != jnp.float32:
        raise ConfigError(f"model: {where} is {variable.dtype}, and parameters must be float32")
    return f"{where} {times(variable.shape)}".strip()


def times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
