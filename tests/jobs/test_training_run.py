"""What a run's training tells of its pace."""

import io
import time

import pytest
from rich.console import Console
from rich.progress import Progress

from kernelstudy.config import Arm, Study
from kernelstudy.jobs.training_run import RunObserver
from kernelstudy.system.signals import Stop


@pytest.fixture
def observer(tmp_path, monkeypatch):
    """Of two arms x 5 seeds, 100 images a step, 1,000 steps; `observer.clock` sets the time."""
    study = Study(arms=[Arm("he_normal"), Arm("sobel")], seeds=5, steps=1000, batch_size=10)
    progress = Progress(console=Console(file=io.StringIO()), disable=True)
    found = RunObserver(study, tmp_path, Stop(), progress, lambda *_: None)
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def at(seconds, step):
        clock[0] = seconds
        found.on_step(step, 0.5)

    found.at = at
    return found


def test_the_time_left_is_measured_once_the_pace_is_known(observer, capsys):
    assert observer.where == "compiling"
    observer.at(100, 10)  # compilation counts for nothing
    observer.at(102, 30)  # ten steps a second
    assert observer.where == "step 30 of 1,000, 1,000 net-images/s, mean accuracy 50.0%, 2 min left"
    assert capsys.readouterr().out == ""
    observer.at(108, 90)
    told = "time: about 2 min more to train, by the pace of the steps from 30 to 90; then it is measured\n"
    assert capsys.readouterr().out == told
    observer.at(120, 210)
    assert capsys.readouterr().out == ""  # once


def test_the_first_steps_count_for_less(observer):
    """Among them log points are dense."""
    for seconds, step in ((0, 0), (40, 20), (50, 40), (52, 80), (54, 120)):
        observer.at(seconds, step)
    assert observer.where.endswith("44 s left")  # 880 steps, twenty a second


def test_a_slow_pace_is_told_after_a_minute(observer, capsys):
    observer.at(0, 1)
    observer.at(58, 3)
    assert capsys.readouterr().out == ""
    observer.at(87, 4)
    assert "about 8 h 01 min more" in capsys.readouterr().out


def test_groups_are_parts_of_the_run(observer):
    """Of four groups the second is half done: as if all networks had made 375 steps."""
    observer.on_group(0, 4)
    observer.at(0, 0)
    observer.on_group(1, 4)
    observer.at(37.5, 500)
    assert observer.where.startswith("step 375 of 1,000, 1,000 net-images/s")
    assert observer.where.endswith("1 min left")
