"""The training of one run, up to its DONE: checkpoints, progress, what it leaves on disk."""

import math
import os
import shlex
import sys
import time
from bisect import bisect_right
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from kernelstudy import runs
from kernelstudy.analysis.variables import layers_of
from kernelstudy.config import Study
from kernelstudy.jobs import launchers
from kernelstudy.jobs.starts import Start
from kernelstudy.runs.lock import Hold, LostError
from kernelstudy.system import software
from kernelstudy.system.progress import console, duration, is_lively, telling
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
    from kernelstudy.training.own import Own

# What of training is measured before its time is told: seconds, at least and at most, and steps.
MEASURED_FOR, MEASURED_OVER = (5.0, 60.0), 48


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
        self.steps = study.steps
        self.images_a_step = len(study.arms) * len(study.seed_list) * study.batch_size
        self.group = (0, 1)  # the one in training, of how many
        self.marks: list[tuple[float, float]] = []  # steps done after each dispatch, and when
        self.where = "compiling"  # for those who see no bar
        self.told_time = False
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

    def on_group(self, index: int, count: int) -> None:
        self.group = index, count

    def on_step(self, step: int, accuracy: float) -> None:
        super().on_step(step, accuracy)
        now, (group, groups) = time.perf_counter(), self.group
        done = (group * self.steps + step) / groups  # as if all networks made each step together
        self.marks.append((done, now))
        # The first dispatch ends compilation, so rates count from there; of the steps since then the later half
        # counts, for log points are dense among the first.
        first, began = self.marks[0]
        start, then = self.marks[bisect_right(self.marks, ((first + done) / 2, math.inf)) - 1]
        pace = (done - start) / (now - then) if done > start else 0.0  # steps a second
        rate = f"{pace * self.images_a_step:,.0f} net-images/s" if pace else ""
        accuracy_text = f"mean accuracy {accuracy:.1%}"
        self.progress.update(self.bar, completed=int(done), rate=rate, accuracy=accuracy_text)
        left = (self.steps - done) / pace if pace else None
        told = [f"step {int(done):,} of {self.steps:,}", rate, accuracy_text]
        self.where = ", ".join(
            [*filter(None, told), *([f"{duration(left)} left"] if left is not None else [])]
        )
        if not self.told_time and left is not None and self._is_measured(now - began, done - first):
            self.told_time = True
            if left > MEASURED_FOR[0]:
                print(
                    f"time: about {duration(left)} more to train, by the pace of the steps from "
                    f"{int(start):,} to {int(done):,}; then it is measured",
                    flush=True,
                )

    def _is_measured(self, seconds: float, steps: float) -> bool:
        """Whether the pace is known: the first steps are slower, for log points are dense among them."""
        least, enough = MEASURED_FOR
        return seconds > enough or (seconds > least and steps >= MEASURED_OVER)

    def on_log(self, record: dict[str, Any], kernels: "np.ndarray") -> None:
        self.stop.waits = True
        runs.append_metrics(self.directory, record)
        self.dashboard(record, kernels)


def train_and_write(
    study: Study,
    data: "Images",
    starts: dict[str, Start],
    directory: Path,
    stop: Stop,
    backend: "Started",
    startup_seconds: float,
    hold: Hold,
    own: "Own | None" = None,
    command: list[str] | None = None,
) -> "xr.Dataset":
    """Train `study` and write its run directory, up to DONE; the trajectory.

    Args:
        starts: of the arms that start from files and runs, by name.
        backend: the devices.
        startup_seconds: seconds that it took to load the data and to start the devices.
        hold: on `directory`.
        own: the network that is trained in place of the built-in one.
        command: what makes this run; None: the command line.

    Raises:
        Stopped: a signal asked for it.
        RunError: a checkpoint there is of another run or of other versions.
        LostError: another process has taken the run over.
    """
    from kernelstudy.training.population import train_population

    runs.start(directory, study)
    argv = command or ["python", "-m", "kernelstudy.run", *_words()]
    facts = {
        "argv": argv,
        "command": shlex.join(argv),
        "data": data.facts,
        "device": backend.devices,
        **({"starts": {name: start.facts for name, start in starts.items()}} if starts else {}),
    }
    runs.check_reportable(directory, facts)
    rests_on = {**_rests_on(study, data, starts, own), "device": backend.kind}
    if own is not None:
        facts["network"] = {"name": own.name, "sha256": rests_on["network"]}
    kernels = {name: start.kernels for name, start in starts.items()}
    store = _store(study, directory, rests_on, hold)
    began = time.perf_counter()
    try:
        with (
            _dashboard(study, directory) as dashboard,
            _progress() as progress,
            ExitStack() as stack,
        ):
            observer = RunObserver(study, directory, stop, progress, dashboard)
            if progress.disable:
                label = launchers.label(directory)
                stack.enter_context(telling(lambda: label + observer.where))
            trajectory = train_population(
                study, data, observer=observer, store=store, starts=kernels, own=own
            )
        seconds = observer.seconds + time.perf_counter() - began
        runs.finish(
            directory,
            trajectory,
            {
                **facts,
                "seconds": {"start": round(startup_seconds, 1), "train": round(seconds, 1)},
                **_watched(facts, own, data, trajectory),
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


def _rests_on(
    study: Study, data: "Images", starts: dict[str, Start], own: "Own | None"
) -> dict[str, str]:
    """What a run's checkpoints rest on: versions, and what its id does not hold."""
    found = software.versions()
    if study.data.path is not None:
        found["images"] = data.facts["sha256"][:16]
    if starts:
        found["kernels"] = " ".join(start.facts["sha256"][:16] for start in starts.values())
    if own is not None:  # of its program the id holds shapes alone
        from kernelstudy.training.own_network import digest

        found["network"] = digest(own, data.image_shape)
    return found


def _watched(
    facts: dict[str, Any], own: "Own | None", data: "Images", trajectory: "xr.Dataset"
) -> dict[str, Any]:
    """What is written down of a network of one's own, with which of its convolutions are layer 1, 2, ..."""
    if own is None or not layers_of(trajectory):
        return {}
    from kernelstudy.training.own_network import watched

    found = watched(own, data.image_shape)._asdict()
    return {"network": {**facts["network"], "watched": found}}


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
    """A progress bar on the terminal; none elsewhere, nor where jobs would draw over each other's."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    shown_on = console()
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[accuracy]}"),
        console=shown_on,
        disable=launchers.elsewhere() or not is_lively(shown_on),
    )


def _dashboard(study: Study, directory: Path) -> AbstractContextManager["Write"]:
    """What is called with every log point, for people's own dashboards."""
    if study.log != "tensorboard":
        return nullcontext(lambda record, kernels: None)
    from kernelstudy.reporting import tensorboard

    return tensorboard.tensorboard(directory, [arm.name for arm in study.arms])


def _words() -> list[str]:
    """The words of the command line that make this run, one of a sweep too: configs' place and settings."""
    if not HydraConfig.initialized():
        return []
    job = HydraConfig.get()
    given = [s.path for s in job.runtime.config_sources if s.provider == "command-line"]
    folders = [word for folder in given for word in ("--config-dir", os.path.relpath(folder))]
    return [*folders, *job.overrides.task]
