"""What the convolutions of a model answer in one pass, noted while it runs: the tape that modules of several
frameworks are watched by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

NORMS = ("BatchNorm", "GroupNorm", "LayerNorm", "InstanceNorm", "SyncBatchNorm")
_CLASSES = threading.RLock()  # which threads share: one at a time changes how they are called


class Tape:
    """What convolutions answered in one pass, each after the normalisation that directly takes its answer."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self._raw: dict[str, Any] = {}  # kept, so that no other array gets the same identity

    def convolved(self, name: str, answer: Any) -> None:
        # a layer that is used again, with shared weights, is shown where it is used first
        self.answers.setdefault(name, answer)
        self._raw.setdefault(name, answer)

    def normalised(self, taken: Any, answer: Any) -> None:
        for name, raw in self._raw.items():
            if raw is taken:
                self.answers[name] = answer


def of_nnx(module: Any, images: Any) -> dict[str, Any]:
    """Maps (n, h, w, channels) of images (n, ...) by the paths of the convolutions of a Flax nnx module, in the
    order in which they answer.

    Those within nnx.jit, nnx.vmap, nnx.scan, nnx.remat and branches are left out: what they answer is known
    there alone.
    """
    from flax import nnx
    from flax.nnx.tracers import TraceState

    names = {id(m): "/".join(map(str, path)) for path, m in nnx.iter_graph(module)}
    here = TraceState()  # also tells calls of other threads apart

    def convolved(tape: Tape, layer: Any, _: Any, answer: Any) -> None:
        if here.is_valid():
            tape.convolved(names.get(id(layer), type(layer).__name__), answer)

    def normalised(tape: Tape, _: Any, taken: Any, answer: Any) -> None:
        tape.normalised(taken, answer)

    norms = [getattr(nnx, name) for name in NORMS if hasattr(nnx, name)]
    with watched(nnx.Conv, convolved) as tape, all_watched(norms, normalised, tape):
        module(images)
    return {
        name: maps
        for name, maps in tape.answers.items()
        if maps.ndim == 4 and len(maps) == len(images)
    }


def chosen(names: list[str], followed: str, most: int) -> list[str]:
    """At most so many of the layers that answer: from the followed one on, evenly up to the last."""
    after = names[names.index(followed) :]
    places = np.linspace(0, len(after) - 1, min(most, len(after))).round().astype(int)
    return [after[place] for place in np.unique(places)]


@contextmanager
def watched(kind: type, after: Callable[[Tape, Any, Any, Any], None]) -> Iterator[Tape]:
    """A tape on which `after` (tape, layer, what it takes, answer) notes every call of layers of a kind."""
    tape = Tape()
    with all_watched([kind], after, tape):
        yield tape


@contextmanager
def all_watched(
    kinds: list[type], after: Callable[[Tape, Any, Any, Any], None], tape: Tape
) -> Iterator[None]:
    def watching(call: Any) -> Any:
        def noted(layer: Any, *args: Any, **kwargs: Any) -> Any:
            answer = call(layer, *args, **kwargs)
            after(tape, layer, args[0] if args else None, answer)
            return answer

        return noted

    with _CLASSES:
        calls = [(kind, kind.__call__) for kind in kinds]
        try:
            for kind, call in calls:
                kind.__call__ = watching(call)  # pyright: ignore[reportAttributeAccessIssue]
            yield
        finally:
            for kind, call in calls:
                kind.__call__ = call  # pyright: ignore[reportAttributeAccessIssue]
