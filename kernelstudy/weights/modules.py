"""Networks and arrays in memory: torch modules, Flax nnx modules, trees of parameters. By their looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .layer import Layer, Network, WeightsError

_DEEP = 30


def is_array(value: Any) -> bool:
    """Whether it has a shape and turns into numbers: NumPy, JAX, torch."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def as_numpy(value: Any) -> np.ndarray:
    """A NumPy, JAX or torch array as NumPy's."""
    if hasattr(value, "detach"):  # torch's; bfloat16 has no NumPy type there
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        return value.numpy()
    return np.asarray(value)


def read(module: Any) -> Network:
    """The convolutions of a torch module or state dict, a Flax nnx module, or a tree of parameters.

    Raises:
        WeightsError: where there are none, or it is nothing of the kind.
    """
    if hasattr(module, "named_modules") and hasattr(module, "state_dict"):
        network = Network("torch module", tuple(_torch_layers(module)), "declared")
    elif isinstance(module, Mapping) or _is_flax(module):
        layers = tuple(_leaves(module, "", None, 0, set()))
        torch = bool(layers) and layers[0].layout == "oihw"
        form = "torch state dict" if torch else "Flax parameters"
        # dicts of Flax's linen are sorted by JAX whenever they pass through it
        order = "declared" if torch or _is_flax(module) else "names"
        network = Network(form, layers, order, "torch" if torch else "tensorflow")
    else:
        raise WeightsError(
            f"a {type(module).__name__} holds no kernels: give an array (kh, kw, in, out), a torch or "
            "Flax module, a dict of parameters, or the path of a file"
        )
    if not network.layers:
        raise WeightsError(f"this {type(module).__name__} holds no convolution with 4-d weights")
    return network


def _is_flax(value: Any) -> bool:
    return any(kind.__module__.startswith("flax.") for kind in type(value).__mro__)


def _torch_layers(module: Any) -> Iterator[Layer]:
    for name, inner in module.named_modules():
        weight: Any = getattr(inner, "weight", None)
        if callable(weight):  # quantised modules
            weight = weight()
        if not is_array(weight) or len(weight.shape) != 4 or "Transpose" in type(inner).__name__:
            continue
        shape = tuple(int(n) for n in weight.shape)
        stride = getattr(inner, "stride", None)
        known = isinstance(stride, tuple) and len(stride) == 2
        yield Layer(
            f"{name}.weight" if name else "weight",
            shape,
            "oihw",
            lambda w=weight: as_numpy(w),
            str(weight.dtype).removeprefix("torch."),
            stride if known else None,  # pyright: ignore[reportArgumentType]
            depthwise=getattr(inner, "groups", 1) > 1 and shape[1] == 1,
        )


def _leaves(value: Any, name: str, owner: Any, depth: int, seen: set[int]) -> Iterator[Layer]:
    """Arrays with four axes under `value`, in the order of its dicts and attributes."""
    if is_array(value):  # a Flax variable is one too
        if len(value.shape) == 4 and 0 not in value.shape:
            yield _leaf(value, name, owner)
        return
    if depth > _DEEP or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    elif _is_flax(value) and hasattr(value, "__dict__"):
        items = [(k, v) for k, v in vars(value).items() if not str(k).startswith("_pytree")]
    else:
        return
    for key, child in items:
        yield from _leaves(child, f"{name}/{key}" if name else str(key), value, depth + 1, seen)


def _leaf(value: Any, name: str, owner: Any) -> Layer:
    torch = hasattr(value, "detach")
    strides = getattr(owner, "strides", None) if _is_flax(owner) else None
    strides = (strides, strides) if isinstance(strides, int) else strides
    known = isinstance(strides, tuple | list) and len(strides) == 2
    shape = tuple(int(n) for n in value.shape)
    return Layer(
        name,
        shape,
        "oihw" if torch else "hwio",
        lambda: as_numpy(value),
        str(value.dtype).removeprefix("torch."),
        (int(strides[0]), int(strides[1])) if known else None,  # pyright: ignore
        depthwise=(getattr(owner, "feature_group_count", 1) or 1) > 1
        and shape[2] == 1
        and not torch,
    )
