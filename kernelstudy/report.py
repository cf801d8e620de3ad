"""python -m kernelstudy.report RUN [RUN ...] [--out DIR]: a run's report, or one over many. Needs no JAX."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernelstudy.system import limits
from kernelstudy.system.commandline import Parser, tell, to_the_end
from kernelstudy.system.errors import InputError, RunError, first_line, printable
from kernelstudy.system.progress import working


def report(
    runs: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    allow_mixed: bool = False,
) -> Path:
    """Make the report of a run, one over several, or one of all that was recorded in a place.

    Args:
        runs: the directory of a run, of many, or of recordings (`kernelstudy.Recorder`); or several.
        out: where to write; without it, the run's own directory, or one beside those of several.
        allow_mixed: report on runs together though their versions or data differ.

    Returns:
        The path of report.html.

    Raises:
        ValueError: the runs cannot be read, or do not belong together; the message is one sentence.
    """
    from kernelstudy.studies import sweep_report  # takes a second to import

    paths = [runs] if isinstance(runs, str | Path) else list(runs)
    folder = None if out is None else Path(out)
    return sweep_report.report([Path(path) for path in paths], out=folder, allow_mixed=allow_mixed)


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 failed, 2 wrong input."""
    parser = Parser(prog="python -m kernelstudy.report", description=__doc__)
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="directory of a run, or of many; several give one report over all of them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: RUN; of many runs, report/ beside them)",
    )
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="report on runs together though their versions or data differ",
    )
    try:
        options = parser.parse_args(words)
        with working("measuring and drawing"), limits.memory_bound(limits.memory() // 2):
            from kernelstudy.studies import sweep_report

            page, answer = sweep_report.make(
                options.runs, out=options.out, allow_mixed=options.allow_mixed
            )
    except (InputError, RunError) as error:
        return tell(str(error), 2)
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except MemoryError:
        return tell("the runs need more than half of this machine's memory", 1)
    except OSError as error:
        return tell(f"{error.filename}: {error.strerror or error}", 2)
    except Exception as error:  # whatever a run made elsewhere may hold
        told = f"{type(error).__name__}: {first_line(error)[:300]}"
        return tell(f"the report cannot be made of these runs: {told}", 1)
    for sentence in answer:
        print(f"answer: {printable(sentence)}")
    print(f"report: {printable(str(page))}")
    return 0


class _Callable(types.ModuleType):
    """This module as the function it is named after, whichever of the two an import has bound."""

    def __call__(self, *arguments: Any, **settings: Any) -> Path:
        return report(*arguments, **settings)


__signature__ = inspect.signature(report)
sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(to_the_end(main))
