"""python experiments/regimes/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import numpy as np
import pandas as pd
from figures import collapse, kinds_by_arm
from measures import FORGOTTEN, KEPT, Course, course, predicted

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, above_chance, below, not_above_chance, within
from kernelstudy.studies.plan import StudyRuns, by_seed, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number

BASE, DECAYED = "he_normal/lr=0.003", "he_normal/lr=0.003/wd=1"
RATES = [
    *("he_normal", "he_normal/wd=0.1", "he_normal/wd=1"),
    *(BASE, "he_normal/lr=0.003/wd=0.1", DECAYED),
    *("he_normal/lr=0.01", "he_normal/lr=0.01/wd=0.1"),
]
SMALL = ["he_normal*0.1", "he_normal*0.01", "glorot_uniform", "lecun_uniform*0.57735"]
RANDOM = [*RATES, *SMALL, "orthogonal/lr=0.003/wd=1"]
PLACES = [f"{start}/lr=0.003/wd=1" for start in ("orthogonal", "gabor", "sobel")]
LEARNED = [*RANDOM, *PLACES[1:]]
SHUFFLED = {BASE: "he_normal/shuffled/lr=0.003", DECAYED: "he_normal/shuffled/lr=0.003/wd=1"}
SCRAMBLED = "he_normal/phase_scrambled/lr=0.003/wd=1"
FROZEN = {BASE: "sobel/frozen/lr=0.003", DECAYED: "sobel/frozen/lr=0.003/wd=1"}
ARMS = [*LEARNED, *SHUFFLED.values(), SCRAMBLED, *FROZEN.values()]

TERMS = [
    f"Memory is the share of the kernels' energy that their start still explains. Below {FORGOTTEN:.0%} a "
    f"start counts as forgotten, above {KEPT:.0%} as kept: cuts that were declared before the runs.",
    "An edge detector is a kernel of which a first derivative, at some angle, holds more than half of the "
    "energy; some random kernels are such.",
]
OF_R2 = "R² of the one less that of the other, seed by seed"
NUMBERS = {
    "the curve of the other arms predicts R² of W within 0.1": Number(
        "R² of the arm's networks less what the curve says",
        "more edge-like than the curve says",
        "less edge-like than the curve says",
    ),
    "R² of W ends within 0.1 of he_normal's": Number(
        OF_R2, "more edge-like than he_normal's", "less edge-like than he_normal's"
    ),
    "energy profiles correlate at r > 0.95": Number("the correlation r"),
    **{
        claim: Number("R² of the kernels less that of chance", "above chance", "below chance")
        for claim in (
            *(f"forgotten: W is above {null}" for null in ("N0", "N1", "N2")),
            "kept: R² of W is less than 0.1 above N0",
            "W is not above N3",
        )
    },
    "a of W is above that of the images' patches": Number(
        "a of the kernels less a of the patches",
        "the kernels have the larger a",
        "the patches have the larger a",
    ),
    "labels add more to R² of W with decay than without": Number(
        "what true labels add to R² (true less shuffled) with decay less what they add without",
        "labels add more with decay",
        "labels add less with decay",
    ),
    "R² of W − W₀ is below that of W": Number(
        "R² of the update less that of the kernels",
        "the update is the more edge-like",
        "the kernels are the more edge-like",
    ),
    "frozen Sobel kernels cost 0.2 points less with decay": Number(
        "points of accuracy that frozen Sobel kernels cost (learned less frozen) without decay less those that "
        "they cost with it",
        "they cost less with decay",
        "they cost more with decay",
    ),
}


def answer(found: StudyRuns) -> Answer:
    seen = course(found)
    sets = list(dict.fromkeys(found.networks["data"]))
    parts = [part for data in sets for part in tested(found, seen, data)]
    return Answer(
        runs=found,
        parts=parts,
        tables={"course": seen.points, "a": seen.a},
        sentence=answer_in_one(seen.points, found.networks["chance"].iloc[0]),
        terms=TERMS,
        numbers=NUMBERS,
        figures=[
            Drawn(
                "collapse",
                along_memory(seen.points),
                "Likeness to an edge detector against memory, what the kernels keep of their start (from "
                "all, on the left, to nothing). Every arm with a random start, true labels and natural "
                "inputs: a line from step 0 on, a dot at the end. Grey: chance, and the middle 95% of "
                "networks of random kernels. Dashed: the one falling curve through all of them.",
                collapse(seen.points, found.sweep.cells.iloc[0], RANDOM),
            ),
            Drawn(
                "kinds",
                by_memory(seen.points, "edge", "edge detectors among 16 kernels"),
                "How many of 16 kernels are edge detectors and how many low-pass (mostly their mean). Means "
                "over networks at the end; arms in the order of their memory. Ticks: edge detectors at step 0.",
                kinds_by_arm(seen.points, ARMS, plan_report.arm_words(found.plan)),
            ),
        ],
        readings=[
            f"'Forgotten' and 'above 0.9' are read off an arm's mean memory at the end: below {FORGOTTEN} "
            f"and above {KEPT}. Arms between the two count neither as forgotten nor as kept where the "
            "likeness of the two is held against chance (hypothesis 3).",
            "The one curve of memory (hypothesis 1) falls with memory (isotonic regression, least squares) "
            "and is fitted within a data set; each arm's networks are held against what the curve gives for "
            "their mean memory.",
            "For the one place that all starts end in (hypothesis 2) each network's energy profile is "
            "correlated with the mean one of he_normal's arm.",
            "For the climb of a (hypothesis 5), a of a network is that of all its kernels together, at step "
            "4,000.",
        ],
        limits=[
            "One architecture, 3 x 3 kernels, AdamW, 4,000 steps, three sets of grey images.",
            "Networks of one arm share the training images: intervals are over seeds, not over data sets.",
            "A curve that all arms follow does not show that memory is the cause.",
        ],
    )


def answer_in_one(points: pd.DataFrame, chance: float) -> str:
    """What kernels look like where their start is forgotten and where it is kept. points: `Course.points`."""
    r2 = by_memory(points, "value", "likeness to an edge detector (R²)")
    edges = by_memory(points, "edge", "edge detectors among 16 kernels")
    first = points[(points["step"] == 0) & points["arm"].isin(RANDOM)]["edge"]
    start = f"{first.min():.1f} to {first.max():.1f}" if len(first) else "none"
    return f"{r2}. Random kernels have {chance:.2f}. {edges}. Before training: {start}."


def by_memory(points: pd.DataFrame, column: str, words: str) -> str:
    """A measure at the end, of random starts that are forgotten and that are kept. points: `Course.points`."""
    last = points[(points["step"] == points["step"].max()) & points["arm"].isin(RANDOM)]
    told = []
    for kept, where in (
        (last["memory"] < FORGOTTEN, f"has forgotten the start (memory below {FORGOTTEN:.0%})"),
        (last["memory"] > KEPT, f"keeps it (above {KEPT:.0%})"),
    ):
        values = last[column][kept]
        if len(values):
            form = ".2f" if column == "value" else ".1f"
            told.append(f"{values.min():{form}} to {values.max():{form}} where training {where}")
    return f"{words[0].upper()}{words[1:]} at the end: {'; '.join(told) or 'not known'}"


def along_memory(points: pd.DataFrame) -> str:
    """How likeness goes along with memory over random starts at the end, data set by data set. points:
    `Course.points`."""
    last = points[(points["step"] == points["step"].max()) & points["arm"].isin(RANDOM)]
    ranks = [
        group[["memory", "value"]].rank().corr().iloc[0, 1] for _, group in last.groupby("data")
    ]
    told = "less of it, more likeness" if max(ranks) < 0 else "not one way on all data sets"
    return (
        "Over the ways to train, likeness to an edge detector and memory of the start have a rank correlation "
        f"of {min(ranks):+.2f} to {max(ranks):+.2f} at the end: {told}"
    )


def tested(found: StudyRuns, seen: Course, data: str) -> list[Claim]:
    nets, ladder, parts = found.networks, found.ladder, []
    points = seen.points[seen.points["data"] == data]
    memory = points[points["step"] == points["step"].max()].set_index("arm")["memory"]
    forgotten = [arm for arm in LEARNED if memory.get(arm, np.nan) < FORGOTTEN]
    kept = [arm for arm in LEARNED if memory.get(arm, np.nan) > KEPT]

    def add(number: int, arm: str, outcome) -> None:
        parts.append(Claim(number, data, arm, outcome))

    def value(arm: str, column: str = "value"):
        return by_seed(nets, column, arm, data=data)

    for arm in RANDOM:
        off = value(arm) - (predicted(points, RANDOM, arm) if arm in memory else np.nan)
        add(1, arm, within("the curve of the other arms predicts R² of W within 0.1", off, 0.1))
    profile = seen.profiles.get((data, DECAYED))
    for arm in PLACES:
        less = paired(nets, "value", arm, DECAYED, data=data)
        add(2, arm, within("R² of W ends within 0.1 of he_normal's", less, 0.1))
        mine = seen.profiles.get((data, arm))
        alike = [] if mine is None or profile is None else _correlations(mine, profile)
        add(2, arm, above("energy profiles correlate at r > 0.95", alike, 0.95))
    for arm in forgotten:
        for null in ("N0", "N1", "N2"):
            if null != "N1" or arm in RANDOM:
                step = rung(ladder, arm, "W", null, data=data)
                add(3, arm, above_chance(f"forgotten: W is above {null}", step))
    for arm in (arm for arm in kept if arm in RANDOM):
        over = value(arm) - nets[nets["data"] == data]["chance"].iloc[0]
        add(3, arm, below("kept: R² of W is less than 0.1 above N0", over, 0.1))
    for arm in [*LEARNED, *SHUFFLED.values(), SCRAMBLED]:
        step = rung(ladder, arm, "W", "N3", data=data)
        add(4, arm, not_above_chance("W is not above N3", step))
    for arm in forgotten:
        of_a = seen.a[(seen.a["data"] == data) & (seen.a["arm"] == arm)]
        add(
            5,
            arm,
            above("a of W is above that of the images' patches", of_a["a"] - of_a["images"], 0),
        )
    effects = [
        paired(nets, "value", true, shuffled, data=data) for true, shuffled in SHUFFLED.items()
    ]
    claim = "labels add more to R² of W with decay than without"
    add(6, DECAYED, above(claim, effects[1] - effects[0], 0.0))
    for arm in (arm for arm in forgotten if arm in RANDOM):
        less = value(arm, "delta") - value(arm)
        add(7, arm, below("R² of W − W₀ is below that of W", less, 0.0))
    costs = [
        100 * paired(nets, "accuracy", learned, frozen, data=data)
        for learned, frozen in FROZEN.items()
    ]
    claim = "frozen Sobel kernels cost 0.2 points less with decay"
    add(8, FROZEN[DECAYED], above(claim, costs[0] - costs[1], 0.2))
    return parts


def _correlations(profiles: np.ndarray, other: np.ndarray) -> list[float]:
    return [float(np.corrcoef(mine, other.mean(axis=0))[0, 1]) for mine in profiles]


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
