"""One run: trained, measured and reported, as far as earlier processes have not done it yet."""

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from kernelstudy import checks, files, launched, locks, runs, stopping
from kernelstudy.config import ConfigError, Study
from kernelstudy.stopping import Stop, Stopped

if TYPE_CHECKING:
    import xarray as xr

    from kernelstudy.data.images import Images
    from kernelstudy.training.checkpoints import Store


def run(study: Study) -> Path:
    """Train, measure and report `study`: what of that an earlier process has not done yet.

    Of several processes (`distributed`) the first writes the run; the others only train.

    Returns:
        The run directory.

    Raises:
        ConfigError: where the settings cannot be run on the data; nothing is left behind.
        RunError: the run there is damaged, or of other versions.
        HeldError: another process is at work on it.
        Stopped: a signal asked for it.
        OSError: the run's directory cannot be written; told before anything is loaded.
    """
    checks.check(study)
    place = runs.run_dir(study)
    if not study.distributed:  # where only the first process writes
        files.check_writable(place)
    with stopping.signals() as stop:
        if not runs.is_done(place) and (other := runs.of_another_version(study)):
            version = runs.read_provenance(other).get("kernelstudy")
            print(
                f"run: {other} has the same settings, finished by kernelstudy {version}", flush=True
            )
            if study.allow_stale:
                place = other
        if runs.is_done(place):
            if study.distributed and not _leads(study):
                return place
            with _held(place):
                _accept(study, place)
                runs.tidy(place)
                # A sweep does only what is missing.
                if launched.in_sweep() and _is_measured(study, place):
                    print(_made(study, place), flush=True)
                else:
                    again = "making its report" if study.report else "measuring it"
                    print(f"run: {place} is finished; {again} again", flush=True)
                    _measure(study, place)
        else:
            _train(study, place, stop)
    return place


def _held(place: Path) -> AbstractContextManager[None]:
    """`locks.held`; a job that a launcher may have started again waits for its first self to be dead."""
    if launched.elsewhere():
        locks.outlast(
            place, lambda told: print(f"kernelstudy: {told}", file=sys.stderr, flush=True)
        )
    return locks.held(place)


def _accept(study: Study, place: Path) -> None:
    """A finished run is what it was, and of these versions."""
    runs.check_trajectory(place)
    if (versions := runs.stale(place)) and not study.allow_stale:
        raise runs.RunError(
            f"{place} was finished by other versions ({versions}): allow_stale=true accepts it, or delete it "
            "to train again"
        )


def _is_measured(study: Study, place: Path) -> bool:
    """Whether a finished run has its measures, and its report if asked for, of this trajectory and version."""
    from kernelstudy import measured

    made = place / ("report.html" if study.report else "tables")
    return made.exists() and measured.is_current(place)


def _made(study: Study, place: Path) -> str:
    return f"report: {place / 'report.html'}" if study.report else f"tables: {place / 'tables'}"


def _leads(study: Study) -> bool:
    from kernelstudy.training.start import start

    return start(study.devices, distributed=True).leads


def _measure(study: Study, place: Path) -> None:
    # What these import takes as long as JAX, and is needed only now.
    if study.report:
        from kernelstudy.report import build as make
    else:
        from kernelstudy.measuring import measure as make
    try:
        with Console(stderr=True).status("measuring"):  # silent without a terminal
            make(place)
    except Stopped as stopped:
        raise Stopped(stopped.number, "its report") from stopped
    print(_made(study, place), flush=True)


def _train(study: Study, place: Path, stop: Stop) -> None:
    """Train `study` into `place` and report; a process that does not lead only helps to train."""
    from kernelstudy.data import DataError
    from kernelstudy.data.images import load

    began = time.perf_counter()
    # Told before anything is loaded; `held` decides. Of several processes only the first holds it.
    if not (study.distributed or launched.elsewhere()) and (holder := locks.holder(place)):
        raise locks.HeldError(f"{place} is being worked on by {holder}: wait for it to end")
    if study.log == "tensorboard" and find_spec("tensorboardX") is None:
        raise ConfigError("log: tensorboard needs tensorboardX, of the extra [tensorboard]")
    try:
        data = load(study.data)
    except DataError as error:
        raise ConfigError(str(error)) from error
    checks.check_against_data(study, examples=len(data.train_labels), image_shape=data.image_shape)
    from kernelstudy.training.start import start

    started = start(study.devices, distributed=study.distributed)
    if not started.leads:
        from kernelstudy.training.population import train_population

        train_population(study, data, on_step=lambda *_: _wait(stop), signal=lambda: stop.number)
        return
    print(f"data: {data.describe()}", flush=True)
    nets = len(study.arms) * len(study.seed_list)
    print(
        f"run: {place}: {len(study.arms)} arms x {len(study.seed_list)} seeds = {nets} networks, "
        f"{study.steps:,} steps of {study.batch_size} images, on {started.devices}",
        flush=True,
    )
    is_new = not place.exists()
    with _held(place):
        if not runs.is_done(place):  # by a process that has ended since
            try:
                facts = {"data": data.facts, "device": started.devices}
                _train_and_write(study, data, place, stop, facts, time.perf_counter() - began)
            except (ConfigError, runs.RunError):
                if is_new:
                    runs.discard(study)
                raise
            except Exception:
                with suppress(OSError):  # where the disk is full, say that
                    runs.write_text(place / runs.FAILED, traceback.format_exc())
                raise
        _measure(study, place)


def _train_and_write(
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
        versions={**runs.versions(), "device": _kind(facts["device"])},
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
                **runs.environment(),
            },
        )
    finally:
        stop.waits = False
    if stop.number:
        raise Stopped(stop.number, "its report")


def _kind(device: str) -> str:
    """Of `2 x cpu in each of 2 processes`, the cpu: bits do not depend on how many there are."""
    return device.split(" x ", 1)[-1].split(" in each of ")[0]


def _wait(stop: Stop) -> None:
    """From the first log point on signals wait for a safe point; before it there is nothing to lose."""
    stop.waits = True


def _dashboard(study: Study, place: Path) -> AbstractContextManager[Any]:
    """What is called with every log point, for people's own dashboards."""
    if study.log != "tensorboard":
        return nullcontext(lambda record, kernels: None)
    from kernelstudy.reporting import dashboard

    return dashboard.tensorboard(place, [arm.name for arm in study.arms])


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
            _wait(stop)
            # the first call ends compilation, so rates count from there
            began.append((time.perf_counter(), step))
            (then, first), (now, _) = began[0], began[-1]
            done = (step - first) * nets * study.batch_size
            rate = f"{done / (now - then):,.0f} net-images/s" if len(began) > 1 else ""
            progress.update(
                bar, completed=step, rate=rate, accuracy=f"mean accuracy {accuracy:.1%}"
            )

        def on_log(record: dict[str, Any]) -> None:
            _wait(stop)
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
