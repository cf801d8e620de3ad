"""The run command as a user meets it: in processes of its own where those matter."""

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console

from kernelstudy.config import Arm, ConfigError, Study
from kernelstudy.jobs import job
from tests.commands import run_here

pytestmark = pytest.mark.usefixtures("coarse")
TINY = ("+exp=mnist", "+debug=tiny")
ONE_ARM = "arms=[{init: he_normal}]"
SMALL = (*TINY, ONE_ARM, "steps=2", "probe_seeds=0")
SWEPT = (*SMALL, "name=swept", "seeds=[0],[1]", "model.kernel_size=4,3")


def run(place, *words):
    return run_here(place, "kernelstudy.run", *words)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("tiny")
    return place, run(place, *TINY)


def run_of(place, name="mnist"):
    (found,) = (place / "results" / "runs" / name).iterdir()
    return found


def test_it_ends_in_a_report(done):
    place, first = done
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("data: mnist5k: 4,000 training and 1,000 test images")
    assert "sha256" in lines[0]
    assert (place / lines[-1].removeprefix("report: ")).is_file()
    told = [line.partition(":")[0] for line in lines]
    assert [what for what in told if what != "time"] == [
        "data",
        "run",
        "note",
        "log",
        "answer",
        "report",
    ]
    assert first.stderr == ""  # no progress bar where there is no terminal


