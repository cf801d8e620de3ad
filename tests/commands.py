"""Commands as `python -m` runs them, but in the tests' own process, which has imported all they need."""

import contextlib
import io
import os
import runpy
import sys
import traceback
import warnings
from subprocess import CompletedProcess
from unittest import mock


def run_here(place, module: str, *words: str) -> CompletedProcess:
    """`python -m module words` in the directory `place`: exit status and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", [module, *words]),
        mock.patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        # that it is imported already and now runs once more
        warnings.filterwarnings("ignore", f".*{module}.*found in sys.modules", RuntimeWarning)
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except Exception:  # what a process does with it
            traceback.print_exc()
            status = 1
    return CompletedProcess([module, *words], status, out.getvalue(), err.getvalue())
