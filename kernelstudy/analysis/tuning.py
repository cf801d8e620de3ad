"""What a channel is tuned to, from its responses to gratings and to other stimuli (`stimuli`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import wrapped


def resultant(responses: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """sum R exp(2 i angle) / sum R over the last axis: (..., orientation) -> (...), complex.

    responses: not negative; angles: radians, evenly over a half or a whole turn. NaN where nothing
    responds.
    """
    r = _responses(responses, np.shape(angles)[-1])
    total = r.sum(axis=-1)
    turned = (r * np.exp(2j * np.asarray(angles))).sum(axis=-1)
    return np.where(total > 0, turned / np.where(total > 0, total, 1), np.nan)


def circular_variance(responses: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """1 - |resultant|: 0 for one orientation alone, 1 for none preferred (Ringach et al. 2002, eq. 1).

    (..., orientation) -> (...). A half-rectified derivative, |cos|, has 2/3. Blind to: a constant
    response that is there without a stimulus raises it; two lobes at right angles cancel.
    """
    return 1 - np.abs(resultant(responses, angles))


def preferred_orientation(responses: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Direction of the resultant in degrees, in [0, 180): (..., orientation) -> (...).

    It is the direction in which brightness changes; an edge runs at right angles to it. Meaningless
    where the circular variance is near 1.
    """
    return direction_of(resultant(responses, angles))


def direction_of(resultants: ArrayLike) -> np.ndarray:
    """Direction of complex resultants in degrees, in [0, 180); NaN of those that are NaN."""
    return wrapped(np.rad2deg(np.angle(np.asarray(resultants))) / 2, 180)


def orientation_selectivity(responses: ArrayLike) -> np.ndarray:
    """(best - orthogonal) / (best + orthogonal): 0 alike, 1 nothing at a right angle to the best.

    (..., orientation) -> (...), an even number of orientations evenly over 180 degrees. NaN where
    nothing responds.
    """
    r = np.asarray(responses, dtype=np.float64)
    count = r.shape[-1]
    if count < 2 or count % 2:
        raise ValueError(f"responses must have an even number of orientations, not {count}")
    r = _responses(r, count)
    best = r.argmax(axis=-1)[..., None]
    high, low = (
        np.take_along_axis(r, index, axis=-1)[..., 0]
        for index in (best, (best + count // 2) % count)
    )
    return (high - low) / np.where(high + low > 0, high + low, np.nan)


def tuning_curve(gratings: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The orientation curve at the frequency that holds the largest response, and which that is.

    gratings: (..., orientation, frequency) -> (..., orientation), (...) index.
    """
    r = np.nan_to_num(np.asarray(gratings, dtype=np.float64))
    best = r.max(axis=-2).argmax(axis=-1)
    curve = np.take_along_axis(r, best[..., None, None], axis=-1)[..., 0]
    return curve, best


def preferred_frequency(gratings: ArrayLike, frequencies: ArrayLike) -> np.ndarray:
    """The frequency of the largest response: (..., orientation, frequency) -> (...).

    In the unit of `frequencies`; NaN where nothing responds.
    """
    r = _responses(gratings, np.shape(frequencies)[-1])
    found = np.asarray(frequencies, dtype=np.float64)[tuning_curve(r)[1]]
    return np.where(r.max(axis=(-2, -1)) > 0, found, np.nan)


def on_off(bright: ArrayLike, dark: ArrayLike) -> np.ndarray:
    """(bright - dark) / (bright + dark): 1 answers to bright spots alone, -1 to dark ones alone.

    Negative responses count as none. NaN where neither is answered.
    """
    on, off = (np.maximum(np.asarray(r, dtype=np.float64), 0) for r in (bright, dark))
    return (on - off) / np.where(on + off > 0, on + off, np.nan)


def kind_index(responses: ArrayLike, kinds: ArrayLike, kind: str) -> np.ndarray:
    """How far the best stimulus of one kind stands above the best of all other kinds, in [-1, 1].

    responses: (..., stimulus), `kinds` names each; (best of kind - best of others) / their sum, where
    negative responses count as none. NaN where nothing responds.
    """
    r = np.maximum(np.asarray(responses, dtype=np.float64), 0)
    mine = np.asarray(kinds) == kind
    if mine.all() or not mine.any():
        raise ValueError(
            f"kinds must hold {kind!r} and others, not {sorted(set(np.asarray(kinds)))}"
        )
    own, other = r[..., mine].max(axis=-1), r[..., ~mine].max(axis=-1)
    return (own - other) / np.where(own + other > 0, own + other, np.nan)


def _responses(responses: ArrayLike, count: int) -> np.ndarray:
    r = np.asarray(responses, dtype=np.float64)
    if r.shape[-1:] != (count,):
        raise ValueError(f"responses must have {count} values on their last axis, not {r.shape}")
    if np.any(r < 0):
        raise ValueError("responses must not be negative")
    return r
