"""kernels.gif: the kernels of every arm's first network over training."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from PIL import Image, ImageDraw, ImageFont

from kernelstudy.reporting.style import DIVERGING
from kernelstudy.system.files import replacing

CHANNELS, ARMS = 16, 8  # shown, the first
SIDE, GAP, HEAD, LABEL = 36, 4, 26, 17  # pixels
FRAME, LAST = 250, 1500  # milliseconds


def kernels_gif(trajectory: xr.Dataset, kernels: np.ndarray, folder: Path) -> Path:
    """Write <folder>/kernels.gif: a frame a log point, a row an arm, symmetric scales, one a row and frame.

    `kernels`: the trajectory's `spatial_kernels`.
    """
    kernels = np.nan_to_num(kernels[:ARMS, 0, :, :CHANNELS])
    arms = [str(a) for a in trajectory["arm"].values[:ARMS]]
    scale = np.abs(kernels).max(axis=(2, 3, 4), keepdims=True)
    colours = mpl.colormaps[DIVERGING](np.arange(256), bytes=True)[:, :3]
    shown = kernels / np.where(scale > 0, scale, 1)
    bytes_ = np.round(127.5 * (1 + shown)).clip(0, 255).astype(np.uint8)
    frames = [
        _frame(bytes_[:, i], arms, f"step {int(step):,}", colours)
        for i, step in enumerate(trajectory["step"].values)
    ]
    path = folder / "kernels.gif"
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[FRAME] * (len(frames) - 1) + [LAST],
            loop=0,
        )
    return path


def _frame(kernels: np.ndarray, arms: list[str], title: str, colours: np.ndarray) -> Image.Image:
    """One picture of kernels (arm, channel, k, k) as bytes: indexed colours, the last two black and white."""
    count, shown, size, _ = kernels.shape
    side = max(1, SIDE // size) * size
    cell, row = side + GAP, side + GAP + LABEL
    black, white = 254, 255
    picture = np.full((HEAD + count * row, GAP + shown * cell), white, np.uint8)
    for arm, channel in np.ndindex(count, shown):
        top, left = HEAD + arm * row + LABEL, GAP + channel * cell
        tile = np.kron(kernels[arm, channel], np.ones((side // size,) * 2, np.uint8))
        picture[top : top + side, left : left + side] = np.minimum(tile, 253)
    image = Image.fromarray(picture).convert("P")
    palette = colours.copy()
    palette[[black, white]] = [[0, 0, 0], [255, 255, 255]]
    image.putpalette(palette.ravel().tolist())
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    draw.fontmode = "1"
    draw.text((GAP, 4), title, fill=black, font=font)
    for arm, name in enumerate(arms):
        draw.text((GAP, HEAD + arm * row), name[:40], fill=black, font=font)
    return image
