"""python experiments/throughput/run.py [--tiny] [--scaling] [--only]: measure, and write the report."""

import argparse
import json
import tempfile
from pathlib import Path

import pandas as pd
import report
from measure import (
    ABLATION,
    CONTENDERS,
    ROOT,
    first_step,
    logging_share,
    peak_of,
    rates,
    whole_job,
)
from worker import WORKS

from kernelstudy.runs import environment, write_text


def table(out: Path, tiny: bool) -> None:
    """Everything that has a floor: rates beside PyTorch's, the ablation, the first step, the job."""
    few = ("kernelstudy", "PyTorch eager, channels_last, 2 threads", "sgemm (NumPy)")
    contenders = {k: v for k, v in CONTENDERS.items() if not tiny or k in few}
    for work in ["mnist"] if tiny else WORKS:
        print(f"{work}: in turn with PyTorch", flush=True)
        save(rates(work, contenders, 2 if tiny else 7), out / f"rates_{work}.csv")
    if not tiny:
        print("mnist: tricks taken away one at a time", flush=True)
        tricks = {name: [line] for name, line in ABLATION.items()}
        save(rates("mnist", tricks, 3), out / "ablation_mnist.csv")
    print("time to the first training step", flush=True)
    overrides = ["seeds=1", "+debug=tiny"] if tiny else []
    with tempfile.TemporaryDirectory() as cache:
        seconds = {"cold": [], "warm": []}
        seconds["cold"].append(first_step(overrides, Path(cache)))
        seconds["warm"] += [first_step(overrides, Path(cache)) for _ in range(1 if tiny else 3)]
    for _ in range(0 if tiny else 2):
        with tempfile.TemporaryDirectory() as fresh:
            seconds["cold"].append(first_step(overrides, Path(fresh)))
    write_text(out / "first_step.json", json.dumps(seconds) + "\n")
    print("what logging costs", flush=True)
    share = logging_share(["seeds=1", *(["+debug=tiny"] if tiny else [])], 1 if tiny else 3)
    write_text(out / "logging.json", json.dumps(share) + "\n")
    print("the whole job, beside plain PyTorch", flush=True)
    with tempfile.TemporaryDirectory() as place:
        job = whole_job(["+debug=tiny", "seeds=1"] if tiny else ["seeds=5"], Path(place))
    write_text(out / "whole_job.json", json.dumps(job) + "\n")


def scaling(out: Path, tiny: bool) -> None:
    """How the rate changes with the size of each part, and time and memory with networks and steps."""
    sizes = {
        "nets": [2, 8, 32, 128],
        "width": [4, 8, 16, 32, 64],
        "kernel_size": [3, 5, 7, 9, 11],
        "devices": [1, 2],
    }
    if tiny:
        sizes = {"devices": [1, 2]}
    rows = []
    for key, values in sizes.items():
        print(f"rate against {key}", flush=True)
        lines = {str(value): [f"ours {key}={value}"] for value in values}
        found = rates("mnist", lines, 1 if tiny else 5)
        rows += [(key, int(v), found[str(v)].median()) for v in values]
    save(pd.DataFrame(rows, columns=["of", "value", "rate"]), out / "scaling.csv", index=False)
    rows = []
    base = ["batch_size=32", "log_points=2", "arms=[{init: he_normal}]"]
    jobs = [("nets", n, n, 16) for n in ([2, 4] if tiny else [10, 100, 1000, 4000])]
    jobs += [("steps", s, 16, s) for s in ([] if tiny else [16, 64, 256, 1024])]
    for key, value, nets, steps in jobs:
        print(f"a whole training with {nets} nets and {steps} steps", flush=True)
        seconds, gib = peak_of([*base, f"seeds={nets}", f"steps={steps}"])
        rows.append((key, value, seconds, gib))
    jobs = [] if tiny else [("memory_gib=0.25", 1000), ("memory_gib=8", 1000)]
    for setting, nets in jobs:
        seconds, gib = peak_of([*base, f"seeds={nets}", "steps=16", setting])
        rows.append((setting, nets, seconds, gib))
    columns = ["of", "value", "seconds", "peak_gib"]
    save(pd.DataFrame(rows, columns=columns), out / "jobs.csv", index=False)


def save(frame: pd.DataFrame, path: Path, *, index: bool = True) -> None:
    write_text(path, frame.to_csv(index=index, float_format="%.6g"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that all runs")
    parser.add_argument("--scaling", action="store_true", help="the scaling part alone")
    parser.add_argument("--only", action="store_true", help="the report alone, from the tables")
    given = parser.parse_args()
    out = Path(tempfile.mkdtemp()) if given.tiny else ROOT / "results" / "throughput"
    out.mkdir(parents=True, exist_ok=True)
    if not given.only:
        if given.tiny or not given.scaling:
            table(out, given.tiny)
        if given.tiny or given.scaling:
            scaling(out, given.tiny)
        write_text(out / "provenance.json", json.dumps(environment(), indent=2) + "\n")
    print(f"report: {report.write(out)}")


if __name__ == "__main__":
    main()
