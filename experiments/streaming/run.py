"""python experiments/streaming/run.py: training throughput with images in memory and streamed, in turns."""

import argparse
import dataclasses
import os
import time

import jax
import numpy as np

from kernelstudy.config import Arm, Bank, Data, Study
from kernelstudy.data.images import load
from kernelstudy.training.population import train_population

STUDY = Study(
    arms=[Arm("he_normal"), Arm("he_normal", scale=0.1)],
    seeds=6,
    steps=65,
    log_points=2,
    data=Data("fashion_mnist"),
    bank=Bank(["sobel_x"]),
)


def rate(gib: float) -> float:
    """Net-images per second from the second dispatch on, when all is compiled."""
    study = dataclasses.replace(STUDY, data=dataclasses.replace(STUDY.data, in_memory_gib=gib))
    told: list[tuple[float, int]] = []
    train_population(
        study,
        load(study.data),
        on_step=lambda step, _: told.append((time.perf_counter(), step)),
    )
    (start, first), (end, last) = told[1], told[-1]
    nets = len(study.arms) * len(study.seed_list)
    return nets * study.batch_size * (last - first) / (end - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    rates = np.array([[rate(gib) for gib in (2.0, 0.0)] for _ in range(rounds)])
    for memory, streamed in rates:
        print(
            f"in memory {memory:,.0f}, streamed {streamed:,.0f} net-images/s: {streamed / memory:.3f}"
        )
    print(f"median ratio {np.median(rates[:, 1] / rates[:, 0]):.3f}")


if __name__ == "__main__":
    main()
