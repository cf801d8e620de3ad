"""Batch norm (Ioffe & Szegedy 2015) of activations (C, H, W, N), the batch last, for CPUs.

Before a pool it is fused with the convolution: a norm is increasing in each channel, or decreasing where
its scale is negative, so the maximum can be taken first, of a quarter of the values.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from kernelstudy.training import gemm
from kernelstudy.training.gemm import chunk_size, first_maximum, materialised, to_first

EPSILON = 1e-5  # Flax's
LAYER_EPSILON = 1e-6  # Flax's, of a layer norm
_BUT_CHANNELS = (1, 2, 3)


@jax.custom_vjp
def norm(y: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    """y (C, H, W, N) normalised by its own mean and variance over all but the channels, then scaled and
    shifted by `scale` and `bias` (C,).

    Returns:
        (C, H, W, N), the mean (C,) and the variance (C,); the two have no gradient.
    """
    return _norm_forward(y, scale, bias)[0]


def _norm_forward(y: Array, scale: Array, bias: Array):
    mean, inverse, variance = _moments(y.mean(_BUT_CHANNELS), (y * y).mean(_BUT_CHANNELS))
    z = (y - _wide(mean)) * _wide(inverse * scale) + _wide(bias)
    return (z, mean, variance), (y, mean, inverse, scale)


def _norm_backward(saved, gradients) -> tuple[Array, Array, Array]:
    y, mean, inverse, scale = saved
    dz, count = gradients[0], y[0].size
    unit = (y - _wide(mean)) * _wide(inverse)
    dbias, dscale = dz.sum(_BUT_CHANNELS), (dz * unit).sum(_BUT_CHANNELS)
    dy = _wide(scale * inverse) * (dz - _wide(dbias / count) - unit * _wide(dscale / count))
    return dy, dscale, dbias


norm.defvjp(_norm_forward, _norm_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def conv_norm_pool(
    form: Any, x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """`pool(norm(conv(x, kernel), scale, bias))`, of images (cin, H, W, N) with even sides.

    form: the module that convolves, `gemm` or `winograd`. `kernel` (kh, kw, cin, cout), `scale` and `bias`
    (cout,). Where a scale is exactly 0, all places of a
    window are alike, and the gradient of the scale is that of the largest convolution.

    Returns:
        (cout, H // 2, W // 2, N), the mean (cout,) and the variance (cout,); the two have no gradient.
    """
    return _conv_norm_pool_forward(form, x, kernel, scale, bias)[0]


def _conv_norm_pool_forward(form: Any, x: Array, kernel: Array, scale: Array, bias: Array):
    signed = kernel * _sign(scale)[None, None, None]

    def outputs(images: Array) -> tuple[Array, ...]:
        y, _ = form.places(images, signed)
        largest, first = materialised(*first_maximum(*y))
        return y, largest, first, y.sum((0, 2, 3, 4)), (y * y).sum((0, 2, 3, 4))

    # In chunks whose windows fit the cache; their outputs are kept, for the norm's gradient is of all.
    y, largest, first, total, square = lax.map(outputs, _chunks(x))
    count = y[0, :, 0].size * len(y)
    moments = _moments(total.sum(0) / count, square.sum(0) / count)
    z = _scaled(_whole(largest), *moments[:2], scale, bias)
    return (z, moments[0] * _sign(scale), moments[2]), (
        x,
        kernel,
        y,
        largest,
        first,
        moments,
        scale,
    )


def _conv_norm_pool_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    x, kernel, y, largest, first, moments, scale = saved
    (dz,), sign = materialised(_chunks(gradients[0])), _sign(scale)
    dscale, dbias = _of_scale_and_bias(dz, largest, moments)
    count = y[0, :, 0].size * len(y)

    def of_chunk(images: Array, dz: Array, y: Array, first: Array) -> tuple[Array, Array]:
        dy = to_first(first, dz, 0)
        dy = _of_places(dy, y, moments, jnp.abs(scale), dscale / count, dbias / count)
        _, of_places = form.places(images, kernel * sign[None, None, None])
        return form.places_backward(of_places, dy)

    dx, dkernel = _gradients(form, of_chunk, kernel, (_chunks(x), dz, y, first))
    return dx, dkernel * sign[None, None, None], dscale * sign, dbias


conv_norm_pool.defvjp(_conv_norm_pool_forward, _conv_norm_pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def conv_norm(
    form: Any, x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """`norm(conv(x, kernel), scale, bias)`, of images (cin, H, W, N) with even sides; `form` and the rest as
    in `conv_norm_pool`, but for the pool."""
    return _conv_norm_forward(form, x, kernel, scale, bias)[0]


def _conv_norm_forward(form: Any, x: Array, kernel: Array, scale: Array, bias: Array):
    y, moments = _outputs(form, x, kernel)

    def laid_out(y: Array) -> Array:
        z = _normalised(y, moments, scale, bias)
        return gemm.unwindowed(z.swapaxes(0, 1), *x.shape[1:3])

    z = _whole(lax.map(laid_out, y))
    return (z, moments[0], moments[2]), (x, kernel, y, moments, scale)


def _outputs(form: Any, x: Array, kernel: Array):
    """All outputs (chunks, 4, cout, H // 2, W // 2, n), and their moments."""

    def of_chunk(images: Array) -> tuple[Array, ...]:
        y, _ = form.places(images, kernel)
        return y, y.sum((0, 2, 3, 4)), (y * y).sum((0, 2, 3, 4))

    y, total, square = lax.map(of_chunk, _chunks(x))
    count = y[0, :, 0].size * len(y)
    return y, _moments(total.sum(0) / count, square.sum(0) / count)


def _normalised(y: Array, moments, scale: Array, bias: Array) -> Array:
    """Outputs (4, cout, H // 2, W // 2, N)."""
    factor = moments[1] * scale
    return y * _wide(factor)[None] + _wide(bias - moments[0] * factor)[None]


def _conv_norm_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    x, kernel, y, moments, scale = saved
    (mean, inverse, _), count = moments, y[0, :, 0].size * len(y)
    dz = lax.map(gemm.windowed, _chunks(gradients[0]))
    units = (y - _wide(mean)[None, None]) * _wide(inverse)[None, None]
    dscale, dbias = (dz * units).sum((0, 1, 3, 4, 5)), dz.sum((0, 1, 3, 4, 5))

    def of_chunk(images: Array, dz: Array, y: Array) -> tuple[Array, Array]:
        dy = _of_places(dz, y, moments, scale, dscale / count, dbias / count)
        _, of_places = form.places(images, kernel)
        return form.places_backward(of_places, dy)

    dx, dkernel = _gradients(form, of_chunk, kernel, (_chunks(x), dz, y))
    return dx, dkernel, dscale, dbias


conv_norm.defvjp(_conv_norm_forward, _conv_norm_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def skip_norm_pool(
    form: Any, x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """`pool(x + norm(conv(x, kernel), scale, bias))`, of images (C, H, W, N) with even sides, as many
    channels in as out; `form` and the rest as in `conv_norm_pool`."""
    return _skip_forward(form, x, kernel, scale, bias)[0]


def _skip_forward(form: Any, x: Array, kernel: Array, scale: Array, bias: Array):
    y, moments = _outputs(form, x, kernel)

    def pooled(chunk: tuple[Array, Array]) -> tuple[Array, Array]:
        images, y = chunk
        sums = _normalised(y, moments, scale, bias) + gemm.windowed(images)
        largest, first = materialised(*first_maximum(*sums))
        return largest, first

    largest, first = lax.map(pooled, (_chunks(x), y))
    return (_whole(largest), moments[0], moments[2]), (x, kernel, y, first, moments, scale)


def _skip_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    x, kernel, y, first, moments, scale = saved
    dz = _chunks(gradients[0])
    units = (y - _wide(moments[0])[None, None]) * _wide(moments[1])[None, None]
    spread = to_first(first, dz, 1)
    dscale, dbias = (spread * units).sum((0, 1, 3, 4, 5)), dz.sum((0, 2, 3, 4))
    count = y[0, :, 0].size * len(y)

    def of_chunk(images: Array, dz: Array, y: Array, first: Array) -> tuple[Array, Array]:
        du = to_first(first, dz, 0)
        dy = _of_places(du, y, moments, scale, dscale / count, dbias / count)
        _, of_places = form.places(images, kernel)
        dx, dkernel = form.places_backward(of_places, dy)
        return dx + gemm.unwindowed(du.swapaxes(0, 1), *images.shape[1:3]), dkernel

    dx, dkernel = _gradients(form, of_chunk, kernel, (_chunks(x), dz, y, first))
    return dx, dkernel, dscale, dbias


skip_norm_pool.defvjp(_skip_forward, _skip_backward)


@jax.custom_vjp
def narrow_conv_norm_pool(
    x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """`conv_norm_pool` of `gemm` where a window sees few numbers, as in a first layer of grey images.

    The mean and variance of the outputs, and what they do to the kernel's gradient, are functions of the
    windows' own sums and products, which are few: nothing is done with all outputs but their maximum.
    """
    return _narrow_forward(x, kernel, scale, bias)[0]


def _narrow_forward(x: Array, kernel: Array, scale: Array, bias: Array):
    sign = _sign(scale)
    weights, sums, products, moments = _of_windows(x, kernel * sign[None, None, None])
    y, _ = gemm.places(x, kernel * sign[None, None, None])
    largest, first = first_maximum(*y)
    z = _scaled(largest, *moments[:2], scale, bias)
    saved = (x, kernel, largest, first, (weights, sums, products), moments, scale)
    return (z, moments[0] * sign, moments[2]), saved


def _of_windows(x: Array, kernel: Array):
    """`tile_kernel` (4 cout, R), the sums (R,) and products (R, R) of `tiles`, and the moments that the
    outputs have by them."""
    weights, windows = gemm.tile_kernel(kernel), gemm.tiles(x, kernel.shape[:2])
    count, cout = 4 * windows.shape[1], kernel.shape[-1]
    sums, products = windows.sum(1), jnp.matmul(windows, windows.T)
    mean = (weights @ sums).reshape(4, cout).sum(0) / count
    square = ((weights @ products) * weights).sum(1).reshape(4, cout).sum(0) / count
    return weights, sums, products, _moments(mean, square)


def _narrow_backward(saved, gradients) -> tuple[Array, Array, Array, Array]:
    x, kernel, largest, first, (weights, sums, products), moments, scale = saved
    (mean, inverse, _), dz, sign = moments, gradients[0], _sign(scale)
    dscale, dbias = _of_scale_and_bias(dz[None], largest[None], moments)
    count, size = 4 * first[0].size, kernel.shape[:2]
    windows = gemm.tiles(lax.optimization_barrier(x), size)
    spread = to_first(first, dz, 0).reshape(-1, windows.shape[1])

    def rows(v: Array) -> Array:
        """(cout,) against the rows of `weights`."""
        return jnp.tile(v, 4)[:, None]

    units = (weights @ products - rows(mean) * sums[None]) * rows(inverse)
    dtiled = jnp.matmul(spread, windows.T)
    dtiled -= rows(dbias / count) * sums[None] + rows(dscale / count) * units
    dtiled *= rows(jnp.abs(scale) * inverse)
    (dkernel,) = jax.linear_transpose(gemm.tile_kernel, kernel)(dtiled)
    # The images' own gradient needs all outputs; a first layer's is not asked for, and not computed.
    y, of_places = gemm.places(x, kernel * sign[None, None, None])
    dy = to_first(first, dz, 0)
    dy = _of_places(dy, y, moments, jnp.abs(scale), dscale / count, dbias / count)
    dx, _ = gemm.places_backward(of_places, dy)
    return dx, dkernel * sign[None, None, None], dscale * sign, dbias


narrow_conv_norm_pool.defvjp(_narrow_forward, _narrow_backward)


def _sign(scale: Array) -> Array:
    """By which a channel's kernel is multiplied, so that its norm is increasing."""
    return jnp.where(scale < 0, -1, 1).astype(scale.dtype)


def _scaled(y: Array, mean: Array, inverse: Array, scale: Array, bias: Array) -> Array:
    return (y - _wide(mean)) * _wide(inverse * jnp.abs(scale)) + _wide(bias)


def _of_scale_and_bias(dz: Array, largest: Array, moments) -> tuple[Array, Array]:
    """Gradients of |scale| and bias, of maxima (chunks, cout, H // 2, W // 2, n)."""
    mean, inverse, _ = moments
    unit = (largest - _wide(mean)[None]) * _wide(inverse)[None]
    return (dz * unit).sum((0, 2, 3, 4)), dz.sum((0, 2, 3, 4))


def _of_places(dz: Array, y: Array, moments, scale: Array, dscale: Array, dbias: Array) -> Array:
    """The gradient of outputs y from that of their norm, both (4, cout, H // 2, W // 2, N).

    `dscale`, `dbias`: means over all outputs, which their moments bring in.
    """
    mean, inverse, _ = moments
    units = (y - _wide(mean)[None]) * _wide(inverse)[None]
    dy = dz - _wide(dbias)[None] - units * _wide(dscale)[None]
    return lax.optimization_barrier(_wide(scale * inverse)[None] * dy)


def _gradients(
    form: Any,
    of_chunk: Callable[..., tuple[Array, Array]],
    kernel: Array,
    chunks: tuple[Array, ...],
) -> tuple[Array, Array]:
    """Gradients of images and kernel, from those that `of_chunk` gives of each chunk.

    Apart for `gemm`, whose two share nothing: a first layer's images need none, and what stands in one
    loop with the other would be computed all the same.
    """
    zero = jnp.zeros_like(kernel)
    if form is gemm:
        dkernel, _ = lax.scan(lambda total, c: (total + of_chunk(*c)[1], None), zero, chunks)
        return _whole(lax.map(lambda c: of_chunk(*c)[0], chunks)), dkernel

    def add(total: Array, chunk: tuple[Array, ...]) -> tuple[Array, Array]:
        dx, dkernel = of_chunk(*chunk)
        return total + dkernel, dx

    dkernel, dx = lax.scan(add, zero, chunks)
    return _whole(dx), dkernel


def _chunks(x: Array) -> Array:
    """(C, H, W, N) as (chunks, C, H, W, n)."""
    n = chunk_size(x.shape[-1])
    return jnp.moveaxis(x.reshape(*x.shape[:-1], -1, n), -2, 0)


def _whole(chunks: Array) -> Array:
    """Back to (C, H, W, N)."""
    c = jnp.moveaxis(chunks, 0, -2)
    return c.reshape(*c.shape[:-2], -1)


def _moments(mean: Array, square: Array) -> tuple[Array, Array, Array]:
    """Mean, 1 / standard deviation and variance, from the means of values and squares, as in Flax."""
    variance = jnp.maximum(0, square - mean * mean)
    return mean, lax.rsqrt(variance + EPSILON), variance


def _wide(v: Array) -> Array:
    """(C,) against (C, H, W, N)."""
    return v[:, None, None, None]
