"""What a training tells as it goes on, and what it asks (`Observer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Observer:
    """Is told how far a training is, and asked whether to end it. This one says and does nothing: a
    subclass overrides what it wants."""

    def signal(self) -> int:
        """The number of the signal that asks this process to end; 0 while there is none."""
        return 0

    def on_start(self, text: str) -> None:
        """Before training; `text`: a sentence on what is logged of deeper layers, and its size."""

    def on_size(self, size: int) -> None:
        """After `on_start`; `size`: bytes that the trajectory takes on disk at most, before compression."""

    def on_resume(self, where: str, seconds: float, records: list[dict[str, Any]]) -> None:
        """After `on_start`, where there is a checkpoint to go on from.

        Args:
            where: the steps done, in words.
            seconds: of training up to it.
            records: all that `on_log` was called with up to it.
        """

    def on_group(self, index: int, count: int) -> None:
        """Before each group of networks is trained, the `index`-th of `count`."""

    def on_step(self, step: int, accuracy: float) -> None:
        """After each dispatch; `step`: steps done, of this group; `accuracy`: its mean test accuracy when last
        logged."""

    def on_log(self, record: dict[str, Any], kernels: np.ndarray) -> None:
        """At each log point.

        Args:
            record: what JSON can hold of it. Networks that do not fit `study.memory_gib` together are
                trained in groups of seeds, one group after another, and each group logs for itself;
                its records name its seeds.
            kernels: of the first layer, (arm, seed, ky, kx, cin, cout).
        """


SILENT = Observer()
