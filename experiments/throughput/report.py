"""results/throughput/report.md and its figures, from the tables beside it."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import ours
import pandas as pd
from matplotlib.figure import Figure
from measure import OURS
from tables import installed, markdown, told, whole_job
from works import WORKS, flop_an_image

from kernelstudy.reporting.style import ARM_COLOURS, styled
from kernelstudy.system.files import replacing, write_text

SGEMM = "sgemm (NumPy)"
FLOORS = {  # over the best form of PyTorch, and the goal
    "mnist": (2.5, 2.5),
    "colour": (1.64, 2.0),
    "seven": (1.8, 2.2),
    **dict.fromkeys(("vgg", "resnet", "convnext"), (1.0, 1.4)),
    **dict.fromkeys(("norm", "norm_colour", "residual", "stride", "stride_norm"), (1.4, 2.0)),
}
SHELL = {  # floor: half of what it took before, measured in turn; goal
    "report": ("`report` of a finished run, from the shell", 5.0),
    "compare": ("`compare` of a file of 64 5x5 kernels, from the shell", 3),
}
OF_SGEMM = {"mnist": (0.6, 0.75), "colour": (0.56, 0.75), "seven": (0.58, 0.75)}
TITLES = {
    "mnist": "mnist: 28x28x1, 3x3x16 first layer",
    "colour": "colour: 32x32x3, 5x5x32 first layer",
    "seven": "seven: 28x28x1, 7x7x16 first layer",
    "norm": "norm: mnist with batch norm",
    "norm_colour": "norm_colour: colour, three layers with batch norm",
    "residual": "residual: colour, four layers with batch norm and residuals",
    "stride": "stride: mnist with strides instead of pools",
    "stride_norm": "stride_norm: the same with batch norm",
    "vgg": "vgg: 32x32x3, three stages, batch norm",
    "resnet": "resnet: 32x32x3, three stages, batch norm",
    "convnext": "convnext: 32x32x3, patches of 3x3, two stages, layer norm",
}

LABELS = {
    "nets": "networks",
    "width": "channels of the first layer",
    "kernel_size": "kernel size",
    "devices": "devices",
    "steps": "steps",
}


def write(out: Path, facts: dict) -> Path:
    """All that the tables in `out` allow; `facts` is the provenance of each part. Returns the report's path."""
    works = [work for work in WORKS if (out / f"rates_{work}.csv").exists()]
    rates = {work: pd.read_csv(out / f"rates_{work}.csv", index_col=0) for work in works}
    seconds = {name: facts[name]["seconds"] for name in facts}
    took = ", ".join(f"{name} {value / 60:.1f} min" for name, value in seconds.items())
    text = [HEAD, f"Its parts took: {took}.\n", *floors(out, rates), *contenders(rates)]
    text += [*whole_job(out), *installed(out), *profile(out, rates)]
    text += [*elsewhere(out), *ablation(out), *own(out), *scaling(out)]
    _figure(out, "rates", draw_rates(rates))
    text += ["## Roofline", "", "![Roofline](roofline.png)", "", ROOFLINE, ""]
    _figure(out, "roofline", draw_roofline(rates))
    write_text(out / "report.md", "\n".join([*text, TAIL]))
    return out / "report.md"


def compared(found: pd.DataFrame) -> pd.DataFrame:
    """Medians, quartiles, and the median within rounds of our rate over each peer's."""
    nets = found.drop(columns=[SGEMM], errors="ignore")
    rows = nets.quantile([0.25, 0.5, 0.75]).T.set_axis(["lower", "median", "upper"], axis=1)
    rows["ours / it"] = nets.rdiv(nets[OURS], axis=0).median()
    return rows.sort_values("median", ascending=False)


def best_peer(found: pd.DataFrame) -> str:
    """Empty where PyTorch is not installed."""
    peers = found.drop(columns=[OURS, SGEMM]).median()
    return peers.idxmax() if len(peers) else ""


