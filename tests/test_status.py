"""The status command: what each run is, why, and how long it still takes."""

import importlib
import json
import os
import re
import subprocess
import sys
import time

import pytest

from kernelstudy import runs, status
from kernelstudy.config import Arm, Bank, Study
from kernelstudy.runs import lock
from kernelstudy.system import files
from kernelstudy.system.software import environment
from tests.synthetic import make_run

STUDY = Study(name="demo", arms=[Arm("he_normal")], seeds=4, steps=100, bank=Bank(["sobel_x"]))


def begun(place, records=()):
    runs.start(place, STUDY)
    for record in records:
        runs.append_metrics(place, record)
    return place


def rows(capsys, *words):
    assert status.main([str(word) for word in words]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_table_of_all_states(tmp_path, capsys):
    finished = make_run(tmp_path / "demo" / "a", seeds=2)
    provenance = runs.read_provenance(finished) | environment()
    files.write_text(finished / runs.PROVENANCE, json.dumps(provenance))
    failed = begun(tmp_path / "demo" / "b", [{"step": 25, "seconds": 5.0}])
    files.write_text(failed / runs.FAILED, "Traceback ...\n  x\nValueError: too\n  many: words\n")
    begun(tmp_path / "demo" / "c", [{"step": 0, "seconds": 0}, {"step": 50, "seconds": 2.0}])
    begun(tmp_path / "other" / "d")
    lines = rows(capsys, tmp_path)
    assert [re.findall("done|failed|interrupted", line)[0] for line in lines[1:-1]] == [
        *("done", "failed", "interrupted", "interrupted")
    ]
    assert "steps=100" in lines[2]  # in which it differs from the first
    assert "steps=100" not in lines[4]  # the only one of its name
    assert lines[2].endswith("25 of 100        ValueError: too")
    assert "50 of 100" in lines[3]
    assert lines[-1] == "4 runs: 1 done, 1 failed, 2 interrupted"


def test_a_finished_run_of_other_versions_says_so(tmp_path, capsys):
    finished = make_run(tmp_path / "a", seeds=2)
    packages = environment()["packages"] | {"jax": "0.1"}
    text = json.dumps(runs.read_provenance(finished) | environment() | {"packages": packages})
    files.write_text(finished / runs.PROVENANCE, text)
    assert "jax 0.1 where" in rows(capsys, finished)[1]


def test_progress_and_time_left_of_what_is_running(tmp_path, capsys):
    run = begun(tmp_path / "a", [{"step": 50, "seconds": 100.0}])
    code = (
        "import sys, time, pathlib; from kernelstudy.runs import lock\n"
        "with lock.held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    then = time.time() - 20  # ten more steps since
    os.utime(run / runs.METRICS, (then, then))
    found = status.status_of(run)
    holder.kill()
    holder.communicate()
    assert found.state == "running"
    assert found.steps is not None
    assert 59 <= found.steps[0] <= 62
    assert found.left == pytest.approx(2 * (100 - 60), abs=5)
    assert f"process {holder.pid}" in found.why
    assert status.status_of(run).state == "interrupted"
    assert lock.read(run) is not None


def test_groups_count_as_parts_of_the_run(tmp_path):
    records = [
        *({"step": s, "seconds": 1.0, "seeds": [0, 1]} for s in (0, 100)),
        {"step": 40, "seconds": 8.0, "seeds": [2, 3]},
    ]
    found = status.status_of(begun(tmp_path / "a", records))
    assert found.steps == (70, 100)  # of four seeds two are done, and two at 40


def test_the_words_of_a_command_tell_what_is_missing(tmp_path, capsys):
    words = ["+exp=mnist", "+debug=tiny", f"runs_dir={tmp_path}", "model.kernel_size=3,5"]
    (first, second) = status.runs_of_command(words)
    begun(first)
    lines = rows(capsys, "-m", *words)
    assert [line.split()[:3] for line in lines[1:-1]] == [
        [str(first), "model.kernel_size=3", "interrupted"],
        [str(second), "model.kernel_size=5", "missing"],
    ]
    assert lines[-1] == "2 runs: 1 interrupted, 1 missing"


@pytest.mark.parametrize("command", ["compare", "report", "explain"])
def test_other_commands_say_where_an_unfinished_run_is(tmp_path, capsys, command):
    run = begun(tmp_path / "runs" / "a", [{"step": 25, "seconds": 5.0}])
    words = ["--run", str(run)] if command == "explain" else [str(run)]
    assert importlib.import_module(f"kernelstudy.{command}").main(words) == 2
    told = capsys.readouterr().err
    where = "interrupted, 25 of 100 steps (the same command goes on with it)"
    assert told == f"kernelstudy: {run} is not finished: {where}\n"


def test_compare_of_a_directory_of_runs_names_them(tmp_path, capsys):
    run = begun(tmp_path / "runs" / "a")
    assert importlib.import_module("kernelstudy.compare").main([str(tmp_path)]) == 2
    assert f"holds a run: name the one that is meant, as {run}" in capsys.readouterr().err


def test_what_checkpoints_hold_counts(tmp_path):
    run = begun(tmp_path / "a", [{"step": 25, "seconds": 5.0}])
    for name in ("log-0000-000000000-000000064-0123456789abcdef", "log-0000-x"):
        files.write_text(run / runs.CHECKPOINTS / "000000001-a" / f"{name}.npz", "")
    assert status.status_of(run).steps == (64, 100)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exp", "mnist"], "did you mean +exp=mnist?"),
        (["nowhere"], "nowhere is not a directory"),
        (["--frobnicate"], "--frobnicate: no such option"),
        (["+exp=mnsit"], "exp: 'mnsit'"),
        (["+exp=mnist", "model.kernel_size=4"], "model.kernel_size: 4"),
        (["+exp=mnist", "here"], "here: either"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert status.main(words) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert said in told


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 00 min"), (11100, "3 h 05 min")],
)
def test_durations(seconds, words):
    assert status.duration(seconds) == words


def test_words_longer_than_any_file_name(tmp_path, capsys):
    arms = ", ".join(f"{{init: he_normal, scale: 0.{i}}}" for i in range(11, 30))
    words = ["+exp=mnist", "+debug=tiny", f"arms=[{arms}]", f"runs_dir={tmp_path}"]
    assert status.main(words) == 0
    assert "1 missing" in capsys.readouterr().out
