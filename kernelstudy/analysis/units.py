"""What channels do with images of several classes: class selectivity and dead channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def class_selectivity(activations: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """(largest class mean - mean of the others) / (their sum), in [0, 1] (Morcos et al. 2018).

    activations: (..., example, channel), each a mean over the map; labels: (example,) ->
    (..., channel). 0: the same for every class; 1: one class alone. Negative activations count as
    none; NaN for a channel that is never active. Blind to: channels that tell two classes from the rest.
    """
    values = np.maximum(np.asarray(activations, dtype=np.float64), 0)
    labels = np.asarray(labels)
    classes = np.unique(labels)
    if values.ndim < 2 or values.shape[-2] != len(labels):
        raise ValueError(f"activations must be (..., {len(labels)}, channel), not {values.shape}")
    if len(classes) < 2:
        raise ValueError("labels must hold two classes or more")
    means = np.stack([values[..., labels == c, :].mean(axis=-2) for c in classes])
    largest = means.max(axis=0)
    others = (means.sum(axis=0) - largest) / (len(classes) - 1)
    total = largest + others
    return (largest - others) / np.where(total > 0, total, np.nan)


def dead(features: ArrayLike) -> np.ndarray:
    """Channels that answer the same to every image, as a rectified one that is never above 0.

    features: (..., example, cell, channel) -> bool (..., channel).
    """
    values = np.asarray(features)
    return (values == values[..., :1, :, :]).all(axis=(-3, -2))
