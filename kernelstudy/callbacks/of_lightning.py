"""Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
except ImportError:  # its older name
    from pytorch_lightning import Callback  # pyright: ignore[reportMissingImports]

from kernelstudy.callbacks.lazy import Lazy


class Lightning(Callback):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """Records the module that is trained, on the first process alone; accuracy is the first logged metric of
    validation that is one."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recording = Lazy(place, settings)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        recorder = self.recording.open()
        if recorder.last_step is None:
            recorder(trainer.global_step, pl_module, now=True)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del batch, batch_idx
        if self.recording.is_open:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self.recording.recorder(trainer.global_step, pl_module, loss=loss)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        metrics = trainer.callback_metrics
        accuracy = next((v for k, v in metrics.items() if "val" in k and "acc" in k), None)
        if self.recording.is_open and accuracy is not None and not trainer.sanity_checking:
            self.recording.recorder(trainer.global_step, pl_module, accuracy=accuracy, now=True)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        del trainer, pl_module
        self.recording.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        del trainer, pl_module, exception
        self.recording.close()
