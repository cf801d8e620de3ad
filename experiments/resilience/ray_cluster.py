"""python experiments/resilience/ray_cluster.py: a sweep on a Ray cluster of which one machine dies.

A head and two worker nodes, each its own processes on this machine, get the sweep's jobs; in the middle
of a job one worker and all its processes are killed. Every job has to end done, with the trajectory that
the basic launcher gives, byte for byte. Exit status 1 where one does not. Needs the extra [ray].
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kernelstudy import runs
from kernelstudy.system import files
from kernelstudy.system.software import environment

ROOT = Path(__file__).parents[2]
GRID = {  # 12 jobs; the first three of them with --jobs 3
    "model.kernel_size": ["3", "5", "7"],
    "optim.learning_rate": ["1e-3", "2e-3"],
    "batch_size": ["32", "64"],
}
STUDY = [
    *("+exp=mnist", "+debug=tiny", "name=cluster", "arms=[{init: he_normal}]"),
    *("probe_seeds=0", "report=false"),  # trajectories are what is compared
]
TASK = b"ray::_run_job"  # what Ray calls a process that has a job
STARTED = b"Ray runtime started"  # what a node says when it is
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    "RAY_worker_niceness": "0",  # its default, 15, starves jobs where the machine is busy
}


def sweep(place: Path, words: list[str], runs_dir: str) -> subprocess.Popen:
    """The sweep's command, at work in `place`; what it prints goes to <runs_dir>.log."""
    with (place / f"{runs_dir}.log").open("wb") as log:
        command = [sys.executable, "-m", "kernelstudy.run", "-m", *STUDY, f"runs_dir={runs_dir}"]
        return subprocess.Popen(
            [*command, *words], cwd=place, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT
        )


class Cluster:
    """A head without cores and two workers with one each, in processes of their own."""

    def __init__(self, place: Path):
        # Sockets' paths are short, so not in `place`.
        self.sockets = tempfile.TemporaryDirectory(
            prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
        )
        self.place, self.nodes = place, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = ["--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={self.sockets.name}"]
        self._start(*head, "--include-dashboard=false")
        for _ in range(2):
            self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *words: str, seconds: float = 120) -> None:
        """A node, waited for: two that start at once on one machine may choose the same port."""
        log = self.place / f"node_{len(self.nodes)}.log"
        command = [Path(sys.executable).with_name("ray"), "start", "--block", *words]
        command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={100 * 2**20}"]
        with log.open("wb") as out:
            node = subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
        self.nodes.append(node)
        deadline = time.monotonic() + seconds
        while STARTED not in log.read_bytes():
            if node.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"a node of Ray did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)

    def tasks(self, worker: int) -> set[int]:
        """Processes that have a job of the sweep on worker 1 or 2."""
        return {pid for pid in descendants(self.nodes[worker].pid) if _title(pid).startswith(TASK)}

    def kill(self, node: int) -> None:
        """End a node as a power cut would: all its processes at once."""
        victims = [*descendants(self.nodes[node].pid), self.nodes[node].pid]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # so that none tells another
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.nodes[node].wait()

    def close(self) -> None:
        for node in reversed(range(len(self.nodes))):
            if self.nodes[node].poll() is None:
                self.kill(node)
        self.sockets.cleanup()


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def done(place: Path) -> list[Path]:
    return [run for run in sorted(place.glob("cluster/*")) if runs.is_done(run)]


def content(run: Path) -> dict[str, bytes]:
    """Every file of a trajectory."""
    store = run / runs.TRAJECTORY
    return {
        str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()
    }


def experiment(place: Path, jobs: int, seconds: float) -> dict:
    """Both sweeps; what happened, as figures."""
    words = [f"{key}={','.join(values)}" for key, values in GRID.items()]
    if jobs < 12:
        words = [f"model.kernel_size={','.join(['3', '5', '7'][:jobs])}"]
    deadline = time.monotonic() + seconds
    cluster = Cluster(place)
    try:
        started: list[set[int]] = [set(), set()]
        first_seen: dict[int, float] = {}
        killed: dict = {}
        began = time.monotonic()
        address = f"hydra.launcher.ray.init.address={cluster.address}"
        command = sweep(place, ["hydra/launcher=ray", address, *words], "on_ray")
        while command.poll() is None:
            if time.monotonic() > deadline:
                command.kill()
                raise TimeoutError((place / "on_ray.log").read_text()[-2000:])
            for worker in (1, 2):
                if worker == 2 and killed:
                    continue
                for pid in cluster.tasks(worker):
                    started[worker - 1].add(pid)
                    first_seen.setdefault(pid, time.monotonic())
            if not killed and len(done(place / "on_ray")) >= jobs // 4:
                at_work = [
                    p for p in cluster.tasks(2) if time.monotonic() - first_seen.get(p, 1e9) > 3
                ]
                unfinished = [
                    r for r in (place / "on_ray").glob("cluster/*") if not runs.is_done(r)
                ]
                if at_work and unfinished:
                    cluster.kill(2)
                    killed = {
                        "done_then": len(done(place / "on_ray")),
                        "jobs_lost_with_it": len(at_work),
                    }
            time.sleep(0.2)
        status, on_ray = command.returncode, round(time.monotonic() - began)
    finally:
        cluster.close()
    began = time.monotonic()
    basic = sweep(place, words, "basic")
    try:
        basic.wait(max(1, deadline - time.monotonic()))
    finally:
        basic.kill()
    pairs = [(run, place / "on_ray" / "cluster" / run.name) for run in done(place / "basic")]
    alike = [runs.is_done(other) and content(run) == content(other) for run, other in pairs]
    return {
        "jobs": len(pairs),
        "expected": jobs,
        "started_on_worker_1": len(started[0]),
        "started_on_worker_2": len(started[1]),
        **killed,
        "exit_status": status,
        "done": len(done(place / "on_ray")),
        "bit_identical": sum(alike),
        "seconds_on_ray": on_ray,
        "seconds_basic": round(time.monotonic() - began),
    }


def page(found: dict) -> str:
    import ray

    made_by = environment()
    rows = [
        ("jobs", found["jobs"]),
        ("processes with a job on worker 1", found["started_on_worker_1"]),
        ("processes with a job on worker 2, until it was killed", found["started_on_worker_2"]),
        ("jobs done when it was killed", found["done_then"]),
        ("jobs in the middle of which it was killed", found["jobs_lost_with_it"]),
        ("exit status of the sweep", found["exit_status"]),
        ("jobs done in the end, by the same command", found["done"]),
        (
            "trajectories that are those of the basic launcher, byte for byte",
            found["bit_identical"],
        ),
    ]
    return "\n".join(
        [
            "# A machine of a Ray cluster dies in the middle of a sweep",
            "",
            "A head and two workers of one core each, separate processes on one machine; one worker is killed "
            "with all its processes while it has a job. Ray gives the job to the other.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            f"Ray {ray.__version__}, JAX {made_by['packages']['jax']}, Python {made_by['python']}, "
            f"{made_by['machine']}. Made by `python experiments/resilience/ray_cluster.py`.",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=12, choices=(2, 3, 12))
    parser.add_argument("--seconds", type=float, default=1500, help="to give up after")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "resilience")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray-cluster-") as place:
        found = experiment(Path(place), given.jobs, given.seconds)
    print(json.dumps(found, indent=2))
    whole = found["jobs"] == found["done"] == found["bit_identical"] == found["expected"]
    if not (whole and found.get("jobs_lost_with_it") and found["exit_status"] == 0):
        return 1
    files.write_text(given.out / "ray.md", page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
