"""Image sets as arrays: packed once as a TFDS data set, read through its data source.

A run never downloads. Packed sets live in `data_dir()`.
"""

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

FILE_FORMAT = "array_record"  # the one that TFDS reads and writes without TensorFlow


class Images(NamedTuple):
    """One data set, standardised, with what a reader needs to know of it."""

    train_images: np.ndarray  # (N, H, W, C) float32
    train_labels: np.ndarray  # (N,) int32
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    facts: dict[str, Any]  # name, source, counts, shape, content hash, standardisation

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train_images.shape[1:]  # type: ignore[return-value]

    def describe(self) -> str:
        """One line: which data, how many, their content hash."""
        f = self.facts
        shape = " x ".join(map(str, f["image_shape"]))
        return (
            f"{f['name']}: {f['train']:,} training and {f['test']:,} test images of {shape}, "
            f"{f['classes']} classes, sha256 {f['sha256'][:16]} ({f['source']})"
        )


class DataError(ValueError):
    """The data cannot be had or are not what they should be; the message is one sentence."""


def data_dir() -> Path:
    """Where packed data sets live: $KERNELSTUDY_DATA_DIR, else the user's cache directory."""
    if given := os.environ.get("KERNELSTUDY_DATA_DIR"):
        return Path(given).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kernelstudy" / "data"


def load(name: str) -> Images:
    """The data set `name`, packed first if it comes with a package and is not packed yet.

    Pixels are standardised by the mean and standard deviation of all training pixels.

    Raises:
        DataError: where the set cannot be packed or read, or its content is not the expected one.
    """
    import tensorflow_datasets as tfds  # slow to import, and only needed here
    from absl import logging

    from kernelstudy.training import mnist5k

    if name != mnist5k.NAME:
        raise DataError(f"data.name: {name!r} is not one of {mnist5k.NAME}")
    place = data_dir()
    logging.set_verbosity(logging.ERROR)  # TFDS warns that a faster PNG decoder is not installed
    tfds.disable_progress_bar()
    try:
        place.mkdir(parents=True, exist_ok=True)
        # Jobs of a sweep may start at the same time; TFDS tells of its packing on stdout.
        with FileLock(place / f".{name}.lock"), contextlib.redirect_stdout(io.StringIO()):
            builder = mnist5k.Mnist5k(data_dir=place, file_format=FILE_FORMAT)
            builder.download_and_prepare(
                file_format=FILE_FORMAT,
                download_config=tfds.download.DownloadConfig(
                    compute_stats=tfds.download.ComputeStatsMode.SKIP
                ),
            )
    except OSError as error:
        raise DataError(
            f"data.name: {name} cannot be packed in {place} ({error.strerror or error}); "
            "KERNELSTUDY_DATA_DIR names another place"
        ) from error
    try:
        parts = {split: _read(name, split, place) for split in ("train", "test")}
    except Exception as error:  # whatever a damaged file makes TFDS and its readers raise
        raise DataError(
            f"data.name: {name} in {place} cannot be read ({str(error).splitlines()[0]}); "
            "delete it there, and it is packed again"
        ) from error
    digest = content_hash(*parts["train"], *parts["test"])
    if digest != mnist5k.SHA256:
        raise DataError(
            f"data.name: the content of {name} in {place} is not the expected one (sha256 {digest}); "
            "delete it there, and it is packed again"
        )
    return _standardised(name, parts["train"], parts["test"], source=mnist5k.SOURCE, digest=digest)


def content_hash(*arrays: np.ndarray) -> str:
    """SHA-256 of the raw bytes of the arrays in turn; blind to how they were compressed."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(name: str, split: str, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, C) uint8 images and (N,) int32 labels of one split of a packed set."""
    import tensorflow_datasets as tfds

    options = {"file_format": FILE_FORMAT}
    source: Any = tfds.data_source(
        name, split=split, data_dir=place, download=False, builder_kwargs=options
    )
    # Without TensorFlow TFDS yields PIL images.
    examples = [(np.asarray(example["image"]), example["label"]) for example in source]
    images = np.stack([image for image, _ in examples])
    labels = np.array([label for _, label in examples], np.int32)
    return images.reshape(*images.shape[:3], -1), labels


def _standardised(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    source: str,
    digest: str,
) -> Images:
    (x, labels), (x_test, labels_test) = train, test
    mean, std = float(x.mean()), float(x.std())
    classes = int(labels.max()) + 1
    facts = {
        "name": name,
        "source": source,
        "train": len(x),
        "test": len(x_test),
        "image_shape": list(x.shape[1:]),
        "classes": classes,
        "sha256": digest,
        "pixel_mean": mean,
        "pixel_std": std,
    }
    return Images(
        ((x - mean) / std).astype(np.float32),
        labels,
        ((x_test - mean) / std).astype(np.float32),
        labels_test,
        classes,
        facts,
    )
