"""python experiments/filter_throughput/run.py [--tiny]: measure, and write the report."""

import argparse
import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pandas as pd
from contenders import BANK, Contender, contenders
from matplotlib.figure import Figure
from scipy import ndimage

from kernelstudy.reporting.style import styled
from kernelstudy.system.files import replacing, write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
FLOOR, GOAL, SCIPY_FLOOR = 1.1, 1.5, 10.0
OPENCV_CALL = "OpenCV filter2D, 2 threads"
JOBS = {"64 images of 512 x 512": (64, 512, 512), "one image of 4096 x 4096": (1, 4096, 4096)}
TINY = {"8 images of 64 x 64": (8, 64, 64), "one image of 256 x 256": (1, 256, 256)}


def measure(shape: tuple[int, int, int], rounds: int) -> pd.DataFrame:
    """Output pixels per second, one row a round and one column a contender; and the errors."""
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    runners = contenders(images, slow=min(4, shape[0]))
    for runner in runners.values():  # compile, and touch the memory
        runner.run()
        runner.run()
    rng = np.random.default_rng(1)
    rates = pd.DataFrame(index=range(rounds), columns=list(runners), dtype=float)
    for turn in range(rounds):
        for name in rng.permutation(list(runners)):
            start = time.perf_counter()
            runners[name].run()
            rates.loc[turn, name] = runners[name].pixels / (time.perf_counter() - start)
    rates.attrs["error"] = errors(images[0], runners)
    return rates


def errors(image: np.ndarray, runners: dict[str, Contender]) -> dict[str, float]:
    """Largest difference from SciPy in double precision, in units of the largest map value."""
    exact = [ndimage.correlate(image.astype(float), k, mode="constant") for k in BANK.values()]
    whole = np.stack(exact, axis=-1)
    found = {}
    for name, runner in runners.items():
        if runner.maps is not None:
            runner.run()
            maps = runner.maps()
            wanted = whole if maps.shape == whole.shape else whole[1:-1, 1:-1]
            found[name] = float(np.abs(maps - wanted).max() / np.abs(whole).max())
    return found


