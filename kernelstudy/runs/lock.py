"""Who is at work on a run: one process at a time, on one machine or on several that share its directory.

What is assumed of a shared file system: a rename within a directory is atomic, a file can be created
exclusively (O_EXCL), and what one machine has written and synced another sees within seconds. Locks over
the network are not relied on, for NFS may keep them to each machine, or to none. Instead:

- On one machine an flock decides, on a file in the machine's own temporary directory. The system drops it
  with its process, so that a lock of a dead process is free at once.
- Between machines a record in the run directory decides (`.holder`: process, machine, since when). Its
  process touches it every few seconds; one that nobody has touched for a minute is of a dead process.
  A job that a launcher starts again after its machine has died waits for that minute (`outlast`).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from kernelstudy.system.errors import printable

HOLDER = ".holder"
TOUCHED_EVERY, DEAD_AFTER = 10.0, 60.0  # seconds


class Holder(NamedTuple):
    """The process at work on a run. `age`: seconds since its last sign of life; `domain`: its
    `_lock_domain`."""

    pid: int
    host: str
    since: str
    domain: str
    age: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class HeldError(RuntimeError):
    """Another process is at work on the run; the message says which."""


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Be the one process at work on `run`, which is created if need be.

    Raises:
        HeldError: another process is.
    """
    lock = FileLock(_local_lock(run))
    try:
        lock.acquire(timeout=0.3)  # not 0: `holder` looks for a moment
    except Timeout:
        raise _held_error(run, read(run)) from None
    try:
        run.mkdir(parents=True, exist_ok=True)
        _record(run)
        ended = threading.Event()
        record = run.absolute() / HOLDER
        signs_of_life = threading.Thread(target=_touch, args=(record, ended), daemon=True)
        signs_of_life.start()
        try:
            yield
        finally:
            ended.set()
            signs_of_life.join()
            with suppress(OSError):
                record.unlink()
    finally:
        lock.release()


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
    return other if other is not None and _alive(other, here=False) else None


def holder(run: Path) -> Holder | None:
    """Who is at work on `run`, if anybody is. Changes nothing, and trusts nothing in the directory."""
    record = read(run)
    if record is None or not _alive(record, _held_here(run)):
        return None
    return record


def read(run: Path, now: float | None = None) -> Holder | None:
    """The record in a run directory; None where there is none that can be read."""
    try:
        descriptor = os.open(
            run / HOLDER, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            record = json.loads(file.read(4096))
        age = (time.time() if now is None else now) - status.st_mtime
        host, since, domain = (
            printable(str(record[key])[:80]) for key in ("host", "since", "place")
        )
        return Holder(int(record["pid"]), host, since, domain, age)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _record(run: Path) -> None:
    """Leave a record of this process; the lock of this machine is held."""
    record = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "place": _lock_domain(),
    }
    content = (json.dumps(record) + "\n").encode()
    for _ in range(3):
        try:
            descriptor = os.open(run / HOLDER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            other = read(run, _file_systems_time(run))
            if other is not None and _alive(other, here=False):
                raise _held_error(run, other) from None
            # Of several that take it over one alone finds it there to be moved out of the way.
            grave = run / f"{HOLDER}.{os.getpid()}"
            with suppress(FileNotFoundError):
                (run / HOLDER).rename(grave)
                grave.unlink()
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        return
    raise _held_error(run, read(run))


def _alive(record: Holder, here: bool) -> bool:
    """Whether a record's process is alive: by this machine's lock (`here`) or, elsewhere, by its age."""
    if record.domain == _lock_domain():
        return here
    return record.age < DEAD_AFTER


def _lock_domain() -> str:
    """Names what shares one set of local locks: machine, user and, in containers, process namespace."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        processes, boot = "", ""
    parts = (socket.gethostname(), boot, processes, str(_locks()), str(_user()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _locks() -> Path:
    return Path(tempfile.gettempdir()) / f"kernelstudy-locks-{_user()}"


def _local_lock(run: Path) -> Path:
    folder = _locks()
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != _user()):
        raise PermissionError(13, "is somebody else's, so that no lock can be kept there", folder)
    return folder / hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:24]


def _held_here(run: Path) -> bool:
    """Whether a process of this domain holds the lock."""
    path = _locks() / _local_lock(run).name
    if not path.is_file():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _file_systems_time(run: Path) -> float:
    """What time it is to the file system of `run`: machines' clocks differ."""
    with tempfile.NamedTemporaryFile(dir=run, prefix=f"{HOLDER}.") as probe:
        os.utime(probe.name)
        return Path(probe.name).stat().st_mtime


def _touch(record: Path, ended: threading.Event) -> None:
    while not ended.wait(TOUCHED_EVERY):
        with suppress(OSError):
            os.utime(record)


def _held_error(run: Path, other: Holder | None) -> HeldError:
    return HeldError(
        f"{run} is being worked on by {other or 'another process'}: wait for it to end"
    )
