"""Sets on disk as TFDS has them (ArrayRecord files), written and read without TensorFlow."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.data.idx import Progress
from kernelstudy.system.errors import first_line

FILE_FORMAT = "array_record"  # the one that TFDS reads and writes without TensorFlow
VERSION = "2.0.0"  # of the sets packed here
PARTIAL = ".partial-"  # how the names of unfinished work begin
BLOCK = 512  # examples read at a time


@dataclass(frozen=True)
class Split:
    """One split of a packed set: examples by their row."""

    source: Any  # TFDS' data source
    image_key: str
    label_key: str
    rows: np.ndarray | None = None  # which of the source's; None: all

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    def examples(self, rows: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
        """(image (H, W, C) uint8, label) of each row."""
        own = rows if self.rows is None else self.rows[list(rows)]
        own = [int(row) for row in own]
        try:
            found = self.source.__getitems__(own)  # all at once: twice as fast
        except TypeError:  # TFDS' mocked sources cannot
            found = [self.source[row] for row in own]
        for example in found:
            image = np.asarray(example[self.image_key])  # without TensorFlow TFDS may yield PIL's
            yield image.reshape(*image.shape[:2], -1), int(example[self.label_key])

    def images(self, rows: Sequence[int]) -> list[np.ndarray]:
        """The image (H, W, C) uint8 of each row; they may differ in shape."""
        return [image for image, _ in self.examples(rows)]


@dataclass(frozen=True)
class PlainSplit:
    """One split of a set that was packed here: the same, read without TFDS' decoders, ten times as fast."""

    source: Any  # TFDS' data source of serialised examples
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.source)

    def examples(self, rows: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
        """(image (H, W, C) uint8, label) of each row."""
        for found in self._features(rows):
            image = np.frombuffer(found["image"].bytes_list.value[0], np.uint8)
            yield image.reshape(self.shape), found["label"].int64_list.value[0]

    def images(self, rows: Sequence[int]) -> np.ndarray:
        """(rows, H, W, C) uint8."""
        pixels = (found["image"].bytes_list.value[0] for found in self._features(rows))
        return np.frombuffer(b"".join(pixels), np.uint8).reshape(len(rows), *self.shape)

    def _features(self, rows: Sequence[int]) -> Iterator[Any]:
        from tensorflow_datasets.proto import tf_example_pb2

        parse: Any = tf_example_pb2.Example.FromString  # type: ignore[attr-defined]
        for record in self.source.__getitems__([int(row) for row in rows]):
            yield parse(record).features.feature


def quiet_tfds() -> Any:
    """TensorFlow Datasets without its messages and progress bars."""
    import tensorflow_datasets as tfds  # slow to import, and only needed here
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    return tfds


def pack(
    place: Path,
    name: str,
    parts: Parts,
    *,
    what: str,
    homepage: str | None = None,
    progress: Progress = lambda *_: None,
) -> None:
    """Write `parts` as the TFDS set `place`/`name`, whole or not at all.

    Raises:
        OSError: where it cannot be written.
    """
    tfds = quiet_tfds()
    classes = int(max(part.labels.max() for part in parts)) + 1

    def examples(split: str, part: Part):
        for row, (image, label) in enumerate(zip(*part, strict=True)):
            if row % BLOCK == 0 or row == len(part.labels) - 1:
                progress(f"packing {split} images", row + 1, len(part.labels))
            yield row, {"image": image, "label": int(label)}

    # The stock builders of some of these names are not to be disturbed.
    with tfds.core.registered.skip_registration():

        class Packed(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version(VERSION)

            def _info(self):
                # Pixels as plain bytes: quick to write, and to read in any order.
                image = tfds.features.Tensor(
                    shape=parts.train.images.shape[1:], dtype=np.uint8, encoding="bytes"
                )
                label = tfds.features.ClassLabel(num_classes=classes)
                return tfds.core.DatasetInfo(
                    builder=self,
                    description=what,
                    features=tfds.features.FeaturesDict({"image": image, "label": label}),
                    supervised_keys=("image", "label"),
                    homepage=homepage,
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                del dl_manager  # nothing is downloaded
                return {s: self._generate_examples(s) for s in Parts._fields}

            def _generate_examples(self, split):
                return examples(split, getattr(parts, split))

    Packed.name = name
    with partial(place, name) as temporary:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS tells of its packing
            try:
                builder = Packed(data_dir=temporary, file_format=FILE_FORMAT)
                builder.download_and_prepare(
                    file_format=FILE_FORMAT,
                    download_dir=temporary / "downloads",
                    download_config=tfds.download.DownloadConfig(
                        compute_stats=tfds.download.ComputeStatsMode.SKIP
                    ),
                )
            except OSError:
                raise
            except Exception as error:  # the writer's own, which hide what the system said
                raise OSError(None, f"writing failed: {first_line(error)}") from error
        (place / name).mkdir(exist_ok=True)
        (temporary / name / VERSION).rename(place / name / VERSION)


@contextlib.contextmanager
def partial(place: Path, name: str) -> Iterator[Path]:
    """A directory in `place` for unfinished work, gone when the block ends."""
    with tempfile.TemporaryDirectory(
        prefix=f"{PARTIAL}{name.replace('/', '-')}-", dir=place, ignore_cleanup_errors=True
    ) as made:
        yield Path(made)


def sweep(place: Path, name: str) -> None:
    """Clear away what a killed preparation of this set has left; call it under the set's lock."""
    for left in place.glob(f"{PARTIAL}{name.replace('/', '-')}-*"):
        shutil.rmtree(left, ignore_errors=True)


def open_packed(place: Path, name: str) -> dict[str, PlainSplit] | None:
    """The splits of a set that was packed here; None if it was not."""
    if not (place / name / VERSION / "dataset_info.json").is_file():
        return None
    builder = quiet_tfds().builder_from_directory(place / name / VERSION)
    from tensorflow_datasets.core.decode import DeserializeMethod

    raw, shape = DeserializeMethod.RAW_BYTES, builder.info.features["image"].shape
    return {
        s: PlainSplit(builder.as_data_source(split=s, deserialize_method=raw), shape)
        for s in Parts._fields
    }


def unprepared(name: str, place: Path) -> DataError:
    return DataError(
        f"data: {name} is not prepared in {place}; first python -m kernelstudy.prepare {name}"
    )
