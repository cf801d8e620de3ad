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
from kernelstudy.training.gemm import first_maximum, materialised, to_first
from kernelstudy.training.pieces import Pieces, pieces_of

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
    sign = _sign(scale)
    signed = kernel * sign[None, None, None]
    _, padded, y, moments, (largest, first) = _outputs(form, x, signed, pools=True)
    z = _scaled(largest, *moments[:2], scale, bias)
    saved = (padded, kernel, y, largest, first, moments, scale)
    return (z, moments[0] * sign, moments[2]), saved


def _conv_norm_pool_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    padded, kernel, y, largest, first, moments, scale = saved
    dz, sign = gradients[0], _sign(scale)
    pieces = _pieces(dz, kernel, 2)
    dscale, dbias = _of_scale_and_bias(dz, largest, moments)
    count = 4 * dz[0].size

    def of_piece(start: Array, images: Array, y: Array) -> tuple[Array, Array]:
        dy = to_first(pieces.take(first, start, 2), pieces.take(dz, start, 2), 0)
        dy = _of_places(dy, y, moments, jnp.abs(scale), dscale / count, dbias / count)
        return form.places_gradients(images, kernel * sign[None, None, None], dy)

    dx, dkernel = _gradients(form, of_piece, pieces, padded, kernel, y)
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
    pieces, padded, y, moments, _ = _outputs(form, x, kernel)

    def laid_out(z: Array, start: Array, y: Array) -> tuple[Array, None]:
        places = _normalised(y, moments, scale, bias)
        piece = gemm.unwindowed(places.swapaxes(0, 1), pieces.rows, pieces.width)
        return pieces.put(z, start, piece), None

    z, _ = pieces.scan(laid_out, lax.empty((len(scale), *x.shape[1:]), x.dtype), y)
    return (z, moments[0], moments[2]), (padded, kernel, y, moments, scale)


def _outputs(form: Any, x: Array, kernel: Array, *, pools: bool = False):
    """The pieces, the images with their padding, all outputs (pieces, 4, cout, rows // 2, W // 2, n), their
    moments, and where it `pools` what `_pooled` gives of them."""
    pieces, padded = _pieces(x, kernel), gemm.with_padding(x, kernel.shape[:2])

    def of_piece(pool: Any, start: Array) -> tuple[Any, tuple[Array, ...]]:
        y = form.places(pieces.padded(padded, start), kernel)
        pool = _with_pool(pieces, pool, start, y) if pools else pool
        return pool, (y, y.sum((0, 2, 3, 4)), (y * y).sum((0, 2, 3, 4)))

    empty = _empty_pool(pieces, kernel.shape[-1], x) if pools else None
    pool, (y, total, square) = pieces.scan(of_piece, empty)
    count = x[0].size
    return pieces, padded, y, _moments(total.sum(0) / count, square.sum(0) / count), pool


def _pooled(
    pieces: Pieces, y: Array, of_piece: Callable[[Array, Array], Array]
) -> tuple[Array, Array]:
    """The maxima of all windows, and which of the four places is the first to reach it, of what `of_piece`
    makes of a piece's start and its outputs."""

    def pooled(pool: tuple[Array, Array], start: Array, y: Array):
        return _with_pool(pieces, pool, start, of_piece(start, y)), None

    return pieces.scan(pooled, _empty_pool(pieces, y.shape[2], y), y)[0]


def _with_pool(
    pieces: Pieces, pool: tuple[Array, Array], start: Array, places: Array
) -> tuple[Array, Array]:
    """`pool` with the maxima of a piece, and which they are, in their place."""
    largest, first = materialised(*first_maximum(*places))
    return pieces.put(pool[0], start, largest, 2), pieces.put(pool[1], start, first, 2)


