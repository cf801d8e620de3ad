"""Compiled programs kept on disk, so that the next command need not compile them again."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax

MOST_BYTES = 2**30


def keep() -> None:
    """Turn JAX's compilation cache on, in `cache_dir()`, unless JAX has been told of it already.

    JAX's own variables come first: JAX_COMPILATION_CACHE_DIR (empty: none),
    JAX_ENABLE_COMPILATION_CACHE=false turns it off. Where nothing can be written there is no cache.
    """
    enabled = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or not enabled:
        return
    place = cache_dir()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(place, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(place))
    # A size limit also makes JAX lock the cache: jobs of a sweep may write it at the same time.
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # A start compiles some fifty small programs, which together take as long as the large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def cache_dir() -> Path:
    """Where compiled programs of this kind of machine live, in the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kernelstudy" / "jax" / _machine()


def _machine() -> str:
    """A name of the processor's instructions: homes are shared by machines, programs are not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = f"{platform.machine()} {platform.processor()} {flags}"
    return hashlib.sha256(kind.encode()).hexdigest()[:12]
