"""What is made here: photographs' patches give nothing away, oriented edges are what they say."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import i0, i1
from sklearn.tree import DecisionTreeClassifier

from kernelstudy.config import DATA_SETS, compose
from kernelstudy.data import DataError, oriented, photos


@pytest.fixture(scope="module")
def patches():
    return {colour: photos.photo_patches(colour) for colour in ("grey", "rgb")}


def test_every_set_has_its_config():
    files = {path.stem for path in (compose.conf_dir() / "data").glob("*.yaml")}
    assert files == set(DATA_SETS)


def test_patches_are_counted_and_typed(patches):
    for colour, channels in (("grey", 1), ("rgb", 3)):
        train, test = patches[colour]
        assert train.images.shape == (4000, 32, 32, channels)
        assert test.images.shape == (1000, 32, 32, channels)
        assert train.images.dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(train.labels), [500] * 8)
        np.testing.assert_array_equal(np.bincount(test.labels), [125] * 8)
    for grey, rgb in zip(patches["grey"], patches["rgb"], strict=True):
        np.testing.assert_array_equal(grey.labels, rgb.labels)


def places_of(part, label, limit):
    """Where in its photograph each RGB patch of a class lies, found by its first row of pixels."""
    package, file = photos.PHOTOS[label]
    photo = np.asarray(Image.open(str(resources.files(package) / file)).convert("RGB"))
    windows = np.lib.stride_tricks.sliding_window_view(photo, 32, axis=1)[..., :, :]
    index = {}
    for y in range(windows.shape[0]):
        for x in range(windows.shape[1]):
            index.setdefault(windows[y, x].T.tobytes(), []).append((y, x))
    for patch in part.images[part.labels == label][:limit]:
        found = [
            (y, x)
            for y, x in index[patch[0].tobytes()]
            if np.array_equal(photo[y : y + 32, x : x + 32], patch)
        ]
        assert found
        yield found[0]


def test_train_and_test_patches_share_no_block(patches):
    train, test = (
        {(y // 96, x // 96, (y + 31) // 96, (x + 31) // 96) for y, x in places_of(part, 1, 100)}
        for part in patches["rgb"]
    )
    assert all(block[:2] == block[2:] for block in train | test)  # within one block each
    assert not train & test


def test_grey_patches_give_neither_brightness_nor_contrast_away(patches):
    train, test = (
        np.stack([p.images.mean((1, 2, 3)), p.images.std((1, 2, 3))], 1) for p in patches["grey"]
    )
    for features in (train, test):
        assert abs(features - (128, 25)).max() < 0.5
    # What rounding leaves tells no photograph: chance is 1 / 8.
    tree = DecisionTreeClassifier(max_depth=6, random_state=0).fit(
        train, patches["grey"].train.labels
    )
    assert tree.score(test, patches["grey"].test.labels) < 0.25
    colour = [p.images.mean((1, 2)) for p in patches["rgb"]]
    tree = DecisionTreeClassifier(max_depth=6, random_state=0).fit(
        colour[0], patches["rgb"].train.labels
    )
    assert tree.score(colour[1], patches["rgb"].test.labels) > 0.3  # colour does


def test_a_photograph_that_is_missing(monkeypatch):
    monkeypatch.setattr(photos, "PHOTOS", (("skimage", "data/no_such_photo.png"),))
    with pytest.raises(DataError, match=r"no_such_photo.png of the package skimage"):
        photos.photo_patches("grey")


def draw(count=2000, orientation=0.0, concentration=0.0, blur=1.0):
    return oriented.draw(np.random.default_rng(1), count, orientation, concentration, blur)


@pytest.mark.parametrize(("orientation", "concentration"), [(0, 0), (0, 2), (40, 2), (90, 8)])
def test_orientations_have_von_mises_distribution(orientation, concentration):
    """E exp(2i angle) = I1(k) / I0(k) exp(2i mean)."""
    *_, angles = draw(2000, orientation, concentration)
    expected = i1(concentration) / i0(concentration) * np.exp(2j * np.deg2rad(orientation))
    assert abs(np.exp(2j * angles).mean() - expected) < 4 / np.sqrt(2000)


def test_gradients_point_along_their_angle():
    images, _, angles = draw(400, blur=1.5)
    gy, gx = np.gradient(images, axis=(1, 2))
    tensor = ((gx + 1j * gy) ** 2).sum((1, 2))  # the structure tensor's direction, doubled
    error = np.angle(tensor * np.exp(-2j * angles)) / 2
    assert abs(np.rad2deg(error)).max() < 1.5


@pytest.mark.parametrize("blur", [0.7, 1.0, 2.0])
def test_blur_is_the_width_of_an_edges_gradient(blur):
    """The derivative of a single vertical edge is a Gaussian of that standard deviation."""
    images, labels, angles = draw(3000, concentration=1e4, blur=blur)
    edges = images[labels == 0]
    slope = abs(np.diff(edges[:, 14], axis=1))
    weight = slope / slope.sum(1, keepdims=True)
    x = np.arange(27)
    centre = (weight * x).sum(1, keepdims=True)
    inside = (abs(centre[:, 0] - 13) < 7) & (abs(angles[labels == 0] - np.pi / 2) > 1.5)
    variance = (weight * (x - centre) ** 2).sum(1)[inside]
    np.testing.assert_allclose(variance.mean(), blur**2 + 1 / 12, rtol=0.02)


def test_labels_count_the_edges():
    images, labels, _ = draw(400, concentration=1e4, blur=0.5)
    np.testing.assert_array_equal(np.bincount(labels), [100] * 4)
    slope = np.diff(images[:, 14], axis=1)
    edges = (abs(slope) > 0.5 * abs(slope).max(1, keepdims=True)).astype(int)
    steps = (np.diff(np.pad(edges, ((0, 0), (1, 0))), axis=1) > 0).sum(1)
    assert (steps == labels + 1).mean() > 0.95
    assert images.min() >= 0
    assert images.max() <= 1


def test_oriented_parts_differ_and_are_repeatable():
    train, test = oriented.oriented(30, 1, 1)
    assert train.images.shape == (4000, 28, 28, 1)
    assert not np.array_equal(train.images[:1000], test.images)
    np.testing.assert_array_equal(oriented.oriented(30, 1, 1).test.images, test.images)
    assert Path(oriented.__file__).is_file()
