"""Convolution and pooling as matrix products, for CPUs. Layout: (C, H, W, N), the batch last.

XLA's CPU convolution is slow inside loops and slower still under vmap; its matrix product is not. With
the batch last, the long axis of every product and of every elementwise pass is contiguous.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax


def chunk_size(batch: int) -> int:
    """The largest divisor of `batch` up to 32; the whole batch if only crumbs divide it."""
    best = max(d for d in range(1, min(batch, 32) + 1) if batch % d == 0)
    return best if best >= 8 else batch


def im2col(x: Array, size: tuple[int, ...]) -> Array:
    """Patches of (C, H, W, N) under SAME padding as a matrix (kh * kw * C, H * W * N)."""
    return _patches(with_padding(x, size), size)


def _patches(padded: Array, size: tuple[int, ...]) -> Array:
    (c, h, w, n), (kh, kw) = padded.shape, size
    h, w = h - kh + 1, w - kw + 1
    taps = [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]
    return jnp.concatenate(taps).reshape(kh * kw * c, h * w * n)


def tiles(padded: Array, size: tuple[int, ...]) -> Array:
    """All that a 2x2 window of outputs sees, as a column: ((kh + 1) * (kw + 1) * C, p * q * N).

    Of images with their padding (C, H + kh - 1, W + kw - 1, N); p = H // 2, q = W // 2. Neighbouring outputs
    share most of their patches, so one tile serves four outputs with (k + 1)^2 numbers where four patches
    hold 4 k^2.
    """
    (c, h, w, n), (kh, kw) = padded.shape, size
    p, q = (h - kh + 1) // 2, (w - kw + 1) // 2
    taps = [
        padded[:, i : i + 2 * p - 1 : 2, j : j + 2 * q - 1 : 2]
        for i in range(kh + 1)
        for j in range(kw + 1)
    ]
    return jnp.concatenate(taps).reshape((kh + 1) * (kw + 1) * c, p * q * n)


def tile_kernel(kernel: Array) -> Array:
    """The kernel at each of the four places of a window: (kh, kw, C, cout) -> (4 cout, (kh+1)(kw+1)C).

    With `tiles` it makes convolution one product that is larger by (k + 1)^2 / k^2, has four times the
    rows and needs a third of the patches: faster for k >= 3, and its rows come out place by place.
    """
    k = kernel.transpose(3, 0, 1, 2)
    places = [jnp.pad(k, ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0))) for i in (0, 1) for j in (0, 1)]
    return jnp.stack(places).reshape(4 * kernel.shape[-1], -1)


def with_padding(x: Array, size: tuple[int, ...]) -> Array:
    """SAME padding of (C, H, W, N) for kernels of `size`."""
    # XLA's SAME puts the odd pixel of an even kernel's padding after the image
    return jnp.pad(x, [(0, 0), *(((k - 1) // 2, k // 2) for k in size), (0, 0)])


def without_padding(padded: Array, size: tuple[int, ...]) -> Array:
    """(C, H, W, N) of what `with_padding` makes."""
    (_, h, w, _), (kh, kw) = padded.shape, size
    top, left = (kh - 1) // 2, (kw - 1) // 2
    return padded[:, top : top + h - kh + 1, left : left + w - kw + 1]


def _product(kernel: Array, patches: Array) -> Array:
    return jnp.matmul(kernel.reshape(-1, kernel.shape[-1]).T, patches)


@jax.custom_vjp
def conv(x: Array, kernel: Array) -> Array:
    """Cross-correlate (cin, H, W, N) with (kh, kw, cin, cout), SAME padding: (cout, H, W, N)."""
    return _product(kernel, im2col(x, kernel.shape[:2])).reshape(-1, *x.shape[1:])


def _conv_forward(x: Array, kernel: Array):
    return conv(x, kernel), (x, kernel)


def conv_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """Gradients of a convolution of `saved` images and kernel, however it was computed."""
    x, kernel = saved
    return input_gradient(dy, kernel), _kernel_gradient(im2col, x, kernel, dy)


conv.defvjp(_conv_forward, conv_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def strided_conv(x: Array, kernel: Array, stride: int) -> Array:
    """`conv` at rows and columns 0, s, 2 s, ... alone: (cout, ceil(H / s), ceil(W / s), N)."""
    _, h, w, n = x.shape
    y = _product(kernel, strided_patches(x, kernel.shape[:2], stride))
    return y.reshape(-1, -(-h // stride), -(-w // stride), n)


def strided_patches(x: Array, size: tuple[int, ...], stride: int) -> Array:
    """`im2col` at every s-th row and column: (kh * kw * C, ceil(H / s) * ceil(W / s) * N)."""
    (c, h, w, n), (kh, kw), s = x.shape, size, stride
    p, q = -(-h // s), -(-w // s)
    # A spare row and column at an odd side: without them XLA rounds otherwise, and runs keep their bits.
    padded = jnp.pad(with_padding(x, size), [(0, 0), (0, h % 2), (0, w % 2), (0, 0)])
    taps = [
        padded[:, i : i + s * (p - 1) + 1 : s, j : j + s * (q - 1) + 1 : s]
        for i in range(kh)
        for j in range(kw)
    ]
    return jnp.concatenate(taps).reshape(kh * kw * c, p * q * n)


def _strided_forward(x: Array, kernel: Array, stride: int):
    return strided_conv(x, kernel, stride), (x, kernel)


def _strided_backward(stride: int, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return (
        _strided_input_gradient(dy, kernel, x.shape, stride),
        _kernel_gradient(partial(strided_patches, stride=stride), x, kernel, dy),
    )


strided_conv.defvjp(_strided_forward, _strided_backward)


def _strided_input_gradient(dy: Array, kernel: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The adjoint of a strided correlation, as one product: a window of outputs gives the s x s pixels
    (each a phase of rows and of columns) that lie between them. No scatter."""
    (c, h, w, n), s = shape, stride
    (kh, kw), cout = kernel.shape[:2], kernel.shape[3]
    (_, p, q, _) = dy.shape
    rows, columns = (_taps_of_phase(k, s) for k in (kh, kw))
    low_i, low_j = (min(d for _, d in taps) for taps in (rows, columns))
    high_i, high_j = (max(d for _, d in taps) for taps in (rows, columns))
    # Block (a, b) of rows gives the pixels (s r + a, s t + b); column (i, j) takes dy at (r + i, t + j).
    size = (high_i - low_i + 1, high_j - low_j + 1)
    weights = jnp.zeros((s, s, c, *size, cout), kernel.dtype)
    for i, (a, di) in enumerate(rows):
        for j, (b, dj) in enumerate(columns):
            weights = weights.at[a, b, :, di - low_i, dj - low_j].set(kernel[i, j])
    padded = jnp.pad(dy, [(0, 0), (-low_i, high_i), (-low_j, high_j), (0, 0)])
    windows = [padded[:, i : i + p, j : j + q] for i in range(size[0]) for j in range(size[1])]
    patches = jnp.concatenate(windows).reshape(-1, p * q * n)
    planes = jnp.matmul(weights.reshape(s * s * c, -1), patches)
    pixels = planes.reshape(s, s, c, p, q, n).transpose(2, 3, 0, 4, 1, 5)
    return pixels.reshape(c, s * p, s * q, n)[:, :h, :w]


