"""A network of one's own: a function that makes Flax nnx modules, as a `Network` of the engine.

A module is taken apart once: its parameters are trained, all other state (running statistics, streams of random
numbers, counters) goes with them from step to step.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from kernelstudy.config import KERNEL_SIZES
from kernelstudy.system.errors import ConfigError
from kernelstudy.training import substitutes
from kernelstudy.training.network import Network, at
from kernelstudy.training.parallel import for_once
from kernelstudy.weights import modules
from kernelstudy.weights.choice import choose, without_numbers
from kernelstudy.weights.layer import Layer, WeightsError

Make = Callable[[nnx.Rngs, Any], nnx.Module]
_SOME = 2  # images, where only shapes are asked


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
            f"model: must be a function make(rngs, first_init) that makes a Flax nnx module, not {_kind(make)}: "
            "every network is made anew"
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

        module = _made(make, name, jax.random.key(0), first_init)
        found.append(_looked_at(module, make, name, drawn))
        return module

    nnx.eval_shape(build)
    return found[0]


def name_of(make: Any) -> str:
    """What a function is called: its module and name."""
    inner = make
    while isinstance(inner, partial):
        inner = inner.func
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{getattr(inner, '__module__', '')}:{name}".lstrip(":")


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


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _made(make: Make, name: str, key: Any, first_init: Any) -> nnx.Module:
    module = make(nnx.Rngs(key), first_init)
    if not isinstance(module, nnx.Module):
        raise ConfigError(f"model: {name} makes {_kind(module)}, and must make a Flax nnx.Module")
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
            f"model: {name}'s first convolution, {layer.name}, has the shape {_times(layer.shape)}, and kernels "
            f"that are measured are square, of {', '.join(map(str, KERNEL_SIZES))} pixels"
        )
    return layer


def _check_start(name: str, layer: Layer, drawn: list[tuple[int, ...]]) -> None:
    others = [shape for shape in drawn if shape != layer.shape]
    if layer.shape not in drawn:
        used = f", which draws {_times(others[0])} for another layer" if others else ""
        raise ConfigError(
            f"model: {name}'s first convolution, {layer.name} of {_times(layer.shape)}, does not start from "
            f"first_init{used}: give it kernel_init=first_init"
        )
    if others:
        raise ConfigError(
            f"model: {name} starts a layer of {_times(others[0])} from first_init, too, which is for the first "
            f"convolution alone, {layer.name} of {_times(layer.shape)}"
        )


def _described(path: tuple[Any, ...], variable: Any) -> str:
    where = "/".join(map(str, path))
    if variable.dtype != jnp.float32:
        raise ConfigError(f"model: {where} is {variable.dtype}, and parameters must be float32")
    return f"{where} {_times(variable.shape)}".strip()


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


class _Parts(NamedTuple):
    """A module taken apart: its graph in both modes; the shapes of its parameters and of what else it keeps,
    sown values aside; which of the latter are random keys."""

    training: Any
    testing: Any
    params: Any
    state: Any
    keys: Any


def network_of(own: Own, image_shape: tuple[int, ...], *, on_cpu: bool) -> Network:
    """The network for images of this shape (H, W, C).

    `on_cpu`: its convolutions and pools take the forms of `substitutes`, and a batch is taken in chunks
    where no image's logits depend on the others.
    """
    parts = _parts(own)

    def build(key: Array, first_kernel: Array) -> tuple[Any, Any]:
        return _taken_apart(_built(own, key, first_kernel))

    def logits(params: Any, state: Any, images: Array, training: bool) -> tuple[Array, Any]:
        plain = partial(_logits, parts, training=training)
        found, state = (substitutes.on_cpu(plain) if on_cpu else plain)(params, state, images)
        return found.astype(jnp.float32), state

    names = [own.first[-1]]
    beside = at(parts.params, own.first[:-1])
    if "bias" in beside and len(own.first) > 1:
        names.append("bias")
    stateless = not jax.tree.leaves(parts.state)
    return Network(
        build,
        logits,
        first_kernel=lambda params: jax.tree.leaves(at(params, own.first))[0],
        watch=lambda *_: {},
        first=own.first[:-1],
        frozen=tuple(names),
        whole_batch=not (on_cpu and stateless and _by_image(parts, image_shape)),
    )


def check(own: Own, image_shape: tuple[int, ...], classes: int) -> None:
    """Check that the network takes such images (H, W, C) and tells so many classes.

    Raises:
        ConfigError: it does not.
    """
    if own.shape[2] != image_shape[-1]:
        raise ConfigError(
            f"model: {own.name}'s first convolution takes {own.shape[2]} channels, and the images have "
            f"{image_shape[-1]}"
        )
    parts = _parts(own)
    for training in (True, False):
        logits, state = jax.eval_shape(
            partial(_logits, parts, training=training),
            parts.params,
            parts.state,
            _images(image_shape),
        )
        told = _times(logits.shape) if hasattr(logits, "shape") else _kind(logits)
        if told != _times((_SOME, classes)):
            raise ConfigError(
                f"model: {own.name} answers {_SOME} images of {_times(image_shape)} with {told}, and must with "
                f"logits, {_times((_SOME, classes))}"
            )
        before, after = (
            (jax.tree.structure(s), [(v.shape, v.dtype) for v in jax.tree.leaves(s)])
            for s in (parts.state, state)
        )
        if before != after:
            raise ConfigError(
                f"model: {own.name} has other variables after a call than before it: what it keeps must be there "
                "from the start, and of one shape"
            )


def digest(own: Own, image_shape: tuple[int, ...]) -> str:
    """A hash of what the network computes: how it starts, learns and answers; other code gives another.

    It is of JAX's own notation, so that versions of JAX may tell the same network differently.
    """
    parts = _parts(own)
    images, key = _images(image_shape), jax.eval_shape(lambda: jax.random.key(0))
    kernel = jax.ShapeDtypeStruct(own.shape, jnp.float32)
    programs = [jax.make_jaxpr(lambda *args: _taken_apart(_built(own, *args)))(key, kernel)]
    for training in (True, False):
        plain = partial(_logits, parts, training=training)
        programs.append(jax.make_jaxpr(plain)(parts.params, parts.state, images))
    found = hashlib.sha256()
    for program in programs:
        found.update(re.sub(r"0x[0-9a-f]+", "", str(program)).encode())
        for value in program.consts:
            found.update(np.asarray(value).tobytes())
    return found.hexdigest()[:16]


def slow_convolutions(own: Own, image_shape: tuple[int, ...]) -> tuple[int, int]:
    """How many of its convolutions have no form that suits a CPU, and how many there are."""
    parts = _parts(own)
    plain = partial(_logits, parts, training=False)
    return substitutes.left_over(plain, parts.params, parts.state, _images(image_shape))


def bytes_of_batch(own: Own, image_shape: tuple[int, ...], batch: int) -> int:
    """Memory of one network's batch, about: all that a pass computes, and as much for its gradient."""
    parts = _parts(own)
    images = _images(image_shape, batch)
    plain = partial(_logits, parts, training=True)
    passed = jax.make_jaxpr(plain)(parts.params, parts.state, images).jaxpr
    values = [v.aval for eqn in passed.eqns for v in eqn.outvars]
    return 2 * sum(v.size * v.dtype.itemsize for v in values if hasattr(v, "size"))


