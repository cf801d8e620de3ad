"""python -m kernelstudy.status [RUNS ...]: which runs are done, running, failed or missing, and why.

RUNS are run directories or directories above them (results/runs unless given), or the words of a `run`
command, sweeps included: `python -m kernelstudy.status -m +exp=mnist model.kernel_size=3,5`. Only those words
tell which runs there should be, and so which are missing.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelstudy import runs
from kernelstudy.config import Study
from kernelstudy.recording import points
from kernelstudy.runs import lock, state
from kernelstudy.runs.state import Status
from kernelstudy.studies import grid
from kernelstudy.system.commandline import tell, to_the_end
from kernelstudy.system.errors import RunError, first_line, printable
from kernelstudy.system.progress import duration


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
        studies = _runs(words)
        statuses = [status_of(run) for run in studies]
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except (OSError, ValueError) as error:
        return tell(str(error), 2)
    for line in table(statuses, swept(studies)):
        print(line)
    return 0


def _runs(words: list[str]) -> dict[Path, Study | None]:
    """The run directories that the command line means, with their settings where they can be read."""
    settings = [word for word in words if "=" in word and not _is_there(word)]
    if settings:
        rest = [word for word in words if word not in settings]
        if set(rest) - {"-m", "--multirun"}:
            raise ValueError(f"{rest[0]}: either directories or the words of a run command")
        return dict(runs_of_command(settings))
    for index, word in enumerate(words):
        if word.startswith("-"):
            from kernelstudy.config import hints

            raise ValueError(f"{word}: no such option{hints.option(word, words[index + 1 :])}")
    directories = [Path(word) for word in words] or [Path("results/runs")]
    for directory in directories:
        if not directory.is_dir():
            raise ValueError(f"{directory} is not a directory")
    return {run: _settings(run) for directory in directories for run in runs_below(directory)}


def _settings(run: Path) -> Study | None:
    try:
        return runs.read_settings(run)
    except (RunError, OSError):
        return None


def _is_there(word: str) -> bool:
    """Whether a word is a path; one may be too long to be any."""
    try:
        return Path(word).exists()
    except (OSError, ValueError):
        return False


def runs_of_command(overrides: list[str]) -> dict[Path, Study]:
    """The run directories of a command's jobs, with their settings; ValueError for what cannot be run."""
    import hydra
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from kernelstudy.config import compose
    from kernelstudy.jobs import own_networks

    compose.register()
    settings = [
        word for word in compose.in_order(overrides) if not word.startswith(("hydra.", "hydra/"))
    ]
    try:
        parsed = OverridesParser.create().parse_overrides(settings)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
        with hydra.initialize_config_dir(str(compose.conf_dir().absolute()), version_base="1.3"):
            studies = [compose.from_hydra(hydra.compose("config", list(job))) for job in jobs]
        studies = [own_networks.resolve(study)[0] for study in studies]
    except Exception as error:  # anything of Hydra's
        raise ValueError(compose.explain(error, ["-m", *overrides])) from error
    return {runs.run_dir(study): study for study in studies}


def runs_below(directory: Path, depth: int = 2) -> Iterator[Path]:
    """The run directories in `directory`, at most two levels down; links are not followed."""
    if (directory / runs.CONFIG).exists() or points.is_recording(directory):
        yield directory
    elif depth:
        for entry in sorted(directory.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield from runs_below(entry, depth - 1)


def status_of(run: Path) -> Status:
    """The status of a run or recording."""
    if points.is_recording(run) and not runs.is_done(run):
        try:
            return _recording_status(run)
        except Exception as error:  # nothing in it is trusted
            return Status(run, state.FAILED, why=f"cannot be read: {first_line(error)}")
    return state.status_of(run)


def _recording_status(run: Path) -> Status:
    """Of a training that somebody else's loop does: how many steps it takes is not known."""
    logged, holder = points.steps(run), lock.holder(run)
    last = f"last logged at step {logged[-1]:,}" if logged else "nothing logged yet"
    if holder is not None:
        return Status(run, state.RUNNING, why=f"recorded by {holder}; {last}")
    return Status(
        run, state.INTERRUPTED, why=f"a recording, not closed; {last}; its report can be made"
    )


def swept(studies: dict[Path, Study | None]) -> dict[Path, str]:
    """Of each run in what it differs from the others of its name: 'model.kernel_size=3, seeds=[1]'."""
    words: dict[Path, str] = {}
    for folder in dict.fromkeys(run.parent for run in studies):
        known = {
            run: _flat(study)
            for run, study in studies.items()
            if study is not None and run.parent == folder
        }
        differing = [
            key
            for key in next(iter(known.values()), {})
            if len({repr(settings[key]) for settings in known.values()}) > 1
        ]
        for run, settings in known.items():
            words[run] = ", ".join(f"{key}={grid.label(settings[key])}" for key in differing)
    return words


def _flat(study: Study) -> dict[str, Any]:
    """Every setting that changes results, by its key."""
    arms = f"[{', '.join(arm.name for arm in study.arms)}]"
    return {**grid.flat(study), "arms": arms, "seeds": study.seeds}


def table(statuses: list[Status], words: dict[Path, str]) -> list[str]:
    """The lines of the table, and a last one that counts; `words`: what is particular to a run."""
    rows = [("run", "what differs", "state", "steps", "left", "why")]
    for status in statuses:
        done = f"{status.steps[0]:,} of {status.steps[1]:,}" if status.steps else ""
        left = "" if status.left is None else duration(status.left)
        differs = words.get(status.run, "")
        rows.append((str(status.run), differs, status.state, done, left, status.why))
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    columns = list(zip(*rows, strict=True))
    if not any(columns[1][1:]):
        columns.pop(1)
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    counts = Counter(status.state for status in statuses)
    totals = ", ".join(f"{counts[name]} {name}" for name in state.STATES if counts[name])
    count = "1 run" if len(statuses) == 1 else f"{len(statuses)} runs"
    lines.append(f"{count}: {totals}" if totals else count)
    longest = max((status.left for status in statuses if status.left is not None), default=None)
    if longest is not None:
        lines[-1] += f"; those running are done in {duration(longest)}"
    return lines


if __name__ == "__main__":
    sys.exit(to_the_end(main))
