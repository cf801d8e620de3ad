"""python experiments/learned_forgetting/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.reporting import style
from kernelstudy.reporting.marks import versus_learned
from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below, within
from kernelstudy.studies.plan import StudyRuns, by_seed, paired
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number
from kernelstudy.studies.plan_words import points_of, remembered

SIZES, WIDTHS, FULL = (1000, 60000), (4, 16, 64), 60000
LEARNED, RANDOM, FROZEN = "he_normal", "he_normal/frozen", "sobel_prewitt/frozen"
PCA, STARTED = "patch_pca/frozen", "sobel_prewitt"
OTHERS = {
    RANDOM: "random, frozen",
    FROZEN: "Sobel and Prewitt, frozen",
    PCA: "patch axes, frozen",
    STARTED: "Sobel and Prewitt, then trained",
}

OF_LEARNED = "points of accuracy, less those of learned kernels"
NUMBERS = {
    **{
        f"a frozen random layer costs {which} than 1.5 points": Number(
            "points of accuracy, learned less frozen",
            "the learned one is better",
            "the frozen one is better",
        )
        for which in ("less", "more")
    },
    "frozen hand-crafted kernels are within 1 point of learned ones": Number(
        OF_LEARNED, "hand-crafted ones are better", "learned ones are better"
    ),
    "frozen patch axes are within 1 point of learned kernels": Number(
        OF_LEARNED, "patch axes are better", "learned ones are better"
    ),
    "started from the bank and trained is within 0.5 points of he_normal": Number(
        "points of accuracy, started from the bank less started at random",
        "the bank is the better start",
        "the random start is better",
    ),
    "memory of the start is below 0.25": Number(
        "memory, the share of the kernels' energy that their start explains"
    ),
}


def answer(found: StudyRuns) -> Answer:
    grid = compared(found.networks)
    return Answer(
        runs=found,
        parts=tested(found.networks),
        tables={"differences": grid},
        sentence=f"{beside_learned(grid)}.",
        terms=[
            remembered(found.networks, LEARNED),
            remembered(found.networks, STARTED),
            "Differences are in points of accuracy (percentage points), less that of the learned first layer: "
            "above 0 the other one is better. Surely: the 95% interval lies on that side.",
        ],
        numbers=NUMBERS,
        figures=[
            Drawn(
                "differences",
                at_full_size(grid),
                "Accuracy less that of the learned first layer, paired by seed. Percentage points of all "
                "10,000 test images at step 800, with their 95% interval over "
                "networks; above 0: better than learned, below: worse.",
                drawn(grid),
            )
        ],
        readings=["'Costs less than', 'within' and 'below' a bound are in points of accuracy."],
        limits=[
            "One data set of small grey images, 3 x 3 kernels, one learning rate and one decay, tuned for "
            "none of the arms; decay acts on the deeper layers, too.",
            "Every size is one subset of the images, shared by all networks: intervals are over seeds alone.",
        ],
    )


def beside_learned(grid: pd.DataFrame) -> str:
    """Between which differences in points each layer lies. grid: `compared`."""
    told = points_of(grid, OTHERS)
    return f"Accuracy less that with a learned first layer, in points, over all sizes and widths. {told}"


def at_full_size(grid: pd.DataFrame) -> str:
    """At how many widths each layer surely beats a learned one with all images. grid: `compared`."""
    mine = grid[grid["size"] == FULL]
    better = mine.assign(better=mine["low"] > 0).groupby("arm")["better"].agg(["sum", "size"])
    told = [f"{OTHERS[arm]}: {n} of {of}" for arm, n, of in better.itertuples() if n]
    beaten = "; ".join(told) or "none of them"
    return f"With {FULL:,} images these surely beat a learned first layer, by number of widths: {beaten}"


def tested(nets: pd.DataFrame) -> list[Claim]:
    parts = []

    def points(arm: str, reference: str, size: int, width: int):
        return 100 * paired(nets, "accuracy", arm, reference, size=size, width=width)

    def add(number: int, size: int, width: int, subject: str, outcome) -> None:
        parts.append(Claim(number, f"{size:,} images, width {width}", subject, outcome))

    for width in WIDTHS:
        cost = points(LEARNED, RANDOM, FULL, width)
        if width < 16:
            add(
                1,
                FULL,
                width,
                RANDOM,
                above("a frozen random layer costs more than 1.5 points", cost, 1.5),
            )
        else:
            add(
                1,
                FULL,
                width,
                RANDOM,
                below("a frozen random layer costs less than 1.5 points", cost, 1.5),
            )
    for width, size in itertools.product((16, 64), SIZES):
        claim = "frozen hand-crafted kernels are within 1 point of learned ones"
        add(2, size, width, FROZEN, within(claim, points(FROZEN, LEARNED, size, width), 1.0))
        claim = "frozen patch axes are within 1 point of learned kernels"
        add(3, size, width, PCA, within(claim, points(PCA, LEARNED, size, width), 1.0))
        claim = "started from the bank and trained is within 0.5 points of he_normal"
        add(4, size, width, STARTED, within(claim, points(STARTED, LEARNED, size, width), 0.5))
    for arm, width, size in itertools.product((LEARNED, STARTED), WIDTHS, SIZES):
        memory = by_seed(nets, "memory", arm, size=size, width=width)
        add(5, size, width, arm, below("memory of the start is below 0.25", memory, 0.25))
    return parts


def compared(nets: pd.DataFrame) -> pd.DataFrame:
    """Every arm less the learned one in points, with its 95% interval, for every size and width."""
    rows = []
    for size, width, arm in itertools.product(SIZES, WIDTHS, OTHERS):
        points = 100 * np.asarray(paired(nets, "accuracy", arm, LEARNED, size=size, width=width))
        learned = by_seed(nets, "accuracy", LEARNED, size=size, width=width)
        if len(points):
            low, high = bootstrap_t_interval(points)
            rows.append(
                (size, width, arm, len(points), points.mean(), low, high, float(np.mean(learned)))
            )
    names = ["size", "width", "arm", "n", "points", "low", "high", "learned_accuracy"]
    return pd.DataFrame(rows, columns=names)


def drawn(grid: pd.DataFrame) -> Figure:
    """A panel a size, a group a width, a colour an arm."""
    with style.styled():
        figure = Figure(figsize=(9, 3.8))
        panels = figure.subplots(1, len(SIZES), sharey=True)
        for panel, size in zip(panels, SIZES, strict=True):
            panel.axhline(0, color="black", lw=0.9)
            for number, (arm, words) in enumerate(OTHERS.items()):
                mine = grid[(grid["size"] == size) & (grid["arm"] == arm)]
                at = [WIDTHS.index(w) + 0.17 * (number - 1.5) for w in mine["width"]]
                ends = [mine["points"] - mine["low"], mine["high"] - mine["points"]]
                panel.errorbar(
                    at,
                    mine["points"],
                    ends,
                    fmt="D",
                    ms=6,
                    color=style.colour_of(number),
                    label=words,
                )
            panel.set_xticks(range(len(WIDTHS)), [f"width {w}" for w in WIDTHS])
            panel.set(title=f"{size:,} training images", xlim=(-0.5, len(WIDTHS) - 0.5))
        versus_learned(panels[0])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
