"""python -m kernelstudy.status [RUNS ...]: which runs are done, running, failed or missing, and why.

RUNS are run directories or directories above them (results/runs unless given), or the words of a `run`
command, sweeps included: `python -m kernelstudy.status -m +exp=mnist model.kernel_size=3,5`. Only those words
tell which runs there should be, and so which are missing.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kernelstudy import runs
from kernelstudy.recording import points
from kernelstudy.runs import lock, untrusted
from kernelstudy.system.commandline import to_the_end
from kernelstudy.system.errors import RunError, first_line, printable

DONE, RUNNING, FAILED, INTERRUPTED, MISSING = "done", "running", "failed", "interrupted", "missing"
STATES = (DONE, RUNNING, FAILED, INTERRUPTED, MISSING)
_TAIL = 2**16


class Status(NamedTuple):
    """One run. `steps`: done and wanted, over all its groups; `left`: seconds; None where not known."""

    run: Path
    state: str
    steps: tuple[int, int] | None = None
    left: float | None = None
    why: str = ""


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 2 wrong input."""
    words = sys.argv[1:] if words is None else words
    if set(words) & {"-h", "--help"}:
        parser = argparse.ArgumentParser(
            prog="python -m kernelstudy.status",
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("RUNS", nargs="*")
        parser.print_help()
        return 0
    try:
        statuses = [status_of(run) for run in _run_directories(words)]
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except (OSError, ValueError) as error:
        print(f"kernelstudy.status: {printable(str(error))}", file=sys.stderr)
        return 2
    for line in table(statuses):
        print(line)
    return 0


def _run_directories(words: list[str]) -> list[Path]:
    """The run directories that the words of the command line mean."""
    settings = [word for word in words if "=" in word and not _is_there(word)]
    if settings:
        rest = [word for word in words if word not in settings]
        if set(rest) - {"-m", "--multirun"}:
            raise ValueError(f"{rest[0]}: either directories or the words of a run command")
        return runs_of_command(settings)
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise ValueError(f"{unknown[0]}: no such option")
    directories = [Path(word) for word in words] or [Path("results/runs")]
    for directory in directories:
        if not directory.is_dir():
            raise ValueError(f"{directory} is not a directory")
    return list(dict.fromkeys(run for directory in directories for run in runs_below(directory)))


def _is_there(word: str) -> bool:
    """Whether a word is a path; one may be too long to be any."""
    try:
        return Path(word).exists()
    except (OSError, ValueError):
        return False


def runs_of_command(overrides: list[str]) -> list[Path]:
    """The run directories of a command's jobs; ConfigError for what cannot be run."""
    import hydra
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from kernelstudy.config import compose

    compose.register()
    settings = [
        word for word in compose.in_order(overrides) if not word.startswith(("hydra.", "hydra/"))
    ]
    try:
        parsed = OverridesParser.create().parse_overrides(settings)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
        with hydra.initialize_config_dir(str(compose.conf_dir().absolute()), version_base="1.3"):
            studies = [compose.from_hydra(hydra.compose("config", list(job))) for job in jobs]
    except Exception as error:  # anything of Hydra's
        raise ValueError(compose.explain(error)) from error
    return [runs.run_dir(study) for study in studies]


def runs_below(directory: Path, depth: int = 2) -> Iterator[Path]:
    """The run directories in `directory`, at most two levels down; links are not followed."""
    if (directory / runs.CONFIG).exists() or points.is_recording(directory):
        yield directory
    elif depth:
        for entry in sorted(directory.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield from runs_below(entry, depth - 1)


def status_of(run: Path) -> Status:
    """The status of a run directory; nothing in it is trusted, and whatever is wrong with it is its reason."""
    try:
        return _status_of(run)
    except Exception as error:
        return Status(
            run, FAILED, why=f"cannot be read: {type(error).__name__}: {first_line(error)}"
        )


def _status_of(run: Path) -> Status:
    is_recording = points.is_recording(run)
    if not is_recording and not (run / runs.CONFIG).exists():
        return Status(run, MISSING, why="not begun")
    if is_recording and not runs.is_done(run):
        return _recording_status(run)
    if runs.is_done(run):
        try:
            why = runs.stale(run)
        except RunError as error:
            why = str(error)
        return Status(run, DONE, why=f"by {why}" if why else "")
    try:
        steps, rate, log_time = _progress(run)
    except (RunError, OSError) as error:
        return Status(run, FAILED, why=str(error))
    holder = lock.holder(run)
    if holder is not None:
        now = _steps_by_now(steps, rate, log_time)
        left = (steps[1] - now) / rate if steps and rate else None
        return Status(run, RUNNING, (int(now), steps[1]) if steps else None, left, str(holder))
    if (run / runs.FAILED).exists():
        return Status(run, FAILED, steps, why=_reason(run))
    return Status(run, INTERRUPTED, steps, why="the same command goes on with it")


def _recording_status(run: Path) -> Status:
    """Of a training that somebody else's loop does: how many steps it takes is not known."""
    logged, holder = points.steps(run), lock.holder(run)
    last = f"last logged at step {logged[-1]:,}" if logged else "nothing logged yet"
    if holder is not None:
        return Status(run, RUNNING, why=f"recorded by {holder}; {last}")
    return Status(run, INTERRUPTED, why=f"a recording, not closed; {last}; its report can be made")


def _progress(run: Path) -> tuple[tuple[int, int] | None, float, float]:
    """Steps done and wanted, steps a second, and when that was logged."""
    study = runs.read_settings(run)
    steps, total = study.steps, len(study.seed_list)
    records = list(_records(run))
    if not records:
        return (0, steps), 0.0, 0.0
    # Groups of seeds are trained one after another, each for all steps.
    group = records[-1].get("seeds")
    group_records = [r for r in records if r.get("seeds") == group]
    last = group_records[-1]
    seconds = float(last["seconds"])
    rate = last["step"] / seconds if seconds > 0 else 0.0
    if group:
        before = len({s for r in records if r.get("seeds") != group for s in r.get("seeds") or ()})
        share = len(group) / total
        done = int(steps * before / total + last["step"] * share)
        return (done, steps), rate * share, (run / runs.METRICS).lstat().st_mtime
    return (last["step"], steps), rate, (run / runs.METRICS).lstat().st_mtime


def _records(run: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl that can be read."""
    try:
        text = untrusted.read_bytes(run, runs.METRICS, last=2**22).decode(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # cut off
            continue
        if not isinstance(record, dict):
            continue
        step, seconds, seeds = (record.get(key) for key in ("step", "seconds", "seeds"))
        is_list = isinstance(seeds, list) and all(
            isinstance(s, int) and 0 <= s < 2**31 for s in seeds
        )
        if not isinstance(step, int) or not isinstance(seconds, int | float):
            continue
        if 0 <= step < 2**31 and 0 <= seconds < 1e12 and (is_list or not seeds):
            yield record


def _steps_by_now(steps: tuple[int, int] | None, rate: float, log_time: float) -> float:
    """Steps that a running training has probably done by now: log points lie far apart."""
    if steps is None or not rate:
        return 0.0
    since = max(0.0, time.time() - log_time)
    return min(steps[0] + rate * since, max(steps[0], steps[1] - 1))


def _reason(run: Path) -> str:
    """The error that a traceback ends with."""
    try:
        text = untrusted.read_bytes(run, runs.FAILED, last=_TAIL).decode(errors="replace")
    except (OSError, RunError) as error:
        return str(error)
    errors = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
    return errors[-1][:300] if errors else "its traceback cannot be read"


def table(statuses: list[Status]) -> list[str]:
    """The lines of the table, and a last one that counts."""
    rows = [("run", "state", "steps", "left", "why")]
    for status in statuses:
        done = f"{status.steps[0]:,} of {status.steps[1]:,}" if status.steps else ""
        left = "" if status.left is None else duration(status.left)
        rows.append((str(status.run), status.state, done, left, status.why))
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    counts = Counter(status.state for status in statuses)
    totals = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    count = "1 run" if len(statuses) == 1 else f"{len(statuses)} runs"
    lines.append(f"{count}: {totals}" if totals else count)
    longest = max((status.left for status in statuses if status.left is not None), default=None)
    if longest is not None:
        lines[-1] += f"; those running are done in {duration(longest)}"
    return lines


def duration(seconds: float) -> str:
    """3 h 05 min, 12 min, 40 s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


if __name__ == "__main__":
    sys.exit(to_the_end(main))
