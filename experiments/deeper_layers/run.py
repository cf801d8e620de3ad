"""python experiments/deeper_layers/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import pandas as pd
from figures import ways_of_labels
from measures import LAYERS, Ways, best_before_the_end, course, ways

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below
from kernelstudy.studies.plan import StudyRuns
from kernelstudy.studies.plan_report import Answer, Claim, Drawn
from kernelstudy.studies.plan_words import remembered

PLAIN, MIRRORED = "fashion_mnist, flip False", "fashion_mnist, flip True"
DATA = ("mnist5k", PLAIN)
LAZY, FORGETS, SHUFFLED = "he_normal", "he_normal/wd=2", "he_normal/shuffled"
TRUE = (LAZY, FORGETS)
WORDS = {LAZY: "lazy", FORGETS: "start forgotten", SHUFFLED: "lazy, shuffled labels"}


def answer(found: StudyRuns) -> Answer:
    seen = ways(found)
    parts = tested(seen)
    means = seen.channels.groupby(["data", "arm", "layer"], sort=False)
    columns = ["labelled", "hidden", "passing", "early", "symmetric_start", "symmetric", "swapped"]
    return Answer(
        runs=found,
        parts=parts,
        tables={
            "channels": seen.channels,
            "layers": means[columns].mean().reset_index(),
            "courses": seen.courses[seen.courses["measure"] == "agreement"],
            "means": seen.courses.groupby(["data", "arm", "layer", "measure", "step"], sort=False)[
                "value"
            ]
            .mean()
            .reset_index(),
        },
        measure="W",
        sentence=in_one(seen),
        figures=[
            Drawn(
                f"way_{data.partition(',')[0]}",
                lead(seen, data),
                f"Second and third layer on {data}. Left: channels by what becomes of their "
                f"labels, means over networks. "
                "Middle and right: kappa is agreement beyond chance (1: all labels alike), means "
                "over networks or pairs, "
                "with 95% intervals at the last log points.",
                ways_of_labels(seen.channels, seen.courses, data, WORDS),
            )
            for data in dict.fromkeys(seen.channels["data"])
            if data != MIRRORED
        ],
        readings=[
            remembered(found.networks, FORGETS),
            "A label is its kind for 'hidden' and 'passing', and its kind with its direction for kappa.",
            "Log points on the way are those after step 0 and before the last. Channels of two "
            "seeds are matched anew at "
            "every log point, by what they answer there to the same test images.",
            "Where nearly all channels of a layer have one label (unselective), kappa rests on few "
            "channels; where "
            "all have it there is none.",
        ],
        limits=[
            "The labels are one vocabulary (edge, bar, corner, blob) with one threshold: what "
            "channels do that is none of "
            "these is not seen.",
            "Small networks of three layers, 800 steps, two sets of small grey images; 14 log points, between "
            "which a label may come and go unseen.",
            "Hidden labels count what noise makes, too: by the rule 5% of untrained channels have one at any "
            "point; the arm with shuffled labels shows how many come by training alone.",
        ],
    )


def in_one(seen: Ways) -> str:
    """How much the end does not show, and whether there is a better time, in one sentence."""
    plain = seen.channels[seen.channels["data"].isin(DATA) & (seen.channels["layer"] > 1)]
    deeper = plain.groupby("arm")[["hidden", "passing"]].mean()
    end = seen.courses[seen.courses["data"].isin(DATA)]
    end = end[end["step"] == end["step"].max()]
    kappa = end[(end["measure"] == "agreement") & (end["layer"] > 1)].groupby("arm")["value"].mean()
    more = deeper["hidden"][LAZY] > deeper["hidden"][SHUFFLED] + 0.05
    says = (
        "and more where there is something to learn"
        if more
        else "but as much where labels are shuffled and there is nothing to learn"
    )
    return (
        f"Watching shows more than the last feature maps, {says}: in the deeper layers "
        f"{deeper['hidden'][LAZY]:.0%} of the channels (start forgotten: "
        f"{deeper['hidden'][FORGETS]:.0%}; shuffled "
        f"labels: {deeper['hidden'][SHUFFLED]:.0%}) had a label on the way that the end does not show, and "
        f"{deeper['passing'][LAZY]:.0%} ({deeper['passing'][FORGETS]:.0%}) became another kind; "
        f"networks from two "
        f"seeds agree on labels at the end by a kappa of {kappa[LAZY]:.2f} ({kappa[FORGETS]:.2f})."
    )


def lead(seen: Ways, data: str) -> str:
    """What a set's figure shows."""
    mine = seen.channels[(seen.channels["data"] == data) & (seen.channels["layer"] > 1)]
    means = mine.groupby("arm")[["hidden", "early"]].mean()
    end = seen.courses[(seen.courses["data"] == data) & (seen.courses["layer"] > 1)]
    end = end[(end["step"] == end["step"].max()) & (end["measure"] == "agreement")]
    kappa = end.groupby("arm")["value"].mean()
    return (
        f"On {data} {means['hidden'][LAZY]:.0%} of the deeper channels had a label that the end "
        f"does not show (start "
        f"forgotten: {means['hidden'][FORGETS]:.0%}; shuffled labels: "
        f"{means['hidden'][SHUFFLED]:.0%}); labels at a quarter "
        f"of the way tell the last ones by a kappa of {means['early'][LAZY]:.2f} "
        f"({means['early'][FORGETS]:.2f}), and two "
        f"seeds agree at the end by {kappa[LAZY]:.2f} ({kappa[FORGETS]:.2f})"
    )