def floors(out: Path, rates: dict[str, pd.DataFrame]) -> list[str]:
    rows = []

    def row(work: str, floor: float, goal: float, value: float, how: str, unit: str = "x") -> None:
        met = (value <= floor, value <= goal) if unit == " s" else (value >= floor, value >= goal)
        said = "goal met" if met[1] else "floor met" if met[0] else "**below the floor**"
        shown = [f"{v:.0%}" if unit == "%" else f"{v:.3g}{unit}" for v in (floor, goal, value)]
        rows.append((work, *shown, said, how))

    for work, found in rates.items():
        if peer := best_peer(found):
            ratio = float((found[OURS] / found[peer]).median())
            alone = len(found.columns) <= 3
            label = f"{TITLES[work]}, ours / {'PyTorch eager' if alone else 'best PyTorch'}"
            row(label, *FLOORS[work], ratio, f"{'beside' if alone else 'best'}: {peer}")
        if work in OF_SGEMM:
            within = found[OURS] / found[SGEMM] * flop_an_image(WORKS[work])
            label = f"{work}: share of sgemm"
            row(label, *OF_SGEMM[work], float(within.median()), "direct FLOP", "%")
    if job := told(out, "whole_job"):
        ratio = job["PyTorch"] / job[OURS]
        how = f"{job['PyTorch']:.0f} s / {job[OURS]:.0f} s"
        row("whole job, plain PyTorch / ours", 1.8, 2.2, ratio, how)
    if (out / "logging.csv").exists():
        log = pd.read_csv(out / "logging.csv")
        share = float((log["between"] / log["training"]).median())
        whole = ", ".join(f"{each:.0%}" for each in log["logged"] / log["bare"] - 1)
        said = "limit kept" if share <= 0.1 else "**above the limit**"
        label = "evaluation, logging and checkpoints, of training time"
        how = f"between dispatches / in them, {len(log)} rounds; beside runs without: {whole}"
        rows.append((label, "10%", "", f"{share:.1%}", said, how))
    for kind, seconds in told(out, "first_step").items():
        label = f"first training step, {kind} compilation cache"
        floor, goal = {"cold": (8, 6), "warm": (5, 4)}[kind]
        row(label, floor, goal, float(np.median(seconds)), "median", " s")
    shell = {name: np.median(seconds) for name, seconds in told(out, "shell").items()}
    for name, (label, goal) in SHELL.items():
        if name in shell:
            before = shell.get(f"before: {name}", np.nan)
            how = f"medians, in turn; before: {before:.3g} s"
            row(label, float(before / 2), goal, float(shell[name]), how, " s")
    if seconds := told(out, "install"):
        sizes = pd.read_csv(out / "install.csv")
        megabytes = float(sizes.set_index("dependency").loc["total", "whole"])
        took = ", ".join(f"{s:.0f} s" for s in seconds["warm"] or seconds["cold"])
        said = "goal met" if megabytes <= 1000 else "**above the goal**"
        label = "installed by `pip install -e .`"
        rows.append((label, "", "1,000 MB", f"{megabytes:,.0f} MB", said, f"by a warm pip: {took}"))
    columns = ["work", "floor", "goal", "measured", "", "how"]
    return ["## The floors", "", markdown(pd.DataFrame(rows, columns=columns)), "", LOGGED, ""]


def contenders(rates: dict[str, pd.DataFrame]) -> list[str]:
    text = ["## Every form", "", "![Rates](rates.png)", ""]
    for work, found in rates.items():
        rows = compared(found)
        rows[["lower", "median", "upper"]] = rows[["lower", "median", "upper"]].map(
            "{:,.0f}".format
        )
        rows["ours / it"] = rows["ours / it"].map("{:.2f}".format)
        gigaflop = found[SGEMM].median() / 1e9
        text += [
            f"{TITLES[work]}; net-images/s, {len(found)} rounds; sgemm {gigaflop:.0f} GF/s",
            "",
        ]
        text += [markdown(rows.rename_axis("form").reset_index()), ""]
    return text


def profile(out: Path, rates: dict[str, pd.DataFrame]) -> list[str]:
    """Where the time goes of what misses its goal."""
    rows = []
    for work in rates:
        if (table := told_csv(out, f"profile_{work}")) is None:
            continue
        depths = [name for name in table.columns if name.isdecimal()]
        before = 0.0
        for depth in depths:
            settings = WORKS[work]._replace(depth=int(depth))
            microseconds = float(1e6 / table[depth].median())
            ideal = float(1e6 * flop_an_image(settings) / table["sgemm"].median())
            share = (microseconds - before) / (1e6 / table[depths[-1]].median())
            ratio = f"{microseconds / ideal:.1f}"
            rows.append((work, depth, f"{microseconds:.1f}", f"{share:.0%}", f"{ideal:.1f}", ratio))
            before = microseconds
    text = []
    if rows:
        columns = [
            "work",
            "layers",
            "us an image",
            "of the whole, this layer",
            "by sgemm alone",
            "ratio",
        ]
        text = [
            "## Where the time of a step goes",
            "",
            PROFILE,
            "",
            markdown(pd.DataFrame(rows, columns=columns)),
            "",
        ]
    if (stages := told_csv(out, "stages")) is not None:
        seconds = stages.median()
        parts = seconds.drop("all").sort_values(ascending=False)
        shown = [
            (name, f"{value:.2f}", f"{value / seconds['all']:.0%}") for name, value in parts.items()
        ]
        text += ["## Where the seconds of a report go", "", STAGES, ""]
        text += [markdown(pd.DataFrame(shown, columns=["of the report", "seconds", "share"])), ""]
    return text


