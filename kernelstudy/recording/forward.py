"""What every convolution of somebody's model answers to images, taken from a pass of the model itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.system.errors import InputError, first_line
from kernelstudy.weights import modules
from kernelstudy.weights import tape as tapes
from kernelstudy.weights.tape import Tape

CHUNK = 32  # images at a time

Maps = dict[str, np.ndarray]


class Forward(NamedTuple):
    """`maps` of a model and images (n, ...) as the model takes them: maps (n, h, w, channels) by the layers'
    names, in the order in which they answer. `channels_first`: whether its images are (n, C, H, W)."""

    maps: Callable[[Any, np.ndarray], Maps]
    channels_first: bool


def forward_of(model: Any, given: Any = None) -> Forward:
    """How to pass images through `model`.

    `given`: the Flax Linen module whose parameters the model is, or a function of model and images that returns
    maps (n, h, w, channels) by name.

    Raises:
        InputError: it is parameters alone, without what runs them.
    """
    if given is not None and _is_linen(given):
        return Forward(lambda variables, images: _linen_maps(given, variables, images), False)
    if callable(given):
        return Forward(lambda model, images: _called(given, model, images), _is_torch(model))
    if given is not None:
        raise InputError("forward: must be a Flax Linen module, or a function of model and images")
    if modules.is_keras_model(model):
        return Forward(_keras_maps, False)
    if _is_torch(model):
        return Forward(_torch_maps, True)
    if _is_nnx(model):
        return Forward(_nnx_maps, False)
    if modules.is_of(model, "equinox"):
        return Forward(_equinox_maps, True)
    raise InputError(
        f"probes: a {type(model).__name__} cannot be run: forward= gives the Flax Linen module, or a function "
        "of model and images that returns maps"
    )


def in_chunks(forward: Forward, model: Any, images: np.ndarray) -> Maps:
    """All maps of images (n, ...), `CHUNK` at a time.

    Raises:
        InputError: the model does not run on them.
    """
    parts = []
    for start in range(0, len(images), CHUNK):
        try:
            parts.append(forward.maps(model, images[start : start + CHUNK]))
        except InputError:
            raise
        except Exception as error:  # whatever a model of others raises
            shape = " x ".join(map(str, images.shape))
            raise InputError(
                f"probes: the model does not run on images of {shape}: {first_line(error)}"
            ) from error
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _is_torch(model: Any) -> bool:
    return modules.is_torch_module(model)


def _is_nnx(model: Any) -> bool:
    return any(k.__module__.startswith("flax.nnx") for k in type(model).__mro__)


def _is_linen(value: Any) -> bool:
    return any(k.__module__.startswith("flax.linen") for k in type(value).__mro__)


def _called(function: Callable[..., Any], model: Any, images: np.ndarray) -> Maps:
    found = function(model, images)
    if not isinstance(found, Mapping):
        raise InputError(f"forward: must return maps by name, not a {type(found).__name__}")
    return {str(name): modules.as_numpy(maps) for name, maps in found.items()}


def _torch_maps(model: Any, images: np.ndarray) -> Maps:
    """Of a torch module, in evaluation mode and without gradients; its modes are as before after it."""
    import torch

    while hasattr(model, "_orig_mod") or type(model).__name__ == "DistributedDataParallel":
        model = getattr(model, "_orig_mod", None) or model.module
    like = next(iter(model.parameters()), torch.zeros(()))
    tape, handles = Tape(), []
    modes = [(inner, inner.training) for inner in model.modules()]

    def after(name: str) -> Callable[..., None]:
        return lambda _, __, answer: tape.convolved(name, answer)

    try:
        model.eval()
        for name, inner in model.named_modules():
            if isinstance(inner, torch.nn.Conv2d):
                handles.append(inner.register_forward_hook(after(name)))
            elif _is_norm(inner):
                handles.append(
                    inner.register_forward_hook(lambda _, taken, y: tape.normalised(taken[0], y))
                )
        with torch.no_grad():
            model(torch.from_numpy(images).to(like.device, like.dtype))
    finally:
        for handle in handles:
            handle.remove()
        for inner, mode in modes:
            inner.training = mode
    return {
        n: np.moveaxis(modules.as_numpy(y), 1, -1) for n, y in tape.answers.items() if y.ndim == 4
    }


def _keras_maps(model: Any, images: np.ndarray) -> Maps:
    import keras  # pyright: ignore[reportMissingImports]

    names = {id(layer): name for name, layer in modules.keras_layers(model)}
    first = keras.config.image_data_format() == "channels_first"

    def after(tape: Tape, layer: Any, taken: Any, answer: Any) -> None:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            tape.convolved(names.get(id(layer), str(layer.name)), answer)
        elif _is_norm(layer):
            tape.normalised(taken, answer)

    with tapes.watched(keras.layers.Layer, after) as tape:
        model(np.moveaxis(images, -1, 1) if first else images, training=False)
    found = {name: np.asarray(keras.ops.convert_to_numpy(y)) for name, y in tape.answers.items()}
    return {name: np.moveaxis(y, 1, -1) if first else y for name, y in found.items()}


def _nnx_maps(model: Any, images: np.ndarray) -> Maps:
    """Of a Flax nnx module: of a copy, in evaluation mode."""
    from flax import nnx

    copy = nnx.clone(model)
    copy.eval()
    return {name: np.asarray(y) for name, y in tapes.of_nnx(copy, images).items()}


def _linen_maps(module: Any, variables: Any, images: np.ndarray) -> Maps:
    """Of a Flax Linen module; `variables`: with its collections, or its parameters alone."""
    import flax.linen as nn

    tape = Tape()

    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        answer = call(*args, **kwargs)
        if context.method_name == "__call__" and isinstance(context.module, nn.Conv):
            tape.convolved("/".join(map(str, context.module.path)), answer)
        elif context.method_name == "__call__" and _is_norm(context.module):
            tape.normalised(args[0], answer)
        return answer

    if not (isinstance(variables, Mapping) and "params" in variables):
        variables = {"params": variables}
    with nn.intercept_methods(intercept):
        module.apply(variables, images, **_evaluating(type(module).__call__))
    return {name: np.asarray(y) for name, y in tape.answers.items() if y.ndim == 4}


def _equinox_maps(model: Any, images: np.ndarray) -> Maps:
    """Of an Equinox module, which takes one image (C, H, W)."""
    import equinox as eqx  # pyright: ignore[reportMissingImports]
    import jax

    model = eqx.nn.inference_mode(model)
    names = {id(owner): name.rpartition("/")[0] for name, _, _, owner in modules.leaves(model)}

    def after(tape: Tape, layer: Any, _: Any, answer: Any) -> None:
        if answer.ndim == 3:
            tape.convolved(names.get(id(layer), type(layer).__name__), answer)

    def one(image: Any) -> dict[str, Any]:
        with tapes.watched(eqx.nn.Conv, after) as tape:
            model(image)
        return tape.answers

    found = jax.vmap(one)(images)
    return {name: np.moveaxis(np.asarray(y), 1, -1) for name, y in found.items()}


def _is_norm(layer: Any) -> bool:
    names = {kind.__name__ for kind in type(layer).__mro__}
    return (
        any(name.startswith(norm) for name in names for norm in tapes.NORMS) or "_NormBase" in names
    )


def _evaluating(call: Callable[..., Any]) -> dict[str, bool]:
    """The words by which a network's call is told that it does not train."""
    wanted = {"train": False, "training": False, "is_training": False, "deterministic": True}
    with suppress(TypeError, ValueError):
        known = inspect.signature(call).parameters
        return {name: value for name, value in wanted.items() if name in known}
    return {}
