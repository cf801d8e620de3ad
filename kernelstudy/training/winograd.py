"""A 3x3 convolution followed by 2x2 max-pooling, by Winograd's minimal filtering F(2x2, 3x3).

Lavin & Gray 2016 (CVPR), section 4.1. Each 2x2 tile of outputs is computed from a 4x4 tile of inputs d
with 16 products for each pair of channels instead of 36:

    y = A^T [(G k G^T) * (B^T d B)] A

The tile of outputs *is* the window of the pool, so the maximum is taken over the four results without
ever laying the full-size activation out in memory. Layout: (C, H, W, N), the batch last.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernelstudy.training.gemm import conv_backward, first_maximum, materialised, to_first

# Transforms of Lavin & Gray, eq. 7: kernels; inputs and outputs are sums and differences, below.
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
_A2 = np.kron(_A, _A).T  # (16, 4): the adjoint of the output transform of a whole tile

Tile = list[list[Array]]  # rows of arrays that are alike in shape


def _input_rows(d: list[Array]) -> list[Array]:
    """B^T d: what each of the four taps of a tile's column becomes."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _input_rows_adjoint(v: list[Array]) -> list[Array]:
    """B v."""
    return [v[0], v[1] - v[2] + v[3], v[1] + v[2] - v[0], -v[3]]


def _output_rows(m: list[Array]) -> list[Array]:
    """A^T m."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _both_ways(transform, tile: Tile) -> Tile:
    """Apply a transform of columns along the columns, then along the rows of a tile."""
    columns = [transform([row[j] for row in tile]) for j in range(len(tile[0]))]
    count = len(columns[0])
    return [transform([column[i] for column in columns]) for i in range(count)]


def _transformed_input(x: Array) -> Array:
    """B^T d B of every 4x4 tile: (C, H, W, N) -> (16, C, p * q * N), p = H // 2, q = W // 2."""
    _, h, w, _ = x.shape
    p, q = h // 2, w // 2
    # Tile i covers rows 2i - 1 .. 2i + 2 of the image, whose SAME padding is zeros.
    return _transformed(jnp.pad(x, ((0, 0), (1, 2 * p + 1 - h), (1, 2 * q + 1 - w), (0, 0))))


