"""Receptive fields: which pixels an activation sees, and what is in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .variables import layers_of

if TYPE_CHECKING:
    import xarray as xr  # slow to import: a recording begins without it


FIELDS = "fields"  # attribute of a trajectory: JSON
LARGEST = 2**14  # pixels
_ROUNDING = 1e-5  # of the largest activation: an image may be computed otherwise at another place of a batch


class Field(NamedTuple):
    """Activation i of a layer sees pixels start + i * jump, ... of `size`, along one axis.

    They reach beyond the image, where convolutions see zeros.
    """

    size: int
    jump: int
    start: int

    def window(self, index: int) -> tuple[int, int]:
        """First pixel and the one after the last."""
        first = self.start + index * self.jump
        return first, first + self.size


def receptive_fields(
    image: tuple[int, int], *, kernel_size: int, depth: int, stride: int = 1
) -> list[Field]:
    """The fields of every layer's activations, before its pool.

    image: (H, W). The network is `kernelstudy.training.model.CNN`: kernels are centred, deeper ones
    3 x 3; layers halve the image by a 2 x 2 pool, or by the stride, while both sides have 2 pixels.
    Arithmetic: Araujo, Norris & Sim 2019 (Distill), with padding (k - 1) / 2.
    """
    if min(*image, kernel_size, depth, stride) < 1:
        raise ValueError("receptive_fields needs sizes of at least 1")
    height, width = image
    size, jump, start, found = 1, 1, 0, []
    for layer in range(depth):
        k = kernel_size if layer == 0 else 3
        size, start = size + (k - 1) * jump, start - (k - 1) // 2 * jump
        halves = min(height, width) >= 2
        if halves and stride > 1:
            jump *= stride
            height, width = -(-height // stride), -(-width // stride)
        found.append(Field(size, jump, start))
        if halves and stride == 1:
            size, jump = size + jump, 2 * jump
            height, width = height // 2, width // 2
    return found


def with_changed_rows(image: np.ndarray) -> np.ndarray:
    """An image (H, W, ...), and with each of its rows in turn not a number, far above and far below all others:
    (1 + 3 H, H, W, ...). What is not a number is lost in some maxima, and what is large in some activations."""
    height, far = len(image), 1e6 * (1 + np.abs(image).max())
    found = np.repeat(image[None], 1 + 3 * height, 0)
    for number, value in enumerate((np.nan, far, -far)):
        rows = np.arange(height)
        found[1 + number * height + rows, rows] = value
    return found


def middle(maps: Any) -> Any:
    """The activations in the middle of maps (n, h, w, channels), of NumPy or JAX: (n, channels)."""
    return maps[:, maps.shape[1] // 2, maps.shape[2] // 2]


def measured_field(middles: np.ndarray, rows: int) -> Field:
    """A layer's field along the rows, by which of these change the activation in its middle; the whole image,
    where none does.

    Args:
        middles: (1 + 3 H, channels), for the images of `with_changed_rows`.
        rows: of the layer's maps.
    """
    height = len(middles) // 3
    with np.errstate(invalid="ignore"):
        same = np.abs(middles[1:] - middles[0]) <= _ROUNDING * np.abs(middles[0]).max()
    changed = np.flatnonzero(~same.all(-1).reshape(3, height).all(0))
    first, last = (int(changed[0]), int(changed[-1])) if len(changed) else (0, height - 1)
    jump = max(1, round(height / rows))
    return Field(last - first + 1, jump, first - rows // 2 * jump)


def middle_window(side: int, size: int) -> int:
    """The first of the `size` pixels along a side where a convolution has the kernel of the unit in the middle
    of its pooled map."""
    return min(max(0, 2 * (side // 4) - (size - 1) // 2), side - size)


def are_fields(value: Any) -> bool:
    """Whether it is a list of (size, jump, start), as plain data."""
    return isinstance(value, list) and all(
        isinstance(one, list)
        and len(one) == 3
        and all(isinstance(n, int) and abs(n) <= LARGEST for n in one)
        and min(one[:2]) >= 1
        for one in value
    )


def fields_of(trajectory: xr.Dataset, stride: int) -> list[Field]:
    """The fields of the layers that were watched: those that a recording has measured (attribute `fields`),
    else `receptive_fields`, from the sizes of what they showed."""
    if FIELDS in trajectory.attrs:
        return [Field(*one) for one in json.loads(trajectory.attrs[FIELDS])]
    sizes = trajectory.sizes
    return receptive_fields(
        (sizes["row"], sizes["column"]),
        kernel_size=sizes["ky"],
        depth=len(layers_of(trajectory)),
        stride=stride,
    )


def crop(image: ArrayLike, field: Field, y: int, x: int) -> np.ndarray:
    """What activation (y, x) sees of an image (H, W, ...): (size, size, ...), NaN outside of it."""
    image = np.asarray(image, dtype=np.float64)
    patch = np.full((field.size, field.size, *image.shape[2:]), np.nan)
    spans = [(*field.window(i), n) for i, n in zip((y, x), image.shape[:2], strict=True)]
    inside = tuple(slice(max(a, 0), min(b, n)) for a, b, n in spans)
    if any(s.stop <= s.start for s in inside):
        return patch
    target = tuple(
        slice(s.start - a, s.stop - a) for s, (a, _, _) in zip(inside, spans, strict=True)
    )
    patch[target] = image[inside]
    return patch
