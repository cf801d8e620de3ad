"""Rotation prediction (Gidaris, Singh & Komodakis 2018): any pile of images as a task of four classes.

Every image is seen upright and turned by 90, 180 and 270 degrees, counter-clockwise; the class is the turn.
Training, validation and test images stay apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

TURNS = 4
HOW = "each turned by 0, 90, 180 and 270 degrees, which is the class"


@dataclass(frozen=True)
class Turned:
    """Square images (N, H, H, C), each in all four turns, in a fixed mixed order: (4 N, H, H, C) by row."""

    images: Any  # an array, or streamed
    order: np.ndarray  # (4 N,): four times the row of the image, plus the turn

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.order), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, H, W, C) float32."""
        rows, turns = np.divmod(self.order[rows], TURNS)
        found = np.array(self.images[rows])
        for turn in range(1, TURNS):
            found[turns == turn] = np.rot90(found[turns == turn], turn, (1, 2))
        return found

    @property
    def labels(self) -> np.ndarray:
        return (self.order % TURNS).astype(np.int32)


def in_all_turns(images: Any) -> Turned:
    """Mixed, so that evenly spaced rows are of all turns; NumPy keeps this stream as it is."""
    return Turned(images, np.random.RandomState(0).permutation(TURNS * len(images)))
