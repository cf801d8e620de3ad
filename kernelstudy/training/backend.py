"""How JAX starts: its log, its compiled programs on disk, its devices and its processes."""

import contextlib
import logging
import os
from typing import NamedTuple

import jax

from kernelstudy.system import software
from kernelstudy.system.errors import ConfigError, first_line
from kernelstudy.training import compile_cache


class Started(NamedTuple):
    """What there is to train on. `devices`: in words; `kind`: of them; `leads`: this process writes the
    run directory."""

    devices: str
    kind: str
    leads: bool


def start(devices: int | None, *, distributed: bool = False) -> Started:
    """Start JAX with `devices` local devices (None: all; of a CPU, one for each core).

    `distributed`: join the other processes of the job. A cluster that JAX knows (Slurm, Open MPI,
    Cloud TPU, Kubernetes) needs nothing more; elsewhere the environment of each process says
    JAX_COORDINATOR_ADDRESS=host:port, JAX_NUM_PROCESSES=n and JAX_PROCESS_ID=0 .. n-1.

    Raises:
        ConfigError: more devices than there are, none of the kind asked for, or no cluster to join.
    """
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        raise ConfigError("JAX_DISABLE_JIT: a run is compiled before it starts; unset it")
    # of the environment, where it would change a run's bits
    jax.config.update("jax_enable_x64", False)
    for name in ("jax", "absl", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    compile_cache.keep()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen and "JAX_NUM_CPU_DEVICES" not in os.environ:
        # An earlier job of this process may have started JAX already, with its devices.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices or cores or 1)
    if distributed:
        _join()
    found = software.devices_of(jax.local_devices)
    if devices and devices > len(found):
        raise ConfigError(f"devices: {devices} is more than the {len(found)} there are")
    used = len(found[:devices])
    among = f" in each of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    kind = found[0].device_kind
    return Started(f"{used} x {kind}{among}", kind, jax.process_index() == 0)


def _join() -> None:
    if jax.distributed.is_initialized():  # by an earlier job of this process
        return

    def number(variable: str) -> int | None:
        return int(os.environ[variable]) if variable in os.environ else None

    # Its handler would take SIGTERM from ours (`signals`), on which the processes agree (`processes`).
    with contextlib.suppress(AttributeError):  # where JAX has no such service
        jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            os.environ.get("JAX_COORDINATOR_ADDRESS"),
            num_processes=number("JAX_NUM_PROCESSES"),
            process_id=number("JAX_PROCESS_ID"),
        )
    except (ValueError, RuntimeError) as error:
        reason = first_line(error).rstrip(".")
        raise ConfigError(
            f"distributed: no processes to join ({reason}); set JAX_COORDINATOR_ADDRESS=host:port, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start under Slurm or Open MPI"
        ) from error
