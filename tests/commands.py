"""Commands as `python -m` and the script run them, but in the tests' own process, which has imported all
they need."""

import contextlib
import io
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable
from subprocess import CompletedProcess
from unittest import mock

from kernelstudy.system import commandline, progress


def run_here(place, module: str, *words: str) -> CompletedProcess:
    """`python -m module words` in the directory `place`: exit status and what it wrote."""
    return _called(
        place,
        [module, *words],
        lambda: runpy.run_module(module, run_name="__main__", alter_sys=True),
    )


def script_here(place, *words: str) -> CompletedProcess:
    """`kernelstudy words` in the directory `place`, as the installed script calls it."""
    return _called(place, ["kernelstudy", *words], lambda: sys.exit(commandline.main()))


def _called(place, argv: list[str], call: Callable[[], object]) -> CompletedProcess:
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", list(argv)),
        mock.patch.dict(os.environ),
        # nothing of what a slow machine is told meanwhile
        mock.patch.object(progress, "TOLD_EVERY", 1e6),
        warnings.catch_warnings(),
    ):
        # that it is imported already and now runs once more
        warnings.filterwarnings("ignore", f".*{argv[0]}.*found in sys.modules", RuntimeWarning)
        try:
            call()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except Exception:  # what a process does with it
            traceback.print_exc()
            status = 1
    return CompletedProcess(argv, status, out.getvalue(), err.getvalue())
