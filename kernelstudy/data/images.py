"""Image sets as standardised arrays: what training, comparison and experiments read.

A run never downloads: `python -m kernelstudy.prepare` does, once.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.data import DataError, rotation
from kernelstudy.data.checks import check_data
from kernelstudy.data.options import Data
from kernelstudy.data.registry import SETS
from kernelstudy.data.rotation import Turned
from kernelstudy.data.store import GIB, obtain
from kernelstudy.data.stream import Streamed, look_up, open_stored
from kernelstudy.system.errors import printable

BLOCK = 1024
STATISTICS = 5000  # images that statistics of patches and controls are taken from, evenly spaced


class Images(NamedTuple):
    """One data set, standardised, with what a reader needs to know of it."""

    train_images: "np.ndarray | Streamed | Turned"  # (N, H, W, C) float32
    train_labels: np.ndarray  # (N,) int32
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    facts: dict[
        str, Any
    ]  # name, source, licence, counts, shape, hash, pixel range, standardisation
    val_images: np.ndarray = np.empty((0, 0, 0, 0), np.float32)  # held out of the training images
    val_labels: np.ndarray = np.empty(0, np.int32)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train_images.shape[1:]  # type: ignore[return-value]

    @property
    def streamed(self) -> bool:
        """Whether the training images are read as they are needed."""
        return not isinstance(self.train_images, np.ndarray)

    def describe(self) -> str:
        """One line: which data, how many, their content hash."""
        f = self.facts
        shape = " x ".join(map(str, f["image_shape"]))
        val = f", {f['val']:,} validation" if f["val"] else ""
        left_out = f.get("left_out", {})
        told = "; ".join(left_out.get("files", ()))
        told += "; ..." if left_out.get("count", 0) > len(left_out.get("files", ())) else ""
        return (
            f"{f['name']}: {f['train']:,} training{val} and {f['test']:,} test images of {shape}, "
            f"{f['classes']} classes, sha256 {f['sha256'][:16]} ({f['source']})"
            + (f"; {left_out['count']:,} left out: {told}" if told else "")
        )

    def sample_rows(self) -> np.ndarray:
        """Rows of the training images that statistics are taken from: evenly spaced."""
        count = len(self.train_labels)
        return np.linspace(0, count - 1, min(count, STATISTICS)).astype(int)

    def sample(self) -> np.ndarray:
        """Training images (n, H, W, C) for statistics, `STATISTICS` at most."""
        return self.train_images[self.sample_rows()]


def load(data: Data | str) -> Images:
    """A data set under the options of a config, or the one of that name under none.

    Pixels are standardised by the mean and standard deviation of all pixels of the training images
    (those of a subset by the subset's own). Training sets larger than `in_memory_gib` are streamed.

    Raises:
        DataError: where the set is not prepared or cannot be read, or does not serve the options.
    """
    if isinstance(data, str):
        data = Data(name=data)
        check_data(data)
    found = obtain(data)
    facts, labels = found.facts, np.asarray(found.train.labels)
    rows, val_rows = choose(labels, data)
    everything = len(rows) == len(labels)
    in_memory = found.train.images is not None
    train: Any = found.train.images if in_memory else found.by_row
    train = open_stored(data) if train is None else train
    counts = np.array(facts["histogram"])
    if not everything:
        counts = histogram(train[rows[i : i + BLOCK]] for i in range(0, len(rows), BLOCK))
    mean, std = moments(counts)
    if std == 0:
        raise DataError(f"data: all pixels of the training images of {data.name} are alike")
    # One value of each grey level, so that every way to the images gives the same bits.
    values = ((np.arange(256) - mean) / std).astype(np.float32)
    seen = np.flatnonzero(counts)
    shape = tuple(facts["image_shape"])
    images = Images(
        train_images=look_up(values, train if everything else train[rows])
        if in_memory
        else Streamed(train, rows, values, shape),
        train_labels=labels[rows],
        test_images=look_up(values, found.test.images),
        test_labels=np.asarray(found.test.labels),
        classes=facts["classes"],
        facts={
            "name": data.dataset or (printable(Path(data.path).name) if data.path else data.name),
            "source": facts.get("source", SETS[data.name].source),
            "licence": SETS[data.name].licence,
            "train": len(rows),
            "val": len(val_rows),
            "test": len(found.test.labels),
            "image_shape": facts["image_shape"],
            "classes": facts["classes"],
            "sha256": facts["sha256"],
            "pixel_range": [int(seen[0]), int(seen[-1])],
            "pixel_mean": mean,
            "pixel_std": std,
            "standardisation": "(pixel - pixel_mean) / pixel_std, of all pixels of the training images",
            "chosen_from": len(labels),
            **{key: facts[key] for key in ("class_names", "left_out") if key in facts},
        },
        val_images=look_up(values, train[val_rows])
        if len(val_rows)
        else np.empty((0, *shape), np.float32),
        val_labels=labels[val_rows],
    )
    return _rotated(images, data.in_memory_gib * GIB) if data.task == "rotation" else images


def _rotated(images: Images, limit: float) -> Images:
    """The images of a set with their turns for labels; training images of more than `limit` bytes by row.

    Raises:
        DataError: they are not square.
    """
    height, width, _ = images.image_shape
    if height != width:
        raise DataError(
            f"data.task: rotation needs square images, and those of {images.facts['name']} are {height} x "
            f"{width}; set data.crop or data.resize"
        )
    train, test, val = map(
        rotation.in_all_turns, (images.train_images, images.test_images, images.val_images)
    )
    in_memory = not images.streamed and 4 * np.prod(train.shape) <= limit
    facts = images.facts
    counts = {key: rotation.TURNS * facts[key] for key in ("train", "val", "test", "chosen_from")}
    source = f"{facts['source']}, {rotation.HOW}"
    facts = {**facts, **counts, "classes": rotation.TURNS, "source": source, "class_names": None}
    return images._replace(
        train_images=train[:] if in_memory else train,
        train_labels=train.labels,
        test_images=test[:],
        test_labels=test.labels,
        val_images=val[:] if len(val) else images.val_images,
        val_labels=val.labels,
        classes=rotation.TURNS,
        facts=facts,
    )


def choose(labels: np.ndarray, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) to train on and rows (m,) to validate on, ascending and disjoint.

    Both are stratified, and drawn by `split_seed`. The rows to validate on do not depend on `subset`, and a
    larger subset holds the smaller ones.
    """
    order = stratified(labels, data.split_seed)
    held_out = round(data.val_fraction * len(labels))
    available = len(labels) - held_out
    wanted = available if data.subset is None else data.subset
    classes = len(np.unique(labels))
    if not classes <= wanted <= available:
        key, value = (
            ("val_fraction", data.val_fraction) if data.subset is None else ("subset", wanted)
        )
        raise DataError(
            f"data.{key}: {value} leaves {wanted:,} training examples; it must be from one of each of the "
            f"{classes} classes to the {available:,} there are"
        )
    return np.sort(order[:wanted]), np.sort(order[available:])


def stratified(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """A mixed order of examples, one a seed, of which every start holds the classes in proportion."""
    labels = np.asarray(labels)
    order = np.random.RandomState(seed).permutation(len(labels))  # its stream is frozen by NumPy
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)[labels[by_class]]
    first = np.searchsorted(labels[by_class], labels[by_class])
    place = (
        np.arange(len(labels)) - first + 0.5
    ) / counts  # of an example within its class, 0 to 1
    return by_class[np.argsort(place, kind="stable")]


def histogram(blocks: Any) -> np.ndarray:
    """How many of the pixels of blocks of images uint8 have each of the 256 values."""
    return sum((np.bincount(b.ravel(), minlength=256) for b in blocks), np.zeros(256, np.int64))


def moments(counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of pixels, from their histogram (256,)."""
    values, weights = np.arange(256), counts / counts.sum()
    mean = float(weights @ values)
    return mean, float(np.sqrt(weights @ (values - mean) ** 2))
