"""What a result rests on: versions of packages, the machine's kind, the commit of a checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from kernelstudy.system.errors import ConfigError, first_line, printable
from kernelstudy.system.version import __version__

# What the bits of a result rest on, beside the settings and the kind of device.
_BITS = ("jax", "jaxlib", "flax", "optax")


def versions() -> dict[str, str]:
    """Versions of what the bits of a result rest on."""
    return {
        "kernelstudy": __version__,
        **{name: metadata.version(name) for name in _BITS},
    }


def environment() -> dict[str, Any]:
    """Versions of what a result rests on, the machine's kind and the commit of a checkout."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tensorflow-datasets", "xarray")
    return {
        "kernelstudy": __version__,
        "git_commit": _commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": {name: metadata.version(name) for name in packages},
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name
            in ("XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION")
        },
    }


def devices_of(ask: Callable[[], list[Any]]) -> list[Any]:
    """What JAX answers when asked for its devices.

    Raises:
        ConfigError: it has none of the kind that the environment asks for.
    """
    try:
        return ask()
    except (RuntimeError, AssertionError) as error:  # jax 0.10 asserts that there is one
        asked = os.environ.get("JAX_PLATFORMS")
        told = f"JAX_PLATFORMS={asked}: no such device here" if asked else first_line(error)
        raise ConfigError(f"JAX does not start: {printable(told)}") from error


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, '+' if it was changed since."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None
