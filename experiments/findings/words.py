"""The findings in sentences; every number comes from a table in results/."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from small import SMALL_STUDIES

from kernelstudy.analysis import r2_distribution
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.analysis.verdict import tier_of

METRIC, UPDATE = "r2_sobel_centered", "delta_r2_sobel_centered"
STUDIES = (
    *("regimes", "initialisation", "why", "why_forgetting"),
    *("learned_vs_handcrafted", "learned_forgetting"),
    *("batch_norm_depth", "splits", "derived_labels", "long_training"),
    *("datasets", "kernel_size", "deeper_layers", "fixed_banks", "redrawn", "replication"),
)
SMALL, FORGOTTEN = "he_normal*0.1", "he_normal/wd=2"
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
        *_regimes(results),
        *_initialisation(results),
        *_why(results),
        *_why_forgetting(results),
        *_learned(results),
        *_learned_forgetting(results),
        *(Finding(text, "", table) for study in SMALL_STUDIES for text, table in study(results)),
        _zoo(results),
    ]


def value(line, points: bool = False) -> str:
    """'0.62 [0.59, 0.65]' of a row with mean (or points) and an interval."""
    cells = line._asdict() if hasattr(line, "_asdict") else dict(line)
    middle = next(cells[name] for name in ("mean", "points") if name in cells)
    low, high = (cells.get(f"ci_{end}", cells.get(end)) for end in ("low", "high"))
    digits = "+.1f" if points else ".2f"
    if pd.isna(low):
        return f"{middle:{digits}} (unresolved)"
    return f"{middle:{digits}} [{low:{digits}}, {high:{digits}}]"


def tier(ladder: pd.DataFrame, arm: str, part: str) -> str:
    """The highest tier that an arm reaches without a gap, by the rungs it passed; '' where the table was made
    before the rungs of today."""
    mine = ladder[
        (ladder["arm"] == arm) & (ladder["part"] == part) & (ladder["measure"] == CENTRED)
    ]
    if not len(mine):
        return ""
    passed = {r.null: str(r.passed) == "True" for r in mine.itertuples()}
    if passed["N0"] and passed.get("N1") is False:
        return "above random kernels from the start, and no more so after training"
    return tier_of(passed)


def final(summary: pd.DataFrame, arm: str, measure: str):
    """The row of a run's summary at its last step."""
    mine = summary[(summary["arm"] == arm) & (summary["measure"] == measure)]
    return mine.sort_values("step").iloc[-1]


def _main_runs(results: Results) -> Iterator[Finding]:
    """What becomes of kernels in the runs that ask the main question: start kept, start forgotten."""
    for study, where in (("mnist", "4,000 digits"), ("fashion_mnist", "60,000 garments")):
        summary, ladder, kinds = (
            results(f"{study}/tables/{name}.csv") for name in ("summary", "ladder", "kinds")
        )
        if summary is None or ladder is None:
            yield _absent(study)
            continue
        step = int(summary["step"].max())
        for arm in dict.fromkeys(summary["arm"]):
            if arm != "sobel/frozen" and "shuffled" not in arm:
                text = _of_arm(summary, ladder, kinds, arm)
                yield Finding(
                    f"On {where}, step {step:,}, {arm}: {text}",
                    ", ".join(_told(tier(ladder, arm, part), part) for part in ("W", "new")),
                    f"{study}/tables/summary.csv",
                )


def _told(reached: str, part: str) -> str:
    names = {"W": "kernels", "new": "new part"}
    return f"{names[part]}: {reached or 'made before its rules changed'}"


def _of_arm(summary: pd.DataFrame, ladder: pd.DataFrame, kinds, arm: str) -> str:
    """An arm at its last step in one sentence."""
    known = set(summary[summary["arm"] == arm]["measure"])
    text = (
        f"the kernels have R² {value(final(summary, arm, METRIC))} with the best-steered Sobel pair"
    )
    implied = image_energies(ladder, arm)
    text += f" (random kernels {CHANCE:.2f}"
    text += f"; the same energies on the images' axes {implied:.2f})" if implied else ")"
    if "memory" in known:
        memory = final(summary, arm, "memory")["mean"]
        text += f", and {memory:.0%} of their energy is still their start's"
    text += f"; of W − W₀ it is {value(final(summary, arm, UPDATE))}"
    if "new_" + METRIC in known:
        text += f", of the new part {value(final(summary, arm, 'new_' + METRIC))}"
    text += f". a of the kernels is {value(final(summary, arm, 'a_pop'))}."
    if kinds is not None:
        rows = kinds[(kinds["arm"] == arm) & (kinds["part"] == "W")].set_index(["kind", "null"])
        edge, low = rows.loc[("edge", "N0")], rows.loc[("low-pass", "N0")]
        text += (
            f" A network has {edge['value']:.1f} edge detectors and {low['value']:.1f} low-pass kernels "
            f"(by chance {edge['chance']:.1f} and {low['chance']:.1f})."
        )
    return text


