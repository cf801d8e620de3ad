"""python train_only.py key=value ...: `+exp=mnist` up to the end of training, checkpoints included.

Prints the seconds from the end of the first dispatch to the last, those that XLA compiled (by JAX's own
events; programs that compile at the same time count each), and the peak memory in GiB.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from kernelstudy import composing
from kernelstudy.data.images import load
from kernelstudy.run import conf_dir
from kernelstudy.training.start import start

composing.register()
with initialize_config_dir(str(conf_dir()), version_base="1.3"):
    study = composing.from_hydra(compose("config", ["+exp=mnist", *sys.argv[1:]]))
data = load(study.data)
start(study.devices)

import jax  # noqa: E402 (after it has been told of its devices)

from kernelstudy.training.checkpoints import Store  # noqa: E402
from kernelstudy.training.population import train_population  # noqa: E402

compiled: list[float] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(seconds) if "backend_compile" in event else None
)
began: list[float] = []
with tempfile.TemporaryDirectory() as place:
    store = Store(Path(place), seconds=study.checkpoint_seconds, versions={})
    train_population(
        study, data, store=store, on_step=lambda step, accuracy: began.append(time.perf_counter())
    )
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
print(began[-1] - began[0], sum(compiled), peak)
