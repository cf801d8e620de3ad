"""The findings in sentences; every number comes from a table in results/."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from kernelstudy.analysis import r2_distribution
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.analysis.verdict import tier_of

METRIC, UPDATE = "r2_sobel_centered", "delta_r2_sobel_centered"
STUDIES = ("initialisation", "why", "learned_vs_handcrafted")
SMALL = "he_normal*0.1"
CHANCE = float(
    r2_distribution(2, 8).mean()
)  # two of the eight dimensions that are left without the mean


class Finding(NamedTuple):
    """A sentence, the tier of chance its claim reaches ('' where it makes none), and its table."""

    text: str
    tier: str
    table: str


class Results:
    """The tables in results/, each read once; None where a study is not there."""

    def __init__(self, place: Path):
        self.place, self._read = place, {}

    def __call__(self, name: str) -> pd.DataFrame | None:
        path = self.place / name
        if name not in self._read:
            self._read[name] = pd.read_csv(path) if path.is_file() else None
        return self._read[name]


def findings(results: Results) -> list[Finding]:
    return [
        *_main_runs(results),
        *_initialisation(results),
        *_why(results),
        *_learned(results),
        _zoo(results),
    ]


def value(line, points: bool = False) -> str:
    """'0.62 [0.59, 0.65]' of a row with mean (or points) and an interval."""
    cells = line._asdict() if hasattr(line, "_asdict") else dict(line)
    middle = next(cells[name] for name in ("mean", "points") if name in cells)
    low, high = (cells.get(f"ci_{end}", cells.get(end)) for end in ("low", "high"))
    digits = "+.1f" if points else ".2f"
    return f"{middle:{digits}} [{low:{digits}}, {high:{digits}}]"


def tier(ladder: pd.DataFrame, arm: str, part: str) -> str:
    """The highest tier that an arm reaches without a gap, by the rungs it passed."""
    mine = ladder[
        (ladder["arm"] == arm) & (ladder["part"] == part) & (ladder["measure"] == CENTRED)
    ]
    return tier_of({row.null: str(row.passed) == "True" for row in mine.itertuples()})


def final(summary: pd.DataFrame, arm: str, measure: str):
    """The row of a run's summary at its last step."""
    mine = summary[(summary["arm"] == arm) & (summary["measure"] == measure)]
    return mine.sort_values("step").iloc[-1]


def _main_runs(results: Results) -> Iterator[Finding]:
    """The update, and the kernels, of the two runs that ask the main question."""
    updates, kernels, tiers = [], [], ([], [])
    for study, where in (("mnist", "on 4,000 digits"), ("fashion_mnist", "on 60,000 garments")):
        summary, ladder = (results(f"{study}/tables/{n}.csv") for n in ("summary", "ladder"))
        if summary is None or ladder is None:
            yield _absent(study)
            continue
        a = value(final(summary, "he_normal", "delta_a_pop"))
        updates.append(f"{value(final(summary, 'he_normal', UPDATE))} {where} (a = {a})")
        moved = final(summary, "he_normal", "movement")["mean"]
        small = f", {value(final(summary, SMALL, METRIC))} from a tenth of the scale"
        kernels.append(
            f"{value(final(summary, 'he_normal', METRIC))} {where}, having moved by {moved:.0%} of their norm"
            + (small if SMALL in set(summary["arm"]) else "")
        )
        for part, told in zip(("update", "W"), tiers, strict=True):
            told.append(f"{tier(ladder, 'he_normal', part)} {where}")
    if updates:
        yield Finding(
            "What training adds to He-initialised kernels (W − W₀) has, with the best-steered Sobel pair, R² "
            f"{' and '.join(updates)}, where random kernels have {CHANCE:.2f}; a is 1 for Prewitt and 2 for "
            "Sobel.",
            ", ".join(tiers[0]),
            "mnist/tables/summary.csv",
        )
        yield Finding(
            f"The kernels W themselves end at {'; '.join(kernels)}.",
            ", ".join(tiers[1]),
            "mnist/tables/summary.csv",
        )