def tested(seen: Ways) -> list[Claim]:
    parts: list[Claim] = []

    def add(number: int, data: str, arm: str, layer: int, outcome) -> None:
        parts.append(Claim(number, data, f"{arm}, layer {layer}", outcome))

    def of(data: str, arm: str, layer: int, column: str) -> pd.Series:
        rows = seen.channels[
            (seen.channels["data"] == data)
            & (seen.channels["arm"] == arm)
            & (seen.channels["layer"] == layer)
        ]
        return rows.set_index("seed")[column]

    for data, arm, layer in itertools.product(DATA, (*TRUE, SHUFFLED), LAYERS):
        kappa = course(seen.courses, data, arm, layer, "agreement")
        if arm == SHUFFLED:
            continue
        end = kappa.iloc[:, -1].dropna() if len(kappa) else []
        add(
            3,
            data,
            arm,
            layer,
            below(
                "fewer than 10% of channels pass through another kind",
                of(data, arm, layer, "passing"),
                0.1,
            ),
        )
        add(
            4,
            data,
            arm,
            layer,
            below(
                "a quarter of the way tells the end at a kappa below 0.6",
                of(data, arm, layer, "early"),
                0.6,
            ),
        )
        add(5, data, arm, layer, below("seeds agree at the end at a kappa below 0.3", end, 0.3))
        best = best_before_the_end(kappa.to_numpy(float)) if len(kappa) > 1 else []
        add(
            6,
            data,
            arm,
            layer,
            below("seeds agree less than 0.1 more at any time before", best, 0.1),
        )
        if layer == 1:
            continue
        add(5, data, arm, layer, above("seeds agree more than by chance at the end", end, 0.0))
        claim = "more than 10% of channels had a label that the end does not show"
        add(1, data, arm, layer, above(claim, of(data, arm, layer, "hidden"), 0.1))
        if arm == LAZY:
            less = of(data, LAZY, layer, "hidden") - of(data, SHUFFLED, layer, "hidden")
            add(
                2,
                data,
                arm,
                layer,
                above(
                    "more labels are hidden with true labels than with shuffled", less.dropna(), 0.0
                ),
            )
        if layer == LAYERS[-1]:
            read = course(seen.courses, data, arm, layer, "classes").to_numpy(float)
            gain = best_before_the_end(read) if len(read) > 1 else []
            add(
                7,
                data,
                arm,
                layer,
                below("classes are read less than 0.01 better before the end", gain, 0.01),
            )
    for arm, layer in itertools.product(TRUE, LAYERS[1:]):
        for data in DATA:
            rows = of(data, arm, layer, "symmetric") - of(data, arm, layer, "symmetric_start")
            add(8, data, arm, layer, above("the mean kernel becomes more symmetric", rows, 0.0))
        away = of(MIRRORED, arm, layer, "swapped") - of(PLAIN, arm, layer, "swapped")
        claim = "mirrored images leave less that is odd under a left-right swap"
        add(9, "fashion_mnist", arm, layer, below(claim, away.dropna(), 0.0))
    return sorted(parts, key=lambda part: part.hypothesis)


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
