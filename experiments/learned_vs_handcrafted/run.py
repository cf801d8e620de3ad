"""python experiments/learned_vs_handcrafted/run.py RUN [RUN ...] [--out DIR]: the report of this study.

The runs whose first layer is dense are read from <runs>_dense, beside the directory of runs.
"""

import itertools
import sys

import numpy as np
import pandas as pd
from figures import accuracy, differences

from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import Outcome, above, below, within
from kernelstudy.studies.plan import StudyRuns, paired, read_study
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number
from kernelstudy.studies.plan_words import arms, points_of

SIZES, WIDTHS, FULL = (100, 1000, 10000, 60000), (4, 16, 64), 60000
LEARNED, RANDOM, FROZEN = "he_normal", "he_normal/frozen", "sobel_prewitt/frozen"
PCA, STARTED, DENSE = "patch_pca/frozen", "sobel_prewitt", "dense"
CONVOLUTIONS = (LEARNED, RANDOM, FROZEN, PCA, STARTED)
NUMBERS = {
    **{
        f"a frozen random layer costs {which} than 1.5 points": Number(
            "points of accuracy, learned less frozen",
            "the learned one is better",
            "the frozen one is better",
        )
        for which in ("less", "more")
    },
    "frozen hand-crafted kernels are below frozen random ones": Number(
        "points of accuracy, hand-crafted less random",
        "hand-crafted ones are better",
        "random ones are better",
    ),
    "arms are within 2 points of each other": Number(
        "points of accuracy, the first arm less the second",
        "the first is better",
        "the second is better",
    ),
    "hand-crafted less learned falls with the size": Number(
        "points that the difference, hand-crafted less learned, rises with every tenfold of the size",
        "hand-crafted kernels gain with the size",
        "hand-crafted kernels lose with the size",
    ),
    "frozen patch axes are within 1 point of learned kernels": Number(
        "points of accuracy, patch axes less learned",
        "patch axes are better",
        "learned ones are better",
    ),
    "started from the bank and trained is within 0.5 points of he_normal": Number(
        "points of accuracy, started from the bank less started at random",
        "the bank is the better start",
        "the random start is better",
    ),
    "the dense first layer is worse": Number(
        "points of accuracy, dense less the other arm", "dense is better", "dense is worse"
    ),
}


def answer(found: StudyRuns) -> Answer:
    nets, notes = with_dense(found)
    grid = compared(nets)
    found = found._replace(networks=nets, deviations=[*found.deviations, *notes])
    parts = tested(nets)
    return Answer(
        runs=found,
        parts=parts,
        tables={"differences": grid},
        sentence=f"{beside_learned(grid)}.",
        terms=[
            "Differences are in points of accuracy (percentage points), a frozen first layer less a learned "
            "one: above 0 the frozen one is better. Surely: the 95% interval lies on that side."
        ],
        numbers=NUMBERS,
        figures=[
            Drawn(
                "accuracy",
                learned(arms(nets)),
                "Test accuracy against training-set size, width by width. Means over networks with "
                "Student's 95% interval, all 10,000 test images, step 800.",
                accuracy(nets, (*CONVOLUTIONS, DENSE)),
            ),
            Drawn(
                "differences",
                beside_learned(grid),
                "Accuracy less that of the learned first layer (the line at 0), paired by seed. Percentage "
                "points with Student's 95% interval; above 0: better than learned, below: worse.",
                differences(grid[grid["reference"] == LEARNED], (*CONVOLUTIONS, DENSE)),
            ),
        ],
        readings=[
            "That hand-crafted kernels help less as the set grows (hypothesis 3, 'falls with the size'): the "
            "slope, network by network, of the difference in points against the tenfold of the size, over "
            "the sizes that were run; at every width, for none is named.",
            "What a frozen random layer costs (hypothesis 1), frozen patch axes (4) and a start from the bank "
            "(5): 'costs less than', 'within' and 'below' a bound are in points of accuracy, each size and "
            "width a part.",
            "The dense first layer (hypothesis 6) is held against every convolutional arm at 100, 1,000 and "
            "10,000 images.",
        ],
        limits=[
            "The compute is the same for all sizes (800 steps): with 100 images that is 800 passes over them "
            "at most, with 60,000 not one, so that size and repetition go together.",
            "Every size is one subset of the images, shared by all networks: intervals are over seeds alone.",
            "The learning rate is the same for all arms, and tuned for none. The dense arm has many times the "
            "weights of the convolutions: it shows what a lack of structure costs as it is, not at equal size.",
            "One data set of small grey images; 3 x 3 kernels.",
        ],
    )


def learned(table: pd.DataFrame) -> str:
    """What a learned layer reaches with few images and with many. table: `plan_words.arms`."""
    rows = table[
        (table["arm"] == LEARNED) & (table["measure"] == "accuracy") & (table["width"] == 16)
    ]
    by_size = rows.sort_values("size")
    first, last = by_size.iloc[0], by_size.iloc[-1]
    return (
        f"A learned first layer of width 16 reaches {first['mean']:.1%} with {first['size']:,} images and "
        f"{last['mean']:.1%} with {last['size']:,}"
    )


