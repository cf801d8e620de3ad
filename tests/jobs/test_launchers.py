"""Sweeps whose jobs other processes do: the basic launcher's results, and what clusters are asked for.

Each launcher is an extra; where it is not installed its tests are skipped.
"""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from kernelstudy import runs
from tests.commands import run_here

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "conf" / "hydra" / "launcher"
TINY = (
    "+exp=mnist",
    "+debug=tiny",
    "seeds=1",
    "steps=2",
    "arms=[{init: he_normal}]",
    "probe_seeds=0",
    "name=swept",
    "report=false",
)


def needs(launcher: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec("hydra_plugins") is None
    absent = absent or importlib.util.find_spec(f"hydra_plugins.hydra_{launcher}_launcher") is None
    return pytest.mark.skipif(absent, reason=f"the launcher {launcher} is not installed")


def sweep(place, *words, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "kernelstudy.run", "-m", *TINY, *words],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def content(run: Path) -> dict[str, bytes]:
    """Every file of a trajectory."""
    store = run / runs.TRAJECTORY
    return {
        str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()
    }


def finished(place: Path) -> dict[str, dict[str, bytes]]:
    found = sorted((place / "results" / "runs" / "swept").glob("[!.]*"))
    assert all(runs.is_done(run) and (run / "tables").is_dir() for run in found)
    return {run.name: content(run) for run in found}


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """The sweep as one process does it: id -> its trajectory's files."""
    place = tmp_path_factory.mktemp("basic")
    done = sweep(place, "model.kernel_size=3,5")
    assert done.returncode == 0, done.stderr
    return finished(place)


@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit"])
def test_an_absent_launcher_is_named(tmp_path, launcher):
    if importlib.util.find_spec("hydra_plugins"):
        pytest.skip("launchers are installed")
    name = {"submitit": "submitit_slurm"}.get(launcher, launcher)
    told = run_here(tmp_path, "kernelstudy.run", "-m", *TINY, f"hydra/launcher={name}", "steps=1,2")
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert f"{launcher} needs the extra [" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_presets_keep_jobs_apart():
    """What Ray needs so that jobs share a GPU, and a dead machine's jobs are started again."""
    ray = yaml.safe_load((PRESETS / "ray.yaml").read_text())["ray"]
    assert ray["remote"]["max_calls"] == 1
    assert ray["remote"]["max_retries"] > 0
    assert ray["remote"]["runtime_env"]["env_vars"]["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


@pytest.mark.slow
@needs("joblib")
def test_joblib_shares_out_the_cores_and_goes_on_after_a_bad_job(tmp_path, basic):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    words = ("hydra/launcher=joblib", "model.kernel_size=4,3,5")
    swept = sweep(tmp_path, *words, environment=environment)
    assert swept.returncode == 2
    assert "model.kernel_size: 4" in swept.stderr
    assert "Traceback" not in swept.stderr
    assert "validated against ConfigStore" not in swept.stderr
    assert finished(tmp_path) == basic
    assert swept.stdout.count("on 1 x cpu") == 2
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


@pytest.mark.slow
@needs("submitit")
def test_submitit_on_this_machine(tmp_path, basic):
    words = ("hydra/launcher=submitit_local", "model.kernel_size=3,5")
    swept = sweep(tmp_path, *words)
    assert swept.returncode == 0, swept.stderr
    assert finished(tmp_path) == basic


@needs("submitit")
def test_what_slurm_is_asked_for(tmp_path):
    """`sbatch` keeps the script and takes no job: there is no cluster here."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {"sbatch": 'cp "$1" script.sh; exit 1', "srun": "exit 1"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    words = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu")
    told = sweep(tmp_path, *words, "model.kernel_size=3,5,7", environment=environment)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    script = (tmp_path / "script.sh").read_text()
    asked = {line.removeprefix("#SBATCH --") for line in script.splitlines() if "#SBATCH" in line}
    assert asked >= {
        *("array=0-2%3", "cpus-per-task=4", "job-name=swept", "mem=12GB", "nodes=1"),
        *("ntasks-per-node=1", "partition=gpu", "time=240"),
    }
    assert any(line.startswith("signal=") and line.endswith("@120") for line in asked)
    assert "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK" in script.splitlines()
    assert "submitit.core._submit" in script
    assert str(tmp_path / "results" / "runs" / "swept" / ".submitit") in script
    subprocess.run(["sh", "-n", tmp_path / "script.sh"], check=True)


@pytest.mark.slow
@needs("ray")
def test_ray_when_a_machine_dies(tmp_path):
    """A job on each of two workers, one of which is killed: its exit status says whether all is as it was."""
    script = ROOT / "experiments" / "resilience" / "ray_cluster.py"
    done = subprocess.run(
        [sys.executable, str(script), "--jobs", "2", "--seconds", "500", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| jobs done in the end, by the same command | 2 |" in (tmp_path / "ray.md").read_text()


def test_a_killed_worker_is_no_wrong_input():
    from concurrent.futures.process import BrokenProcessPool

    from kernelstudy.jobs import launchers

    assert launchers.was_killed(BrokenProcessPool("x"))
    assert not launchers.was_killed(ValueError("x"))


def test_a_worker_ends_with_the_command_that_started_it(tmp_path):
    code = (
        "import os, sys, threading, time, subprocess\n"
        "inner = 'import os, time, threading; from kernelstudy.jobs import launchers;'\n"
        "inner += 'watch = threading.Thread(target=launchers._end_with_parent, args=(os.getppid(),));'\n"
        "inner += 'watch.daemon = True; watch.start();'\n"
        "inner += 'print(os.getpid(), flush=True); time.sleep(60)'\n"
        "process = subprocess.Popen([sys.executable, '-c', inner], stdout=subprocess.PIPE)\n"
        "print(process.stdout.readline().decode(), flush=True); os._exit(0)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(made.stdout)
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("it still lives")
