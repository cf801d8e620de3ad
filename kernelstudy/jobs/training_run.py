"""The training of one run, up to its DONE: checkpoints, progress, what it leaves on disk."""

import shlex
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from kernelstudy import runs
from kernelstudy.config import Study
from kernelstudy.runs.lock import Hold, LostError
from kernelstudy.system import software
from kernelstudy.system.signals import Stop, Stopped
from kernelstudy.training.observer import Observer

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from rich.progress import Progress

    from kernelstudy.data.images import Images
    from kernelstudy.reporting.tensorboard import Write
    from kernelstudy.training.backend import Started
    from kernelstudy.training.checkpoints import Store


class SignalObserver(Observer):
    """Answers signals: from the first dispatch on they wait for a safe point; before it there is nothing
    to lose."""

    def __init__(self, stop: Stop):
        self.stop = stop

    def signal(self) -> int:
        return self.stop.number

    def on_step(self, step: int, accuracy: float) -> None:
        self.stop.waits = True


class RunObserver(SignalObserver):
    """Shows a run's training on `progress`, and writes what it logs to metrics.jsonl and `dashboard`."""

    def __init__(
        self, study: Study, directory: Path, stop: Stop, progress: "Progress", dashboard: "Write"
    ):
        super().__init__(stop)
        self.directory, self.progress, self.dashboard = directory, progress, dashboard
        self.bar = progress.add_task("", total=study.steps, rate="compiling", accuracy="")
        self.images_a_step = len(study.arms) * len(study.seed_list) * study.batch_size
        self.first: tuple[float, int] | None = None  # end of the first dispatch, and its step
        self.resumed_at: str | None = None
        self.seconds = 0.0  # that training took before it was resumed

    def on_start(self, text: str) -> None:
        print(f"log: {text}", flush=True)

    def on_size(self, size: int) -> None:
        """Set aside what the trajectory will take: a disk without room for it is told before training."""
        runs.reserve(self.directory, size)

    def on_resume(self, where: str, seconds: float, records: list[dict[str, Any]]) -> None:
        print(f"run: {self.directory}: goes on at {where}", flush=True)
        runs.write_metrics(self.directory, records)
        self.resumed_at, self.seconds = where, seconds

    def on_step(self, step: int, accuracy: float) -> None:
        super().on_step(step, accuracy)
        now = time.perf_counter()
        if self.first is None:  # it ends compilation, so rates count from there
            self.first = now, step
        then, first = self.first
        images = (step - first) * self.images_a_step
        rate = f"{images / (now - then):,.0f} net-images/s" if now > then else ""
        accuracy_text = f"mean accuracy {accuracy:.1%}"
        self.progress.update(self.bar, completed=step, rate=rate, accuracy=accuracy_text)

    def on_log(self, record: dict[str, Any], kernels: "np.ndarray") -> None:
        self.stop.waits = True
        runs.append_metrics(self.directory, record)
        self.dashboard(record, kernels)


def train_and_write(
    study: Study,
    data: "Images",
    directory: Path,
    stop: Stop,
    backend: "Started",
    startup_seconds: float,
    hold: Hold,
) -> "xr.Dataset":
    """Train `study` and write its run directory, up to DONE; the trajectory.

    Args:
        backend: the devices.
        startup_seconds: seconds that it took to load the data and to start the devices.
        hold: on `directory`.

    Raises:
        Stopped: a signal asked for it.
        RunError: a checkpoint there is of another run or of other versions.
        LostError: another process has taken the run over.
    """
    from kernelstudy.training.population import train_population

    runs.start(directory, study)
    facts = {
        "command": shlex.join(["python", "-m", "kernelstudy.run", *_words()]),
        "data": data.facts,
        "device": backend.devices,
    }
    runs.check_reportable(directory, facts)
    rests_on = {**software.versions(), "device": backend.kind}
    if study.data.path is not None:  # its contents are not in the run's id
        rests_on["images"] = data.facts["sha256"][:16]
    store = _store(study, directory, rests_on, hold)
    began = time.perf_counter()
    try:
        with _dashboard(study, directory) as dashboard, _progress() as progress:
            observer = RunObserver(study, directory, stop, progress, dashboard)
            trajectory = train_population(study, data, observer=observer, store=store)
        seconds = observer.seconds + time.perf_counter() - began
        runs.finish(
            directory,
            trajectory,
            {
                **facts,
                "seconds": {"start": round(startup_seconds, 1), "train": round(seconds, 1)},
                **({"resumed_at": observer.resumed_at} if observer.resumed_at else {}),
                "net_images": study.steps * observer.images_a_step,
                **software.environment(),
            },
        )
    except LostError:
        store.abandon()
        raise
    finally:
        stop.waits = False
        runs.release(directory)
    if stop.number:
        raise Stopped(stop.number, "its report")
    return trajectory


def _store(study: Study, directory: Path, rests_on: dict[str, Any], hold: Hold) -> "Store":
    """The run's checkpoints. Bits depend on the kind of device, not on how many there are."""
    from kernelstudy.training.checkpoints import Store, claim

    return Store(
        claim(directory / runs.CHECKPOINTS, hold.generation),
        seconds=study.checkpoint_seconds,
        versions=rests_on,
        allow_stale=study.allow_stale,
        run=directory.name,
        check=hold.check,
        tell=lambda message: print(f"kernelstudy: {message}", file=sys.stderr, flush=True),
    )


def _progress() -> "Progress":
    """A progress bar on the terminal; none elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[accuracy]}"),
        console=console,
        disable=not console.is_terminal,
    )


def _dashboard(study: Study, directory: Path) -> AbstractContextManager["Write"]:
    """What is called with every log point, for people's own dashboards."""
    if study.log != "tensorboard":
        return nullcontext(lambda record, kernels: None)
    from kernelstudy.reporting import tensorboard

    return tensorboard.tensorboard(directory, [arm.name for arm in study.arms])


def _words() -> list[str]:
    """The command line's own overrides; of a sweep, this job's."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
