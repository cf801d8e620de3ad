"""Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
except ImportError:  # its older name
    from pytorch_lightning import Callback  # pyright: ignore[reportMissingImports]

from kernelstudy.recording.recorder import Recorder


class Lightning(Callback):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """Records the module that is trained; accuracy is the first logged metric of validation that is one."""

    def __init__(self, place: str | Path, **settings: Any):
        super().__init__()
        self.recorder = Recorder(place, **settings)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if self.recorder.last_step is None:
            self.recorder(trainer.global_step, pl_module, now=True)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del batch, batch_idx
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        self.recorder(trainer.global_step, pl_module, loss=loss)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        metrics = trainer.callback_metrics
        accuracy = next((v for k, v in metrics.items() if "val" in k and "acc" in k), None)
        if accuracy is not None and not trainer.sanity_checking:
            self.recorder(trainer.global_step, pl_module, accuracy=accuracy, now=True)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        del trainer, pl_module
        self.recorder.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        del trainer, pl_module, exception
        self.recorder.close()