def image_energies(ladder: pd.DataFrame, arm: str) -> float | None:
    """What N3 gives W in the deciding measure; None where it is not there."""
    mine = ladder[(ladder["arm"] == arm) & (ladder["part"] == "W") & (ladder["null"] == "N3")]
    mine = mine[mine["measure"] == CENTRED]
    return float(mine["chance"].iloc[0]) if len(mine) else None


def _regimes(results: Results) -> Iterator[Finding]:
    """What the kernels look like against what they remember, over all ways to train; a sentence a data set."""
    course, hypotheses = (results(f"regimes/tables/{n}.csv") for n in ("course", "hypotheses"))
    if course is None or hypotheses is None:
        yield _absent("regimes")
        return
    last = course[course["step"] == course["step"].max()]
    plain = last[~last["arm"].str.contains("shuffled|scrambled|frozen|sobel|gabor")]
    for data, arms in plain.groupby("data", sort=False):
        said = []
        for words, mine in (
            ("has forgotten its start (memory below 25%)", arms[arms["memory"] < 0.25]),
            ("keeps it (memory above 90%)", arms[arms["memory"] > 0.9]),
        ):
            if len(mine):
                low, high = mine["value"].min(), mine["value"].max()
                span = f"{low:.2f} to {high:.2f}" if len(mine) > 1 else f"{low:.2f}"
                edges = f"{mine['edge'].mean():.1f} edge detectors of 16"
                said.append(f"R² {span} where training {words}, {len(mine)} ways ({edges})")
        ranks = arms[["memory", "value"]].rank().corr().iloc[0, 1]
        curve = hypotheses[(hypotheses["hypothesis"] == 1) & (hypotheses["place"] == data)]
        held = int((curve["verdict"] == "holds").sum())
        yield Finding(
            f"On {data}, {len(arms)} ways to train from random starts, 4,000 steps: {'; '.join(said)}. Rank "
            f"correlation of R² of the kernels with their memory: {ranks:+.2f}; one falling curve of memory "
            f"predicts {held} of {len(curve)} within 0.1.",
            "",
            "regimes/tables/course.csv",
        )


def _initialisation(results: Results) -> Iterator[Finding]:
    arms = results("initialisation/tables/arms.csv")
    if arms is None:
        yield _absent("initialisation")
        return
    table = arms.pivot_table(index=["data", "arm"], columns="measure", values="mean")
    moved = (table["W"] - table["start"]).abs()
    far = moved.groupby(level="arm").max().sort_values(ascending=False)
    (_, low), (_, high) = table["update"].idxmin(), table["update"].idxmax()
    count = arms["arm"].nunique()
    yield Finding(
        f"Of {count} ways to start ({_listed(arms['data'])}), the update's mean R² lies between "
        f"{table['update'].min():.2f} ({low}) and {table['update'].max():.2f} ({high}); that of W "
        f"changes from its start by at most {far.iloc[0]:.2f} ({far.index[0]}). Adam without weight decay, "
        "4,000 steps of 32 images.",
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
    kinds = _kinds(SMALL)
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
        "The update's R² less that of Gaussian kernels with its own energies on the patches' axes lies between "
        f"{n3['diff'].min():+.2f} and {n3['diff'].max():+.2f} over {len(n3)} arms; how those energies "
        f"fall off correlates with a linear network's closed form, nothing fitted, at {said}.",
        "",
        "why/tables/linear_theory.csv",
    )


