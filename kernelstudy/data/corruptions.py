"""Test images changed in a known way, on which networks are scored beside the clean ones: `tests` of a config.

Images are standardised (n, H, W, C): the unit of pixels is the standard deviation of the training images'.
Every change is seeded and of the image's row alone, but for Gaussian clones, which are of a class.

noise@s: white Gaussian noise of standard deviation s is added.
blur@s: a Gaussian of standard deviation s pixels, mirrored at the edges.
contrast@c: differences from the image's own mean, per colour, times c (Hendrycks & Dietterich 2019).
shift@d: moved by d pixels up, down, left or right; what comes in repeats the edge.
gaussian_clone: in place of each class's images, Gaussian ones with exactly their mean and their covariance
    of all pixels and colours: all else of the class is gone (Refinetti, Ingrosso & Goldt 2023).
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kernelstudy.data import controls
from kernelstudy.data.augment import augmented
from kernelstudy.system.errors import ConfigError, short
from kernelstudy.system.values import one_of

CLONE = "gaussian_clone"
FEWEST = 20  # images of a class that are cloned: weights of fewer are not nearly Gaussian
MOST = 1000  # of a class that are turned into each other at a time
_NUMBER = r"\d+(\.\d+)?(e-?\d+)?"


class Corruption(NamedTuple):
    kind: str
    strength: float  # 0 where the kind has none


def parse(key: str, text: str) -> Corruption:
    """`noise@0.2` as what it means.

    Raises:
        ConfigError: for anything else, with `key` in its sentence.
    """
    kind, at, strength = text.partition("@")
    one_of(key, kind, (*CHANGES, CLONE))
    if kind == CLONE:
        if at:
            raise ConfigError(f"{key}: {short(text)} has a strength, and {CLONE} knows none")
        return Corruption(kind, 0.0)
    if not re.fullmatch(_NUMBER, strength) or not 0 < float(strength) < 1e6:
        raise ConfigError(
            f"{key}: {short(text)} needs a strength above 0, as in {kind}@{USUAL[kind]}"
        )
    if kind == "shift" and not float(strength).is_integer():
        raise ConfigError(
            f"{key}: {short(text)} must move by whole pixels, as in shift@{USUAL[kind]}"
        )
    return Corruption(kind, float(strength))


def check(tests: Sequence[str], labels: np.ndarray, image_shape: tuple[int, int, int]) -> None:
    """ConfigError for the first of `tests` that test images with these labels and this shape cannot serve."""
    for index, text in enumerate(tests):
        key, (kind, strength) = f"tests[{index}]", parse("tests", text)
        if kind == "shift" and strength >= min(image_shape[:2]):
            raise ConfigError(
                f"{key}: {text} leaves nothing of images of {image_shape[0]} x {image_shape[1]}"
            )
        classes, counts = np.unique(labels, return_counts=True)
        if kind == CLONE and counts.min() < FEWEST:
            label = int(classes[counts.argmin()])
            raise ConfigError(
                f"{key}: {text} needs {FEWEST} test images of every class, and class {label} has {counts.min()}"
            )


def changed(text: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The test images (n, H, W, C) of labels (n,) as the test `text` shows them, of the same type."""
    kind, strength = parse("tests", text)
    if kind == CLONE:
        return gaussian_clone(images, labels)
    change = CHANGES[kind]
    return controls.apply(lambda some, rows: change(some.astype(float), strength, rows), images)


def noise(images: np.ndarray, sigma: float, rows: np.ndarray) -> np.ndarray:
    return images + sigma * np.stack(
        [_rng("noise", r).standard_normal(images.shape[1:]) for r in rows]
    )


def blur(images: np.ndarray, sigma: float, rows: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # slow to import

    del rows
    return gaussian_filter(images, (0, sigma, sigma, 0), mode="reflect")


def contrast(images: np.ndarray, factor: float, rows: np.ndarray) -> np.ndarray:
    del rows
    mean = images.mean((1, 2), keepdims=True)
    return mean + factor * (images - mean)


def shift(images: np.ndarray, pixels: float, rows: np.ndarray) -> np.ndarray:
    directions = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
    moves = directions[[_rng("shift", row).integers(4) for row in rows]] * int(pixels)
    return augmented(images, np.zeros(len(images), bool), moves)


Change = Callable[[np.ndarray, float, np.ndarray], np.ndarray]  # images, strength, rows -> images
CHANGES: dict[str, Change] = {"noise": noise, "blur": blur, "contrast": contrast, "shift": shift}
USUAL = {"noise": "0.2", "blur": "1", "contrast": "0.5", "shift": "2"}
_STREAMS = {"noise": 0, "shift": 1, CLONE: 2}


def gaussian_clone(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images in place of others: of each class with the same mean and covariance, else Gaussian.

    The n images of a class less their mean are multiplied by a random n x n rotation that leaves the mean at 0
    (Langsrud 2005): each clone is their sum with n nearly Gaussian weights, and sums of squares and products
    stay what they were. No covariance matrix of all pixels is ever made. Classes of more than `MOST` images are
    cloned in parts, whose means and covariances stay each.
    """
    found = np.empty_like(images)
    for label in np.unique(labels):
        rng = _rng(CLONE, int(label))
        mixed = rng.permutation(np.flatnonzero(labels == label))
        for rows in np.array_split(mixed, -(-len(mixed) // MOST)):
            found[rows] = _rotated(images[rows].astype(float), rng)
    return found


def _rotated(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (n, ...) turned into each other at random, with the same mean and covariance."""
    from scipy.linalg import helmert  # slow to import

    count = len(images)
    drawn = np.column_stack([np.ones(count), rng.standard_normal((count, count - 1))])
    frame = np.linalg.qr(drawn)[0][:, 1:] * rng.choice(
        [-1, 1], count - 1
    )  # orthogonal to the mean, as
    flat = images.reshape(count, -1)  # Helmert's matrix is
    return (flat.mean(0) + frame @ (helmert(count) @ flat)).reshape(images.shape)


def _rng(kind: str, row: int) -> np.random.Generator:
    return np.random.default_rng([_CORRUPTED, _STREAMS[kind], row])


_CORRUPTED = 5  # apart from every seed's and every control's streams
