"""The stages that follow the first layer of a VGG, ResNet or ConvNeXt in small.

A stage maps activations (in the layout of its table of operations, whose rows and columns are axes 1 and
2) to activations; with `halves` it halves the image. `windows`: size and stride of each of its convolutions,
as they follow each other; where `pools`, a pool is to follow, which `pooled` does with the rest.
"""

from flax import nnx
from jax import Array

from kernelstudy.training.layers import (
    ACTIVATIONS,
    MONOTONE,
    convolved,
    convolved_pooled,
    scale_and_bias,
)
from kernelstudy.training.ops import Ops


class ConvNorm(nnx.Module):
    """A convolution with SAME padding, and a batch norm in place of its bias where `batch_norm`."""

    def __init__(self, channels: int, out: int, size: int, *, batch_norm: bool, rngs: nnx.Rngs):
        self.conv = nnx.Conv(channels, out, (size, size), use_bias=not batch_norm, rngs=rngs)
        self.norm = nnx.BatchNorm(out, momentum=0.9, rngs=rngs) if batch_norm else None

    def __call__(self, x: Array, ops: Ops, training: bool, stride: int = 1) -> Array:
        if stride == 1:
            return convolved(self.conv, self.norm, x, ops, training)
        return convolved(
            self.conv, self.norm, x, ops, training, lambda x, kernel: ops.conv(x, kernel, stride)
        )


class VGGStage(nnx.Module):
    """`count` 3 x 3 convolutions, each with its activation (Simonyan & Zisserman 2015), and a pool where the
    stage halves."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        count: int,
        halves: bool,
        activation: str,
        batch_norm: bool,
        rngs: nnx.Rngs,
    ):
        ins = [channels, *[out] * (count - 1)]
        convs = [ConvNorm(c, out, 3, batch_norm=batch_norm, rngs=rngs) for c in ins]
        self.convs, self.activation, self.pools = nnx.List(convs), activation, halves
        self.windows = ((3, 1),) * count

    def __call__(self, x: Array, ops: Ops, training: bool) -> Array:
        for conv in self.convs:
            x = ACTIVATIONS[self.activation](conv(x, ops, training))
        return x

    def pooled(self, x: Array, ops: Ops, training: bool) -> Array:
        if not (self.pools and self.activation in MONOTONE):
            x = self(x, ops, training)
            return ops.pool(x) if self.pools else x
        act = ACTIVATIONS[self.activation]
        *before, last = self.convs
        for conv in before:
            x = act(conv(x, ops, training))
        return act(convolved_pooled(last.conv, last.norm, x, ops, training))


class ResidualStage(nnx.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016, the basic block): the identity, or a 1 x 1
    convolution where the stage halves or has other channels out than in."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        halves: bool,
        activation: str,
        batch_norm: bool,
        rngs: nnx.Rngs,
    ):
        self.first = ConvNorm(channels, out, 3, batch_norm=batch_norm, rngs=rngs)
        self.second = ConvNorm(out, out, 3, batch_norm=batch_norm, rngs=rngs)
        projects = halves or channels != out
        self.shortcut = (
            ConvNorm(channels, out, 1, batch_norm=batch_norm, rngs=rngs) if projects else None
        )
        self.activation, self.halves, self.pools = activation, halves, False
        self.windows = ((3, 2 if halves else 1), (3, 1))

    def __call__(self, x: Array, ops: Ops, training: bool) -> Array:
        act, stride = ACTIVATIONS[self.activation], 2 if self.halves else 1
        y = self.second(act(self.first(x, ops, training, stride)), ops, training)
        # A stride of the input is that of a 1 x 1 convolution's output, and a quarter of the work.
        seen = x[:, ::stride, ::stride]
        return act(y + (seen if self.shortcut is None else self.shortcut(seen, ops, training)))

    pooled = __call__


class ConvNeXtStage(nnx.Module):
    """A depthwise 7 x 7 convolution, a layer norm and two 1 x 1 convolutions, the wide one with the
    activation, beside the identity (Liu et al. 2022, without layer scale); before them a norm and a
    2 x 2 convolution of stride 2 where the stage halves, a 1 x 1 one where only channels change."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        halves: bool,
        activation: str,
        rngs: nnx.Rngs,
    ):
        changes, step = halves or channels != out, (2, 2) if halves else (1, 1)
        self.downsample_norm = nnx.LayerNorm(channels, rngs=rngs) if changes else None
        self.downsample = (
            nnx.Conv(channels, out, step, step, padding="VALID", rngs=rngs) if changes else None
        )
        self.depthwise = nnx.Conv(out, out, (7, 7), feature_group_count=out, rngs=rngs)
        self.norm = nnx.LayerNorm(out, rngs=rngs)
        self.expand = nnx.Conv(out, 4 * out, (1, 1), rngs=rngs)
        self.project = nnx.Conv(4 * out, out, (1, 1), rngs=rngs)
        self.activation, self.pools = activation, False
        self.windows = ((2, 2), (7, 1)) if halves else ((7, 1),)

    def __call__(self, x: Array, ops: Ops, training: bool) -> Array:
        if self.downsample is not None and self.downsample_norm is not None:
            x = ops.layer_norm(x, *scale_and_bias(self.downsample_norm))
            x = convolved(self.downsample, None, x, ops, training, ops.patchify)
        y = convolved(self.depthwise, None, x, ops, training, lambda x, k: ops.depthwise(x, k, 1))
        y = ops.layer_norm(y, *scale_and_bias(self.norm))
        y = ACTIVATIONS[self.activation](convolved(self.expand, None, y, ops, training))
        return x + convolved(self.project, None, y, ops, training)

    pooled = __call__


STAGES = {"vgg": VGGStage, "resnet": ResidualStage, "convnext": ConvNeXtStage}