def _empty_pool(pieces: Pieces, channels: int, like: Array) -> tuple[Array, Array]:
    shape = (channels, pieces.height // 2, pieces.width // 2, pieces.count)
    return lax.empty(shape, like.dtype), lax.empty(shape, jnp.int32)


def _pieces(x: Array, kernel: Array, step: int = 1) -> Pieces:
    """Of outputs as large as x, or `step` times as large."""
    _, h, w, n = x.shape
    return pieces_of((kernel.shape[2], h * step, w * step, n), kernel.shape)


def _normalised(y: Array, moments, scale: Array, bias: Array) -> Array:
    """Outputs (4, cout, H // 2, W // 2, N)."""
    factor = moments[1] * scale
    return y * _wide(factor)[None] + _wide(bias - moments[0] * factor)[None]


def _conv_norm_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    padded, kernel, y, moments, scale = saved
    dz, count = gradients[0], gradients[0][0].size
    pieces = _pieces(dz, kernel)

    def places(start: Array) -> Array:
        return gemm.windowed(pieces.take(dz, start))

    dscale, dbias = _sums(pieces, y, moments, places)

    def of_piece(start: Array, images: Array, y: Array) -> tuple[Array, Array]:
        dy = _of_places(places(start), y, moments, scale, dscale / count, dbias / count)
        return form.places_gradients(images, kernel, dy)

    return *_gradients(form, of_piece, pieces, padded, kernel, y), dscale, dbias


conv_norm.defvjp(_conv_norm_forward, _conv_norm_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def skip_norm_pool(
    form: Any, x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """`pool(x + norm(conv(x, kernel), scale, bias))`, of images (C, H, W, N) with even sides, as many
    channels in as out; `form` and the rest as in `conv_norm_pool`."""
    return _skip_forward(form, x, kernel, scale, bias)[0]


def _skip_forward(form: Any, x: Array, kernel: Array, scale: Array, bias: Array):
    pieces, padded, y, moments, _ = _outputs(form, x, kernel)

    def sums(start: Array, y: Array) -> Array:
        return _normalised(y, moments, scale, bias) + gemm.windowed(pieces.take(x, start))

    largest, first = _pooled(pieces, y, sums)
    return (largest, moments[0], moments[2]), (padded, kernel, y, first, moments, scale)


def _skip_backward(form: Any, saved, gradients) -> tuple[Array, Array, Array, Array]:
    padded, kernel, y, first, moments, scale = saved
    dz, count = gradients[0], 4 * gradients[0][0].size
    pieces = _pieces(dz, kernel, 2)

    def places(start: Array) -> Array:
        return to_first(pieces.take(first, start, 2), pieces.take(dz, start, 2), 0)

    dscale, dbias = _sums(pieces, y, moments, places)

    def of_piece(start: Array, images: Array, y: Array) -> tuple[Array, Array]:
        dy = _of_places(places(start), y, moments, scale, dscale / count, dbias / count)
        return form.places_gradients(images, kernel, dy)

    dx, dkernel = _gradients(form, of_piece, pieces, padded, kernel, y)
    beside = gemm.unwindowed(to_first(first, dz, 1), *dx.shape[1:3])
    return dx + beside, dkernel, dscale, dbias


skip_norm_pool.defvjp(_skip_forward, _skip_backward)


def _sums(
    pieces: Pieces, y: Array, moments, places: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Gradients of scale and bias, from those of all places, which `places` gives of the piece that begins
    there."""
    mean, inverse, _ = moments

    def of_piece(_: None, start: Array, y: Array) -> tuple[None, tuple[Array, Array]]:
        dz, units = places(start), (y - _wide(mean)[None]) * _wide(inverse)[None]
        return None, ((dz * units).sum((0, 2, 3, 4)), dz.sum((0, 2, 3, 4)))

    _, (dscale, dbias) = pieces.scan(of_piece, None, y)
    return dscale.sum(0), dbias.sum(0)


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
    largest, first = first_maximum(*_places(x, kernel * sign[None, None, None]))
    z = _scaled(largest, *moments[:2], scale, bias)
    saved = (x, kernel, largest, first, (weights, sums, products), moments, scale)
    return (z, moments[0] * sign, moments[2]), saved


def _of_windows(x: Array, kernel: Array):
    """`tile_kernel` (4 cout, R), the sums (R,) and products (R, R) of `tiles`, and the moments that the
    outputs have by them."""
    size = kernel.shape[:2]
    weights, windows = gemm.tile_kernel(kernel), gemm.tiles(gemm.with_padding(x, size), size)
    count, cout = 4 * windows.shape[1], kernel.shape[-1]
    sums, products = windows.sum(1), jnp.matmul(windows, windows.T)
    mean = (weights @ sums).reshape(4, cout).sum(0) / count
    square = ((weights @ products) * weights).sum(1).reshape(4, cout).sum(0) / count
    return weights, sums, products, _moments(mean, square)


def _narrow_backward(saved, gradients) -> tuple[Array, Array, Array, Array]:
    x, kernel, largest, first, (weights, sums, products), moments, scale = saved
    (mean, inverse, _), dz, sign = moments, gradients[0], _sign(scale)
    dscale, dbias = _of_scale_and_bias(dz, largest, moments)
    count, size = 4 * first[0].size, kernel.shape[:2]
    windows = gemm.tiles(gemm.with_padding(lax.optimization_barrier(x), size), size)
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
    signed = kernel * sign[None, None, None]
    dy = to_first(first, dz, 0)
    dy = _of_places(dy, _places(x, signed), moments, jnp.abs(scale), dscale / count, dbias / count)
    dx = gemm.input_gradient(gemm.unwindowed(dy.swapaxes(0, 1), *x.shape[1:3]), signed)
    return dx, dkernel * sign[None, None, None], dscale * sign, dbias


narrow_conv_norm_pool.defvjp(_narrow_forward, _narrow_backward)


def _places(x: Array, kernel: Array) -> Array:
    return gemm.places(gemm.with_padding(x, kernel.shape[:2]), kernel)


def _sign(scale: Array) -> Array:
    """By which a channel's kernel is multiplied, so that its norm is increasing."""
    return jnp.where(scale < 0, -1, 1).astype(scale.dtype)


def _scaled(y: Array, mean: Array, inverse: Array, scale: Array, bias: Array) -> Array:
    return (y - _wide(mean)) * _wide(inverse * jnp.abs(scale)) + _wide(bias)


def _of_scale_and_bias(dz: Array, largest: Array, moments) -> tuple[Array, Array]:
    """Gradients of |scale| and bias, of maxima (cout, H // 2, W // 2, N)."""
    mean, inverse, _ = moments
    unit = (largest - _wide(mean)) * _wide(inverse)
    return (dz * unit).sum(_BUT_CHANNELS), dz.sum(_BUT_CHANNELS)


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
    of_piece: Callable[[Array, Array, Array], tuple[Array, Array]],
    pieces: Pieces,
    padded: Array,
    kernel: Array,
    y: Array,
) -> tuple[Array, Array]:
    """Gradients of images and kernel, from those that `of_piece` gives of a piece: of its start, its images
    with their padding and its outputs y.

    Apart for `gemm`, whose two share nothing: a first layer's images need none, and what stands in one
    loop with the other would be computed all the same.
    """

    def both(sums: tuple[Array, Array], start: Array, y: Array):
        dpadded, dkernel = of_piece(start, pieces.padded(padded, start), y)
        return (pieces.add_padded(sums[0], start, dpadded), sums[1] + dkernel), None

    def of_images(total: Array, start: Array, y: Array):
        return both((total, kernel), start, y)[0][0], None

    def of_kernel(total: Array, start: Array, y: Array):
        return total + of_piece(start, pieces.padded(padded, start), y)[1], None

    zeros = jnp.zeros_like(padded), jnp.zeros_like(kernel)
    if form is gemm:
        dpadded, _ = pieces.scan(of_images, zeros[0], y)
        dkernel, _ = pieces.scan(of_kernel, zeros[1], y)
    else:
        (dpadded, dkernel), _ = pieces.scan(both, zeros, y)
    return gemm.without_padding(dpadded, kernel.shape[:2]), dkernel


def _moments(mean: Array, square: Array) -> tuple[Array, Array, Array]:
    """Mean, 1 / standard deviation and variance, from the means of values and squares, as in Flax."""
    variance = jnp.maximum(0, square - mean * mean)
    return mean, lax.rsqrt(variance + EPSILON), variance


def _wide(v: Array) -> Array:
    """(C,) against (C, H, W, N)."""
    return v[:, None, None, None]