def beside_learned(grid: pd.DataFrame) -> str:
    """Between which differences in points each frozen layer lies. grid: `compared`."""
    rows = grid[grid["reference"] == LEARNED]
    told = points_of(rows, {FROZEN: "Sobel and Prewitt", RANDOM: "random", PCA: "patch axes"})
    return (
        "Accuracy with a frozen first layer less that with a learned one, in points, over all sizes and "
        f"widths. {told}"
    )


def tested(nets: pd.DataFrame) -> list[Claim]:
    parts = []

    def points(arm: str, reference: str, size: int, width: int):
        return 100 * paired(nets, "accuracy", arm, reference, size=size, width=width)

    def add(number: int, size: int | str, width: int, subject: str, outcome: Outcome) -> None:
        where = f"{size:,} images" if isinstance(size, int) else size
        parts.append(Claim(number, f"{where}, width {width}", subject, outcome))

    def cost(width: int):
        return points(LEARNED, RANDOM, FULL, width)

    for width in (16, 64):
        claim = "a frozen random layer costs less than 1.5 points"
        add(1, FULL, width, RANDOM, below(claim, cost(width), 1.5))
        claim = "frozen hand-crafted kernels are below frozen random ones"
        add(2, FULL, width, FROZEN, below(claim, points(FROZEN, RANDOM, FULL, width), 0.0))
    claim = "a frozen random layer costs more than 1.5 points"
    add(1, FULL, 4, RANDOM, above(claim, cost(4), 1.5))
    for one, other in itertools.combinations(CONVOLUTIONS, 2):
        claim = "arms are within 2 points of each other"
        add(3, 100, 16, f"{one} − {other}", within(claim, points(one, other, 100, 16), 2.0))
    for width in WIDTHS:
        claim = "hand-crafted less learned falls with the size"
        add(3, "all sizes", width, FROZEN, below(claim, slopes(nets, width), 0.0))
    for width, size in itertools.product((16, 64), SIZES):
        claim = "frozen patch axes are within 1 point of learned kernels"
        add(4, size, width, PCA, within(claim, points(PCA, LEARNED, size, width), 1.0))
        claim = "started from the bank and trained is within 0.5 points of he_normal"
        add(5, size, width, STARTED, within(claim, points(STARTED, LEARNED, size, width), 0.5))
    for size, arm in itertools.product(SIZES[:-1], CONVOLUTIONS):
        claim = "the dense first layer is worse"
        add(6, size, 16, f"dense − {arm}", below(claim, points(DENSE, arm, size, 16), 0.0))
    return parts


def slopes(nets: pd.DataFrame, width: int) -> np.ndarray:
    """Points of hand-crafted less learned for every tenfold of the size, a slope a seed."""
    found = {
        np.log10(size): 100 * paired(nets, "accuracy", FROZEN, LEARNED, size=size, width=width)
        for size in SIZES
    }
    table = pd.DataFrame({x: d for x, d in found.items() if len(d)}).dropna()
    x = table.columns.to_numpy(float)
    x = x - x.mean() if len(x) else x
    return table.to_numpy() @ x / (x @ x) if len(x) > 1 else np.empty(0)


def compared(nets: pd.DataFrame) -> pd.DataFrame:
    """Every two arms in points, for every size and width: sign-flip tests with q over the whole grid."""
    rows = []
    for size, width in itertools.product(SIZES, WIDTHS):
        for reference, arm in itertools.combinations((*CONVOLUTIONS, DENSE), 2):
            points = 100 * paired(nets, "accuracy", arm, reference, size=size, width=width)
            if len(points):
                rows.append((size, width, arm, reference, *within("", points, 0.0)[1:6]))
    names = ["size", "width", "arm", "reference", "n", "points", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy(float)))


def with_dense(found: StudyRuns) -> tuple[pd.DataFrame, list[str]]:
    """`StudyRuns.networks` with those whose first layer is dense, and what to say of them."""
    run = next(iter(found.places.values()))
    place = run.parent.with_name(f"{run.parent.name}_dense")
    if not place.is_dir():
        return found.networks, [
            "The dense first layer is not in this report: there are no runs of it."
        ]
    dense = read_study([place], found.plan)
    if absent := [size for size in SIZES if size not in set(dense.made["size"])]:
        of = ", ".join(f"{size:,}" for size in absent)
        notes = [f"The dense first layer is not in this report at {of} images."]
    else:
        notes = []
    notes += [
        f"The dense first layer at {made.size:,} images: {made.networks} networks of {made.steps} steps, "
        f"{made.net_images:,} net-images (commit {made.commit})."
        for made in dense.made.itertuples()
    ]
    return pd.concat([found.networks, dense.networks.assign(arm=DENSE)], ignore_index=True), notes


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
