"""python experiments/derived_labels/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import numpy as np
import pandas as pd
from images import OPERATORS
from matplotlib.figure import Figure

from kernelstudy import runs
from kernelstudy.analysis import bootstrap_t_interval, population_a
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.reporting import style
from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, above_chance, not_above_chance, within
from kernelstudy.studies.plan import StudyRuns, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number

PLAIN, DECAYED = "he_normal", "he_normal/wd=0.1"
SHUFFLED, STARTED = "he_normal/shuffled/wd=0.1", "sobel/wd=0.1"
KINDS, NEAR = ("noise", "photographs"), 0.15
WORDS = {name: name.capitalize() for name in OPERATORS}
LEAST, MOST = -1.0, 6.0  # of a that is drawn

FOUND = "a of W is within 15% of that of the labels' operator"
OF_CHANCE = Number("R² of the kernels less that of chance", "above chance", "below chance")
NUMBERS = {
    FOUND: Number(
        "a of the kernels over a of the operator, less 1", "a is too large", "a is too small"
    ),
    "a is higher with the second operator's labels": Number(
        "a with the second operator's labels less a with the first's"
    ),
    "the difference that labels make to a is larger on noise": Number(
        "a with Scharr's labels less a with Prewitt's, on noise less on photographs"
    ),
    "R² of W is higher with decay": Number("R² of the kernels with decay less without"),
    "with shuffled labels W is not above N0": OF_CHANCE,
    **{f"W is above {null}": OF_CHANCE for null in ("N0", "N1", "N2", "N3")},
}


def place(kind: str, operator: str) -> str:
    return f"arrays, {kind} {operator}"


def answer(found: StudyRuns) -> Answer:
    of_a = measured(found)
    return Answer(
        runs=found,
        parts=[*tested(found, of_a), *against_chance(found)],
        tables={"a": of_a, "ladder": found.ladder},
        measure="W",
        sentence=in_one(of_a),
        terms=[
            "a is that of [1, a, 1]ᵀ x [-1, 0, 1]: 1 is Prewitt's operator, 2 Sobel's, 10/3 Scharr's. It is "
            "that of all kernels of a network together, at any angle."
        ],
        numbers=NUMBERS,
        figures=[
            Drawn(
                "a",
                lead(of_a),
                "a of the kernels by the operator that made the labels. Dots: networks; diamonds: medians "
                "over networks with their 95% interval (of the mean); lines: the three operators. What lies "
                f"beyond {LEAST:g} and {MOST:g} is drawn there.",
                drawn(of_a),
            )
        ],
        readings=[
            "a of a network is that of all its kernels together, those that are no edges with them.",
            "'Within 15%' is decided on the mean over networks of a over the operator's, less 1.",
            named(found),
            "That it is the labels (hypothesis 3) is tested with the images and labels of each operator: "
            "shuffled labels differ in their order alone.",
        ],
        limits=[
            "Labels of which one operator's strongest response is the whole truth are no task that people "
            "have: this shows what training can find and what the measures can see, not what happens on "
            "photographs.",
            "One architecture, images of 12 x 12, one learning rate, 8,000 steps.",
        ],
    )


def named(found: StudyRuns) -> str:
    """How many arms the runs' own reports name the operator of."""
    cells = found.sweep.cells[found.sweep.cells["tier_W"] == "beyond image energies"]
    count = int((cells["operator_W"] != "unresolved").sum())
    return (
        f"The runs' own reports go beyond image energies in {len(cells)} arms, and name an operator in "
        f"{count}. A name needs an interval of a that holds the operator's own a; here intervals are so "
        "narrow that an a that is off by a few per cent is outside, and the reports say 'unresolved'."
    )


def measured(found: StudyRuns) -> pd.DataFrame:
    """A row a network that did not diverge: kind, labels, arm, seed, a."""
    rows = []
    places = {place(*cell): cell for cell in itertools.product(KINDS, OPERATORS)}
    for (data, *_), run in found.places.items():
        if data not in places:
            continue
        trajectory = runs.read_trajectory(run)
        kernels = spatial_kernels(trajectory)[:, :, -1]
        for row, arm in enumerate(trajectory["arm"].values):
            kept = ~trajectory["diverged"].values[row]
            for seed, net in zip(trajectory["seed"].values[kept], kernels[row, kept], strict=True):
                rows.append((*places[data], str(arm), int(seed), population_a(net).a))
    return pd.DataFrame(rows, columns=["kind", "labels", "arm", "seed", "a"])


def _a(of_a: pd.DataFrame, kind: str, labels: str, arm: str) -> pd.Series:
    mine = (of_a["kind"] == kind) & (of_a["labels"] == labels) & (of_a["arm"] == arm)
    return of_a[mine].set_index("seed")["a"]


def _told(of_a: pd.DataFrame, kind: str, arm: str) -> str:
    told = []
    for name in OPERATORS:
        values = _a(of_a, kind, name, arm).to_numpy(float)
        if len(values) > 1:
            low, high = bootstrap_t_interval(values)
            told.append(f"{values.mean():.2f} [{low:.2f}, {high:.2f}] with {WORDS[name]}'s")
    return ", ".join(told) or "not known"


