"""A figure in the colours of a dark page: what is white or black changes places, what is coloured stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure, FigureBase

# As in assets/report.css.
GROUND, TEXT = "#15181b", "#e6e9eb"
AS_IT_IS = "as it is"  # gid of what stands on a colour of its own, and keeps its own
_COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
_GREY = 0.1  # between the largest and the smallest of red, green and blue, at most
_SEEN_ON_BOTH = (0.45, 0.75)  # greys that stay


def darken(figure: Figure) -> None:
    """Change the colours of all artists, in place. Pictures keep theirs."""
    for artist in figure.findobj():
        # figures and axes pass on the colour of their patches, which come by themselves
        if isinstance(artist, FigureBase | Axes):
            continue
        if artist.get_gid() == AS_IT_IS or _is_mapped(artist):
            continue
        # all are read before any is set: a marker's may be its line's
        pairs = [
            [getattr(artist, f"{verb}_{n}", None) for verb in ("get", "set")] for n in _COLOURS
        ]
        for colour, put in [(get(), put) for get, put in pairs if get and put]:
            _change(colour, put)


def _is_mapped(artist: Artist) -> bool:
    """Whether its colours stand for numbers."""
    return isinstance(artist, ScalarMappable) and artist.get_array() is not None


def _change(colour: Any, put: Any) -> None:
    if isinstance(colour, str) and colour in ("none", "auto", "face"):
        return
    changed = in_dark(to_rgba_array(colour))
    if len(changed):
        put(changed[0] if len(changed) == 1 else changed)


def in_dark(colours: np.ndarray) -> np.ndarray:
    """RGBA (n, 4) as on a dark ground: greys from the ground's for white to the text's for black."""
    rgb = colours[:, :3]
    level = rgb.mean(axis=1)
    low, high = _SEEN_ON_BOTH
    turns = (np.ptp(rgb, axis=1) < _GREY) & ((level < low) | (level > high))
    ground, text = to_rgba_array([GROUND, TEXT])[:, :3]
    turned = ground + (1 - level[:, None]) * (text - ground)
    return np.hstack([np.where(turns[:, None], turned, rgb), colours[:, 3:]])
