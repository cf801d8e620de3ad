"""What a layer's features hold, and when they become what they end as."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve

from .inference import FEWEST, sign_flip_test

SETTLED = 0.95  # of CKA with the final state
PENALTY = 10.0  # of the linear probe's ridge
OF_ITS_WAY = 0.9  # from where a layer starts to 1


def effective_rank(features: ArrayLike) -> float:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007, eq. 3), centred.

    features: (example, p). From 1 (one direction) to the number of directions, all alike; NaN where
    all examples are alike. Blind to: scale.
    """
    x = _features(features)
    x = x - x.mean(axis=0)
    small = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(small), 0))
    # squaring loses half the digits: what is below that of the largest is rounding
    values = values[values > 1e-7 * values.max()] if values.max() > 0 else values[:0]
    if not len(values):
        return float("nan")
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def linear_probe(features: ArrayLike, labels: ArrayLike) -> float:
    """How much of the classes a linear reading finds: the part of examples it names right.

    features: (example, p), labels: (example,). Ridge regression (Hoerl & Kennard 1970) onto a column
    of +1 and -1 for each class, as scikit-learn's `RidgeClassifier` has it, on standardised features;
    fitted on the even examples and scored on the odd ones, and the other way round. NaN where one half
    holds a single class, or features are not finite.
    """
    x, labels = _features(features), np.asarray(labels)
    if labels.shape != x.shape[:1]:
        raise ValueError(f"labels must have shape {x.shape[:1]}, not {labels.shape}")
    halves = [np.arange(len(x)) % 2 == part for part in (0, 1)]
    if not np.isfinite(x).all() or any(len(np.unique(labels[h])) < 2 for h in halves):
        return float("nan")
    classes = np.unique(labels)
    columns, right = np.where(labels[:, None] == classes, 1.0, -1.0), 0
    for fit in halves:
        mean, spread = x[fit].mean(axis=0), x[fit].std(axis=0)
        scaled = (x - mean) / np.where(spread > 0, spread, 1)
        offset = columns[fit].mean(axis=0)
        weights = _ridge(scaled[fit], columns[fit] - offset)
        named = classes[(scaled[~fit] @ weights + offset).argmax(axis=1)]
        right += int((named == labels[~fit]).sum())
    return right / len(x)


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (p, columns) of ridge regression of y (example, columns) on x (example, p), by Cholesky.

    As scikit-learn's `ridge_regression` computes it, whose checks take longer than that.
    """
    wide = x.shape[1] > len(x)
    products = x @ x.T if wide else x.T @ x
    products.flat[:: len(products) + 1] += PENALTY
    if wide:
        return x.T @ solve(products, y, assume_a="pos", overwrite_a=True)
    return solve(products, x.T @ y, assume_a="pos", overwrite_a=True)


def settling_step(similarity: ArrayLike, steps: ArrayLike, *, level: float = SETTLED) -> float:
    """The first step from which on `similarity` to the final state never again falls below `level`.

    similarity, steps: (step,), the last the final state. NaN where it is not known.
    """
    s, steps = np.asarray(similarity, dtype=np.float64), np.asarray(steps)
    if s.shape != steps.shape or s.ndim != 1 or not len(s):
        raise ValueError(f"similarity and steps must be alike, not {s.shape} and {steps.shape}")
    if np.isnan(s).any() or s[-1] < level:
        return float("nan")
    below = np.flatnonzero(s < level)
    return float(steps[below[-1] + 1]) if len(below) else float(steps[0])


def way_level(similarity: ArrayLike) -> float:
    """The similarity at which `OF_ITS_WAY` from its start to 1 is done."""
    start = float(np.asarray(similarity, dtype=np.float64)[0])
    return start + OF_ITS_WAY * (1 - start)


def order_of_layers(settled: ArrayLike) -> tuple[np.ndarray, float, str]:
    """Do lower layers settle first? (network, layer) steps -> Kendall's tau a network, p, the answer.

    tau: 1 strictly bottom-up, -1 top-down; ties count as 0. p is the exact sign-flip test's over
    networks, NaN below 6 of them. The answer: bottom-up, top-down or unresolved.
    """
    steps = np.asarray(settled, dtype=np.float64)
    if steps.ndim != 2 or steps.shape[1] < 2:
        raise ValueError(
            f"settled must be (network, layer) with two layers or more, not {steps.shape}"
        )
    low, high = np.triu_indices(steps.shape[1], 1)
    tau = np.sign(steps[:, high] - steps[:, low]).mean(axis=1)
    known = tau[np.isfinite(tau)]
    if len(known) < FEWEST:
        return tau, float("nan"), "unresolved"
    p = float(sign_flip_test(known))
    decided = p <= 0.05 and known.mean() != 0
    return tau, p, ("bottom-up" if known.mean() > 0 else "top-down") if decided else "unresolved"


def _features(features: ArrayLike) -> np.ndarray:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"features must be (example, p), not {x.shape}")
    return x
