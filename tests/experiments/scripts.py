"""Modules of experiments/, which is no package."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(place: str, name: str = "run"):
    """A module of experiments/, with those beside it that it imports."""
    folder = ROOT / "experiments" / place
    spec = importlib.util.spec_from_file_location(f"{place}_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for file in folder.glob("*.py"):  # another study's have the same names
            sys.modules.pop(file.stem, None)
    return module
