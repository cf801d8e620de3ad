"""Convolution and pooling as matrix products, for CPUs. Layout: (C, H, W, N), the batch last.

XLA's CPU convolution is slow inside loops and slower still under vmap; its matrix product is not. With
the batch last, the long axis of every product and of every elementwise pass is contiguous.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

_HIGHEST = lax.Precision.HIGHEST


def im2col(x: Array, size: tuple[int, ...]) -> Array:
    """Patches of (C, H, W, N) under SAME padding as a matrix (kh * kw * C, H * W * N)."""
    (c, h, w, n), (kh, kw) = x.shape, size
    padded = _padded(x, size)
    taps = [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]
    return jnp.concatenate(taps).reshape(kh * kw * c, h * w * n)


def windowed_im2col(x: Array, size: tuple[int, ...]) -> Array:
    """The same patches in the order of a 2x2 pool: (kh * kw * C, 4 * p * q * N), p = H // 2, q = W // 2.

    The outer index runs over the four places of a window, so that after the product each place is one
    contiguous block, and taking the maximum over them needs no strided pass.
    """
    (c, h, w, n), (kh, kw) = x.shape, size
    p, q = h // 2, w // 2
    padded = _padded(x, size)

    def places(i: int, j: int) -> Array:
        corners = [(i + a, j + b) for a in (0, 1) for b in (0, 1)]
        return jnp.stack([padded[:, y : y + 2 * p : 2, z : z + 2 * q : 2] for y, z in corners], 1)

    taps = [places(i, j) for i in range(kh) for j in range(kw)]
    return jnp.concatenate(taps).reshape(kh * kw * c, 4 * p * q * n)


def _padded(x: Array, size: tuple[int, ...]) -> Array:
    # XLA's SAME puts the odd pixel of an even kernel's padding after the image
    return jnp.pad(x, [(0, 0), *(((k - 1) // 2, k // 2) for k in size), (0, 0)])


def _product(kernel: Array, patches: Array) -> Array:
    return jnp.matmul(kernel.reshape(-1, kernel.shape[-1]).T, patches, precision=_HIGHEST)


@jax.custom_vjp
def conv(x: Array, kernel: Array) -> Array:
    """Cross-correlate (cin, H, W, N) with (kh, kw, cin, cout), SAME padding: (cout, H, W, N)."""
    return _product(kernel, im2col(x, kernel.shape[:2])).reshape(-1, *x.shape[1:])


def _conv_forward(x: Array, kernel: Array):
    return conv(x, kernel), (x, kernel)


def _conv_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return _input_gradient(dy, kernel), _kernel_gradient(im2col, x, kernel, dy)


conv.defvjp(_conv_forward, _conv_backward)


def _kernel_gradient(patches_of, x: Array, kernel: Array, dy: Array) -> Array:
    # The patches are made again rather than kept: making them is cheap, holding them in memory for
    # the whole backward pass is not. The barrier stops XLA from merging the two.
    patches = patches_of(lax.optimization_barrier(x), kernel.shape[:2])
    flat = dy.reshape(kernel.shape[-1], -1)
    return jnp.matmul(patches, flat.T, precision=_HIGHEST).reshape(kernel.shape)


def _input_gradient(dy: Array, kernel: Array) -> Array:
    """The adjoint of correlation: correlation with the kernel turned by 180 degrees. No scatter."""
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if kernel.shape[0] % 2 and kernel.shape[1] % 2:
        return conv(dy, turned)
    # SAME padding of an even kernel is lopsided, so its adjoint leans the other way
    return conv(dy[:, ::-1, ::-1], turned[::-1, ::-1])[:, ::-1, ::-1]


def first_maximum(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """The maximum of four arrays, and which is the first to reach it (0 .. 3, int32).

    First tie wins, as in XLA and PyTorch. Giving every tied position the gradient is wrong wherever
    images are constant.
    """
    upper, lower = jnp.maximum(a, b), jnp.maximum(c, d)
    first = jnp.where(upper >= lower, jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3))
    return jnp.maximum(upper, lower), first.astype(jnp.int32)


def to_first(first: Array, dy: Array, axis: int) -> Array:
    """Gradients of the four places of each window, stacked along `axis`: dy at the first maximum."""
    return jnp.stack([jnp.where(first == place, dy, 0) for place in range(4)], axis)


def _unwindowed(places: Array, h: int, w: int) -> Array:
    """(C, 4, p, q, N) back to (C, H, W, N), with zeros in an odd last row or column."""
    c, _, p, q, n = places.shape
    image = places.reshape(c, 2, 2, p, q, n).transpose(0, 3, 1, 4, 2, 5).reshape(c, 2 * p, 2 * q, n)
    return jnp.pad(image, ((0, 0), (0, h - 2 * p), (0, w - 2 * q), (0, 0)))


@jax.custom_vjp
def pool(x: Array) -> Array:
    """2x2 maximum of (C, H, W, N); the gradient goes to the first maximum in row order."""
    return _pool_forward(x)[0]


def _pool_forward(x: Array):
    c, h, w, n = x.shape
    z = x[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2, n)
    largest, first = first_maximum(*(z[:, :, i, :, j] for i in (0, 1) for j in (0, 1)))
    return largest, (first, jnp.zeros((0, h, w)))


def _pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    first, like = saved
    return (_unwindowed(to_first(first, dy, 1), *like.shape[1:]),)


pool.defvjp(_pool_forward, _pool_backward)


@jax.custom_vjp
def conv_pool(x: Array, kernel: Array) -> Array:
    """`pool(conv(x, kernel))` without ever laying the full-size activation out in image order."""
    return _conv_pool_forward(x, kernel)[0]


def _conv_pool_forward(x: Array, kernel: Array):
    _, h, w, n = x.shape
    y = _product(kernel, windowed_im2col(x, kernel.shape[:2]))
    places = y.reshape(-1, 4, h // 2, w // 2, n)
    largest, first = first_maximum(*(places[:, place] for place in range(4)))
    return largest, (x, kernel, first)


def _conv_pool_backward(saved: tuple[Array, Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel, first = saved
    spread = to_first(first, dy, 1)
    dx = _input_gradient(_unwindowed(spread, *x.shape[1:3]), kernel)
    return dx, _kernel_gradient(windowed_im2col, x, kernel, spread)


conv_pool.defvjp(_conv_pool_forward, _conv_pool_backward)
