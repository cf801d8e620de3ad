"""The findings of the small studies in sentences; every number comes from a table in results/."""

from collections.abc import Iterator

import pandas as pd

from kernelstudy.analysis import bootstrap_t_interval

LAZY, FORGETS, SHUFFLED = "he_normal", "he_normal/wd=2", "he_normal/shuffled"


def with_interval(values: pd.Series, form: str = ".2f") -> str:
    """'0.62 [0.59, 0.65]': the mean over networks with its bootstrap-t interval."""
    known = values.dropna().to_numpy(float)
    low, high = bootstrap_t_interval(known)
    return f"{known.mean():{form}} [{low:{form}}, {high:{form}}]"


def batch_norm_depth(results) -> Iterator[tuple[str, str]]:
    cells = results("batch_norm_depth/tables/cells.csv")
    if cells is None:
        return
    for data, mine in cells.groupby("set", sort=False):
        told = []
        for arm, words in (
            ("he_normal", "without decay"),
            ("he_normal*0.1", "from a tenth of the scale"),
            ("he_normal/lr=0.003/wd=1", "with a decay of 1"),
        ):
            of_arm = mine[mine["arm"] == arm].set_index(["norm", "depth"])
            said = [
                f"{of_arm.loc[(norm, depth), 'value']:.2f} ({of_arm.loc[(norm, depth), 'memory']:.0%})"
                for norm in (False, True)
                for depth in (2, 4)
                if (norm, depth) in of_arm.index
            ]
            told.append(f"{words} {', '.join(said)}")
        yield (
            f"On {data}, R² of the kernels (in brackets what is left of their start) in networks of two and "
            f"four layers, and of two and four with batch norm: {'; '.join(told)}.",
            "batch_norm_depth/tables/cells.csv",
        )


def derived_labels(results) -> Iterator[tuple[str, str]]:
    of_a = results("derived_labels/tables/a.csv")
    if of_a is None:
        return
    for arm, words in (("he_normal/wd=0.1", "a random start"), ("sobel/wd=0.1", "Sobel's kernels")):
        told = []
        for kind, where in (("noise", "white noise"), ("photographs", "photographs")):
            mine = of_a[(of_a["arm"] == arm) & (of_a["kind"] == kind)]
            said = [
                f"{with_interval(group['a'])} by {str(name).capitalize()}'s"
                for name, group in mine.groupby("labels", sort=False)
            ]
            told.append(f"on {where} {', '.join(said)}")
        yield (
            "Where labels are the direction of the strongest response of one operator, a of the kernels "
            f"(Prewitt's is 1, Sobel's 2, Scharr's 3.33) ends, from {words} with a decay of 0.1, "
            f"{'; '.join(told)}.",
            "derived_labels/tables/a.csv",
        )


def splits(results) -> Iterator[tuple[str, str]]:
    spread = results("splits/tables/variance.csv")
    if spread is None:
        return
    of_r2 = spread[spread["measure"] == "value"]
    within = (of_r2["sd_seeds"] ** 2 + of_r2["sd_rest"] ** 2) ** 0.5
    told = [
        f"{draws:.3f} and {seeds:.3f} {'with' if 'wd' in arm else 'without'} decay"
        for arm, draws, seeds in zip(of_r2["arm"], of_r2["sd_draws"], within, strict=True)
    ]
    yield (
        "From one draw of 4,000 training images to another, and from seed to seed, R² of the kernels has "
        f"standard deviations of {', '.join(told)}. Intervals of ten seeds that also cover the draw would be "
        f"{spread['wider'].min():.2f} to {spread['wider'].max():.2f} times as wide, over "
        f"{spread['measure'].nunique()} measures.",
        "splits/tables/variance.csv",
    )


def long_training(results) -> Iterator[tuple[str, str]]:
    ends = results("long_training/tables/ends.csv")
    if ends is None:
        return
    arms = {
        "he_normal/lr=0.003": "without decay",
        "he_normal/wd=0.1": "with a decay of 0.1",
        "he_normal/lr=0.003/wd=1": "with a decay of 1",
        "sobel/lr=0.003/wd=1": "with that decay from Sobel's kernels",
    }
    for data, mine in ends.groupby("data", sort=False):
        told = [
            f"{words} from {row.memory_half:.0%} to {row.memory_end:.0%} (R² {row.value_half:.2f} to "
            f"{row.value_end:.2f})"
            for arm, words in arms.items()
            for row in mine[mine["arm"] == arm].itertuples()
        ]
        yield (
            f"On {data}, between step {mine['step_half'].iloc[0]:,} and step {mine['step_end'].iloc[0]:,}, the "
            f"share of the kernels' energy that is their start's goes {', '.join(told)}.",
            "long_training/tables/ends.csv",
        )


def datasets(results) -> Iterator[tuple[str, str]]:
    """A sentence and its table; nothing where the study is not there. So for all below."""
    nets, correlations = (results(f"datasets/tables/{name}.csv") for name in ("a", "correlations"))
    if nets is None or correlations is None:
        return
    kernels = nets[(nets["arm"] == FORGETS) & (nets["part"] == "W")]
    turned = kernels[kernels["concentration"] > 0].groupby("seed")["aligned"].mean()
    yield (
        f"Over {nets['data'].nunique()} sets of images, where a decay of 2 makes the start forgotten, a of "
        "the kernels goes with a of the images' own patches by a rank correlation of "
        f"{with_interval(correlations[FORGETS])} (what training adds without decay: "
        f"{with_interval(correlations[LAZY])}), and on images whose edges lie about one direction edge "
        f"detectors lie along it by {with_interval(turned)} of 1.",
        "datasets/tables/a.csv",
    )


