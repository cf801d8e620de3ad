"""Keras 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras  # pyright: ignore[reportMissingImports]

from kernelstudy.recording.recorder import Recorder


class Keras(keras.callbacks.Callback):
    """Records the model that is fitted; validation accuracy is logged at the end of each epoch."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recorder = Recorder(place, **settings)
        self._step = self.recorder.last_step or 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        if self.recorder.last_step is None:
            self.recorder(0, self.model, now=True)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        del batch
        self._step += 1
        if self.recorder.is_due(
            self._step
        ):  # asking for the model fetches its state, which takes time
            self.recorder(self._step, self.model, loss=(logs or {}).get("loss"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch
        logs = logs or {}
        accuracy = next((v for k, v in logs.items() if k.startswith("val_") and "acc" in k), None)
        self.recorder(
            self._step,
            self.model,
            accuracy=accuracy,
            loss=logs.get("loss"),
            now=accuracy is not None,
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.recorder.close()
