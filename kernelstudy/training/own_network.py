"""A network of one's own (`own`) as a `Network` of the engine.

A module is taken apart once: its parameters are trained, all other state (running statistics, streams of random
numbers, counters) goes with them from step to step.
"""

import hashlib
import re
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from kernelstudy.analysis.fields import Field, measured_field, middle, with_changed_rows
from kernelstudy.config import DEPTHS
from kernelstudy.system.errors import ConfigError
from kernelstudy.training import responses, substitutes
from kernelstudy.training.network import Network, at
from kernelstudy.training.ops import LAX
from kernelstudy.training.own import Own, kind_of, made, times
from kernelstudy.training.parallel import bytes_of_values, for_once
from kernelstudy.weights import tape

_SOME = 2  # images, where only shapes are asked


class _Parts(NamedTuple):
    """A module taken apart: its graph in both modes; the shapes of its parameters and of what else it keeps,
    sown values aside; which of the latter are random keys."""

    training: Any
    testing: Any
    params: Any
    state: Any
    keys: Any


class Watched(NamedTuple):
    """The convolutions that are watched, by their paths, the followed one first: none where what that answers
    cannot be had."""

    layers: list[str]
    convolutions: int  # of all, watched or not


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

    layers, convolutions = watched(own, image_shape)
    maps = partial(_maps, parts, layers)
    maps = substitutes.on_cpu(maps) if on_cpu else maps

    def watch(params: Any, state: Any, images: Array, probes: int) -> dict[str, Array]:
        if not layers:
            return {}
        found = responses.watch(partial(maps, params, state), LAX, images, probes)
        # of others it is not known which layer they take
        whole = len(layers) == convolutions
        return found | (_deeper_kernels(params, layers, found) if whole else {})

    names = [own.first[-1]]
    beside = at(parts.params, own.first[:-1])
    if "bias" in beside and len(own.first) > 1:
        names.append("bias")
    stateless = not jax.tree.leaves(parts.state)
    return Network(
        build,
        logits,
        first_kernel=lambda params: jax.tree.leaves(at(params, own.first))[0],
        watch=watch,
        fields=partial(_fields, own, layers, image_shape),
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
        told = times(logits.shape) if hasattr(logits, "shape") else kind_of(logits)
        if told != times((_SOME, classes)):
            raise ConfigError(
                f"model: {own.name} answers {_SOME} images of {times(image_shape)} with {told}, and must with "
                f"logits, {times((_SOME, classes))}"
            )
        before, after = (
            (jax.tree.structure(s), [(v.shape, v.dtype) for v in jax.tree.leaves(s)])
            for s in (parts.state, state)
        )
        if before != after:
            raise ConfigError(
                f"model: {own.name} has other variables after a call than before it: what it keeps must be "
                "there from the start, and of one shape"
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


def watched(own: Own, image_shape: tuple[int, ...]) -> Watched:
    """As many of its convolutions as the built-in network has layers at most, evenly in the order in which they
    answer."""
    parts, names, found = _parts(own), [], []

    def answer(params: Any, state: Any, images: Array) -> None:
        module = _module(parts, params, state, training=False)
        names.extend(tape.of_nnx(module, images))
        found.extend(m for _, m in nnx.iter_graph(module) if isinstance(m, nnx.Conv))

    jax.eval_shape(answer, parts.params, parts.state, _images(image_shape))
    followed = "/".join(map(str, own.first[:-1]))
    layers = tape.chosen(names, followed, max(DEPTHS)) if followed in names else []
    return Watched(layers, len(found))


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
    return bytes_of_values(plain, parts.params, parts.state, images)


def _images(shape: tuple[int, ...], count: int = _SOME) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *shape), jnp.float32)


def _built(own: Own, key: Array, first_kernel: Array) -> nnx.Module:
    def first_init(_: Any, shape: Any, dtype: Any = jnp.float32, *__: Any, **more: Any) -> Array:
        del shape, more  # held to that of the kernel by `find`
        return first_kernel.astype(dtype)

    return made(own.make, own.name, key, first_init)


