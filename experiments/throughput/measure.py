"""Contenders in processes of their own, run in turn; whole commands; memory and scaling."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = "kernelstudy"
# name -> the processes that train at the same time
CONTENDERS = {
    OURS: ["ours"],
    "PyTorch eager, channels_last, 2 threads": ["torch-eager threads=2"],
    "PyTorch eager, channels_last, 1 thread": ["torch-eager threads=1"],
    "PyTorch eager, NCHW, 2 threads": ["torch-eager threads=2 layout=nchw"],
    "PyTorch, two pinned processes": ["torch-eager threads=1 cpu=0", "torch-eager threads=1 cpu=1"],
    "torch.compile, channels_last, 2 threads": ["torch-compile threads=2"],
    "torch.compile, two pinned processes": [
        "torch-compile threads=1 cpu=0",
        "torch-compile threads=1 cpu=1",
    ],
    "torch.func.vmap, 2 threads": ["torch-vmap"],
    "sgemm (NumPy)": ["sgemm"],
}
ABLATION = {
    OURS: "ours",
    "without Winograd in the second layer": "ours without=winograd",
    "without tiles in the first layer": "ours without=tiles",
    "without writing shared values once": "ours without=materialised",
    "images laid out anew in every slice": "ours without=layout",
    "the dense product with its transpose folded in": "ours without=apart",
    "operations ordered for many threads": "ours without=order",
    "masks stacked, not compared with an iota": "ours without=iota",
    "the whole batch at once, no chunks": "ours without=chunks",
    "networks by vmap, not one by one": "ours without=map",
    "one device": "ours devices=1",
    "all networks see the same batches": "ours shared_order=1",
}
OWN = {
    OURS: ["ours"],
    "the same network as a Flax module": ["ours own=1"],
    "the same, with XLA's convolutions and pools": ["ours own=1 impl=lax nets=2 steps=4"],
}


class Worker:
    """A contender: one process, or several that train at the same time."""

    def __init__(self, work: str, lines: list[str]):
        self.processes = []
        for line in lines:
            kind, *options = line.split()
            words = [sys.executable, str(HERE / "worker.py"), kind, work, *options]
            self.processes.append(
                subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
                )
            )

    def ready(self) -> bool:
        return all(p.stdout.readline().strip() == "ready" for p in self.processes)

    def burst(self) -> float:
        """Work done a second, of all its processes together."""
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [p.stdout.readline().split() for p in self.processes]
        return sum(float(done) for done, _ in told) / max(float(s) for _, s in told)

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait(30)


def turns(work: str, contenders: dict[str, list[str]], rounds: int) -> pd.DataFrame:
    """Rates in an order drawn anew each round: a row a round, a column a contender."""
    workers = {}
    for name, lines in contenders.items():
        worker = Worker(work, lines)
        if worker.ready():
            workers[name] = worker
        else:
            print(f"  {name}: did not start, left out", flush=True)
    rng = np.random.default_rng(0)
    found = pd.DataFrame(index=range(rounds), columns=list(workers), dtype=float)
    try:
        for turn in range(rounds):
            for name in rng.permutation(list(workers)):
                found.loc[turn, name] = workers[name].burst()
    finally:
        for worker in workers.values():
            worker.stop()
    return found


def first_step(overrides: list[str], cache: Path) -> float:
    """Seconds from the command to the end of the first training step; the run is then stopped."""
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
        words = [sys.executable, "-m", "kernelstudy.run", "+exp=mnist", f"runs_dir={place}"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*words, *overrides], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while process.poll() is None:
            logged = list(Path(place).glob("*/*/metrics.jsonl"))
            if logged and logged[0].read_text().count("\n") >= 2:
                break
            time.sleep(0.01)
        took = time.perf_counter() - start
        process.kill()
        process.wait()
    return took


def whole_job(overrides: list[str], place: Path) -> dict[str, float]:
    """Wall seconds of `+exp=mnist`, report included, and of the same networks in plain PyTorch."""
    words = ["-m", "kernelstudy.run", "+exp=mnist", f"runs_dir={place}", *overrides]
    seconds = {}
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds[OURS] = time.perf_counter() - start
    run = next(place.glob("*/*/DONE")).parent
    start = time.perf_counter()
    words = [str(HERE / "plain_torch.py"), str(run / "config.yaml"), str(place / "torch.pt")]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    seconds["PyTorch"] = time.perf_counter() - start
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seconds["training and logging"] = log[-1]["seconds"]
    spent = json.loads((run / "provenance.json").read_text())["seconds"]
    return seconds | {f"ours: {name}": value for name, value in spent.items()}


def from_the_shell(
    overrides: list[str], rounds: int, before: Path | None = None
) -> dict[str, list[float]]:
    """Wall seconds of `report` of a finished run of `+exp=mnist` and of `compare` of a file of 64 kernels.

    `before`: an older checkout, whose commands take turns with today's; each reports a run of its own.
    """
    trees = {"": ROOT} | ({"before: ": before} if before else {})
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kernels = np.random.default_rng(0).standard_normal((5, 5, 3, 64)).astype(np.float32)
        np.save(place / "kernels.npy", kernels)
        given = [str(place / "kernels.npy"), "--layout", "hwio", "--out", str(place / "out")]
        commands: dict[str, tuple[Path, str, list[str]]] = {}
        for number, (name, tree) in enumerate(trees.items()):
            runs = place / str(number)
            words = ["+exp=mnist", f"runs_dir={runs}", "report=false", *overrides]
            _command(tree, "run", *words)
            run = next(runs.glob("*/*/DONE")).parent
            commands[f"{name}report"] = (tree, "report", [str(run)])
            commands[f"{name}compare"] = (tree, "compare", given)
        # the first leaves caches (bytecode, fonts) as a user's machine has them
        for turn in range(-1, rounds):
            for name, (tree, command, words) in commands.items():
                took = _command(tree, command, *words)
                if turn >= 0:
                    seconds.setdefault(name, []).append(took)
    return seconds


def report_stages(overrides: list[str], rounds: int) -> pd.DataFrame:
    """Seconds of the parts of a finished run's report: a row a round."""
    with tempfile.TemporaryDirectory() as folder:
        _command(ROOT, "run", "+exp=mnist", f"runs_dir={folder}", "report=false", *overrides)
        run = next(Path(folder).glob("*/*/DONE")).parent
        rows = []
        for _ in range(rounds + 1):  # the first leaves caches
            words = [sys.executable, str(HERE / "stages.py"), str(run)]
            told = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT)
            rows.append(json.loads(told.stdout.splitlines()[-1]))
    return pd.DataFrame(rows[1:])


