"""python experiments/throughput/run.py [--tiny] [--only PART ...]: measure, and write the report."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import report
from installation import install
from measure import (
    ABLATION,
    CONTENDERS,
    OURS,
    OWN,
    ROOT,
    first_step,
    from_the_shell,
    logging_share,
    report_stages,
    training_job,
    turns,
    whole_job,
)
from works import WORKS

from kernelstudy.system.files import write_text
from kernelstudy.system.software import environment

TINY = ["+debug=tiny", "seeds=1"]
PROFILED = ("colour", "seven", "norm", "norm_colour", "residual")  # below a goal, by now
PLAIN = ("mnist", "colour", "seven")  # no norm, pools
ONE_ARM = ["batch_size=32", "log_points=2", "arms=[{init: he_normal}]"]
SIZES = {
    "nets": [2, 8, 32, 64],
    "width": [4, 8, 16, 32, 64],
    "kernel_size": [3, 5, 7, 9, 11],
    "devices": [1, 2],
}


def rates(out: Path, *, tiny: bool, works: list[str] | None = None) -> None:
    """A training step beside every form of PyTorch."""
    few = (OURS, "PyTorch eager, channels_last, 2 threads", "sgemm (NumPy)")
    for work in ["mnist"] if tiny else works or WORKS:
        less = tiny or WORKS[work].family != "plain"  # whose floor is PyTorch's eager form
        contenders = {k: v for k, v in CONTENDERS.items() if not less or k in few}
        save(turns(work, contenders, 2 if tiny else 7), out / f"rates_{work}.csv")


def ablation(out: Path, *, tiny: bool) -> None:
    """One trick taken away at a time."""
    tricks = {k: [line] for k, line in ABLATION.items() if not tiny or k == OURS}
    for work in ["mnist"] if tiny else PLAIN:
        save(turns(work, tricks, 1 if tiny else 3), out / f"ablation_{work}.csv")


def start(out: Path, *, tiny: bool) -> None:
    """Time from the command to the first training step."""
    overrides, seconds = TINY if tiny else [], {"cold": [], "warm": []}
    for _ in range(1 if tiny else 3):
        with tempfile.TemporaryDirectory() as cache:
            for kind in seconds:
                seconds[kind].append(first_step(overrides, Path(cache)))
    write_text(out / "first_step.json", json.dumps(seconds) + "\n")


def logging(out: Path, *, tiny: bool) -> None:
    """What evaluation, logging and checkpoints cost the main job, as it is by default."""
    rows = logging_share([*TINY, "steps=40"] if tiny else [], 1)
    save(pd.DataFrame(rows), out / "logging.csv", index=False)


def more_logging(out: Path, rounds: int) -> None:
    """Further rounds of `logging`, beside those that are there: each lasts five minutes."""
    whole = [pd.read_csv(out / "logging.csv"), pd.DataFrame(logging_share([], rounds))]
    save(pd.concat(whole), out / "logging.csv", index=False)


def job(out: Path, *, tiny: bool) -> None:
    """The whole main job with half of its seeds, beside plain PyTorch."""
    with tempfile.TemporaryDirectory() as place:
        seconds = whole_job(TINY if tiny else ["seeds=5"], Path(place))
    write_text(out / "whole_job.json", json.dumps(seconds) + "\n")


def shell(out: Path, *, tiny: bool, before: Path | None = None) -> None:
    """`report` of a finished run and `compare` of a small file, from the shell."""
    # A report takes as long after 200 steps as after all of them: it shows the same number of log points.
    seconds = from_the_shell(TINY if tiny else ["steps=200"], 1 if tiny else 5, before)
    write_text(out / "shell.json", json.dumps(seconds) + "\n")


def profile(out: Path, *, tiny: bool) -> None:
    """Why goals are missed: networks of ever more layers, and the parts of a report."""
    for work, settings in WORKS.items():
        if work != "mnist" if tiny else work not in PROFILED:
            continue
        least = 2 if settings.residual else 1
        depths = {str(d): [f"ours depth={d}"] for d in range(least, settings.depth + 1)}
        depths["sgemm"] = ["sgemm"]
        save(turns(work, depths, 1 if tiny else 3), out / f"profile_{work}.csv")
    stages = report_stages(TINY if tiny else ["steps=200"], 1 if tiny else 3)
    save(stages, out / "stages.csv", index=False)


def installation(out: Path, *, tiny: bool) -> None:
    """What `pip install -e .` takes and brings."""
    seconds, sizes = install(ROOT, venvs=1 if tiny else 3)
    write_text(out / "install.json", json.dumps({"cold": seconds[:1], "warm": seconds[1:]}) + "\n")
    save(sizes, out / "install.csv", index=False)


def scaling(out: Path, *, tiny: bool) -> None:
    """The rate against the size of each part; time, compilation and memory against networks and steps."""
    rows = []
    for key, values in {"devices": [1]}.items() if tiny else SIZES.items():
        found = turns("mnist", {str(v): [f"ours {key}={v}"] for v in values}, 1 if tiny else 3)
        rows += [(key, v, found[str(v)].median()) for v in values]
    save(pd.DataFrame(rows, columns=["of", "value", "rate"]), out / "scaling.csv", index=False)
    jobs = [("nets", n, n, 16, []) for n in ([4] if tiny else [10, 100, 1000, 4000])]
    if not tiny:
        jobs += [("steps", s, 16, s, []) for s in (16, 64, 256, 1024)]
        # On a CPU 1,000 networks of this kind are 0.5 GiB: a limit that they do not fit, and one they do.
        jobs += [(f"memory_gib={g}", 1000, 1000, 16, [f"memory_gib={g}"]) for g in (0.05, 8)]
    rows = []
    for key, value, nets, steps, more in jobs:
        print(f"  a training of {nets} networks, {steps} steps {' '.join(more)}", flush=True)
        words = [*ONE_ARM, f"seeds={nets}", f"steps={steps}", *more]
        rows.append({"of": key, "value": value, **training_job(words)})
    save(pd.DataFrame(rows), out / "jobs.csv", index=False)


def own(out: Path, *, tiny: bool) -> None:
    """A network of one's own beside the built-in one that computes the same."""
    for work in ["mnist"] if tiny else ("mnist", "colour", "norm"):
        # XLA's convolutions take minutes a round of the larger images
        shown = {k: v for k, v in OWN.items() if work != "colour" or "XLA" not in k}
        save(turns(work, shown, 1 if tiny else 5), out / f"own_{work}.csv")