def in_one(of_a: pd.DataFrame) -> str:
    """a by the labels, in one sentence."""
    operators = ", ".join(f"{WORDS[name]}'s {a:.2f}" for name, a in OPERATORS.items())
    return (
        f"From random starts, with decay, a of the kernels is on white noise {_told(of_a, 'noise', DECAYED)} "
        f"labels; on photographs {_told(of_a, 'photographs', DECAYED)}. Of the operators themselves it is "
        f"{operators}."
    )


def lead(of_a: pd.DataFrame) -> str:
    """Whether a follows the labels."""
    rising = []
    for kind in KINDS:
        means = [_a(of_a, kind, name, DECAYED).mean() for name in OPERATORS]
        if bool(np.all(np.diff(means) > 0)):
            rising.append(f"on {kind} from {means[0]:.2f} to {means[-1]:.2f}")
    if not rising:
        return "a does not follow the operator that made the labels"
    return f"a rises with that of the operator that made the labels, {' and '.join(rising)}"


def tested(found: StudyRuns, of_a: pd.DataFrame) -> list[Claim]:
    parts = []

    def add(number: int, kind: str, subject: str, outcome) -> None:
        parts.append(Claim(number, kind, subject, outcome))

    for number, arm in ((1, DECAYED), (6, STARTED)):
        for name, a in OPERATORS.items():
            off = _a(of_a, "noise", name, arm) / a - 1
            add(number, "noise", f"{arm}, {WORDS[name]}'s labels", within(FOUND, off, NEAR))
    for kind, (one, other) in itertools.product(KINDS, itertools.pairwise(OPERATORS)):
        more = (_a(of_a, kind, other, DECAYED) - _a(of_a, kind, one, DECAYED)).dropna()
        claim = "a is higher with the second operator's labels"
        add(2, kind, f"{WORDS[one]}, {WORDS[other]}", above(claim, more, 0.0))
    first, *_, last = OPERATORS
    noise, photographs = (
        _a(of_a, kind, last, DECAYED) - _a(of_a, kind, first, DECAYED) for kind in KINDS
    )
    claim = "the difference that labels make to a is larger on noise"
    add(5, "noise, photographs", DECAYED, above(claim, (noise - photographs).dropna(), 0.0))
    for name in OPERATORS:
        more = paired(found.networks, "value", DECAYED, PLAIN, data=place("noise", name))
        add(7, "noise", f"{WORDS[name]}'s labels", above("R² of W is higher with decay", more, 0.0))
    return parts


def against_chance(found: StudyRuns) -> list[Claim]:
    parts = []
    for name in OPERATORS:
        subject, where = f"{WORDS[name]}'s labels", place("noise", name)
        shuffled = rung(found.ladder, SHUFFLED, "W", "N0", data=where)
        claim = "with shuffled labels W is not above N0"
        parts.append(Claim(3, "noise", subject, not_above_chance(claim, shuffled)))
        for null in ("N0", "N1", "N2", "N3"):
            step = rung(found.ladder, DECAYED, "W", null, data=where)
            parts.append(Claim(4, "noise", subject, above_chance(f"W is above {null}", step)))
    return parts


def drawn(of_a: pd.DataFrame) -> Figure:
    """A panel a kind of image, a group an arm, a colour the operator that made the labels."""
    arms = {
        PLAIN: "random start,\nno decay",
        DECAYED: "random start,\ndecay 0.1",
        STARTED: "started as Sobel,\ndecay 0.1",
        SHUFFLED: "shuffled labels,\ndecay 0.1",
    }
    with style.styled():
        figure = Figure(figsize=(10, 4))
        panels = figure.subplots(1, len(KINDS), sharey=True)
        for axes, kind in zip(panels, KINDS, strict=True):
            for number, (name, a) in enumerate(OPERATORS.items()):
                colour = style.colour_of((0, 4, 2)[number])
                axes.axhline(a, color=colour, lw=1, ls="--")
                for group, arm in enumerate(arms):
                    values = _a(of_a, kind, name, arm).to_numpy(float)
                    at = group + 0.25 * (number - 1)
                    shown = np.clip(values, LEAST, MOST)
                    axes.plot(np.full(len(shown), at), shown, ".", color=colour, alpha=0.4)
                    if len(values) > 1:
                        ends = np.clip(bootstrap_t_interval(values), LEAST, MOST)
                        axes.plot([at, at], ends, color=colour, lw=2.5)
                        middle = np.clip(np.median(values), LEAST, MOST)
                        axes.plot(at, middle, "D", ms=6, color=colour, mec="white")
            axes.set_xticks(range(len(arms)), list(arms.values()), fontsize=8)
            axes.set_title({"noise": "white noise"}.get(kind, kind))
            axes.set_ylim(LEAST, MOST)
        panels[0].set_ylabel("a of the kernels")
        for number, (name, a) in enumerate(OPERATORS.items()):
            colour = style.colour_of((0, 4, 2)[number])
            panels[0].plot(
                [], [], "D--", color=colour, label=f"{WORDS[name]}'s labels (a = {a:.3g})"
            )
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