def _images(shape: tuple[int, ...], count: int = _SOME) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *shape), jnp.float32)


def _built(own: Own, key: Array, first_kernel: Array) -> nnx.Module:
    def first_init(
        _: Any, shape: Any, dtype: Any = jnp.float32, *__: Any, **more: Any
    ) -> Array:
        del shape, more  # held to that of the kernel by `find`
        return first_kernel.astype(dtype)

    return _made(own.make, own.name, key, first_init)


def _parts(own: Own) -> _Parts:
    def build() -> nnx.Module:
        return _built(own, jax.random.key(0), jnp.zeros(own.shape))

    module = nnx.eval_shape(build)
    _, _, _, state = nnx.split(module, nnx.Param, nnx.Intermediate, ...)
    shapes = jax.eval_shape(lambda: _taken_apart(build()))
    module.train()
    training = nnx.graphdef(module)
    module.eval()
    return _Parts(training, nnx.graphdef(module), *shapes, jax.tree.map(_is_key, state))


def _taken_apart(module: nnx.Module) -> tuple[Any, Any]:
    """Parameters, and all other state with random keys as plain numbers; what was sown is dropped."""
    _, params, _, state = nnx.split(module, nnx.Param, nnx.Intermediate, ...)
    return params, jax.tree.map(lambda v: jax.random.key_data(v) if _is_key(v) else v, state)


def _is_key(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _logits(parts: _Parts, params: Any, state: Any, images: Array, training: bool) -> Any:
    """What the module answers, and its state after that. What is given to it is copied: it changes it."""
    params = jax.tree.map(lambda v: v, params)
    state = jax.tree.map(
        lambda is_key, v: jax.random.wrap_key_data(v) if is_key else v, parts.keys, state
    )
    module: Any = nnx.merge(parts.training if training else parts.testing, params, state)
    logits = module(images)
    return logits, _taken_apart(module)[1]


def _by_image(parts: _Parts, image_shape: tuple[int, ...]) -> bool:
    """Whether no image's logits depend on the others: what is not a number stays with its own."""
    params = jax.tree.map(lambda v: jnp.full(v.shape, 0.01, v.dtype), parts.params)
    images = jnp.ones((_SOME, *image_shape)).at[0].set(jnp.nan)
    plain = jax.jit(partial(_logits, parts, training=True), compiler_options=for_once())
    logits, _ = plain(params, parts.state, images)
    return bool(jnp.isfinite(logits[1]).all())
