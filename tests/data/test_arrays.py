"""Arrays of one's own: layouts that are held to, and never guessed."""

import zipfile

import numpy as np
import pytest

from kernelstudy.data import DataError, images
from kernelstudy.data.options import Data

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 9, 9, 3), np.uint8)
LABELS = np.arange(40) % 4


def load(path, **options):
    return images.load(Data("arrays", path=str(path), **options))


def as_bytes(found, images):
    return np.rint(images * found.facts["pixel_std"] + found.facts["pixel_mean"]).astype(int)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        (PIXELS, None),
        (PIXELS[..., :1], None),
        (PIXELS[..., 0], None),
        (PIXELS.astype(np.float32), None),
        (PIXELS.astype(np.float16), None),
        (PIXELS / 255, 1),
        (np.asfortranarray(PIXELS[..., 0]), None),
    ],
)
def test_every_layout_that_is_allowed(save, pixels, white, tmp_path, place):
    save(tmp_path / "x.npz", images=pixels, labels=LABELS.astype(np.int64), other=np.zeros(3))
    found = load(tmp_path / "x.npz", white=white)
    wanted = PIXELS if pixels.ndim == 4 and pixels.shape[3] == 3 else PIXELS[..., :1]
    assert found.image_shape == wanted.shape[1:]
    np.testing.assert_array_equal(np.bincount(found.train_labels), [8] * 4)
    ours = np.concatenate([as_bytes(found, p) for p in (found.train_images, found.test_images)])
    labels = np.concatenate([found.train_labels, found.test_labels])
    key = {image.tobytes(): label for image, label in zip(wanted, LABELS, strict=True)}
    assert [key[i.astype(np.uint8).tobytes()] for i in ours] == labels.tolist()


def test_arrays_that_say_which_to_test_on(tmp_path, place):
    path = tmp_path / "x.npz"
    np.savez(
        path,
        train_images=PIXELS[:30],
        train_labels=LABELS[:30],
        test_images=PIXELS[30:],
        test_labels=LABELS[30:],
    )
    found = load(path)
    np.testing.assert_array_equal(as_bytes(found, found.test_images), PIXELS[30:])
    np.testing.assert_array_equal(found.train_labels, LABELS[:30])
    assert load(path, colour="grey", resize=5).image_shape == (5, 5, 1)
    streamed = load(path, in_memory_gib=0)
    assert streamed.streamed
    np.testing.assert_array_equal(streamed.train_images[:], found.train_images)
    assert load(path, task="rotation").facts["train"] == 120


def test_rotation_needs_no_labels(tmp_path, place):
    np.savez(tmp_path / "x.npz", images=PIXELS)
    found = load(tmp_path / "x.npz", task="rotation")
    np.testing.assert_array_equal(np.bincount(found.train_labels), [32] * 4)
    with pytest.raises(
        DataError, match="has no array labels, only images; it must hold images and"
    ):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"labels": LABELS}, {}, "has no array images, only labels"),
        (
            {"images": PIXELS.transpose(0, 3, 1, 2)},
            {},
            r"40 x 3 x 9 x 9.*images.transpose\(0, 2, 3, 1\)",
        ),
        ({"images": PIXELS.reshape(40, -1)}, {}, "are 40 x 243, not N x H x W"),
        ({"images": PIXELS[:0]}, {}, "are 0 x 9 x 9 x 3"),
        ({"images": PIXELS.astype(int)}, {}, "are int64, neither uint8 nor floats"),
        ({"images": PIXELS / 255}, {}, "data.white: .* unclear what white is; say data.white=1 or"),
        ({"images": PIXELS / 10 - 3}, {}, "have values from -3 to 22.5, outside of 0 to 255"),
        ({"images": PIXELS / 1.0}, {"white": 1}, "have values from 0 to 255, outside of 0 to 1"),
        ({"images": np.full((40, 9, 9), np.nan)}, {}, "have values from nan to nan"),
        ({}, {"white": 255}, "data.white: .* are uint8, whose white is 255"),
        ({"labels": LABELS[:-1]}, {}, "are 39, not one for each of the 40 images"),
        ({"labels": np.eye(40)}, {}, "are 40 x 40, not one for each"),
        ({"labels": LABELS / 2}, {}, "are float64, not whole numbers"),
        ({"labels": LABELS - 1}, {}, "go from -1 to 2, where classes are 0, 1, 2"),
        ({"labels": LABELS * 100}, {}, "go from 0 to 300"),
        ({"labels": LABELS * 2}, {}, "has 0 images of class 1 .*, where 3 are needed"),
        ({"labels": np.minimum(np.arange(40), 1)}, {}, "has 1 images? of class 0"),
        ({"labels": LABELS * 0}, {}, "has one class, where two are needed; data.task=rotation"),
        ({}, {"crop": 10}, "data.crop: 10 is more than"),
        ({"images": PIXELS[..., 0]}, {"colour": "rgb"}, "data.colour: .* have no colours"),
    ],
)
def test_what_is_refused(arrays, options, said, tmp_path, place):
    arrays = {"images": PIXELS, "labels": LABELS} | arrays
    if said.startswith("has no array images"):
        del arrays["images"]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=said) as raised:
        load(tmp_path / "x.npz", **options)
    assert "\n" not in str(raised.value)
    assert not list(place.rglob("*.npy"))


def test_parts_that_do_not_fit(tmp_path, place):
    parts = {"train_images": PIXELS, "train_labels": LABELS, "test_images": PIXELS}
    np.savez(tmp_path / "x.npz", **parts, test_labels=LABELS + 1)
    with pytest.raises(DataError, match="has class 4 in test_labels alone"):
        load(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", **parts | {"test_images": PIXELS[:, :8]}, test_labels=LABELS)
    with pytest.raises(DataError, match="to train and to test on differ"):
        load(tmp_path / "x.npz")


def test_files_that_are_none_or_hostile(tmp_path, place):
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "none.npz")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path)
    path = tmp_path / "x.npz"
    path.write_text("no archive")
    with pytest.raises(DataError, match=r"is no \.npz file"):
        load(path)
    np.savez(path, images=np.array([{}] * 40, object), labels=LABELS)
    with pytest.raises(DataError, match="is damaged"):
        load(path)
    np.savez(path, images=PIXELS, labels=LABELS)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"is no \.npz file|is damaged"):
        load(path)
    # a header that claims a million times what the file holds
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(DataError, match="is damaged"):
        load(path, task="rotation")
