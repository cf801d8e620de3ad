"""Somebody else's loop, recorded: bits, steps, what ends it, and what the report says of it."""

import errno
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import kernelstudy
from kernelstudy import runs
from kernelstudy.recording import points
from kernelstudy.runs.lock import HeldError
from kernelstudy.system.errors import InputError, RunError
from tests.commands import run_here

pytestmark = pytest.mark.usefixtures("coarse")
KERNELS = np.random.default_rng(0).standard_normal((6, 2, 3, 3, 1, 8)).astype(np.float32)


def drift(place, arm, seed, steps=(0, 10, 40), images=None):
    """Kernels that turn from noise to Sobel's over training, recorded."""
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)[:, :, None, None]
    start = np.random.default_rng(seed).standard_normal((3, 3, 1, 8)).astype(np.float32)
    log = kernelstudy.Recorder(place, arm=arm, seed=seed, images=images, layout="hwio")
    for step in steps:
        log(step, start + step / 10 * sobel, accuracy=step / 100, now=True)
    log.close()
    return log.folder


def test_log_steps_grow_by_a_quarter_and_the_last_is_logged(tmp_path):
    with kernelstudy.Recorder(tmp_path, layout="hwio") as log:
        logged = [step for step in range(47) if log(step, KERNELS[0, 0] * (1 + step))]
    assert logged == [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24, 30, 38]
    assert points.steps(log.folder) == [*logged, 46]
    with kernelstudy.Recorder(tmp_path, seed=1, every=20, layout="hwio") as log:
        logged = [step for step in range(47) if log(step, KERNELS[0, 0])]
        assert log(46, KERNELS[0, 0], now=True)
    assert logged == [0, 20, 40]
    run = kernelstudy.open_run(log.folder)
    assert run["step"].values.tolist() == [0, 20, 40, 46]
    assert run["kernel"].attrs["long_name"]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_kernels_are_the_models_to_the_bit(tmp_path, kind):
    kernels = KERNELS[0, 0].astype(kind) * kind(1 / 3)
    with kernelstudy.Recorder(tmp_path, layout="hwio") as log:
        log(0, kernels)
        log(7, kernels[::-1] * kind(0.7))
    recorded = kernelstudy.open_run(log.folder)["kernel"].values[0, 0]
    assert recorded.dtype == kind
    np.testing.assert_array_equal(recorded[0], kernels)
    np.testing.assert_array_equal(recorded[1], kernels[::-1] * kind(0.7))


def test_plain_xarray_opens_a_trajectory_without_a_warning(tmp_path):
    folder = drift(tmp_path, "a", 0)
    with xr.open_zarr(folder / "trajectory.zarr") as dataset:
        assert dataset["kernel"].shape == (1, 1, 3, 3, 3, 1, 8)


def test_a_place_is_one_population(tmp_path):
    rng = np.random.default_rng(3)
    images = rng.random((20, 12, 12)).cumsum(axis=2)
    for arm in ("one", "two"):
        for seed in range(6):
            drift(tmp_path / "mine", arm, seed, images=images)
    page = kernelstudy.report(tmp_path / "mine")
    assert page == tmp_path / "mine" / "joined" / "report.html"
    joined = page.parent
    run = kernelstudy.open_run(joined, measures=True)
    assert run.sizes["seed"] == 6
    assert run["arm"].values.tolist() == ["one", "two"]
    assert run["r2_sobel_centered"].isel(step=-1).min() > 0.5
    assert run["r2_sobel_centered"].isel(step=0).max() < 0.6
    settings = (joined / runs.CONFIG).read_text()
    assert "recorded: true" in settings
    text = (joined / "report.md").read_text()
    assert "2 arms x 6 seeds = 12, recorded from an array up to step 40" in text
    assert "derivative-like beyond chance in 2 of 2 arms" in text
    # once more, by the command and with a shell's *
    words = [sys.executable, "-m", "kernelstudy.report", *map(str, (tmp_path / "mine").iterdir())]
    subprocess.run(words, check=True, capture_output=True)
    assert kernelstudy.compare(f"{joined}:two").measured[0].networks == 6


