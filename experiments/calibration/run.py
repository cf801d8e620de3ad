"""Run the calibration and write tables, figures and report; see README.md beside this file."""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: threads only cost

import false_positives
import figures
import kinds
import mean_intervals
import mean_tests
import mixtures
import nested_data
import pandas as pd
import power
import report
import simulate
import training_control

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "results/runs/calibration"


def parts(*, tiny: bool, studies: int) -> dict:
    """What each part computes: a name -> a function that returns {table: DataFrame}."""
    sizes, steps = ((3,), 4) if tiny else ((3, 5, 7), 150)
    snrs = power.SNRS[::4] if tiny else power.SNRS
    networks = (6, 10) if tiny else nested_data.NETWORKS

    def control():
        targets = training_control.TARGETS[:1] if tiny else training_control.TARGETS
        results, paths = training_control.run(30 if tiny else 2500, targets=targets)
        return {"training_control": results, "training_paths": paths}

    return {
        "false_positives": lambda: {
            "false_positives": false_positives.run(studies, CACHE, sizes=sizes, steps=steps)
        },
        "power": lambda: {"power": power.run(studies, snrs=snrs)},
        "coverage": lambda: {"coverage": nested_data.run(studies, networks=networks)},
        "mean_intervals": lambda: {
            "mean_intervals": mean_intervals.run(4 * studies, networks=networks)
        },
        "training_control": control,
        "mixtures": lambda: {"mixtures": mixtures.run(studies)},
        "mean_tests": lambda: {"mean_tests": mean_tests.run(4 * studies)},
        "kinds": lambda: {"kinds": kinds.chance(studies, CACHE, sizes=sizes, steps=steps)},
        "kinds_planted": lambda: {
            "kinds_planted": kinds.mixtures(studies, sizes=(3,) if tiny else (3, 7))
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="seconds; checks that all parts run")
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a cell")
    parser.add_argument("--out", type=Path, help="default: results/calibration")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=parts(tiny=True, studies=0),
        help="run these parts and keep the tables of the others; none: write the report again",
    )
    options = parser.parse_args()
    studies = 3 if options.tiny else options.studies
    out = options.out or (
        Path(tempfile.mkdtemp(prefix="calibration-"))
        if options.tiny
        else ROOT / "results/calibration"
    )
    out.mkdir(parents=True, exist_ok=True)
    known = out / "provenance.json"
    facts = json.loads(known.read_text()) if known.exists() else {"parts": {}}
    for name, compute in parts(tiny=options.tiny, studies=studies).items():
        if options.only is not None and name not in options.only:
            continue
        print(name, flush=True)
        before = time.perf_counter()
        for table, found in compute().items():
            found.to_csv(out / f"{table}.csv", index=False, float_format="%.6g")
        facts["parts"][name] = provenance(studies, time.perf_counter() - before)
        known.write_text(json.dumps(facts, indent=2) + "\n")
    render(out, facts)
    print(f"report: {out / 'report.md'}")


def provenance(studies: int, seconds: float) -> dict:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "command": "python experiments/calibration/run.py",
        "studies": studies,
        "seconds": round(seconds, 1),
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one used",
        "versions": {name: version(name) for name in ("numpy", "scipy", "jax", "flax", "pandas")},
        "photographs": "scikit-image: " + ", ".join(simulate.PHOTOS),
        "digits": "mnist5k",
    }


def render(out: Path, facts: dict) -> None:
    """Figures and report from the tables in `out`."""
    names = (
        *("false_positives", "power", "coverage", "mean_intervals"),
        *("training_control", "training_paths", "mixtures", "mean_tests"),
        *("kinds", "kinds_planted"),
    )
    tables = {name: pd.read_csv(out / f"{name}.csv") for name in names}
    figures.save(figures.false_positives(tables["false_positives"]), out, "false_positives")
    figures.save(figures.power(tables["power"]), out, "power")
    figures.save(figures.bias_and_coverage(tables["power"]), out, "bias_and_coverage")
    figures.save(figures.coverage(tables["coverage"]), out, "coverage")
    figures.save(figures.training(tables["training_paths"]), out, "training_control")
    report.write(out, tables, facts)


if __name__ == "__main__":
    main()
