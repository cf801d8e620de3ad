"""Rotation prediction (Gidaris, Singh & Komodakis 2018): any pile of images as a task of four classes.

Every image is seen upright and turned by 90, 180 and 270 degrees, counter-clockwise; the class is the turn.
Training, validation and test images stay apart.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelstudy.data import DataError

if TYPE_CHECKING:
    from kernelstudy.data.images import Images

TURNS = 4
_HOW = "each turned by 0, 90, 180 and 270 degrees, which is the class"


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


def rotated(images: "Images", limit: float) -> "Images":
    """The images of a set with their turns for labels; training images of more than `limit` bytes by row.

    Raises:
        DataError: they are not square.
    """
    height, width, _ = images.image_shape
    if height != width:
        raise DataError(
            f"data.task: rotation needs square images, and those of {images.facts['name']} are {height} x "
            f"{width}; set data.crop or data.resize"
        )
    train, test, val = map(
        in_all_turns, (images.train_images, images.test_images, images.val_images)
    )
    in_memory = not images.streamed and 4 * np.prod(train.shape) <= limit
    facts = images.facts
    counts = {key: TURNS * facts[key] for key in ("train", "val", "test", "chosen_from")}
    source = f"{facts['source']}, {_HOW}"
    facts = {**facts, **counts, "classes": TURNS, "source": source, "class_names": None}
    return images._replace(
        train_images=train[:] if in_memory else train,
        train_labels=train.labels,
        test_images=test[:],
        test_labels=test.labels,
        val_images=val[:] if len(val) else images.val_images,
        val_labels=val.labels,
        classes=TURNS,
        facts=facts,
    )
