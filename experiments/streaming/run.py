"""python experiments/streaming/run.py: training throughput with images in memory and streamed, in turns."""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

import jax
import numpy as np

from kernelstudy.config import Arm, Bank, Study
from kernelstudy.data.images import load
from kernelstudy.data.options import Data
from kernelstudy.system.files import write_text
from kernelstudy.system.software import environment
from kernelstudy.training.observer import Observer
from kernelstudy.training.population import train_population
from kernelstudy.training.train import STEPS_A_CALL

ROOT = Path(__file__).resolve().parents[2]
PAGE = """# What does streaming cost?

Training on Fashion-MNIST with its 60,000 images in memory, and streamed by Grain from the ArrayRecord files, in
turn: 12 networks, 2 arms x 6 seeds, batches of {batch}; net-images a second after all is compiled. Every seed
has an order of its own, so a dispatch of {steps} steps uses {used:,} images, most of them different. Question:
[experiments/streaming](../../experiments/streaming/README.md).

**Median of the ratios streamed / in memory: {ratio:.2f}** (at least 0.9 was expected). The trajectories are the
same to the last bit (a test holds them to it).

| round | in memory | streamed | ratio |
|---:|---:|---:|---:|
{rounds}
"""
STUDY = Study(
    arms=[Arm("he_normal"), Arm("he_normal", scale=0.1)],
    seeds=6,
    steps=65,
    log_points=2,
    probe_seeds=0,
    data=Data("fashion_mnist"),
    bank=Bank(["sobel_x"]),
)


class Clock(Observer):
    """Notes when each dispatch had ended, and the steps done."""

    def __init__(self):
        self.steps: list[tuple[float, int]] = []

    def on_step(self, step: int, accuracy: float) -> None:
        self.steps.append((time.perf_counter(), step))


def rate(gib: float) -> float:
    """Net-images per second from the second dispatch on, when all is compiled."""
    study = dataclasses.replace(STUDY, data=dataclasses.replace(STUDY.data, in_memory_gib=gib))
    clock = Clock()
    train_population(study, load(study.data), observer=clock)
    (start, first), (end, last) = clock.steps[1], clock.steps[-1]
    nets = len(study.arms) * len(study.seed_list)
    return nets * study.batch_size * (last - first) / (end - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "streaming")
    given = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    rates = np.array([[rate(gib) for gib in (2.0, 0.0)] for _ in range(given.rounds)])
    lines = [
        f"| {turn} | {memory:,.0f} | {streamed:,.0f} | {streamed / memory:.2f} |"
        for turn, (memory, streamed) in enumerate(rates, 1)
    ]
    middle = np.median(rates[:, 1] / rates[:, 0])
    report = PAGE.format(
        batch=STUDY.batch_size,
        steps=STEPS_A_CALL,
        used=STEPS_A_CALL * STUDY.batch_size * len(STUDY.seed_list),
        ratio=middle,
        rounds="\n".join(lines),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / "report.md", report)
    write_text(given.out / "provenance.json", json.dumps(environment(), indent=2) + "\n")
    print(report)


if __name__ == "__main__":
    main()
