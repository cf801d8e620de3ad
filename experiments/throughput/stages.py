"""python stages.py RUN: seconds of the parts of a run's report, as JSON; a process of its own."""

import functools
import json
import sys
import time
from pathlib import Path

START = time.perf_counter()

from kernelstudy.analysis import tables  # noqa: E402 (imports are one of the parts)
from kernelstudy.reporting import deep_words, drawing, page  # noqa: E402
from kernelstudy.runs import directory, measures, report  # noqa: E402

SECONDS = {"imports": time.perf_counter() - START}


def timed(module, name: str, part: str) -> None:
    """Add what a function takes to a part."""
    function = getattr(module, name)

    @functools.wraps(function)
    def wrapper(*words, **settings):
        start = time.perf_counter()
        try:
            return function(*words, **settings)
        finally:
            SECONDS[part] = SECONDS.get(part, 0.0) + time.perf_counter() - start

    setattr(module, name, wrapper)


def main() -> None:
    for module, name, part in (
        (directory, "read_trajectory", "reading and checking the trajectory"),
        (measures, "measure_trajectory", "measures of the first layer"),
        (measures, "judge_arms", "measures of the first layer"),
        (measures, "final_matches", "measures of the first layer"),
        (measures, "measure_deep", "measures of deeper layers"),
        (measures, "count_arms", "tables, with their intervals and tests"),
        (tables, "summary", "tables, with their intervals and tests"),
        (tables, "tests", "tables, with their intervals and tests"),
        (directory, "write_dataset", "writing analysis.zarr"),
        (deep_words, "draw", "laying out figures of deeper layers"),
        (report, "kernels_gif", "the animation"),
        (drawing, "_make_and_save", "figures drawn here, while a second process draws the others"),
        (report, "_content", "words and the explorer's data"),
        (page, "write", "writing the page"),
    ):
        timed(module, name, part)
    report.build(Path(sys.argv[1]))
    whole = time.perf_counter() - START
    SECONDS["the rest"] = whole - sum(SECONDS.values())
    print(json.dumps({**SECONDS, "all": whole}))


if __name__ == "__main__":
    main()
