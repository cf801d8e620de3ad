"""python experiments/kernel_size/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import itertools
import sys

import pandas as pd
from figures import fitted
from measures import FITS, FORGETS, LAZY, NULLS, SMALLEST, compared, shares, slopes

from kernelstudy.studies import plan_report
from kernelstudy.studies.hypotheses import above, above_chance, below, not_above_chance
from kernelstudy.studies.plan import StudyRuns, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn
from kernelstudy.studies.plan_words import remembered

SIZES = {"photo_patches": (3, 5, 7, 9, 11), "fashion_mnist": (3, 7, 11)}
PLACES = [(data, size) for data, sizes in SIZES.items() for size in sizes]
FROZEN = {FORGETS: "he_normal/frozen/wd=2", LAZY: "he_normal/frozen"}
WORDS = {"gabor": "a Gabor function", "derivatives": "derivatives of a Gaussian"}


def place(data: str, size: int) -> str:
    return f"{data}, kernel size {size}"


def answer(found: StudyRuns) -> Answer:
    of_networks = shares(found)
    table, gains = compared(of_networks), gains_of(found)
    return Answer(
        runs=found,
        parts=tested(found, of_networks, table, gains),
        tables={"fits": table, "shares": of_networks, "gains": gains, "ladder": found.ladder},
        measure="W",
        sentence=in_one(table, gains),
        figures=[
            Drawn(
                "fitted",
                lead(table),
                "Left and middle: the share of kernels of which the function holds 80% of the energy or more, "
                "learned ones and, of the regime that forgets, the nulls of the same size. Right: "
                "what learning the "
                "first layer adds to accuracy, means over networks with their 95% interval.",
                fitted(table, gains),
            )
        ],
        readings=[
            remembered(found.networks, FORGETS),
            "N0, N2 and N3 are drawn once for each network, as many kernels as it has alive; N1 is "
            "all of its own "
            "start.",
            "'Above both' of N3: a part for each of the two kinds of N3.",
        ],
        limits=[
            "A Gabor function of a low frequency is a Gaussian: low-pass kernels count as fitted, "
            "by either function.",
            "Sixteen kernels a network, 500 steps of 16 images, one architecture, two sets of "
            "small grey images.",
            "Fitted is R² of 0.8: another level gives other shares, of learned kernels and of nulls alike.",
            "Larger kernels meet more of the images' padding, and cost more weights: size is not "
            "all that changes "
            "along it.",
        ],
    )


def gains_of(found: StudyRuns) -> pd.DataFrame:
    """Points of accuracy of learned less frozen random kernels: data, size, arm, seed, points."""
    rows = []
    for (data, size), (arm, frozen) in itertools.product(PLACES, FROZEN.items()):
        points = 100 * paired(found.networks, "accuracy", arm, frozen, data=place(data, size))
        rows += [(data, size, arm, seed, value) for seed, value in points.items()]
    return pd.DataFrame(rows, columns=["data", "size", "arm", "seed", "points"])


def in_one(table: pd.DataFrame, gains: pd.DataFrame) -> str:
    """How many kernels are fitted beside the strictest null, in one sentence."""
    told = []
    data = str(table.sort_values("size")["data"].iloc[-1])  # a set that has the largest kernels
    gains = gains[gains["data"] == data]
    mine = table[
        (table["arm"] == FORGETS) & (table["function"] == "gabor") & (table["data"] == data)
    ]
    for size in sorted({mine["size"].min(), mine["size"].max()}):
        at = mine[mine["size"] == size]
        n3 = at[at["null"].str.startswith("N3")]
        told.append(
            f"{at['value'].mean():.0%} at {size} x {size} (random kernels "
            f"{at[at['null'] == 'N0']['chance'].mean():.0%}, "
            f"kernels with only their energies or spectra {n3['chance'].min():.0%} to {n3['chance'].max():.0%})"
        )
    large = gains[gains["size"] == gains["size"].max()].groupby("arm")["points"].mean()
    small = gains[gains["size"] == gains["size"].min()].groupby("arm")["points"].mean()
    return (
        f"On {data}, where the start is forgotten, a Gabor function fits {' and '.join(told)} of "
        f"the learned kernels; "
        f"learning them instead of freezing random ones is worth {small[FORGETS]:+.1f} points of "
        f"accuracy at 3 x 3 and "
        f"{large[FORGETS]:+.1f} at 11 x 11 (lazy: {small[LAZY]:+.1f} and {large[LAZY]:+.1f})."
    )


def lead(table: pd.DataFrame) -> str:
    """What the figure shows."""
    mine = table[table["arm"] == FORGETS]
    told = []
    for null in ("N0", "N2", "N3 signs", "N3 phases"):
        rows = mine[mine["null"] == null]
        above_it = int(((rows["q"] <= 0.05) & (rows["diff"] > 0)).sum())
        told.append(f"{null} in {above_it} of {len(rows)}")
    return (
        f"Once the start is forgotten more kernels are fitted than of {', '.join(told)} "
        f"combinations of size, function "
        "and set"
    )


def tested(
    found: StudyRuns, of_networks: pd.DataFrame, table: pd.DataFrame, gains: pd.DataFrame
) -> list[Claim]:
    parts: list[Claim] = []
    keyed = {(r.data, r.arm, r.size, r.function, r.null): r for r in table.itertuples(index=False)}

    def add(number: int, data: str, subject: str, outcome) -> None:
        parts.append(Claim(number, data, subject, outcome))

    def against(data: str, arm: str, size: int, function: str, null: str):
        return keyed.get((data, arm, size, function, null))

    fitted_at = [one for one in PLACES if one[1] >= SMALLEST]
    for (data, size), (number, function) in itertools.product(fitted_at, enumerate(FITS, 1)):
        where = f"{size} x {size}"
        for null in NULLS[:3]:
            claim = f"{WORDS[function]} fits more kernels than of {null}"
            add(
                number,
                data,
                where,
                above_chance(claim, against(data, FORGETS, size, function, null)),
            )
        for null in NULLS[3:]:
            claim = f"{WORDS[function]} fits no more kernels than of {null}"
            outcome = not_above_chance(claim, against(data, FORGETS, size, function, null))
            add(3, data, where, outcome)
        claim = f"lazy: {WORDS[function]} fits no more kernels than of N1"
        add(4, data, where, not_above_chance(claim, against(data, LAZY, size, function, "N1")))
    for data, sizes in SIZES.items():
        mine = of_networks[
            (of_networks["data"] == data)
            & (of_networks["arm"] == FORGETS)
            & (of_networks["function"] == "gabor")
        ]
        by_size = mine.pivot_table(index="seed", columns="size", values="learned")
        claim = "the share that a Gabor function fits falls with the size (a pixel)"
        add(5, data, FORGETS, below(claim, slopes(by_size), 0.0))
        for arm in FROZEN:
            of_arm = gains[(gains["data"] == data) & (gains["arm"] == arm)]
            by_size = of_arm.pivot_table(index="seed", columns="size", values="points")
            claim = "learned less frozen grows with the size (points a pixel)"
            add(6, data, arm, above(claim, slopes(by_size), 0.0))
        for size in sizes:
            n0, n3 = (
                rung(found.ladder, FORGETS, "W", null, data=place(data, size))
                for null in ("N0", "N3")
            )
            add(7, data, f"{size} x {size}", above_chance("W is above N0 in R²", n0))
            add(7, data, f"{size} x {size}", not_above_chance("W is not above N3 in R²", n3))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
