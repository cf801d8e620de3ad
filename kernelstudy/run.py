"""python -m kernelstudy.run +exp=mnist [key=value ...]: train, measure, report."""

import errno
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from kernelstudy.config import compose, foreign, hints, usage
from kernelstudy.jobs import launchers
from kernelstudy.jobs.job import run
from kernelstudy.runs import lock
from kernelstudy.system import process, signals
from kernelstudy.system.commandline import COMPLETION, tell
from kernelstudy.system.errors import ConfigError, RunError
from kernelstudy.system.signals import Stopped


def main() -> None:
    """Run the command; exit status 0 done, 1 failed, 2 wrong input, 130 and 143 interrupted."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    compose.register()
    words = sys.argv[1:]
    if {*COMPLETION} & {*words}:
        return _complete()
    if {"-h", "--help"} & {*words}:
        return _help(words)
    process.interruptible()
    own_command = shlex.join(["python", "-m", "kernelstudy.run", *words])
    launchers.accept_presets()
    with tempfile.TemporaryDirectory(prefix="kernelstudy-") as folder, signals.handled():
        sys.argv[1:] = _options_first(sys.argv[1:], folder)
        parser = get_args_parser()
        parser.allow_abbrev = False  # --exp is no --experimental-rerun
        # pyright: ignore[reportAttributeAccessIssue]
        parser.error = lambda message: sys.exit(tell(message, 2))
        options, unknown = parser.parse_known_args()
        if unknown:
            following = words[words.index(unknown[0]) + 1 :]
            meant = hints.option(unknown[0], following) or "; --help lists what can be set"
            sys.exit(tell(f"{unknown[0]}: no such option{meant}", 2))
        try:
            for folder in (options.config_dir, options.config_path):
                if folder and Path(folder).is_dir():
                    foreign.check(Path(folder))
        except ConfigError as error:
            sys.exit(tell(str(error), 2))
        try:
            _hydra(_job)
        except _JobFailed as failure:
            sys.exit(failure.status)
        except Stopped as stopped:
            how = f" at {stopped.at}; this goes on" if stopped.at else "; this starts again"
            sys.exit(tell(f"interrupted{how}: {own_command}", stopped.status))
        except Exception as error:  # jobs tell of their own, so this is Hydra on its input
            if launchers.was_killed(error):
                told = "a process at work on a job was killed; the same command goes on with what is missing"
                sys.exit(tell(told, 1))
            message = launchers.missing_extra(error) or compose.explain(error, words)
            sys.exit(tell(message, 2))


def _hydra(job: Callable[[DictConfig], None]) -> None:
    """Have Hydra read the command line and call `job` with what it composes."""
    command = hydra.main(
        version_base="1.3", config_path=str(compose.conf_dir()), config_name="config"
    )
    command(job)()


def _help(words: list[str]) -> None:
    settings = [word for word in words if "=" in word and not word.startswith(("-", "hydra"))]
    try:
        print(usage.text(settings))
    except Exception as error:  # of Hydra's
        sys.exit(tell(compose.explain(error, words), 2))


def _complete() -> None:
    """Tell a shell how a line goes on, or print what makes it ask; Hydra does both."""
    sys.argv[0] = "kernelstudy"  # what the shell completes
    if "install=zsh" in sys.argv:  # Hydra has it use Bash's, for which zsh is prepared so
        print("(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }")
        print("autoload -Uz bashcompinit && bashcompinit")
    _hydra(lambda _: None)


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


def _job(settings: DictConfig) -> None:
    """One job: a single run, or one of a sweep, which goes on to its other jobs if this one fails."""
    try:
        launchers.settle()
        run(compose.from_hydra(settings))
    except (ConfigError, RunError, lock.HeldError) as error:
        status = tell(str(error), 2)
    except lock.LostError as error:
        status = tell(str(error), 1)
    except OSError as error:  # a directory that cannot be written; a full disk
        unwritable = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
        message = f"{error.filename or 'runs_dir'}: {error.strerror or error}"
        status = tell(message, 2 if unwritable else 1)
    except Exception as error:
        traceback.print_exc()
        status = tell(f"failed: {type(error).__name__}", 1)
    else:
        return
    if launchers.in_sweep():
        raise _JobFailed(status)
    sys.exit(status)


if __name__ == "__main__":
    # As the module that it is, so that launchers can send its functions to other processes by name.
    from kernelstudy import run as module

    module.main()
