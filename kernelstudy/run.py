"""python -m kernelstudy.run +exp=mnist [key=value ...]: train, measure, report."""

import errno
import os
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from kernelstudy.config import compose, foreign
from kernelstudy.jobs import launchers
from kernelstudy.jobs.job import run
from kernelstudy.runs import lock
from kernelstudy.system import signals
from kernelstudy.system.errors import ConfigError, RunError, printable
from kernelstudy.system.signals import Stopped


def main() -> None:
    """Run the command; exit status 0 done, 1 failed, 2 wrong input, 130 and 143 interrupted."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    own_command = shlex.join(["python", "-m", "kernelstudy.run", *sys.argv[1:]])
    compose.register()
    launchers.accept_presets()
    with tempfile.TemporaryDirectory(prefix="kernelstudy-") as folder, signals.handled():
        sys.argv[1:] = _options_first(sys.argv[1:], folder)
        parser = get_args_parser()
        # pyright: ignore[reportAttributeAccessIssue]
        parser.error = lambda message: sys.exit(_tell(message, 2))
        options, unknown = parser.parse_known_args()
        if unknown:
            sys.exit(_tell(f"{unknown[0]}: no such option; --help lists what can be set", 2))
        try:
            for folder in (options.config_dir, options.config_path):
                if folder and Path(folder).is_dir():
                    foreign.check(Path(folder))
        except ConfigError as error:
            sys.exit(_tell(str(error), 2))
        command = hydra.main(
            version_base="1.3", config_path=str(compose.conf_dir()), config_name="config"
        )
        try:
            command(_job)()
        except _JobFailed as failure:
            sys.exit(failure.status)
        except Stopped as stopped:
            how = f" at {stopped.at}; this goes on" if stopped.at else "; this starts again"
            sys.exit(_tell(f"interrupted{how}: {own_command}", stopped.status))
        except Exception as error:  # jobs tell of their own, so this is Hydra on its input
            if launchers.was_killed(error):
                told = "a process at work on a job was killed; the same command goes on with what is missing"
                sys.exit(_tell(told, 1))
            message = launchers.missing_extra(error) or compose.explain(error, sys.argv[1:])
            sys.exit(_tell(message, 2))


def _options_first(words: list[str], folder: str) -> list[str]:
    """The command line with options first. Hydra insists on leaving a file in a sweep's directory: in
    `folder`, unless another is given.
    """
    overrides = [w for w in words if "=" in w and not w.startswith("-")]
    options = [w for w in words if w not in overrides]
    if not any(w.startswith("hydra.sweep.dir=") for w in overrides):
        overrides.append(f"hydra.sweep.dir={folder}")
    return options + compose.in_order(overrides)


class _JobFailed(Exception):  # noqa: N818 (no error: the user knows already)
    """A job failed and has printed why."""

    def __init__(self, status: int):
        self.status = status


def _tell(message: str, status: int) -> int:
    print(f"kernelstudy: {printable(message)}", file=sys.stderr)
    return status


def _job(settings: DictConfig) -> None:
    """One job: a single run, or one of a sweep, which goes on to its other jobs if this one fails."""
    try:
        launchers.settle()
        run(compose.from_hydra(settings))
    except (ConfigError, RunError, lock.HeldError) as error:
        status = _tell(str(error), 2)
    except lock.LostError as error:
        status = _tell(str(error), 1)
    except OSError as error:  # a directory that cannot be written; a full disk
        unwritable = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
        message = f"{error.filename or 'runs_dir'}: {error.strerror or error}"
        status = _tell(message, 2 if unwritable else 1)
    except Exception as error:
        traceback.print_exc()
        status = _tell(f"failed: {type(error).__name__}", 1)
    else:
        return
    if launchers.in_sweep():
        raise _JobFailed(status)
    sys.exit(status)


if __name__ == "__main__":
    # As the module that it is, so that launchers can send its functions to other processes by name.
    from kernelstudy import run as module

    module.main()
