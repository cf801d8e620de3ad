"""What a process may use of the machine."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def memory() -> int:
    """Bytes of memory that the machine has; 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


@contextmanager
def memory_bound(further: int) -> Iterator[None]:
    """Within the block this process may take so many bytes more than it has; then a MemoryError, where the
    system counts them (RLIMIT_AS)."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    bound_memory(further)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def bound_memory(further: int) -> None:
    """The same, for good."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError):
        return
    wanted = pages * os.sysconf("SC_PAGE_SIZE") + further
    known = [limit for limit in (soft, wanted) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
