"""python experiments/redrawn/sources.py RUN [RUN ...]: the sources, put where the arms read them.

A run goes, as a copy, to <runs>/redrawn_<data set>/learned/own if it has the seeds of `redrawn`, else to
<runs>/redrawn_<data set>/learned/others.
"""

import shutil
import sys
from pathlib import Path

from kernelstudy import runs

OWN = 0  # a seed that only `own` has


def place(run: Path) -> Path:
    """Where a run belongs, beside the directory <runs>/redrawn_source that holds it."""
    settings = runs.read_settings(run)
    role = "own" if OWN in settings.seed_list else "others"
    return run.absolute().parents[1] / f"redrawn_{settings.data.name}" / "learned" / role


def main(words: list[str]) -> int:
    for run in map(Path, words):
        if not runs.is_done(run):
            print(f"{run} is not finished", file=sys.stderr)
            return 2
        target = place(run)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target)
        print(f"{run} -> {target.parents[1].name}/learned/{target.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