def kernel_size(results) -> Iterator[tuple[str, str]]:
    fits, gains = (results(f"kernel_size/tables/{name}.csv") for name in ("fits", "gains"))
    if fits is None or gains is None:
        return
    data = fits.loc[fits["size"].idxmax(), "data"]  # a set that has the largest kernels
    mine = fits[(fits["data"] == data) & (fits["arm"] == FORGETS) & (fits["function"] == "gabor")]
    told = []
    for size, at in mine.groupby("size"):
        chance = at.groupby("null")["chance"].mean()
        told.append(
            f"{at['value'].mean():.0%} of kernels of {size} x {size} (random {chance['N0']:.0%}, random signs "
            f"on the images' axes {chance['N3 signs']:.0%}, random phases {chance['N3 phases']:.0%})"
        )
    ends, gains = [], gains[gains["data"] == data]
    for size in (gains["size"].min(), gains["size"].max()):
        by_seed = (
            gains[(gains["size"] == size) & (gains["arm"] == FORGETS)]
            .groupby("seed")["points"]
            .mean()
        )
        ends.append(f"{with_interval(by_seed, '+.1f')} points at {size} x {size}")
    yield (
        f"On {data}, where the start is forgotten, a Gabor function holds 80% of the energy of "
        f"{', '.join(told)}; learning the first layer instead of freezing it is worth {' and '.join(ends)}.",
        "kernel_size/tables/fits.csv",
    )


def deeper_layers(results) -> Iterator[tuple[str, str]]:
    channels, courses = (results(f"deeper_layers/tables/{n}.csv") for n in ("channels", "courses"))
    if channels is None or courses is None:
        return
    plain = channels[~channels["data"].str.endswith("True") & (channels["layer"] > 1)]
    told = [
        f"{words} {with_interval(plain[plain['arm'] == arm].groupby('seed')['hidden'].mean())}"
        for arm, words in (
            (LAZY, "without decay"),
            (FORGETS, "with"),
            (SHUFFLED, "with shuffled labels"),
        )
    ]
    agreed = courses[(courses["measure"] == "agreement") & (courses["layer"] > 1)]
    agreed = agreed[~agreed["data"].str.endswith("True") & (agreed["step"] == agreed["step"].max())]
    kappa = [
        with_interval(agreed[agreed["arm"] == arm].groupby("unit")["value"].mean())
        for arm in (LAZY, FORGETS)
    ]
    yield (
        "Of the channels of the second and third layer this share had a label (edge, bar, corner, blob) on "
        f"the way that the last feature maps do not show: {', '.join(told)}. At the end two seeds agree on "
        f"labels beyond chance by kappa {kappa[0]} without decay and {kappa[1]} with.",
        "deeper_layers/tables/channels.csv",
    )


def fixed_banks(results) -> Iterator[tuple[str, str]]:
    gains = results("fixed_banks/tables/gains.csv")
    if gains is None:
        return
    for size, at in gains.groupby("size"):
        told = []
        for bank in (
            "edges2",
            "compass8",
            "random (8, 4)",
            "masters8",
            "random (8, 8)",
            "random (16, 9)",
        ):
            rows = at[at["bank"] == bank].set_index("regime")
            cells = [
                f"{rows['points'][r]:+.1f} [{rows['low'][r]:+.1f}, {rows['high'][r]:+.1f}]"
                for r in ("lazy", "forgetting")
                if r in rows.index
            ]
            if cells:
                told.append(f"{bank} {' and '.join(cells)}")
        yield (
            f"With {int(str(size)):,} digits frozen banks change accuracy against a learned first layer, in "
            f"points without decay and with: {'; '.join(told)}.",
            "fixed_banks/tables/gains.csv",
        )


_REDRAWN = {
    "learned: redrawn − random start, early": "as a start, at a tenth of the steps",
    "learned: redrawn − random start, end": "at the end",
    "frozen: redrawn − random, end": "frozen, against frozen random ones",
    "frozen: redrawn − copied, end": "against frozen copies of learned ones",
}


def redrawn(results) -> Iterator[tuple[str, str]]:
    differences = results("redrawn/tables/differences.csv")
    if differences is None:
        return
    told = []
    for data, mine in differences.groupby("data", sort=False):
        by_comparison = mine.groupby("comparison")
        said = []
        for comparison, words in _REDRAWN.items():
            rows = by_comparison.get_group(comparison).itertuples()
            cells = [f"{row.points:+.1f} [{row.low:+.1f}, {row.high:+.1f}]" for row in rows]
            said.append(f"{words} {' and '.join(cells)}")
        told.append(f"On {data}: {', '.join(said)}.")
    yield (
        "Kernels drawn anew from the covariance of learned ones change accuracy, in points, without decay and "
        f"with. {' '.join(told)}",
        "redrawn/tables/differences.csv",
    )


def replication(results) -> Iterator[tuple[str, str]]:
    claims = results("replication/tables/claims.csv")
    if claims is None:
        return
    told = []
    for word in ("agrees", "partly", "disagrees", "cannot be told", "not tested"):
        papers = claims[claims["verdict"] == word]["paper"]
        if len(papers):
            told.append(f"{word}: {', '.join(papers)}")
    yield (
        f"Of {len(claims)} published claims since 2022, in small networks: {'; '.join(told)}.",
        "replication/tables/claims.csv",
    )


SMALL_STUDIES = (
    batch_norm_depth,
    derived_labels,
    long_training,
    splits,
    datasets,
    kernel_size,
    deeper_layers,
    fixed_banks,
    redrawn,
    replication,
)
