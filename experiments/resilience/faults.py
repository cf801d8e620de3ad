"""Real processes killed, stopped, starved and corrupted; then the same command again.

A run is lost if the same command does not end it, bit for bit as one that nothing befell.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

WORDS = (
    *("+exp=mnist", "+debug=tiny", "name=fault", "seeds=2", "steps=300", "log_points=10"),
    *("arms=[{init: he_normal}, {init: sobel, labels: shuffled}]", "checkpoint_seconds=0"),
)
COMMAND = ("-m", "kernelstudy.run")
# Writes at which a process is killed: what of them is to be seen in the run's directory.
WRITES = {
    "what was logged": ".scratch-*/.log-*",
    "a checkpoint": "checkpoints/*/*.orbax-checkpoint-tmp*",
    "the trajectory": ".scratch-*/.trajectory.zarr.partial-*",
    "DONE": ".scratch-*/.DONE.partial-*",
    "the analysis": ".scratch-*/.analysis.zarr.partial-*",
    "a figure": "figures/.*.partial-*",
    "the page": ".scratch-*/.report.html.partial-*",
}


class Outcome(NamedTuple):
    """One fault. `after`: seconds from the start; `status`: what the process ended with."""

    fault: str
    after: float
    status: int
    resumed_at: str
    identical: bool
    seconds: float  # of the same command again
    told: str = ""


def command(words=WORDS) -> list[str]:
    return [sys.executable, *COMMAND, *words]


def start(
    place: Path, words=WORDS, environment=None, program: Sequence[str] = COMMAND
) -> subprocess.Popen[str]:
    """The command in a process of its own, or another `program` with the same words."""
    place.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def again(place: Path, words=WORDS, environment=None) -> subprocess.CompletedProcess[str]:
    """The same command, to its end."""
    process = start(place, words, environment)
    out, err = process.communicate(timeout=900)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def directory(place: Path) -> Path | None:
    """The one run in `place`."""
    return next(iter(sorted(place.glob("results/runs/*/*"))), None)


def same(run: Path | None, other: Path) -> bool:
    """Whether a run ended as `other`: the same files, and in them the same bits but for times."""
    return not difference(run, other)


def difference(run: Path | None, other: Path) -> str:
    """What makes a run not the `same` as another, in words."""
    if run is None or not (run / "DONE").is_file() or not (run / "metrics.jsonl").is_file():
        return "it is not finished"
    found, wanted = _content(run), _content(other)
    if names := set(found["names"]) ^ set(wanted["names"]):
        return f"one of them alone has {', '.join(sorted(names))}"
    differing = sorted(name for name in wanted if found.get(name) != wanted[name])
    return f"{', '.join(differing)} differ" if differing else ""


# What ties analysis.zarr to its run holds provenance.json, and that the time it took.
_SEAL = re.compile(rb'"measured_of": "[0-9a-f]+"')


def _content(run: Path) -> dict:
    names = sorted(str(p.relative_to(run)) for p in run.rglob("*") if ".zarr" not in str(p))
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "names": names,
        "metrics": [{k: v for k, v in record.items() if k != "seconds"} for record in records],
        **{
            str(path.relative_to(run)): _SEAL.sub(b"", path.read_bytes())
            for folder in ("trajectory.zarr", "tables", "analysis.zarr")
            for path in sorted((run / folder).rglob("*"))
            if path.is_file()
        },
    }


def hit(
    place: Path, moment: float | str, number: int = signal.SIGKILL, words=WORDS, environment=None
) -> tuple[float, int, str]:
    """Start the command and send it a signal after `moment` seconds, or once a path like `moment` is there.

    Returns:
        Seconds from the start to the signal, exit status, and what it said.
    """
    process = start(place, words, environment)
    after = _until(process, place, moment)
    process.send_signal(number)
    _, told = process.communicate(timeout=900)
    return after, process.returncode, told


def kill(
    place: Path,
    reference: Path,
    fault: str,
    moment: float | str,
    number: int = signal.SIGKILL,
    words=WORDS,
) -> Outcome:
    """`hit`, then the same command again."""
    return resumed(place, reference, fault, *hit(place, moment, number, words), words=words)


def takeover(
    place: Path,
    reference: Path,
    fault: str,
    moment: float | str | None,
    words=WORDS,
    environment=None,
    rerun: Callable = again,
    program: Sequence[str] = COMMAND,
) -> Outcome:
    """A process suspended for longer than a dead one is waited for; a second takes over; the first wakes.

    The first must stop with one sentence, or find the run finished, and change nothing. `moment`: None where
    `program` stops itself.
    """
    process = start(place, words, environment, program)
    after = _until(process, place, moment)
    process.send_signal(signal.SIGSTOP)
    for record in place.glob("results/runs/*/*/.holder"):
        os.utime(record, (0, 0))  # which spares the minute
    found = resumed(
        place, reference, fault, after, 0, words=words, environment=environment, rerun=rerun
    )
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate(timeout=900)
    said = told.strip().splitlines()
    # lines on where it is may come first, one for about half a minute; others are told, and no loss
    odd = [line for line in said if not line.startswith("kernelstudy: ")]
    stopped = process.returncode == 1 and "taken over" in "".join(said[-1:])
    differing = difference(directory(place), reference)
    return found._replace(
        status=process.returncode,
        identical=not differing and (stopped or process.returncode == 0),
        told=" / ".join(filter(None, [differing, *odd[:3], *said[-1:]])),
    )


def _until(process: subprocess.Popen[str], place: Path, moment: float | str | None) -> float:
    """Wait for a moment (`hit`), until a process has stopped itself (None), or for its end; seconds."""
    began = time.perf_counter()
    while process.poll() is None:
        if isinstance(moment, float):
            if time.perf_counter() - began >= moment:
                break
            time.sleep(0.005)
        elif moment is None:
            if "T (stopped)" in Path(f"/proc/{process.pid}/status").read_text():
                break
            time.sleep(0.02)
        elif any(place.glob(f"results/runs/*/*/{moment}")):
            break
    return time.perf_counter() - began


def resumed(
    place: Path,
    reference: Path,
    fault: str,
    after: float,
    status: int,
    told: str = "",
    words=WORDS,
    environment=None,
    rerun: Callable = again,
) -> Outcome:
    """What the same command makes of what a fault has left."""
    began = time.perf_counter()
    done = rerun(place, words, environment)
    seconds = time.perf_counter() - began
    where = [line for line in done.stdout.splitlines() if "goes on at" in line]
    finished = any("is finished" in line for line in done.stdout.splitlines())
    resumed_at = (
        where[0].rpartition("goes on at ")[2] if where else "report" if finished else "start"
    )
    identical = done.returncode == 0 and same(directory(place), reference)
    last = (told + done.stderr).strip().splitlines()
    return Outcome(fault, after, status, resumed_at, identical, seconds, last[-1] if last else "")


def undisturbed(place: Path, words=WORDS) -> tuple[Path, float]:
    """A run that nothing befalls, and the seconds that it takes."""
    began = time.perf_counter()
    whole = again(place, words)
    assert whole.returncode == 0, whole.stderr
    run = directory(place)
    assert run is not None
    return run, time.perf_counter() - began


def at_random(
    place: Path,
    reference: Path,
    lasted: float,
    count: int,
    seed: int = 0,
    words=WORDS,
    at_once: int = 1,
) -> Iterator[Outcome]:
    """`count` processes killed at random moments, `at_once` of them; every fifth is suspended, taken over from,
    and woken."""
    rng = random.Random(seed)

    def one(index: int, moment: float) -> Outcome:
        here = place / f"random{index}"
        if index % 5 == 0:
            fault = "suspended, taken over from, and woken"
            found = takeover(here, reference, fault, moment, words)
        else:
            found = kill(here, reference, "killed at a random moment", moment, words=words)
        if found.identical:
            shutil.rmtree(here, ignore_errors=True)
        return found

    moments = [rng.uniform(0.1, 0.98) * lasted for _ in range(count)]
    with ThreadPoolExecutor(at_once) as threads:
        yield from threads.map(one, range(count), moments)


def kills(
    place: Path, count: int, seed: int = 0, *, tiny: bool = False
) -> tuple[list[Outcome], float]:
    """`count` faults `at_random`, a kill at each of the `WRITES`, polite signals, and other faults.

    Returns them, and the seconds that an undisturbed run takes. `tiny`: only some of them.
    """
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as threads:  # as many as there will be, so that it lasts as long
        whole = list(threads.map(undisturbed, [place / f"reference{n}" for n in range(cores)]))
    reference, lasted = whole[0][0], max(seconds for _, seconds in whole)
    found = list(at_random(place, reference, lasted, count, seed, at_once=cores))
    lost = [f"{number}: {outcome}" for number, outcome in enumerate(found) if not outcome.identical]
    print("\n".join([f"{count} at random moments, {len(lost)} lost", *lost]), flush=True)
    for index, (what, pattern) in enumerate(WRITES.items()):
        found.append(
            kill(place / f"write{index}", reference, f"killed while {what} is written", pattern)
        )
        if tiny:
            break
    if not tiny:
        fault = "killed while a finished run's checkpoints are cleared away"
        found.append(kill(place / "cleared", reference, fault, "DONE"))
    for name in ("SIGTERM",) if tiny else ("SIGTERM", "SIGINT"):
        number = getattr(signal, name)
        pattern = "checkpoints/*/3*"
        found.append(kill(place / name, reference, f"{name} while it trains", pattern, number))
    if not tiny:
        found += corruptions(place, reference)
        found += together(place, reference)
    found += walls(place, reference)
    return found, lasted


def pair(place: Path) -> list[subprocess.Popen[str]]:
    """The command in two processes that share a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [
        start(place, (*WORDS, "distributed=true"), os.environ | told | {"JAX_PROCESS_ID": number})
        for number in "01"
    ]


