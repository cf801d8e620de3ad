"""Who is at work on a run: one process at a time, on one machine or on several that share its directory.

A record beside the run's files decides (`.holder`: process, machine, since when, a random token). Of those
that create it (O_EXCL) one succeeds; its process keeps an flock on it and touches it every few seconds.

- The system drops the flock with its process: a record of this machine that nobody has locked is of a dead
  process, and free at once. It belongs to the file, so that it is the same for processes that have
  different names for the directory, or temporary directories of their own.
- Between machines the flock is not relied on, for NFS may keep it to each machine, or to none. There a record
  that nobody has touched for a minute is of a dead process; so is one dated more than a minute ahead, for a
  living process would have touched it since. A job that a launcher starts again after its machine
  has died waits for that minute (`outlast`).
- A process that was suspended for over a minute may find, when it wakes, that another has taken the run over.
  So it looks for its own token before each change (`Hold.check`, `files.guarded`), and ends where it finds
  another. It may be suspended just after that look, too. So what it writes or deletes passes, by one rename,
  through a directory of its own (`Hold.scratch`). Whoever takes over begins by taking that away, and the
  rename fails. That directory and its checkpoints lie under the holder's number, which grows from holder to
  holder, so that none touches a later one's (Kleppmann, 'How to do distributed locking', 2016: fencing
  tokens). Not so guarded are figures, which a second process draws, the same whoever holds the run, and
  TensorBoard's files.

What is assumed of a shared file system: a rename within a directory is atomic, a file can be created
exclusively, and what one machine has written and synced another sees within seconds.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from kernelstudy.system import files
from kernelstudy.system.errors import printable

HOLDER, SCRATCH = ".holder", ".scratch-"
TOUCHED_EVERY, DEAD_AFTER = 10.0, 60.0  # seconds
_BEING_WRITTEN = 5.0  # seconds that a record without content counts
# A holder's number: seconds since 2020, so that it has nine digits until 2051.
_SINCE, _MOST = 1_577_836_800, 9 * 10**8


class Holder(NamedTuple):
    """The process at work on a run. `age`: seconds since its last sign of life; `domain`: its
    `_lock_domain`; `fence`: how many have held the run before it; `locked`: whether a process of this machine
    has the record locked, None where that cannot be told."""

    pid: int
    host: str
    since: str
    domain: str
    age: float
    token: str = ""
    fence: int = 0
    locked: bool | None = None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class HeldError(RuntimeError):
    """Another process is at work on the run; the message says which."""


class LostError(RuntimeError):
    """Another process has taken the run over from this one; the message says which."""


class Hold(NamedTuple):
    """That this process is the one at work on `run`, until another takes it over."""

    run: Path
    token: str
    fence: int

    @property
    def generation(self) -> str:
        """The name of what this holder alone writes; those of later holders are sorted behind it."""
        return f"{self.fence:09d}-{self.token}"

    @property
    def scratch(self) -> Path:
        """The directory through which this holder's changes pass."""
        return self.run / f"{SCRATCH}{self.generation}"

    def check(self) -> None:
        """Raise LostError where this process is the holder no longer."""
        other = read(self.run)
        if other is None:  # on its way to a process that wrongly thought it dead, or gone
            time.sleep(0.05)
            other = read(self.run)
        if other is None or other.token != self.token:
            raise LostError(
                f"{self.run} was taken over by {other or 'another process'} while this one gave no sign of "
                "life: it stops here, and nothing is lost"
            )


@contextmanager
def held(run: Path) -> Iterator[Hold]:
    """Be the one process at work on `run`, which is created if need be.

    Raises:
        HeldError: another process is.
        LostError: within the block, once another has taken over and something is to be written into `run`.
    """
    run = run.absolute()
    run.mkdir(parents=True, exist_ok=True)
    hold, descriptor = _take(run)
    ended = threading.Event()
    signs_of_life = threading.Thread(target=_touch, args=(descriptor, ended), daemon=True)
    signs_of_life.start()
    owner = os.getpid()
    try:
        _fence_off(hold)
        with files.guarded(run, hold.check, hold.scratch):
            yield hold
    finally:
        if os.getpid() == owner:  # in a child that was forked meanwhile the hold is its parent's
            ended.set()
            signs_of_life.join()
            with suppress(OSError, LostError):
                hold.check()
                _bury(run, hold.token)
            with suppress(OSError):
                files.delete(hold.scratch)
        os.close(descriptor)


def _fence_off(hold: Hold) -> None:
    """Make the directory that this holder's changes pass through, and take away those of all before it.

    Of those before it alone: should this process have been suspended here, a later one is at work.
    """
    hold.scratch.mkdir()
    hold.check()  # or it was made after another had taken over, and that one did not see it
    for path in hold.run.glob(f"{SCRATCH}*"):
        if path.name < hold.scratch.name:
            gone = hold.run / f"{SCRATCH}{0:09d}-{secrets.token_hex(8)}"
            with suppress(OSError):
                path.rename(gone)  # at once, for file by file its process could write on meanwhile
                path = gone
            with suppress(OSError):
                files.delete(path)


def is_mark(path: Path) -> bool:
    """Whether an entry of a run directory is there since somebody holds it."""
    return path.name.startswith((HOLDER, SCRATCH))


def outlast(run: Path, tell: Callable[[str], None]) -> None:
    """Where a process of another machine is at work on `run`, wait until it has ended or counts as dead.

    For `DEAD_AFTER` and a little more; after that it is alive, and `held` says so. One of this machine
    is not waited for: its lock tells at once whether it lives. `tell` is called once if there is a wait.
    """
    until = None
    while other := _alive_elsewhere(run):
        if until is None:
            until = time.monotonic() + DEAD_AFTER + 2
            tell(
                f"{run} was being worked on by {other}: waiting up to {DEAD_AFTER:.0f} s for it to be dead"
            )
        elif time.monotonic() > until:
            return
        time.sleep(min(1.0, DEAD_AFTER / 10))


