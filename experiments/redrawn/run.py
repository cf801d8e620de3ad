"""python experiments/redrawn/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import pandas as pd
from figures import ways, worth
from measures import (
    EARLY,
    FROZEN_COPIED,
    FROZEN_RANDOM,
    FROZEN_REDRAWN,
    RANDOM,
    REDRAWN,
    REGIMES,
    courses,
    points,
    starts,
)

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below, within
from kernelstudy.studies.plan import StudyRuns
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number
from kernelstudy.studies.plan_words import remembered

DATA = ("mnist5k", "photo_patches")
LAZY, FORGETS = REGIMES
BETTER = "a redrawn start ends higher (points)"
FASTER = "a redrawn start is ahead at a tenth of the steps (points)"
ALIKE = "frozen redrawn kernels are within 1 point of frozen copied ones"
BEYOND = "frozen redrawn kernels are above frozen random ones (points)"
LITTLE = "frozen redrawn kernels cost less than 2 points against learned ones"
FORGETTING = "their gain over random ones is larger where the start is forgotten (points)"
COMPARED = {  # what is compared, and at which part of the steps: words of the figure
    "learned: redrawn − random start, early": (REDRAWN, RANDOM, EARLY),
    "learned: redrawn − random start, end": (REDRAWN, RANDOM, 1.0),
    "frozen: redrawn − copied, end": (FROZEN_REDRAWN, FROZEN_COPIED, 1.0),
    "frozen: redrawn − random, early": (FROZEN_REDRAWN, FROZEN_RANDOM, EARLY),
    "frozen: redrawn − random, end": (FROZEN_REDRAWN, FROZEN_RANDOM, 1.0),
    "frozen redrawn − learned, end": (FROZEN_REDRAWN, RANDOM, 1.0),
}
NUMBERS = {
    BETTER: Number("accuracy with a redrawn start less that with a random one"),
    FASTER: Number(
        "accuracy with a redrawn start less that with a random one, at a tenth of the steps"
    ),
    ALIKE: Number(
        "accuracy with frozen redrawn kernels less that with frozen copied ones, in points"
    ),
    BEYOND: Number("accuracy with frozen redrawn kernels less that with frozen random ones"),
    LITTLE: Number("accuracy with learned kernels less that with frozen redrawn ones, in points"),
    FORGETTING: Number("redrawn less random, forgetting, less the same of the lazy regime"),
}


def answer(found: StudyRuns) -> Answer:
    table, of_starts = courses(found), starts(found)
    differences = compared(table)
    return Answer(
        runs=found,
        parts=tested(table),
        tables={"differences": differences, "courses": table, "starts": of_starts},
        measure="accuracy",
        sentence=in_one(differences),
        numbers=NUMBERS,
        terms=[
            "Redrawn: Gaussian kernels with the covariance of kernels that other networks learned. "
            "Copied: the kernels that the same seed learned. Early: at a tenth of the steps."
        ],
        shown={"What the networks start from": of_starts.round(2)},
        figures=[
            Drawn(
                "worth",
                lead(differences),
                "Differences in points of accuracy, paired by seed, means with their 95% interval; "
                "early is a tenth of the steps.",
                worth(differences, list(COMPARED)),
            ),
            Drawn(
                "courses",
                "On the way: " + on_the_way(table),
                "Means over networks with their 95% interval; dashed: first layers that are frozen. "
                "400 test images at log points, all of them at the end.",
                ways(table),
            ),
        ],
        readings=[
            remembered(found.networks, "he_normal/wd=2"),
            "The log point nearest to a tenth of the steps is the same for all networks.",
            "'Norm' of the starts is the mean squared norm of a kernel, 2 at He's scale; 'axes' the "
            "participation ratio of the kernels' second moment, over all networks of an arm together.",
            "A redrawn start is the same whether it is learned or frozen afterwards; copied kernels are "
            "frozen alone.",
            "The sources, 80 networks of 400 steps (512,000 net-images beside those below), are made by the "
            "first two commands of experiments/redrawn/README.md; the sha256 of what each arm took from "
            "them is in its run's provenance.json.",
        ],
        limits=[
            "One first layer of 16 kernels; in Guth et al. all layers are redrawn, one upon the other, and "
            "in Trockman et al. depthwise kernels of deep networks are, over other sizes of kernels, too.",
            "Redrawn kernels keep the norm of learned ones, with decay a tenth of He's or less (mean squared): "
            "what they are worth above random ones is there not told apart into their scale and their shape.",
            "All networks of an arm draw from one covariance, that of ten networks: intervals are over seeds, "
            "not over sources. In the lazy regime that covariance is spread over nearly as many axes as a "
            "random one, so that little of it was learned.",
            "Copied kernels are those of the same seed, which learned them from the same batches and the same "
            "start of the other layers: for redrawn kernels it is the hardest comparison.",
            "After 400 steps with decay more of the start is left than the bound of the study regimes (0.25): "
            "the forgetting regime is on its way, and the kernels it gives are not finished.",
            "The sources learned from the same 4,000 images: a covariance of longer training, or of other "
            "images, may be worth more or less.",
        ],
    )


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Every comparison: data, regime, comparison, n, points, low, high, p. table: `measures.courses`."""
    rows = []
    for data, regime in itertools.product(dict.fromkeys(table["data"]), REGIMES):
        for words, (layer, other, part) in COMPARED.items():
            away = points(table, data, regime, layer, other, part)
            rows.append((data, regime, words, *within("", away, 0.0)[1:6]))
    return pd.DataFrame(
        rows, columns=["data", "regime", "comparison", "n", "points", "low", "high", "p"]
    )


