"""How far a run is: done, running, failed, interrupted or missing, and why. No JAX."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kernelstudy.config import Study
from kernelstudy.runs import directory, lock, untrusted
from kernelstudy.system.errors import RunError, first_line
from kernelstudy.system.progress import duration

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

    @property
    def words(self) -> str:
        """On one line: 'running, 120 of 500 steps, 3 min left (process ...)'."""
        steps = f", {self.steps[0]:,} of {self.steps[1]:,} steps" if self.steps else ""
        left = f", {duration(self.left)} left" if self.left is not None else ""
        return f"{self.state}{steps}{left}" + (f" ({self.why})" if self.why else "")


def status_of(run: Path) -> Status:
    """The status of a run directory; nothing in it is trusted, and whatever is wrong with it is its reason."""
    try:
        return _status_of(run)
    except Exception as error:
        return Status(
            run, FAILED, why=f"cannot be read: {type(error).__name__}: {first_line(error)}"
        )


def refuse_unfinished(run: Path) -> None:
    """RunError, which says where it is, for a run that has begun and is not done."""
    if (run / directory.CONFIG).is_file() and not directory.is_done(run):
        raise RunError(f"{run} is not finished: {status_of(run).words}")


def _status_of(run: Path) -> Status:
    if not (run / directory.CONFIG).exists():
        return Status(run, MISSING, why="not begun")
    if directory.is_done(run):
        try:
            why = directory.stale(run)
        except RunError as error:
            why = str(error)
        return Status(run, DONE, why=f"by {why}" if why else "")
    try:
        study = directory.read_settings(run)
        steps, rate, log_time = _progress(run, study)
    except (RunError, OSError) as error:
        return Status(run, FAILED, why=str(error))
    holder = lock.holder(run)
    if holder is not None:
        now = _steps_by_now(steps, rate, log_time)
        left = (steps[1] - now) / rate if steps and rate else None
        return Status(run, RUNNING, (int(now), steps[1]) if steps else None, left, str(holder))
    if steps and not any(record.get("seeds") for record in _records(run)):
        steps = max(steps[0], min(_saved(run), steps[1])), steps[1]
    if (run / directory.FAILED).exists():
        return Status(run, FAILED, steps, why=_reason(run))
    if study.recorded:
        return Status(run, INTERRUPTED, why="a recording, not closed")
    return Status(run, INTERRUPTED, steps, why="the same command goes on with it")


def _progress(run: Path, study: Study) -> tuple[tuple[int, int] | None, float, float]:
    """Steps done and wanted, steps a second, and when that was logged."""
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
        return (done, steps), rate * share, (run / directory.METRICS).lstat().st_mtime
    return (last["step"], steps), rate, (run / directory.METRICS).lstat().st_mtime


def _saved(run: Path) -> int:
    """Steps in the checkpoints of a run's only group, by the names of their parts (`training.journal`)."""
    parts = (run / directory.CHECKPOINTS).glob("*/log-0000-*.npz")
    ends = [re.fullmatch(r"log-0000-\d+-(\d{9})-\w+", part.stem) for part in parts]
    return max((int(end[1]) for end in ends if end), default=0)


def _records(run: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl that can be read."""
    try:
        text = untrusted.read_bytes(run, directory.METRICS, last=2**22).decode(errors="replace")
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
        text = untrusted.read_bytes(run, directory.FAILED, last=_TAIL).decode(errors="replace")
    except (OSError, RunError) as error:
        return str(error)
    errors = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
    return errors[-1][:300] if errors else "its traceback cannot be read"
