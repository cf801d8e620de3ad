"""A `Recorder` that begins when training does: on one process alone, and again where training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kernelstudy.recording.recorder import Recorder
from kernelstudy.system.errors import InputError


class Lazy:
    """`recorder` while training runs. Until then it holds plain settings, so that callbacks can be copied."""

    def __init__(self, place: str | Path, settings: dict[str, Any]):
        self.place, self.settings = place, settings
        self._recorder: Recorder | None = None

    def open(self) -> Recorder:
        """Begin; after a training of this callback that has ended, go on with its recording."""
        if self._recorder is None or self._recorder.closed:
            again: dict[str, Any] = {} if self._recorder is None else {"resume": True}
            settings: dict[str, Any] = {**self.settings, **again}
            self._recorder = Recorder(self.place, **settings)
        return self._recorder

    @property
    def recorder(self) -> Recorder:
        if self._recorder is None:
            raise InputError("the recording has not begun: training has not")
        return self._recorder

    @property
    def is_open(self) -> bool:
        return self._recorder is not None and not self._recorder.closed

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