def tested(table: pd.DataFrame) -> list[Claim]:
    parts: list[Claim] = []

    def less(data: str, regime: str, layer: str, other: str, part: float = 1.0) -> pd.Series:
        return points(table, data, regime, layer, other, part)

    for data in DATA:
        for regime in REGIMES:
            here = (data, regime)
            outcomes = [
                above(BETTER, less(*here, REDRAWN, RANDOM), 0.0),
                above(FASTER, less(*here, REDRAWN, RANDOM, EARLY), 0.0),
                within(ALIKE, less(*here, FROZEN_REDRAWN, FROZEN_COPIED), 1.0),
                above(BEYOND, less(*here, FROZEN_REDRAWN, FROZEN_RANDOM), 0.0),
                below(LITTLE, less(*here, RANDOM, FROZEN_REDRAWN), 2.0),
            ]
            parts += [Claim(number, *here, one) for number, one in enumerate(outcomes, 1)]
        gains = [less(data, regime, FROZEN_REDRAWN, FROZEN_RANDOM) for regime in (FORGETS, LAZY)]
        more = above(FORGETTING, (gains[0] - gains[1]).dropna(), 0.0)
        parts.append(Claim(6, data, "both regimes", more))
    return sorted(parts, key=lambda part: part.hypothesis)


def in_one(table: pd.DataFrame) -> str:
    """What redrawn kernels are worth at the end, in one sentence. table: `compared`."""
    told = []
    for data, mine in table.groupby("data", sort=False):
        start, frozen, copied = (
            " and ".join(f"{value:+.1f}" for value in mine[mine["comparison"] == words]["points"])
            for words in (
                "learned: redrawn − random start, end",
                "frozen: redrawn − random, end",
                "frozen: redrawn − copied, end",
            )
        )
        told.append(
            f"on {data} by {start} points as a start and by {frozen} frozen, and from frozen copies of "
            f"learned kernels by {copied}"
        )
    return (
        "Kernels redrawn from a learned covariance differ at the end (lazy and forgetting) from random ones "
        f"{'; '.join(told)}."
    )


def lead(table: pd.DataFrame) -> str:
    """What the figure shows: in how many places redrawn kernels are surely ahead."""
    told = []
    for words, short in (
        ("learned: redrawn − random start, early", "as a start, early,"),
        ("learned: redrawn − random start, end", "as a start, at the end,"),
        ("frozen: redrawn − random, end", "frozen, at the end,"),
    ):
        mine = table[table["comparison"] == words]
        told.append(f"{short} in {int((mine['low'] > 0).sum())} of {len(mine)}")
    return f"Redrawn kernels are surely better than random ones {'; '.join(told)} sets and regimes"


def on_the_way(table: pd.DataFrame) -> str:
    """Mean accuracy early and at the end with a learned first layer. table: `measures.courses`."""
    told = []
    for data, mine in table.groupby("data", sort=False):
        steps = mine["step"].drop_duplicates().sort_values().to_numpy()
        early = steps[abs(steps - EARLY * steps[-1]).argmin()]
        means = mine.groupby(["layer", "step"])["accuracy"].mean()
        told.append(
            f"on {data} a learned first layer has {means[REDRAWN, early]:.0f}% from a redrawn start and "
            f"{means[RANDOM, early]:.0f}% from a random one at step {early}, {means[REDRAWN, steps[-1]]:.0f}% "
            f"and {means[RANDOM, steps[-1]]:.0f}% at the end"
        )
    return "; ".join(told)


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
