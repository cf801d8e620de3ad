"""One run: trained, measured and reported, as far as earlier processes have not done it yet."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kernelstudy import runs
from kernelstudy.analysis.inference import FEWEST
from kernelstudy.config import Study, checks
from kernelstudy.jobs import launchers, own_networks, starts, training_run
from kernelstudy.runs import lock
from kernelstudy.system import files, signals
from kernelstudy.system.errors import ConfigError, RunError, printable
from kernelstudy.system.progress import console, working
from kernelstudy.system.signals import Stop, Stopped

if TYPE_CHECKING:
    import xarray as xr

    from kernelstudy.training.own import Make, Own


def run(study: Study, *, make: "Make | None" = None, command: list[str] | None = None) -> Path:
    """Train, measure and report `study`, but for what an earlier process has done.

    Of several processes (`distributed`) the first writes the run; the others only train.

    Args:
        study: the settings.
        make: makes the network of one's own that is trained; None: the built-in one, or that of an entry point
            which `model.own` names.
        command: what makes this run, for its provenance; None: the command line.

    Returns:
        The run directory.

    Raises:
        ConfigError: where the settings cannot be run on the data; nothing is left behind.
        RunError: the run there is damaged, or of other versions.
        HeldError: another process is at work on it.
        LostError: another process has taken it over.
        Stopped: a signal asked for it.
        OSError: the run's directory cannot be written; told before anything is loaded.
    """
    checks.check(study)
    study, own = own_networks.resolve(study, make)
    directory = runs.run_dir(study)
    if not study.distributed:  # where only the first process writes
        files.check_writable(directory)
    with signals.handled() as stop:
        if not runs.is_done(directory) and (other := runs.of_another_version(study)):
            version = runs.read_provenance(other).get("kernelstudy")
            print(
                f"run: {other} has the same settings, finished by kernelstudy {version}", flush=True
            )
            if study.allow_stale:
                directory = other
        if runs.is_done(directory):
            if study.distributed and not _leads(study):
                return directory
            with _held(directory):
                _refuse_stale(study, directory)
                _refuse_other_images(study, directory)
                _refuse_other_kernels(study, directory)
                _refuse_other_network(study, directory, own)
                runs.tidy(directory)
                # A sweep does only what is missing.
                if launchers.in_sweep() and _is_measured(study, directory):
                    runs.check_trajectory(directory)
                    print(_result_line(study, directory), flush=True)
                else:
                    action = "making its report" if study.report else "measuring it"
                    print(f"run: {directory} is finished; {action} again", flush=True)
                    _measure(study, directory)
        else:
            _allow_networks(study)
            _train(study, directory, stop, own, command)
    return directory


def _allow_networks(study: Study) -> None:
    """ConfigError for a run of more than `most_networks`, unless somebody at a terminal wants it."""
    from rich.prompt import Confirm

    networks, told = _networks(study)
    if networks <= study.most_networks:
        return
    more = f"{told}, more than most_networks={study.most_networks:,}"
    shown_on = console()
    if (
        sys.stdin.isatty()
        and shown_on.is_terminal
        and not (launchers.in_sweep() or study.distributed)
    ):
        with suppress(EOFError):
            if Confirm.ask(f"{more}: begin?", console=shown_on, default=False):
                return
        raise ConfigError(f"{told}: not begun")
    raise ConfigError(f"seeds: {more}; most_networks={networks} allows them")


def _networks(study: Study) -> tuple[int, str]:
    """How many networks a study has, and that in words."""
    arms, seeds = len(study.arms), len(study.seed_list)
    counted = [
        f"{count:,} {name}{'' if count == 1 else 's'}"
        for count, name in ((arms, "arm"), (seeds, "seed"), (arms * seeds, "network"))
    ]
    return arms * seeds, f"{counted[0]} x {counted[1]} = {counted[2]}"


@contextmanager
def _pruning(study: Study) -> Iterator[None]:
    """Where the settings cannot be run, leave no empty directories behind."""
    try:
        yield
    except (ConfigError, RunError):
        runs.prune(study)
        raise


def _held(directory: Path) -> AbstractContextManager[lock.Hold]:
    """`lock.held`; a job that a launcher may have restarted waits until its former process counts as dead."""
    if launchers.elsewhere():
        lock.outlast(
            directory, lambda message: print(f"kernelstudy: {message}", file=sys.stderr, flush=True)
        )
    return lock.held(directory)


def _refuse_stale(study: Study, directory: Path) -> None:
    """RunError where a finished run is of other versions, and that is not allowed."""
    if (versions := runs.stale(directory)) and not study.allow_stale:
        raise RunError(
            f"{directory} was finished by other versions ({versions}): allow_stale=true accepts it, or "
            "delete it to train again"
        )


def _refuse_other_images(study: Study, directory: Path) -> None:
    """RunError where a finished run was trained on other images than those that its path holds now."""
    if study.data.path is None or study.allow_stale:
        return
    from kernelstudy.data import DataError
    from kernelstudy.data.store import obtain

    try:
        now = obtain(study.data).facts["sha256"]
    except DataError:  # they are gone: the run does not need them any more
        return
    _, provenance = runs.read_facts(directory)
    if (then := provenance["data"]["sha256"]) != now:
        raise RunError(
            f"{directory} was trained on other images than {study.data.path} holds now (sha256 {then[:16]}, "
            f"now {now[:16]}): give this run another name, or delete that one to train again"
        )


def _refuse_other_kernels(study: Study, directory: Path) -> None:
    """RunError where an arm of a finished run started from other kernels than its path holds now."""
    if study.allow_stale or not any(arm.reads for arm in study.arms):
        return
    _, provenance = runs.read_facts(directory)
    before = provenance.get("starts") or {}
    for name, facts in starts.facts_of(study).items():
        if (then := before.get(name, {}).get("sha256", "")) != facts["sha256"]:
            raise RunError(
                f"{directory}: {name} started from other kernels than {facts['path']} holds now (sha256 "
                f"{then[:16]}, now {facts['sha256'][:16]}): give this run another name, or "
                "delete that one to train again"
            )


def _refuse_other_network(study: Study, directory: Path, own: "Own | None") -> None:
    """RunError where a finished run is of another network of one's own that has this one's name and shapes."""
    if own is None or study.allow_stale:
        return
    from kernelstudy.training.own_network import digest

    _, provenance = runs.read_facts(directory)
    facts = provenance.get("network")
    then = facts.get("sha256") if isinstance(facts, dict) else None
    if then != (now := digest(own, tuple(provenance["data"]["image_shape"]))):
        raise RunError(
            f"{directory} was trained with another network {own.name} of the same shapes (sha256 {then}, now "
            f"{now}): give this run another name, or delete that one to train again"
        )


def _is_measured(study: Study, directory: Path) -> bool:
    """Whether a finished run has its measures, and its report if asked for, of this trajectory and version."""
    from kernelstudy.runs.measures import fingerprint_of, is_current

    result = directory / ("report.html" if study.report else "tables")
    return result.exists() and is_current(directory, fingerprint_of(directory))


def _result_line(study: Study, directory: Path) -> str:
    return (
        f"report: {directory / 'report.html'}"
        if study.report
        else f"tables: {directory / 'tables'}"
    )


def _leads(study: Study) -> bool:
    from kernelstudy.training.backend import start

    return start(study.devices, distributed=True).leads


def _measure(study: Study, directory: Path, trajectory: "xr.Dataset | None" = None) -> None:
    # What these import takes as long as JAX, and is needed only now.
    answer = ""
    try:
        with working(f"{launchers.label(directory)}measuring", alone=not launchers.elsewhere()):
            if study.report:
                from kernelstudy.runs.report import make

                _, answer = make(directory, trajectory=trajectory)
            else:
                from kernelstudy.runs.measures import measure_run

                measure_run(directory, trajectory=trajectory)
    except Stopped as stopped:
        raise Stopped(stopped.number, "its report") from stopped
    if answer:
        print(f"answer: {printable(answer)}", flush=True)
    print(_result_line(study, directory), flush=True)


def _train(
    study: Study, directory: Path, stop: Stop, own: "Own | None", command: list[str] | None
) -> None:
    """Train `study` into `directory` and report; a process that does not lead only helps to train."""
    from kernelstudy.data import DataError
    from kernelstudy.data.images import load

    began = time.perf_counter()
    # Told before anything is loaded; `held` decides. Of several processes only the first holds it.
    if not (study.distributed or launchers.elsewhere()) and (holder := lock.holder(directory)):
        raise lock.HeldError(f"{directory} is being worked on by {holder}: wait for it to end")
    if study.log == "tensorboard" and find_spec("tensorboardX") is None:
        raise ConfigError("log: tensorboard needs tensorboardX, of the extra [tensorboard]")
    try:
        data = load(study.data)
    except DataError as error:
        raise ConfigError(str(error)) from error
    checks.check_against_data(
        study,
        examples=len(data.train_labels),
        image_shape=data.image_shape,
        test_labels=data.test_labels,
    )
    given = starts.of_study(study, data.image_shape)
    from kernelstudy.training.backend import start

    backend = start(study.devices, distributed=study.distributed)
    if own is not None:
        own_networks.check(own, data)
    if not backend.leads:
        from kernelstudy.training.population import train_population

        kernels = {name: start.kernels for name, start in given.items()}
        observer = training_run.SignalObserver(stop)
        train_population(study, data, observer=observer, starts=kernels, own=own)
        return
    print(f"data: {data.describe()}", flush=True)
    _, networks = _networks(study)
    print(
        f"run: {directory}: {networks}, {study.steps:,} steps of {study.batch_size} images, "
        f"on {backend.devices}",
        flush=True,
    )
    if own is not None:
        print(f"note: {own_networks.told(study, own, data)}", flush=True)
    if len(study.seed_list) < FEWEST:
        print(
            f"note: tests need {FEWEST} networks an arm; with {len(study.seed_list)} the report describes, "
            "and decides nothing",
            flush=True,
        )
    is_new = not directory.exists()
    trajectory = None
    with _pruning(study), _held(directory) as hold:
        if not runs.is_done(directory):  # by a process that has ended since
            try:
                startup_seconds = time.perf_counter() - began
                trajectory = training_run.train_and_write(
                    study,
                    data,
                    given,
                    directory,
                    stop,
                    backend,
                    startup_seconds,
                    hold,
                    own,
                    command,
                )
            except (ConfigError, RunError):
                if is_new:
                    runs.discard(directory)
                raise
            except lock.LostError:  # nothing in the directory is this process's any more
                raise
            except Exception:
                with suppress(OSError):  # where the disk is full, say that
                    files.write_text(directory / runs.FAILED, traceback.format_exc())
                raise
        _measure(study, directory, trajectory)
