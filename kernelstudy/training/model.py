"""The network: convolutions with max-pooling, then one dense layer."""

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
_MONOTONE = frozenset({"relu", "leaky_relu", "elu", "tanh", "identity"})


class CNN(nnx.Module):
    """conv k x k x width - activation - max-pool 2, then the same with 3 x 3 kernels, then dense.

    Convolutions have stride 1, SAME (zero) padding and biases. The layers are Flax's own, and their
    kernels have Flax's shapes: (kh, kw, cin, cout).

    Args:
        image_shape: (H, W, C) of one image.
        classes: number of logits.
        kernel_size: of the first layer; deeper layers are 3 x 3.
        width: channels of the first layer.
        deep_width: channels of each deeper layer.
        depth: number of convolutional layers, at least 1.
        activation: a name in `ACTIVATIONS`.
        first_init: initialiser of the first layer's kernel; all else has Flax's defaults.
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
        rngs: nnx.Rngs,
    ):
        height, across, channels = image_shape
        convs = []
        for layer in range(depth):
            size, out, init = (
                (kernel_size, width, first_init)
                if layer == 0
                else (3, deep_width, nnx.initializers.lecun_normal())  # Flax's default
            )
            convs.append(nnx.Conv(channels, out, (size, size), kernel_init=init, rngs=rngs))
            channels = out
            if _pools(height, across):
                height, across = height // 2, across // 2
        self.convs = nnx.List(convs)
        self.dense = nnx.Linear(height * across * channels, classes, rngs=rngs)
        self.activation = activation

    def __call__(self, images: Array, ops: Ops) -> Array:
        """Logits (N, classes) of images (N, H, W, C)."""
        act, x = ACTIVATIONS[self.activation], ops.enter(images)
        for conv, pools in self._layers(images):
            kernel, bias = conv.kernel[...], ops.channelwise(conv.bias[...])
            if not pools:
                x = act(ops.conv(x, kernel) + bias)
            elif self.activation in _MONOTONE:
                x = act(ops.conv_pool(x, kernel) + bias)
            else:
                x = ops.pool(act(ops.conv(x, kernel) + bias))
        logits = ops.dense(x, self.dense.kernel[...])
        return logits if self.dense.bias is None else logits + self.dense.bias[...]

    def feature_maps(self, images: Array, ops: Ops) -> list[Array]:
        """Every layer's maps (N, H, W, channels) after the activation and before pooling."""
        act, x, maps = ACTIVATIONS[self.activation], ops.enter(images), []
        for conv, pools in self._layers(images):
            x = act(ops.conv(x, conv.kernel[...]) + ops.channelwise(conv.bias[...]))
            maps.append(ops.leave(x))
            x = ops.pool(x) if pools else x
        return maps

    def _layers(self, images: Array):
        height, across = images.shape[1:3]
        for conv in self.convs:
            pools = _pools(height, across)
            yield conv, pools
            if pools:
                height, across = height // 2, across // 2


def _pools(height: int, across: int) -> bool:
    return min(height, across) >= 2
