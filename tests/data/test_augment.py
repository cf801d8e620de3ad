"""Augmentation against flips and rolls by hand."""

import numpy as np
from scipy.ndimage import shift

from kernelstudy.data import augment
from kernelstudy.data.options import Data

IMAGES = np.random.default_rng(0).standard_normal((6, 7, 9, 2))


def test_mirrored_then_moved():
    mirrored = np.array([False, True] * 3)
    moves = np.array([[0, 0], [0, 0], [2, 0], [0, -3], [-6, 8], [1, 1]])
    found = augment.augmented(IMAGES, mirrored, moves)
    for image, ours, flip, move in zip(IMAGES, found, mirrored, moves, strict=True):
        start = image[:, ::-1] if flip else image
        expected = shift(start, (*move, 0), order=0, mode="nearest")
        np.testing.assert_array_equal(ours, expected)


def test_nothing_asked_for_is_nothing_done():
    assert not augment.is_on(Data())
    mirrored, moves = augment.draw(Data(), 0, 0, 6)
    np.testing.assert_array_equal(augment.augmented(IMAGES, mirrored, moves), IMAGES)


def test_draws_are_seeded_and_within_their_limits():
    data = Data(flip=True, shift=2)
    assert augment.is_on(data)
    mirrored, moves = augment.draw(data, 3, 5, 4000)
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    counts = np.stack([np.bincount(axis + 2, minlength=5) for axis in moves.T])
    assert counts.shape == (2, 5)
    assert abs(counts / 4000 - 0.2).max() < 4 * 0.4 / np.sqrt(4000)
    again = augment.draw(data, 3, 5, 4000)
    np.testing.assert_array_equal(again[1], moves)
    assert not np.array_equal(augment.draw(data, 3, 6, 4000)[1], moves)
    assert not augment.draw(Data(shift=2), 3, 5, 4000)[0].any()
    assert not augment.draw(Data(flip=True), 3, 5, 4000)[1].any()
