"""The Trainer of Hugging Face's transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

from kernelstudy.callbacks.lazy import Lazy


class HuggingFace(TrainerCallback):
    """Records the model that is trained, on the first process alone; accuracy is the evaluation's metric of
    that name."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recording = Lazy(place, settings)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        if not state.is_world_process_zero:
            return
        recorder = self.recording.open()
        if recorder.last_step is None:
            recorder(state.global_step, given["model"], now=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        if self.recording.is_open:
            self.recording.recorder(state.global_step, given["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        metrics = given.get("metrics") or {}
        accuracy = next((v for k, v in metrics.items() if "accuracy" in k), None)
        if self.recording.is_open and accuracy is not None:
            self.recording.recorder(state.global_step, given["model"], accuracy=accuracy, now=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, state, control, given
        self.recording.close()
