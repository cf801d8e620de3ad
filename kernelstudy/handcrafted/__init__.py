"""The kernels that people designed by hand, as NumPy arrays with their sources. No JAX here."""

from kernelstudy.handcrafted.entries import GROUPS
from kernelstudy.handcrafted.lookup import Info, bank, family, info, kernel, names, steer

__all__ = ["GROUPS", "Info", "bank", "family", "info", "kernel", "names", "steer"]
