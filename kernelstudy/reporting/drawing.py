"""Figures drawn by a second process, while this one goes on (`drawing`)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from kernelstudy.reporting import style
from kernelstudy.system import files

# As `style.save`, of a figure, or of a function that makes it, which is then called by whoever draws it.
Save = Callable[..., Any]
Make = Callable[[], Figure]
AHEAD = 24  # figures that wait at most: more would fill the memory


@contextmanager
def drawing() -> Iterator[Save]:
    """`Save`, by a second process where there is a core for it; all is written when the block ends.

    What that process has not begun by then is drawn here, and so is what it fails in, which then tells why.
    """
    process = _start() if _cores() > 1 else None
    if process is None:
        yield _make_and_save
        return
    # Threads of matrix products would wait for the core that the other process has.
    with process, threadpool_limits(1, "blas"), ThreadPoolExecutor(1, "drawing") as thread:
        given: list[tuple[Future[bool], tuple, dict]] = []

        def save(figure: Figure | Make, folder: Path, name: str, **look: Any) -> None:
            if sum(not future.done() for future, *_ in given) >= AHEAD:
                _make_and_save(figure, folder, name, **look)
                return
            work = (figure, folder, name), look
            given.append((thread.submit(_hand_over, process, work), *work))

        try:
            yield save
            while given:  # from the last on, for the other process begins with the first
                future, figure, look = given.pop()
                if future.cancel() or not future.result():
                    _make_and_save(*figure, **look)
        finally:
            thread.shutdown(cancel_futures=True)
            with suppress(OSError):  # it has ended already
                process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]


def _make_and_save(figure: Figure | Make, folder: Path, name: str, **look: Any) -> None:
    made = figure if isinstance(figure, Figure) else figure()
    style.save(made, folder, name, **{"dark": True, **look})


def _cores() -> int:
    """That this process may use; launchers tell a job of them as OMP_NUM_THREADS."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(there or 1, int(told)) if told.isdecimal() else there or 1


def _start() -> subprocess.Popen[bytes] | None:
    """The second process; None where it cannot be started. It ends when its input does, whoever ends that."""
    words = [sys.executable, "-P", "-m", "kernelstudy.reporting.drawing"]
    # It finds modules where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with suppress(OSError):
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # signals from the terminal are for this process
        )
    return None


def _hand_over(process: subprocess.Popen[bytes], work: tuple[tuple, dict]) -> bool:
    """Whether the other process has drawn it; an error where its folder may not be changed."""
    files.check_guards(work[0][1])
    try:
        process.stdin.write(pickle.dumps(work, pickle.HIGHEST_PROTOCOL))  # pyright: ignore[reportOptionalMemberAccess]
        process.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
        return process.stdout.read(1) == b"."  # pyright: ignore[reportOptionalMemberAccess]
    # A figure holds iterators of itertools, which Python 3.13 warns to pickle and 3.14 does not pickle.
    except (OSError, pickle.PicklingError, AttributeError, TypeError, ValueError, Warning):
        return False  # it has ended, or the figure cannot be sent


def _draw() -> None:
    """Draw what comes on stdin, with a dot on stdout for each; end with the first failure."""
    while True:
        try:
            figure, look = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _make_and_save(*figure, **look)
        sys.stdout.buffer.write(b".")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _draw()