def _initialisation(results: Results) -> Iterator[Finding]:
    arms = results("initialisation/tables/arms.csv")
    if arms is None:
        yield _absent("initialisation")
        return
    table = arms.pivot_table(index=["data", "arm"], columns="measure", values="mean")
    moved = (table["W"] - table["start"]).abs()
    far = moved.groupby(level="arm").max().sort_values(ascending=False)
    low, high = table["update"].idxmin(), table["update"].idxmax()
    count = arms["arm"].nunique()
    yield Finding(
        f"Of {count} ways to start ({_listed(arms['data'])}), the update's mean R² lies between "
        f"{table['update'].min():.2f} ({low[1]}) and {table['update'].max():.2f} ({high[1]}); that of W "
        f"changes from its start by at most {far.iloc[1]:.2f} but in {far.index[0]} ({far.iloc[0]:.2f}).",
        "",
        "initialisation/tables/arms.csv",
    )
    base = table["accuracy"].xs("he_normal", level="arm")
    points = 100 * (
        table["accuracy"] - base.reindex(table.index.get_level_values("data")).to_numpy()
    )
    sobel = arms[(arms["arm"] == "sobel") & (arms["measure"] == "W")]
    ends = ", ".join(f"{value(row)} on {row.data}" for row in sobel.itertuples())
    yield Finding(
        f"Kernels started as Sobel's still have R² {ends}; the mean accuracy of the {count} starts lies "
        f"between {points.min():+.1f} ({points.idxmin()[1]}) and {points.max():+.1f} ({points.idxmax()[1]}) "
        "points of He's.",
        "",
        "initialisation/tables/arms.csv",
    )


def _why(results: Results) -> Iterator[Finding]:
    arms, ladder, fits = (
        results(f"why/tables/{n}.csv") for n in ("arms", "ladder", "linear_theory")
    )
    if arms is None or ladder is None or fits is None:
        yield _absent("why")
        return
    kinds = {
        "natural inputs": SMALL,
        "shuffled labels": f"{SMALL}/shuffled",
        "scrambled phases": f"{SMALL}/phase_scrambled",
        "whitened inputs": f"{SMALL}/whitened",
        "permuted pixels": f"{SMALL}/permuted",
        "i.i.d. pixels": f"{SMALL}/iid",
    }
    for data in dict.fromkeys(arms["data"]):
        mine = arms[(arms["data"] == data) & (arms["measure"] == "update")].set_index("arm")
        said = [
            f"{name} {value(mine.loc[arm])}" for name, arm in kinds.items() if arm in mine.index
        ]
        reached = tier(ladder[ladder["data"] == data], SMALL, "update")
        text = f"On {data} the update's R² is, with {', with '.join(said)}; chance is {CHANCE:.2f}."
        yield Finding(text, reached, "why/tables/arms.csv")
    n3 = ladder[(ladder["null"] == "N3") & (ladder["measure"] == METRIC)]
    natural = fits[fits["arm"] == SMALL].groupby("data")[["r", "r_without_first"]].mean()
    said = " and ".join(
        f"r = {row.r:.2f} on {row.Index} ({row.r_without_first:.2f} without the first axis)"
        for row in natural.itertuples()
    )
    yield Finding(
        f"Gaussian kernels with the layer's own energies on the patches' axes (N3) differ from the update by "
        f"{n3['diff'].min():+.2f} to {n3['diff'].max():+.2f} in R² over {len(n3)} arms; how those energies "
        f"fall off correlates with a linear network's closed form, nothing fitted, at {said}.",
        "",
        "why/tables/linear_theory.csv",
    )


def against_learned(results: Results) -> pd.DataFrame | None:
    """Accuracy of every arm less that of a learned first layer, for every size and width."""
    grid = results("learned_vs_handcrafted/tables/differences.csv")
    return None if grid is None else grid[grid["reference"] == "he_normal"]