def table(rates: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of the rate in Mpix/s, and its ratios to OpenCV's best and SciPy's."""
    peers = [n for n in rates if n.startswith("OpenCV")]
    best = rates[peers].median().idxmax()
    low, middle, high = (rates.quantile(q) / 1e6 for q in (0.25, 0.5, 0.75))
    rows = pd.DataFrame({"median": middle, "lower_quartile": low, "upper_quartile": high})
    rows["ratio_to_opencv"] = rates.div(rates[best], axis=0).median()
    rows["ratio_to_opencv_call"] = rates.div(rates[OPENCV_CALL], axis=0).median()
    rows["ratio_to_scipy"] = rates.div(rates["SciPy ndimage.correlate, 2 threads"], axis=0).median()
    rows["largest_error"] = pd.Series(rates.attrs["error"])
    rows.attrs["best_opencv"] = best
    return rows.sort_values("median", ascending=False).rename_axis("contender")


def verdict(job: str, rows: pd.DataFrame) -> str:
    same = [n for n in rows.index if n.startswith("kernelstudy out=, same")]
    ours = rows.loc[same, "median"].idxmax()
    to_opencv, to_scipy = rows.loc[ours, "ratio_to_opencv"], rows.loc[ours, "ratio_to_scipy"]
    to_call = rows.loc[ours, "ratio_to_opencv_call"]
    reached = "above the goal of" if to_call >= GOAL else "below the goal of"
    floor = "above" if to_call >= FLOOR else "BELOW"
    valid = max(n for n in rows.index if n.startswith("kernelstudy out=, valid"))
    limit = rows.loc["(limit) kernelstudy, eight 1 x 1 kernels", "median"]
    peer = rows.attrs["best_opencv"]
    return (
        f"**{job}.** {ours}: {rows.loc[ours, 'median']:,.0f} Mpix/s, {to_call:.2f} times OpenCV's "
        f"filter2D with two threads and preallocated maps "
        f"({rows.loc[OPENCV_CALL, 'median']:,.0f} Mpix/s): {floor} the floor of {FLOOR} and "
        f"{reached} {GOAL}. It is {to_opencv:.2f} times the fastest form that OpenCV could be "
        f"given by hand ({peer}, {rows.loc[peer, 'median']:,.0f} Mpix/s); without borders "
        f"({valid}) that ratio is {rows.loc[valid, 'ratio_to_opencv']:.2f}. "
        f"It is {to_scipy:.0f} times SciPy with two threads (floor {SCIPY_FLOOR:.0f}) and "
        f"{rows.loc[ours, 'median'] / limit:.0%} of what the same pass writes with 1 x 1 kernels, "
        "which have no neighbours to add."
    )


def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    with styled(), mpl.rc_context({"axes.grid.axis": "x"}):
        most = max(len(rows) for rows in tables.values())
        figure = Figure(figsize=(13, 0.32 * most + 1.2))
        for axes, (job, rows) in zip(figure.subplots(1, len(tables)), tables.items(), strict=True):
            colours = [
                "#0072B2"
                if n.startswith("kernelstudy")
                else "#E69F00"
                if n.startswith("OpenCV")
                else "#9aa0a6"
                if n.startswith("(")
                else "#666666"
                for n in rows.index
            ]
            spread = [
                rows["median"] - rows["lower_quartile"],
                rows["upper_quartile"] - rows["median"],
            ]
            axes.barh(rows.index, rows["median"], color=colours, xerr=spread, ecolor="#333333")
            for place, (rate, end) in enumerate(
                zip(rows["median"], rows["upper_quartile"], strict=True)
            ):
                axes.text(end, place, f"  {rate:,.0f}", va="center", fontsize=8)
            axes.invert_yaxis()
            axes.set_xlim(0, 1.15 * rows["upper_quartile"].max())
            axes.set_title(job)
            axes.set_xlabel("output Mpix/s (median, quartiles)")
    return figure


def report(tables: dict[str, pd.DataFrame], rounds: int, figure: str) -> str:
    parts = [
        "# How fast is a bank of 3 x 3 kernels, and what limits it?",
        f"Eight kernels ({', '.join(BANK)}), float32, zero padding unless 'valid' is said; rates "
        f"count output pixels. Medians of {rounds} interleaved rounds on {os.cpu_count()} cores. "
        "The question, the hypothesis and the command: "
        "[experiments/filter_throughput](../../experiments/filter_throughput/README.md).",
        *(verdict(job, rows) for job, rows in tables.items()),
        f"![rates]({figure})",
    ]
    for job, rows in tables.items():
        parts += [f"## {job}", _markdown(rows)]
    return "\n\n".join([*parts, NOTES]) + "\n"


def _markdown(rows: pd.DataFrame) -> str:
    lines = [
        "| contender | Mpix/s | quartiles | / best OpenCV | / SciPy | largest error |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.iterrows():
        error = "" if np.isnan(row.largest_error) else f"{row.largest_error:.0e}"
        quartiles = f"{row.lower_quartile:,.0f} to {row.upper_quartile:,.0f}"
        lines.append(
            f"| {name} | {row['median']:,.0f} | {quartiles} | {row.ratio_to_opencv:.2f} "
            f"| {row.ratio_to_scipy:.1f} | {error} |"
        )
    return "\n".join(lines)


NOTES = """## How it is done, and what limits it

- `maps = apply_bank(images, group, out=maps)`: the result goes into the memory of an earlier
  result, which is donated. Fresh memory costs page faults (see its row).
- The K maps are the last axis, so one pixel's K sums are one vector: each tap is one broadcast load
  and one multiply-add for all kernels, and the pass writes whole vectors in order.
- 'same' writes the interior straight from the images and then four thin borders: a padded copy of
  the images would be fresh memory again. 'valid' is the interior alone.
- One CPU device per core (`jax_num_cpu_devices`) and `spread(images)` give each core its own
  images, or its own band of rows of a single image; neighbours exchange their edges.
- The limit is writing: the rows marked '(limit)' write as many bytes without filtering; a copy also
  reads as many.
- 'largest error': against SciPy in double precision, relative to the largest map value; empty
  where a contender is there for its rate only. Rows '(other depth)' are other work than float32 to
  float32.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="small images, few rounds: a smoke test"
    )
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "filter_throughput")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # before the first use of JAX
    rounds = options.rounds or (3 if options.tiny else 25)
    tables = {}
    for job, shape in (TINY if options.tiny else JOBS).items():
        tables[job] = table(measure(shape, rounds))
        print(f"\n{job}\n{tables[job].round(2).to_string()}", flush=True)
    with replacing(options.out / "rates.png") as temporary:
        draw(tables).savefig(temporary, dpi=150)
    long = pd.concat(tables, names=["job"]).round(4)
    write_text(options.out / "rates.csv", long.to_csv(lineterminator="\n"))
    peers = ("opencv-python-headless", "scipy", "scikit-image", "torch")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    provenance = {
        **environment(),
        "processor": platform.processor() or platform.machine(),
        "peers": {name: found[name] for name in peers if name in found},
        "rounds": rounds,
        "tiny": options.tiny,
    }
    write_text(options.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")
    write_text(options.out / "report.md", report(tables, rounds, "rates.png"))
    print(f"report: {options.out / 'report.md'}")


if __name__ == "__main__":
    main()
