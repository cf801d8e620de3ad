"""Two live processes and one run: one of them works, and what the other writes is never read."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from kernelstudy import runs
from kernelstudy.config import Arm, Bank, Study
from kernelstudy.runs import lock
from kernelstudy.system import files
from kernelstudy.training.checkpoints import claim

HOLDER = (
    "import sys, time, pathlib; from kernelstudy.runs import lock\n"
    "from kernelstudy.system import files\n"
    "run = pathlib.Path(sys.argv[1])\n"
    "with lock.held(run):\n"
    "    print('held', flush=True); sys.stdin.readline()\n"
    "    try: files.write_text(run / 'DONE', 'mine')\n"
    "    except lock.LostError as error: print(error, flush=True); sys.exit(1)\n"
)


@contextmanager
def holding(run, **environment):
    """A process that holds `run` and, once told to, writes its DONE."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def dated(run, ahead):
    then = time.time() + ahead
    os.utime(run / lock.HOLDER, (then, then))


def elsewhere(run, ahead=0.0, **changed):
    record = {"pid": 1, "host": "elsewhere", "since": "then", "place": "another", "token": "x"}
    (run / lock.HOLDER).unlink(missing_ok=True)
    (run / lock.HOLDER).write_text(json.dumps(record | changed))
    dated(run, ahead)


