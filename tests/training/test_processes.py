"""Many devices and several processes: a network's trajectory is the same bits wherever it runs."""

import os
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import hashlib, sys
from kernelstudy.training.backend import start
started = start(None, distributed=sys.argv[1] == "distributed")
import dataclasses
import numpy as np
from kernelstudy.config import Arm, Bank, Model, Study
from kernelstudy.data.images import Images
from kernelstudy.training.population import train_population

rng = np.random.default_rng(0)
images = rng.standard_normal((96, 8, 8, 1)).astype(np.float32)
labels = rng.integers(10, size=96).astype(np.int32)
data = Images(images, labels, images[:20], labels[:20], 10, {})
study = Study(
    arms=[Arm("he_normal"), Arm("sobel")], seeds=3, steps=5, batch_size=16, log_points=3, probe_seeds=1,
    model=Model(width=4, deep_width=4), bank=Bank(["sobel_x"]),
)
for devices in map(int, sys.argv[2:]):
    found = train_population(dataclasses.replace(study, devices=devices), data)
    assert found["kernel"].shape[:2] == (2, 3), found["kernel"].shape
    names = ("kernel", "train_loss", "test_accuracy", "feature_map_2")
    print(hashlib.sha256(b"".join(found[n].values.tobytes() for n in names)).hexdigest())
"""

SIGNALLED = """
import os, signal
from kernelstudy.system import signals
from kernelstudy.training.backend import start
with signals.handled() as stop:
    stop.waits = True
    start(None, distributed=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print(int(stop.number))
"""


def _started(words: list[str], **environment: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUM")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def _hashes(process: subprocess.Popen[str]) -> list[str]:
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return [line for line in out.split() if len(line) == 64]


@pytest.mark.slow
def test_devices_and_processes_give_the_same_bits():
    """1, 4 and 8 forced host devices, and two processes of two devices each; 6 networks, so that
    4 and 8 devices have copies to fill up. Two devices: test_population.py."""
    address = _address()
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count="
    alone = _started(["alone", "1", "4", "8"], XLA_FLAGS=flags + "8")
    together = [
        _started(
            ["distributed", "2"],
            XLA_FLAGS=flags + "2",
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
        )
        for number in (0, 1)
    ]
    found = [_hashes(process) for process in (alone, *together)]
    assert [len(each) for each in found] == [3, 1, 1]
    assert len({digest for each in found for digest in each}) == 1


def test_sigterm_is_still_ours_among_several_processes():
    """JAX has a service that takes it for itself; a run must end with a checkpoint all the same."""
    alone = {
        "JAX_COORDINATOR_ADDRESS": _address(),
        "JAX_NUM_PROCESSES": "1",
        "JAX_PROCESS_ID": "0",
    }
    words = [sys.executable, "-c", SIGNALLED]
    done = subprocess.run(
        words, env=os.environ | alone, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == ["15"], done.stderr
