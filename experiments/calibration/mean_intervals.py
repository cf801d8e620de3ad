"""Part 4, the rivals: which interval of a mean over few networks covers, and at what width?"""

from itertools import pairwise

import numpy as np
import pandas as pd
from false_positives import binomial_interval
from nested_data import CHANNELS, NETWORKS, SNR, SPREADS, A
from scipy import stats
from simulate import planted

from kernelstudy.analysis import bootstrap_t_interval, steered_r2, t_interval
from kernelstudy.analysis.inference import sign_patterns
from kernelstudy.handcrafted import family

ALPHA, RESAMPLES, BLOCK = 0.05, 999, 500
# Skewed laws that no interval was chosen on: draws and mean; those within [0, 1] come first.
SKEWED = {
    "Beta(6, 1)": (lambda rng, shape: rng.beta(6, 1, shape), 6 / 7),
    "Beta(2, 0.3)": (lambda rng, shape: rng.beta(2, 0.3, shape), 2 / 2.3),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(0.125)),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
}


def run(studies: int, *, networks=NETWORKS, spreads=SPREADS) -> pd.DataFrame:
    """A row for every law, number of networks, spread and method."""
    rows = []
    for n in networks:
        for spread in spreads:
            rng = np.random.default_rng([5, n, round(1000 * spread)])
            truth = _mean_r2(rng, spread, 15 * studies).mean()
            values = _mean_r2(rng, spread, studies * n).reshape(studies, n)
            rows += _rows("r2", spread, values, truth, rng, bounded=True)
        for index, (law, (draw, truth)) in enumerate(SKEWED.items()):
            rng = np.random.default_rng([6, n, index])
            values = draw(rng, (studies, n))
            rows += _rows(law, np.nan, values, truth, rng, bounded=law.startswith("Beta"))
        print(f"  {n} networks", flush=True)
    return pd.DataFrame(rows)


def _mean_r2(rng: np.random.Generator, spread: float, networks: int) -> np.ndarray:
    """R2 with Sobel of networks, each the mean over its kernels, (networks,)."""
    edges = [*range(0, networks, 5000), networks]
    parts = (
        planted(rng, A, SNR, networks=stop - start, channels=CHANNELS, spread=spread)
        for start, stop in pairwise(edges)
    )
    return np.concatenate([steered_r2(p, family(2), family(2).T).mean(axis=1) for p in parts])


def _rows(law, spread, values, truth, rng, *, bounded: bool) -> list[dict]:
    studies, n = values.shape
    blocks = [
        _intervals(values[i : i + BLOCK], rng, bounded=bounded) for i in range(0, studies, BLOCK)
    ]
    ends = {k: np.concatenate([b[k] for b in blocks], axis=1) for k in blocks[0]}
    student = np.median(np.ptp(ends["Student's t"], axis=0))
    rows = []
    for method, (low, high) in ends.items():
        inside = (low <= truth) & (truth <= high)
        sure = binomial_interval(int(inside.sum()), studies)
        rows.append(
            {"law": law, "spread": spread, "networks": n, "method": method, "studies": studies}
            | {"coverage": inside.mean(), "low": sure[0], "high": sure[1]}
            | {"truth_below": np.mean(truth < low), "truth_above": np.mean(truth > high)}
            | {"width": np.median(high - low) / student}
        )
    return rows


