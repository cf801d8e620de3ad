"""python -m kernelstudy.run +exp=mnist [key=value ...]: train, measure, report."""

import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from kernelstudy import config, runs
from kernelstudy.config import ConfigError, Study

if TYPE_CHECKING:
    import xarray as xr

    from kernelstudy.data.images import Images


def conf_dir() -> Path:
    """conf/ of the installed package, or of the checkout it runs from."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def main() -> None:
    """Run the command; exit status 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    config.register()
    with tempfile.TemporaryDirectory(prefix="kernelstudy-") as place:
        sys.argv[1:] = _arranged(sys.argv[1:], place)
        unknown = get_args_parser().parse_known_args()[1]
        if unknown:
            sys.exit(_tell(f"{unknown[0]}: no such option; --help lists what can be set", 2))
        command = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
        try:
            command(_job)()
        except _Told as told:
            sys.exit(told.status)
        except KeyboardInterrupt:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # an impatient second one tells nothing more
            sys.exit(_tell("interrupted; the same command starts this run again", 130))
        except Exception as error:  # jobs tell of their own, so this is Hydra on its input
            sys.exit(_tell(config.explain(error), 2))


def _arranged(words: list[str], place: str) -> list[str]:
    """The command line in the order that Hydra needs: options, experiment, debug, the rest.

    What a debug config sets wins over the experiment's own, wherever it stands. Hydra insists on
    leaving a file in a sweep's directory: in `place`, unless another is given.
    """
    overrides = [w for w in words if "=" in w and not w.startswith("-")]
    options = [w for w in words if w not in overrides]
    experiment = [w for w in overrides if w.startswith(("+exp=", "++exp="))]
    debug = [w for w in overrides if w.startswith(("+debug=", "++debug="))]
    rest = [w for w in overrides if w not in experiment + debug]
    if not any(w.startswith("hydra.sweep.dir=") for w in rest):
        rest.append(f"hydra.sweep.dir={place}")
    return options + experiment + debug + rest


class _Told(Exception):  # noqa: N818 (no error: the user knows already)
    """A job failed and said so already."""

    def __init__(self, status: int):
        self.status = status


def _tell(message: str, status: int) -> int:
    print(f"kernelstudy: {message}", file=sys.stderr)
    return status


def _job(settings: DictConfig) -> None:
    """One job: a single run, or one of a sweep, which goes on to its other jobs if this one fails."""
    try:
        run(config.from_hydra(settings))
    except (ConfigError, runs.RunError) as error:
        status = _tell(str(error), 2)
    except OSError as error:  # a full disk, a directory that cannot be written
        status = _tell(f"{error.filename or 'runs_dir'}: {error.strerror or error}", 1)
    except Exception as error:
        traceback.print_exc()
        status = _tell(f"failed: {type(error).__name__}", 1)
    else:
        return
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise _Told(status)
    sys.exit(status)


def run(study: Study) -> Path:
    """Train, measure and report `study`, or only report it if it has been trained before.

    Of several processes (`distributed`) the first writes the run; the others only train.

    Returns:
        The run directory.

    Raises:
        ConfigError: where the settings cannot be run on the data; nothing is left behind.
    """
    config.check(study)
    place = runs.run_dir(study)
    if runs.is_done(place):
        print(f"run: {place} is finished; making its report again", flush=True)
    elif not _train(study, place):
        return place
    from kernelstudy import report  # takes as long to import as JAX, and is needed only now

    with Console(stderr=True).status("measuring and drawing"):  # silent where there is no terminal
        page = report.build(place)
    print(f"report: {page}", flush=True)
    return place


def _train(study: Study, place: Path) -> bool:
    """Train `study` into `place`; False in a process that only helps."""
    from kernelstudy.data import DataError
    from kernelstudy.data.images import load

    began = time.perf_counter()
    if study.log == "tensorboard" and find_spec("tensorboardX") is None:
        raise ConfigError("log: tensorboard needs tensorboardX, of the extra [tensorboard]")
    try:
        data = load(study.data)
    except DataError as error:
        raise ConfigError(str(error)) from error
    config.check_against_data(study, examples=len(data.train_labels), image_shape=data.image_shape)
    from kernelstudy.training.start import start

    started = start(study.devices, distributed=study.distributed)
    if not started.leads:
        from kernelstudy.training.population import train_population

        train_population(study, data)
        return False
    print(f"data: {data.describe()}", flush=True)
    nets = len(study.arms) * len(study.seed_list)
    print(
        f"run: {place}: {len(study.arms)} arms x {len(study.seed_list)} seeds = {nets} networks, "
        f"{study.steps:,} steps of {study.batch_size} images, on {started.devices}",
        flush=True,
    )
    runs.start(place, study)
    try:
        loaded = time.perf_counter()
        trajectory = _with_progress(study, data, place, nets)
        trained = time.perf_counter()
        runs.finish(
            place,
            trajectory,
            {
                "command": " ".join(["python -m kernelstudy.run", *_words()]),
                "data": data.facts,
                "device": started.devices,
                "seconds": {
                    "start": round(loaded - began, 1),
                    "train": round(trained - loaded, 1),
                },
                "net_images": nets * study.steps * study.batch_size,
                **runs.environment(),
            },
        )
    except Exception:
        runs.write_text(place / runs.FAILED, traceback.format_exc())
        raise
    return True


def _dashboard(study: Study, place: Path) -> AbstractContextManager[Any]:
    """What is called with every log point, for people's own dashboards."""
    if study.log != "tensorboard":
        return nullcontext(lambda record, kernels: None)
    from kernelstudy.reporting import dashboard

    return dashboard.tensorboard(place, [arm.name for arm in study.arms])


def _words() -> list[str]:
    """The command line's own overrides; of a sweep, this job's."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _with_progress(study: Study, data: "Images", place: Path, nets: int) -> "xr.Dataset":
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
        began: list[float] = []

        def on_step(step: int, accuracy: float) -> None:
            now = time.perf_counter()
            began.append(now)  # the first call ends compilation, so rates count from there
            rate = ""
            if len(began) > 1:
                done = (step - 1) * nets * study.batch_size
                rate = f"{done / (now - began[0]):,.0f} net-images/s"
            progress.update(
                bar, completed=step, rate=rate, accuracy=f"mean accuracy {accuracy:.1%}"
            )

        return train_population(
            study,
            data,
            on_step=on_step,
            on_log=lambda record: runs.append_metrics(place, record),
            on_start=lambda told: print(f"log: {told}", flush=True),
            on_kernels=on_kernels,
        )


if __name__ == "__main__":
    main()
