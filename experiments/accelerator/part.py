"""python part.py PART OUT [--tiny]: one part of the check, in a process of its own; its rows go to OUT.

A part by itself, for a device's memory is given back only when a process ends, and what kills the process
is then one row of the report.
"""

import argparse
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

from rows import FAILS, Row

PARTS = ("equality", "training", "again", "rates", "torch_rates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    # Determinism and memory are to be measured of programs that this process has compiled.
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    with given.out.open("w", encoding="utf-8") as file:

        def tell(row: Row) -> None:
            file.write(json.dumps(row._asdict()) + "\n")
            file.flush()
            print(f"  {row.status:9} {row.check}: {row.said}", flush=True)

        began = time.perf_counter()
        try:
            for row in importlib.import_module(given.part).rows(given.tiny):
                tell(row)
        except Exception as error:  # a part's failure is a row
            traceback.print_exc(file=sys.stderr)
            first = (str(error).splitlines() or [""])[0][:300]
            tell(Row("the part itself", FAILS, f"{type(error).__name__}: {first}"))
        print(f"  {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