def test_temporary_directories_of_their_own_make_no_difference(tmp_path):
    """As jobs of Slurm and services of systemd have them, and as a cleaner leaves them."""
    for name in ("a", "b", "run"):
        (tmp_path / name).mkdir()
    with holding(tmp_path / "run", TMPDIR=str(tmp_path / "a")) as process:
        (tmp_path / "link").symlink_to("run")
        for name in ("run", "link"):
            with pytest.raises(lock.HeldError, match=f"process {process.pid} on"):
                lock.held(tmp_path / name).__enter__()
        assert list((tmp_path / "a").iterdir()) == []
    with lock.held(tmp_path / "run"):  # of a dead process: free at once
        assert lock.holder(tmp_path / "run").pid == os.getpid()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_process_that_was_suspended_finds_another_at_work(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCHED_EVERY", 0.1)
    with holding(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        dated(tmp_path, -lock.DEAD_AFTER - 1)  # a file system's clock lags a little
        _takes_over(tmp_path, process)
    assert [p.name for p in tmp_path.iterdir()] == ["DONE"]


def _takes_over(tmp_path, process):
    former = lock.read(tmp_path).fence
    with lock.held(tmp_path) as hold:
        assert hold.fence > former
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate("\n", timeout=120)
        assert process.returncode == 1
        assert f"taken over by process {os.getpid()} on" in told
        assert len(told.splitlines()) == 1
        assert not (tmp_path / "DONE").exists()
        hold.check()  # nor has its end taken the record away
        files.write_text(tmp_path / "DONE", "its")


def test_one_that_has_just_woken_is_not_taken_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCHED_EVERY", 1.0)
    with holding(tmp_path) as process:
        dated(tmp_path, -lock.DEAD_AFTER * 60)  # a laptop's lid, open again
        threading.Timer(0.3, dated, (tmp_path, 0)).start()
        with pytest.raises(lock.HeldError, match=f"process {process.pid} on"):
            lock.held(tmp_path).__enter__()


def test_another_s_token_keeps_everything_out(tmp_path):
    with pytest.raises(lock.LostError, match="process 1 on elsewhere"), lock.held(tmp_path) as hold:
        elsewhere(tmp_path)
        for write in (
            lambda: files.write_text(tmp_path / "tables" / "a.csv", ""),
            lambda: runs.append_metrics(tmp_path, {}),
            hold.check,
        ):
            with pytest.raises(lock.LostError):
                write()
        files.write_text(tmp_path.parent / "other", "")  # not of this run
        hold.check()
    assert [p.name for p in tmp_path.iterdir()] == [lock.HOLDER]
    (tmp_path / lock.HOLDER).unlink()
    with pytest.raises(lock.LostError, match="another process"), lock.held(tmp_path) as hold:
        (tmp_path / lock.HOLDER).unlink()
        hold.check()


@pytest.mark.parametrize("is_done", [True, False])
def test_another_s_token_keeps_all_that_is_there(tmp_path, is_done):
    """A process that was suspended between its hold on a run and its first write deletes nothing."""
    study = Study(runs_dir=str(tmp_path / "runs"), arms=[Arm("sobel")], bank=Bank(["sobel_x"]))
    run = runs.run_dir(study)
    names = ["metrics.jsonl", "FAILED", "checkpoints/000000002-b/20/x", ".reserve"]
    for name in [*names, "DONE"] if is_done else names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("of the one that took over")
    there = sorted(run.rglob("*"))
    with pytest.raises(lock.LostError), lock.held(run):
        elsewhere(run)
        for change in (
            lambda: runs.start(run, study),
            lambda: runs.discard(run),
            lambda: runs.reserve(run, 2**20),
            lambda: claim(run / "checkpoints", "000000001-a"),
            *([lambda: runs.tidy(run)] if is_done else []),
        ):
            with pytest.raises(lock.LostError):
                change()
        runs.start(run, study)
    (run / lock.HOLDER).unlink()
    assert sorted(run.rglob("*")) == there


@pytest.mark.parametrize("ahead", [lock.DEAD_AFTER + 5, 10.0**7, -(10.0**7)])
def test_a_dead_holder_of_any_date_blocks_for_a_minute_at_most(tmp_path, ahead):
    elsewhere(tmp_path, ahead, fence=8 * 10**8)
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path) as hold:
        assert hold.fence == 8 * 10**8 + 1
    elsewhere(tmp_path, 5.0)
    with pytest.raises(lock.HeldError, match=r"60 s after .* or once you delete .*\.holder"):
        lock.held(tmp_path).__enter__()
    (tmp_path / lock.HOLDER).unlink()
    with lock.held(tmp_path):
        pass


def test_what_bears_a_holder_s_name_and_is_none_is_moved_out_of_the_way(tmp_path):
    os.mkfifo(tmp_path / lock.HOLDER)
    with lock.held(tmp_path):
        pass
    (tmp_path / lock.HOLDER).symlink_to("/dev/zero")
    with lock.held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_took_a_dead_one_s_place_is_put_back(tmp_path):
    """A second process that had seen the dead one, too, and comes late."""
    elsewhere(tmp_path, -lock.DEAD_AFTER * 2)
    dead = lock.read(tmp_path)
    with lock.held(tmp_path) as hold:
        lock._bury(tmp_path, dead.token)
        hold.check()
        assert {p.name for p in tmp_path.iterdir()} == {lock.HOLDER, hold.scratch.name}


def test_checkpoints_of_the_one_before_go_over_by_a_single_rename(tmp_path):
    folder = tmp_path / runs.CHECKPOINTS
    with lock.held(tmp_path) as first:
        own = claim(folder, first.generation)
        own.mkdir(parents=True)
        (own / "piece").write_text("first")
    with lock.held(tmp_path) as second:
        assert second.fence > first.fence
        now = claim(folder, second.generation)
        assert (now / "piece").read_text() == "first"
        own.mkdir()  # the first wakes
        (own / "piece").write_text("late")
    with lock.held(tmp_path) as third:
        assert (claim(folder, third.generation) / "piece").read_text() == "first"
        assert [p.name for p in folder.iterdir()] == [third.generation]


def test_checkpoints_of_a_version_without_holders_are_taken_on(tmp_path):
    (tmp_path / "24").mkdir()
    (tmp_path / "log").write_text("")
    own = claim(tmp_path, "000000001-x")
    assert {p.name for p in own.iterdir()} == {"24", "log"}


def test_one_that_wakes_after_its_look_takes_nothing_of_a_later_holder(tmp_path, monkeypatch):
    with lock.held(tmp_path) as later:
        own = claim(tmp_path / runs.CHECKPOINTS, later.generation)
        own.mkdir(parents=True)
        monkeypatch.setattr(lock.Hold, "check", lambda self: None)
        earlier = lock.Hold(tmp_path, "f" * 16, later.fence - 1)
        lock._fence_off(earlier)
        claim(tmp_path / runs.CHECKPOINTS, earlier.generation)
        lock._bury(tmp_path, earlier.token)  # as at its end
        monkeypatch.undo()
        later.check()
        assert later.scratch.is_dir()
        assert own.is_dir()
        files.write_text(tmp_path / "DONE", "later")


def test_numbers_of_holders_grow_where_nothing_is_left_of_them(tmp_path, monkeypatch):
    with lock.held(tmp_path) as first:
        pass
    time.sleep(1.1)
    with lock.held(tmp_path) as second:
        assert second.generation > first.generation


def test_scratch_that_somebody_has_put_there_stops_nobody(tmp_path):
    """As a received run may have it; and one that a cleaner takes away is made again."""
    os.mkfifo(tmp_path / ".scratch-000000001-a")
    (tmp_path / ".scratch-000000002-b").symlink_to("/dev/zero")
    (tmp_path / ".scratch-000000003-c").write_text("")
    (tmp_path / ".scratch-000000004-d" / "e").mkdir(parents=True)
    os.mkfifo(tmp_path / ".scratch-000000004-d" / "e" / "f")
    with lock.held(tmp_path) as hold:
        hold.scratch.rmdir()
        files.write_text(tmp_path / "DONE", "")
    assert [p.name for p in tmp_path.iterdir()] == ["DONE"]


def test_what_cannot_be_moved_is_deleted_where_it_is(tmp_path, monkeypatch):
    """A directory of a lower layer of a container's, or another's."""

    def refuse(self, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    (tmp_path / "trajectory.zarr" / "c").mkdir(parents=True)
    with lock.held(tmp_path):
        monkeypatch.setattr(type(tmp_path), "rename", refuse)
        files.remove(tmp_path / "trajectory.zarr")
        monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_lines_are_added_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with lock.held(tmp_path):
        monkeypatch.setattr(os, "link", refuse)
        for number in range(3):
            runs.append_metrics(tmp_path, {"number": number})
    assert len((tmp_path / runs.METRICS).read_text().splitlines()) == 3


# What a run's holder does, and nothing else: every kind of change, each told by who made it.
CHANGES = """
import sys, os, signal, pathlib
from kernelstudy import runs
from kernelstudy.runs import lock
from kernelstudy.system import files
from kernelstudy.training import checkpoints

def change(run, who):
    with lock.held(run) as hold:
        runs.tidy(run)
        for name in ("metrics.jsonl", "FAILED"):
            files.remove(run / name)
        files.write_text(run / "config.yaml", who)
        own = checkpoints.claim(run / "checkpoints", hold.generation)
        store = checkpoints.Store(own, seconds=0, versions={})
        try:
            train(run, who, own)
        except lock.LostError:
            store.abandon()
            raise

def train(run, who, own):
    runs.reserve(run, 100)
    for step in range(2):
        runs.append_metrics(run, {"by": who})
        with files.changing(own):
            own.mkdir(parents=True, exist_ok=True)
        files.write_text(own / str(step), who)
        with files.replacing(run / "trajectory.zarr") as place:
            (place / "c").mkdir(parents=True)
            (place / "c" / "0").write_text(who)
    runs.release(run)
    files.write_text(run / "provenance.json", who)
    files.write_text(run / "DONE", who)
    files.remove(run / "checkpoints")
"""
SUSPENDED = """
seen = 0
def count(event, args):
    global seen
    of_run = isinstance(next(iter(args), None), (str, bytes, os.PathLike)) and str(run) in str(args[0])
    if of_run and event.partition(".")[0] in ("open", "os", "shutil", "tempfile"):
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGSTOP)
run = pathlib.Path(sys.argv[1])
sys.addaudithook(count)
try:
    change(run, "loser")
except lock.LostError:
    sys.exit(1)
"""


def suspended(run, at):
    """A process that changes `run`, stopped before its `at`-th system call on it; None where it has fewer."""
    words = [sys.executable, "-c", CHANGES + SUSPENDED, str(run), str(at)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        process.returncode = os.waitstatus_to_exitcode(status)
        _, told = process.communicate()
        assert process.returncode == 0, told
        return None
    return process


@pytest.mark.slow
def test_a_process_suspended_before_any_call_changes_nothing_when_it_wakes(tmp_path, monkeypatch):
    """Between its look at the token and the change, too: each of its calls on the run is tried."""
    monkeypatch.setattr(lock, "TOUCHED_EVERY", 0.02)  # for which a locked record is waited for
    here = {}
    exec(CHANGES, here)

    def content(run):
        """By path, without what tells who holds the run; directories have None."""
        paths = [p for p in run.rglob("*") if not lock.is_mark(run / p.relative_to(run).parts[0])]
        return {str(p.relative_to(run)): p.read_text() if p.is_file() else None for p in paths}

    def by(who):
        return {None, who, json.dumps({"by": who}) + "\n" + json.dumps({"by": who}) + "\n"}

    def one(at):
        run = tmp_path / f"{at}" / "run"
        process = suspended(run, at)
        if process is None:
            return True
        if (run / lock.HOLDER).exists():
            os.utime(run / lock.HOLDER, (0, 0))
        here["change"](run, "winner")
        there = content(run)
        assert set(there.values()) <= by("winner"), (at, there)
        process.send_signal(signal.SIGCONT)
        _, told = process.communicate(timeout=240)
        assert "Traceback" not in told, (at, told)
        found = content(run)
        if process.returncode:  # or it had done all, or nothing, and its turn came after
            assert found == there, (at, found)
        else:
            assert set(found.values()) in (by("winner"), by("loser")), (at, found)
        assert not any(map(lock.is_mark, run.iterdir())), at
        return False

    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(one, range(1, 200)))
    assert 100 < ended.index(True) < 199  # calls
