"""python experiments/regimes/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import numpy as np
import pandas as pd
from figures import collapse, kinds_by_arm
from measures import FORGOTTEN, KEPT, Course, course, predicted

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, above_chance, below, not_above_chance, within
from kernelstudy.studies.plan import StudyRuns, by_seed, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn

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


def answer(found: StudyRuns) -> Answer:
    seen = course(found)
    sets = list(dict.fromkeys(found.networks["data"]))
    parts = [part for data in sets for part in tested(found, seen, data)]
    return Answer(
        runs=found,
        parts=parts,
        tables={"course": seen.points, "a": seen.a},
        sentence=answer_in_one(seen.points, found.networks["chance"].iloc[0]),
        figures=[
            Drawn(
                "collapse",
                by_memory(seen.points, "value", "R²"),
                "What the kernels look like against what they remember of their start. Every arm with a "
                "random start, true labels and natural inputs at every log point (lines, from "
                "step 0 on the right) and at the end (dots). Grey: chance, and the middle 95% of networks of "
                "random kernels. Dashed: the one falling curve through all of them.",
                collapse(seen.points, found, RANDOM),
            ),
            Drawn(
                "kinds",
                by_memory(seen.points, "edge", "edge detectors of 16"),
                "How many of 16 kernels are edge detectors and how many low-pass, by regime. Means over "
                "networks at the end, arms by what they remember of their start. Ticks: step 0.",
                kinds_by_arm(seen.points, ARMS),
            ),
        ],
        readings=[
            f"'Forgotten' and 'above 0.9' are read off an arm's mean memory at the end: below {FORGOTTEN} "
            f"and above {KEPT}. Arms between the two are in neither part of hypothesis 3.",
            "Hypothesis 1's curve falls with memory (isotonic regression, least squares) and is fitted within "
            "a data set; each arm's networks are held against what the curve gives for their mean memory.",
            "Hypothesis 2 correlates each network's energy profile with the mean one of he_normal's arm.",
            "Hypothesis 5: a of a network is that of all its kernels together, at step 4,000.",
        ],
        limits=[
            "One architecture, 3 x 3 kernels, AdamW, 4,000 steps, three sets of grey images.",
            "Networks of one arm share the training images: intervals are over seeds, not over data sets.",
            "A curve that all arms follow does not show that memory is the cause.",
        ],
    )


def answer_in_one(points: pd.DataFrame, chance: float) -> str:
    """What kernels look like where their start is forgotten and where it is kept. points: `Course.points`."""
    r2 = by_memory(points, "value", "the kernels' likeness to an edge detector (R²)")
    edges = by_memory(points, "edge", "edge detectors among 16 kernels")
    return f"{r2}; random kernels have {chance:.2f}. {edges}."


def by_memory(points: pd.DataFrame, column: str, words: str) -> str:
    """A measure at the end, of random starts that are forgotten and that are kept. points: `Course.points`."""
    last = points[(points["step"] == points["step"].max()) & points["arm"].isin(RANDOM)]
    told = []
    for kept, where in ((last["memory"] < FORGOTTEN, "forgotten"), (last["memory"] > KEPT, "kept")):
        values = last[column][kept]
        if len(values):
            form = ".2f" if column == "value" else ".1f"
            span = f"{values.min():{form}} to {values.max():{form}}"
            told.append(f"{span} where the start is {where} ({len(values)} arms and data sets)")
    return f"At the end, {words}: {'; '.join(told)}"


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
