"""Streamed and augmented dispatches bring the same images, in the same order, as those in memory."""

import itertools

import numpy as np
import pytest

from kernelstudy.data import augment, controls, feed, images, store
from kernelstudy.data.options import Data

SPANS = ((0, 1), (1, 4), (5, 3), (8, 4))
INPUTS = ("natural", "whitened", "natural", "phase_scrambled", "iid", "permuted")
PLAN = {"seeds": (0, 5), "spans": SPANS, "room": 4, "batch": 16}


@pytest.fixture
def prepared(small_fashion, place):
    store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion))


def dispatches(data):
    loaded = images.load(data)
    seen = feed.variants(loaded, data, INPUTS)
    return loaded, seen, list(feed.feed(loaded, data, seen, **PLAN))


def test_streamed_equals_in_memory(prepared):
    _, seen, whole = dispatches(Data("fashion_mnist"))
    loaded, other, parts = dispatches(Data("fashion_mnist", in_memory_gib=0))
    assert loaded.streamed
    assert other.train is None
    for name in ("test", "val", "sample"):
        np.testing.assert_array_equal(getattr(other, name), getattr(seen, name))
    assert len(parts) == len(whole) == len(SPANS)
    for ours, theirs, (_, count) in zip(parts, whole, SPANS, strict=True):
        np.testing.assert_array_equal(ours.order, theirs.order)
        assert ours.images.shape == (5, 60, 28, 28, 1)
        np.testing.assert_array_equal(
            ours.images[:, ours.rows[:, :count]], seen.train[:, theirs.rows[:, :count]]
        )


def test_variants_are_those_of_the_arms(prepared):
    loaded, seen, _ = dispatches(Data("fashion_mnist", val_fraction=0.2))
    assert seen.names == ("natural", "whitened", "phase_scrambled", "iid", "permuted")
    np.testing.assert_array_equal(seen.row_of_arm, [0, 1, 0, 2, 3, 4])
    np.testing.assert_array_equal(seen.train[0], loaded.train_images)
    for row, name in enumerate(seen.names):
        for part, number, own in (
            (loaded.train_images, controls.TRAIN, seen.train),
            (loaded.test_images, controls.TEST, seen.test),
            (loaded.val_images, controls.VAL, seen.val),
        ):
            control = controls.fit(name, loaded.train_images, part=number)
            np.testing.assert_array_equal(own[row], controls.apply(control, part))


def test_augmented_by_seed_and_step(prepared):
    data = Data("fashion_mnist", flip=True, shift=2)
    loaded, seen, found = dispatches(data)
    streamed = dispatches(Data("fashion_mnist", flip=True, shift=2, in_memory_gib=0))[2]
    assert seen.train is None
    for dispatch, again, (start, count) in zip(found, streamed, SPANS, strict=True):
        np.testing.assert_array_equal(dispatch.images, again.images)
        for row, seed in enumerate(PLAN["seeds"]):
            for step in range(count):
                own = loaded.train_images[dispatch.order[row, step]]
                expected = augment.augmented(own, *augment.draw(data, seed, start + step, 16))
                np.testing.assert_array_equal(
                    dispatch.images[0, dispatch.rows[row, step]], expected
                )
    np.testing.assert_array_equal(seen.test[0], loaded.test_images)


def test_batches_are_a_permutation_each_epoch():
    found = feed.batches(3, 0, 6, 100, 32)
    for epoch in (found[:3], found[3:]):
        assert len(set(epoch.ravel().tolist())) == 96
    assert not np.array_equal(found[:3], found[3:])
    pieces = [feed.batches(3, a, b - a, 100, 32) for a, b in itertools.pairwise((0, 1, 4, 6))]
    np.testing.assert_array_equal(np.concatenate(pieces), found)
    assert not np.array_equal(feed.batches(4, 0, 6, 100, 32), found)
    rng = np.random.default_rng([3, 0, 1])  # the published recipe
    np.testing.assert_array_equal(found[3], rng.permutation(100)[:32])
