"""Keras 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras  # pyright: ignore[reportMissingImports]

from kernelstudy.callbacks.lazy import Lazy


class Keras(keras.callbacks.Callback):
    """Records the model that is fitted; validation accuracy is logged at the end of each epoch."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recording = Lazy(place, settings)
        self._step = self._epoch_start = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        # what the optimiser has done before: a fit may go on with a model that was trained
        self._step = int(self.model.optimizer.iterations)  # pyright: ignore[reportOptionalMemberAccess]
        recorder = self.recording.open()
        if recorder.last_step is None:
            recorder(self._step, self.model, now=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch, logs
        self._epoch_start = self._step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step = (
            self._epoch_start + batch + 1
        )  # with steps_per_execution it is not each that is told
        if self.recording.recorder.is_due(
            self._step
        ):  # asking for the model fetches its state, which takes time
            self.recording.recorder(self._step, self.model, loss=(logs or {}).get("loss"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch
        logs = logs or {}
        accuracy = next((v for k, v in logs.items() if k.startswith("val_") and "acc" in k), None)
        loss = logs.get("loss")
        self.recording.recorder(
            self._step, self.model, accuracy=accuracy, loss=loss, now=accuracy is not None
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.recording.close()
