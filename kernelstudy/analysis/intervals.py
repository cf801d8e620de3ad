"""Intervals over networks: Student's, the bootstrap-t, and the bootstrap of whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .inference import FEWEST, sign_flip_test


def t_interval(
    values: ArrayLike, *, level: float = 0.95, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval for the mean over `axis`: (low, high). NaN with fewer than two values.

    values: (n, ...) -> two arrays of the other axes. Source: Student 1908.
    Blind to: skewness, which at small n takes coverage away on the long tail's side.
    """
    check_level(level)
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[axis]
    mean = x.mean(axis=axis)
    if n < 2:
        return np.full_like(mean, np.nan)[()], np.full_like(mean, np.nan)[()]
    half = scipy.special.stdtrit(n - 1, 0.5 + level / 2) * x.std(axis=axis, ddof=1) / n**0.5
    return mean - half, mean + half


def bootstrap_t_interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    axis: int = 0,
    support: tuple[float, float] = (-np.inf, np.inf),
    draws: int = 1999,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap-t interval for the mean over `axis` of a measure that may be skewed: (low, high).

    values: (n, ...) -> two arrays of the other axes, NaN with fewer than two values. Each end is the
    farthest from the mean of three: the equal-tailed bootstrap-t, which leans with the skewness; the
    symmetric one, which has the smaller error in total (Hall 1988, Ann. Statist. 16:927 and J. R.
    Stat. Soc. B 50:35); Student's. The mean lies within `support`, and the interval is cut there.
    Below 6 values there is little to resample: Student's. Resamples that are constant are left out.

    Costs about 1.35 times Student's width at 6 values, 1.14 at 10, 1.07 at 20, and holds its level
    for means of R2 where Student's does not; results/calibration compares the rivals. Blind to: a
    tail no value lies in. No interval of finite width covers all laws (Bahadur & Savage 1956): of
    six draws of Beta(2, 0.3) it covers the mean 93 times in 100, Student's 84.
    """
    check_level(level)
    x = np.moveaxis(np.asarray(values, dtype=np.float64), axis, 0)
    n = len(x)
    mean = x.mean(axis=0)
    low, high = t_interval(x, level=level)
    if n >= FEWEST:
        away = x.reshape(n, -1).T - mean.reshape(-1, 1)
        _, counts = _resamples(n, draws, seed)
        ends = _student_ends(away @ counts.T / n, _errors(counts, away), level)
        down, up = (end.reshape(mean.shape) * x.std(axis=0, ddof=1) / n**0.5 for end in ends)
        low, high = np.fmin(low, mean - down), np.fmax(high, mean + up)
    return np.clip(low, *support), np.clip(high, *support)


def mean_test(differences: ArrayLike, *, axis: int = 0, draws: int = 1999, seed: int = 0):
    """Two-sided p that the mean of paired differences is 0, where they may be skewed.

    differences: (n, ...) -> p of the other axes. The largest of two: the exact sign-flip test's, which
    assumes that differences are symmetric about 0, and that at which `bootstrap_t_interval` just holds 0,
    which leans with their skewness. So p <= .05 says that both reject and the 95% interval excludes 0. NaN
    where a difference is not finite. ValueError below 6 differences.

    Ten left-skewed differences of mean 0 (1 - Exp(1)) pass upwards at 5%, where sign flips alone let
    through 9% and 2.5% is nominal; results/calibration has the table. Blind to: a tail no value lies in.
    """
    x = np.moveaxis(np.asarray(differences, dtype=np.float64), axis, 0)
    n, shape = len(x), x.shape[1:]
    flat = x.reshape(n, -1).T
    flips = np.asarray(sign_flip_test(flat.T, draws=100_000, seed=seed))
    mean, error = flat.mean(axis=1), flat.std(axis=1, ddof=1) / n**0.5
    away = flat - mean[:, None]
    _, counts = _resamples(n, draws, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = (away @ counts.T / n) / _errors(counts, away)
        observed = np.abs(mean) / error
    towards = resampled * np.sign(mean)[:, None]
    known = np.sum(~np.isnan(resampled), axis=1)
    beyond, either = (
        (1 + np.sum(t >= observed[:, None], axis=1)) / (1 + known)
        for t in (towards, np.abs(resampled))
    )
    student = scipy.special.stdtr(n - 1, -observed)
    skewed = np.maximum.reduce([np.minimum(2 * beyond, 1), either, 2 * student])
    p = np.maximum(flips, np.where(known > 0, skewed, 0))  # equal differences are not skewed
    return p.reshape(shape)[()]


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    statistic: Callable[..., ArrayLike] = np.mean,
    *,
    draws: int = 1999,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (low, high) for `statistic(values)` from resampling whole clusters.

    values: (n, ...) observations (kernels); clusters: (n,) labels (their network); `statistic` maps
    (m, ...) observations to a number or an array. `bootstrap_t_interval` for any statistic: around
    the estimate, in units of the bootstrap's standard error (times sqrt(m/(m-1)): a bootstrap of m
    units is too narrow by that; Hesterberg 2015, The American Statistician 69:371). Each replicate
    is studentised by the jackknife's influence of its clusters (the nonparametric delta method,
    Davison & Hinkley 1997, sections 2.7.2 and 3.8), and Student's quantile is the least it uses;
    below 6 clusters, all. Percentiles undercover with few clusters (results/calibration).
    ValueError with fewer than 2. Blind to: the limits of the statistic's range, and a tail that no
    cluster lies in.
    """
    check_level(level)
    values = np.asarray(values)
    labels, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    if inverse.shape != values.shape[:1]:
        raise ValueError(f"clusters must have shape {values.shape[:1]}, not {inverse.shape}")
    n = len(labels)
    if n < 2:
        raise ValueError(f"cluster_bootstrap needs at least 2 clusters, not {n}")
    members = [np.flatnonzero(inverse == i) for i in range(n)]
    chosen, counts = _resamples(n, draws, seed)
    estimate = np.asarray(statistic(values))
    replicates = np.stack(
        [statistic(values[np.concatenate([members[i] for i in draw])]) for draw in chosen]
    )
    error = np.std(replicates, axis=0) * (n / (n - 1)) ** 0.5
    down = up = np.full(estimate.shape, scipy.special.stdtrit(n - 1, 0.5 + level / 2))
    if n >= FEWEST:
        without = np.stack([np.asarray(statistic(values[inverse != i])) for i in range(n)])
        influence = ((n - 1) * (estimate - without)).reshape(n, -1).T
        moved = (replicates - estimate).reshape(draws, -1).T
        ends = _student_ends(moved, _errors(counts, influence), level)
        down, up = (np.fmax(down, end.reshape(estimate.shape)) for end in ends)
    return estimate - down * error, estimate + up * error