def _command(tree: Path, name: str, *words: str) -> float:
    line = [sys.executable, "-m", f"kernelstudy.{name}", *words]
    known = {**os.environ, "PYTHONPATH": str(tree)}
    start = time.perf_counter()
    subprocess.run(line, cwd=tree, env=known, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def logging_share(overrides: list[str], rounds: int) -> list[dict[str, float]]:
    """A row a round. `logged` is `+exp=mnist` with its log points and checkpoints, `bare` has two log points,
    nothing watched and no checkpoint: seconds a step of each, and seconds of `logged` in and between its
    training dispatches."""
    bare = ["log_points=2", "probe_seeds=0", "checkpoint_seconds=1e6"]
    rows = []
    for _ in range(rounds):
        seconds, between, steps, *_ = _train_only([*overrides])
        alone, _, of_alone, *_ = _train_only([*overrides, *bare])
        inside = {"training": seconds - between, "between": between}
        rows.append({"logged": seconds / steps, "bare": alone / of_alone, **inside})
    return rows


def _train_only(words: list[str], **environment: str) -> list[float]:
    told = subprocess.run(
        [sys.executable, str(HERE / "train_only.py"), *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(number) for number in told.stdout.split()]


def training_job(overrides: list[str]) -> dict[str, float]:
    """One training in a process of its own: wall seconds, those of compilation, peak memory (GiB)."""
    start = time.perf_counter()
    *_, compiling, peak = _train_only(overrides, JAX_ENABLE_COMPILATION_CACHE="false")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "compiling": compiling, "peak_gib": peak}
