"""python tests/small_tfds.py PLACE: build the small TFDS set `small_colour`, as a stranger would."""

import contextlib
import io
import sys

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def build(place, name, splits, *, shape=(None, None, 3), labels=3):
    """A TFDS set of PNG images in `place`; splits: name -> list of (array, label)."""
    with tfds.core.registered.skip_registration():

        class Small(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.2.0")

            def _info(self):
                features = {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=shape, encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=labels),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    description="small",
                    features=tfds.features.FeaturesDict(features),
                    homepage="https://example.org",
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                del dl_manager
                return {split: self._generate_examples(split) for split in splits}

            def _generate_examples(self, split):
                for row, (array, label) in enumerate(splits[split]):
                    png = io.BytesIO()
                    Image.fromarray(array).save(png, format="PNG")
                    png.seek(0)
                    yield row, {"image": png, "label": label, "id": str(row)}

    Small.name = name
    tfds.disable_progress_bar()
    builder = Small(data_dir=place, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(file_format="array_record")


def pictures(count, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 256, shape, np.uint8), i % 3) for i in range(count)]


if __name__ == "__main__":
    parts = {"train": pictures(200, 16, 16, 3), "test": pictures(40, 16, 16, 3, seed=1)}
    build(sys.argv[1], "small_colour", parts)