def told_csv(out: Path, name: str) -> pd.DataFrame | None:
    path = out / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else None


def elsewhere(out: Path) -> list[str]:
    """The rates on other machines, a section each."""
    text = []
    for place in sorted(out.glob("*/provenance.json")):
        facts, rows = json.loads(place.read_text())["rates"], []
        for work in WORKS:
            if (found := told_csv(place.parent, f"rates_{work}")) is None:
                continue
            found = found.drop(columns="Unnamed: 0")
            peer = best_peer(found)
            ratio = float((found[OURS] / found[peer]).median()) if peer else np.nan
            middles = found.median()
            rates = [f"{middles[name]:,.0f}" for name in (OURS, peer) if name]
            floor = FLOORS[work][0]
            said = "floor met" if ratio >= floor else "**below the floor**"
            gigaflop, share = f"{middles[SGEMM] / 1e9:.0f}", ""
            if work in OF_SGEMM:
                direct = flop_an_image(WORKS[work])
                share = f"{float((found[OURS] / found[SGEMM]).median()) * direct:.0%}"
            rows.append((work, *rates, peer, f"{ratio:.2f}x", f"{floor:.3g}x", said))
            rows[-1] += (gigaflop, share)
        columns = ["work", "ours", "best PyTorch", "which", "ratio", "floor", "", "sgemm, GF/s"]
        met = sum(row[6] == "floor met" for row in rows)
        text += [f"## On another machine: {facts['processor']}", ""]
        text += [
            f"The rates alone, measured in turn as above in one go ({facts['seconds'] / 60:.0f} minutes, "
            f"commit {facts['git_commit'][:12]}): {met} of {len(rows)} floors are met there.",
            "",
            markdown(pd.DataFrame(rows, columns=[*columns, "share of it"])),
            "",
        ]
    return text


def ablation(out: Path) -> list[str]:
    text = ["## One trick taken away at a time", "", ABLATED, ""]
    for path in sorted(out.glob("ablation_*.csv")):
        found = pd.read_csv(path, index_col=0)
        rows = pd.DataFrame(
            {
                "net-images/s": found.median().map("{:,.0f}".format),
                "of the whole": found.div(found[OURS], axis=0).median().map("{:.2f}".format),
            }
        )
        work = path.stem.removeprefix("ablation_")
        text += [TITLES[work], "", markdown(rows.rename_axis(" ").reset_index()), ""]
    return text


def own(out: Path) -> list[str]:
    """Networks of one's own beside the built-in ones."""
    text = []
    for path in sorted(out.glob("own_*.csv")):
        found = pd.read_csv(path, index_col=0)
        rows = pd.DataFrame(
            {
                "net-images/s": found.median().map("{:,.0f}".format),
                "times slower": found.rdiv(found[OURS], axis=0).median().map("{:.1f}".format),
            }
        )
        work = path.stem.removeprefix("own_")
        text += [TITLES[work], "", markdown(rows.rename_axis(" ").reset_index()), ""]
    return ["## Networks of one's own", "", OWN_NETWORKS, "", *text] if text else []


def scaling(out: Path) -> list[str]:
    if not (out / "scaling.csv").exists():
        return []
    found, jobs = pd.read_csv(out / "scaling.csv"), pd.read_csv(out / "jobs.csv")
    _figure(out, "scaling", draw_scaling(found, jobs))
    text = ["## Scaling", "", "![Scaling](scaling.png)", ""]
    for of in sorted(set(jobs["of"]) & {"nets", "steps"}):
        slope = _slope(jobs[jobs["of"] == of])
        text.append(f"- Seconds of a whole training grow as {of} to the power {slope:.2f}.")
    shown = jobs.assign(
        seconds=jobs["seconds"].map("{:.1f}".format),
        compiling=jobs["compiling"].map("{:.1f}".format),
        peak_gib=jobs["peak_gib"].map("{:.2f}".format),
    )
    return [*text, "", markdown(shown), "", MEMORY, ""]


