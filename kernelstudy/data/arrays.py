"""Images and labels in an .npz file. Their layout is held to what is allowed, and never guessed."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.data.options import Data
from kernelstudy.data.packages import split
from kernelstudy.system import files, limits
from kernelstudy.system.errors import first_line

TEST = 0.2  # of each class, where no arrays say which images are to test on
WHOLE = ("images", "labels")
APART = ("train_images", "train_labels", "test_images", "test_labels")


def read(data: Data) -> Parts:
    """The images (N, H, W, C) uint8 and labels of `data.path`.

    The file holds images and labels, of which every fifth of a class is to test on, or train_images,
    train_labels, test_images and test_labels. Images are (N, H, W) or (N, H, W, C) with C of 1 or 3; uint8, or
    floats, whose white `data.white` says (1 or 255). Labels are whole numbers from 0, without gaps; where
    `data.task` is not to tell classes, they may be missing.

    Raises:
        DataError: the file cannot be read, or is not such.
    """
    path = Path(str(data.path)).expanduser()
    found, needs_labels = _load(path), data.task == "class"
    names = APART if "train_images" in found else WHOLE
    wanted = [name for name in names if needs_labels or name.endswith("images")]
    if absent := [name for name in wanted if name not in found]:
        raise DataError(
            f"data.path: {path} has no array {absent[0]}, only {', '.join(found) or 'none'}; it must hold "
            f"{' and '.join(WHOLE)}, or {', '.join(APART)}"
        )
    parts = []
    for images, labels in zip(names[::2], names[1::2], strict=True):
        pixels = _bytes(found[images], f"{images} of {path}", data.white)
        known = found[labels] if needs_labels else np.zeros(len(pixels), int)
        parts.append(Part(pixels, _labels(known, len(pixels), f"{labels} of {path}")))
    if names is WHOLE:
        (whole,) = parts
        _check_classes(path, whole.labels, 3, needs_labels)
        return split(*whole, test=TEST)
    train, test = parts
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = " and ".join(str(part.images.shape[1:]) for part in parts)
        raise DataError(f"data.path: the images of {path} to train and to test on differ, {shapes}")
    _check_classes(path, train.labels, 1, needs_labels)
    if (unknown := test.labels.max()) > train.labels.max():
        raise DataError(f"data.path: {path} has class {unknown} in test_labels alone")
    return Parts(train, test)


def fingerprint(data: Data) -> str:
    """Size and times of the file.

    Raises:
        DataError: there is no such file.
    """
    path = Path(str(data.path)).expanduser()
    try:
        with files.opened(path):
            stat = path.stat()
    except OSError as error:
        raise DataError(f"data.path: {path} cannot be read ({error.strerror or error})") from error
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}-{stat.st_ctime_ns:x}"


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file that are asked for, as many as fit half of the memory."""
    try:
        with files.opened(path) as file, zipfile.ZipFile(file) as archive:
            members = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
            wanted = [name for name in members if name in (*WHOLE, *APART)]
            size = sum(archive.getinfo(f"{name}.npy").file_size for name in wanted)
            if size > limits.memory() // 4:
                raise DataError(
                    f"data.path: {path} holds {size / 2**30:.1f} GiB of arrays, more than a quarter of this "
                    "machine's memory; files in a folder are read one by one (data=folder)"
                )
            found: dict[str, Any] = dict.fromkeys(members)
            for name in wanted:
                with archive.open(f"{name}.npy") as member, limits.memory_bound(2 * size + 2**28):
                    found[name] = np.lib.format.read_array(member, allow_pickle=False)
            return found
    except DataError:
        raise
    except zipfile.BadZipFile as error:
        raise DataError(f"data.path: {path} is no .npz file, as numpy.savez writes it") from error
    except OSError as error:
        raise DataError(f"data.path: {path} cannot be read ({error.strerror or error})") from error
    except (
        ValueError,
        EOFError,
        MemoryError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise DataError(f"data.path: {path} is damaged ({first_line(error)[:200]})") from error


def _bytes(images: np.ndarray, what: str, white: int | None) -> np.ndarray:
    """(N, H, W, C) uint8."""
    shape = " x ".join(map(str, images.shape))
    if (
        not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
        or not images.size
    ):
        first = images.ndim == 4 and images.shape[1] in (1, 3)
        raise DataError(
            f"data.path: the {what} are {shape}, not N x H x W or N x H x W x C with C of 1 or 3"
            f"{'; colours come last: images.transpose(0, 2, 3, 1)' if first else ''}"
        )
    images = images if images.ndim == 4 else images[..., None]
    if images.dtype == np.uint8:
        if white is not None:
            raise DataError(f"data.white: the {what} are uint8, whose white is 255; leave it out")
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DataError(
            f"data.path: the {what} are {images.dtype}, neither uint8 nor floats; images.astype(numpy.uint8)"
        )
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite([low, high]).all() and low >= 0 and high <= (white or 255)):
        raise DataError(
            f"data.path: the {what} have values from {low:.4g} to {high:.4g}, outside of 0 to {white or 255}; "
            "undo what standardised them"
        )
    if white is None and high <= 1:
        raise DataError(
            f"data.white: the {what} are floats up to {high:.4g}, and it is unclear what white is; say "
            "data.white=1 or data.white=255"
        )
    scaled = np.empty(images.shape, np.uint8)
    for row, image in enumerate(images):
        scaled[row] = np.rint(image.astype(float) * (255 / (white or 255)))
    return scaled


def _labels(labels: np.ndarray, count: int, what: str) -> np.ndarray:
    if labels.shape != (count,):
        shape = " x ".join(map(str, labels.shape)) or "a single number"
        raise DataError(
            f"data.path: the {what} are {shape}, not one for each of the {count:,} images"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"data.path: the {what} are {labels.dtype}, not whole numbers from 0")
    if labels.min() < 0 or labels.max() >= count:
        raise DataError(
            f"data.path: the {what} go from {labels.min()} to {labels.max()}, where classes are 0, 1, 2, ..."
        )
    return labels.astype(np.int32)


def _check_classes(path: Path, labels: np.ndarray, least: int, needed: bool) -> None:
    """DataError where there are fewer than two classes, or fewer than `least` images of one."""
    counts = np.bincount(labels)
    if needed and len(counts) == 1:
        raise DataError(
            f"data.path: {path} has one class, where two are needed; data.task=rotation needs none"
        )
    if (counts < least).any():
        label = int(np.argmax(counts < least))
        raise DataError(
            f"data.path: {path} has {counts[label]} images of class {label} to train and test on, where "
            f"{least} {'is' if least == 1 else 'are'} needed"
        )
