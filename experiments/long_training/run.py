"""python experiments/long_training/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import pandas as pd
from figures import over_steps
from measures import Course, by_seed, course

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below, missing, not_above_chance, within
from kernelstudy.studies.plan import StudyRuns, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number

PLAIN, WEAK = "he_normal/lr=0.003", "he_normal/wd=0.1"
DECAYED, SOBEL = "he_normal/lr=0.003/wd=1", "sobel/lr=0.003/wd=1"
ARMS = (PLAIN, WEAK, DECAYED, SOBEL)
FORGOTTEN, KEPT = 0.25, 0.9  # memory

TERMS = [
    f"Memory is the share of the kernels' energy that their start still explains. Below {FORGOTTEN:.0%} a "
    f"start counts as forgotten, above {KEPT:.0%} as kept. What is left of the start is the kernels' length "
    "along it, over its own length: kernels that have only shrunk have all their memory and little left."
]
OF_CHANCE = Number("R² of the kernels less that of chance", "above chance", "below chance")
NUMBERS = {
    "without decay memory is above 0.85 at the end": Number("memory at the end"),
    "memory falls by 0.05 or more from half way": Number("memory half way less memory at the end"),
    "R² of W rises from half way": Number("R² of the kernels at the end less that half way"),
    "R² of W changes by less than 0.05 from half way": Number(
        "R² of the kernels at the end less that half way", "it still rises", "it falls"
    ),
    "a of W is larger at the end than half way": Number("a at the end less a half way"),
    "R² of W from Sobel's kernels is within 0.1 of that from random ones": Number(
        "R² from Sobel's kernels less R² from random ones, seed by seed",
        "more edge-like from Sobel's kernels",
        "less edge-like from Sobel's kernels",
    ),
    "memory of Sobel's kernels is below 0.25": Number("memory at the end"),
    "W is not above N3": OF_CHANCE,
    "forgotten: less than a quarter of the start's length is left": Number(
        "length along the start over the start's length"
    ),
    "kept: more than half of the start's length is left": Number(
        "length along the start over the start's length"
    ),
}


def answer(found: StudyRuns) -> Answer:
    seen = course(found)
    names = plan_report.arm_words(found.plan)
    ends = at_the_end(seen)
    return Answer(
        runs=found,
        parts=[part for data in seen.half_way for part in tested(found, seen, data)],
        tables={"course": means(seen.course), "a": seen.a, "ends": ends, "ladder": found.ladder},
        shown={"Half way and at the end": shown(found, ends, names)},
        measure="W",
        sentence=in_one(ends),
        terms=TERMS,
        numbers=NUMBERS,
        figures=[
            Drawn(
                "over_steps",
                lead(ends),
                "A column a data set. Means over networks with their 95% interval, against steps. Dotted: "
                "half way. Grey: networks of random kernels.",
                over_steps(seen.course, names, found.sweep.cells.iloc[0], seen.half_way),
            )
        ],
        readings=[
            f"Half way is step {', '.join(f'{step:,}' for step in sorted(set(seen.half_way.values())))}, the "
            "log point nearest to 4,000.",
            "a of a network is that of all its kernels together, those that are no edges with them; the table "
            "has none where W is not above random kernels.",
            "'Forgotten' and 'kept' are read off an arm's mean memory at the end; arms between the two have no "
            "part in what is said of the start's length (hypothesis 7).",
        ],
        limits=[
            "One architecture of two convolutions, 3 x 3 kernels, AdamW, two sets of small grey images, 8,000 "
            "steps of 32: 64 times through the digits, 4 times through the garments.",
            "Networks of one set share the training images: intervals are over seeds, not over data sets.",
        ],
    )


def means(points: pd.DataFrame) -> pd.DataFrame:
    """`Course.course`, means over networks."""
    return (
        points.drop(columns="seed")
        .groupby(["data", "arm", "step"], sort=False)
        .mean()
        .reset_index()
    )


def at_the_end(seen: Course) -> pd.DataFrame:
    """data, arm, and each measure half way (_half) and at the end (_end): means over networks, of a medians."""
    rows = []
    of_a = seen.a.groupby(["data", "arm"])[["half_way", "end"]].median()
    for (data, arm), mine in means(seen.course).groupby(["data", "arm"], sort=False):
        at = mine.set_index("step")
        row = {
            "data": data,
            "arm": arm,
            "step_half": seen.half_way[str(data)],
            "step_end": at.index[-1],
        }
        for name in ("memory", "start_left", "value", "edges", "low_pass"):
            row[f"{name}_half"] = at.loc[seen.half_way[str(data)], name]
            row[f"{name}_end"] = at[name].iloc[-1]
        row["a_half"], row["a_end"] = of_a.loc[(data, arm)]
        rows.append(row)
    return pd.DataFrame(rows)


def shown(found: StudyRuns, ends: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """`at_the_end` as the page shows it: 'half way → end'; a where W is above random kernels, else it is that
    of noise."""
    rungs = [
        rung(found.ladder, row.arm, "W", "N0", data=row.data)
        for row in ends[["data", "arm"]].itertuples()
    ]
    above_random = [step is not None and bool(step.passed) for step in rungs]

    def both(name: str, form: str) -> list[str]:
        pairs = zip(ends[f"{name}_half"], ends[f"{name}_end"], strict=True)
        return [f"{half:{form}} → {end:{form}}" for half, end in pairs]

    return pd.DataFrame(
        {
            "data": ends["data"],
            "arm": ends["arm"].map(names),
            "memory": both("memory", ".0%"),
            "left of the start": both("start_left", ".0%"),
            "likeness (R²)": both("value", ".2f"),
            "edge detectors": both("edges", ".1f"),
            "low-pass": both("low_pass", ".1f"),
            "a (median)": [
                words if known else "none"
                for words, known in zip(both("a", ".2f"), above_random, strict=True)
            ],
        }
    )


def _span(ends: pd.DataFrame, arm: str, column: str, form: str) -> str:
    """Over the data sets."""
    values = ends[ends["arm"] == arm][column]
    if not len(values):
        return "not known"
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low.rstrip('%')}–{high}"


def in_one(ends: pd.DataFrame) -> str:
    """What twice the steps do to memory and likeness, without decay and with."""
    arms = {
        "without decay": PLAIN,
        "with a decay of 1": DECAYED,
        "from Sobel's kernels with that decay": SOBEL,
    }

    def told(column: str, form: str) -> str:
        both = (
            " to ".join(_span(ends, arm, f"{column}_{when}", form) for when in ("half", "end"))
            for arm in arms.values()
        )
        return ", ".join(f"from {each} {words}" for words, each in zip(arms, both, strict=True))

    return (
        "From half way to the end the share of the kernels' energy that is their start's goes "
        f"{told('memory', '.0%')}; their likeness to an edge detector (R²) goes {told('value', '.2f')}."
    )


def lead(ends: pd.DataFrame) -> str:
    """What twice the steps leave of the start, without decay and with."""
    left = (
        f"{words} {_span(ends, arm, 'memory_end', '.0%')}"
        for words, arm in (
            ("without decay", PLAIN),
            ("with a decay of 0.1", WEAK),
            ("of 1", DECAYED),
            ("and of 1 from Sobel's kernels", SOBEL),
        )
    )
    steps = ends["step_end"].max()
    return f"What is left of the start's energy after {steps:,} steps: {', '.join(left)}"


def tested(found: StudyRuns, seen: Course, data: str) -> list[Claim]:
    points, half, parts = seen.course, seen.half_way[data], []
    end = int(points[points["data"] == data]["step"].max())

    def add(number: int, arm: str, outcome) -> None:
        parts.append(Claim(number, data, arm, outcome))

    def value(arm: str, column: str = "value", step: int = end) -> pd.Series:
        return by_seed(points, column, data, arm, step)

    def gained(arm: str, column: str = "value") -> pd.Series:
        return value(arm, column) - value(arm, column, half)

    claim = "without decay memory is above 0.85 at the end"
    add(1, PLAIN, above(claim, value(PLAIN, "memory"), 0.85))
    claim = "memory falls by 0.05 or more from half way"
    add(2, WEAK, above(claim, -gained(WEAK, "memory"), 0.05))
    add(2, WEAK, above("R² of W rises from half way", gained(WEAK), 0.0))
    claim = "R² of W changes by less than 0.05 from half way"
    add(3, DECAYED, within(claim, gained(DECAYED), 0.05))
    of_a = seen.a[(seen.a["data"] == data) & (seen.a["arm"] == DECAYED)]
    claim = "a of W is larger at the end than half way"
    add(4, DECAYED, above(claim, of_a["end"] - of_a["half_way"], 0.0))
    less = (value(SOBEL) - value(DECAYED)).dropna()
    claim = "R² of W from Sobel's kernels is within 0.1 of that from random ones"
    add(5, SOBEL, within(claim, less, 0.1))
    claim = "memory of Sobel's kernels is below 0.25"
    add(5, SOBEL, below(claim, value(SOBEL, "memory"), 0.25))
    for arm in ARMS:
        step = rung(found.ladder, arm, "W", "N3", data=data)
        add(6, arm, not_above_chance("W is not above N3", step))
    for arm in ARMS:
        memory, left = value(arm, "memory").mean(), value(arm, "start_left")
        forgotten = "forgotten: less than a quarter of the start's length is left"
        kept = "kept: more than half of the start's length is left"
        if memory < FORGOTTEN:
            add(7, arm, below(forgotten, left, 0.25))
        elif memory > KEPT:
            add(7, arm, above(kept, left, 0.5))
        elif pd.isna(memory):
            add(7, arm, missing(kept))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
