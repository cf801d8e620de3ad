"""Networks and arrays in memory: torch modules, Flax nnx modules, trees of parameters. By their looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .effective import turned
from .layer import Layer, Network, WeightsError
from .roles import weights_among
from .safetensor import layout_by_name

_DEEP = 30


def is_array(value: Any) -> bool:
    """Whether it has a shape and turns into numbers: NumPy, JAX, torch."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def as_numpy(value: Any) -> np.ndarray:
    """A NumPy, JAX or torch array as NumPy's."""
    if hasattr(value, "detach"):  # torch's; bfloat16 has no NumPy type there
        value = value.detach().cpu()
        value = value.dequantize() if getattr(value, "is_quantized", False) else value
        value = value.float() if value.is_floating_point() else value
        return value.numpy()
    return np.asarray(value)


def read(module: Any) -> Network:
    """The convolutions of a torch module or state dict, a Flax nnx module, or a tree of parameters.

    Raises:
        WeightsError: where there are none, or it is nothing of the kind.
    """
    if hasattr(module, "named_modules") and hasattr(module, "state_dict"):
        network = Network("torch module", weights_among(list(_torch_layers(module))), "declared")
    elif isinstance(module, Mapping) or _is_flax(module):
        arrays = list(_leaves(module, "", None, 0, set()))
        layers = weights_among(arrays)
        torch = bool(layers) and "." in layers[0].name
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
        if "parametrizations" in name.split("."):  # what the weight is computed from
            continue
        weight: Any = getattr(inner, "weight", None)
        if callable(weight):  # quantised modules
            weight = weight()
        if not is_array(weight) or len(weight.shape) not in (4, 5):
            continue
        shape = tuple(int(n) for n in weight.shape)
        stride = getattr(inner, "stride", None)
        known = isinstance(stride, tuple) and len(stride) == 2
        layer = Layer(
            f"{name}.weight" if name else "weight",
            shape,
            "oihw",
            lambda w=weight: as_numpy(w),
            str(weight.dtype).removeprefix("torch."),
            stride if known else None,  # pyright: ignore[reportArgumentType]
            depthwise=getattr(inner, "groups", 1) > 1 and shape[1] == 1,
            step=_steps(weight),
        )
        transposed = "Transpose" in type(inner).__name__ or getattr(inner, "transposed", False)
        yield turned(layer) if transposed else layer


def _steps(weight: Any) -> Callable[[], np.ndarray] | None:
    """The quantisation steps of a torch tensor, one or one a filter."""
    if not getattr(weight, "is_quantized", False):
        return None
    if "per_channel" in str(weight.qscheme()):
        return lambda: weight.q_per_channel_scales().numpy()
    return lambda: np.array([weight.q_scale()])


def _leaves(value: Any, name: str, owner: Any, depth: int, seen: set[int]) -> Iterator[Layer]:
    """Arrays under `value`, in the order of its dicts and attributes."""
    if is_array(value):  # a Flax variable is one too
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
        sep = "." if "." in str(key) or "." in name else "/"  # dotted as PyTorch does
        yield from _leaves(child, f"{name}{sep}{key}" if name else str(key), value, depth + 1, seen)


def _leaf(value: Any, name: str, owner: Any) -> Layer:
    torch = hasattr(value, "detach")
    strides = getattr(owner, "strides", None) if _is_flax(owner) else None
    strides = (strides, strides) if isinstance(strides, int) else strides
    known = isinstance(strides, tuple | list) and len(strides) == 2
    shape = tuple(int(n) for n in value.shape)
    return Layer(
        name,
        shape,
        _layout(name, shape, owner, torch=torch),
        lambda: as_numpy(value),
        str(value.dtype).removeprefix("torch."),
        (int(strides[0]), int(strides[1])) if known else None,  # pyright: ignore
        depthwise=(getattr(owner, "feature_group_count", 1) or 1) > 1
        and len(shape) == 4
        and shape[2] == 1
        and not torch,
        transposed="Transpose" in type(owner).__name__ and _is_flax(owner),
    )


def _layout(name: str, shape: tuple[int, ...], owner: Any, *, torch: bool) -> str | None:
    """torch's tensors are (out, in, kh, kw), Flax's modules (kh, kw, in, out); else by name and shape.

    None where both orders fit: axes are never guessed.
    """
    if len(shape) not in (4, 5):
        return None
    if torch or _is_flax(owner):
        return "oihw" if torch else "hwio"
    if len(shape) == 5:
        return layout_by_name(name, shape)
    square = {"hwio": shape[0] == shape[1], "oihw": shape[2] == shape[3]}
    fits = [way for way, is_square in square.items() if is_square]
    if len(fits) == 1:
        return fits[0]
    return layout_by_name(name, shape) if re.search(r"(weight|kernel)\w*$", name) else None
