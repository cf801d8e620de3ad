"""Anybody's weights: files of many formats as named convolution layers, read safely. No JAX here."""

from .choice import choose
from .layer import LAYOUTS, Layer, Network, WeightsError, with_layout
from .limits import Limits
from .opening import Opened, listing, open_any
from .recognise import FORMATS, read

__all__ = [
    "FORMATS",
    "LAYOUTS",
    "Layer",
    "Limits",
    "Network",
    "Opened",
    "WeightsError",
    "choose",
    "listing",
    "open_any",
    "read",
    "with_layout",
]
