"""What the processes of one training agree on; of a single process, nothing is asked."""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from kernelstudy.training.checkpoints import Position, Saved
from kernelstudy.training.journal import packed, unpacked


def leads() -> bool:
    """Whether this process writes the run."""
    return jax.process_index() == 0


def most(*values: int) -> list[int]:
    """The largest of each value over all processes."""
    if jax.process_count() == 1:
        return list(values)
    gathered = multihost_utils.process_allgather(np.array(values, np.int32))
    return [int(v) for v in np.asarray(gathered).reshape(-1, len(values)).max(0)]


def leaders_bytes(content: bytes) -> bytes:
    """What the first process has given, in all of them."""
    if jax.process_count() == 1:
        return content
    (size,) = most(len(content) if leads() else 0)
    room = np.frombuffer(content.ljust(size, b"\0")[:size], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(room)).astype(np.uint8).tobytes()


def leaders_arrays(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first process's arrays, bit by bit; the others give arrays of the same shapes and types."""
    if jax.process_count() == 1:
        return list(arrays)
    found: list[Any] = []
    for array in arrays:
        content = leaders_bytes(np.ascontiguousarray(array).tobytes())
        found.append(np.frombuffer(content, array.dtype).reshape(array.shape))
    return found


def leaders_checkpoint(found: Saved | None, abstract: Sequence[Any]) -> Saved | None:
    """The checkpoint that the first process has read, in all of them.

    `abstract`: shape and type of the leaves of one network.
    """
    if jax.process_count() == 1:
        return found
    text = json.dumps(found.position._asdict()) if found else ""
    text = leaders_bytes(text.encode()).decode()
    if not text:
        return None
    position = Position(**json.loads(text))
    journals = [
        unpacked(leaders_bytes(packed(found.journals[group]) if found else b""))
        for group in range(position.group + 1)
    ]
    count = most(len(found.leaves[0]) if found else 0)[0]
    leaves = [
        found.leaves[index] if found else np.zeros((count, *leaf.shape), leaf.dtype)
        for index, leaf in enumerate(abstract)
    ]
    return Saved(position, leaders_arrays(leaves), journals)
