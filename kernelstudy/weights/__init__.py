"""Readers of files of many formats: named convolution layers, read safely. No JAX, nothing is executed."""

from .choice import choose
from .layer import LAYOUTS, Layer, Network, WeightsError, with_layout
from .limits import Limits
from .recognise import FORMATS, read
from .roles import role_of

__all__ = [
    "FORMATS",
    "LAYOUTS",
    "Layer",
    "Limits",
    "Network",
    "WeightsError",
    "choose",
    "read",
    "role_of",
    "with_layout",
]
