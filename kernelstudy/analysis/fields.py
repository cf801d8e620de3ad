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


def without_rows(image: np.ndarray) -> np.ndarray:
    """An image (H, W, ...) without each of its rows in turn, which is NaN: (H, H, W, ...)."""
    found = np.repeat(image[None], len(image), 0)
    found[np.arange(len(image)), np.arange(len(image))] = np.nan
    return found


def reached(maps: Any) -> Any:
    """Which of the images (H,) of `without_rows` the activation in the middle of their maps (H, h, w, channels)
    has lost something of; of NumPy or JAX."""
    middle = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
    return (middle != middle).any(-1)


def field_of_rows(seen: ArrayLike, rows: int) -> Field:
    """A layer's field along the rows, measured: by which of an image's rows its activation in the middle is
    `reached`, seen (H,); of all, where that is none. `rows`: of its maps."""
    height = len(np.asarray(seen))
    found = np.flatnonzero(seen)
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, height - 1)
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
