"""What a command is at: on a terminal by a spinner or a bar, elsewhere by a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kernelstudy.system.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

TOLD_EVERY = 30.0  # seconds


def console() -> Console:
    """Where progress is shown: stderr."""
    from rich.console import Console

    return Console(stderr=True)


def is_lively(shown_on: Console) -> bool:
    """Whether lines there can be drawn over: of a file, a pipe and a dumb terminal they cannot."""
    return shown_on.is_terminal and not shown_on.is_dumb_terminal


@contextmanager
def working(what: str, *, alone: bool = True) -> Iterator[None]:
    """A spinner beside `what`; where there can be none, or other processes show theirs as well, a line every
    `TOLD_EVERY` seconds."""
    shown_on, began = console(), time.monotonic()
    if alone and is_lively(shown_on):
        with shown_on.status(what):
            yield
    else:
        with telling(lambda: f"{what}, for {duration(time.monotonic() - began)} by now"):
            yield


@contextmanager
def telling(where: Callable[[], str]) -> Iterator[None]:
    """Print what `where` returns on stderr, every `TOLD_EVERY` seconds while the block runs."""
    ended, out = threading.Event(), sys.stderr  # which libraries may turn elsewhere meanwhile

    def tell() -> None:
        while not ended.wait(TOLD_EVERY):
            print(f"kernelstudy: {printable(where())}", file=out, flush=True)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def duration(seconds: float) -> str:
    """3 h 05 min, 12 min, 40 s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
