"""A process stopped just before one of its calls on its run's files, while another takes the run over.

As a program, `python stepped.py AT LIST WORDS...` is `python -m kernelstudy.run WORDS...` that stops itself
before the AT-th call (0: never), and adds its calls to the file LIST.
"""

import os
import re
import runpy
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faults

# Short, for there are some hundred and fifty of them.
WORDS = (
    *("+exp=mnist", "+debug=tiny", "name=fault", "seeds=1", "steps=200", "log_points=8"),
    *("arms=[{init: sobel}]", "checkpoint_seconds=0", "probe_seeds=0", "report=false"),
)
MODULES = ("open", "os", "shutil", "tempfile")  # whose audit events count as calls


def takeovers(place: Path, *, tiny: bool = False) -> list[faults.Outcome]:
    """One process for every kind of call, stopped before the first of that kind."""
    reference, _ = faults.undisturbed(place / "reference", WORDS)
    calls = dict(kinds(place))
    chosen = list(calls.items())[:: len(calls) // 3 if tiny else 1]

    def one(kind: str, at: int) -> faults.Outcome:
        program = (__file__, str(at), os.devnull)
        return faults.takeover(place / f"call{at}", reference, kind, None, WORDS, program=program)

    # Most of the time each waits for its suspended holder to count as dead.
    with ThreadPoolExecutor(4 * len(os.sched_getaffinity(0))) as threads:
        return list(threads.map(one, *zip(*chosen, strict=True)))


def kinds(place: Path) -> Iterator[tuple[str, int]]:
    """Every kind of call of an undisturbed run, and the number of the first of that kind."""
    listed, seen = place / "calls", set()
    process = faults.start(place / "listed", WORDS, program=(__file__, "0", str(listed)))
    _, told = process.communicate()
    assert process.returncode == 0, told
    for number, call in enumerate(listed.read_text().splitlines(), 1):
        kind = re.sub(r"\.partial-[^/ ]*", "", re.sub(r"[0-9a-f]{12,}|\d+", "#", call))
        kind = re.sub(
            r"(\.zarr)/.*?(/c/.*)?$", lambda m: m[1] + ("/.../c" if m[2] else "/..."), kind
        )
        if kind not in seen:
            seen.add(kind)
            yield kind, number


def main() -> None:
    at, listed, words = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    calls = 0
    with listed.open("a", encoding="utf-8", buffering=1) as file:

        def count(event: str, given: tuple) -> None:
            nonlocal calls
            if event.partition(".")[0] not in MODULES or not given:
                return
            _, of_run, path = str(given[0]).partition("/results/runs/")
            if of_run:
                calls += 1
                file.write(f"{event} {path.partition('/')[2].partition('/')[2]}\n")
                if calls == at:
                    os.kill(os.getpid(), signal.SIGSTOP)

        sys.addaudithook(count)
        sys.argv = ["kernelstudy.run", *words]
        runpy.run_module("kernelstudy.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
