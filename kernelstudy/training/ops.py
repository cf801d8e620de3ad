"""The array operations of the network, one table for each kind of backend.

Both tables compute the same functions (held to each other in float64 by the tests):

- `LAX`: images stay NHWC, convolutions are XLA's own. Right on GPU and TPU.
- `GEMM`: images are laid out (C, H, W, N) and a convolution is a matrix product with the image's
  patches. XLA's CPU convolution is 30-50 times slower than this inside compiled loops and under
  `vmap`; with the batch last, the long axis of the product is contiguous.

`model.py` is written once against the table.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax


class Ops(NamedTuple):
    """What a network is made of; `x` is an activation in the table's own layout."""

    enter: Callable[[Array], Array]  # (N, H, W, C) -> x
    leave: Callable[[Array], Array]  # x -> (N, H, W, C)
    conv: Callable[[Array, Array], Array]  # x, kernel (kh, kw, cin, cout); stride 1, SAME (zeros)
    pool: Callable[[Array], Array]  # 2x2 maximum, stride 2; an odd last row or column is dropped
    channelwise: Callable[[Array], Array]  # (C,) -> broadcastable against x


def lax_conv(x: Array, kernel: Array) -> Array:
    """Cross-correlate (N, H, W, cin) with (kh, kw, cin, cout), SAME padding: (N, H, W, cout)."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


def lax_pool(x: Array) -> Array:
    """2x2 maximum of (N, H, W, C); the gradient goes to the first maximum in row order."""
    # a NumPy scalar keeps -inf a compile-time constant, without which JAX has no gradient rule
    low = np.array(-np.inf, x.dtype)
    return lax.reduce_window(x, low, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def im2col(x: Array, size: tuple[int, ...]) -> Array:
    """Patches of (C, H, W, N) under SAME padding as a matrix (kh * kw * C, H * W * N)."""
    (c, h, w, n), (kh, kw) = x.shape, size
    # XLA's SAME puts the odd pixel of an even kernel's padding after the image
    pads = [(0, 0), *(((k - 1) // 2, k // 2) for k in size), (0, 0)]
    padded = jnp.pad(x, pads)
    taps = [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]
    return jnp.concatenate(taps).reshape(kh * kw * c, h * w * n)


def _product(kernel: Array, patches: Array) -> Array:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(matrix.T, patches, precision=lax.Precision.HIGHEST)


@jax.custom_vjp
def gemm_conv(x: Array, kernel: Array) -> Array:
    """Cross-correlate (cin, H, W, N) with (kh, kw, cin, cout), SAME padding: (cout, H, W, N)."""
    return _product(kernel, im2col(x, kernel.shape[:2])).reshape(-1, *x.shape[1:])


def _gemm_conv_forward(x: Array, kernel: Array):
    return gemm_conv(x, kernel), (x, kernel)


def _gemm_conv_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    kh, kw, _, cout = kernel.shape
    # The patches are made again rather than kept: making them is cheap, holding them in memory for
    # the whole backward pass is not. The barrier stops XLA from merging the two.
    patches = im2col(lax.optimization_barrier(x), (kh, kw))
    dkernel = jnp.matmul(patches, dy.reshape(cout, -1).T, precision=lax.Precision.HIGHEST)
    # The adjoint of correlation is correlation with the kernel turned by 180 degrees: no scatter.
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if kh % 2 and kw % 2:
        dx = gemm_conv(dy, turned)
    else:  # SAME padding of an even kernel is lopsided, so its adjoint leans the other way
        dx = gemm_conv(dy[:, ::-1, ::-1], turned[::-1, ::-1])[:, ::-1, ::-1]
    return dx, dkernel.reshape(kernel.shape)


gemm_conv.defvjp(_gemm_conv_forward, _gemm_conv_backward)


def _quarters(x: Array) -> list[Array]:
    """The four members of each 2x2 window of (C, H, W, N), in row order."""
    c, h, w, n = x.shape
    z = x[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2, n)
    return [z[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


@jax.custom_vjp
def gemm_pool(x: Array) -> Array:
    """2x2 maximum of (C, H, W, N); the gradient goes to the first maximum in row order."""
    a, b, c, d = _quarters(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _gemm_pool_forward(x: Array):
    a, b, c, d = _quarters(x)
    upper, lower = jnp.maximum(a, b), jnp.maximum(c, d)
    # First tie wins. Giving every tied position the gradient is wrong wherever images are constant.
    first = jnp.where(upper >= lower, jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3)).astype(
        jnp.int32
    )
    return jnp.maximum(upper, lower), (first, jnp.zeros((0, *x.shape[1:3])))


def _gemm_pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    first, like = saved
    c, h, w, n = first.shape
    window = (c, h, 2, w, 2, n)
    member = lax.broadcasted_iota(jnp.int32, window, 2) * 2
    member += lax.broadcasted_iota(jnp.int32, window, 4)
    spread = jnp.where(first[:, :, None, :, None] == member, dy[:, :, None, :, None], 0)
    dropped = ((0, 0), (0, like.shape[1] - 2 * h), (0, like.shape[2] - 2 * w), (0, 0))
    return (jnp.pad(spread.reshape(c, 2 * h, 2 * w, n), dropped),)


gemm_pool.defvjp(_gemm_pool_forward, _gemm_pool_backward)


LAX = Ops(
    enter=lambda images: images,
    leave=lambda x: x,
    conv=lax_conv,
    pool=lax_pool,
    channelwise=lambda v: v,
)
GEMM = Ops(
    enter=partial(jnp.transpose, axes=(3, 1, 2, 0)),
    leave=partial(jnp.transpose, axes=(3, 1, 2, 0)),
    conv=gemm_conv,
    pool=gemm_pool,
    channelwise=lambda v: v[:, None, None, None],
)
IMPLS = {"lax": LAX, "gemm": GEMM}


def default_impl() -> str:
    """`gemm` where the default backend is a CPU, else `lax`."""
    return "gemm" if jax.default_backend() == "cpu" else "lax"
