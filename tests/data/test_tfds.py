"""Any TFDS set: mocked by TFDS itself, or built here and read as a stranger's."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kernelstudy import prepare
from kernelstudy.data import DataError, images, packed, stock
from kernelstudy.data.options import Data
from tests.small_tfds import build, pictures


def restored(found, part="train_images"):
    values = getattr(found, part) * found.facts["pixel_std"] + found.facts["pixel_mean"]
    return values.round().astype(np.uint8)


def test_mocked_cifar10(place):
    with tfds.testing.mock_data(num_examples=40):
        found = images.load(Data("tfds", dataset="cifar10"))
        grey = images.load(Data("tfds", dataset="cifar10", colour="grey", crop=24, resize=16))
        rows = images.load(Data("tfds", dataset="cifar10", in_memory_gib=0))
        np.testing.assert_array_equal(rows.train_images[np.arange(40)], found.train_images)
    assert found.train_images.shape == (40, 32, 32, 3)
    assert found.classes == 10
    assert "cifar10/3.0.2" in found.facts["source"]
    assert grey.train_images.shape == (40, 16, 16, 1)
    assert not list(place.rglob("*.npy"))  # nothing mocked is kept


def test_a_strangers_set(place):
    splits = {"train": pictures(30, 10, 8, 3), "test": pictures(9, 10, 8, 3, seed=1)}
    build(place, "strangers", splits)
    found = images.load(Data("tfds", dataset="strangers"))
    np.testing.assert_array_equal(restored(found), [image for image, _ in splits["train"]])
    np.testing.assert_array_equal(found.train_labels, [label for _, label in splits["train"]])
    np.testing.assert_array_equal(
        restored(found, "test_images"), [image for image, _ in splits["test"]]
    )
    assert found.facts["source"] == "TensorFlow Datasets, strangers/1.2.0, https://example.org"
    assert images.load(Data("tfds", dataset="strangers:1.2.0")).facts["train"] == 30
    assert prepare.main(["strangers"]) == 0  # there already


def test_what_is_for_testing(place):
    train, other, withheld = (
        pictures(12, 4, 4),
        pictures(6, 4, 4, seed=1),
        pictures(6, 4, 4, seed=2),
    )
    withheld = [(image, -1) for image, _ in withheld]
    grey = {"shape": (4, 4, 1)}
    build(place, "with_validation", {"train": train, "validation": other}, **grey)
    build(place, "withheld", {"train": train, "test": withheld, "validation": other}, **grey)
    build(place, "train_alone", {"train": train}, **grey)
    for name in ("with_validation", "withheld"):
        found = images.load(Data("tfds", dataset=name))
        np.testing.assert_array_equal(
            restored(found, "test_images")[..., 0], [image for image, _ in other]
        )
    found = images.load(Data("tfds", dataset="train_alone"))
    np.testing.assert_array_equal(
        restored(found, "test_images")[..., 0], [train[4][0], train[9][0]]
    )
    assert found.facts["train"] == 10
    with pytest.raises(DataError, match="colours"):
        images.load(Data("tfds", dataset="train_alone", colour="rgb"))


def test_images_of_many_sizes_need_a_size(place, capsys):
    splits = {"train": pictures(6, 9, 12, 3) + pictures(6, 10, 8, 3), "test": pictures(3, 9, 9, 3)}
    build(place, "uneven", splits)
    with pytest.raises(DataError, match=r"differ in size \(9 x 12 x 3 and 10 x 8 x 3\)"):
        images.load(Data("tfds", dataset="uneven"))
    assert images.load(Data("tfds", dataset="uneven", resize=6)).image_shape == (6, 6, 3)
    assert images.load(Data("tfds", dataset="uneven", crop=8)).image_shape == (8, 8, 3)
    assert prepare.main(["uneven"]) == 0
    assert "data.resize" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifar10", r"cifar10 is not prepared in .*; first python -m kernelstudy.prepare cifar10$"),
        ("no_such_set", "no data set that TFDS knows"),
        ("imdb_reviews", "not for image classification"),
    ],
)
def test_what_cannot_be_read(name, said, place):
    with pytest.raises(DataError, match=said) as raised:
        images.load(Data("tfds", dataset=name))
    assert "\n" not in str(raised.value)


def test_a_set_in_another_format_is_told_apart(place):
    build(place, "strangers", {"train": pictures(3, 4, 4, 3), "test": pictures(3, 4, 4, 3)})
    for path in place.rglob("dataset_info.json"):
        path.write_text(path.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="another format than array_record"):
        images.load(Data("tfds", dataset="strangers"))


def test_which_builders_need_tensorflow():
    assert stock.needs_tensorflow(tfds.builder_cls("cifar10"))
    assert stock.needs_tensorflow(tfds.builder_cls("mnist"))

    class Plain(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        __module__ = packed.__name__

        def _info(self): ...
        def _split_generators(self, dl_manager): ...
        def _generate_examples(self): ...

    assert not stock.needs_tensorflow(Plain)
