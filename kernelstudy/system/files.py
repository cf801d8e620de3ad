"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

_PARTIAL = re.compile(r"\..+\.partial-(?P<host>.+)-(?P<pid>\d+)-[^-]*")

_NUMBERED = re.compile(r"(\d{9})-\w+")
SYNCING = 16  # threads that wait for the disk
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at once, so that a reader finds either; False where that is not known."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0


class _Guard(NamedTuple):
    check: Callable[[], None]
    scratch: Path


_guards: dict[Path, _Guard] = {}  # by directory


@contextmanager
def guarded(folder: Path, check: Callable[[], None], scratch: Path) -> Iterator[None]:
    """Within the block `folder`, and what is below it, is changed only as long as it is this process's.

    `check` is called before each change; what it raises prevents it. A process may be suspended between the
    two, and another take the folder over; so what is written or deleted passes through `scratch`, a directory
    on the same file system that whoever takes over takes away: after that the change fails.
    """
    _guards[folder.absolute()] = _Guard(check, scratch.absolute())
    try:
        yield
    finally:
        del _guards[folder.absolute()]


def _guards_of(path: Path) -> list[_Guard]:
    """The guards of a path, those of the innermost directory first."""
    found = sorted(_guards.items(), key=lambda item: len(item[0].parts), reverse=True)
    return [guard for folder, guard in found if path.absolute().is_relative_to(folder)]


def check_guards(path: Path) -> None:
    """Ask whether `path` may be changed."""
    for guard in _guards_of(path):
        guard.check()


def scratch(path: Path) -> Path:
    """The directory that changes of `path` pass through: its own, where it is not `guarded`."""
    return next((guard.scratch for guard in _guards_of(path)), path.parent)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Ask whether `path` may be changed, also where the change fails: then its scratch may be gone."""
    for guard in _guards_of(path):
        guard.scratch.mkdir(exist_ok=True)  # before the look: cleaners remove what is empty
        guard.check()
    try:
        yield
    except Exception:
        check_guards(path)
        raise


def remove(path: Path) -> None:
    """Delete a file, or a directory with all that is in it, where it is there and may be changed."""
    with changing(path):
        if not os.path.lexists(path):
            return
        if not _guards_of(path):
            delete(path)
            return
        away = scratch(path) / f"{path.name}.{secrets.token_hex(8)}"
        _put_away(path, away)
    delete(away)


def _put_away(path: Path, away: Path) -> None:
    """Move what is to be deleted by one rename; what cannot be moved (a mount point, a directory of a lower
    layer of a container, another's directory) is deleted where it is."""
    try:
        path.rename(away)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY, errno.EACCES, errno.EPERM):
            raise
        check_guards(path)
        delete(path)


def delete(path: Path) -> None:
    """Delete a file, or a directory with all of it that can be deleted; guards are not asked."""
    if path.is_dir() and not path.is_symlink():
        with suppress(RecursionError):
            shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def append(path: Path, text: str) -> None:
    """Add to a file, which is created if need be."""
    with changing(path):
        if not os.path.lexists(path):
            write_text(path, text)
            return
        # By a name of this process's own, which is gone where another has taken over.
        name = scratch(path) / f"{path.name}.{secrets.token_hex(8)}"
        if not link(path, name):
            name = path
        try:
            with name.open("a", encoding="utf-8") as file:
                file.write(text)
        finally:
            if name != path:
                name.unlink(missing_ok=True)


# What file systems say that have no links, or none here.
_WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def link(path: Path, name: Path) -> bool:
    """Give a file another name; False where the file system cannot."""
    try:
        os.link(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        return False
    return True


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends without an error.

    What was written is on the disk before it is renamed, so that not even a power cut leaves half of it;
    not `durable`, that is left to the system, which takes milliseconds less: killed processes leave nothing
    half-written either way.
    """
    with changing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}.partial-{socket.gethostname()}-{os.getpid()}-"
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=scratch(path), ignore_cleanup_errors=True
        ) as place:
            temporary = Path(place) / path.name
            yield temporary
            if durable:
                sync(temporary)
            check_guards(path)
            former = Path(place) / "former"
            if path.is_symlink():
                path.rename(former)  # a directory cannot be renamed over it
            if not (path.is_dir() and _exchange(temporary, path)):
                if path.is_dir():  # nor can one over another that is not empty
                    _put_away(path, former)
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


def holds(path: Path, content: Mapping[str, bytes]) -> bool:
    """Whether a directory has these files, by their paths in it, with these bytes, and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    there = {entry.relative_to(path).as_posix(): entry for entry in path.rglob("*")}
    there = {
        name: entry for name, entry in there.items() if entry.is_symlink() or not entry.is_dir()
    }
    return there.keys() == content.keys() and all(
        _is_regular(entry, len(content[name])) and entry.read_bytes() == content[name]
        for name, entry in there.items()
    )


def _is_regular(path: Path, size: int) -> bool:
    state = path.lstat()
    return stat.S_ISREG(state.st_mode) and state.st_size == size


def sync(path: Path) -> None:
    """Have a file, or all of a directory, on the disk."""
    if not path.is_dir():
        _sync_file(path)
        return
    entries = [path, *path.rglob("*")]
    with ThreadPoolExecutor(SYNCING) as threads:  # the system then writes many at once
        list(threads.map(lambda at: sync_directory(at) if at.is_dir() else _sync_file(at), entries))


def _sync_file(path: Path) -> None:
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
