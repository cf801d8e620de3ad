"""Run directories: their names, and that what is written is whole or not there."""

import dataclasses
import json
import os
import socket
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from kernelstudy import runs
from kernelstudy.config import Arm, Bank, Study
from kernelstudy.data import images
from kernelstudy.data.options import Data
from kernelstudy.jobs import job
from kernelstudy.system import files
from kernelstudy.system.errors import RunError
from kernelstudy.system.software import environment, versions
from tests.synthetic import PROVENANCE, trajectory

STUDY = Study(name="demo", arms=[Arm("he_normal")], bank=Bank(["sobel_x"]))


def changed(**changes) -> Study:
    return dataclasses.replace(STUDY, **changes)


def finished(place, study=STUDY):
    runs.start(place, study)
    runs.finish(place, trajectory(seeds=2), {"command": "x"})
    return place


def test_id_holds_what_changes_the_result_and_nothing_else():
    same = [changed(runs_dir="elsewhere"), changed(devices=1), changed(seeds=list(range(10)))]
    assert {runs.run_id(s) for s in same} == {runs.run_id(STUDY)}
    other = [changed(steps=3), changed(seeds=9), changed(arms=[Arm("he_normal", scale=0.5)])]
    assert len({runs.run_id(s) for s in [STUDY, *other]}) == 4


def test_a_version_has_ids_of_its_own(monkeypatch):
    before = runs.run_id(STUDY)
    monkeypatch.setattr("kernelstudy.runs.directory.__version__", "99")
    assert runs.run_id(STUDY) != before


def test_place():
    assert runs.run_dir(STUDY).parts[:3] == ("results", "runs", "demo")


def test_a_trajectory_comes_back_as_it_was(tmp_path):
    place = finished(tmp_path / "run")
    assert runs.is_done(place)
    xr.testing.assert_identical(runs.read_trajectory(place), trajectory(seeds=2))
    assert runs.read_settings(place).steps == 400
    assert runs.read_provenance(place) == {"command": "x"}
    assert not [p for p in place.iterdir() if p.name.startswith(".")]


def test_a_run_that_starts_again_keeps_its_checkpoints_alone(tmp_path):
    run = tmp_path / "run"
    runs.start(run, STUDY)
    runs.append_metrics(run, {"step": 0})
    files.write_text(run / runs.FAILED, "Traceback")
    (run / runs.CHECKPOINTS).mkdir()
    left = run / f".trajectory.zarr.partial-{socket.gethostname()}-{2**22 + 1}-abc"
    left.mkdir()
    own = run / f".figures.partial-{socket.gethostname()}-{os.getpid()}-abc"
    own.mkdir()
    runs.start(run, STUDY)
    assert {p.name for p in run.iterdir()} == {runs.CONFIG, runs.CHECKPOINTS, own.name}


