"""One convolution with its bias or norm, on either table of operations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from kernelstudy.training.ops import Ops

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}
# A non-decreasing activation commutes with the maximum: pool first, and there is a quarter to do.
MONOTONE = frozenset({"relu", "leaky_relu", "elu", "tanh", "identity"})

Convolve = Callable[[Array, Array], Array]  # x, kernel -> x


def convolved(
    conv: nnx.Conv | nnx.Linear,
    norm: nnx.BatchNorm | None,
    x: Array,
    ops: Ops,
    training: bool,
    convolve: Convolve | None = None,
) -> Array:
    """`conv` of x, normalised by `norm` or with its bias.

    convolve: how x and the kernel are combined; None: a convolution of stride 1, for which the table may
    have a form that normalises as it goes.
    """
    kernel = conv.kernel[...]
    if norm is None:
        return _linear(x, kernel, ops, convolve) + bias_of(conv, ops)
    if not training:
        scale, shift = of_running(norm)
        # a dense layer's kernel holds all places of a map, with the channels last
        scale = jnp.tile(scale, kernel.shape[-1] // len(scale))
        return _linear(x, kernel * scale, ops, convolve) + ops.channelwise(shift)
    learned = scale_and_bias(norm)
    if convolve is None:
        y, *moments = ops.conv_norm(x, kernel, *learned)
    else:
        y, *moments = ops.norm(convolve(x, kernel), *learned)
    keep_running(norm, *moments)
    return y


def convolved_pooled(
    conv: nnx.Conv | nnx.Linear,
    norm: nnx.BatchNorm | None,
    x: Array,
    ops: Ops,
    training: bool,
    *,
    skips: bool = False,
) -> Array:
    """The pool of `convolved`, which is never laid out whole; with `skips` x is added before it, which
    there is a form for in training with a norm."""
    kernel = conv.kernel[...]
    if norm is None:
        return ops.conv_pool(x, kernel) + bias_of(conv, ops)
    if not training:
        scale, shift = of_running(norm)
        return ops.conv_pool(x, kernel * scale) + ops.channelwise(shift)
    form = ops.skip_norm_pool if skips else ops.conv_norm_pool
    y, *moments = form(x, kernel, *scale_and_bias(norm))
    keep_running(norm, *moments)
    return y


def _linear(x: Array, kernel: Array, ops: Ops, convolve: Convolve | None) -> Array:
    return ops.conv(x, kernel, 1) if convolve is None else convolve(x, kernel)


def bias_of(conv: nnx.Conv | nnx.Linear, ops: Ops) -> Array:
    assert conv.bias is not None  # a norm stands in for it
    return ops.channelwise(conv.bias[...])


def keep_running(norm: nnx.BatchNorm, mean: Array, variance: Array) -> None:
    """Move the running mean and variance towards those of a batch."""
    for running, of_batch in ((norm.mean, mean), (norm.var, variance)):
        running[...] = norm.momentum * running[...] + (1 - norm.momentum) * of_batch


def of_running(norm: nnx.BatchNorm) -> tuple[Array, Array]:
    """What a norm by its running mean and variance multiplies by, and then adds, (C,) each."""
    scale, bias = scale_and_bias(norm)
    scale = scale * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
    return scale, bias - norm.mean[...] * scale


def scale_and_bias(norm: nnx.BatchNorm | nnx.LayerNorm) -> tuple[Array, Array]:
    """Those that are learned, (C,) each."""
    assert norm.scale is not None
    assert norm.bias is not None
    return norm.scale[...], norm.bias[...]
