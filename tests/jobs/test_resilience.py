"""Short forms of experiments/resilience: real processes killed, overrides that are wrong or nearly right."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kernelstudy.runs import lock
from tests.commands import run_here

PLACE = Path(__file__).parents[2] / "experiments" / "resilience"
WORDS = (
    *("+exp=mnist", "+debug=tiny", "name=fault", "seeds=1", "steps=64", "log_points=4"),
    # What is watched of deeper layers goes through test_checkpoints.py; this is of whole processes.
    *("arms=[{init: sobel}]", "checkpoint_seconds=0", "probe_seeds=0", "report=false"),
)


@pytest.fixture(scope="module", autouse=True)
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLACE))
        yield


def here(place, words, environment):
    return run_here(place, "kernelstudy.run", *words)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    import faults

    place = tmp_path_factory.mktemp("reference")
    done = here(place, WORDS, None)
    assert done.returncode == 0, done.stderr
    return faults.directory(place)


@pytest.mark.slow
def test_a_process_killed_loses_nothing(reference, tmp_path):
    """While a checkpoint is written, with an older one there; experiments/resilience has more moments."""
    import faults

    moment = "checkpoints/*/24.orbax-checkpoint-tmp*"
    killed = faults.hit(tmp_path, moment, words=WORDS, environment=os.environ)
    assert killed[1] == -9
    found = faults.resumed(tmp_path, reference, "killed", *killed, words=WORDS, rerun=here)
    assert found.identical, found
    assert found.resumed_at.startswith("step ")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same in a process of its own, and how long it takes."""
    import faults

    return faults.undisturbed(tmp_path_factory.mktemp("undisturbed"), WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_five_at_random_moments(undisturbed, tmp_path, seed):
    """Of the ten two are suspended and taken over from; experiments/resilience has a hundred of longer
    runs."""
    import faults

    found = list(faults.at_random(tmp_path, *undisturbed, 5, seed=seed, words=WORDS))
    assert [outcome for outcome in found if not outcome.identical] == []


@pytest.mark.slow
def test_stopped_just_before_a_call(tmp_path, monkeypatch):
    """Before some of its calls on its run's files; experiments/resilience has one of every kind."""
    import stepped

    monkeypatch.setattr(stepped, "WORDS", WORDS)
    found = stepped.takeovers(tmp_path, tiny=True)
    assert len(found) > 2
    assert [outcome for outcome in found if not outcome.identical] == []


@pytest.mark.slow
def test_hostile_inputs_are_refused(tmp_path):
    import hostile

    from tests.synthetic import make_run

    found = hostile.tried(tmp_path, make_run(tmp_path / "finished", seeds=2))
    assert [one for one in found if not one.right] == []


@pytest.mark.slow
def test_a_process_suspended_finds_its_run_taken_over(reference, tmp_path):
    import faults

    moment = "checkpoints/*/24.orbax-checkpoint-tmp*"
    found = faults.takeover(tmp_path, reference, "suspended", moment, WORDS, os.environ, rerun=here)
    assert found.identical, found
    assert (found.status, found.resumed_at[:5]) == (1, "step "), found
    assert found.told.startswith("kernelstudy: "), found.told  # and nothing before it


def test_a_second_process_is_told_who_is_at_work(tmp_path):
    code = (
        "import sys, time, pathlib; from kernelstudy.runs import lock\n"
        "with lock.held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    from kernelstudy import runs
    from kernelstudy.status import runs_of_command

    (run,) = runs_of_command([*WORDS, f"runs_dir={tmp_path}"])
    holder = subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    told = here(tmp_path, (*WORDS, f"runs_dir={tmp_path}"), None)
    assert told.returncode == 2
    assert f"process {holder.pid} on " in told.stderr
    assert len(told.stderr.splitlines()) == 1
    found = lock.holder(run)
    assert found is not None
    assert found.pid == holder.pid
    holder.kill()
    holder.communicate()
    assert lock.holder(run) is None
    with lock.held(run):  # of a dead process: taken over
        found = lock.holder(run)
        assert found is not None
        assert found.pid == os.getpid()
    assert not (run / lock.HOLDER).exists()
    assert not (run / runs.DONE).exists()


def test_a_holder_on_another_machine_counts_while_it_gives_signs_of_life(tmp_path):

    _elsewhere(tmp_path, lock.DEAD_AFTER / 2)
    with (
        pytest.raises(lock.HeldError, match="process 1 on elsewhere, since then"),
        lock.held(tmp_path),
    ):
        pass
    assert lock.holder(tmp_path) is not None
    _elsewhere(tmp_path, lock.DEAD_AFTER * 2)
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        assert lock.read(tmp_path).pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def _elsewhere(run, age, place="another"):

    record = {"pid": 1, "host": "elsewhere", "since": "then", "place": place}
    (run / lock.HOLDER).write_text(json.dumps(record))
    then = time.time() - age
    os.utime(run / lock.HOLDER, (then, then))


def test_a_job_started_again_waits_until_its_first_machine_counts_as_dead(tmp_path):

    told = []
    _elsewhere(tmp_path, lock.DEAD_AFTER - 1)
    began = time.monotonic()
    lock.outlast(tmp_path, told.append)
    assert time.monotonic() - began > 0.5
    assert len(told) == 1
    assert "process 1 on elsewhere, since then: waiting up to 60 s" in told[0]
    with lock.held(tmp_path):
        assert lock.read(tmp_path).pid == os.getpid()
        lock.outlast(tmp_path, told.append)  # of this machine: no wait
    lock.outlast(tmp_path, told.append)  # nobody's
    assert len(told) == 1


def test_it_waits_no_longer_than_that_for_one_that_lives(tmp_path, monkeypatch):
    from kernelstudy.runs import lock

    monkeypatch.setattr(lock, "DEAD_AFTER", 1.5)
    _elsewhere(tmp_path, 0)
    ended = threading.Event()

    def live():
        while not ended.wait(0.1):
            os.utime(tmp_path / lock.HOLDER)

    living = threading.Thread(target=live)
    living.start()
    try:
        lock.outlast(tmp_path, lambda _: None)
        with pytest.raises(lock.HeldError, match="process 1 on elsewhere"), lock.held(tmp_path):
            pass
    finally:
        ended.set()
        living.join()


def test_bad_overrides_are_told_in_one_sentence(tmp_path):
    import bad_input

    counts, wrong = bad_input.fuzz(30, tmp_path, seed=3)
    assert wrong == []
    assert counts["refused"] > 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# @package _global_\nsteps: 3\nsteps: 4\n", "steps"),
        (b"# @package _global_\nmodel:\n\twidth: 3\n", "own.yaml"),
        (b"# @package _global_\nname: \xff\xfe\n", "own.yaml"),
        (b"# @package _global_\n- 1\n", "own"),
        (b"# @package _global_\nstepps: 3\n", "did you mean steps"),
        (b"# @package _global_\ndefaults:\n  - override /data: nope\n", "data: 'nope'"),
        (b"# @package _global_\ndefaults:\n  - override /nope: x\n", "nope"),
        (b"# @package _global_\n_target_: os.system\n", "_target_"),
        (b"# @package _global_\nname: !!python/object/apply:os.system [x]\n", "own.yaml"),
        (b"# @package _global_\narms: 5\n", "own.yaml: arms: "),
        (b"# @package _global_\narms: [{init: [}]\n", "own.yaml"),
        (b"# @package nix.nix\nsteps: 5\n", "nix"),
        (b"[" * 1100, "own.yaml"),
        (b"", "own.yaml: its first line must be"),
    ],
)
def test_files_of_ones_own_that_are_wrong(tmp_path, content, said):
    (tmp_path / "conf" / "exp").mkdir(parents=True)
    (tmp_path / "conf" / "exp" / "own.yaml").write_bytes(content)
    told = run_here(tmp_path, "kernelstudy.run", "--config-dir=conf", "+exp=own")
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert said in told.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["conf"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("exp/own.yaml", "hydra:\n  callbacks:\n    x:\n      _target_: os.system\n"),
        ("exp/own.yaml", "model:\n  _target_: subprocess.run\n"),
        ("exp/own.yaml", "name: ${oc.env:HOME}\n"),
        ("exp/own.yaml", "name: a${oc.decode:'x'}b\n"),
        ("exp/own.yaml", "hydra:\n  job_logging:\n    formatters: {x: {(): os.getcwd}}\n"),
        ("exp/own.yaml", "defaults:\n  - override /hydra/job_logging: own\n"),
        ("hydra/callbacks/own.yaml", "x: 1\n"),
        ("exp/own.yaml", "a: &a [x]\nb: [*a, *a]\n"),
        ("exp/own.yaml", "steps: " + "9" * 5000),
    ],
)
def test_configs_of_others_are_data(tmp_path, name, content):
    (tmp_path / "conf" / "exp").mkdir(parents=True)
    (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "conf" / name).write_text(f"# @package _global_\n{content}")
    told = run_here(tmp_path, "kernelstudy.run", "--config-dir=conf", "+exp=own")
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert "own.yaml" in told.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["conf"]


def test_a_config_of_ones_own_that_is_data_is_taken(tmp_path):
    (tmp_path / "conf" / "exp").mkdir(parents=True)
    text = (
        "# @package _global_\ndefaults:\n  - override /data: digits\nname: ${data.name}\nsteps: 0\n"
    )
    (tmp_path / "conf" / "exp" / "own.yaml").write_text(text + "arms: [{init: sobel}]\n")
    told = run_here(tmp_path, "kernelstudy.run", "--config-dir=conf", "+exp=own")
    assert told.stderr.startswith("kernelstudy: steps: 0 must be"), told.stderr