def test_recordings_that_do_not_belong_together_are_told(tmp_path):
    drift(tmp_path / "a", "one", 0, steps=(0, 10))
    drift(tmp_path / "a", "one", 1, steps=(5, 11))
    with pytest.raises(RunError, match="no logged step in common"):
        kernelstudy.report(tmp_path / "a")
    with kernelstudy.Recorder(tmp_path / "b", layout="hwio") as log:
        log(0, KERNELS[0, 0])
        log(1, KERNELS[0, 0])
    with kernelstudy.Recorder(tmp_path / "b", seed=1, layout="hwio") as log:
        log(0, KERNELS[0, 0, ..., :4])
        log(1, KERNELS[0, 0, ..., :4])
    with pytest.raises(RunError, match="different shapes"):
        kernelstudy.report(tmp_path / "b")


def test_without_images_and_scores_the_report_says_so(tmp_path):
    log = kernelstudy.Recorder(tmp_path, layout="hwio")
    log(3, KERNELS[0, 0])
    log(9, KERNELS[0, 1])
    log.close()
    page = kernelstudy.report(tmp_path)
    text = page.with_suffix(".md").read_text()
    assert "none given" in text
    assert "N3" not in (page.parent / "tables" / "ladder.csv").read_text()
    assert not (page.parent / "figures" / "performance.png").exists()


def test_what_cannot_be_recorded_is_one_sentence_and_what_was_logged_stays(tmp_path):
    log = kernelstudy.Recorder(tmp_path, layout="hwio")
    with pytest.raises(ValueError, match="no convolution"):
        log(0, {"dense": {"kernel": np.zeros((4, 3), np.float32)}})
    with pytest.raises(ValueError, match="square ones of 3, 5, 7, 9, 11"):
        log(0, np.zeros((4, 4, 3, 8), np.float32))
    log(0, KERNELS[0, 0])
    log(4, KERNELS[0, 0])
    with pytest.raises(InputError, match="steps must not go back"):
        log(2, KERNELS[0, 0])
    with pytest.raises(InputError, match=r"had the shape \(3, 3, 1, 8\)"):
        log(9, KERNELS[0, 0, ..., :5])
    assert points.steps(log.folder) == [0, 4]
    with pytest.raises(ValueError, match="is no layer"):
        kernelstudy.Recorder(tmp_path / "x", layer="conv9")(0, {"conv1": {"kernel": KERNELS[0, 0]}})
    for wrong in ({"arm": "../up"}, {"arm": ""}, {"seed": -1}, {"every": "often"}, {"every": 0}):
        with pytest.raises(InputError):
            kernelstudy.Recorder(tmp_path / "y", **wrong)
    assert not (tmp_path / "y").exists()
    log.close()
    log.close()
    with pytest.raises(InputError, match="closed"):
        log(99, KERNELS[0, 0])


def test_weights_that_are_not_finite_are_a_diverged_network(tmp_path):
    for seed in range(2):
        log = kernelstudy.Recorder(tmp_path, seed=seed, layout="hwio")
        log(0, KERNELS[0, 0])
        log(1, KERNELS[0, 1] * (np.nan if seed else 1))
        log.close()
    page = kernelstudy.report(tmp_path)
    assert "excluded: 1 of 2 in trained" in page.with_suffix(".md").read_text()


def test_one_recorder_at_a_time_and_none_is_mixed(tmp_path):
    first = kernelstudy.Recorder(tmp_path, layout="hwio")
    first(0, KERNELS[0, 0])
    with pytest.raises(HeldError):
        kernelstudy.Recorder(tmp_path, resume=True)
    first(1, KERNELS[0, 1])
    first.close()
    with pytest.raises(InputError, match="resume=True"):
        kernelstudy.Recorder(tmp_path)
    again = kernelstudy.Recorder(tmp_path, layout="hwio", resume=True)
    assert again.last_step == 1
    with pytest.raises(InputError, match="holds a recording of"):
        again(2, KERNELS[0, 0, ..., :4])
    again(2, KERNELS[1, 0])
    again.close()
    assert kernelstudy.open_run(again.folder)["step"].values.tolist() == [0, 1, 2]


