"""python experiments/replication/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from claims import claims_table, counted, in_figure
from figures import by_claim, under_changes
from measures import condensed, course, courses, fall_from_peak, fall_of_lead

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below
from kernelstudy.studies.plan import StudyRuns
from kernelstudy.studies.plan_report import Answer, Claim, Drawn
from kernelstudy.studies.plan_words import remembered, table_of

RESULTS = Path(__file__).resolve().parents[2] / "results"
DATA = ("mnist5k", "photo_patches")
LAZY, FORGETS = "he_normal", "he_normal/wd=2"
RANDOM = {LAZY: "he_normal/frozen", FORGETS: "he_normal/frozen/wd=2"}
GABOR = {LAZY: "gabor/frozen", FORGETS: "gabor/frozen/wd=2"}
STARTED, SMALL = "gabor", "he_normal*0.01"
EARLY = 0.1  # of the steps: where a start from Gabor functions is to be ahead


def answer(found: StudyRuns) -> Answer:
    table = courses(found)
    parts = tested(table)
    published = claims_table(RESULTS, table_of(parts), {"Refinetti et al. 2023": from_peak(table)})
    last = table[table["step"] == table["step"].max()].drop(columns=["step"])
    return Answer(
        runs=found,
        parts=parts,
        tables={"claims": published, "changed": last, "courses": table},
        measure="accuracy",
        sentence=counted(published),
        shown={
            "Every claim beside what we measured": published.drop(columns=["hold", "open", "fail"])
        },
        figures=[
            Drawn(
                "claims",
                in_figure(published),
                "A part is the claim on one set of images, regime or size; it holds or fails if "
                "its 95% interval, "
                "over networks, lies inside or outside the claim's bound. On the right: the "
                "verdict by the declared rule.",
                by_claim(published),
            ),
            Drawn(
                "changed",
                changed_in_words(last),
                "Accuracy on the test images as they are (open) and the mean over four changes of "
                "them (filled), means "
                "over networks with their 95% interval.",
                under_changes(last, DATA),
            ),
        ],
        readings=[
            remembered(found.networks, FORGETS),
            "'Half of its final accuracy (counted from chance)': the arm's mean over networks; 200 "
            "test images at log points, "
            "all of them at the end.",
            from_peak(table),
            "'As much of the accuracy under changes, not 0.01 less': kept by frozen random kernels "
            "less kept by learned "
            "ones is above −0.01.",
            "'The log point nearest to a tenth of the steps' is the log point itself for all networks.",
            "Rows of the table of claims that rest on other studies read their hypotheses.csv: a "
            "row's intervals and "
            "verdicts are those of its study.",
        ],
        limits=[
            "Networks of two convolutions on 4,000 small grey images: a claim made of deep "
            "networks on ImageNet that does "
            "not hold here is not refuted there, and one that holds here is not shown there.",
            "Claims were read from abstracts, and each is reduced to what its study here could test.",
            "Adversarial attacks and training, and depthwise networks trained here, are missing.",
        ],
    )


def tested(table: pd.DataFrame) -> list[Claim]:
    parts: list[Claim] = []

    def add(number: int, data: str, subject: str, outcome) -> None:
        parts.append(Claim(number, data, subject, outcome))

    def end(data: str, arm: str, column: str) -> pd.Series:
        mine = course(table, data, arm, column)
        return mine.iloc[:, -1] if len(mine) else pd.Series(dtype=float)

    def less(data: str, column: str, arm: str, other: str) -> np.ndarray:
        """Of the end, by seed."""
        return (end(data, arm, column) - end(data, other, column)).dropna().to_numpy()

    def kept(data: str, arm: str, other: str) -> np.ndarray:
        one, two = (end(data, name, "under") / end(data, name, "clean") for name in (arm, other))
        return (one - two).dropna().to_numpy()

    for data in DATA:
        for arm in (LAZY, FORGETS):
            gabor, random = GABOR[arm], RANDOM[arm]
            claim = "frozen Gabor kernels are above learned ones under changes (points)"
            add(1, data, gabor, above(claim, 100 * less(data, "under", gabor, arm), 0.0))
            claim = "frozen Gabor kernels keep more of the accuracy"
            add(2, data, gabor, above(claim, kept(data, gabor, arm), 0.0))
            claim = "frozen random kernels cost less than 2 points"
            add(3, data, random, below(claim, 100 * less(data, "clean", arm, random), 2.0))
            claim = "frozen random kernels keep as much of the accuracy (not 0.01 less)"
            add(3, data, random, above(claim, kept(data, random, arm), -0.01))
            claim = "the lead of Gaussian clones falls (points)"
            add(4, data, arm, above(claim, 100 * fall_of_lead(table, data, arm), 0.0))
        claim = "kernels from a small start share one direction more, by 0.2"
        add(5, data, SMALL, above(claim, condensed(table, data, SMALL, LAZY), 0.2))
        claim = "a start from Gabor functions ends higher (points)"
        add(6, data, STARTED, above(claim, 100 * less(data, "clean", STARTED, LAZY), 0.0))
        one, other = (course(table, data, arm, "clean") for arm in (STARTED, LAZY))
        ahead = np.empty(0)
        if len(one) and len(other):
            steps = one.columns.to_numpy(float)
            step = one.columns[int(np.abs(steps - EARLY * steps[-1]).argmin())]
            ahead = (one[step] - other[step]).dropna().to_numpy()
        claim = "a start from Gabor functions is ahead at a tenth of the steps (points)"
        add(6, data, STARTED, above(claim, 100 * ahead, 0.0))
    return sorted(parts, key=lambda part: part.hypothesis)


def from_peak(table: pd.DataFrame) -> str:
    """How far the lead of clones falls from where it is largest: looked at after the declared test."""
    told = []
    for data in dict.fromkeys(table["data"]):
        for arm in (LAZY, FORGETS):
            step, falls = fall_from_peak(table, data, arm)
            found = above("", 100 * falls, 0.0)
            told.append(
                f"{data}, {arm}, from step {step}: {found.estimate:+.1f} [{found.low:.1f}, "
                f"{found.high:.1f}] points"
            )
    return (
        "Not planned, looked at afterwards: from its largest value to the end the lead of clones falls by "
        f"{'; '.join(told)}."
    )


def changed_in_words(last: pd.DataFrame) -> str:
    """Learned and frozen kernels under changes. last: `measures.courses` at the end."""
    under = 100 * last.groupby("arm")["under"].mean()
    return (
        f"Under changes of the test images learned kernels have {under[LAZY]:.0f}% (start forgotten: "
        f"{under[FORGETS]:.0f}%), frozen random ones {under[RANDOM[LAZY]]:.0f}% "
        f"({under[RANDOM[FORGETS]]:.0f}%), frozen Gabor "
        f"functions {under[GABOR[LAZY]]:.0f}% ({under[GABOR[FORGETS]]:.0f}%)"
    )


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
