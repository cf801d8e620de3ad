"""What a sweep says: every condition beside chance, and what each swept key does, over networks.

A *condition* is one combination of the swept keys' values. The tables here are tidy: one row a
network, with a column for the condition (an index), the arm and the seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

import numpy as np
import pandas as pd
import scipy

from kernelstudy.analysis.inference import FEWEST, benjamini_hochberg
from kernelstudy.analysis.intervals import bootstrap_t_interval, mean_test

PARTS = {"W": "value", "update": "delta"}  # and the column of networks that holds its measure
CONDITION_COLUMNS = ["condition", "arm", "part", "n", "mean", "ci_low", "ci_high", "chance"]
TEST_COLUMNS = ["condition", "arm", "part", "null", "n", "diff", "ci_low", "ci_high", "p", "q"]
EFFECT_COLUMNS = [
    *("key", "arm", "part", "value", "reference", "pairing", "n", "n_reference", "averaged"),
    *("diff", "ci_low", "ci_high", "p", "q"),
]
_AT_ONCE = 256  # columns; the bootstrap holds 2,000 numbers for each


def conditions(networks: pd.DataFrame) -> pd.DataFrame:
    """Mean of the primary measure in every condition, arm and part, with its bootstrap-t interval.

    networks: condition, arm, seed, value (of W), delta (of the update), start (of W at step 0),
    chance; NaN where there is none. Returns `CONDITION_COLUMNS`; no row where nothing is measured.
    """
    chance = networks.drop_duplicates(["condition", "arm"])[["condition", "arm", "chance"]]
    frames = [means(networks, column).assign(part=part) for part, column in PARTS.items()]
    table = pd.concat(frames).merge(chance, on=["condition", "arm"])
    rank = {cell: i for i, (cell, _) in enumerate(_groups(networks))}
    order = [rank[cell] for cell in zip(table["condition"], table["arm"], strict=True)]
    table = table.iloc[np.argsort(order, kind="stable")]
    return table.reset_index(drop=True)[CONDITION_COLUMNS]


def means(networks: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of a share in every condition and arm that has any: condition, arm, n, mean, ci_low, ci_high."""
    keys, samples = [], []
    values = networks[column].to_numpy()
    for cell, rows in _groups(networks):
        known = values[rows][np.isfinite(values[rows])]
        if len(known):
            keys.append(cell)
            samples.append(known)
    rows = [
        (*key, len(sample), sample.mean(), low, high)
        for key, sample, low, high in zip(
            keys, samples, *intervals(samples, support=(0.0, 1.0)), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["condition", "arm", "n", "mean", "ci_low", "ci_high"])


def tests(networks: pd.DataFrame) -> pd.DataFrame:
    """Is the primary measure above chance? Every condition, arm and part against N0 and N1.

    N0: isotropic kernels; N1: the same network's kernels at step 0. p is `mean_test`'s, NaN below 6
    networks; q is Benjamini and Hochberg's over this whole table: the sweep is the family. Intervals
    are bootstrap-t. Returns `TEST_COLUMNS`.
    """
    keys, samples = [], []
    questions = [
        (part, null, (networks[column] - networks[reference]).to_numpy())
        for part, column in PARTS.items()
        for null, reference in (("N0", "chance"), ("N1", "start"))
    ]
    for cell, rows in _groups(networks):
        for part, null, differences in questions:
            known = differences[rows][np.isfinite(differences[rows])]
            if len(known):
                keys.append((*cell, part, null))
                samples.append(known)
    results = zip(keys, samples, *intervals(samples), mean_tests(samples), strict=True)
    rows = [
        (*key, len(sample), sample.mean(), low, high, p, np.nan)
        for key, sample, low, high, p in results
    ]
    return _with_q(pd.DataFrame(rows, columns=TEST_COLUMNS))


def effects(networks: pd.DataFrame, design: pd.DataFrame) -> pd.DataFrame:
    """What a swept key does: the measure, corrected for chance, at each of its values less that at its first.

    Corrected: (measure - chance) / (1 - chance), 0 at chance and 1 at best (as Cohen's kappa, 1960),
    for chance itself moves with the kernels' size.

    design: a row a condition (index), a column a swept key, holding the index of its value.
    A network's measure is averaged over the conditions of the other keys in which both values were
    run (`averaged`: how many), so that one number a seed is left. Where both have the same seeds
    the difference is taken seed by seed, with the bootstrap-t interval and `mean_test`; elsewhere
    (`pairing` 'none') between means, with Welch's interval and a permutation test. p is NaN where
    p < .05 is out of reach; q is Benjamini and Hochberg's over this whole table.
    Returns `EFFECT_COLUMNS`; `value` and `reference` are indices of values.
    """
    joined = networks.join(design.add_prefix("key "), on="condition")
    rows, paired = [], []
    for key in design.columns:
        others = [f"key {other}" for other in design.columns if other != key]
        for arm, arm_networks in joined.groupby("arm", sort=False):
            for part, column in PARTS.items():
                excess = (arm_networks[column] - arm_networks["chance"]) / (
                    1 - arm_networks["chance"]
                )
                measured = arm_networks.assign(excess=excess)[np.isfinite(excess)]
                by_value = {
                    value: _seeds_by_rest(group, others)
                    for value, group in measured.groupby(f"key {key}")
                }
                for values, references, pair in _pairs_with_first(by_value):
                    row, differences = _contrast(values, references)
                    rows.append([key, arm, part, *pair, *row])
                    paired.append(differences)
    known = [d for d in paired if d is not None]
    found = zip(*intervals(known), mean_tests(known), strict=True)
    for row, differences in zip(rows, paired, strict=True):
        if differences is not None:
            row[-4:-1] = next(found)
    return _with_q(pd.DataFrame(rows, columns=EFFECT_COLUMNS))


def _seeds_by_rest(group: pd.DataFrame, others: list[str]) -> pd.DataFrame:
    """The corrected measure, (seed x conditions of the other keys)."""
    rest = [tuple(row) for row in group[others].itertuples(index=False)]
    frame = pd.DataFrame(
        {"seed": group["seed"], "rest": pd.Series(rest, group.index, dtype=object)}
    )
    codes, rests = pd.factorize(frame["rest"])
    labels = list(rests)
    table = frame.assign(rest=codes, excess=group["excess"]).pivot_table(
        index="seed", columns="rest", values="excess"
    )
    return table.set_axis([labels[int(code)] for code in table.columns], axis=1)


def _pairs_with_first(by_value: dict) -> Iterable[tuple]:
    """Both tables on the rest they share, and (value, reference), for every value but the first."""
    first = min(by_value, default=None)
    for value in sorted(by_value):
        if value == first:
            continue
        shared = [rest for rest in by_value[value].columns if rest in set(by_value[first].columns)]
        if shared:
            yield by_value[value][shared], by_value[first][shared], (value, first)


def _contrast(value: pd.DataFrame, reference: pd.DataFrame) -> tuple[list, np.ndarray | None]:
    """pairing .. q of one row; interval and p are yet to come where the differences are returned."""
    averaged = value.shape[1]
    d = (value - reference).mean(axis=1).dropna().to_numpy()  # a seed's mean over its pairs
    x, y = value.mean(axis=1), reference.mean(axis=1)
    if len(d) and (len(d) >= FEWEST or len(d) == max(len(x), len(y))):
        row = ["by seed", len(d), len(d), averaged, d.mean(), *[np.nan] * 4]
        return row, d
    difference, p, (low, high) = np.nan, np.nan, (np.nan, np.nan)
    if len(x) and len(y):
        difference = x.mean() - y.mean()
    if len(x) > 1 and len(y) > 1:
        low, high = _welch(x.to_numpy(), y.to_numpy())
    if len(x) and len(y) and comb(len(x) + len(y), len(x)) >= 2 / 0.05:
        p = _permutation(x.to_numpy(), y.to_numpy())
    return ["none", len(x), len(y), averaged, difference, low, high, p, np.nan], None


def _welch(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Welch's 95% interval of mean(x) - mean(y) (Welch 1947)."""
    if x.std() == 0 and y.std() == 0:
        return np.nan, np.nan
    interval = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    return float(interval.low), float(interval.high)


def _permutation(x: np.ndarray, y: np.ndarray) -> float:
    """Two-sided p that x and y come of one law, by the difference of their means."""
    test = scipy.stats.permutation_test(
        (x, y),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def intervals(
    samples: list[np.ndarray], *, support: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """`bootstrap_t_interval` of many samples, those of one size together: two arrays (samples,)."""
    low, high = np.full(len(samples), np.nan), np.full(len(samples), np.nan)
    for indices, block in _blocks_by_size(samples):
        low[indices], high[indices] = bootstrap_t_interval(block, support=support)
    return low, high


def mean_tests(samples: list[np.ndarray]) -> np.ndarray:
    """`mean_test` of many samples, those of one size together; NaN below 6 values: (samples,)."""
    p = np.full(len(samples), np.nan)
    for indices, block in _blocks_by_size(samples):
        if len(block) >= FEWEST:
            p[indices] = mean_test(block)
    return p


def _blocks_by_size(samples: list[np.ndarray]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """(indices of samples of one size, these as (size, count)) in blocks of at most `_AT_ONCE`."""
    sizes = np.array([len(sample) for sample in samples], dtype=int)
    for size in np.unique(sizes):
        indices = np.flatnonzero(sizes == size)
        for start in range(0, len(indices), _AT_ONCE):
            block = indices[start : start + _AT_ONCE]
            yield block, np.stack([samples[i] for i in block], axis=1)


def _groups(networks: pd.DataFrame) -> list[tuple[tuple, np.ndarray]]:
    """(condition, arm) and its rows, in order of appearance."""
    if not len(networks):
        return []
    cells = networks[["condition", "arm"]]
    codes = cells.groupby(["condition", "arm"], sort=False).ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    firsts = cells.iloc[[group[0] for group in rows]].itertuples(index=False)
    return [(tuple(first), group) for first, group in zip(firsts, rows, strict=True)]


def _with_q(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy(dtype=float)))