def _grown(rows: pd.DataFrame) -> pd.DataFrame:
    """Sizes and seconds above the smallest job's (start and compilation), where these are a quarter of it."""
    first, *_ = rows.sort_values("value").itertuples()
    grown = pd.DataFrame(
        {"value": rows["value"] - first.value, "seconds": rows["seconds"] - first.seconds}
    )
    return grown[grown["seconds"] > first.seconds / 4]


def _slope(rows: pd.DataFrame) -> float:
    """Log-log slope of `_grown`."""
    grown = np.log(_grown(rows))
    return float(np.polyfit(grown["value"], grown["seconds"], 1)[0]) if len(grown) > 1 else np.nan


def draw_rates(rates: dict[str, pd.DataFrame]) -> Figure:
    with styled():
        across, down = min(len(rates), 2), -(-len(rates) // 2)
        figure = Figure(figsize=(12, 2.6 * down + 0.4), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes in grid[len(rates) :]:
            axes.set_visible(False)
        for axes, (work, found) in zip(grid, rates.items(), strict=False):
            rows = compared(found)[::-1]
            colours = ["#0072B2" if name == OURS else "#9aa0a6" for name in rows.index]
            spread = [rows["median"] - rows["lower"], rows["upper"] - rows["median"]]
            axes.barh(rows.index, rows["median"], color=colours, xerr=spread, ecolor="#333333")
            axes.set_title(
                TITLES[work].removesuffix(" first layer").replace(": ", "\n"), fontsize=9
            )
            axes.set_xlabel("net-images/s")
            axes.locator_params(axis="x", nbins=4)
            axes.set_axisbelow(True)
            axes.tick_params(labelsize=7)
        return figure


def draw_scaling(found: pd.DataFrame, jobs: pd.DataFrame) -> Figure:
    with styled():
        kinds = list(found["of"].unique())
        figure = Figure(figsize=(12, 5.4), layout="constrained")
        grid = figure.subplots(2, max(len(kinds), 3))
        for axes, kind in zip(grid[0], kinds, strict=False):
            rows = found[found["of"] == kind]
            axes.plot(rows["value"], rows["rate"], "o-", color="#0072B2")
            axes.set(xlabel=LABELS[kind], ylabel="net-images/s", xticks=rows["value"])
            axes.set_ylim(0, 1.1 * rows["rate"].max())
        for axes, of in zip(grid[1], ("nets", "steps"), strict=False):
            rows = jobs[jobs["of"] == of]
            if rows.empty:  # the tiny form grows networks alone
                axes.remove()
                continue
            grown = _grown(rows)
            axes.loglog(
                rows["value"], rows["seconds"], "o-", color="#D55E00", label="whole training"
            )
            axes.loglog(
                rows["value"], rows["compiling"], "o:", color="#009E73", label="XLA compiling"
            )
            label = f"less the smallest: slope {_slope(rows):.2f}"
            axes.loglog(grown["value"], grown["seconds"], "s--", color="#0072B2", label=label)
            axes.legend(fontsize=7)
            axes.set(xlabel=LABELS[of], ylabel="seconds")
        rows = jobs[jobs["of"] == "nets"]
        grid[1, 2].semilogx(rows["value"], rows["peak_gib"], "o-", color="#D55E00")
        grid[1, 2].set(xlabel=LABELS["nets"], ylabel="peak memory, GiB", ylim=(0, None))
        for axes in grid[1][3:]:
            axes.remove()
        return figure


def draw_roofline(rates: dict[str, pd.DataFrame]) -> Figure:
    """Achieved against intensity, both by XLA's own count, under the measured product and copy."""
    flop_rate = float(np.median([found[SGEMM].median() for found in rates.values()])) / 1e9
    copy = _copy_rate() / 1e9
    with styled():
        figure = Figure(figsize=(5.6, 4), layout="constrained")
        axes = figure.subplots()
        x = np.geomspace(0.3, 100, 200)
        axes.loglog(x, np.minimum(flop_rate, copy * x), color="#333333")
        for colour, (work, found) in zip(ARM_COLOURS, rates.items(), strict=False):
            cost = ours.count(work)
            achieved = found[OURS].median() * cost["flop"] / 1e9
            axes.plot(cost["flop"] / cost["bytes"], achieved, "o", color=colour, label=work)
        axes.set(xlabel="FLOP a byte (XLA's count)", ylabel="GF/s")
        axes.text(12, flop_rate * 1.08, f"sgemm {flop_rate:.0f} GF/s", fontsize=8)
        axes.annotate(
            f"copy {copy:.0f} GB/s",
            (0.5, 0.5 * copy),
            (8, -4),
            textcoords="offset points",
            fontsize=8,
        )
        axes.legend(loc="lower right")
        return figure


def _copy_rate() -> float:
    """Bytes a second, read and written, of copying 256 MiB a core on all cores."""
    cores = os.cpu_count() or 1
    a, b = np.ones((cores, 2**26), np.float32), np.empty((cores, 2**26), np.float32)
    times = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(np.copyto, b, a))
            times.append(time.perf_counter() - start)
    return 2 * a.nbytes / float(np.median(times))


def _figure(out: Path, name: str, figure: Figure) -> None:
    with replacing(out / f"{name}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150)


HEAD = """# How fast is the population engine, and what limits it?

The question and the hypotheses were stated before the run:
[experiments/throughput](../../experiments/throughput/README.md). Unit: net-images a second of training,
networks x images, forward, backward and Adam, batch 128. All contenders of a table run in turn, round
by round, in an order drawn anew, each in a process of its own; rates are medians, ratios are medians of
the ratios within rounds. Every number is read from the tables beside this file.
"""
PROFILE = """The same network with its first layers alone, their pools, norms and the dense layer behind
them included, in turn; beside it what the direct FLOP of it would take at the rate of sgemm. Where a network
misses its goal of twice the best PyTorch form, this is where its time is."""
STAGES = """A process of its own, medians of three, from its first import on; a second process, which draws, is
beside it, so that the parts share two cores."""
LOGGED = """What logging costs is the time between training dispatches over the time in them, of the same run,
up to the last dispatch. Runs beside it that log nothing are compared by seconds a step: that holds what works
in the background (a checkpoint's writing, compilation), and what the machine does differently later.

A share of sgemm counts the FLOP of direct convolutions. Winograd's algorithm needs fewer, so a share can pass
100%; it also depends on the BLAS that sgemm is measured with, so it compares runs on one machine only."""
ABLATED = """Each row is the package with one thing replaced by the obvious alternative, measured in turn
with the whole. 'Networks by vmap' is what a GPU gets. The last row is no trick but a cost: every seed has
its own order of the data, so no two seeds can share what is made of a batch. Of three rounds each:
differences of a tenth and less are within the noise."""
OWN_NETWORKS = """The network of a work written in plain Flax (`flax_module.py`) and trained by
`kernelstudy.train(study, model=...)`, measured in turn with the built-in one, of five rounds each. Its
convolutions and pools are replaced by forms that suit a CPU; what the built-in network fuses, and its layout
throughout, it does not have. The last row is what XLA makes of the module as it is (`impl=lax`), within the
same compiled loops. The machine was shared with other work: ratios within rounds tell, rates do not."""
ROOFLINE = """FLOP and bytes are XLA's own count of the compiled step (bytes: what operations read and
write, in cache or in memory), so the intensity is that of the program, not of the problem. The slope is what
copying 256 MiB a core reaches on all cores; a point above it is served by caches."""
MEMORY = """Whole trainings in a process each, without a compilation cache; the time of the smallest is taken
off before slopes are fitted, over the sizes that take a quarter longer at least. 'compiling' is the sum over
the programs that XLA compiled, some at the same time. Peak memory is of the whole process. With `memory_gib`
the networks are trained in groups that fit, one after another; groups alike in size share one program."""
TAIL = """## GPU and TPU

Not run there: no such device was at hand. What is expected: the same program takes `lax.conv` under `vmap`
(`impl=lax`), held equal to the CPU's form in value and gradient by the tests. One step of the mnist net is
about 6 MFLOP an image, so 40 networks x 128 images are 31 GFLOP a step; a device with 20 TFLOP/s of float32
that reached a fifth of it on so small convolutions would do about 130 such steps a second, 660,000
net-images/s. Its memory holds, for a network, the maps of one batch with their gradients (about 100 MB at
batch 128): `memory_gib` bounds how many networks are on it at a time. None of this was measured.
"""