def _why_forgetting(results: Results) -> Iterator[Finding]:
    arms, ladder = (results(f"why_forgetting/tables/{n}.csv") for n in ("arms", "ladder"))
    if arms is None or ladder is None:
        yield _absent("why_forgetting")
        return
    for data in dict.fromkeys(arms["data"]):
        mine = arms[(arms["data"] == data) & (arms["measure"] == "W")].set_index("arm")
        said = [
            f"{name} {value(mine.loc[arm])}"
            for name, arm in _kinds("he_normal").items()
            if arm in mine.index
        ]
        reached = tier(ladder[ladder["data"] == data], "he_normal", "W")
        text = (
            f"With a weight decay of 1 and a learning rate of 0.003 the kernels' own R² on {data} is, with "
            f"{', with '.join(said)}; chance is {CHANCE:.2f}."
        )
        yield Finding(text, reached, "why_forgetting/tables/arms.csv")


def _kinds(base: str) -> dict[str, str]:
    """Labels and inputs in words -> their arm."""
    return {
        "natural inputs": base,
        "shuffled labels": f"{base}/shuffled",
        "scrambled phases": f"{base}/phase_scrambled",
        "whitened inputs": f"{base}/whitened",
        "permuted pixels": f"{base}/permuted",
        "i.i.d. pixels": f"{base}/iid",
    }


def against_learned(results: Results) -> pd.DataFrame | None:
    """Accuracy of every arm less that of a learned first layer, for every size and width."""
    grid = results("learned_vs_handcrafted/tables/differences.csv")
    return None if grid is None else grid[grid["reference"] == "he_normal"]


_FROZEN = {
    "random kernels frozen": "he_normal/frozen",
    "Sobel and Prewitt frozen": "sobel_prewitt/frozen",
    "patch axes frozen": "patch_pca/frozen",
    "a dense layer": "dense",
}


def _learned(results: Results) -> Iterator[Finding]:
    grid = against_learned(results)
    if grid is None:
        yield _absent("learned_vs_handcrafted")
        return
    for size in (grid["size"].max(), grid["size"].min()):
        yield _frozen(
            "learned_vs_handcrafted",
            grid[grid["size"] == size],
            "800 steps of 64 images without weight decay (a lazy regime)",
        )


def _learned_forgetting(results: Results) -> Iterator[Finding]:
    grid = results("learned_forgetting/tables/differences.csv")
    if grid is None:
        return
    for size, group in grid.groupby("size", sort=False):
        yield _frozen(
            "learned_forgetting",
            group,
            "800 steps with a weight decay of 1 and a learning rate of 0.003, after which learned kernels "
            f"still hold {_remembered(results, size)} of their random start",
        )


def _remembered(results: Results, size: int) -> str:
    """Between what their memory lies over the widths."""
    table = results("learned_forgetting/tables/hypotheses.csv")
    assert table is not None
    of_start = table["claim"].str.startswith("memory") & (table["subject"] == "he_normal")
    means = table[of_start & table["place"].str.startswith(f"{size:,} images")]["estimate"]
    return f"{means.min():.2f} to {means.max():.2f}"


def _frozen(study: str, group: pd.DataFrame, training: str) -> Finding:
    """What frozen kernels cost, width by width, at one size of the training set."""
    said = []
    for name, arm in _FROZEN.items():
        mine = [f"{value(r, True)} at width {r.width}" for r in group.itertuples() if r.arm == arm]
        if mine:
            said.append(f"{name} {', '.join(mine)}")
    return Finding(
        f"With {group['size'].iloc[0]:,} garments and {training}, accuracy differs from that of a learned "
        f"first layer by, in points (above 0: better): {'; '.join(said)}.",
        "",
        f"{study}/tables/differences.csv",
    )


def _zoo(results: Results) -> Finding:
    table = results("zoo/networks.csv")
    if table is None:
        return _absent("zoo")
    table = table[table["copy_of"].isna()]  # near-copies once
    live = table["kernels"] - table["dead"] - table["constant"]
    found = table["derivative_like"].sum()
    return Finding(
        f"In {len(table)} networks that packages ship, {found} of {live.sum():,} first-layer kernels "
        f"({found / live.sum():.0%}) are derivative-like beyond isotropic chance (q < .05 within each layer).",
        "counted kernel by kernel",
        "zoo/networks.csv",
    )


def _absent(study: str) -> Finding:
    return Finding(f"The study {study} is not in results/ yet.", "", "")


def _listed(values) -> str:
    return " and ".join(dict.fromkeys(values))
