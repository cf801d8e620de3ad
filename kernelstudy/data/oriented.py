"""Synthetic images whose edges have known orientations and blur.

An image holds one to four parallel edges, and their number is its class: a single edge, a bar, a
bar and an edge, two bars. The direction of all its gradients (the normal of its edges) is drawn
from von Mises' distribution on the circle of doubled angles, for an edge and its opposite are one
orientation: density ~ exp(concentration * cos 2(angle - orientation)). Every edge is a step
blurred by a Gaussian, in closed form: contrast * Phi(distance / blur). So gradients, their
orientations and the width of edges are known exactly.
"""

import numpy as np

from kernelstudy.data import Part, Parts

SIDE, CLASSES = 28, 4
TRAIN, TEST = 4000, 1000
REACH, GAP = 11.0, 4.0  # edges within so many pixels of the centre, and at least so far apart
LOW, HIGH = 0.4, 1.0  # contrasts, as parts of the pixel range


def oriented(orientation: float, concentration: float, blur: float) -> Parts:
    """4,000 images to train on and 1,000 to test, (N, 28, 28, 1) uint8; classes 0..3."""
    parts = []
    for stream, count in enumerate((TRAIN, TEST)):
        images, labels, _ = draw(
            np.random.default_rng(stream), count, orientation, concentration, blur
        )
        parts.append(Part(np.rint(255 * images).astype(np.uint8)[..., None], labels))
    return Parts(*parts)


def draw(
    rng: np.random.Generator, count: int, orientation: float, concentration: float, blur: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (count, 28, 28) from 0 to 1, labels (count,) and angles (count,) of their gradients.

    Args:
        orientation: mean direction of the gradients, degrees; 0: brightness changes along x, 90:
            along y.
        concentration: of the orientations; 0: all alike.
        blur: standard deviation of the edges' profile, pixels.
    """
    from scipy.special import ndtr

    angles = (rng.vonmises(0.0, concentration, count) / 2 + np.deg2rad(orientation)) % np.pi
    labels = (np.arange(count) % CLASSES).astype(np.int32)
    labels = labels[rng.permutation(count)]
    # Sorted uniform numbers, then spread by the gap: uniform over all that keep it.
    edges = labels + 1
    free = 2 * REACH - (edges - 1) * GAP
    uniform = np.sort(
        np.where(np.arange(CLASSES) < edges[:, None], rng.random((count, CLASSES)), 2)
    )
    offsets = -REACH + uniform * free[:, None] + np.arange(CLASSES) * GAP
    polarity = rng.choice([-1, 1], count)
    contrast = rng.uniform(LOW, HIGH, count)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    along = x * np.cos(angles)[:, None, None] + y * np.sin(angles)[:, None, None]
    profile = np.zeros((count, SIDE, SIDE))
    for edge in range(CLASSES):
        rise = ndtr((along - offsets[:, edge, None, None]) / blur)
        present = (edge < edges) * (-1) ** edge
        profile += present[:, None, None] * rise
    signed = polarity[:, None, None] * (profile - 0.5)
    return 0.5 + contrast[:, None, None] * signed, labels, angles
