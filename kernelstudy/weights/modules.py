"""Networks and arrays in memory, by their looks: modules of torch, Keras, Flax and Equinox, trees of arrays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .effective import turned
from .layer import DIMENSIONS, Layer, Network, WeightsError
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
    """The convolutions of a torch, Keras, Flax nnx or Equinox module, a state dict, or a tree of parameters.

    Raises:
        WeightsError: where there are none, or it is nothing of the kind.
    """
    if is_keras_model(module):  # on torch's backend it is a torch module, too
        layers = weights_among(list(_keras_layers(module)))
        network = Network("Keras model", layers, "declared", "tensorflow")
    elif is_torch_module(module):
        network = Network("torch module", weights_among(list(_torch_layers(module))), "declared")
    elif isinstance(module, Mapping) or _has_fields(module):
        arrays = [_leaf(value, name, owner) for name, _, value, owner in leaves(module)]
        layers = weights_among(arrays)
        torch = bool(layers) and "." in layers[0].name
        form = "torch state dict" if torch else "Flax parameters"
        form = "Equinox module" if is_of(module, "equinox") else form
        # dicts of Flax's linen are sorted by JAX whenever they pass through it
        order = "declared" if torch or _has_fields(module) else "names"
        network = Network(form, layers, order, "torch" if torch else "tensorflow")
    else:
        raise WeightsError(
            f"a {type(module).__name__} holds no kernels: give an array (kh, kw, in, out), a torch, Keras or "
            "Flax module, a dict of parameters, or the path of a file"
        )
    if not network.layers:
        raise WeightsError(f"this {type(module).__name__} holds no convolution")
    return network


def is_torch_module(value: Any) -> bool:
    return hasattr(value, "named_modules") and hasattr(value, "state_dict")


def is_keras_model(value: Any) -> bool:
    return is_of(value, "keras") and hasattr(value, "layers")


def is_of(value: Any, package: str) -> bool:
    """Whether it is of a class of this package, or of one that is derived from one."""
    return any(kind.__module__.split(".")[0] == package for kind in type(value).__mro__)


def _is_flax(value: Any) -> bool:
    return is_of(value, "flax")


def _has_fields(value: Any) -> bool:
    """Whether its attributes hold the parameters: modules of Flax nnx and Equinox."""
    return _is_flax(value) or (dataclasses.is_dataclass(value) and is_of(value, "equinox"))


def _torch_layers(module: Any) -> Iterator[Layer]:
    for name, inner in module.named_modules():
        if "parametrizations" in name.split("."):  # what the weight is computed from
            continue
        weight = torch_weight(inner)
        if not is_array(weight) or len(weight.shape) not in DIMENSIONS:
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


def torch_weight(module: Any) -> Any:
    """The weight that a torch module would compute with now, None where it has none.

    Pruning and the older forms of weight and spectral norm set it anew before each pass; until then the
    attribute is that of the pass before.
    """
    for hook in getattr(module, "_forward_pre_hooks", {}).values():
        if hasattr(hook, "apply_mask"):
            return hook.apply_mask(module).detach()
        if hasattr(hook, "compute_weight") and getattr(hook, "name", "") == "weight":
            settings = {"do_power_iteration": False} if hasattr(hook, "n_power_iterations") else {}
            return hook.compute_weight(module, **settings).detach()
    made = getattr(module, "parametrizations", None)
    if made is not None and "weight" in made:
        # in training mode a spectral norm goes on with its power iteration whenever the weight is asked for
        modes = [(inner, inner.training) for inner in made["weight"].modules()]
        try:
            made["weight"].eval()
            return module.weight.detach()
        finally:
            for inner, mode in modes:
                inner.training = mode
    weight = getattr(module, "weight", None)
    return weight() if callable(weight) else weight  # quantised modules


def keras_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Every layer of a model, with its path, in the model's order."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from ((f"{layer.name}/{name}", inner) for name, inner in keras_layers(layer))
        else:
            yield layer.name, layer


def keras_array(variable: Any) -> np.ndarray:
    """A copy of a Keras variable, of whatever backend."""
    import keras  # pyright: ignore[reportMissingImports]

    return np.array(keras.ops.convert_to_numpy(variable))


def _keras_layers(model: Any) -> Iterator[Layer]:
    for name, inner in keras_layers(model):
        kind = type(inner).__name__
        for attribute in ("kernel", "depthwise_kernel"):
            kernel = getattr(inner, attribute, None)
            shape = tuple(int(n) for n in getattr(kernel, "shape", ()) or ())
            if kernel is None or len(shape) not in DIMENSIONS or "Conv" not in kind:
                continue
            depthwise = attribute == "depthwise_kernel" or kind.startswith("Depthwise")
            strides = getattr(inner, "strides", None)
            known = isinstance(strides, tuple) and len(strides) == 2
            layer = Layer(
                f"{name}/{attribute}",
                shape,
                "hwim" if depthwise else "hwio",
                lambda k=kernel: keras_array(k),
                str(kernel.dtype),
                strides if known else None,  # pyright: ignore[reportArgumentType]
                depthwise=depthwise,
            )
            yield turned(layer) if "Transpose" in kind else layer


def _steps(weight: Any) -> Callable[[], np.ndarray] | None:
    """The quantisation steps of a torch tensor, one or one a filter."""
    if not getattr(weight, "is_quantized", False):
        return None
    if "per_channel" in str(weight.qscheme()):
        return lambda: weight.q_per_channel_scales().numpy()
    return lambda: np.array([weight.q_scale()])


Path = tuple[Any, ...]


def leaves(tree: Any) -> Iterator[tuple[str, Path, Any, Any]]:
    """Arrays in a tree: name, path (`follow`), array and owner, in the order of dicts and attributes."""
    return _leaves(tree, "", (), None, {})


def follow(tree: Any, path: Path) -> Any:
    """What is at the end of a path of `leaves`.

    Raises:
        KeyError, IndexError, AttributeError: nothing is there.
    """
    for key in path:
        tree = tree[key] if isinstance(tree, Mapping | list | tuple) else getattr(tree, key)
    return tree


def _leaves(
    value: Any, name: str, path: Path, owner: Any, seen: dict[int, Any]
) -> Iterator[tuple[str, Path, Any, Any]]:
    if is_array(value):  # a Flax variable is one too
        yield name, path, value, owner
        return
    if len(path) > _DEEP or id(value) in seen:
        return
    seen[id(value)] = value  # kept, for the next object would have the number of one that is gone
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    elif _has_fields(value) and hasattr(value, "__dict__"):
        items = [(k, v) for k, v in vars(value).items() if not str(k).startswith("_pytree")]
    else:
        return
    for key, child in items:
        sep = "." if "." in str(key) or "." in name else "/"  # dotted as PyTorch does
        inner = f"{name}{sep}{key}" if name else str(key)
        yield from _leaves(child, inner, (*path, key), value, seen)


def _leaf(value: Any, name: str, owner: Any) -> Layer:
    torch = hasattr(value, "detach")
    strides = getattr(owner, "strides", None) if _is_flax(owner) else None
    strides = getattr(owner, "stride", None) if is_of(owner, "equinox") else strides
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
        depthwise=_is_depthwise(owner, shape) and not torch,
        transposed="Transpose" in type(owner).__name__ and _has_fields(owner),
    )


def _is_depthwise(owner: Any, shape: tuple[int, ...]) -> bool:
    if len(shape) not in DIMENSIONS or not _has_fields(owner):
        return False
    if is_of(owner, "equinox"):
        return getattr(owner, "groups", 1) > 1 and shape[1] == 1
    return (getattr(owner, "feature_group_count", 1) or 1) > 1 and shape[-2] == 1


def _layout(name: str, shape: tuple[int, ...], owner: Any, *, torch: bool) -> str | None:
    """torch's tensors are (out, in, kh, kw), Flax's modules (kh, kw, in, out); else by name and shape.

    None where both orders fit: axes are never guessed.
    """
    if len(shape) not in DIMENSIONS:
        return None
    if torch or _has_fields(owner):  # Equinox stores its kernels as torch does
        return "oihw" if torch or is_of(owner, "equinox") else "hwio"
    if len(shape) != 4:
        return layout_by_name(name, shape)
    square = {"hwio": shape[0] == shape[1], "oihw": shape[2] == shape[3]}
    fits = [way for way, is_square in square.items() if is_square]
    if len(fits) == 1:
        return fits[0]
    return layout_by_name(name, shape) if re.search(r"(weight|kernel)\w*$", name) else None