def again_as_two(place: Path, words, environment) -> subprocess.CompletedProcess[str]:
    """`again` in two processes; what the first says."""
    first, second = pair(place)
    out, err = first.communicate(timeout=900)
    second.communicate(timeout=900)
    return subprocess.CompletedProcess(first.args, first.returncode or second.returncode, out, err)


def together(place: Path, reference: Path) -> list[Outcome]:
    """Two processes share a run; both are killed, or one is asked to end; one or two go on with it."""
    found = []
    for name, number, rerun in (
        ("killed, one goes on", signal.SIGKILL, again),
        ("killed, two go on", signal.SIGKILL, again_as_two),
        ("one of them asked to end, one goes on", signal.SIGTERM, again),
    ):
        here = place / f"together{len(found)}"
        both = pair(here)
        began = time.perf_counter()
        while both[0].poll() is None and not any(here.glob("results/runs/*/*/checkpoints/*/3*")):
            time.sleep(0.005)
        after = time.perf_counter() - began
        for process in both if number == signal.SIGKILL else both[1:]:
            process.send_signal(number)
        told = [process.communicate(timeout=300)[1] for process in both]
        fault = f"two processes on one run, {name}"
        found.append(
            resumed(here, reference, fault, after, both[1].returncode, told[0], rerun=rerun)
        )
    return found


