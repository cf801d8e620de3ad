"""kernelstudy: do the kernels a CNN learns look like the ones people designed by hand?

The public names below are imported when first used, so that `import kernelstudy` and the report need
no JAX.
"""

import importlib
import importlib.util
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kernelstudy.system import process as _process
from kernelstudy.system.version import __version__ as __version__

if TYPE_CHECKING:
    from kernelstudy import callbacks, initializers, plot, torch
    from kernelstudy.compare import compare
    from kernelstudy.conv import apply_bank, convolve, correlate
    from kernelstudy.conv.bands import spread
    from kernelstudy.handcrafted import bank, family, info, kernel, names, steer
    from kernelstudy.handcrafted.linear import as_matrix
    from kernelstudy.jobs.script import train
    from kernelstudy.recording.recorder import Recorder
    from kernelstudy.report import report
    from kernelstudy.runs.opening import open_run

_PLACES = {
    "kernelstudy.handcrafted": ("bank", "family", "info", "kernel", "names", "steer"),
    "kernelstudy.handcrafted.linear": ("as_matrix",),
    "kernelstudy.conv": ("apply_bank", "convolve", "correlate"),
    "kernelstudy.conv.bands": ("spread",),
    "kernelstudy.compare": ("compare",),
    "kernelstudy.jobs.script": ("train",),
    "kernelstudy.recording.recorder": ("Recorder",),
    "kernelstudy.report": ("report",),
    "kernelstudy.runs.opening": ("open_run",),
}
_ROOMS = ("callbacks", "initializers", "plot", "torch")
_PLACE_OF = {name: module for module, found in _PLACES.items() for name in found}

__all__ = [
    "Recorder",
    "apply_bank",
    "as_matrix",
    "bank",
    "callbacks",
    "compare",
    "convolve",
    "correlate",
    "family",
    "info",
    "initializers",
    "kernel",
    "names",
    "open_run",
    "plot",
    "report",
    "spread",
    "steer",
    "torch",
    "train",
]


def _settle_backend() -> None:
    """Matplotlib cannot be imported where MPLBACKEND, inherited from a notebook, is of another environment."""
    backend = os.environ.get("MPLBACKEND", "")
    if backend.startswith("module://"):
        with suppress(ImportError, ValueError):
            if importlib.util.find_spec(backend.removeprefix("module://")) is not None:
                return
        os.environ["MPLBACKEND"] = "agg"


_settle_backend()
if _process.is_command():
    _process.begin()


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"kernelstudy.{name}")
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'kernelstudy' has no attribute {name!r}")
    module = importlib.import_module(_PLACE_OF[name])
    # `compare` is a module that can be called: importing it by its full name binds the same
    return module if module.__name__ == f"kernelstudy.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
