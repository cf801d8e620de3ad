"""python train_only.py key=value ...: `+exp=mnist` up to the end of training; prints its seconds."""

import sys
import time

from hydra import compose, initialize_config_dir

from kernelstudy import config
from kernelstudy.data.images import load
from kernelstudy.run import conf_dir
from kernelstudy.training.start import start

config.register()
with initialize_config_dir(str(conf_dir()), version_base="1.3"):
    study = config.from_hydra(compose("config", ["+exp=mnist", *sys.argv[1:]]))
data = load(study.data)
start(study.devices)

from kernelstudy.training.population import train_population  # noqa: E402 (after JAX has started)

began: list[float] = []
train_population(study, data, on_step=lambda step, accuracy: began.append(time.perf_counter()))
print(began[-1] - began[0])
