"""Inference over networks: exact tests, multiplicity and effect sizes; `intervals` beside it.

The unit is the network (seed). Kernels of one network are not independent samples of anything but
it: average within a network first, then bring the averages here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

FEWEST = 6  # with 5 pairs the smallest two-sided p of a sign-flip test is 2/32 > .05
_EXACT = 20
_BLOCK = 4_194_304  # signs at a time


def sign_flip_test(
    differences: ArrayLike, *, axis: int = 0, draws: int = 100_000, seed: int = 0
) -> float | np.ndarray:
    """Two-sided p that paired differences are symmetric about 0: |mean| against flipped signs.

    differences: (n,) -> float; (n, ...) with `axis` the networks -> array of the other axes.
    All 2^n sign patterns up to n = 20 (exact); beyond, `draws` random ones with (1+b)/(1+B).
    NaN where a difference is not finite. ValueError for n < 6, where p < .05 is out of reach.
    Source: Fisher 1935, section 21; Phipson & Smyth 2010 for the Monte Carlo form.
    Blind to: a mean of 0 between networks that do differ; it assumes symmetry under the null.
    """
    d = np.moveaxis(np.atleast_1d(np.asarray(differences, dtype=np.float64)), axis, 0)
    n = len(d)
    if n < FEWEST:
        raise ValueError(f"sign_flip_test needs at least {FEWEST} differences, not {n}")
    flat = d.reshape(n, -1)
    flat = np.where(np.isfinite(flat), flat, np.nan)
    observed = np.abs(flat.sum(axis=0)) - 1e-10 * np.abs(flat).sum(axis=0)
    count = np.zeros(flat.shape[1])
    exact = n <= _EXACT
    # flipping every sign leaves |sum| alone, so the first sign can stay
    total = 2 ** (n - 1) if exact else draws
    for signs in _sign_blocks(n, total, exact=exact, seed=seed):
        step = max(1, 4_000_000 // len(signs))
        for start in range(0, flat.shape[1], step):
            part = slice(start, start + step)
            count[part] += (np.abs(signs @ flat[:, part]) >= observed[part]).sum(axis=0)
    p = count / total if exact else (1 + count) / (1 + total)
    p = np.where(np.isnan(observed), np.nan, p)
    return float(p[0]) if d.ndim == 1 else p.reshape(d.shape[1:])


def sign_patterns(n: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Half of all sign patterns of n, (2^(n-1), n); the first row and column are all +1.

    `start`, `stop`: only these rows. The other half are the same patterns with every sign turned.
    """
    numbers = np.arange(start, 2 ** (n - 1) if stop is None else stop)
    bits = numbers[:, None] >> np.arange(n - 1) & 1
    return np.concatenate([np.ones((len(numbers), 1)), 1.0 - 2.0 * bits], axis=1)


def _sign_blocks(n: int, total: int, *, exact: bool, seed: int) -> Iterator[np.ndarray]:
    """Sign patterns (some, n), block by block: the first `total` of all, or as many random ones."""
    bits = None if exact else _random_bits(n, total, seed)
    step = _block(n)
    for start in range(0, total, step):
        stop = min(start + step, total)
        if bits is None:
            yield sign_patterns(n, start, stop)
        else:
            yield 2.0 * np.unpackbits(bits[start:stop], axis=1, count=n) - 1.0


def _block(n: int) -> int:
    """Patterns of n signs that take 32 MB, or few: a study may have thousands of networks."""
    return max(1, min(65_536, _BLOCK // n))


@lru_cache(maxsize=2)
def _random_bits(n: int, total: int, seed: int) -> np.ndarray:
    """(total, n) fair bits, eight to a byte: a report asks for the same ones in dozens of tests."""
    rng, step = np.random.default_rng(seed), _block(n)
    sizes = [min(step, total - start) for start in range(0, total, step)]
    bits = np.concatenate([np.packbits(rng.integers(2, size=(k, n)), axis=1) for k in sizes])
    bits.setflags(write=False)
    return bits


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Adjusted p-values (q) that control the false discovery rate over all of `p`, same shape.

    NaN stays NaN and does not count as a test. Source: Benjamini & Hochberg 1995, eq. 1.
    Valid for independent or positively dependent tests. Blind to: which family you ought to have
    declared.
    """
    p = np.asarray(p, dtype=np.float64)
    if np.any((p < 0) | (p > 1)):
        raise ValueError("p must lie in [0, 1]")
    known = ~np.isnan(p)
    values = p[known]
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(values[order] * len(values) / ranks), 1)
    q = np.full(p.shape, np.nan)
    q[known] = adjusted
    return q


def max_statistic(differences: ArrayLike, *, draws: int = 20_000, seed: int = 0) -> np.ndarray:
    """p-values adjusted over a family by the law of its largest |t| under joint sign flips.

    differences: (n, m), n networks, m measures -> (m,): the chance that *any* of the m measures
    reaches that |t| under the null (family-wise, any dependence). All patterns up to n = 13, else
    `draws`. ValueError for n < 6. Source: Westfall & Young 1993 (single-step maxT).
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or len(d) < FEWEST:
        raise ValueError(f"max_statistic needs (n, m) with n at least {FEWEST}, not {d.shape}")
    n = len(d)
    exact = n <= 13
    total = 2 ** (n - 1) if exact else draws
    square = (d**2).sum(axis=0)
    square = np.where(square > 0, square, np.nan)
    # |t| rises with (sum)^2 / sum of squares, and flips do not change the latter
    observed = d.sum(axis=0) ** 2 / square
    largest = np.concatenate(
        [
            np.nanmax(np.nan_to_num((s @ d) ** 2 / square), axis=1)
            for s in _sign_blocks(n, total, exact=exact, seed=seed)
        ]
    )
    count = (largest[:, None] >= observed * (1 - 1e-10)).sum(axis=0)
    p = count / total if exact else (1 + count) / (1 + total)
    p = np.where(np.isnan(square), 1.0, p)  # a measure that never differs
    return np.where(np.isnan(d).any(axis=0), np.nan, p)


def cliffs_delta(x: ArrayLike, y: ArrayLike) -> float:
    """P(x > y) - P(x < y) over all pairs, in [-1, 1]: an effect size without a scale (Cliff 1993).

    x: (n,), y: (m,). NaN if either is empty or holds NaN. Blind to: how far apart x and y are once
    they no longer overlap.
    """
    x, y = np.ravel(np.asarray(x, dtype=float)), np.sort(np.ravel(np.asarray(y, dtype=float)))
    if x.size == 0 or y.size == 0 or np.isnan(x).any() or np.isnan(y).any():
        return float("nan")
    below = np.searchsorted(y, x, side="left")
    above = len(y) - np.searchsorted(y, x, side="right")
    return float(np.mean(below - above) / len(y))
