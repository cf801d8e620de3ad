"""First layers of colour networks in colour: zero is mid-grey, and the whole layer has one scale."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from kernelstudy.comparison.measure import LayerMeasures
from kernelstudy.reporting.colour import kernels_rgb
from kernelstudy.reporting.style import DIVERGING, styled

SHOWN, COLUMNS = 64, 16
_SIDE, _GAP = 20, 3  # pixels of a picture at least, and between two


def colour_gallery(layer: LayerMeasures, kernels_hwio: np.ndarray) -> Figure:
    """Filters in colour, and below each its dominant spatial profile, strongest first; both on one scale."""
    pictures = kernels_rgb(kernels_hwio)
    order = np.argsort(-np.linalg.norm(pictures.reshape(len(pictures), -1) - 0.5, axis=1))[:SHOWN]
    profiles = layer.subject.kernels[0]
    peak = np.abs(profiles).max() or 1.0
    rows = -(-len(order) // COLUMNS)
    with styled():
        figure = Figure(figsize=(9, 0.5 + 1.25 * rows))
        axes = figure.subplots(2, 1, squeeze=True)
        axes[0].imshow(_tiled(pictures[order], np.ones(3)), interpolation="nearest")
        grey = _tiled(profiles[order][..., None] / peak, np.full(1, np.nan))[..., 0]
        axes[1].imshow(grey, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        titles = ("In colour: zero is mid-grey", "Dominant spatial profile")
        for one, title in zip(axes, titles, strict=True):
            one.set_title(
                f"{title} ({len(order)} of {len(pictures)} filters)", loc="left", fontsize=8
            )
            one.set_axis_off()
    return figure


def _tiled(pictures: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(n, k, k, c) in rows of `COLUMNS`, enlarged, on a background (c,)."""
    n, size, _, channels = pictures.shape
    zoom = -(-_SIDE // size)
    side = size * zoom + _GAP
    canvas = np.broadcast_to(background, (-(-n // COLUMNS) * side, COLUMNS * side, channels)).copy()
    for i, picture in enumerate(pictures):
        top, left = i // COLUMNS * side, i % COLUMNS * side
        large = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        canvas[top : top + side - _GAP, left : left + side - _GAP] = large
    return canvas
