"""Checkpoints: a training that ends anywhere goes on to the same bits, whatever has become of its files."""

import dataclasses
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr

from kernelstudy.config import Arm, Bank, Model, Study
from kernelstudy.data.images import Images
from kernelstudy.data.options import Data
from kernelstudy.system.errors import RunError
from kernelstudy.system.signals import Stopped
from kernelstudy.training import checkpoints, journal, population
from kernelstudy.training.observer import Observer
from kernelstudy.training.train import first_kernel_shape, make_train

STUDY = Study(
    arms=[Arm("he_normal"), Arm("sobel", labels="shuffled", first_layer="frozen")],
    seeds=[3, 0, 7],
    steps=40,
    batch_size=8,
    log_points=5,
    probe_seeds=1,
    model=Model(width=2, deep_width=3),
    bank=Bank(["sobel_x"]),
)
VERSIONS = {"jax": "1"}


def _made() -> Images:
    rng = np.random.default_rng(0)
    made = rng.standard_normal((60, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(3, size=60).astype(np.int32)
    labels[:3] = 0, 1, 2
    return Images(made[:40], labels[:40], made[40:], labels[:20], 3, {}, made[:9], labels[:9])


IMAGES = _made()


@pytest.fixture(scope="module")
def images() -> Images:
    return IMAGES


class Ran(Observer):
    """What one process did of a training, until a signal after so many dispatches."""

    def __init__(self, place, study, images, *, dispatches=10**6, **settings):
        self.told, self.records, self.where, self.steps = [], [], None, []
        self.left = iter(range(dispatches))
        store = checkpoints.Store(
            place,
            **{"seconds": 0, "versions": VERSIONS, "tell": self.told.append} | settings,
        )
        try:
            self.trajectory = population.train_population(study, images, observer=self, store=store)
        except Stopped as stopped:
            self.status, self.trajectory = stopped.status, None

    def signal(self):
        return signal.SIGTERM if next(self.left, None) is None else 0

    def on_step(self, step, accuracy):
        self.steps.append(step)

    def on_log(self, record, kernels):
        self.records.append(record)

    def on_resume(self, where, seconds, records):
        assert seconds > 0
        self.where, self.records = where, list(records)


def untimed(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    return Ran(tmp_path_factory.mktemp("whole"), STUDY, images)


@pytest.fixture(scope="module")
def stopped(images, tmp_path_factory):
    place = tmp_path_factory.mktemp("stopped")
    return place, Ran(place, STUDY, images, dispatches=4)  # in the middle of the last span


@pytest.fixture
def place(stopped, tmp_path):
    """A copy of what a stopped process has left."""
    return shutil.copytree(stopped[0], tmp_path / "checkpoints")


def numbers(place):
    return sorted(int(path.name) for path in place.iterdir() if path.is_dir())


def restored(place, **settings):
    """What is read back, without training on; and what was told."""
    told = []
    rng = {"seconds": 0, "versions": VERSIONS, "tell": told.append} | settings
    store = checkpoints.Store(place, **rng)
    train = make_train(STUDY, IMAGES)
    key, kernel = jax.random.key(0), np.zeros(first_kernel_shape(STUDY, IMAGES), np.float32)
    abstract = jax.tree.leaves(jax.eval_shape(train.init, key, kernel))
    return store.restore(abstract, arms=2, seeds=STUDY.seed_list), told


def test_it_goes_on_to_the_same_bits(images, whole, stopped, place):
    first = stopped[1]
    assert first.status == 143
    second = Ran(place, STUDY, images)
    assert second.where == f"step {numbers(stopped[0])[-1]} of 40"
    xr.testing.assert_identical(second.trajectory, whole.trajectory)
    assert untimed(second.records) == untimed(whole.records)
    assert first.steps + second.steps == whole.steps  # nothing is trained twice
    assert second.told == []


def test_it_goes_on_from_before_the_first_step(images, whole, tmp_path):
    assert Ran(tmp_path, STUDY, images, dispatches=0).steps == []
    second = Ran(tmp_path, STUDY, images)
    assert second.where == "step 0 of 40"
    xr.testing.assert_identical(second.trajectory, whole.trajectory)


@pytest.mark.slow
def test_groups_augmentation_and_other_devices(images, tmp_path):
    """Groups of one seed, images shifted at random, stopped twice; then on one device."""
    few = {"model": Model(width=2, depth=1), "memory_gib": 7e-6}
    study = dataclasses.replace(STUDY, data=Data(shift=1), **few)
    whole = Ran(tmp_path / "whole", study, images)
    assert len({tuple(record["seeds"]) for record in whole.records}) == 3
    for dispatches in (2, 6):
        assert Ran(tmp_path / "parts", study, images, dispatches=dispatches).trajectory is None
    # a group that is begun is finished as it was begun, whatever memory there is now
    last = dataclasses.replace(study, devices=1, memory_gib=1.0)
    found = Ran(tmp_path / "parts", last, images)
    assert "group 2 of 3" in found.where
    xr.testing.assert_identical(found.trajectory, whole.trajectory)
    assert untimed(found.records) == untimed(whole.records)


def test_two_checkpoints_are_kept_and_pieces_are_written_once(place):
    kept = numbers(place)
    assert len(kept) == checkpoints.KEPT
    found = journal.pieces(place)
    assert [p.stop for p in found[:-1]] == [p.start for p in found[1:]]
    assert found[-1].stop == kept[-1]


def _truncate(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(path):
    for file in path.rglob("*"):
        content = bytearray(file.read_bytes()) if file.is_file() else b""
        if content:
            content[len(content) // 2] ^= 255
            file.write_bytes(content)


def _empty(path):
    for file in sorted(path.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(place, damage):
    before, last = numbers(place)
    whole, _ = restored(place)
    damage(place / str(last))
    found, told = restored(place)
    assert (whole.position.step, found.position.step) == (last, before)
    assert len(told) == 1
    assert f"{last} is damaged" in told[0]
    assert numbers(place) == [before]
    assert journal.pieces(place)[-1].stop == before


def test_from_the_one_before_it_ends_in_the_same_bits(images, whole, place):
    before, last = numbers(place)
    _truncate(place / str(last))
    second = Ran(place, STUDY, images)
    assert second.where == f"step {before} of 40"
    xr.testing.assert_identical(second.trajectory, whole.trajectory)
    assert untimed(second.records) == untimed(whole.records)


@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_damage_to_what_all_of_them_need_starts_again(place, damage):
    piece = journal.pieces(place)[1]
    if damage == "cut":
        piece.path.write_bytes(piece.path.read_bytes()[:-1])
    else:
        piece.path.unlink()
    found, told = restored(place)
    assert found is None
    assert len(told) == checkpoints.KEPT + 1
    assert ("checksum of log-" if damage == "cut" else "is missing") in told[0]
    assert told[-1].endswith("starting again")
    assert list(place.iterdir()) == []


def test_other_versions_are_refused_unless_allowed(place):
    with pytest.raises(RunError, match="jax 1, now 2"):
        restored(place, versions={"jax": "2"})
    assert restored(place, versions={"jax": "2"}, allow_stale=True)[0] is not None


def test_those_of_another_run_are_refused(images, whole, tmp_path):
    """Of the same shapes, seeds and versions; those from before they said whose they are go on."""
    Ran(tmp_path, STUDY, images, dispatches=2, run="one")
    before = numbers(tmp_path)
    with pytest.raises(RunError, match="a checkpoint of the run one, not of this one"):
        restored(tmp_path, run="other")
    assert numbers(tmp_path) == before
    assert Ran(tmp_path, STUDY, images, run="one").where


def test_networks_of_other_shapes_are_not_taken(place):
    store = checkpoints.Store(place, seconds=0, versions=VERSIONS, tell=lambda _: None)
    wrong = [jax.ShapeDtypeStruct((10**6, 10**6), np.float32)] * 19
    assert store.restore(wrong, arms=2, seeds=STUDY.seed_list) is None


def test_checkpoints_are_as_far_apart_as_they_should_be(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    store = checkpoints.Store(tmp_path, seconds=5, versions={})
    position = checkpoints.Position([[0]], 0, 1, 1.0)
    assert not store.due()  # from here on time counts
    now[0] = 4.9
    assert not store.due()
    now[0] = 5.0
    assert store.due()
    store.save(position, [np.zeros(3)], [journal.Journal([np.zeros((1, 1))])])
    now[0] = 7.0  # what was written meanwhile took 2 seconds
    store.close()
    now[0] = 44.0
    assert not store.due()
    now[0] = 46.0
    assert store.due()


def test_a_writer_whose_folder_was_taken_away_is_ended_whatever_it_meets(tmp_path, monkeypatch):
    place, ended = tmp_path / "checkpoints" / "000000001-a", []
    store = checkpoints.Store(place, seconds=0, versions=VERSIONS)
    place.mkdir(parents=True)
    manager = store._manager
    close = manager.close

    def fails() -> None:
        raise FileNotFoundError("state")

    monkeypatch.setattr(manager, "wait_until_finished", fails)
    monkeypatch.setattr(manager, "close", lambda: (ended.append(True), close()))
    store.abandon()
    assert ended
    assert not place.parent.exists()


LATE = """
import asyncio, sys
from pathlib import Path
import tensorstore
from kernelstudy.training.checkpoints import Store

Store(Path(sys.argv[1]), seconds=0, versions={})._manager
promise, written = tensorstore.Promise.new()

async def save():
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(asyncio.wait_for(written, 10))
    await asyncio.sleep(0.05)
    closed = asyncio.new_event_loop()
    closed.close()
    loop.call_soon_threadsafe = closed.call_soon_threadsafe
    promise.set_result(1)
    await asyncio.sleep(0.05)
    waiting.cancel()

class Told:
    def __del__(self):
        raise RuntimeError("told")

asyncio.run(save())
Told()
"""


def test_a_write_that_ends_when_orbax_has_given_up_is_not_told(tmp_path):
    """As of a holder that wakes when its checkpoints are another's: one sentence, and no traceback besides."""
    (tmp_path / "0").mkdir()
    words = [sys.executable, "-c", LATE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "closed" not in done.stderr
    assert "told" in done.stderr
