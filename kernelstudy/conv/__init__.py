"""Filtering with JAX: `correlation` of images with kernels, and `bands` of images over devices."""

from kernelstudy.conv.bands import spread
from kernelstudy.conv.correlation import IMPLS, apply_bank, convolve, correlate
from kernelstudy.handcrafted.linear import as_matrix

__all__ = ["IMPLS", "apply_bank", "as_matrix", "convolve", "correlate", "spread"]