def _transformed(padded: Array) -> Array:
    """The same of images with their padding, (C, 2 p + 2, 2 q + 2, N)."""
    c, h, w, n = padded.shape
    p, q = h // 2 - 1, w // 2 - 1
    pairs = padded.reshape(c, p + 1, 2, q + 1, 2, n)
    tile = [
        [pairs[:, i // 2 : i // 2 + p, i % 2, j // 2 : j // 2 + q, j % 2] for j in range(4)]
        for i in range(4)
    ]
    rows = _both_ways(_input_rows, tile)
    return jnp.stack([entry for row in rows for entry in row]).reshape(16, c, -1)


def _transformed_adjoint(dv: Array, shape: tuple[int, ...]) -> Array:
    """(16, C, p * q * N) -> `shape` (C, 2 p + 2, 2 q + 2, N), of images with their padding.

    Sums what the overlapping tiles say of each pixel, one parity of rows and columns at a time.
    """
    c, h, w, n = shape
    p, q = h // 2 - 1, w // 2 - 1
    dv = dv.reshape(4, 4, c, p, q, n)
    tile = _both_ways(_input_rows_adjoint, [[dv[i, j] for j in range(4)] for i in range(4)])
    zero = jnp.zeros((), dv.dtype)

    def pixels(row: int, column: int) -> Array:
        """The rows and columns of this parity: (C, p + 1, q + 1, N)."""
        placed = [
            lax.pad(
                tile[i][j],
                zero,
                [(0, 0, 0), (i // 2, 1 - i // 2, 0), (j // 2, 1 - j // 2, 0), (0, 0, 0)],
            )
            for i in (row, row + 2)
            for j in (column, column + 2)
        ]
        return placed[0] + placed[1] + placed[2] + placed[3]

    planes = materialised(*(pixels(i, j) for i in (0, 1) for j in (0, 1)))
    rows = [jnp.stack(planes[:2], 3), jnp.stack(planes[2:], 3)]
    return jnp.stack(rows, 2).reshape(shape)


def _transformed_kernel(kernel: Array) -> Array:
    """G k G^T: (3, 3, cin, cout) -> (16, cout, cin)."""
    g = jnp.asarray(_G, kernel.dtype)
    u = jnp.einsum("ai,bj,ijco->aboc", g, g, kernel)
    return u.reshape(16, *u.shape[2:])


def _product(a: Array, b: Array, contract: tuple[int, int]) -> Array:
    """The sixteen matrix products of a and b over the axes `contract`."""
    dimensions = (((contract[0],), (contract[1],)), ((0,), (0,)))
    return lax.dot_general(a, b, dimensions)


@jax.custom_vjp
def conv_pool(x: Array, kernel: Array) -> Array:
    """2x2 maxima of a 3x3 SAME cross-correlation; gradients go to the first maximum in row order.

    Args:
        x: (cin, H, W, N); an odd last row or column has no window.
        kernel: (3, 3, cin, cout).

    Returns:
        (cout, H // 2, W // 2, N).
    """
    # Where no gradient is asked for, nothing keeps what the layer before has computed.
    return _forward(materialised(x)[0], kernel)[0]


@jax.custom_vjp
def conv(x: Array, kernel: Array) -> Array:
    """The convolution alone, of (cin, H, W, N): (cout, H, W, N)."""
    _, h, w, n = x.shape
    (x,) = materialised(x)
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))  # as SAME padding would
    y = _tiles_of_outputs(_transformed_input(even), kernel, (*even.shape[1:3], n))
    rows = [jnp.stack(row, 3) for row in y]  # (cout, p, q, 2, N)
    return jnp.stack(rows, 2).reshape(-1, *even.shape[1:])[:, :h, :w]


conv.defvjp(lambda x, kernel: (conv(x, kernel), (x, kernel)), conv_backward)


def _tiles_of_outputs(v: Array, kernel: Array, shape: tuple[int, ...]) -> Tile:
    """The four places of every 2x2 tile of outputs of images (H, W, N), each (cout, H // 2, W // 2, N)."""
    h, w, n = shape
    m = _product(_transformed_kernel(kernel), v, (2, 1))
    m = m.reshape(4, 4, kernel.shape[-1], h // 2, w // 2, n)
    return _both_ways(_output_rows, [[m[i, j] for j in range(4)] for i in range(4)])


def _forward(x: Array, kernel: Array):
    v = _transformed_input(x)
    y = _tiles_of_outputs(v, kernel, x.shape[1:])
    largest, first = materialised(*first_maximum(*y[0], *y[1]))
    return largest, (kernel, v, jnp.zeros((0, *x.shape), x.dtype), first)


def _backward(saved, dy: Array) -> tuple[Array, Array]:
    kernel, v, like, first = saved
    _, c, h, w, n = like.shape
    padded = (c, h // 2 * 2 + 2, w // 2 * 2 + 2, n)
    dpadded, dkernel = _gradients(kernel, v, padded, to_first(first, dy, 0))
    # The margins hold what fell on the zero padding; an odd last row or column got nothing.
    dx = jnp.pad(dpadded, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1 : h + 1, 1 : w + 1]
    return materialised(dx)[0], dkernel


def places(padded: Array, kernel: Array) -> Array:
    """The convolution of images with their padding (cin, H + 2, W + 2, N), H and W even, as the four places
    of each window of a pool: (4, cout, H // 2, W // 2, N)."""
    _, h, w, n = padded.shape
    v = _transformed(padded)
    m = _product(_transformed_kernel(kernel), v, (2, 1))
    # As a matrix product: what is fused would be computed again by all that asks for it.
    y = jnp.asarray(_A2.T, v.dtype) @ m.reshape(16, -1)
    return y.reshape(4, -1, h // 2 - 1, w // 2 - 1, n)


def places_gradients(padded: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of the padded images and of the kernel, from those of `places`."""
    return _gradients(kernel, _transformed(padded), padded.shape, dy)


def _gradients(kernel: Array, v: Array, padded: tuple[int, ...], dy: Array) -> tuple[Array, Array]:
    """Gradients of images of the shape `padded`, of which `v` is the transform, and of the kernel."""
    cout = dy.shape[1]
    # As a matrix product, and kept apart: fused into the two below, XLA would do it twice over.
    dm = lax.optimization_barrier(jnp.asarray(_A2, dy.dtype) @ dy.reshape(4, -1))
    dm = dm.reshape(16, cout, -1)
    du = _product(dm, v, (2, 2)).reshape(4, 4, cout, v.shape[1])
    g = jnp.asarray(_G, dy.dtype)
    dkernel = jnp.einsum("ai,bj,aboc->ijco", g, g, du)
    turned = _transformed_kernel(kernel.swapaxes(2, 3))  # not u's transpose: XLA would fold it in
    return _transformed_adjoint(_product(turned, dm, (2, 1)), padded), dkernel


conv_pool.defvjp(_forward, _backward)
