"""Synthetic images whose responses tell what a channel is tuned to. NumPy only.

Pixels are standardised in every data set (mean 0, variance 1), so stimuli have mean 0 as their ground and
contrast in units of the images' own standard deviation: gratings vary as much as images do on average.
Directions are those in which an image brightens, from x (right) to y (down), as in the bank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ORIENTATIONS = 16  # of gratings over 180 degrees: the direction across the bars
PHASES = 4
# Cycles a pixel, an octave apart but for the last: from one period in 16 pixels to near Nyquist's.
FREQUENCIES = (1 / 16, 1 / 8, 1 / 6, 1 / 4, 3 / 8)
CONTRAST = float(np.sqrt(2.0))  # amplitude of a grating: its variance is 1

_TURNS = 8  # directions of edges, ramps and corners; bars have half as many


class Stimulus(NamedTuple):
    """What one local stimulus is: its kind, its direction (degrees; NaN: none), +1 bright or -1 dark."""

    kind: str
    direction: float
    polarity: int


def angles() -> np.ndarray:
    """Orientations of the gratings in radians (16,), over [0, pi)."""
    return np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS


def gratings(height: int, width: int) -> np.ndarray:
    """Sine gratings (orientation, frequency, phase, H, W); phases 0, 90, 180, 270 degrees.

    At orientation t brightness changes along (cos t, sin t) and is constant across it, so that
    Sobel x answers most at t = 0 and Sobel y at t = 90 degrees.
    """
    y, x = _centred(height, width)
    theta = angles()[:, None, None, None, None]
    frequency = np.array(FREQUENCIES)[None, :, None, None, None]
    phase = (np.arange(PHASES) * 2 * np.pi / PHASES)[None, None, :, None, None]
    along = x * np.cos(theta) + y * np.sin(theta)
    return CONTRAST * np.sin(2 * np.pi * frequency * along + phase)


def local(height: int, width: int) -> tuple[list[Stimulus], np.ndarray]:
    """Edges, ramps, bars, corners, blobs, impulses and plain fields: their names and (S, H, W).

    Edges go from -1 to 1; all else stands on a ground of 0. A corner of direction t is a quadrant that opens
    towards t from the middle.
    Bars are 3 pixels wide, blobs have a standard deviation of 1.5 and 3 pixels; both are dark as well.
    Plain fields are at -1, 0 and 1.
    """
    y, x = _centred(height, width)
    named: list[Stimulus] = []
    images: list[np.ndarray] = []

    def put(kind: str, direction: float, polarity: int, image: np.ndarray) -> None:
        named.append(Stimulus(kind, direction, polarity))
        images.append(polarity * CONTRAST * image)

    reach = max(height, width) / 2
    for turn in range(_TURNS):
        theta = 2 * np.pi * turn / _TURNS
        along = x * np.cos(theta) + y * np.sin(theta)
        across = y * np.cos(theta) - x * np.sin(theta)
        degrees = 360.0 * turn / _TURNS
        put("edge", degrees, 1, np.tanh(2 * along))
        put("ramp", degrees, 1, along / reach)
        inside = (along >= np.abs(across)).astype(float)
        for polarity in (1, -1):
            put("corner", degrees, polarity, 2 * inside)
    for turn in range(_TURNS // 2):
        theta = np.pi * turn / (_TURNS // 2)
        along = x * np.cos(theta) + y * np.sin(theta)
        for polarity in (1, -1):
            bar = (np.abs(along) <= 1.5).astype(float)
            put("bar", 180.0 * turn / (_TURNS // 2), polarity, 2 * bar)
    for polarity in (1, -1):
        for sigma in (1.5, 3.0):
            put("blob", np.nan, polarity, 2 * np.exp(-(x**2 + y**2) / (2 * sigma**2)))
        at = np.zeros((height, width))
        at[height // 2, width // 2] = 2
        put("impulse", np.nan, polarity, at)
        put("plain", np.nan, polarity, np.full((height, width), 1 / CONTRAST))
    put("plain", np.nan, 1, np.zeros((height, width)))
    return named, np.stack(images)


def coords() -> dict[str, list]:
    """What each answer to a stimulus is an answer to, by the names that a trajectory gives them."""
    named, _ = local(3, 3)
    kinds, directions, polarities = (list(column) for column in zip(*named, strict=True))
    return {
        "orientation": np.rad2deg(angles()).tolist(),
        "frequency": list(FREQUENCIES),
        "stimulus_kind": kinds,
        "stimulus_direction": directions,
        "stimulus_polarity": polarities,
    }


def _centred(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates (y, x) from the pixel that an impulse is at."""
    y, x = np.mgrid[:height, :width].astype(float)
    return y - height // 2, x - width // 2
