"""What a process is that one of the commands was started as: quiet, and ended by Ctrl-C in one sentence."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = "kernelstudy: interrupted"


def is_command() -> bool:
    """Whether this process is `kernelstudy ...` or `python -m kernelstudy...`, whose module is being found."""
    started = os.path.basename((sys.argv or [""])[0])  # noqa: PTH119 (pathlib takes time to import)
    if started == "-m":
        return any(w.removeprefix("-m").startswith("kernelstudy.") for w in sys.orig_argv[1:])
    return started == "kernelstudy"


def begin() -> None:
    """Be quiet and, until `interruptible`, end at Ctrl-C at once: libraries take a second to import, and an
    exception raised within them would be told as a traceback, or lost."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    quieten()


def interruptible() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, after which what was begun is cleared away."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def quieten() -> None:
    """Keep what libraries say of themselves from a command's user: what they raise is told in a sentence.

    Warnings that were asked for (`python -W`, PYTHONWARNINGS) are shown, and so is what the user's own
    TF_CPP_MIN_LOG_LEVEL lets through.
    """
    import logging
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA and TensorFlow: fatal errors alone


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)
