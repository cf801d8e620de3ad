"""The training of one run, up to its DONE: checkpoints, progress, what it leaves on disk."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from kernelstudy import runs
from kernelstudy.config import Study
from kernelstudy.system import software
from kernelstudy.system.signals import Stop, Stopped

if TYPE_CHECKING:
    import xarray as xr

    from kernelstudy.data.images import Images
    from kernelstudy.training.checkpoints import Store


def train_and_write(
    study: Study,
    data: "Images",
    place: Path,
    stop: Stop,
    facts: dict[str, Any],
    starting: float,
) -> None:
    """All up to DONE."""
    from kernelstudy.training.checkpoints import Store

    runs.start(place, study)
    store = Store(
        place / runs.CHECKPOINTS,
        seconds=study.checkpoint_seconds,
        versions={**software.versions(), "device": _kind(facts["device"])},
        allow_stale=study.allow_stale,
        tell=lambda message: print(f"kernelstudy: {message}", file=sys.stderr, flush=True),
    )
    before: dict[str, Any] = {"resumed_at": None, "seconds": 0.0}

    def on_resume(where: str, seconds: float, records: list[dict[str, Any]]) -> None:
        print(f"run: {place}: goes on at {where}", flush=True)
        runs.write_metrics(place, records)
        before.update(resumed_at=where, seconds=seconds)

    began = time.perf_counter()
    try:
        trajectory = _with_progress(study, data, place, store, stop, on_resume)
        seconds = before["seconds"] + time.perf_counter() - began
        runs.finish(
            place,
            trajectory,
            {
                "command": " ".join(["python -m kernelstudy.run", *_words()]),
                **facts,
                "seconds": {"start": round(starting, 1), "train": round(seconds, 1)},
                **({"resumed_at": before["resumed_at"]} if before["resumed_at"] else {}),
                "net_images": len(study.arms)
                * len(study.seed_list)
                * study.steps
                * study.batch_size,
                **software.environment(),
            },
        )
    finally:
        stop.waits = False
    if stop.number:
        raise Stopped(stop.number, "its report")


def _kind(device: str) -> str:
    """Of `2 x cpu in each of 2 processes`, the cpu: bits do not depend on how many there are."""
    return device.split(" x ", 1)[-1].split(" in each of ")[0]


def wait(stop: Stop) -> None:
    """From the first log point on signals wait for a safe point; before it there is nothing to lose."""
    stop.waits = True


def _dashboard(study: Study, place: Path) -> AbstractContextManager[Any]:
    """What is called with every log point, for people's own dashboards."""
    if study.log != "tensorboard":
        return nullcontext(lambda record, kernels: None)
    from kernelstudy.reporting import tensorboard

    return tensorboard.tensorboard(place, [arm.name for arm in study.arms])


def _words() -> list[str]:
    """The command line's own overrides; of a sweep, this job's."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _with_progress(
    study: Study,
    data: "Images",
    place: Path,
    store: "Store",
    stop: Stop,
    on_resume: Callable[[str, float, list[dict[str, Any]]], None],
) -> "xr.Dataset":
    """Train with a progress bar on the terminal (none elsewhere) and metrics.jsonl on disk."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from kernelstudy.training.population import train_population

    console = Console(stderr=True)
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[accuracy]}"),
    )
    with (
        _dashboard(study, place) as on_kernels,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("", total=study.steps, rate="compiling", accuracy="")
        began: list[tuple[float, int]] = []
        nets = len(study.arms) * len(study.seed_list)

        def on_step(step: int, accuracy: float) -> None:
            wait(stop)
            # the first call ends compilation, so rates count from there
            began.append((time.perf_counter(), step))
            (then, first), (now, _) = began[0], began[-1]
            done = (step - first) * nets * study.batch_size
            rate = f"{done / (now - then):,.0f} net-images/s" if len(began) > 1 else ""
            progress.update(
                bar, completed=step, rate=rate, accuracy=f"mean accuracy {accuracy:.1%}"
            )

        def on_log(record: dict[str, Any]) -> None:
            wait(stop)
            runs.append_metrics(place, record)

        return train_population(
            study,
            data,
            on_step=on_step,
            on_log=on_log,
            on_resume=on_resume,
            store=store,
            signal=lambda: stop.number,
            on_start=lambda told: print(f"log: {told}", flush=True),
            on_kernels=on_kernels,
        )
