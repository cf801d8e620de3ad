"""python train_only.py key=value ...: `+exp=mnist` up to the end of training, checkpoints included.

Prints, from the end of the first dispatch to that of the last, the seconds, those of them in which no
dispatch was under way (evaluation, logging, watching, checkpoints) and the steps; then the seconds that XLA
compiled (by JAX's own events; programs that compile at the same time count each), and the peak memory in GiB.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import hydra

from kernelstudy.config import compose
from kernelstudy.data.images import load
from kernelstudy.training.backend import start

compose.register()
with hydra.initialize_config_dir(str(compose.conf_dir()), version_base="1.3"):
    study = compose.from_hydra(hydra.compose("config", ["+exp=mnist", *sys.argv[1:]]))
data = load(study.data)
start(study.devices)

import jax  # noqa: E402 (after it has been told of its devices)

from kernelstudy.training import parallel, population  # noqa: E402
from kernelstudy.training.checkpoints import Store  # noqa: E402
from kernelstudy.training.observer import Observer  # noqa: E402


class Timed:
    """A program on its way through `lower` and `compile`, whose runs are then timed to their end."""

    def __init__(self, program):
        self.program = program

    def lower(self, *args):
        return Timed(self.program.lower(*args))

    def compile(self):
        return Timed(self.program.compile())

    def __call__(self, *args):
        start = time.perf_counter()
        found = jax.block_until_ready(self.program(*args))
        training.append(time.perf_counter() - start)
        return found


class Clock(Observer):
    """Notes when each dispatch had ended, and the steps done."""

    def on_step(self, step, accuracy):
        ended.append((time.perf_counter(), step))


def make_population(*args):
    made = parallel.make_population(*args)
    return made._replace(advance=Timed(made.advance))


population.make_population = make_population
training: list[float] = []  # seconds of every dispatch
compiled: list[float] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(seconds) if "backend_compile" in event else None
)
ended: list[tuple[float, int]] = []
with tempfile.TemporaryDirectory() as place:
    store = Store(Path(place), seconds=study.checkpoint_seconds, versions={})
    population.train_population(study, data, observer=Clock(), store=store)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
(first, before), (last, after) = ended[0], ended[-1]
seconds = last - first
print(seconds, seconds - sum(training[1:]), after - before, sum(compiled), peak)
