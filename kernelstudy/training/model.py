"""The network: a first layer, what follows it by its family, then one dense layer."""

import math
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array

from kernelstudy.analysis.fields import Field
from kernelstudy.training.layers import (
    ACTIVATIONS,
    MONOTONE,
    Convolve,
    convolved,
    convolved_pooled,
    scale_and_bias,
)
from kernelstudy.training.ops import Ops
from kernelstudy.training.stages import STAGES


class _Plan(NamedTuple):
    """How a convolution is used."""

    kind: str  # conv, depthwise, patchify or dense
    step: int  # of its outputs, in pixels of its input
    pools: bool
    skips: bool  # its input is added to what it computes
    size: tuple[int, int]  # of the maps that come out, pooled


class CNN(nnx.Module):
    """A first layer of kernels k x k x width, deeper layers, and one dense layer.

    plain: conv - activation - max-pool 2, then the same with 3 x 3 kernels. vgg, resnet, convnext: the first
    layer, then stages (`training.stages`); the first of them keeps the width and, but in vgg, the size, the
    others halve and have `deep_width` channels. resnet and convnext average their maps before the dense layer.

    Convolutions have SAME (zero) padding and biases. The layers are Flax's own, and their
    kernels have Flax's shapes: (kh, kw, cin, cout). Pooling and halving end where a side has one pixel.

    Args:
        image_shape: (H, W, C) of one image.
        classes: number of logits.
        kernel_size: of the first layer; deeper layers are 3 x 3, convnext's depthwise ones 7 x 7.
        width: channels of the first layer.
        deep_width: channels of each deeper layer.
        depth: the first layer and the layers or stages after it, at least 1.
        activation: a name in `ACTIVATIONS`.
        first_init: initialiser of the first layer's kernel; all else has Flax's defaults.
        first: conv; depthwise: each colour has its own `width` / C kernels (Chollet 2017); patchify: patches of
            k x k that do not overlap (Dosovitskiy et al. 2021); dense: a dense layer from the whole image to
            maps of the shape that the pooled convolution's have.
        first_stride: of a conv or depthwise first layer. No pool follows where it is over 1, nor after
            patches or a dense layer.
        family: plain, vgg, resnet or convnext.
        batch_norm: normalise before the activation (Ioffe & Szegedy 2015), in place of the bias; convnext has
            layer norms instead.
        stride: plain: 2 halves images by the stride of every convolution instead of a pool (Springenberg
            et al. 2015); outputs are centred on rows and columns 0, 2, 4, ...
        residual: plain: deeper layers with as many channels in as out add their input before the
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
        first: str = "conv",
        first_stride: int = 1,
        family: str = "plain",
        batch_norm: bool = False,
        stride: int = 1,
        residual: bool = False,
        dense_scale: float = 1.0,
        rngs: nnx.Rngs,
    ):
        self.activation, self.family = activation, family
        self.image_shape, self.kernel_size = image_shape, kernel_size
        height, across, channels = image_shape
        make_norm = nnx.LayerNorm if family == "convnext" else partial(nnx.BatchNorm, momentum=0.9)
        convs, norms, plans = [], [], []
        for layer in range(depth if family == "plain" else 1):
            kind, out = (first, width) if layer == 0 else ("conv", deep_width)
            own = stride if family == "plain" else 1
            plan = _plan(
                kind,
                (height, across),
                step=_first_step(first, first_stride, kernel_size, own) if layer == 0 else own,
                pools=family == "plain",
                skips=residual and layer > 0 and channels == out,
            )
            options = {"use_bias": not batch_norm, "rngs": rngs}
            if layer == 0:
                shape = (*image_shape[:2], channels, width)
                convs.append(_first_layer(plan, shape, kernel_size, first_init, **options))
            else:
                convs.append(nnx.Conv(channels, out, (3, 3), **options))
            if batch_norm or family == "convnext":
                norms.append(make_norm(out, rngs=rngs))
            plans.append(plan)
            (height, across), channels = plan.size, out
        self.convs, self.norms, self.plans = nnx.List(convs), nnx.List(norms), tuple(plans)
        stages = []
        for number in range(1, 1 if family == "plain" else depth):
            halves = min(height, across) >= 2 and (family == "vgg" or number > 1)
            out = width if number == 1 else deep_width
            options = {"halves": halves, "activation": activation, "rngs": rngs}
            if family != "convnext":
                options["batch_norm"] = batch_norm
            if family == "vgg":  # the first layer is one of the first stage
                options["count"] = 1 if number == 1 else 2
            stages.append(STAGES[family](channels, out, **options))
            channels = out
            if halves:
                height, across = _smaller((height, across), 2, floor=family != "resnet")
        self.stages = nnx.List(stages)
        self.averages = family in ("resnet", "convnext")
        places = 1 if self.averages else height * across
        self.dense = nnx.Linear(places * channels, classes, rngs=rngs)
        if dense_scale != 1:
            self.dense.kernel[...] = dense_scale * self.dense.kernel[...]

    def __call__(self, images: Array, ops: Ops, *, training: bool = False) -> Array:
        """Logits (N, classes) of images (N, H, W, C).

        `training`: batch norm takes the batch's own statistics, and keeps them running.
        """
        x = ops.enter(images)
        for index, plan in enumerate(self.plans):
            if plan.pools and plan.kind == "conv" and self._fuses(index, training):
                conv, norm = self.convs[index], self._norm(index)
                y = convolved_pooled(conv, norm, x, ops, training, skips=plan.skips)
                x = ACTIVATIONS[self.activation](y)
            else:
                x = self._activation(index, x, ops, training)
                x = ops.pool(x) if plan.pools else x
        for stage in self.stages:
            x = stage.pooled(x, ops, training)
        x = x.mean((1, 2), keepdims=True) if self.averages else x
        logits = ops.dense(x, self.dense.kernel[...])
        return logits if self.dense.bias is None else logits + self.dense.bias[...]

    def feature_maps(self, images: Array, ops: Ops) -> list[Array]:
        """The maps (N, H, W, channels) of every layer, of a family with stages of the first layer and of every
        stage: after the activation and before pooling."""
        return [ops.leave(maps) for maps in self.activations(images, ops)]

    def activations(self, images: Array, ops: Ops) -> list[Array]:
        """`feature_maps` in the layout of `ops`."""
        x, maps = ops.enter(images), []
        for index, plan in enumerate(self.plans):
            maps.append(self._activation(index, x, ops, False))
            x = ops.pool(maps[-1]) if plan.pools else maps[-1]
        for stage in self.stages:
            maps.append(stage(x, ops, False))
            x = ops.pool(maps[-1]) if stage.pools else maps[-1]
        return maps

    def receptive_fields(self) -> list[Field]:
        """Of the activations that `feature_maps` lists, by way of the longest path (Araujo et al. 2019)."""
        size, jump, start, found = 1, 1, 0, []
        for index, plan in enumerate(self.plans):
            if plan.kind == "dense":  # each unit sees the whole image
                rows = self.image_shape[0]
                size, jump, start = rows + plan.size[0] - 1, 1, 1 - plan.size[0]
            else:
                k = self.kernel_size if index == 0 else 3
                before = 0 if plan.kind == "patchify" else (k - 1) // 2
                size, jump, start = size + (k - 1) * jump, jump * plan.step, start - before * jump
            found.append(Field(size, jump, start))
            if plan.pools:
                size, jump = size + jump, 2 * jump
        for stage in self.stages:
            for k, step in stage.windows:
                before = 0 if k == 2 else (k - 1) // 2
                size, jump, start = size + (k - 1) * jump, jump * step, start - before * jump
            found.append(Field(size, jump, start))
            if stage.pools:
                size, jump = size + jump, 2 * jump
        return found

    def _activation(self, index: int, x: Array, ops: Ops, training: bool) -> Array:
        """One layer before pooling. Rows and columns are axes 1 and 2 in both layouts of `ops`."""
        plan, conv = self.plans[index], self.convs[index]
        y = convolved(conv, self._norm(index), x, ops, training, _convolve(plan, ops))
        if self.family == "convnext":  # whose first layer has no activation
            return ops.layer_norm(y, *scale_and_bias(self.norms[0]))
        y = y + x[:, :: plan.step, :: plan.step] if plan.skips else y
        return ACTIVATIONS[self.activation](y)

    def _norm(self, index: int) -> nnx.BatchNorm | None:
        """A layer's batch norm."""
        return self.norms[index] if self.norms and self.family != "convnext" else None

    def _fuses(self, index: int, training: bool) -> bool:
        """Whether a layer's pool is taken before its activation."""
        plain = not self.plans[index].skips or (training and self._norm(index) is not None)
        return plain and self.activation in MONOTONE