def _parts(own: Own) -> _Parts:
    def build() -> nnx.Module:
        return _built(own, jax.random.key(0), jnp.zeros(own.shape))

    module = nnx.eval_shape(build)
    _, _, _, state = nnx.split(module, nnx.Param, nnx.Intermediate, ...)
    params, shapes = jax.eval_shape(lambda: _taken_apart(build()))
    module.train()
    training = nnx.graphdef(module)
    module.eval()
    return _Parts(training, nnx.graphdef(module), params, shapes, jax.tree.map(_is_key, state))


def _taken_apart(module: nnx.Module) -> tuple[Any, Any]:
    """Parameters, and all other state with random keys as plain numbers; what was sown is dropped."""
    _, params, _, state = nnx.split(module, nnx.Param, nnx.Intermediate, ...)
    return params, jax.tree.map(lambda v: jax.random.key_data(v) if _is_key(v) else v, state)


def _is_key(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _logits(parts: _Parts, params: Any, state: Any, images: Array, training: bool) -> Any:
    """What the module answers, and its state after that."""
    module = _module(parts, params, state, training)
    logits = module(images)
    return logits, _taken_apart(module)[1]


def _module(parts: _Parts, params: Any, state: Any, training: bool) -> Any:
    """The module put together, of copies, for it changes what it is given."""
    params = jax.tree.map(lambda v: v, params)
    state = jax.tree.map(
        lambda is_key, v: jax.random.wrap_key_data(v) if is_key else v, parts.keys, state
    )
    return nnx.merge(parts.training if training else parts.testing, params, state)


def _maps(parts: _Parts, layers: list[str], params: Any, state: Any, images: Array) -> list[Array]:
    """What of the answers of its convolutions is above zero, (n, h, w, channels) each."""
    answers = tape.of_nnx(_module(parts, params, state, training=False), images)
    return [nnx.relu(answers[name].astype(jnp.float32)) for name in layers]


def _deeper_kernels(params: Any, layers: list[str], found: dict[str, Array]) -> dict[str, Array]:
    """Kernels of the watched layers from the second on, those that are square and take as many channels as the
    watched layer before answers. `found`: what they show."""
    kernels = {"/".join(map(str, path)): of for path, of in nnx.to_flat_state(params)}
    chosen = {}
    for number, layer in enumerate(layers[1:], 2):
        if (variable := kernels.get(f"{layer}/kernel")) is None:
            continue
        kernel = variable[...]
        channels = [found[f"feature_{i}"].shape[-1] for i in (number - 1, number)]
        if kernel.shape == (len(kernel), len(kernel), *channels):
            chosen[f"kernel_{number}"] = responses.half(kernel)
    return chosen


def _fields(own: Own, layers: list[str], image_shape: tuple[int, ...]) -> list[Field]:
    """Measured, of a network at its start, with no operation in another form: those mix pixels that the layers
    do not."""
    parts, rows = _parts(own), []
    key, first = jax.random.split(jax.random.key(0))

    def answer(images: Array) -> list[Array]:
        params, state = _taken_apart(_built(own, key, jax.random.normal(first, own.shape)))
        maps = _maps(parts, layers, params, state, images)
        rows[:] = [of.shape[1] for of in maps]
        return [middle(of) for of in maps]

    program = jax.jit(answer, compiler_options=for_once())
    image = np.random.default_rng(0).standard_normal(image_shape).astype(np.float32)
    images = with_changed_rows(image)
    chunks = np.resize(images, (-(-len(images) // responses.CHUNK), responses.CHUNK, *image_shape))
    middles = [np.concatenate(of) for of in zip(*map(program, chunks), strict=True)]
    return [
        measured_field(of[: len(images)], count) for of, count in zip(middles, rows, strict=True)
    ]


def _by_image(parts: _Parts, image_shape: tuple[int, ...]) -> bool:
    """Whether no image's logits depend on the others: what is not a number stays with its own."""
    params = jax.tree.map(lambda v: jnp.full(v.shape, 0.01, v.dtype), parts.params)
    images = jnp.ones((_SOME, *image_shape)).at[0].set(jnp.nan)
    plain = jax.jit(partial(_logits, parts, training=True), compiler_options=for_once())
    logits, _ = plain(params, parts.state, images)
    return bool(jnp.isfinite(logits[1]).all())