def test_metrics_are_one_object_a_line(tmp_path):
    for step in (0, 1):
        runs.append_metrics(tmp_path, {"step": step})
    lines = (tmp_path / runs.METRICS).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_dataset_replaces_another(tmp_path):
    for seeds in (2, 1):
        runs.write_dataset(tmp_path / "x.zarr", trajectory(seeds=seeds))
    with xr.open_zarr(tmp_path / "x.zarr", consolidated=False) as found:
        assert found.sizes["seed"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


def spoil(path, how):
    name = path / "seed" / "c" / "0"
    if how == "a byte":
        name.write_bytes(name.read_bytes()[:-1] + b"!")
    elif how == "one more":
        (path / "more").touch()
    else:
        name.unlink()
    if how == "a pipe":
        os.mkfifo(name)
    elif how == "a link":
        name.symlink_to("zarr.json")


@pytest.mark.parametrize("how", ["a byte", "one more", "lost", "a pipe", "a link"])
def test_a_dataset_is_written_again_only_where_it_differs(tmp_path, how):
    path = tmp_path / "x.zarr"
    runs.write_dataset(path, trajectory(seeds=2))
    before = path.stat().st_ino
    runs.write_dataset(path, trajectory(seeds=2))
    assert path.stat().st_ino == before
    spoil(path, how)
    runs.write_dataset(path, trajectory(seeds=2))
    assert path.stat().st_ino != before
    xr.testing.assert_identical(xr.open_zarr(path, consolidated=True), trajectory(seeds=2))
    assert not (path / "more").exists()


def test_the_consolidated_metadata_is_what_zarr_makes(tmp_path):
    ours, zarrs = tmp_path / "ours.zarr", tmp_path / "zarrs.zarr"
    runs.write_dataset(ours, trajectory(seeds=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trajectory(seeds=2).to_zarr(zarrs, consolidated=False)
        zarr.consolidate_metadata(zarrs)
    one, other = (json.loads((path / "zarr.json").read_text()) for path in (ours, zarrs))
    assert one == other
    files = [{p.relative_to(of) for p in of.rglob("*") if p.is_file()} for of in (ours, zarrs)]
    assert files[0] == files[1]


def test_what_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not a directory"):
        runs.read_trajectory(tmp_path / "missing")
    with pytest.raises(RunError, match="no finished run"):
        runs.read_trajectory(tmp_path)


@pytest.mark.parametrize("name", [runs.CONFIG, runs.PROVENANCE])
@pytest.mark.parametrize("content", ["", "{", "[1]", b"\xff\xfe\x00"])
def test_damaged_files_are_named(tmp_path, name, content):
    place = finished(tmp_path / "run")
    (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    read = runs.read_settings if name == runs.CONFIG else runs.read_provenance
    with pytest.raises(RunError, match=name):
        read(place)


def test_a_damaged_trajectory_is_named(tmp_path):
    place = finished(tmp_path / "run")
    for file in (place / runs.TRAJECTORY / "kernel").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(RunError, match=r"trajectory\.zarr cannot be read"):
        runs.read_trajectory(place)


def test_environment_names_versions():
    found = environment()
    assert {"jax", "flax", "numpy"} <= found["packages"].keys()
    assert found["python"].startswith("3.")


def test_a_flipped_bit_is_found_by_its_checksum(tmp_path):
    place = finished(tmp_path / "run")
    chunk = next(p for p in (place / runs.TRAJECTORY / "kernel" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"trajectory\.zarr cannot be read: .* checksum"):
        runs.read_trajectory(place)


@pytest.mark.parametrize("change", ["lost", "added"])
def test_files_that_are_lost_or_added_are_found(tmp_path, change):
    place = finished(tmp_path / "run")
    path = place / runs.TRAJECTORY / "kernel" / "zarr.json"
    path.unlink() if change == "lost" else path.with_name("zarr.json2").write_text("{}")
    with pytest.raises(RunError, match=r"is missing|was not written by the run"):
        runs.read_trajectory(place)


def test_runs_from_before_there_were_checksums_are_read(tmp_path):
    place = finished(tmp_path / "run")
    (place / runs.DONE).write_text("")
    xr.testing.assert_identical(runs.read_trajectory(place), trajectory(seeds=2))


def test_checkpoints_are_gone_once_a_run_is_finished(tmp_path):
    (tmp_path / "run" / runs.CHECKPOINTS).mkdir(parents=True)
    assert not (finished(tmp_path / "run") / runs.CHECKPOINTS).exists()


def test_a_process_killed_as_it_clears_them_away_leaves_none(tmp_path):
    place, unfinished = finished(tmp_path / "done"), tmp_path / "begun"
    for run in (place, unfinished):
        (run / runs.CHECKPOINTS / "000000001-a" / "20").mkdir(parents=True)
        runs.tidy(run)
    assert not (place / runs.CHECKPOINTS).exists()
    assert (unfinished / runs.CHECKPOINTS / "000000001-a" / "20").is_dir()


def test_a_run_of_other_versions_is_told(tmp_path):
    place = tmp_path / "run"
    runs.start(place, STUDY)
    runs.finish(place, trajectory(seeds=2), {"command": "x", **environment()})
    assert runs.stale(place) == ""
    job._refuse_stale(STUDY, place)
    provenance = runs.read_provenance(place)
    provenance["packages"]["jaxlib"] = "0.1"
    files.write_text(place / runs.PROVENANCE, json.dumps(provenance))
    now = versions()["jaxlib"]
    assert runs.stale(place) == f"jaxlib 0.1 where {now} is here"
    with pytest.raises(RunError, match="allow_stale=true accepts it"):
        job._refuse_stale(STUDY, place)
    job._refuse_stale(changed(allow_stale=True), place)


def test_a_run_on_images_that_have_changed_since_is_told(tmp_path, monkeypatch):
    """One's own images: their path is in the run's id, their contents are not."""
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "x.npz"
    pixels = np.arange(12 * 81, dtype=np.uint8).reshape(12, 9, 9)
    np.savez(path, images=pixels, labels=np.arange(12) % 2)
    study = changed(data=Data("arrays", path=str(path)))
    provenance = {**PROVENANCE, "data": images.load(study.data).facts}
    runs.start(tmp_path / "run", study)
    runs.finish(tmp_path / "run", trajectory(arms=("he_normal",), seeds=2), provenance)
    job._refuse_other_images(study, tmp_path / "run")
    job._refuse_other_images(STUDY, tmp_path / "run")
    np.savez(path, images=pixels + 1, labels=np.arange(12) % 2)
    with pytest.raises(RunError, match=r"was trained on other images than .* holds now"):
        job._refuse_other_images(study, tmp_path / "run")
    job._refuse_other_images(dataclasses.replace(study, allow_stale=True), tmp_path / "run")
    path.unlink()  # a finished run does not need them
    job._refuse_other_images(study, tmp_path / "run")


def test_the_same_settings_of_another_version_of_this_package_are_found(tmp_path):
    study = changed(runs_dir=str(tmp_path))
    assert runs.of_another_version(study) is None
    place = runs.run_dir(study).parent / "earlier"
    for settings, version in ((study, "0.0.1"), (changed(steps=7), "0.0.1"), (study, "0.1.0")):
        runs.start(place, settings)
        runs.finish(place, trajectory(seeds=2), {"kernelstudy": version})
        found = runs.of_another_version(study)
        assert found == (place if (settings, version) == (study, "0.0.1") else None)


def test_room_for_the_trajectory_is_set_aside_before_training(tmp_path):
    runs.reserve(tmp_path, 2**20)
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_blocks * 512 >= 2**20
    runs.release(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=r"the trajectory takes 1,0.* MiB"):
        runs.reserve(tmp_path, 2**60)
    assert list(tmp_path.iterdir()) == []


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    """They would begin mathematics, which ends in an error where it cannot be read."""
    from matplotlib.figure import Figure

    from kernelstudy.reporting import style

    with style.styled():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([1, 10], [1, 2], label="a$_$b")
        axes.set_title(r"$\foo$")
        axes.set_xscale("log")
        axes.set_yticks([1, 2], labels=["$^$", "b"])
        axes.legend()
    style.save(figure, tmp_path, "drawn")
    text = (tmp_path / "drawn.svg").read_text()
    assert r"<!-- $\foo$ -->" in text
    assert r"<!-- $\mathdefault{10^{1}}$ -->" in text


@pytest.mark.parametrize(
    "make", [lambda p: p.symlink_to(p.name), lambda p: p.symlink_to("nowhere")]
)
def test_a_loop_of_links_is_no_place_for_runs(tmp_path, make):
    make(tmp_path / "loop")
    with pytest.raises(OSError, match="Not a directory"):
        files.check_writable(tmp_path / "loop" / "demo")


def test_who_reads_while_a_directory_is_replaced_finds_one(tmp_path):
    import threading

    place, ended, missing = tmp_path / "store", threading.Event(), []

    def write(text):
        with files.replacing(place) as temporary:
            temporary.mkdir()
            (temporary / "file").write_text(text)

    def look():
        while not ended.is_set():
            missing.append(not place.exists())

    write("0")
    reader = threading.Thread(target=look)
    reader.start()
    for i in range(1, 60):
        write(str(i))
    ended.set()
    reader.join()
    assert (place / "file").read_text() == "59"
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    assert not any(missing)
