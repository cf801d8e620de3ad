"""What a process is that one of the commands was started as: quiet, and ended by Ctrl-C in one sentence."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import PurePath
from types import FrameType

INTERRUPTED = "kernelstudy: interrupted"


def is_command() -> bool:
    """Whether this process is `kernelstudy ...` or `python -m kernelstudy...`, whose module is being found."""
    started = PurePath((sys.argv or [""])[0]).name
    if started == "-m":
        return any(w.removeprefix("-m").startswith("kernelstudy.") for w in sys.orig_argv[1:])
    return started == "kernelstudy"


def begin() -> None:
    """Be quiet and, until `interruptible`, end at Ctrl-C at once: libraries take a second to import, and an
    exception raised within them would be told as a traceback, or lost."""
    quieten()
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _end)


def interruptible() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, after which what was begun is cleared away."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def quieten() -> None:
    """Keep what libraries say of themselves from a command's user: what they raise is told in a sentence.

    Warnings that were asked for (`python -W`, PYTHONWARNINGS) are shown, and so is what the user's own
    TF_CPP_MIN_LOG_LEVEL lets through.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA and TensorFlow: fatal errors alone


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)
