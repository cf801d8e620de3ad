"""Principal axes of image patches, from a directory of images, a data set or an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.analysis.theory import patch_pca

TILE, TILES = 64, 4096  # pixels a side; how many at most
_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def patch_basis(images: Any, size: int) -> tuple[np.ndarray, str]:
    """The basis (size^2, size^2) of grey patches, an axis a row, and which images it is of.

    images: (N, H, W[, C]), a directory, or the name of a data set.

    Raises:
        ValueError: no such directory or data set, no image in it that can be read, or too small ones.
    """
    if not isinstance(images, str | Path):
        array = np.asarray(images, dtype=np.float64)
        if array.ndim not in (3, 4):
            raise ValueError(f"images must be (N, H, W) or (N, H, W, C), not {array.shape}")
        grey, source = array.mean(axis=-1) if array.ndim == 4 else array, f"{len(array):,} images"
    elif Path(images).is_dir():
        grey, source = _directory_tiles(Path(images))
    else:
        grey, source = _data_set_images(str(images))
    return patch_pca(grey, size)[1], source


def _directory_tiles(folder: Path) -> tuple[np.ndarray, str]:
    from kernelstudy.data.image_files import read_image

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _ENDINGS)
    tiles, count = [], 0
    for path in files:
        image = read_image(path)
        side = min(TILE, *image.shape)
        if side < TILE:
            continue
        count += 1
        rows, columns = (n // TILE for n in image.shape)
        cut = image[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
        tiles.append(cut.swapaxes(1, 2).reshape(-1, TILE, TILE))
        if sum(map(len, tiles)) >= TILES:
            break
    if not tiles:
        raise ValueError(f"--images: {folder} holds no image of {TILE} x {TILE} pixels or more")
    return np.concatenate(tiles)[:TILES], f"{count} of the images in {folder.name}"


def _data_set_images(name: str) -> tuple[np.ndarray, str]:
    from kernelstudy.config import DATA_SETS
    from kernelstudy.system.errors import near_miss

    if name not in DATA_SETS:
        raise ValueError(
            f"--images: {name!r} is neither a directory nor one of the data sets "
            f"{', '.join(DATA_SETS)}{near_miss(name, DATA_SETS)}"
        )
    from kernelstudy.data.images import load

    data = load(name)
    return data.sample().mean(axis=-1), f"the training images of {name}"
