"""python experiments/splits/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measures import SEEDS, crossed, table, variance

from kernelstudy.reporting import marks, style
from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import (
    above_chance,
    below,
    missing,
    not_above_chance,
    within,
)
from kernelstudy.studies.plan import StudyRuns, by_seed, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number

LAZY, DECAYED = "he_normal", "he_normal/lr=0.003/wd=1"
MEASURES = {
    "value": "R² of W",
    "delta": "R² of W − W₀",
    "edges": "edge detectors of 16",
    "memory": "memory",
    "accuracy": "accuracy",
}
BOUND = (1.5**2 - 1) / SEEDS  # of the variances: an interval of ten seeds 1.5 times as wide
LESS = f"the variance of draws is below {BOUND:g} of that of seeds and the rest"
OF_VARIANCES = Number("the variance of draws over that of seeds and the rest together")
NUMBERS = {
    "draws vary less than seeds and the rest": OF_VARIANCES,
    LESS: OF_VARIANCES,
    **{
        claim: Number("R² of the kernels less that of chance", "above chance", "below chance")
        for claim in (
            "decay: W is above N0",
            "decay: W is not above N3",
            "no decay: R² of W is less than 0.1 above N0",
        )
    },
    "decay adds as much to R² as on other draws, within 0.05": Number(
        "R² of W with decay less that without, less the mean of that over draws",
        "decay adds more on this draw",
        "decay adds less on this draw",
    ),
}


def answer(found: StudyRuns) -> Answer:
    spread = table(found.networks, MEASURES)
    return Answer(
        runs=found,
        parts=[*of_variances(found), *of_verdicts(found), *of_effects(found)],
        tables={"variance": spread, "ladder": found.ladder},
        measure="W",
        sentence=in_one(spread),
        terms=[
            "A draw is one random choice of the 4,000 training images out of 60,000; a seed is a start and an "
            "order of batches, the same on every draw."
        ],
        numbers=NUMBERS,
        figures=[
            Drawn(
                "draws",
                lead(spread),
                "A row a draw of training images. Dots: networks, a seed each; diamonds: means over seeds "
                "with their 95% interval. Dashed: the mean over all draws. Grey: networks of random kernels.",
                by_draw(found),
            )
        ],
        readings=[
            "What is said of variances (hypotheses 1 and 2) has a part for each of five measures and two arms.",
            "The variance of draws is an estimate and may lie below 0, where it is small: then it is told as "
            "0.",
        ],
        limits=[
            "The test images and the data set itself are the same on every draw: nothing is said of other "
            "test images, or of other sets.",
            "Draws of 4,000 of one set of 60,000 images: smaller sets would vary more, larger ones less.",
        ],
        shown={"Standard deviations, and how much wider an interval would be": _shown(spread)},
    )


def in_one(spread: pd.DataFrame) -> str:
    """How much wider intervals would be that also cover the draw."""
    of_r2 = spread[spread["measure"] == "value"].set_index("arm")
    of_r2 = of_r2.assign(sd_within=np.hypot(of_r2["sd_seeds"], of_r2["sd_rest"]))
    told = [
        f"{words}, R² of the kernels varies by {of_r2.loc[arm, 'sd_draws']:.3f} (standard deviation) from "
        f"draw to draw and by {of_r2.loc[arm, 'sd_within']:.3f} from seed to seed"
        for arm, words in ((LAZY, "Without decay"), (DECAYED, "with decay"))
        if arm in of_r2.index
    ]
    wider = spread["wider"]
    return (
        f"{'; '.join(told)}. Over five measures an interval of ten seeds that also covers the training images "
        f"would be {wider.min():.2f} to {wider.max():.2f} times as wide."
    )


def lead(spread: pd.DataFrame) -> str:
    """What the draw does beside the seed."""
    more = int((spread["ratio"] >= 1).sum())
    return (
        f"Which images were drawn matters less than the seed in {len(spread) - more} of {len(spread)} "
        "combinations of measure and arm"
    )


def _shown(spread: pd.DataFrame) -> pd.DataFrame:
    columns = ["arm", "measure", "mean", "sd_draws", "sd_seeds", "sd_rest", "wider"]
    return spread.assign(measure=spread["measure"].map(MEASURES))[columns].round(4)


def of_variances(found: StudyRuns) -> list[Claim]:
    parts = []
    for arm in (LAZY, DECAYED):
        for column, words in MEASURES.items():
            values = crossed(found.networks, arm, column)
            ratios = variance(values).ratios if min(values.shape, default=0) > 1 else []
            subject = f"{arm}, {words}"
            claim = "draws vary less than seeds and the rest"
            parts.append(Claim(1, "fashion_mnist", subject, below(claim, ratios, 1.0)))
            parts.append(Claim(2, "fashion_mnist", subject, below(LESS, ratios, BOUND)))
    return parts


def of_verdicts(found: StudyRuns) -> list[Claim]:
    nets, parts = found.networks, []
    for draw in dict.fromkeys(nets["data"]):
        n0, n3 = (rung(found.ladder, DECAYED, "W", null, data=draw) for null in ("N0", "N3"))
        parts.append(Claim(3, draw, DECAYED, above_chance("decay: W is above N0", n0)))
        parts.append(Claim(3, draw, DECAYED, not_above_chance("decay: W is not above N3", n3)))
        over = by_seed(nets, "value", LAZY, data=draw) - nets["chance"].iloc[0]
        claim = "no decay: R² of W is less than 0.1 above N0"
        parts.append(Claim(3, draw, LAZY, below(claim, over, 0.1)))
    return parts


def of_effects(found: StudyRuns) -> list[Claim]:
    claim = "decay adds as much to R² as on other draws, within 0.05"
    draws = list(dict.fromkeys(found.networks["data"]))
    effects = {draw: paired(found.networks, "value", DECAYED, LAZY, data=draw) for draw in draws}
    over_draws = pd.DataFrame(effects).mean(axis=1)
    return [
        Claim(4, draw, DECAYED, within(claim, (mine - over_draws).dropna(), 0.05))
        if len(mine)
        else Claim(4, draw, DECAYED, missing(claim))
        for draw, mine in effects.items()
    ]


def by_draw(found: StudyRuns) -> Figure:
    """R² of W, a panel an arm, a row a draw."""
    nets = found.networks[~found.networks["diverged"].astype(bool)]
    draws = list(dict.fromkeys(nets["data"]))
    with style.styled():
        figure = Figure(figsize=(9.5, 1.4 + 0.3 * len(draws)))
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, arm, colour in zip(
            panels, (LAZY, DECAYED), (style.colour_of(0), style.colour_of(4)), strict=True
        ):
            marks.chance(axes, found.sweep.cells.iloc[0])
            mine = nets[nets["arm"] == arm]
            axes.axvline(mine["value"].mean(), color="black", ls="--", lw=1)
            for at, draw in enumerate(draws):
                values = mine[mine["data"] == draw]["value"]
                axes.plot(
                    values, np.full(len(values), at + 0.3), ".", color=colour, alpha=0.35, ms=6
                )
                marks.mean_of_shares(axes, values, at, colour)
            axes.grid(axis="y", visible=False)
            axes.set_title(plan_report.arm_words(found.plan)[arm])
            axes.set_xlabel("likeness to an edge detector (R²)")
        panels[0].set_yticks(range(len(draws)), [f"draw {i}" for i in range(len(draws))])
        panels[0].set_ylim(len(draws) - 0.5, -0.5)
    return figure


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