@lru_cache(maxsize=8)
def _resamples(n: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The units drawn (draws, n), and how often each is (draws, n)."""
    chosen = np.random.default_rng(seed).integers(n, size=(draws, n))
    cells = chosen + n * np.arange(draws)[:, None]
    counts = np.bincount(cells.ravel(), minlength=draws * n).reshape(draws, n).astype(float)
    chosen.setflags(write=False)
    counts.setflags(write=False)
    return chosen, counts


def _errors(counts: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Standard errors of the mean in resamples of `away` (m, n), (m, draws); NaN if constant."""
    n = away.shape[1]
    variance = away**2 @ counts.T / n - (away @ counts.T / n) ** 2
    constant = variance <= 1e-14 * np.max(away**2, axis=1, keepdims=True)
    return np.sqrt(np.where(constant, np.nan, variance) / (n - 1))


def _student_ends(
    moved: np.ndarray, errors: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """How many standard errors an interval reaches down and up by bootstrap-t, (m,) both.

    moved, errors: (m, draws), of the resamples' estimates from the estimate.
    """
    t = np.sort(moved / errors, axis=1)  # NaN, the constant resamples, last
    known = t.shape[1] - np.isnan(t).sum(axis=1, keepdims=True)

    def ranks(share: float) -> np.ndarray:
        return np.maximum((share * (known + 1) + 1e-9).astype(int), 1)

    def pick(ordered: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.take_along_axis(ordered, np.maximum(place, 0), axis=1)[:, 0]

    alpha = 1 - level
    symmetric = pick(np.sort(np.abs(t), axis=1), known - ranks(alpha))
    return (
        np.fmax(symmetric, pick(t, known - ranks(alpha / 2))),
        np.fmax(symmetric, -pick(t, ranks(alpha / 2) - 1)),
    )


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
