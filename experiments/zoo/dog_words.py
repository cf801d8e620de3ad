"""Depthwise kernels and differences of Gaussians, in words."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from maker_words import count, count_makers, expected

NULLS = {
    "isotropic": "isotropic ones",
    "smoothed": "smoothed noise",
    "permuted": "their own permuted taps",
    "signs": "random signs on photographs' axes",
    "phases": "their own spectra with random phases",
}


def dogs(dog: pd.DataFrame) -> list[str]:
    """What came out, size by size, and the hypotheses on it, over distinct networks."""
    lines, verdicts = [], {}
    for size, part in dog.groupby("kernel"):
        survives, low, high = surviving(part)
        interval = f" [{low:.0%}, {high:.0%}]" if np.isfinite(low) else ""
        fitted = part["trained_0.9"].mean()
        lines.append(
            f"{size}x{size}, {count(part, 'network')} of {count_makers(part)}, {part['kernels'].sum():,} "
            f"kernels: **{fitted:.0%}** are fitted. Beside the null that is fitted most "
            f"**{survives:.0%}{interval}** are left. One by one {part['beyond_noise'].mean():.0%} are fitted "
            "better than isotropic noise is (q < .05 within a network)."
        )
        verdicts[size] = survives, part
    return lines + _hypotheses(verdicts)


def table(dog: pd.DataFrame) -> str:
    """In Markdown: what is fitted of trained kernels and of each null, size by size, and what is left."""
    parts = dict(list(dog.groupby("kernel")))
    names = " | ".join(f"{size}x{size}" for size in parts)
    rows = [f"| fitted, R² of 0.9 or more | {names} |", "|---|" + "---|" * len(parts)]
    for name, told in {"trained": "trained kernels", **NULLS}.items():
        cells = []
        for part in parts.values():
            left = "" if name == "trained" else f" ({surviving(part, [name])[0]:.0%} left)"
            cells.append(f"{part[f'{name}_0.9'].mean():.0%}{left}")
        rows.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(rows)


def surviving(
    part: pd.DataFrame, nulls: Iterable[str] = NULLS, draws: int = 4000
) -> tuple[float, float, float]:
    """(s - c) / (1 - c), means over makers of their networks' means, beside the null with the largest share c;
    and the middle 95% of it over resampled makers, from six on. Below 0 the null is fitted more often."""
    columns = [f"{name}_0.9" for name in ("trained", *nulls)]
    of_makers = part.groupby("maker")[columns].mean().to_numpy()

    def left(means: np.ndarray) -> np.ndarray:
        null = means[..., 1:].max(axis=-1)
        return (means[..., 0] - null) / np.maximum(1 - null, 0.005)

    value = float(left(of_makers.mean(axis=0)))
    if len(of_makers) < 6:
        return value, np.nan, np.nan
    picked = np.random.default_rng(0).integers(len(of_makers), size=(draws, len(of_makers)))
    low, high = np.quantile(left(of_makers[picked].mean(axis=1)), [0.025, 0.975])
    return value, float(low), float(high)


def _hypotheses(verdicts: dict) -> list[str]:
    """verdicts: size -> the surviving share, the networks of that size."""
    if not {3, 5} <= set(verdicts):
        return []
    (survive3, three), (survive5, five) = verdicts[3], verdicts[5]
    fitted = {name: three[f"{name}_0.9"].mean() for name in ("trained", "isotropic")}
    first = fitted["trained"] >= 0.9 and fitted["isotropic"] > 0.5 and survive3 < 0.5
    above = {name: (five["trained_0.9"] > five[f"{name}_0.9"]).sum() for name in NULLS}
    n3 = (five["trained_0.9"] > five[["signs_0.9", "phases_0.9"]].max(axis=1)).sum()
    second = min(above["isotropic"], above["permuted"]) > len(five) / 2
    second = second and n3 < min(above["isotropic"], above["permuted"]) and survive5 > survive3
    third = three["beyond_noise"].mean() < 0.1 and five["beyond_noise"].mean() > 0.5
    known = pd.concat([three, five])[["first_third", "last_third"]].dropna()
    falls = (known["last_third"] < known["first_third"]).sum()
    rises = (known["last_third"] > known["first_third"]).sum()
    claims = (
        (
            "D1",
            "at 3x3 at least 90% are fitted, as reported, and so are more than half of isotropic kernels, "
            "so that less than half are left",
            first,
            "",
        ),
        (
            "D2",
            "at 5x5 more are fitted than of isotropic kernels and of permuted taps in most networks, than "
            "of N3 in fewer, and more are left than at 3x3",
            second,
            f" So it is in {above['isotropic']} of {len(five)} networks beside isotropic kernels, in "
            f"{above['permuted']} beside permuted taps, in {n3} beside N3.",
        ),
        (
            "D3",
            "one by one fewer than 10% are beyond isotropic noise at 3x3, and more than half at 5x5",
            third,
            "",
        ),
        (
            "D4",
            "fewer are fitted in the last third of the depthwise layers than in the first",
            falls > len(known) / 2,
            f" The share falls in {falls} and rises in {rises} of {len(known)} networks and sizes.",
        ),
    )
    return [expected(number, claim, holds) + more for number, claim, holds, more in claims]
