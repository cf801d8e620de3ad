"""The network: convolutions with max-pooling (or a stride), then one dense layer."""

from collections.abc import Callable
from typing import NamedTuple

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
_MONOTONE = frozenset({"relu", "leaky_relu", "elu", "tanh", "identity"})


class _Layer(NamedTuple):
    """One convolution with what goes with it."""

    conv: nnx.Conv
    norm: nnx.BatchNorm | None
    halves: bool  # the image is large enough to be halved, by a pool or by the stride
    skips: bool  # its input is added to what it computes


class CNN(nnx.Module):
    """conv k x k x width - activation - max-pool 2, then the same with 3 x 3 kernels, then dense.

    Convolutions have SAME (zero) padding and biases. The layers are Flax's own, and their
    kernels have Flax's shapes: (kh, kw, cin, cout). Pooling ends where a side has one pixel.

    Args:
        image_shape: (H, W, C) of one image.
        classes: number of logits.
        kernel_size: of the first layer; deeper layers are 3 x 3.
        width: channels of the first layer.
        deep_width: channels of each deeper layer.
        depth: number of convolutional layers, at least 1.
        activation: a name in `ACTIVATIONS`.
        first_init: initialiser of the first layer's kernel; all else has Flax's defaults.
        batch_norm: normalise before the activation (Ioffe & Szegedy 2015), in place of the bias.
        stride: 2 halves images by the stride of every convolution instead of a pool (Springenberg
            et al. 2015); outputs are centred on rows and columns 0, 2, 4, ...
        residual: deeper layers with as many channels in as out add their input before the
            activation (He et al. 2016).
        dense_scale: times the dense kernel that Flax's default draws.
        rngs: layer by layer, each kernel takes the next key, so that networks that differ in
            `first_init` alone are equal in every other layer.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        classes: int,
        kernel_size: int,
        width: int,
        deep_width: int,
        depth: int,
        activation: str,
        first_init: nnx.Initializer,
        batch_norm: bool = False,
        stride: int = 1,
        residual: bool = False,
        dense_scale: float = 1.0,
        rngs: nnx.Rngs,
    ):
        height, across, channels = image_shape
        convs, norms = [], []
        for layer in range(depth):
            size, out, init = (
                (kernel_size, width, first_init)
                if layer == 0
                else (3, deep_width, nnx.initializers.lecun_normal())  # Flax's default
            )
            convs.append(
                nnx.Conv(
                    channels,
                    out,
                    (size, size),
                    kernel_init=init,
                    use_bias=not batch_norm,
                    rngs=rngs,
                )
            )
            if batch_norm:
                norms.append(nnx.BatchNorm(out, momentum=0.9, rngs=rngs))
            channels = out
            height, across = _halved(height, across, stride)
        self.convs = nnx.List(convs)
        self.norms = nnx.List(norms)
        self.dense = nnx.Linear(height * across * channels, classes, rngs=rngs)
        if dense_scale != 1:
            self.dense.kernel[...] = dense_scale * self.dense.kernel[...]
        self.activation = activation
        self.stride = stride
        self.residual = residual

    def __call__(self, images: Array, ops: Ops, *, training: bool = False) -> Array:
        """Logits (N, classes) of images (N, H, W, C).

        `training`: batch norm takes the batch's own statistics, and keeps them running.
        """
        act, x = ACTIVATIONS[self.activation], ops.enter(images)
        for layer in self._layers(images):
            pools = layer.halves and self.stride == 1
            fused = not layer.skips or (training and layer.norm is not None)
            if pools and fused and self.activation in _MONOTONE:
                x = act(self._pooled(layer, x, ops, training))
            else:
                x = self._activation(layer, x, ops, training)
                x = ops.pool(x) if pools else x
        logits = ops.dense(x, self.dense.kernel[...])
        return logits if self.dense.bias is None else logits + self.dense.bias[...]

    def feature_maps(self, images: Array, ops: Ops) -> list[Array]:
        """Every layer's maps (N, H, W, channels) after the activation and before pooling."""
        return [ops.leave(maps) for maps in self.activations(images, ops)]

    def activations(self, images: Array, ops: Ops) -> list[Array]:
        """`feature_maps` in the layout of `ops`."""
        x, maps = ops.enter(images), []
        for layer in self._layers(images):
            x = self._activation(layer, x, ops, False)
            maps.append(x)
            x = ops.pool(x) if layer.halves and self.stride == 1 else x
        return maps

    def _pooled(self, layer: _Layer, x: Array, ops: Ops, training: bool) -> Array:
        """One layer with its pool, before the activation."""
        kernel, norm = layer.conv.kernel[...], layer.norm
        if norm is None:
            return ops.conv_pool(x, kernel) + _bias(layer.conv, ops)
        if training:
            form = ops.skip_norm_pool if layer.skips else ops.conv_norm_pool
            y, *moments = form(x, kernel, *_learned(norm))
            _keep_running(norm, *moments)
            return y
        scale, shift = _of_running(norm)
        return ops.conv_pool(x, kernel * scale) + ops.channelwise(shift)

    def _activation(self, layer: _Layer, x: Array, ops: Ops, training: bool) -> Array:
        """One layer before pooling. Rows and columns are axes 1 and 2 in both layouts of `ops`."""
        kernel, norm = layer.conv.kernel[...], layer.norm
        step = self.stride if layer.halves else 1
        if norm is None:
            y = ops.conv(x, kernel, step) + _bias(layer.conv, ops)
        elif training:
            learned = _learned(norm)
            y, *moments = (
                ops.conv_norm(x, kernel, *learned)
                if step == 1
                else ops.norm(ops.conv(x, kernel, step), *learned)
            )
            _keep_running(norm, *moments)
        else:
            scale, shift = _of_running(norm)
            y = ops.conv(x, kernel * scale, step) + ops.channelwise(shift)
        return ACTIVATIONS[self.activation](y + x[:, ::step, ::step] if layer.skips else y)

    def _layers(self, images: Array):
        height, across = images.shape[1:3]
        for index, conv in enumerate(self.convs):
            skips = self.residual and index > 0 and conv.in_features == conv.out_features
            norm = self.norms[index] if self.norms else None
            halved = _halved(height, across, self.stride)
            yield _Layer(conv, norm, halved != (height, across), skips)
            height, across = halved


def _bias(conv: nnx.Conv, ops: Ops) -> Array:
    assert conv.bias is not None  # a norm stands in for it
    return ops.channelwise(conv.bias[...])


def _keep_running(norm: nnx.BatchNorm, mean: Array, variance: Array) -> None:
    """Move the running mean and variance towards those of a batch."""
    for running, of_batch in ((norm.mean, mean), (norm.var, variance)):
        running[...] = norm.momentum * running[...] + (1 - norm.momentum) * of_batch


def _of_running(norm: nnx.BatchNorm) -> tuple[Array, Array]:
    """What a norm by its running mean and variance multiplies by, and then adds, (C,) each."""
    scale, bias = _learned(norm)
    scale = scale * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
    return scale, bias - norm.mean[...] * scale


def _learned(norm: nnx.BatchNorm) -> tuple[Array, Array]:
    """Scale and bias (C,)."""
    assert norm.scale is not None
    assert norm.bias is not None
    return norm.scale[...], norm.bias[...]


def _halved(height: int, across: int, stride: int) -> tuple[int, int]:
    """A layer's output: a pool drops an odd last row or column, a stride keeps it."""
    if min(height, across) < 2:
        return height, across
    return (height // 2, across // 2) if stride == 1 else (-(-height // 2), -(-across // 2))