def _taps_of_phase(k: int, stride: int) -> list[tuple[int, int]]:
    """Of each tap i of k: the phase a and the shift d of the output s r + a - i + (k - 1) / 2 = s (r + d)
    that sees pixel s r + a through it."""
    found = []
    for i in range(k):
        offset = i - (k - 1) // 2
        phase = offset % stride
        found.append((phase, (phase - offset) // stride))
    return found


def _kernel_gradient(patches_of, x: Array, kernel: Array, dy: Array) -> Array:
    # The patches are made again rather than kept: making them is cheap, holding them in memory for
    # the whole backward pass is not. The barrier stops XLA from merging the two.
    patches = patches_of(lax.optimization_barrier(x), kernel.shape[:2])
    flat = dy.reshape(kernel.shape[-1], -1)
    return jnp.matmul(patches, flat.T).reshape(kernel.shape)


def input_gradient(dy: Array, kernel: Array) -> Array:
    """The adjoint of correlation: correlation with the kernel turned by 180 degrees. No scatter."""
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if kernel.shape[0] % 2 and kernel.shape[1] % 2:
        return conv(dy, turned)
    # SAME padding of an even kernel is lopsided, so its adjoint leans the other way
    return conv(dy[:, ::-1, ::-1], turned[::-1, ::-1])[:, ::-1, ::-1]


def patchify(x: Array, kernel: Array) -> Array:
    """Patches of (C, H, W, N) that neither overlap nor are padded, each as kernels (k, k, C, cout) see it:
    (cout, H // k, W // k, N)."""
    (c, h, w, n), k = x.shape, kernel.shape[0]
    p, q = h // k, w // k
    blocks = x[:, : p * k, : q * k].reshape(c, p, k, q, k, n).transpose(2, 4, 0, 1, 3, 5)
    return _product(kernel, blocks.reshape(k * k * c, p * q * n)).reshape(-1, p, q, n)


# A map of so many pixels is convolved by one matrix for each channel, a larger one row by row.
_WHOLE_MAP = 128


def depthwise_conv(x: Array, kernel: Array) -> Array:
    """Each channel of (C, H, W, N) by its own kernel of (kh, kw, C), SAME padding: (C, H, W, N).

    As products with the kernels' Toeplitz matrices: a window of 49 numbers is too short for a product of
    its own, and sums over shifted images are bound by memory.
    """
    (c, h, w, n), (kh, kw) = x.shape, kernel.shape[:2]
    above, left = (kh - 1) // 2, (kw - 1) // 2
    # rows of kernels as (C, kh, W, W): what each column of an output row takes from those of an input row
    within = _toeplitz(kernel.transpose(2, 0, 1), w)[..., left : left + w]
    if h * w <= _WHOLE_MAP:
        blocks = _toeplitz(within.transpose(0, 2, 3, 1), h)[..., above : above + h]
        matrix = blocks.transpose(0, 3, 1, 4, 2).reshape(c, h * w, h * w)
        return jnp.matmul(matrix, x.reshape(c, h * w, n)).reshape(x.shape)
    columns = jnp.pad(x.swapaxes(1, 2), [(0, 0), (0, 0), (above, kh // 2), (0, 0)])
    windows = jnp.concatenate([columns[:, :, i : i + h] for i in range(kh)], 1)
    matrix = within.transpose(0, 2, 1, 3).reshape(c, w, kh * w)
    y = jnp.matmul(matrix, windows.reshape(c, kh * w, h * n))
    return y.reshape(c, w, h, n).swapaxes(1, 2)


def _toeplitz(taps: Array, count: int) -> Array:
    """(..., k) as (..., count, count + k - 1): row i holds the taps from column i on, and zeros."""
    *lead, k = taps.shape
    row = jnp.concatenate([taps, jnp.zeros((*lead, count), taps.dtype)], -1)
    rows = jnp.broadcast_to(row[..., None, :], (*lead, count, k + count)).reshape(*lead, -1)
    return rows[..., : count * (count + k - 1)].reshape(*lead, count, count + k - 1)


def materialised(*values: Array) -> tuple[Array, ...]:
    """The same values, written to memory once.

    XLA's CPU fusion otherwise computes a value anew inside each of its consumers, and whatever that
    value came from with it. An optimisation barrier does not stop it (it is gone before fusion), a
    branch does: this one is taken unless the first number is NaN, which the compiler cannot know
    (of an array that begins with padding it can).
    """

    def as_nan(v: Array) -> Array:
        return jnp.full_like(v, jnp.nan) if jnp.issubdtype(v.dtype, jnp.floating) else v * 0

    known = values[0].ravel()[0] >= -jnp.inf
    return lax.cond(known, lambda *v: v, lambda *v: tuple(map(as_nan, v)), *values)


def first_maximum(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """The maximum of four arrays, and which is the first to reach it (0 .. 3, int32).

    First tie wins, as in XLA and PyTorch. Giving every tied position the gradient is wrong wherever
    images are constant.
    """
    upper, lower = jnp.maximum(a, b), jnp.maximum(c, d)
    first = jnp.where(upper >= lower, jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3))
    return jnp.maximum(upper, lower), first.astype(jnp.int32)


def to_first(first: Array, dy: Array, axis: int) -> Array:
    """Gradients of the four places of each window, along a new `axis`: dy at the first maximum.

    Compared with an iota, not stacked: XLA emits a stack of masks as a branch for each element.
    """
    shape = (*first.shape[:axis], 4, *first.shape[axis:])
    place = lax.broadcasted_iota(jnp.int32, shape, axis)
    return jnp.where(place == jnp.expand_dims(first, axis), jnp.expand_dims(dy, axis), 0)


def windowed(x: Array) -> Array:
    """(C, H, W, N) with even sides as the four places of its windows: (4, C, H // 2, W // 2, N)."""
    c, h, w, n = x.shape
    places = x.reshape(c, h // 2, 2, w // 2, 2, n).transpose(2, 4, 0, 1, 3, 5)
    return places.reshape(4, c, h // 2, w // 2, n)


def unwindowed(places: Array, h: int, w: int) -> Array:
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
    return (unwindowed(to_first(first, dy, 1), *like.shape[1:]),)


pool.defvjp(_pool_forward, _pool_backward)


@jax.custom_vjp
def conv_pool(x: Array, kernel: Array) -> Array:
    """`pool(conv(x, kernel))` without ever laying the full-size activation out in image order."""
    return _conv_pool_forward(x, kernel)[0]


def places(padded: Array, kernel: Array) -> Array:
    """The convolution of images with their padding (cin, H + kh - 1, W + kw - 1, N), as the four places of each
    window of a pool: (4, cout, H // 2, W // 2, N)."""
    (_, h, w, n), (kh, kw) = padded.shape, kernel.shape[:2]
    y = jnp.matmul(tile_kernel(kernel), tiles(padded, (kh, kw)))
    return y.reshape(4, -1, (h - kh + 1) // 2, (w - kw + 1) // 2, n)


def places_gradients(padded: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of the padded images and of the kernel, from those of `places`."""
    _, h, w, _ = padded.shape
    kh, kw = kernel.shape[:2]
    image = unwindowed(dy.swapaxes(0, 1), h - kh + 1, w - kw + 1)
    around = jnp.pad(image, [(0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1), (0, 0)])
    patches = _patches(around, (kh, kw))
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    return _product(turned, patches).reshape(padded.shape), _tiled_gradient(padded, kernel, dy)


def _tiled_gradient(padded: Array, kernel: Array, dy: Array) -> Array:
    """The kernel's, from gradients of `places`."""
    columns = tiles(padded, kernel.shape[:2])
    dtiled = jnp.matmul(dy.reshape(-1, columns.shape[1]), columns.T)
    (dkernel,) = jax.linear_transpose(tile_kernel, kernel)(dtiled)
    return dkernel


def _conv_pool_forward(x: Array, kernel: Array):
    largest, first = first_maximum(*places(with_padding(x, kernel.shape[:2]), kernel))
    return largest, (x, kernel, first)


def _conv_pool_backward(saved, dy: Array) -> tuple[Array, Array]:
    x, kernel, first = saved
    spread = to_first(first, dy, 0)
    # As in `_kernel_gradient`: tiles are made again.
    padded = with_padding(lax.optimization_barrier(x), kernel.shape[:2])
    dkernel = _tiled_gradient(padded, kernel, spread)
    dx = input_gradient(unwindowed(spread.swapaxes(0, 1), *x.shape[1:3]), kernel)
    return dx, dkernel


conv_pool.defvjp(_conv_pool_forward, _conv_pool_backward)
