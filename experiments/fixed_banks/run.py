"""python experiments/fixed_banks/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy import handcrafted
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.config.study import Arm
from kernelstudy.reporting import style
from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, below, within
from kernelstudy.studies.plan import StudyRuns, by_seed
from kernelstudy.studies.plan_report import Answer, Claim, Drawn

SIZES, FEW, ALL = (100, 1000, 4000), 100, 4000
REGIMES = ("lazy", "forgetting")
LEARNED, RANDOM = "learned", "random (16, 9)"
NAMED = {  # banks by their first kernel
    "sobel_x": "edges",
    "robinson_0": "compass",
    "kirsch_0": "kirsch",
    "gaussian": "masters",
    "freichen_1": "freichen",
    "dct_0_0": "dct",
}
ORDER = (
    *("edges2", "compass4", "compass8", "kirsch8", "masters8", "freichen9", "dct9"),
    *("random (2, 2)", "random (8, 4)", "random (8, 8)", RANDOM),
)
LIKE = {"edges2": "random (2, 2)", "compass8": "random (8, 4)", "kirsch8": "random (8, 8)"}


def answer(found: StudyRuns) -> Answer:
    nets = accuracies(found)
    table = gains(nets)
    return Answer(
        runs=found,
        parts=tested(nets),
        tables={"gains": table, "accuracies": nets},
        measure="accuracy",
        sentence=in_one(table),
        figures=[
            Drawn(
                "gains",
                lead(table),
                "Accuracy of networks with a frozen bank less that of networks that learn their "
                "first layer, paired by "
                "seed, means with their 95% interval; banks from few kernels to many, (number, "
                "dimension spanned). "
                "Filled: hand-crafted; open: random kernels.",
                drawn(table),
            )
        ],
        readings=[
            "A random bank is the mean of its two draws, seed by seed.",
            "Where a hypothesis says 'every size and both regimes', each is a part.",
        ],
        limits=[
            "Small grey digits, one architecture, 300 steps at every size: with 100 images that is "
            "48 passes over them, "
            "with 4,000 little more than one, so that size and repetition go together.",
            "Each size is one subset of the images, and each random bank two draws: intervals are "
            "over seeds alone.",
            "Only the first layer is fixed; in Linse et al. and Babaiee et al. all spatial kernels "
            "are, in deep networks.",
        ],
    )


class Bank(NamedTuple):
    """What an arm's first layer is: its name, how many different kernels, how many dimensions they span."""

    name: str
    number: int
    dimension: int


def bank_of(arm: dict[str, Any]) -> Bank:
    """Of an arm as the plan gives it."""
    if arm["init"] == "bank":
        names = arm["kernels"]
        kernels = np.stack([handcrafted.kernel(name, 3).ravel() for name in names])
        dimension = int(np.linalg.matrix_rank(kernels, tol=1e-6))
        return Bank(f"{NAMED[names[0]]}{len(names)}", len(names), dimension)
    if arm["init"] == "file":
        _, number, dimension, _ = Path(arm["path"]).stem.split("_")
        return Bank(f"random ({number}, {dimension})", int(number), int(dimension))
    return Bank(RANDOM if arm.get("first_layer") == "frozen" else LEARNED, 16, 9)


def accuracies(found: StudyRuns) -> pd.DataFrame:
    """Percent of the test images: size, regime, bank, number, dimension, seed, accuracy; of draws the mean."""
    rows = []
    arms: list[dict[str, Any]] = found.plan.settings["arms"]
    for size, arm in [(size, arm) for size in SIZES for arm in arms]:
        accuracy = 100 * by_seed(found.networks, "accuracy", Arm(**arm).name, size=size)
        key = (size, REGIMES["weight_decay" in arm], *bank_of(arm))
        rows += [(*key, seed, value) for seed, value in accuracy.items()]
    names = ["size", "regime", "bank", "number", "dimension", "seed", "accuracy"]
    table = pd.DataFrame(rows, columns=names)
    return table.groupby(names[:-1], sort=False)["accuracy"].mean().reset_index()


def of(nets: pd.DataFrame, size: int, regime: str, bank: str) -> pd.Series:
    rows = (nets["size"] == size) & (nets["regime"] == regime) & (nets["bank"] == bank)
    return nets[rows].set_index("seed")["accuracy"]


def points(nets: pd.DataFrame, size: int, regime: str, bank: str, other: str) -> pd.Series:
    """Points of one bank less another, by seed."""
    return (of(nets, size, regime, bank) - of(nets, size, regime, other)).dropna()


def gains(nets: pd.DataFrame) -> pd.DataFrame:
    """Every bank less learned kernels: size, regime, bank, number, dimension, n, points, low, high, p, q."""
    rows = []
    keys = ["size", "regime", "bank", "number", "dimension"]
    cells = nets[nets["bank"] != LEARNED][keys].drop_duplicates()
    for size, regime, bank, number, dimension in cells.to_numpy().tolist():
        away = points(nets, size, regime, bank, LEARNED)
        rows.append((size, regime, bank, number, dimension, *within("", away, 0.0)[1:6]))
    table = pd.DataFrame(rows, columns=[*keys, "n", "points", "low", "high", "p"])
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy(float)))


