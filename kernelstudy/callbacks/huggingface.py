"""The Trainer of Hugging Face's transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

from kernelstudy.recording.recorder import Recorder


class HuggingFace(TrainerCallback):
    """Records the model that is trained; accuracy is the evaluation's metric of that name."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recorder = Recorder(place, **settings)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        if self.recorder.last_step is None:
            self.recorder(state.global_step, given["model"], now=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        self.recorder(state.global_step, given["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, control
        accuracy = next(
            (v for k, v in (given.get("metrics") or {}).items() if "accuracy" in k), None
        )
        if accuracy is not None:
            self.recorder(state.global_step, given["model"], accuracy=accuracy, now=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        del args, state, control, given
        self.recorder.close()