def _alive_elsewhere(run: Path) -> Holder | None:
    """The holder on another machine that may be alive, by the clock of the file system."""
    other = read(run)
    if other is None or other.domain == _lock_domain():
        return None
    other = read(run, _file_systems_time(run))
    return other if other is not None and _alive(other) else None


def holder(run: Path) -> Holder | None:
    """Who is at work on `run`, if anybody is. Changes nothing, and trusts nothing in the directory."""
    record = read(run)
    return record if record is not None and _alive(record) else None


def read(run: Path, now: float | None = None) -> Holder | None:
    """The record in a run directory; None where there is none that can be read."""
    return _read(run / HOLDER, now)


def _read(path: Path, now: float | None = None) -> Holder | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            content, age = file.read(4096), (time.time() if now is None else now) - status.st_mtime
            locked = _is_locked(descriptor)
        if not content and (locked or abs(age) < _BEING_WRITTEN):
            return Holder(0, "this or another machine", "just now", "", age, locked=locked)
        record = json.loads(content)
        host, since, domain, token = (
            printable(str(record.get(key, ""))[:80]) for key in ("host", "since", "place", "token")
        )
        fence = max(0, min(int(record.get("fence", 0)), _MOST))
        return Holder(int(record["pid"]), host, since, domain, age, token, fence, locked)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ):
        return None


def _take(run: Path) -> tuple[Hold, int]:
    """The hold on `run`, and its record, open and locked."""
    _refuse_if_held(run)
    # Above those of all before it, also where nothing of them is left: by the clock of the file system.
    fence = max(
        int(_file_systems_time(run)) - _SINCE, files.highest_number(run / "checkpoints") + 1
    )
    for _ in range(3):
        other = read(run)
        fence = max(fence, other.fence + 1 if other else 0)
        hold = Hold(run, secrets.token_hex(8), fence)
        try:
            descriptor = os.open(run / HOLDER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            _refuse_if_held(run)
            _bury(run, other.token if other else None)
            continue
        try:
            _lock(descriptor)
            os.write(descriptor, _record(hold))
            os.fsync(descriptor)
            hold.check()  # it was not taken for a dead one's
        except BaseException:
            os.close(descriptor)
            raise
        return hold, descriptor
    raise _held_error(run, read(run))


def _bury(run: Path, token: str | None) -> None:
    """Move the record with a token (None: one that cannot be read) out of the way, and no other that has taken
    its place meanwhile."""
    grave = run / f"{HOLDER}.{secrets.token_hex(8)}"
    with suppress(FileNotFoundError):
        (run / HOLDER).rename(grave)
        found = _read(grave)
        if found is not None and found.token != token:
            with suppress(FileExistsError):
                if not files.link(grave, run / HOLDER):
                    grave.rename(run / HOLDER)
        grave.unlink()


def _record(hold: Hold) -> bytes:
    record = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "place": _lock_domain(),
        "token": hold.token,
        "fence": hold.fence,
    }
    return (json.dumps(record) + "\n").encode()


def _refuse_if_held(run: Path) -> None:
    """HeldError where a process is at work on `run`."""
    if read(run) is None:
        return
    other = read(run, _file_systems_time(run))
    if other is not None and other.locked and not _alive(other):
        # It lives, or is suspended; one that has just woken gives a sign within so many seconds.
        until = time.monotonic() + 1.2 * TOUCHED_EVERY
        while time.monotonic() < until and other is not None and not _alive(other):
            time.sleep(min(1.0, TOUCHED_EVERY / 10))
            other = read(run, _file_systems_time(run))
    if other is not None and _alive(other):
        raise _held_error(run, other)


def _alive(record: Holder) -> bool:
    """Whether a record's process is at work: by its age and, on this machine, by its lock."""
    if abs(record.age) >= DEAD_AFTER:
        return False
    here = record.domain == _lock_domain() and record.locked is not None
    return bool(record.locked) if here else True


def _lock_domain() -> str:
    """Names what shares one set of local locks: machine and, in containers, process namespace."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        processes, boot = "", ""
    parts = (socket.gethostname(), boot, processes)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _lock(descriptor: int) -> None:
    """Lock a file just made; whoever looks whether it is locked holds it for a moment. Where the file
    system knows no locks, age alone decides."""
    for _ in range(100):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return
            time.sleep(0.01)
    raise BlockingIOError(errno.EWOULDBLOCK, "its record is locked by somebody else")


def _is_locked(descriptor: int) -> bool | None:
    """Whether somebody has a file locked; None where that cannot be told."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _file_systems_time(run: Path) -> float:
    """What time it is to the file system of `run`: machines' clocks differ."""
    with tempfile.TemporaryFile(
        dir=run, prefix=f"{HOLDER}."
    ) as probe:  # without a name, where it can
        return os.fstat(probe.fileno()).st_mtime


def _touch(descriptor: int, ended: threading.Event) -> None:
    """Touch the record that is this process's own, whatever bears its name by now."""
    while not ended.wait(TOUCHED_EVERY):
        with suppress(OSError):
            os.utime(descriptor)


def _held_error(run: Path, other: Holder | None) -> HeldError:
    if other is not None and other.pid == os.getpid() and other.domain == _lock_domain():
        return HeldError(
            f"{run} is held by this very process, since {other.since}: close that first"
        )
    return HeldError(
        f"{run} is being worked on by {other or 'another process'}: wait for it to end; should it be dead, it "
        f"counts as that {DEAD_AFTER:.0f} s after its last sign of life, or once you delete {run / HOLDER}"
    )
