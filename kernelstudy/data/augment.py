"""Augmentation, off by default: images mirrored and moved at random, as their batches are drawn."""

import numpy as np

from kernelstudy.data.options import Data

_AUGMENTATION = 2  # the stream of a seed's random numbers that is this one's


def is_on(data: Data) -> bool:
    return data.flip or data.shift > 0


def draw(data: Data, seed: int, step: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images of a seed's minibatch are mirrored (batch,), and where they move to (batch, 2).

    They depend on seed and step alone, so that arms are paired.
    """
    rng = np.random.default_rng([seed, _AUGMENTATION, step])
    mirrored = rng.random(batch) < 0.5
    moves = rng.integers(-data.shift, data.shift + 1, (batch, 2))
    return mirrored & data.flip, moves


def augmented(images: np.ndarray, mirrored: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Images (n, H, W, C), some mirrored left to right, then moved by (down, right) pixels.

    What comes in at an edge repeats the edge.
    """
    _, h, w, _ = images.shape
    y = np.clip(np.arange(h) - moves[:, :1], 0, h - 1)
    x = np.clip(np.arange(w) - moves[:, 1:], 0, w - 1)
    x = np.where(mirrored[:, None], w - 1 - x, x)
    return images[np.arange(len(images))[:, None, None], y[:, :, None], x[:, None, :]]