PARTS: dict[str, Callable[..., None]] = {
    "rates": rates,
    "start": start,
    "logging": logging,
    "job": job,
    "report": shell,
    "install": installation,
    "ablation": ablation,
    "scaling": scaling,
    "profile": profile,
    "own": own,
}
TABLE = list(PARTS)[:6]  # what has a floor: half an hour


def save(frame: pd.DataFrame, path: Path, *, index: bool = True) -> None:
    write_text(path, frame.to_csv(index=index, float_format="%.6g"))


def elsewhere(out: Path, name: str, words: str, *, tiny: bool) -> None:
    """The rates on a machine other than that of the tables in `out`, in a folder of its own."""
    folder, began = out / name, time.perf_counter()
    folder.mkdir(exist_ok=True)
    rates(folder, tiny=tiny)
    took = {"seconds": round(time.perf_counter() - began, 1)}
    facts = {"rates": {**took, **environment(), "processor": words}}
    write_text(folder / "provenance.json", json.dumps(facts, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a minute, to see that all runs")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=PARTS,
        help="measure these parts and keep the tables of the others; none: write the report again",
    )
    parser.add_argument(
        "--more-logging", type=int, default=0, metavar="N", help="add N rounds to those of logging"
    )
    parser.add_argument(
        "--works", nargs="*", default=[], choices=WORKS, help="measure the rates of these alone"
    )
    parser.add_argument(
        "--before", type=Path, metavar="TREE", help="an older checkout: its report and compare, too"
    )
    parser.add_argument(
        "--machine",
        nargs=2,
        metavar=("NAME", "WORDS"),
        help="measure the rates alone, for a section on this machine: a folder's name, what it is",
    )
    given = parser.parse_args()
    chosen = given.only if not given.machine else []
    if chosen is None:
        # the others are whole commands, which the tests run; logging trains as scaling does
        chosen = ["rates", "scaling"] if given.tiny else TABLE
    out = Path(tempfile.mkdtemp()) if given.tiny else ROOT / "results" / "throughput"
    out.mkdir(parents=True, exist_ok=True)
    known = out / "provenance.json"
    facts = json.loads(known.read_text()) if known.exists() else {}
    for name in chosen:
        print(f"{name}: {PARTS[name].__doc__}", flush=True)
        began = time.perf_counter()
        more = {"before": given.before.resolve()} if given.before and name == "report" else {}
        PARTS[name](out, tiny=given.tiny, **more)
        facts[name] = {"seconds": round(time.perf_counter() - began, 1), **environment()}
        write_text(known, json.dumps(facts, indent=2) + "\n")
    if given.machine:
        elsewhere(out, *given.machine, tiny=given.tiny)
    if given.works:
        began = time.perf_counter()
        rates(out, tiny=False, works=given.works)
        took = {"seconds": round(time.perf_counter() - began, 1)}
        facts[f"rates of {', '.join(given.works)}"] = {**took, **environment()}
        write_text(known, json.dumps(facts, indent=2) + "\n")
    if given.more_logging:
        more_logging(out, given.more_logging)
    print(f"report: {report.write(out, facts)}")


if __name__ == "__main__":
    main()
