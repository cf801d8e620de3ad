"""python experiments/batch_norm_depth/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import pandas as pd
from figures import ends

from kernelstudy.studies import equal_memory, plan_report
from kernelstudy.studies.hypotheses import above, above_chance, below, not_above_chance, within
from kernelstudy.studies.plan import StudyRuns, by_seed, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number

DATA, DEPTHS, NORMS = ("mnist5k", "photo_patches"), (2, 4), (False, True)
LAZY, SMALL, DECAYED = "he_normal", "he_normal*0.1", "he_normal/lr=0.003/wd=1"
SHUFFLED = "he_normal/shuffled/lr=0.003/wd=1"
TRUE, ARMS = (LAZY, SMALL, DECAYED), (LAZY, SMALL, DECAYED, SHUFFLED)
FORGOTTEN, KEPT, GONE = 0.25, 0.9, 0.01  # memory; of the start's length
LABELS = "What true labels add to R² of W, beside shuffled ones"

TERMS = [
    f"Memory is the share of the kernels' energy that their start still explains. Below {FORGOTTEN:.0%} a "
    f"start counts as forgotten, above {KEPT:.0%} as kept."
]
OF_CHANCE = Number("R² of the kernels less that of chance", "above chance", "below chance")
NUMBERS = {
    "batch norm lowers memory": Number(
        "memory with batch norm less that without",
        "batch norm keeps more of the start",
        "batch norm forgets more of the start",
    ),
    "batch norm changes memory by less than 0.1": Number(
        "memory with batch norm less that without",
        "batch norm keeps more of the start",
        "batch norm forgets more of the start",
    ),
    "depth changes memory by less than 0.1": Number(
        "memory of four layers less that of two",
        "the deeper network keeps more of the start",
        "the deeper network forgets more of the start",
    ),
    **{f"forgotten: W is above {null}": OF_CHANCE for null in ("N0", "N1", "N2")},
    "kept: R² of W is less than 0.1 above N0": OF_CHANCE,
    "W is not above N3": OF_CHANCE,
    "R² of W is within 0.1 of that without batch norm": Number(
        "R² of the kernels with batch norm less that without",
        "more edge-like with batch norm",
        "less edge-like with batch norm",
    ),
    "true labels give a higher R² of W": Number(
        "R² of the kernels with true labels less that with shuffled ones",
        "higher with true labels",
        "higher with shuffled labels",
    ),
}


def place(data: str, norm: bool, depth: int) -> str:
    return f"{data}, batch norm {norm}, depth {depth}"


def in_words(norm: bool, depth: int) -> str:
    return f"{depth} layers{' with batch norm' if norm else ''}"


def answer(found: StudyRuns) -> Answer:
    nets = with_cells(found.networks)
    names = plan_report.arm_words(found.plan)
    labels = equal_memory.compared(found, {DECAYED: SHUFFLED})
    return Answer(
        runs=found,
        parts=[part for data in DATA for part in tested(found, data)],
        tables={"cells": cells(nets), "labels": labels, "ladder": found.ladder},
        shown={LABELS: equal_memory.shown(labels, names)},
        measure="W",
        sentence=in_one(nets),
        terms=TERMS,
        numbers=NUMBERS,
        figures=[
            Drawn(
                "ends",
                lead(nets),
                "At the end of training: what is left of the start, and likeness to an edge detector, of the "
                "four networks. Means over networks with their 95% interval. Grey: networks of random kernels.",
                ends(nets, names, found.sweep.cells.iloc[0]),
            )
        ],
        readings=[
            equal_memory.READING,
            withered(nets),
            "'Forgotten' and 'kept' are read off an arm's mean memory at the end, in each network by itself; "
            "arms between the two are not held against chance (hypothesis 4).",
            "All steps and learning rates are those that networks without batch norm were given: none was "
            "tuned for batch norm or depth.",
        ],
        limits=[
            "Two depths, max-pooling after every layer, batch norm over the whole batch of 64, one learning "
            "rate an arm.",
            "3 x 3 kernels, 2,000 steps, AdamW, two sets of small grey images, shared by all networks of a "
            "set.",
        ],
    )


def with_cells(networks: pd.DataFrame) -> pd.DataFrame:
    """The networks with their `set`, `norm` and `depth`, by their place; those that did not diverge."""
    known = {place(*cell): cell for cell in itertools.product(DATA, NORMS, DEPTHS)}
    mine = networks[networks["data"].isin(list(known)) & ~networks["diverged"].astype(bool)]
    found = pd.DataFrame(
        [known[name] for name in mine["data"]], columns=["set", "norm", "depth"], index=mine.index
    )
    return mine.join(found)


def withered(nets: pd.DataFrame) -> str:
    """How many networks' kernels have only shrunk, which memory does not tell from a start that is kept."""
    gone = nets[(nets["start_left"] < GONE) & (nets["memory"] > KEPT)]
    told = [
        f"{len(mine)} of '{arm}' on {data} with {in_words(bool(norm), int(str(depth)))}"
        for (data, norm, depth, arm), mine in gone.groupby(["set", "norm", "depth", "arm"])
    ]
    return (
        f"Networks of which decay has left less than {GONE:.0%} of the start's length and no other direction: "
        f"{'; '.join(told) or 'none'}. They learn nothing any more, and their memory is near 100%, though "
        "nothing is kept."
    )