def corruptions(place: Path, reference: Path) -> list[Outcome]:
    """The newest checkpoint cut, flipped and lost, after a kill."""

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[len(content) // 2] ^= 255
        path.write_bytes(bytes(content))

    found = []
    for name, damage in (("cut", cut), ("flipped", flip), ("lost", Path.unlink)):
        here = place / name
        process = start(here)
        while process.poll() is None and not any(here.glob("results/runs/*/*/checkpoints/*/6*")):
            time.sleep(0.002)
        process.kill()
        process.communicate()
        run = directory(here)
        assert run is not None
        steps = [path for path in (run / "checkpoints").glob("*/*") if path.name.isdigit()]
        newest = max(steps, key=lambda path: int(path.name))
        for path in newest.rglob("*"):
            if path.is_file():
                damage(path)
        fault = f"killed, and the newest checkpoint's files {name}"
        found.append(resumed(here, reference, fault, 0.0, process.returncode))
    return found


def walls(place: Path, reference: Path) -> list[Outcome]:
    """A disk that is full, then is not; a second process; a trajectory that is not what was written."""
    found = []
    here = place / "full"
    here.mkdir()
    # a file system of so many kB, for this process and its children alone
    script = (
        "mount -t tmpfs -o size=300k tmpfs results && "
        '"$@"; status=$?; cp -a results/. ../full_after/; exit $status'
    )
    (here / "results").mkdir()
    (place / "full_after").mkdir()
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", *command()]
    starved = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    if "unshare" not in starved.stderr and "mount" not in starved.stderr:
        (here / "results").rmdir()
        (place / "full_after").rename(here / "results")
        assert "Traceback" not in starved.stderr, starved.stderr
        found.append(
            resumed(here, reference, "a full disk", 0.0, starved.returncode, starved.stderr)
        )
    here = place / "second"
    process = start(here)
    while process.poll() is None and not any(here.glob("results/runs/*/*/metrics.jsonl")):
        time.sleep(0.01)
    second = again(here)
    process.communicate()
    identical = second.returncode == 2 and same(directory(here), reference)
    told = second.stderr.strip()
    found.append(Outcome("a second process on the run", 0.0, 2, "", identical, 0.0, told))
    run = directory(here)
    assert run is not None
    chunk = next(path for path in (run / "trajectory.zarr/kernel/c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(bytes(content))
    told_of = again(here)
    found.append(
        Outcome(
            "a bit of a finished trajectory flipped: told, and not used",
            0.0,
            told_of.returncode,
            "",
            told_of.returncode == 2 and "checksum" in told_of.stderr,
            0.0,
            told_of.stderr.strip(),
        )
    )
    return found
