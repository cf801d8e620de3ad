"""Checkpoints: a training that ends anywhere goes on to the same bits, whatever has become of its files."""

import dataclasses
import signal

import numpy as np
import pytest
import xarray as xr

from kernelstudy.config import Arm, Bank, Data, Model, Study
from kernelstudy.data.images import Images
from kernelstudy.runs import RunError
from kernelstudy.stopping import Stopped
from kernelstudy.training import checkpoints, journal, population

STUDY = Study(
    arms=[Arm("he_normal"), Arm("sobel", labels="shuffled", first_layer="frozen")],
    seeds=[3, 0, 7],
    steps=40,
    batch_size=8,
    log_points=5,
    model=Model(width=2, deep_width=3),
    bank=Bank(["sobel_x"]),
)
VERSIONS = {"jax": "1"}


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(0)
    made = rng.standard_normal((60, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(3, size=60).astype(np.int32)
    labels[:3] = 0, 1, 2
    return Images(made[:40], labels[:40], made[40:], labels[:20], 3, {}, made[:9], labels[:9])


class Ran:
    """What one process did of a training, until a signal after so many dispatches."""

    def __init__(self, place, study, images, *, dispatches=10**6, **settings):
        self.told, self.records, self.where, self.steps = [], [], None, []
        left = iter(range(dispatches))
        store = checkpoints.Store(
            place,
            **{"seconds": 0, "versions": VERSIONS, "tell": self.told.append} | settings,
        )
        try:
            self.trajectory = population.train_population(
                study,
                images,
                on_step=lambda step, accuracy: self.steps.append(step),
                on_log=lambda record: self.records.append(record),
                on_resume=self.resumed,
                store=store,
                signal=lambda: signal.SIGTERM if next(left, None) is None else 0,
            )
        except Stopped as stopped:
            assert stopped.status == 143
            self.trajectory = None

    def resumed(self, where, seconds, records):
        assert seconds > 0
        self.where, self.records = where, list(records)


def untimed(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    return Ran(tmp_path_factory.mktemp("whole"), STUDY, images)


@pytest.mark.parametrize("dispatches", [0, 1, 4, 6])
def test_it_goes_on_to_the_same_bits(images, whole, tmp_path, dispatches):
    first = Ran(tmp_path, STUDY, images, dispatches=dispatches)
    assert first.trajectory is None
    second = Ran(tmp_path, STUDY, images)
    assert second.where.endswith("of 40")
    xr.testing.assert_identical(second.trajectory, whole.trajectory)
    assert untimed(second.records) == untimed(whole.records)
    assert first.steps + second.steps == whole.steps  # nothing is trained twice
    assert second.told == []


def test_groups_augmentation_and_other_devices(images, tmp_path):
    """Two groups of seeds, images shifted at random, stopped four times; then on one device."""
    study = dataclasses.replace(STUDY, data=Data(shift=1), memory_gib=20e-6)
    whole = Ran(tmp_path / "whole", study, images)
    assert len({tuple(record["seeds"]) for record in whole.records}) == 2
    for dispatches in (2, 5, 3, 4):
        assert Ran(tmp_path / "parts", study, images, dispatches=dispatches).trajectory is None
    # a group that is begun is finished as it was begun, whatever memory there is now
    last = dataclasses.replace(study, devices=1, memory_gib=1.0)
    found = Ran(tmp_path / "parts", last, images)
    assert "group 2 of 2" in found.where
    xr.testing.assert_identical(found.trajectory, whole.trajectory)
    assert untimed(found.records) == untimed(whole.records)


def test_two_checkpoints_are_kept_and_pieces_are_written_once(images, tmp_path):
    Ran(tmp_path, STUDY, images, dispatches=5)
    kept = sorted(int(path.name) for path in tmp_path.iterdir() if path.is_dir())
    assert len(kept) == checkpoints.KEPT
    found = journal.pieces(tmp_path)
    assert [p.stop for p in found[:-1]] == [p.start for p in found[1:]]
    assert found[-1].stop == kept[-1]


def _truncate(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(path):
    for file in path.rglob("d/*"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def _empty(path):
    for file in sorted(path.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(images, whole, tmp_path, damage):
    Ran(tmp_path, STUDY, images, dispatches=5)
    kept = sorted(int(path.name) for path in tmp_path.iterdir() if path.is_dir())
    damage(tmp_path / str(kept[-1]))
    second = Ran(tmp_path, STUDY, images)
    assert second.where == f"step {kept[0]} of 40"
    assert len(second.told) == 1
    assert f"{kept[-1]} is damaged" in second.told[0]
    xr.testing.assert_identical(second.trajectory, whole.trajectory)
    assert untimed(second.records) == untimed(whole.records)


def test_damage_to_all_of_them_starts_again(images, whole, tmp_path):
    Ran(tmp_path, STUDY, images, dispatches=5)
    for piece in journal.pieces(tmp_path)[:1]:
        piece.path.write_bytes(piece.path.read_bytes()[:-1])
    second = Ran(tmp_path, STUDY, images)
    assert second.where is None
    assert len(second.told) == checkpoints.KEPT + 1
    assert "checksum of log-" in second.told[0]
    assert second.told[-1].endswith("starting again")
    xr.testing.assert_identical(second.trajectory, whole.trajectory)


def test_other_versions_are_refused_unless_allowed(images, whole, tmp_path):
    Ran(tmp_path, STUDY, images, dispatches=3)
    with pytest.raises(RunError, match="jax 1, now 2"):
        Ran(tmp_path, STUDY, images, versions={"jax": "2"})
    second = Ran(tmp_path, STUDY, images, versions={"jax": "2"}, allow_stale=True)
    xr.testing.assert_identical(second.trajectory, whole.trajectory)


def test_checkpoints_are_as_far_apart_as_they_should_be(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    store = checkpoints.Store(tmp_path, seconds=5, versions={})
    position = checkpoints.Position([[0]], 0, 1, 1.0)
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