def test_a_full_disk_is_told_and_the_training_goes_on(tmp_path, monkeypatch):
    log = kernelstudy.Recorder(tmp_path, layout="hwio")
    log(0, KERNELS[0, 0])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(points.files, "write_bytes", full)
        with pytest.warns(UserWarning, match="step 1 was not logged: No space left"):
            assert not log(1, KERNELS[0, 1])
    assert log(2, KERNELS[0, 1])
    log.close()
    assert points.steps(log.folder) == [0, 2]


LOOP = """
import sys, time, numpy as np, kernelstudy
log = kernelstudy.Recorder(sys.argv[1], layout="hwio")
for step in range(10**6):
    log(step, np.full((3, 3, 1, 4), step, np.float32) + np.arange(36, dtype=np.float32).reshape(3, 3, 1, 4))
    print(step, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_what_it_logged(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while int(process.stdout.readline()) < 300:
        pass
    process.send_signal(number)
    process.stdout.close()
    process.wait()
    folder = tmp_path / "trained" / "0"
    logged = points.steps(folder)
    assert logged[-1] >= 200
    page = kernelstudy.report(tmp_path)
    assert f"in training, last seen at step {logged[-1]:,}" in page.with_suffix(".md").read_text()
    recorded = kernelstudy.open_run(page.parent)["kernel"].values[0, 0, :, 0, 0, 0, 0]
    np.testing.assert_array_equal(recorded, logged)
    with kernelstudy.Recorder(tmp_path, layout="hwio", resume=True) as log:
        assert log.last_step == logged[-1]


def test_status_shows_recordings(tmp_path):
    log = kernelstudy.Recorder(tmp_path / "mine", layout="hwio")
    log(0, KERNELS[0, 0])
    log(1, KERNELS[0, 1])
    told = run_here(tmp_path, "kernelstudy.status", "mine").stdout
    assert "running" in told
    assert "last logged at step 1" in told
    log.close()
    assert "1 done" in run_here(tmp_path, "kernelstudy.status", "mine").stdout


def test_arrays_within_jit(tmp_path):
    log = kernelstudy.Recorder(tmp_path)
    params = {
        "conv1": {"kernel": jnp.asarray(KERNELS[0, 0])},
        "conv2": {"kernel": jnp.ones((3, 3, 8, 4))},
    }

    @jax.jit
    def update(params, step):
        log.traced(step, params, loss=jnp.float32(step))
        return jax.tree.map(lambda w: w * 0.5, params)

    seen = []
    for step in range(12):
        seen.append(np.asarray(params["conv1"]["kernel"]))
        params = update(params, step)
    log.close()
    run = kernelstudy.open_run(log.folder)
    steps = run["step"].values
    assert steps[0] == 0
    assert steps[-1] == 11
    for row, step in enumerate(steps):
        np.testing.assert_array_equal(run["kernel"].values[0, 0, row], seen[step])
    assert run["train_loss"].values[0, 0].tolist() == steps.tolist()


def test_provenance_says_which_layer(tmp_path):
    log = kernelstudy.Recorder(tmp_path)
    log(
        0,
        {
            "conv1": {"kernel": KERNELS[0, 0]},
            "conv2": {"kernel": np.ones((3, 3, 8, 4), np.float32)},
        },
    )
    log(
        1,
        {
            "conv1": {"kernel": KERNELS[0, 1]},
            "conv2": {"kernel": np.ones((3, 3, 8, 4), np.float32)},
        },
    )
    log.close()
    provenance = json.loads((log.folder / runs.PROVENANCE).read_text())
    assert provenance["recorded"]["layer"].startswith("conv1/kernel: 3x3, 1 -> 8")


def test_dashboards_show_the_log_points(tmp_path):
    from tests.reporting.test_tensorboard import scalars

    with kernelstudy.Recorder(tmp_path, layout="hwio", to="tensorboard") as log:
        log(0, KERNELS[0, 0], accuracy=0.1)
        log(1, KERNELS[0, 1], accuracy=0.5, loss=2.0)
    found = scalars(log.folder / "tensorboard")
    assert found["test_accuracy/trained", 1] == pytest.approx(0.5)
    assert found["train_loss/trained", 1] == 2
    assert ("sectors/odd/trained", 0) in found
    with pytest.raises(InputError, match="neither"):
        kernelstudy.Recorder(tmp_path / "x", to="excel")


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged, real = [], wandb.Run.log
    monkeypatch.setattr(
        wandb.Run,
        "log",
        lambda run, point, **more: (logged.append(point), real(run, point, **more)),
    )
    with kernelstudy.Recorder(tmp_path / "mine", layout="hwio", to="wandb") as log:
        log(0, KERNELS[0, 0], accuracy=0.25)
        log(1, KERNELS[0, 1])
    assert [point["kernelstudy/step"] for point in logged] == [0, 1]
    assert logged[0]["kernelstudy/test_accuracy/trained"] == 0.25
    assert "kernelstudy/kernels/trained" in logged[1]
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_the_last_step_is_as_it_was_seen(tmp_path):
    kernels = KERNELS[0, 0].copy()
    with kernelstudy.Recorder(tmp_path, layout="hwio") as log:
        for step in range(100):
            log(step, kernels * 1)
            if step < 99:
                kernels[:] = step + 1
            log(step, kernels)
        kernels[:] = -1  # the best weights of before, for instance
    run = kernelstudy.open_run(log.folder)
    assert run["step"].values[-1] == 99
    assert (run["kernel"].values[0, 0, -1] == 99).all()


def test_memory_that_jax_gives_on_is_not_lost(tmp_path):
    update = jax.jit(lambda w: w + 1, donate_argnums=0)
    params = {"conv1": {"kernel": jnp.zeros((3, 3, 1, 4))}}
    log = kernelstudy.Recorder(tmp_path)
    for step in range(100):
        log(step, params)
        params["conv1"]["kernel"] = update(params["conv1"]["kernel"])
    log.close()
    run = kernelstudy.open_run(log.folder)
    kernels = run["kernel"].values[0, 0, :, 0, 0, 0, 0]
    np.testing.assert_array_equal(kernels, run["step"].values)
    assert run["step"].values[-1] == 99


def test_numbers_that_are_none_are_left_out_with_a_warning(tmp_path):
    log = kernelstudy.Recorder(tmp_path, layout="hwio", every=1)
    with pytest.warns(UserWarning, match="accuracy: 93.2 is not from 0 to 1"):
        log(0, KERNELS[0, 0], accuracy=93.2)
    log(1, KERNELS[0, 0], accuracy=1.0000001, loss=1.5)
    log(1, KERNELS[0, 0], now=True)  # adds nothing, and takes nothing
    with pytest.warns(UserWarning, match="loss"):
        log(2, KERNELS[0, 0], accuracy=np.float32(0.5), loss=np.array([1.0, 2.0]))
    log.close()
    run = kernelstudy.open_run(log.folder)
    np.testing.assert_array_equal(run["test_accuracy"].values[0, 0], np.float32([np.nan, 1, 0.5]))
    np.testing.assert_array_equal(run["train_loss"].values[0, 0], np.float32([np.nan, 1.5, np.nan]))


def test_a_training_may_go_on_at_an_earlier_checkpoint(tmp_path, capsys):
    with kernelstudy.Recorder(tmp_path, layout="hwio", every=10) as log:
        for step in range(0, 55, 5):
            log(step, KERNELS[0, 0] + step)
    with kernelstudy.Recorder(tmp_path, layout="hwio", every=10, resume=True) as log:
        log(25, KERNELS[0, 0] - 25, now=True)
        log(35, KERNELS[0, 0] - 35)
    assert "goes on at step 25: 3 log points beyond it, to step 50" in capsys.readouterr().err
    run = kernelstudy.open_run(log.folder)
    assert run["step"].values.tolist() == [0, 10, 20, 25, 35]
    np.testing.assert_array_equal(run["kernel"].values[0, 0, -1], KERNELS[0, 0] - 35)


def test_what_others_do_to_a_recording_does_not_end_the_training(tmp_path, monkeypatch):
    log = kernelstudy.Recorder(tmp_path / "a", layout="hwio", every=1)
    log(0, KERNELS[0, 0])
    (log.folder / ".holder").unlink()
    with pytest.warns(UserWarning, match="step 1 was not logged"):
        log(1, KERNELS[0, 0])
    with pytest.warns(UserWarning, match="was not logged|fewer than two"):
        log.close()
    log = kernelstudy.Recorder(tmp_path / "b", layout="hwio", every=1)
    monkeypatch.setattr(log, "_dashboard", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="did not take step 0"):
        assert log(0, KERNELS[0, 0])
    assert log(1, KERNELS[0, 0])
    log.close()
    assert kernelstudy.open_run(log.folder).sizes["step"] == 2


def test_nor_does_what_they_do_before_the_first_step(tmp_path, monkeypatch):
    log = kernelstudy.Recorder(tmp_path / "a", layout="hwio", every=1)
    (log.folder / ".holder").unlink()
    with pytest.warns(UserWarning, match="step 0 was not logged: .* taken over"):
        assert not log(0, KERNELS[0, 0])
    with pytest.warns(UserWarning, match="fewer than two"):
        log.close()
    log = kernelstudy.Recorder(tmp_path / "b", layout="hwio", every=1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(points, "write_about", full)
        with pytest.warns(UserWarning, match="No space left"):
            assert not log(0, KERNELS[0, 0])
    assert log(1, KERNELS[0, 0])  # space was made
    assert log(2, KERNELS[0, 0])
    log.close()
    assert kernelstudy.open_run(log.folder)["step"].values.tolist() == [1, 2]


def test_a_forked_child_leaves_its_parents_recording_alone(tmp_path):
    code = (
        "import os, sys, numpy as np, kernelstudy\n"
        "log = kernelstudy.Recorder(sys.argv[1], layout='hwio', every=1)\n"
        "log(0, np.ones((3, 3, 1, 4), np.float32))\n"
        "if os.fork() == 0: sys.exit(0)\n"
        "os.wait()\n"
        "log(1, np.ones((3, 3, 1, 4), np.float32))\n"
        "log.close()\n"
    )
    words = [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert kernelstudy.open_run(tmp_path / "trained" / "0").sizes["step"] == 2


def test_wrong_words_are_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for wrong in (
        {"every": 2.5},
        {"seed": 1.5},
        {"arm": 3},
        {"layout": "foo"},
        {"place": tmp_path / "file"},
    ):
        with pytest.raises(InputError):
            kernelstudy.Recorder(**{"place": tmp_path / "x", **wrong})
    log = kernelstudy.Recorder(tmp_path / "a", every=np.int64(2), seed=np.int64(3), layout="hwio")
    assert [step for step in range(6) if log(np.int64(step), KERNELS[0, 0])] == [0, 2, 4]
    with pytest.raises(InputError, match="whole number"):
        log(6.5, KERNELS[0, 0])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeldError, match="this very process"):
        kernelstudy.Recorder("a", seed=3)
    log.close()
    assert kernelstudy.open_run(tmp_path / "a" / "trained" / "3").sizes["step"] == 4


@pytest.mark.slow
def test_a_damaged_log_point_costs_itself_alone(tmp_path):
    folder = drift(tmp_path, "a", 0, steps=(0, 10, 20, 40))
    (folder / points.POINTS / f"{20:012d}.npz").write_bytes(b"")
    (folder / "DONE").unlink()
    page = kernelstudy.report(tmp_path)
    assert kernelstudy.open_run(page.parent)["step"].values.tolist() == [0, 10, 40]


def test_arms_that_saw_different_images_have_their_own_axes(tmp_path):
    rng = np.random.default_rng(5)
    images = {"one": rng.random((9, 12, 12)), "two": rng.random((9, 12, 12)).cumsum(axis=2)}
    for arm, seen in images.items():
        drift(tmp_path, arm, 0, images=seen)
    drift(tmp_path, "two", 1, steps=(0, 1), images=images["two"])  # not in the report
    run = kernelstudy.open_run(kernelstudy.report(tmp_path).parent)
    assert run["patch_basis"].dims[0] == "arm"
    assert run["step"].values.tolist() == [0, 10, 40]
