"""A job of a sweep in the process that a launcher gave it, on this machine or another."""

import contextlib
import os
import re
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from kernelstudy.system import process

# Presets in conf/hydra/launcher/ bear the names of the plugins' own configs and are checked against
# them, as is wanted; Hydra 1.3 says each time that this needs no schema any more in a later version.
_SCHEMA_WARNING = (
    r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema with the same name"
)

PARENT_LOOKED_FOR = 1.0  # every so many seconds
_EXTRAS = {"ray": "ray", "submitit": "slurm", "joblib": "joblib"}  # by plugin


def accept_presets() -> None:
    """Keep Hydra from warning that launchers' presets are checked against their plugins' schemas."""
    warnings.filterwarnings("ignore", _SCHEMA_WARNING, UserWarning)


accept_presets()  # other processes import this before Hydra composes a job's config there


def missing_extra(error: BaseException) -> str:
    """What to install where `error` says that a launcher's plugin is missing; '' for other errors."""
    match = re.search(r"(?:class|target)\W+hydra_plugins\.hydra_(\w+)_launcher", str(error))
    if not match:
        return ""
    extra = _EXTRAS.get(match[1], match[1])
    return (
        f"hydra/launcher: {match[1]} needs the extra [{extra}]: pip install 'kernelstudy[{extra}]'"
    )


def in_sweep() -> bool:
    """Whether this is a job of a sweep (-m)."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def elsewhere() -> bool:
    """Whether a launcher runs this job in a process of its own, perhaps after another process of it died."""
    return in_sweep() and HydraConfig.get().runtime.choices.get("hydra/launcher") != "basic"


def label(directory: Path) -> str:
    """'<run>: ', where several jobs tell of themselves at a time."""
    return f"{directory}: " if elsewhere() else ""


def was_killed(error: BaseException) -> bool:
    """Whether a launcher says that a process at work on a job was killed."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        names & {"BrokenExecutor", "WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"}
    )


def _end_with_parent(parent: int) -> None:
    """End as on SIGTERM once the command that started this worker is no more: a killed one cannot tell."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_FOR)
    os.kill(os.getpid(), signal.SIGTERM)


def settle() -> None:
    """Go to the directory of the command and keep to the job's cores; to be called before JAX is imported.

    Launchers tell a job's number of cores as OMP_NUM_THREADS (loky and Ray do, the preset for Slurm
    too). JAX would take all of the machine's, and so would the other jobs on it.

    Raises:
        OSError: the directory of the command is not there: machines must share it.
    """
    if not elsewhere():
        return
    process.quieten()
    job = HydraConfig.get()
    if job.runtime.choices.get("hydra/launcher") == "joblib":
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.chdir(job.runtime.cwd)
    with contextlib.suppress(OSError):  # Hydra's own directory, empty on all machines but the first
        Path(job.runtime.output_dir).rmdir()
    # Jobs that share a GPU take memory as they need it: JAX would give most of it to the first.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cores = os.environ.get("OMP_NUM_THREADS", "")
    if cores.isdecimal() and "jax" not in sys.modules:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", cores)
        os.environ.setdefault("PJRT_NPROC", cores)  # threads of XLA