def _intervals(x: np.ndarray, rng: np.random.Generator, *, bounded: bool) -> dict[str, np.ndarray]:
    """Intervals of every method for studies x (m, n): name -> (2, m)."""
    n = x.shape[1]
    mean, error = x.mean(axis=1), x.std(axis=1, ddof=1) / n**0.5
    skew, t = stats.skew(x, axis=1), stats.t.ppf(1 - ALPHA / 2, n - 1)
    moved, own, resampled = _bootstrap(x, rng)
    low, high = np.quantile(resampled, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    symmetric = np.quantile(np.abs(resampled), 1 - ALPHA, axis=1)
    cubic = _cubic(resampled, own, n)
    below, above = np.quantile(cubic, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    percent = np.quantile(moved, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    shift = skew * error / (6 * n**0.5)
    found = {
        "bootstrap-t, the farther ends (the package's)": bootstrap_t_interval(x, axis=1),
        "Student's t": t_interval(x, axis=1),
        "Johnson's modified t (1978)": (mean + shift - t * error, mean + shift + t * error),
        "Hall's cubic t (1992)": tuple(
            mean - _uncubic(np.full(len(x), q), skew, n) * error for q in (t, -t)
        ),
        "Hall's cubic t, bootstrap": tuple(
            mean - _uncubic(q, skew, n) * error for q in (above, below)
        ),
        "bootstrap-t, equal tails": (mean - high * error, mean - low * error),
        "bootstrap-t, symmetric": (mean - symmetric * error, mean + symmetric * error),
        "bootstrap percentiles": (mean + percent[0], mean + percent[1]),
        "sign flips, inverted": _sign_flips(x, rng),
    }
    if bounded:
        found["bounded mean, Gaffke (2005)"] = _gaffke(x, rng)
        found["bounded mean, betting (2024)"] = _betting(x)
    return {name: np.stack(ends) for name, ends in found.items()}


def _bootstrap(
    x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of resamples: how far their mean moved, their skewness and their t, (m, RESAMPLES) each."""
    n = x.shape[1]
    counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
    away = x - x.mean(axis=1, keepdims=True)
    first, second, third = (away**k @ counts.T for k in (1, 2, 3))
    variance = np.maximum(second - first**2, 1e-20 * second.max(axis=1, keepdims=True))
    skew = (third - 3 * first * second + 2 * first**3) / variance**1.5
    return first, skew, first / np.sqrt(variance / (n - 1))


def _cubic(t: np.ndarray, skew: np.ndarray, n: int) -> np.ndarray:
    """Hall 1992, J. R. Stat. Soc. B 54:221: a monotone cubic of t without its skewness."""
    s = skew / n**0.5
    return t + s * t**2 / 3 + s**2 * t**3 / 27 + s / 6


def _uncubic(y: np.ndarray, skew: np.ndarray, n: int) -> np.ndarray:
    s = np.where(np.abs(skew) < 1e-6, 1e-6, skew) / n**0.5
    return 3 / s * (np.cbrt(1 + s * (y - s / 6)) - 1)


def _sign_flips(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The means that the sign-flip test keeps: between typical values (Hartigan 1969)."""
    n = x.shape[1]
    taken = sign_patterns(n)[1:] < 0 if n <= 10 else rng.random((RESAMPLES, n)) < 0.5
    taken = taken[taken.any(axis=1)] if n > 10 else np.concatenate([taken, ~taken])
    typical = np.sort((x @ taken.T) / taken.sum(axis=1), axis=1)
    out = max(int(ALPHA / 2 * (len(taken) + 2)), 1) - 1
    return typical[:, out], typical[:, -1 - out]


def _gaffke(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gaffke 2005; Learned-Miller & Thomas 2019: uniform spacings, the limits 0 and 1 added."""
    weights = rng.dirichlet(np.ones(x.shape[1] + 1), size=RESAMPLES).T
    ordered, edge = np.sort(x, axis=1), np.ones((len(x), 1))
    return (
        np.quantile(np.hstack([0 * edge, ordered]) @ weights, ALPHA / 2, axis=1),
        np.quantile(np.hstack([ordered, edge]) @ weights, 1 - ALPHA / 2, axis=1),
    )


def _betting(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hedged capital of Waudby-Smith & Ramdas 2024 (J. R. Stat. Soc. B 86:1), theorem 3."""
    n, grid = x.shape[1], np.linspace(0.001, 0.999, 999)
    up, down = (np.zeros((len(x), grid.size)) for _ in range(2))
    total, square = np.full(len(x), 0.5), np.full(len(x), 0.25)
    for i in range(n):
        bet = np.sqrt(2 * np.log(2 / ALPHA) / (n * square / (i + 1)))[:, None]
        away = x[:, i : i + 1] - grid
        up += np.log1p(np.minimum(bet, 0.5 / grid) * away)
        down += np.log1p(-np.minimum(bet, 0.5 / (1 - grid)) * away)
        total += x[:, i]
        square += (x[:, i] - total / (i + 2)) ** 2
    kept = np.maximum(up, down) - np.log(2) < np.log(1 / ALPHA)
    return grid[kept.argmax(axis=1)], grid[::-1][kept[:, ::-1].argmax(axis=1)]
