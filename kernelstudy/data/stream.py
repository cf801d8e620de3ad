"""Training sets too large for memory: images by their rows, as TFDS' data source has them."""

from dataclasses import dataclass

import numpy as np

from kernelstudy.data import data_dir, packed, stock
from kernelstudy.data.decoded import fitted
from kernelstudy.data.options import Data
from kernelstudy.data.registry import TFDS, folder


@dataclass(frozen=True)
class Stored:
    """The training images of a prepared set by row."""

    split: packed.Split | packed.PlainSplit
    data: Data

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(n, H, W, C) uint8."""
        where = f"the images of {folder(self.data)}"
        images = self.split.images(rows.tolist())
        first = images[0]
        if isinstance(images, np.ndarray) and fitted(first, self.data, where) is first:
            return images  # alike in shape, and already as they are asked for
        return np.stack([fitted(image, self.data, where) for image in images])


@dataclass(frozen=True)
class Streamed:
    """Standardised training images by row, of a set that is not in memory."""

    stored: Stored
    rows: np.ndarray  # of the chosen examples
    values: np.ndarray  # (256,) float32: what a pixel becomes
    image_shape: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.rows), *self.image_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, H, W, C) float32."""
        return look_up(self.values, self.stored[self.rows[rows]])


def open_stored(data: Data) -> Stored:
    """The training images of a prepared set, to be read by row."""
    name = folder(data)
    if data.name == TFDS:
        return Stored(stock.open_tfds(data_dir(), name)[0]["train"], data)
    splits = packed.open_packed(data_dir(), name)
    if splits is None:  # its decoded arrays are there, but what they were decoded from is gone
        raise packed.unprepared(name, data_dir())
    return Stored(splits["train"], data)


def look_up(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`values[images]`, in blocks: several times as fast for many images."""
    found = np.empty(images.shape, values.dtype)
    for start in range(0, len(images), 1024):
        block = slice(start, start + 1024)
        np.take(values, images[block], out=found[block], mode="clip")
    return found
