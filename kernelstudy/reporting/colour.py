"""Filters that see three colours, as pictures: zero is mid-grey."""

from __future__ import annotations

import numpy as np
import xarray as xr

CHANNELS = 3


def kernels_rgb(kernels_hwio: np.ndarray) -> np.ndarray:
    """Filters on three channels as pictures: (kh, kw, 3, out) -> (out, kh, kw, 3) within 0 and 1.

    A weight of 0 is 0.5 in its channel, and the largest |weight| of the layer is 0 or 1. Whether the
    channels are R, G, B or B, G, R is for the caller to know. ValueError for other numbers of channels.
    """
    kernels = np.asarray(kernels_hwio, dtype=np.float64)
    if kernels.ndim != 4 or kernels.shape[2] != CHANNELS:
        raise ValueError(f"kernels must be (kh, kw, 3, out), not {kernels.shape}")
    return rgb(kernels.transpose(3, 0, 1, 2))


def rgb(filters: np.ndarray) -> np.ndarray:
    """Filters (..., 3) as pictures on one scale, within 0 and 1; weights that are not finite as 0."""
    finite = np.nan_to_num(filters, posinf=0, neginf=0)
    return 0.5 + finite / (2 * (np.abs(finite).max(initial=0) or 1.0))


def filters_of(trajectory: xr.Dataset) -> np.ndarray | None:
    """A trajectory's filters (arm, seed, step, channel, ky, kx, 3); None where they see no three colours."""
    if trajectory.sizes["cin"] != CHANNELS:
        return None
    dims = ("arm", "seed", "step", "cout", "ky", "kx", "cin")
    return trajectory["kernel"].transpose(*dims).values.astype(float)