def test_the_run_directory(done):
    found = run_of(done[0])
    assert {p.name for p in found.iterdir()} == {
        *("config.yaml", "provenance.json", "metrics.jsonl", "trajectory.zarr", "analysis.zarr"),
        *("tables", "figures", "report.html", "report.md", "DONE"),
    }
    with xr.open_zarr(found / "trajectory.zarr", consolidated=False) as trajectory:
        assert trajectory["kernel"].dims == ("arm", "seed", "step", "ky", "kx", "cin", "cout")
        assert trajectory["kernel"].shape == (4, 2, 4, 3, 3, 1, 16)
        assert trajectory["step"].values.tolist() == [0, 1, 3, 8]
    records = [json.loads(line) for line in (found / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [0, 1, 3, 8]
    assert records[0]["test_accuracy"].keys() == {
        *("he_normal", "he_normal/wd=2", "sobel/wd=2", "he_normal/shuffled/wd=2")
    }
    provenance = json.loads((found / "provenance.json").read_text())
    assert provenance["command"] == "python -m kernelstudy.run +exp=mnist +debug=tiny"
    assert provenance["argv"] == provenance["command"].split()
    assert provenance["data"]["train"] == 4000
    assert len(pd.read_csv(found / "tables" / "kernels.csv")) == 4 * 2 * 16


def test_initial_kernels_are_chances(done):
    """Step 0 of he_normal is isotropic noise as far as the sectors see it: odd share 4/9."""
    table = pd.read_csv(run_of(done[0]) / "tables" / "summary.csv")
    with xr.open_zarr(run_of(done[0]) / "trajectory.zarr", consolidated=False) as trajectory:
        kernels = trajectory["kernel"].sel(arm="he_normal").isel(step=0).values[..., 0, :]
    from kernelstudy.analysis import sectors

    odd = sectors(np.moveaxis(kernels, -1, 1).reshape(-1, 3, 3))[:, 4]
    assert abs(odd.mean() - 4 / 9) < 3 * odd.std() / np.sqrt(len(odd))
    assert {"odd", "delta_odd", "a_pop", "movement"} <= set(table["measure"])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Four jobs, of which two are bad. Those that are not share their programs with other tests."""
    place = tmp_path_factory.mktemp("swept")
    return place, run(place, "-m", *SWEPT)


def test_a_sweep_goes_on_after_a_bad_job(swept):
    place, told = swept
    assert told.returncode == 2
    assert told.stderr.count("model.kernel_size: 4") == 2
    assert "Traceback" not in told.stderr
    found = sorted((place / "results" / "runs" / "swept").iterdir())
    assert len(found) == 2
    assert all((run / "DONE").is_file() and (run / "report.html").is_file() for run in found)
    assert sorted(p.name for p in place.iterdir()) == ["results"]


@pytest.mark.slow
def test_without_a_report(swept):
    """Tables and the analysis alone; the report can be made later, and then is that of this run."""
    place, _ = swept
    words = ("-m", *SMALL, "name=bare", "seeds=[0]", "report=false")
    bare = run(place, *words)
    assert bare.returncode == 0, bare.stderr
    found = run_of(place, "bare")
    assert bare.stdout.splitlines()[-1] == f"tables: {found.relative_to(place) / 'tables'}"
    expected = {
        "config.yaml",
        "provenance.json",
        "metrics.jsonl",
        "trajectory.zarr",
        "analysis.zarr",
    }
    assert {p.name for p in found.iterdir()} == expected | {"tables", "DONE"}
    again = run(place, *words)  # nothing is missing
    assert again.stdout.splitlines() == bare.stdout.splitlines()[-1:]
    asked = run(place, *words[:-1])
    assert "making its report again" in asked.stdout
    assert (found / "report.html").is_file()


def test_a_sweep_again_does_what_is_missing(swept):
    """Here one report."""
    place, told = swept
    pages = [line for line in told.stdout.splitlines() if line.startswith("report: ")]
    gone, kept = (place / line.removeprefix("report: ") for line in pages)
    gone.unlink()
    before = kept.stat().st_mtime_ns
    again = run(place, "-m", *SWEPT)
    assert again.returncode == 2
    assert again.stdout.count("making its report again") == 1
    assert [line for line in again.stdout.splitlines() if line.startswith("report: ")] == pages
    assert gone.is_file()
    assert kept.stat().st_mtime_ns == before


def test_the_same_command_again_only_reports(swept):
    """Outside a sweep always: a report that is there is made again."""
    place, told = swept
    page = next(line for line in told.stdout.splitlines() if line.startswith("report: "))
    directory = (place / page.removeprefix("report: ")).parent
    files = (directory / "report.html", directory / "trajectory.zarr" / "zarr.json")
    before = [file.stat().st_mtime_ns for file in files]
    again = run(place, *SMALL, "name=swept", "seeds=[0]", "model.kernel_size=3")
    assert again.returncode == 0, again.stderr
    assert "is finished; making its report again" in again.stdout
    assert again.stdout.splitlines()[-1] == page
    after = [file.stat().st_mtime_ns for file in files]
    assert after[0] > before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "+exp=mnist"),
        (("+exp=mnsit",), "exp: 'mnsit' is not one of"),
        ((*TINY, "model.kernel_size=4"), "model.kernel_size: 4"),
        ((*TINY, "batch_size=4001"), "batch_size: 4001 is more than the 4,000"),
        ((*TINY, "devices=99999", "arms.0.init=he"), "arms[0].init: 'he'"),
        ((*TINY, "data=folder", "data.path=/none"), "data.path: /none does not exist"),
        ((*TINY, "data=arrays", "data.path=/none"), "data.path: /none cannot be read"),
        ((*TINY, "tests=[shift@28]"), "tests[0]: shift@28 leaves nothing of images of 28 x 28"),
        ((*TINY, "tests=[noice@1]"), "tests[0]: 'noice' is not one of"),
        ((*TINY, "memory_gib=1e-9"), "memory_gib: 1e-09 does not hold"),
        ((*TINY, "--frobnicate"), "--frobnicate: no such option"),
        (("--exp", "mnist"), "did you mean +exp=mnist?"),
        (("+exp=mnist", "seeds=100000"), "400,000 networks, more than most_networks=10,000"),
        (("+exp=mnist", "seeds=100000"), "most_networks=400000 allows them"),
        ((*TINY, r"=a\b"), r"'=a\b' names no key"),
        (("-m", "+exp=mnist", "model.kernl_size=3,5"), "model.kernl_size: no such key"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(tmp_path, words, said):
    told = run(tmp_path, *words)
    assert told.returncode == 2
    assert said in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", ["y", "n", None])
def test_many_networks_are_asked_about_at_a_terminal(monkeypatch, answer):
    """Nothing begins unless it is wanted; None: the terminal is closed."""
    typed = io.StringIO("" if answer is None else f"{answer}\n")
    typed.isatty = lambda: True  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(sys, "stdin", typed)
    shown = io.StringIO()
    monkeypatch.setattr(job, "console", lambda: Console(file=shown, force_terminal=True))
    study = Study(arms=[Arm("he_normal"), Arm("sobel")], seeds=3, most_networks=5)
    if answer == "y":
        job._allow_networks(study)
    else:
        with pytest.raises(ConfigError, match="2 arms x 3 seeds = 6 networks: not begun"):
            job._allow_networks(study)
    assert "6 networks, more than" in shown.getvalue()
    job._allow_networks(dataclasses.replace(study, most_networks=6))  # and nothing is asked


def test_a_process_ends_with_the_status_and_the_sentence(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "kernelstudy.run", *TINY, "model.kernel_size=4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert "model.kernel_size: 4" in told.stderr


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    told = run(tmp_path, *TINY, "runs_dir=file/runs")
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert "Not a directory" in told.stderr


@pytest.mark.parametrize("within", [".", "runs/mnist"])
def test_a_directory_that_is_read_only(tmp_path, within):
    """Root writes where it may not: without its capabilities it is as anybody."""
    directory = tmp_path / within
    directory.mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    directory.chmod(0o555)
    bound = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if bound and not shutil.which(bound[0]):
        pytest.skip("no setpriv here")
    told = subprocess.run(
        [*bound, sys.executable, "-m", "kernelstudy.run", *TINY, "runs_dir=runs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    directory.chmod(0o755)
    assert told.returncode == 2, told.stderr
    assert told.stdout == ""
    assert told.stderr == f"kernelstudy: {directory}: cannot be written\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_one_sentence(tmp_path):
    """A file system of 32 kB, mounted for this process alone."""
    mount = f"mkdir small && mount -t tmpfs -o size=32k tmpfs small && exec {sys.executable}"
    words = [*SMALL, "seeds=1", "runs_dir=small"]
    command = f"{mount} -m kernelstudy.run {shlex.join(words)}"
    process = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if "unshare" in process.stderr or "mount" in process.stderr:
        pytest.skip("this system mounts nothing for its users")
    assert process.returncode == 1
    assert "No space left on device" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("number", "status"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)],
)
def test_a_signal_ends_it_with_a_checkpoint_and_the_command(tmp_path, number, status):
    words = [*TINY, ONE_ARM, "probe_seeds=0", "steps=100000", "seeds=1", "name=stopped"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kernelstudy.run", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for _ in range(600):  # until it trains
        if list(tmp_path.glob("results/runs/stopped/*/metrics.jsonl")):
            break
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    try:
        _, told = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == status
    *_, first, last = told.decode().splitlines()
    assert first == "kernelstudy: ending after this segment; once more to end at once"
    same = shlex.join(["python", "-m", "kernelstudy.run", *words])
    pattern = r"kernelstudy: interrupted at step [\d,]+ of 100,000; this goes on: (.*)"
    assert re.fullmatch(pattern, last)[1] == same
    found = run_of(tmp_path, "stopped")
    assert {p.name for p in found.iterdir()} == {"config.yaml", "metrics.jsonl", "checkpoints"}


def test_a_crash_leaves_its_traceback_and_is_tried_again(tmp_path):
    """A first layer that no memory holds."""
    words = (*TINY, "seeds=1", "model.width=2147483647", "name=huge")
    for _ in range(2):
        crashed = run(tmp_path, *words)
        assert crashed.returncode == 1
        assert "kernelstudy: failed" in crashed.stderr
        assert "Traceback" in (run_of(tmp_path, "huge") / "FAILED").read_text()
        assert not (run_of(tmp_path, "huge") / "DONE").exists()
