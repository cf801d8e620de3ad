"""SIGINT and SIGTERM: training ends at its next safe point, everything else at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end. `at`: what has been done, for the user."""

    def __init__(self, number: int, at: str = ""):
        super().__init__(number)
        self.number, self.at = number, at

    @property
    def status(self) -> int:
        """The exit status: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class Stop:
    """What signals ask for: the first to end at once or, while it `waits`, to be asked for as `number`;
    a second one ends the process whatever it does."""

    def __init__(self) -> None:
        self.number, self.waits = 0, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            os._exit(128 + number)  # as if killed: what is on the disk is whole at any moment
        if not self.waits and frame is not None and frame.f_code.co_name == "_xla_gc_callback":
            # What is raised within JAX's hook on garbage collection is lost: once more, a little later.
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
            return
        self.number = number
        if not self.waits:
            raise Stopped(number)
        # not print: the signal may have come in the middle of another one
        os.write(2, b"kernelstudy: ending after this segment; once more to end at once\n")


@contextmanager
def handled() -> Iterator[Stop]:
    """Answer both signals with a `Stop`, unless somebody else (a job's launcher) answers them already.

    Within another such block it is that one's.
    """
    outer = next((h for h in map(signal.getsignal, SIGNALS) if isinstance(h, Stop)), None)
    if outer is not None:
        yield outer
        return
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
