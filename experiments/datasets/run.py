"""python experiments/datasets/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import pandas as pd
from figures import followed
from measures import networks, rank_correlations

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import (
    above,
    above_chance,
    below,
    missing,
    not_above_chance,
    within,
)
from kernelstudy.studies.plan import StudyRuns, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn
from kernelstudy.studies.plan_words import remembered

LAZY, FORGETS = "he_normal", "he_normal/wd=2"
NATURAL = (
    *("digits", "mnist5k", "fashion_mnist"),
    *("photo_patches, colour grey", "photo_patches, colour rgb"),
)
BLURRED = [f"oriented, blur {blur}" for blur in (0.5, 1, 2)]
TURNED = [f"oriented, orientation {angle}" for angle in (0, 45, 90, 135)]
SETS = (*NATURAL, *BLURRED, *TURNED)


def answer(found: StudyRuns) -> Answer:
    nets = networks(found)
    correlations = {
        arm: rank_correlations(nets[(nets["arm"] == arm) & (nets["part"] == part)])
        for arm, part in ((FORGETS, "W"), (LAZY, "update"))
    }
    means = nets.groupby(["data", "arm", "part"], sort=False)[
        ["images_a", "phi", "edges", "aligned"]
    ]
    return Answer(
        runs=found,
        parts=tested(found, nets, correlations),
        tables={
            "a": nets,
            "sets": means.mean().reset_index(),
            "correlations": pd.DataFrame(correlations).rename_axis("seed").reset_index(),
            "ladder": found.ladder,
        },
        measure="W",
        sentence=in_one(nets, correlations),
        figures=[
            Drawn(
                "followed",
                lead(nets, correlations),
                "Left: a of a network's kernels beside that of the images it is trained on (black), means over "
                "networks with their 95% interval, cut where it is wider. Right: on images whose edges lie "
                "about one direction, how far the learned edge detectors lie along it. Dots: networks.",
                followed(nets),
            )
        ],
        readings=[
            remembered(found.networks, FORGETS),
            "'The direction in which it moves the images' own': the learned phi at a blur of 2 "
            "less that at 0.5, "
            "paired by seed, has the sign that the images' has.",
            few_edges(nets),
            "That W is above N0 and not above N3 (hypothesis 7) takes every set as a part, in the ladder's "
            "measure, R² of kernels less their mean.",
        ],
        limits=[
            f"{nets['data'].nunique()} sets of images, most of them of one kind, made here: how "
            f"far a follows is of "
            "these sets, and its interval is over seeds alone.",
            "One architecture, 16 kernels of 3 x 3, one learning rate, two decays, 1,000 steps of 32 images.",
            "The number a pools the odd part of all kernels: where a layer mixes operators it is between them.",
        ],
    )


def few_edges(nets: pd.DataFrame) -> str:
    """On which sets there are hardly any edge detectors, of which a could tell."""
    mine = (
        nets[(nets["arm"] == FORGETS) & (nets["part"] == "W")]
        .groupby("data", sort=False)["edges"]
        .mean()
    )
    few = "; ".join(mine.index[mine < 1])
    return (
        f"Where the start is forgotten a network has {mine.min():.1f} to {mine.max():.1f} edge "
        f"detectors of 16; below one, where a says little, on {few or 'no set'}."
    )


def in_one(nets: pd.DataFrame, correlations: dict[str, pd.Series]) -> str:
    """Whether a and direction follow, in one sentence."""
    turned = nets[(nets["concentration"] > 0) & (nets["arm"] == FORGETS) & (nets["part"] == "W")]
    rho = correlations[FORGETS].mean()
    return (
        f"Where training forgets its start, the edge detectors that a layer learns lie along the images' edges "
        f"(alignment {turned['aligned'].mean():.2f} of 1), and their profile across the edge goes "
        f"with the images' "
        f"own by a rank correlation of {rho:.2f} over {nets['data'].nunique()} sets of images."
    )


def lead(nets: pd.DataFrame, correlations: dict[str, pd.Series]) -> str:
    """What the figure shows."""
    mine = nets[(nets["arm"] == FORGETS) & (nets["part"] == "W")].groupby("data")
    higher = int((mine["phi"].mean() > mine["images_phi"].first()).sum())
    return (
        f"Once the start is forgotten a goes with the images' own at a rank correlation of "
        f"{correlations[FORGETS].mean():.2f} (lazy: {correlations[LAZY].mean():.2f}), and lies "
        f"above it on {higher} of "
        f"{mine.ngroups} sets"
    )


def tested(found: StudyRuns, nets: pd.DataFrame, correlations: dict[str, pd.Series]) -> list[Claim]:
    parts: list[Claim] = []

    def add(number: int, place: str, arm: str, outcome) -> None:
        parts.append(Claim(number, place, arm, outcome))

    def of(data: str, arm: str, part: str) -> pd.DataFrame:
        rows = (nets["data"] == data) & (nets["arm"] == arm) & (nets["part"] == part)
        return nets[rows].set_index("seed")

    forgets, lazy = correlations[FORGETS], correlations[LAZY]
    add(
        1,
        "all sets",
        FORGETS,
        above("a of W follows the images' (rank correlation above 0.5)", forgets, 0.5),
    )
    add(2, "all sets", LAZY, above("a of W − W₀ follows the images' (above 0)", lazy, 0.0))
    less = (lazy - forgets).dropna()
    add(
        2,
        "all sets",
        LAZY,
        below("it follows less than W does in the forgetting regime", less, 0.0),
    )
    for data in NATURAL:
        mine = of(data, FORGETS, "W")
        claim = "a of W lies above the images' own"
        add(3, data, FORGETS, above(claim, mine["phi"] - mine["images_phi"], 0.0))
    sharp, soft = (of(data, FORGETS, "W") for data in (BLURRED[0], BLURRED[-1]))
    claim = "blur moves a of W as it moves the images' own"
    if len(sharp) and len(soft):
        sign = 1 if soft["images_phi"].iloc[0] > sharp["images_phi"].iloc[0] else -1
        add(4, "oriented", FORGETS, above(claim, sign * (soft["phi"] - sharp["phi"]).dropna(), 0.0))
    else:
        add(4, "oriented", FORGETS, missing(claim))
    for data in TURNED:
        claim = "edge detectors lie along the images' edges (alignment above 0.3)"
        add(5, data, FORGETS, above(claim, of(data, FORGETS, "W")["aligned"], 0.3))
        add(6, data, LAZY, above("W − W₀ is aligned", of(data, LAZY, "update")["aligned"], 0.0))
        add(
            6,
            data,
            LAZY,
            within("W is aligned by less than 0.2", of(data, LAZY, "W")["aligned"], 0.2),
        )
    for data in SETS:
        for null, claim, decide in (
            ("N0", "W is above N0", above_chance),
            ("N3", "W is not above N3", not_above_chance),
        ):
            add(7, data, FORGETS, decide(claim, rung(found.ladder, FORGETS, "W", null, data=data)))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
