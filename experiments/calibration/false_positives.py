"""Part 1: how often chance is called derivative-like, or Sobel."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from simulate import NETWORKS, digits, null_draws, trained_kernels

from kernelstudy.analysis import TIERS, judge, patch_pca

LEVEL = 0.05
NOMINAL = LEVEL / 2  # a two-sided test, counted in one direction
CHANNELS = (16, 64)
# The claims that are false of each kind, and so must keep to the nominal rate.
FALSE_CLAIMS = {
    "normal noise": (
        "N0",
        "N1",
        "N2",
        "N3",
        "structured",
        "derivative-like",
        "beyond",
        "Sobel",
        "any name",
    ),
    "uniform noise": (
        "N0",
        "N1",
        "N2",
        "structured",
        "derivative-like",
        "beyond",
        "Sobel",
        "any name",
    ),
    "permuted taps": ("N2", "derivative-like", "beyond", "Sobel", "any name"),
    "N3 draws": ("N3", "beyond", "Sobel"),
    **dict.fromkeys(
        (
            *("Laplace coefficients", "unequal means", "half white", "half whitened"),
            *("rank one", "orthogonal", "scrambled phases"),
        ),
        ("N3", "beyond", "Sobel"),
    ),
}


def binomial_interval(count: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Clopper & Pearson 1934."""
    found = stats.binomtest(int(count), int(n)).proportion_ci(level, method="exact")
    return found.low, found.high


def run(studies: int, cache: Path, *, sizes=(3, 5, 7), steps: int = 150) -> pd.DataFrame:
    """A row for every kind, size, width and claim."""
    rows = []
    for size in sizes:
        basis = patch_pca(digits(), size)[1]
        trained = trained_kernels(size, cache, width=max(CHANNELS), steps=steps)
        for index, (kind, draw) in enumerate(null_draws(size, trained, basis).items()):
            for channels in CHANNELS:
                rng = np.random.default_rng([1, size, channels, index])
                outcomes = [_outcome(draw(rng, channels), basis, s) for s in range(studies)]
                rows += _rows(pd.DataFrame(outcomes), kind, size, channels)
                print(f"  {kind}, {size}x{size}, {channels} channels", flush=True)
    table = pd.DataFrame(rows)
    cells = table[table["must_hold"]].groupby("claim")["claim"].transform("size")
    table["holds"] = True
    for row, count in cells.items():
        strict = binomial_interval(
            table.loc[row, "count"], table.loc[row, "studies"], level=1 - 0.05 / count
        )
        table.loc[row, "holds"] = strict[0] <= NOMINAL
    return table


def _outcome(drawn, basis: np.ndarray, seed: int) -> dict[str, bool]:
    kernels, start = drawn
    verdict = judge(kernels, start=start, patch_basis=basis, level=LEVEL, seed=seed)
    passed = {rung.null: bool(rung.passed) for rung in verdict.rungs}
    named = verdict.a is not None and verdict.a.resolved
    return passed | {
        "structured": verdict.tier in TIERS[1:],
        "derivative-like": bool(verdict.derivative_like),
        "beyond": verdict.tier == TIERS[-1],
        "Sobel": verdict.operator == "Sobel",
        "any name": verdict.operator != "unresolved",
        "Sobel by the interval alone": bool(named and verdict.a.names() == ("Sobel",)),
    }


def _rows(outcomes: pd.DataFrame, kind: str, size: int, channels: int) -> list[dict]:
    rows = []
    for claim, values in outcomes.items():
        count, n = int(values.sum()), len(values)
        low, high = binomial_interval(count, n)
        rows.append(
            {
                "kind": kind,
                "size": size,
                "channels": channels,
                "networks": NETWORKS,
                "claim": claim,
                "studies": n,
                "count": count,
                "rate": count / n,
                "low": low,
                "high": high,
                "nominal": NOMINAL,
                "must_hold": claim in FALSE_CLAIMS[kind],
            }
        )
    return rows