def _first_step(first: str, first_stride: int, kernel_size: int, own: int) -> int:
    """By how many pixels the first layer's outputs lie apart, where the network's own stride is `own`."""
    if first == "patchify":
        return kernel_size
    if first == "dense":
        return 2  # its maps have the size of a pooled convolution's
    return first_stride if first_stride > 1 else own


def _plan(kind: str, size: tuple[int, int], *, step: int, pools: bool, skips: bool) -> _Plan:
    """The plan of a layer on maps of `size`; one with a step has no pool."""
    if min(size) < 2:
        return _Plan(kind, 1, False, skips, size)
    pools = pools and step == 1
    floor = pools or kind in ("patchify", "dense")
    return _Plan(kind, step, pools, skips, _smaller(size, 2 if pools else step, floor=floor))


def _first_layer(
    plan: _Plan,
    shape: tuple[int, int, int, int],
    kernel_size: int,
    init: nnx.Initializer,
    *,
    use_bias: bool,
    rngs: nnx.Rngs,
) -> nnx.Conv | nnx.Linear:
    """Of images and kernels of `shape`, (H, W, C, width)."""
    height, across, channels, width = shape
    if plan.kind == "dense":
        pixels, units = height * across * channels, math.prod(plan.size) * width
        layer = nnx.Linear(pixels, units, kernel_init=init, use_bias=False, rngs=rngs)
        if use_bias:  # as a convolution's, one for each channel
            layer.bias = nnx.Param(jnp.zeros(width))
        return layer
    groups = channels if plan.kind == "depthwise" else 1
    size = (kernel_size, kernel_size)
    options = {"kernel_init": init, "use_bias": use_bias, "rngs": rngs}
    return nnx.Conv(channels, width, size, feature_group_count=groups, **options)


def _convolve(plan: _Plan, ops: Ops) -> Convolve | None:
    """How a layer combines maps and kernel; None: at every pixel."""
    if plan.kind == "patchify":
        return ops.patchify
    if plan.kind == "depthwise":
        return lambda x, kernel: ops.depthwise(x, kernel, plan.step)
    if plan.kind == "dense":
        return lambda x, kernel: ops.enter(_in_maps(ops.dense(x, kernel), plan.size))
    return None if plan.step == 1 else lambda x, kernel: ops.conv(x, kernel, plan.step)


def _in_maps(units: Array, size: tuple[int, int]) -> Array:
    return units.reshape(len(units), *size, -1)


def _smaller(size: tuple[int, int], step: int, *, floor: bool) -> tuple[int, int]:
    """A pool and patches drop odd last rows or columns, a stride keeps them."""
    height, across = size
    if floor:
        return max(1, height // step), max(1, across // step)
    return -(-height // step), -(-across // step)
