"""Figures drawn by a second process are those that this one would draw, and none is missed."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from kernelstudy.reporting import drawing as module
from kernelstudy.reporting import style
from kernelstudy.reporting.drawing import drawing
from kernelstudy.runs.lock import LostError
from kernelstudy.system.files import guarded


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Those that are started, on a machine with two cores."""
    started, start = [], module._start
    monkeypatch.setattr(module, "_cores", lambda: 2)
    monkeypatch.setattr(module, "_start", lambda: started.append(start()) or started[-1])
    return started


def figure(title: str) -> Figure:
    with style.styled():
        drawn = Figure(figsize=(3, 2))
        axes = drawn.subplots(1, 2)
        axes[0].plot([1, 3, 2], label="a")
        axes[0].legend()
        axes[1].imshow(np.arange(12.0).reshape(3, 4), cmap=style.MAPS)
        drawn.suptitle(title)
    return drawn


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_those_of_one_process(processes, tmp_path):
    for name in "ab":
        style.save(figure(name), tmp_path / "here", name, width_mm=style.COLUMN_MM, dark=True)
    with drawing() as save:
        for name in "ab":
            save(figure(name), tmp_path / "there", name, width_mm=style.COLUMN_MM)
        while len(list((tmp_path / "there").glob("[a-z]*"))) < 6:  # both by the other process
            assert processes[0].poll() is None
    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert processes[0].poll() == 0


def test_a_process_that_dies_loses_no_figure(processes, tmp_path):
    with drawing() as save:
        os.kill(processes[0].pid, signal.SIGKILL)
        save(figure("a"), tmp_path, "a")
    assert set(content(tmp_path)) == {"a.png", "a-dark.png", "a.svg"}


def test_what_cannot_be_written_is_told_as_by_one_process(processes, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), drawing() as save:
        save(figure("a"), tmp_path / "file", "a")
    assert processes[0].poll() is not None


def test_nothing_is_drawn_into_a_run_that_another_has_taken_over(processes, tmp_path):
    def check():
        raise LostError("taken over")

    def draw_one():
        with drawing() as save:
            save(figure("late"), tmp_path / "figures", "late")

    with guarded(tmp_path, check, tmp_path), pytest.raises(LostError):
        draw_one()
    assert list(tmp_path.rglob("*.png")) == []


def test_an_error_ends_the_other_process(processes, tmp_path):
    with pytest.raises(KeyboardInterrupt), drawing() as save:
        for name in "abc":
            save(figure(name), tmp_path, name)
        raise KeyboardInterrupt
    processes[0].wait(30)  # after the figure that it is at
    assert not list(tmp_path.glob(".*"))  # nothing half-written


def test_one_core_has_one_process(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with drawing() as save:
        assert save is module._make_and_save
