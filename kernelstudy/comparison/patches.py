"""Principal axes of image patches, from a directory of images, a data set or an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.analysis.theory import check_images, patch_pca, patch_pca_of
from kernelstudy.system.errors import InputError

TILE, TILES = 64, 4096  # pixels a side; how many at most
_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def patch_basis(images: Any, size: int) -> tuple[np.ndarray, str]:
    """`patch_axes` without the eigenvalues."""
    _, basis, source = patch_axes(images, size)
    return basis, source


def patch_axes(images: Any, size: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Eigenvalues (size^2,) and basis (size^2, size^2) of grey patches, an axis a row, and of which images.

    images: (N, H, W[, C]), a directory, or the name of a data set.

    Raises:
        ValueError: no such directory or data set, no image in it that can be read, or too small ones.
    """
    if not isinstance(images, str | Path):
        array = np.asarray(images, dtype=np.float64)
        check_images(array.shape)
        grey, source = array.mean(axis=-1) if array.ndim == 4 else array, f"{len(array):,} images"
        values, axes = patch_pca(grey, size)
        return values, axes, source
    if Path(images).is_dir():
        stacks, source = _directory_tiles(Path(images), size)
        values, axes = patch_pca_of(stacks, size)
        return values, axes, source
    grey, source = _data_set_images(str(images))
    values, axes = patch_pca(grey, size)
    return values, axes, source


def _directory_tiles(folder: Path, size: int) -> tuple[list[np.ndarray], str]:
    """Stacks of tiles, each of one size: of `TILE` pixels, or whole images that are smaller."""
    from kernelstudy.data.image_files import read_image

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
    stacks: list[np.ndarray] = []
    unread, small = [], 0
    for path in files:
        try:
            image = read_image(path)
        except InputError as error:
            unread.append(str(error))
            continue
        if min(image.shape) < size:
            small += 1
            continue
        height, width = (min(TILE, n) for n in image.shape)
        rows, columns = image.shape[0] // height, image.shape[1] // width
        cut = image[: rows * height, : columns * width].reshape(rows, height, columns, width)
        stacks.append(cut.swapaxes(1, 2).reshape(-1, height, width))
        if sum(map(len, stacks)) >= TILES:
            stacks[-1] = stacks[-1][: TILES - sum(map(len, stacks[:-1]))]
            break
    if not stacks:
        why = f": {unread[0]}" if unread else f" of {size} x {size} pixels or more"
        raise ValueError(f"--images: {folder} holds no image{why}")
    told = f"{len(stacks)} of the {len(files)} images in {folder.name}"
    if unread:
        told += f"; {len(unread)} could not be read, first {unread[0]}"
    if small:
        told += f"; {small} smaller than the kernels"
    return stacks, told


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
