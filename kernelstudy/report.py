"""python -m kernelstudy.report RUN [RUN ...] [--out DIR]: a run's report, or one over many. Needs no JAX."""

import sys
from pathlib import Path

from rich.console import Console

from kernelstudy.studies.sweep_report import report
from kernelstudy.system import limits
from kernelstudy.system.commandline import Parser, to_the_end
from kernelstudy.system.errors import InputError, RunError, first_line, printable


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
        status = Console(stderr=True).status("measuring and drawing")
        with status, limits.memory_bound(limits.memory() // 2):
            page = report(options.runs, out=options.out, allow_mixed=options.allow_mixed)
    except (InputError, RunError) as error:
        print(f"kernelstudy: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except MemoryError:
        print("kernelstudy: the runs need more than half of this machine's memory", file=sys.stderr)
        return 1
    except OSError as error:
        told = f"{error.filename}: {error.strerror or error}"
        print(f"kernelstudy: {printable(told)}", file=sys.stderr)
        return 2
    except Exception as error:  # whatever a run made elsewhere may hold
        told = f"{type(error).__name__}: {first_line(error)[:300]}"
        print(
            f"kernelstudy: the report cannot be made of these runs: {printable(told)}",
            file=sys.stderr,
        )
        return 1
    print(f"report: {printable(str(page))}")
    return 0


if __name__ == "__main__":
    sys.exit(to_the_end(main))