def in_one(table: pd.DataFrame) -> str:
    """What banks are worth with few images and with all, in one sentence."""
    told = []
    hand = ~table["bank"].str.startswith("random")
    for size in sorted({table["size"].min(), table["size"].max()}):
        at = table[table["size"] == size]
        of_banks, of_random = (
            at[mask[at.index]].groupby("bank")["points"].mean() for mask in (hand, ~hand)
        )
        told.append(
            f"with {size:,} images frozen hand-crafted banks change accuracy by {of_banks.min():+.1f} "
            f"({of_banks.idxmin()}) to {of_banks.max():+.1f} points ({of_banks.idxmax()}) against "
            f"learned kernels, random "
            f"ones by {of_random.min():+.1f} to {of_random.max():+.1f}"
        )
    return f"Over both regimes, {'; '.join(told)}."


def lead(table: pd.DataFrame) -> str:
    """What the figure shows."""
    hand = table[~table["bank"].str.startswith("random")]
    told = []
    for size, at in hand.groupby("size"):
        better, worse = (int(((at["q"] <= 0.05) & (s * at["points"] > 0)).sum()) for s in (1, -1))
        told.append(
            f"{better} better and {worse} worse of {len(at)} with {int(str(size)):,} images"
        )
    return f"Hand-crafted banks beside learned kernels (q ≤ .05): {', '.join(told)}"


def drawn(table: pd.DataFrame) -> Figure:
    """A panel a size, a row a bank, a colour a regime."""
    with style.styled():
        figure = Figure(figsize=(11.5, 4.6))
        sizes = sorted(table["size"].unique())
        panels = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            for number, regime in enumerate(REGIMES):
                mine = table[(table["size"] == size) & (table["regime"] == regime)]
                _gains(
                    axes,
                    mine.set_index("bank"),
                    0.3 * (number - 0.5),
                    style.colour_of((4, 0)[number]),
                )
            axes.axvline(0, color="black", lw=0.9)
            axes.set(title=f"{size:,} training images", xlabel="points above learned kernels")
            axes.grid(axis="y", visible=False)
        spans = table.drop_duplicates("bank").set_index("bank")
        labels = [
            bank if "(" in bank else f"{bank} ({spans['number'][bank]}, {spans['dimension'][bank]})"
            for bank in ORDER
        ]
        panels[0].set_yticks(range(len(ORDER)), labels)
        panels[0].set_ylim(len(ORDER) - 0.5, -0.5)
        for number, regime in enumerate(REGIMES):
            panels[0].plot([], [], "D", ms=5, color=style.colour_of((4, 0)[number]), label=regime)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _gains(axes: Axes, table: pd.DataFrame, shift: float, colour: str) -> None:
    for row, bank in enumerate(ORDER):
        if bank not in table.index:
            continue
        low, middle, high = np.asarray(table.loc[bank, ["low", "points", "high"]], float)
        axes.plot([low, high], [row + shift] * 2, color=colour, lw=2)
        face = "white" if bank.startswith("random") else colour
        axes.plot(middle, row + shift, "D", ms=5, mfc=face, mec=colour)


def tested(nets: pd.DataFrame) -> list[Claim]:
    parts: list[Claim] = []

    def add(number: int, size: int | str, regime: str, subject: str, outcome) -> None:
        where = f"{size:,} images" if isinstance(size, int) else size
        parts.append(Claim(number, f"{where}, {regime}", subject, outcome))

    for regime, size, bank in itertools.product(
        REGIMES, SIZES[:2], ("kirsch8", "masters8", "freichen9")
    ):
        claim = "a frozen bank is above learned kernels"
        add(1, size, regime, bank, above(claim, points(nets, size, regime, bank, LEARNED), 0.0))
    for regime, bank in itertools.product(REGIMES, ("kirsch8", "masters8", "freichen9")):
        few, many = (points(nets, size, regime, bank, LEARNED) for size in (FEW, ALL))
        claim = "its gain over learned kernels is larger with 100 images than with 4,000"
        add(2, "100 and 4,000 images", regime, bank, above(claim, (few - many).dropna(), 0.0))
    for regime, size in itertools.product(REGIMES, SIZES):
        for bank, other in LIKE.items():
            claim = "hand-crafted kernels are within 2 points of random ones of their number and dimension"
            add(3, size, regime, bank, within(claim, points(nets, size, regime, bank, other), 2.0))
        for more, fewer in (("compass8", "compass4"), ("freichen9", "edges2")):
            claim = "more kernels are better"
            outcome = above(claim, points(nets, size, regime, more, fewer), 0.0)
            add(4, size, regime, f"{more} − {fewer}", outcome)
        for wide, narrow in (("kirsch8", "compass8"), ("random (8, 8)", "random (8, 4)")):
            claim = "more dimensions change accuracy by less than 1 point"
            outcome = within(claim, points(nets, size, regime, wide, narrow), 1.0)
            add(5, size, regime, f"{wide} − {narrow}", outcome)
    for regime in REGIMES:
        for number, bank, bound in ((6, RANDOM, 1.5), (7, "masters8", 1.0)):
            cost = points(nets, ALL, regime, LEARNED, bank)
            claim = f"frozen, it costs less than {bound:g} points"
            add(number, ALL, regime, bank, below(claim, cost, bound))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
