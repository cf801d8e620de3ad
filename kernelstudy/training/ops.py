"""The array operations of the network, one table for each kind of backend.

`model.py` is written once against the table; both tables compute the same functions, which the tests
hold to each other in float64:

- `LAX`: images stay NHWC, convolutions are XLA's own. Right on GPU and TPU.
- `GEMM`: images are laid out (C, H, W, N), convolutions are matrix products (`gemm.py`), and a 3x3 one
  that is pooled is Winograd's (`winograd.py`). Right on a CPU, where it is 30-50 times faster inside
  compiled loops.

Products have the precision of the caller's `jax.default_matmul_precision`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernelstudy.training import gemm, winograd
from kernelstudy.training import norm as norms

Normed = tuple[Array, Array, Array]
_NHWC = ("NHWC", "HWIO", "NHWC")
# Up to so many channels each is convolved by itself.
_FEW = 4


class Ops(NamedTuple):
    """What a network is made of; `x` is an activation in the table's own layout.

    Convolutions are cross-correlations with SAME (zero) padding; kernels are (kh, kw, cin, cout). With a
    stride s outputs are centred on rows and columns 0, s, 2 s, ... Pools are 2x2 with stride 2; an odd
    last row or column is dropped. Norms are by the batch's own mean and variance, which come with them,
    (C,) each and without a gradient; a layer norm is over the channels of each pixel.
    """

    enter: Callable[[Array], Array]  # (N, H, W, C) -> x
    leave: Callable[[Array], Array]  # x -> (N, H, W, C)
    conv: Callable[[Array, Array, int], Array]  # x, kernel, stride -> x
    # x, kernel (kh, kw, 1, cout), stride -> x: each channel by its own cout / C kernels
    depthwise: Callable[[Array, Array, int], Array]
    patchify: Callable[
        [Array, Array], Array
    ]  # x, kernel -> x: patches that neither overlap nor are padded
    pool: Callable[[Array], Array]  # x -> x
    conv_pool: Callable[[Array, Array], Array]  # x, kernel -> pool(conv(x, kernel))
    layer_norm: Callable[[Array, Array, Array], Array]  # x, scale, bias -> x
    norm: Callable[[Array, Array, Array], Normed]  # x, scale, bias -> x, mean, variance
    # x, kernel, scale, bias -> norm(conv(x, kernel, 1), scale, bias), mean, variance; then with a pool
    conv_norm: Callable[[Array, Array, Array, Array], Normed]
    conv_norm_pool: Callable[[Array, Array, Array, Array], Normed]
    # the same with x added before the pool
    skip_norm_pool: Callable[[Array, Array, Array, Array], Normed]
    channelwise: Callable[[Array], Array]  # (C,) -> broadcastable against x
    dense: Callable[[Array, Array], Array]  # x, (H * W * C, out) in Flax's order -> (N, out)


def _lax_conv(x: Array, kernel: Array, stride: int = 1, groups: int = 1) -> Array:
    # XLA's SAME of a stride would centre windows elsewhere
    padding = [((k - 1) // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=_NHWC,
        feature_group_count=groups,
    )


def _lax_depthwise(x: Array, kernel: Array, stride: int = 1) -> Array:
    return _lax_conv(x, kernel, stride, groups=x.shape[-1])


def _lax_patchify(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, kernel.shape[:2], "VALID", dimension_numbers=_NHWC)


def _lax_pool(x: Array) -> Array:
    # -inf must be a constant for JAX to have a gradient rule, so it is NumPy's
    low = np.array(-np.inf, x.dtype)
    return lax.reduce_window(x, low, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _lax_norm(x: Array, scale: Array, bias: Array) -> Normed:
    axes = (0, 1, 2)
    mean = x.mean(axes)
    variance = jnp.maximum(0, (x * x).mean(axes) - mean * mean)
    factor = lax.rsqrt(variance + norms.EPSILON) * scale
    shift = bias - mean * factor
    z = x * factor[None, None, None] + shift[None, None, None]
    return z, lax.stop_gradient(mean), lax.stop_gradient(variance)


def _lax_layer_norm(x: Array, scale: Array, bias: Array) -> Array:
    return _unit(x, -1) * scale[None, None, None] + bias[None, None, None]


def _gemm_layer_norm(x: Array, scale: Array, bias: Array) -> Array:
    return _unit(x, 0) * scale[:, None, None, None] + bias[:, None, None, None]


def _unit(x: Array, channels: int) -> Array:
    """Each pixel with mean 0 and variance 1 over the axis of channels (Ba, Kiros & Hinton 2016)."""
    mean = x.mean(channels, keepdims=True)
    variance = jnp.maximum(0, (x * x).mean(channels, keepdims=True) - mean * mean)
    return (x - mean) * lax.rsqrt(variance + norms.LAYER_EPSILON)


def _lax_conv_norm_pool(x: Array, kernel: Array, scale: Array, bias: Array) -> Normed:
    z, mean, variance = _lax_norm(_lax_conv(x, kernel), scale, bias)
    return _lax_pool(z), mean, variance


def _lax_skip_norm_pool(x: Array, kernel: Array, scale: Array, bias: Array) -> Normed:
    z, mean, variance = _lax_norm(_lax_conv(x, kernel), scale, bias)
    return _lax_pool(x + z), mean, variance


def _lax_dense(x: Array, kernel: Array) -> Array:
    return jnp.matmul(x.reshape(x.shape[0], -1), kernel)


def _gemm_conv_pool(x: Array, kernel: Array) -> Array:
    return _form(kernel).conv_pool(x, kernel)


def _form(kernel: Array) -> Any:
    """The module that convolves with such a kernel."""
    return winograd if _suits_winograd(kernel) else gemm


def _suits_winograd(kernel: Array) -> bool:
    """Its transforms pay when they are shared by several input channels."""
    return kernel.shape[:2] == (3, 3) and kernel.shape[2] >= 4


def _gemm_conv(x: Array, kernel: Array, stride: int = 1) -> Array:
    if stride > 1:
        return gemm.strided_conv(x, kernel, stride)
    return _form(kernel).conv(x, kernel)


def _gemm_depthwise(x: Array, kernel: Array, stride: int = 1) -> Array:
    channels = len(x)
    each = kernel.shape[-1] // channels
    if each == 1 and stride == 1 and channels > _FEW:
        return gemm.depthwise_conv(x, kernel[:, :, 0])
    parts = [
        _gemm_conv(x[c : c + 1], kernel[..., c * each : (c + 1) * each], stride)
        for c in range(channels)
    ]
    return jnp.concatenate(parts)


def _gemm_conv_norm(x: Array, kernel: Array, scale: Array, bias: Array) -> Normed:
    if x.shape[1] % 2 or x.shape[2] % 2:
        return norms.norm(_gemm_conv(x, kernel), scale, bias)
    return norms.conv_norm(_form(kernel), x, kernel, scale, bias)


def _gemm_conv_norm_pool(x: Array, kernel: Array, scale: Array, bias: Array) -> Normed:
    if x.shape[1] % 2 or x.shape[2] % 2:  # the statistics are of the last row and column, too
        z, mean, variance = norms.norm(_gemm_conv(x, kernel), scale, bias)
        return gemm.pool(z), mean, variance
    kh, kw, cin, cout = kernel.shape
    if 2 * (kh + 1) * (kw + 1) * cin <= 4 * cout:
        return norms.narrow_conv_norm_pool(x, kernel, scale, bias)
    return norms.conv_norm_pool(_form(kernel), x, kernel, scale, bias)


def _gemm_skip_norm_pool(x: Array, kernel: Array, scale: Array, bias: Array) -> Normed:
    if x.shape[1] % 2 or x.shape[2] % 2:
        z, mean, variance = norms.norm(_gemm_conv(x, kernel), scale, bias)
        return gemm.pool(x + z), mean, variance
    return norms.skip_norm_pool(_form(kernel), x, kernel, scale, bias)


def _gemm_dense(x: Array, kernel: Array) -> Array:
    c, h, w, n = x.shape
    # The weights change order, for they are few; the activations stay as they lie.
    rows = kernel.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(-1, c * h * w)
    # Kept apart from its transpose, which XLA would fold in: the product is then three times as slow.
    return lax.optimization_barrier(jnp.matmul(rows, x.reshape(-1, n))).T


LAX = Ops(
    enter=lambda images: images,
    leave=lambda x: x,
    conv=_lax_conv,
    depthwise=_lax_depthwise,
    patchify=_lax_patchify,
    pool=_lax_pool,
    conv_pool=lambda x, kernel: _lax_pool(_lax_conv(x, kernel)),
    layer_norm=_lax_layer_norm,
    norm=_lax_norm,
    conv_norm=lambda x, kernel, *learned: _lax_norm(_lax_conv(x, kernel), *learned),
    conv_norm_pool=_lax_conv_norm_pool,
    skip_norm_pool=_lax_skip_norm_pool,
    channelwise=lambda v: v,
    dense=_lax_dense,
)
GEMM = Ops(
    # Laid out anew once: XLA would do it again in each of the slices that the first layer takes.
    enter=lambda images: gemm.materialised(images.transpose(3, 1, 2, 0))[0],
    leave=partial(jnp.transpose, axes=(3, 1, 2, 0)),
    conv=_gemm_conv,
    depthwise=_gemm_depthwise,
    patchify=gemm.patchify,
    pool=gemm.pool,
    conv_pool=_gemm_conv_pool,
    layer_norm=_gemm_layer_norm,
    norm=norms.norm,
    conv_norm=_gemm_conv_norm,
    conv_norm_pool=_gemm_conv_norm_pool,
    skip_norm_pool=_gemm_skip_norm_pool,
    channelwise=lambda v: v[:, None, None, None],
    dense=_gemm_dense,
)
IMPLS = {"lax": LAX, "gemm": GEMM}


def default_impl() -> str:
    """`gemm` where the default backend is a CPU, else `lax`."""
    return "gemm" if jax.default_backend() == "cpu" else "lax"


def table(impl: str) -> Ops:
    """The operations that `impl` means: `auto` is the backend's own."""
    return IMPLS[default_impl() if impl == "auto" else impl]
