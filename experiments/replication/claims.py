"""The published claims since 2022, each held against the tables in results/; no number is typed in here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from kernelstudy.analysis import bootstrap_t_interval

STUDY = "replication"
AGREES, PARTLY, DISAGREES = "agrees", "partly", "disagrees"
OPEN, UNTESTED = "cannot be told", "not tested"
MOST = 6  # parts that are written out


class Published(NamedTuple):
    """A claim, and where it is tested: (study, hypothesis, how a part's claim or subject begins; '' for all).
    `regimes`: in which it was tested here; `why`: what may explain the outcome, or what is missing."""

    paper: str
    claim: str
    tested: tuple[tuple[str, int, str], ...]
    regimes: str
    why: str
    size: float | None = (
        None  # the least that the abstract tells, in the unit of the first of `tested`
    )


BOTH = "lazy and forgetting"
PUBLISHED = (
    Published(
        "Chowers & Weiss 2023",
        "The first layer's energies over the patches' axes follow from patch statistics, and are "
        "alike over starts",
        (("why", 6, "profile correlates"), ("regimes", 2, "energy profiles")),
        "small start without decay (closed form); forgetting (alike over starts)",
        "The closed form is of a linear network with plain gradient descent; here Adam, ReLU and a "
        "max-pool, and "
        "over nine axes the first decides the correlation.",
    ),
    Published(
        "Gavrikov & Keuper 2023",
        "Learning 3 x 3 kernels gains little over frozen random ones; the gain grows with the kernels' size",
        (
            ("learned_vs_handcrafted", 1, "a frozen random"),
            ("fixed_banks", 6, ""),
            ("kernel_size", 6, ""),
        ),
        BOTH,
        "At width 4 little is lost, either; there the claim was that much is.",
    ),
    Published(
        "Cazenavette et al. 2025",
        "Random spatial kernels do about as well as learned ones, and are more robust",
        ((STUDY, 3, ""),),
        BOTH,
        "Robust here means to noise, blur, contrast and shift; attacks, of which the paper speaks, "
        "are not tested.",
    ),
    Published(
        "Rivas & Rai 2023",
        "A start from Gabor functions ends higher and learns faster than a random one",
        ((STUDY, 6, ""),),
        "lazy",
        "Kernels of 5 x 5 on grey images; theirs are larger and in colour.",
    ),
    Published(
        "Linse et al. 2024",
        "Fixed edge and line kernels help with little data; nine kernels suffice; the dimension "
        "spanned matters little",
        (("fixed_banks", 1, ""), ("fixed_banks", 4, ""), ("fixed_banks", 5, "")),
        BOTH,
        "Theirs are deep networks of which all spatial kernels are fixed, on fine-grained photographs.",
        size=5.0,
    ),
    Published(
        "Babaiee et al. 2024",
        "Over 90% of trained depthwise kernels are differences of Gaussians or their derivatives",
        (),
        "networks that packages ship",
        "",
    ),
    Published(
        "Babaiee et al. 2025",
        "Eight fixed kernels keep most of the accuracy, and beat learned ones on small sets",
        (("fixed_banks", 7, ""), ("fixed_banks", 1, "masters8")),
        BOTH,
        "Their eight are found in depthwise networks; ours are a Gaussian's derivatives in their "
        "manner, in one layer.",
    ),
    Published(
        "Trockman et al. 2023",
        "A start drawn from a learned covariance is better and faster",
        (("redrawn", 1, ""), ("redrawn", 2, "")),
        BOTH,
        "One first layer of 5 x 5, whose covariance is of ten networks on the same images; theirs are "
        "depthwise kernels of deep networks, and taken over to other sizes of kernels, which is not tested.",
    ),
    Published(
        "Guth et al. 2023",
        "Kernels drawn anew from the learned covariance perform alike",
        (("redrawn", 3, ""), ("redrawn", 4, "")),
        BOTH,
        "Alike: within 1 point of the learned kernels, frozen as they are, and above frozen random ones. "
        "The first layer alone is drawn anew; theirs are all layers, one upon the other.",
    ),
    Published(
        "Zhou et al. 2023",
        "From a small start kernels condense to few directions early",
        ((STUDY, 5, ""),),
        "lazy, start times 0.01",
        "Adam moves every weight by about the same length at first, which plain gradient descent, "
        "of which the theory "
        "is, does not.",
    ),
    Published(
        "Refinetti et al. 2023",
        "Networks learn means and covariances first, higher orders later",
        ((STUDY, 4, ""),),
        BOTH,
        "Trained on natural images alone and tested on Gaussian clones; training on clones was not done.",
    ),
    Published(
        "Ingrosso & Goldt 2022; Lufkin et al. 2025",
        "Localised receptive fields need non-Gaussian inputs",
        (),
        "",
        "Kernels of a convolution are local by construction; a dense first layer on clones was not trained.",
    ),
    Published(
        "Evans et al. 2022",
        "Fixed Gabor kernels raise accuracy out of distribution",
        ((STUDY, 1, ""),),
        BOTH,
        "The bank has one scale and no half-wave pooling, on small grey images; out of "
        "distribution here means four "
        "changes of the test images.",
        size=20.0,
    ),
    Published(
        "Piper et al. 2024",
        "V1-like front ends are more robust in relation to their accuracy",
        ((STUDY, 2, ""),),
        BOTH,
        "A Gabor bank alone stands for their front end, without its normalisation and noise.",
    ),
    Published(
        "Gavrikov & Keuper 2022",
        "First layers of robust networks form filters that remove perturbations",
        (),
        "",
        "Nothing here trains with attacks.",
    ),
    Published(
        "Alsallakh et al. 2025",
        "Mean kernels of inner layers become symmetric; mirrored images do it",
        (("deeper_layers", 8, ""), ("deeper_layers", 9, "")),
        BOTH,
        "Two inner layers of 3 x 3 and 800 steps; theirs are trained networks on ImageNet.",
    ),
)


def claims_table(
    results: Path, mine: pd.DataFrame, notes: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """A row a claim: paper, claim, verdict, what we measured, regime, why, hold, open, fail.

    results: where the committed tables of other studies are; mine: `plan_words.table_of` of this one; notes:
    paper -> what else is to be said, which takes no part in the verdict.
    """
    rows = []
    for one in PUBLISHED:
        parts = pd.concat(
            [_parts(results, mine, *where) for where in one.tested] or [pd.DataFrame()]
        )
        special = SPECIAL.get(one.paper)
        if special is not None:
            rows.append(special(results, one))
            continue
        counts = [
            int((parts["verdict"] == word).sum()) if len(parts) else 0
            for word in ("holds", "open", "fails")
        ]
        rows.append(
            (
                one.paper,
                one.claim,
                verdict(*counts),
                ours(parts) + beside_size(parts, one),
                one.regimes,
                " ".join([one.why, (notes or {}).get(one.paper, "")]).strip(),
                *counts,
            )
        )
    names = ["paper", "claim", "verdict", "what we measured", "regime", "why, or what is missing"]
    return pd.DataFrame(rows, columns=[*names, "hold", "open", "fail"])


def _parts(results: Path, mine: pd.DataFrame, study: str, number: int, start: str) -> pd.DataFrame:
    """Rows of a study's hypotheses.csv that were run; none where the study is not there."""
    path = results / study / "tables" / "hypotheses.csv"
    if study == STUDY:
        table = mine
    elif path.is_file():
        table = pd.read_csv(path)
    else:
        return pd.DataFrame(columns=[*mine.columns, "study"])
    rows = table[(table["hypothesis"] == number) & (table["verdict"] != "not run")]
    begins = rows["claim"].str.startswith(start) | rows["subject"].str.startswith(start)
    return rows[begins].assign(study=study)


def verdict(hold: int, is_open: int, fail: int) -> str:
    """The declared rule, of how many parts hold, are open and fail."""
    if not hold + is_open + fail:
        return UNTESTED
    if hold:
        return PARTLY if is_open + fail else AGREES
    return OPEN if is_open else DISAGREES


def ours(parts: pd.DataFrame) -> str:
    """What was measured: each kind of part with how many hold, and its estimates with their intervals."""
    told = []
    if not len(parts):
        return ""
    for (study, claim), group in parts.groupby(["study", "claim"], sort=False):
        held = int((group["verdict"] == "holds").sum())
        numbers = [f"{r.estimate:+.2g} [{r.low:.2g}, {r.high:.2g}]" for r in group.itertuples()]
        if len(numbers) > MOST:
            least, most = group["estimate"].idxmin(), group["estimate"].idxmax()
            ends = [group.loc[[at]].iloc[0] for at in (least, most)]
            numbers = [f"{r['estimate']:+.2g} [{r['low']:.2g}, {r['high']:.2g}]" for r in ends]
            listed = " to ".join(numbers)
        else:
            listed = ", ".join(numbers)
        told.append(f"{study}: {claim}: {held} of {len(group)} hold ({listed})")
    return "; ".join(told)


def beside_size(parts: pd.DataFrame, one: Published) -> str:
    """Whether the effect may be as large as the abstract tells, where it tells a size."""
    if one.size is None or not len(parts):
        return ""
    study, number, _ = one.tested[0]
    mine = parts[(parts["study"] == study) & (parts["hypothesis"] == number)]
    smaller = int((mine["high"] < one.size).sum())
    return f"; below the published {one.size:g} with all of the interval: {smaller} of {len(mine)}"


def depthwise(results: Path, one: Published) -> tuple:
    """Babaiee et al. 2024, of the zoo's table: shares of kernels that a difference of Gaussians fits (R2 of
    0.9), a part a kernel size: it holds if networks have 90% or more and more than every null has."""
    path = results / "zoo" / "dog.csv"
    if not path.is_file():
        return (
            one.paper,
            one.claim,
            UNTESTED,
            "",
            one.regimes,
            "The zoo's table is not there.",
            0,
            0,
            0,
        )
    table, told, counts = pd.read_csv(path), [], [0, 0, 0]
    nulls = ("isotropic", "smoothed", "permuted", "signs", "phases")
    for size, group in table.groupby("kernel"):
        trained = group["trained_0.9"].to_numpy()
        if len(trained) < 6:
            continue
        strictest = max(nulls, key=lambda null: group[f"{null}_0.9"].mean())
        away = trained - group[f"{strictest}_0.9"].to_numpy()
        low, high = bootstrap_t_interval(away)
        is_most, is_more = trained.mean() >= 0.9, low > 0
        counts[0 if is_most and is_more else 2 if high <= 0 or not is_most else 1] += 1
        told.append(
            f"{size} x {size}: {trained.mean():.0%} of the kernels in {len(trained)} networks, "
            f"{strictest} kernels "
            f"{group[f'{strictest}_0.9'].mean():.0%} (difference {away.mean():+.2f} [{low:.2f}, {high:.2f}])"
        )
    why = (
        "Six or seven free numbers fit most kernels of 3 x 3, smoothed noise included; a part "
        "holds only if 90% are "
        "fitted and more than of the strictest null. Sizes of which fewer than six networks were "
        "found are left out."
    )
    text = f"zoo: fitted at R² ≥ 0.9, {'; '.join(told)}"
    return (one.paper, one.claim, verdict(*counts), text, one.regimes, why, *counts)


SPECIAL: dict[str, Callable[[Path, Published], tuple]] = {"Babaiee et al. 2024": depthwise}


def in_figure(table: pd.DataFrame) -> str:
    """What the figure shows: how the tested claims fared."""
    of = table["verdict"].value_counts()
    tested = len(table) - of.get(UNTESTED, 0)
    return (
        f"Of {tested} claims that were tested {of.get(AGREES, 0)} hold in every part, "
        f"{of.get(PARTLY, 0)} in some parts, "
        f"{of.get(DISAGREES, 0)} in none, and {of.get(OPEN, 0)} cannot be told"
    )


def counted(table: pd.DataFrame) -> str:
    """How the claims fared, in one sentence."""
    of = table["verdict"].value_counts()
    told = [
        f"{of[word]} {words if of[word] > 1 else words.replace('hold ', 'holds ').replace('were', 'was')}"
        for word, words in (
            (AGREES, "hold in all that we tested"),
            (PARTLY, "hold in some sets, sizes or regimes and not in others"),
            (DISAGREES, "hold in none"),
            (OPEN, "cannot be told"),
            (UNTESTED, "were not tested"),
        )
        if of.get(word, 0)
    ]
    return f"Of {len(table)} published claims on convolution kernels, in small networks {', '.join(told)}."
