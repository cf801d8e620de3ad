"""Images (C, H, W, N) in pieces, so that what a convolution makes of one fits a core's cache.

A piece is some rows of some images, with all columns: rows of one channel follow each other in memory, so it
is taken out and put back in long runs. Patches and Winograd's transforms are several times as large as the
images they are made of; whole, they would be written to memory and read again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernelstudy.training.gemm import materialised

CACHE = 5 << 19  # bytes of patches: as measured, on cores of 1 MiB beside a shared cache of 32
IMAGES = 128  # more do not make runs in memory longer than matters


class Pieces(NamedTuple):
    """The pieces of outputs (C, `height`, `width`, N): `rows` of `images` each, of kernels of `size`."""

    rows: int
    images: int
    height: int
    width: int
    count: int  # of images, N
    size: tuple[int, int]

    @property
    def starts(self) -> np.ndarray:
        """The first row and image of each piece: (pieces, 2), int32."""
        rows = range(0, self.height, self.rows)
        return np.array([(r, i) for r in rows for i in range(0, self.count, self.images)], np.int32)

    def scan(self, body: Callable[..., tuple[Any, Any]], carry: Any, *stacked: Array):
        """`lax.scan` of `body(carry, start, *piece of each of stacked)`."""
        return lax.scan(lambda c, piece: body(c, *piece), carry, (self.starts, *stacked))

    def padded(self, padded: Array, start: Array) -> Array:
        """The piece of images with their padding that the outputs see."""
        sizes, at = self._sizes(padded), self._at(start)
        # As in `materialised`, but written once: what is in the branch is not copied out of it.
        known = padded[0, self.size[0] // 2, self.size[1] // 2, 0] >= -jnp.inf
        return lax.cond(
            known,
            lambda images: lax.dynamic_slice(images, at, sizes),
            lambda images: jnp.full(sizes, jnp.nan, images.dtype),
            padded,
        )

    def add_padded(self, padded: Array, start: Array, piece: Array) -> Array:
        """`padded` with such a piece added where it came from; neighbours share rows."""
        at = self._at(start)
        before = lax.dynamic_slice(padded, at, piece.shape)
        return lax.dynamic_update_slice(padded, before + materialised(piece)[0], at)

    def take(self, whole: Array, start: Array, step: int = 1) -> Array:
        """The piece of outputs, or of their pool where `step` is 2."""
        sizes = (len(whole), self.rows // step, whole.shape[2], self.images)
        return lax.dynamic_slice(whole, self._at(start, step), sizes)

    def put(self, whole: Array, start: Array, piece: Array, step: int = 1) -> Array:
        """`whole` with the piece in its place."""
        return lax.dynamic_update_slice(whole, piece, self._at(start, step))

    def _sizes(self, padded: Array) -> tuple[int, ...]:
        return len(padded), self.rows + self.size[0] - 1, padded.shape[2], self.images

    def _at(self, start: Array, step: int = 1) -> tuple[Any, ...]:
        zero = np.int32(0)  # all of a kind, whatever Python's integers become
        return zero, start[0] // step, zero, start[1]


def pieces_of(shape: tuple[int, ...], kernel: tuple[int, ...]) -> Pieces:
    """Of images of `shape` (C, H, W, N), H even, and kernels of shape (kh, kw, cin, cout)."""
    (c, h, w, n), (kh, kw, _, cout) = shape, kernel
    # bytes of the tiles (`gemm`) or transforms (`winograd`) of a row, 4 (k + 1)^2 for two by two pixels
    a_row = (kh + 1) * (kw + 1) * max(c, cout // 4) * w
    images = max(d for d in range(1, min(n, IMAGES) + 1) if n % d == 0)
    if images < 8:  # crumbs alone divide it
        images = n
    while images % 2 == 0 and images > 16 and 2 * a_row * images > CACHE:
        images //= 2
    rows = [r for r in range(2, h + 1, 2) if h % r == 0 and r * a_row * images <= CACHE]
    return Pieces(max(rows, default=2), images, h, w, n, (kh, kw))
