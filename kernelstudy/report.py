"""python -m kernelstudy.report RUN [RUN ...] [--out DIR]: a run's report, or one over many. Needs no JAX."""

import sys
from pathlib import Path

from rich.console import Console

from kernelstudy.studies.sweep_report import report
from kernelstudy.system.commandline import Parser, to_the_end
from kernelstudy.system.errors import InputError, RunError


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 2 wrong input."""
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
        with Console(stderr=True).status("measuring and drawing"):
            page = report(options.runs, out=options.out, allow_mixed=options.allow_mixed)
    except (InputError, RunError) as error:
        print(f"kernelstudy: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except OSError as error:
        print(f"kernelstudy: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(to_the_end(main))
