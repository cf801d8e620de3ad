"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

_PARTIAL = re.compile(r"\..+\.partial-(?P<host>.+)-(?P<pid>\d+)-[^-]*")

_NUMBERED = re.compile(r"(\d{9})-\w+")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at once, so that a reader finds either; False where that is not known."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0


_guards: dict[Path, Callable[[], None]] = {}  # by directory


@contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Within the block `check` is called before anything takes its place in `folder` or below it; what it
    raises keeps it out."""
    _guards[folder.absolute()] = check
    try:
        yield
    finally:
        del _guards[folder.absolute()]


def check_guards(path: Path) -> None:
    """Ask whether `path` may be written; to be called before each write that is by neither `replacing` nor
    `remove`."""
    for folder, check in list(_guards.items()):
        if path.absolute().is_relative_to(folder):
            check()


def remove(path: Path) -> None:
    """Delete a file, or a directory with all that is in it, where it is there and may be written."""
    check_guards(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    What was written is on the disk before it is renamed, so that not even a power cut leaves half of it;
    not `durable`, that is left to the system, which takes milliseconds less: killed processes leave nothing
    half-written either way.
    """
    check_guards(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.partial-{socket.gethostname()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=path.parent, ignore_cleanup_errors=True
    ) as place:
        temporary = Path(place) / path.name
        yield temporary
        if durable:
            sync(temporary)
        check_guards(path)
        if path.is_symlink():
            path.unlink()  # a directory cannot be renamed over it
        if not (path.is_dir() and _exchange(temporary, path)):
            if path.is_dir():  # nor can one over another that is not empty
                path.rename(Path(place) / "old")
            temporary.replace(path)
        if durable:
            sync_directory(path.parent)


@contextmanager
def opened(path: Path, *, follow: bool = True) -> Iterator[BufferedReader]:
    """A regular file, open to be read: no pipe that waits, no device without an end.

    `follow`: whether the path may be a link, as only a path that the user has named may be.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 (fdopen's file has no name, this has)
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        yield file


def check_writable(folder: Path) -> None:
    """That `folder` can be written, or created where it is not there yet.

    Raises:
        OSError: it cannot; its `filename` is what stands in the way.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written", str(there))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; `durable` as for `replacing`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Have a file, or all of a directory, on the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            sync(entry)
        sync_directory(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Have a directory's list of names on the disk, where the system knows of that."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def tidy(folder: Path) -> None:
    """Clear away what processes of this machine that are no more had begun to write in `folder`."""
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        found = _PARTIAL.fullmatch(entry.name)
        if found and found["host"] == socket.gethostname() and not is_alive(int(found["pid"])):
            shutil.rmtree(entry, ignore_errors=True)


def is_numbered(name: str) -> bool:
    """Whether a name begins with a number, as 000000002-name does."""
    return _NUMBERED.fullmatch(name) is not None


def highest_number(folder: Path) -> int:
    """The highest number that the names of directories in `folder` begin with, as in 000000002-name; or 0."""
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return max((int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))), default=0)


def is_alive(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except OSError:  # somebody else's
        return True
    return True