def _learned(results: Results) -> Iterator[Finding]:
    grid = against_learned(results)
    if grid is None:
        yield _absent("learned_vs_handcrafted")
        return
    most = grid[grid["size"] == grid["size"].max()]
    for size, group in (
        (most["size"].iloc[0], most),
        (grid["size"].min(), grid[grid["size"] == grid["size"].min()]),
    ):
        said = []
        for name, arm in (
            ("random kernels frozen", "he_normal/frozen"),
            ("Sobel and Prewitt frozen", "sobel_prewitt/frozen"),
            ("patch axes frozen", "patch_pca/frozen"),
            ("a dense layer", "dense"),
        ):
            mine = [
                f"{value(r, True)} at width {r.width}" for r in group.itertuples() if r.arm == arm
            ]
            if mine:
                said.append(f"{name} {', '.join(mine)}")
        yield Finding(
            f"With {size:,} training images accuracy differs from that of a learned first layer by, in points: "
            f"{'; '.join(said)}.",
            "",
            "learned_vs_handcrafted/tables/differences.csv",
        )


def _zoo(results: Results) -> Finding:
    table = results("zoo/networks.csv")
    if table is None:
        return _absent("zoo")
    live = table["kernels"] - table["dead"] - table["constant"]
    found, named = table["derivative_like"].sum(), table["a_holds"].fillna("")
    only = int((~named.str.contains(",") & (named != "")).sum())
    threes = int((table["kernel"] == 3).sum())
    return Finding(
        f"In {len(table)} networks that packages ship, {found} of {live.sum():,} first-layer kernels "
        f"({found / live.sum():.0%}) are derivative-like beyond isotropic chance (q < .05 within each layer); "
        f"the interval of a holds one named operator alone in {only} of {threes} layers of 3 x 3.",
        "counted kernel by kernel",
        "zoo/networks.csv",
    )


def answer(results: Results) -> list[str]:
    """The answer in three sentences at most: what, why, and whether it matters."""
    said, summary, arms = [], results("mnist/tables/summary.csv"), results("why/tables/arms.csv")
    grid = against_learned(results)
    if summary is not None:
        names = (UPDATE, METRIC, "movement")
        update, kernels, moved = (final(summary, "he_normal", name) for name in names)
        said.append(
            f"On digits, what training adds to first-layer kernels has R² {value(update)} with the "
            f"best-steered Sobel pair where chance is {CHANCE:.2f}; the kernels themselves have "
            f"{value(kernels)}, and move by {moved['mean']:.0%} of their norm."
        )
    if arms is not None:
        update = arms[arms["measure"] == "update"].set_index(["data", "arm"])["mean"]
        ends = []
        for data in dict.fromkeys(arms["data"]):
            natural, *others = (
                f"{update[data, f'{SMALL}{change}']:.2f}"
                for change in ("", "/shuffled", "/phase_scrambled", "/iid")
            )
            ends.append(f"{natural} on {data} ({', '.join(others)})")
        said.append(
            f"From a small start the update reaches {' and '.join(ends)}; in brackets with shuffled labels, "
            "with scrambled phases and with independent pixels."
        )
    if grid is not None:
        mine = grid[(grid["size"] == grid["size"].max()) & (grid["width"] == 16)].set_index("arm")
        if {"he_normal/frozen", "sobel_prewitt/frozen"} <= set(mine.index):
            frozen, of_random = mine.loc["sobel_prewitt/frozen"], mine.loc["he_normal/frozen"]
            said.append(
                f"With {int(frozen['size']):,} images frozen Sobel and Prewitt kernels change accuracy by "
                f"{value(frozen, True)} points against learned ones, frozen random ones by "
                f"{value(of_random, True)}."
            )
    return said


def _absent(study: str) -> Finding:
    return Finding(f"The study {study} is not in results/ yet.", "", "")


def _listed(values) -> str:
    return " and ".join(dict.fromkeys(values))