def cells(nets: pd.DataFrame) -> pd.DataFrame:
    """Means over networks: set, norm, depth, arm, n, and each measure."""
    measures = ["memory", "value", "delta", "edges", "low_pass", "accuracy"]
    grouped = nets.groupby(["set", "norm", "depth", "arm"], sort=False)
    return grouped[measures].mean().assign(n=grouped.size()).reset_index()


def _span(nets: pd.DataFrame, arm: str, norm: bool, column: str, form: str) -> str:
    mine = nets[(nets["arm"] == arm) & (nets["norm"] == norm)]
    means = mine.groupby(["set", "depth"])[column].mean()
    if not len(means):
        return "not known"
    low, high = (f"{value:{form}}" for value in (means.min(), means.max()))
    return low if low == high else f"{low} to {high}"


def in_one(nets: pd.DataFrame) -> str:
    """What decay leaves of the start and makes of the kernels, without batch norm and with."""
    told = [
        f"{_span(nets, DECAYED, norm, 'memory', '.0%')} of the start and makes kernels with an R² of "
        f"{_span(nets, DECAYED, norm, 'value', '.2f')} {words}"
        for norm, words in ((False, "without batch norm"), (True, "with it"))
    ]
    chance = nets["chance"].iloc[0] if len(nets) else float("nan")
    return (
        f"Over two and four layers and both sets, a decay of 1 leaves {'; '.join(told)}. Random kernels have "
        f"{chance:.2f}."
    )


def lead(nets: pd.DataFrame) -> str:
    """What batch norm does to memory, arm by arm."""
    told = [
        f"{words} {_span(nets, arm, False, 'memory', '.0%')} without and "
        f"{_span(nets, arm, True, 'memory', '.0%')} with"
        for arm, words in ((LAZY, "no decay"), (SMALL, "a start of a tenth"), (DECAYED, "decay 1"))
    ]
    return f"What is left of the start, without batch norm and with: {'; '.join(told)}"


def tested(found: StudyRuns, data: str) -> list[Claim]:
    nets, ladder, parts = found.networks, found.ladder, []

    def add(number: int, subject: str, outcome) -> None:
        parts.append(Claim(number, data, subject, outcome))

    def value(column: str, arm: str, norm: bool, depth: int) -> pd.Series:
        return by_seed(nets, column, arm, data=place(data, norm, depth))

    for depth, arm in itertools.product(DEPTHS, TRUE):
        less = (value("memory", arm, True, depth) - value("memory", arm, False, depth)).dropna()
        subject = f"{arm}, {depth} layers"
        if arm == LAZY:
            add(2, subject, within("batch norm changes memory by less than 0.1", less, 0.1))
        else:
            add(1, subject, below("batch norm lowers memory", less, 0.0))
    for norm, arm in itertools.product(NORMS, TRUE):
        less = (value("memory", arm, norm, 4) - value("memory", arm, norm, 2)).dropna()
        subject = f"{arm}{', batch norm' if norm else ''}"
        add(3, subject, within("depth changes memory by less than 0.1", less, 0.1))
    for norm, depth, arm in itertools.product(NORMS, DEPTHS, TRUE):
        subject, memory = (
            f"{arm}, {in_words(norm, depth)}",
            value("memory", arm, norm, depth).mean(),
        )
        if memory < FORGOTTEN:
            for null in ("N0", "N1", "N2"):
                step = rung(ladder, arm, "W", null, data=place(data, norm, depth))
                add(4, subject, above_chance(f"forgotten: W is above {null}", step))
        elif memory > KEPT:
            chance = nets[nets["data"] == place(data, norm, depth)]["chance"].iloc[0]
            over = value("value", arm, norm, depth) - chance
            add(4, subject, below("kept: R² of W is less than 0.1 above N0", over, 0.1))
    for norm, depth, arm in itertools.product(NORMS, DEPTHS, ARMS):
        step = rung(ladder, arm, "W", "N3", data=place(data, norm, depth))
        add(5, f"{arm}, {in_words(norm, depth)}", not_above_chance("W is not above N3", step))
    for depth in DEPTHS:
        both = [value("memory", DECAYED, norm, depth).mean() < FORGOTTEN for norm in NORMS]
        if all(both):
            less = value("value", DECAYED, True, depth) - value("value", DECAYED, False, depth)
            claim = "R² of W is within 0.1 of that without batch norm"
            add(6, f"{DECAYED}, {depth} layers", within(claim, less.dropna(), 0.1))
    for norm, depth in itertools.product(NORMS, DEPTHS):
        less = paired(nets, "value", DECAYED, SHUFFLED, data=place(data, norm, depth))
        add(7, in_words(norm, depth), above("true labels give a higher R² of W", less, 0.0))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
