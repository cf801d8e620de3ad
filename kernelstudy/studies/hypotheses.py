"""Hypotheses declared before a run, held against its networks: each holds, fails, or stays open.

A hypothesis has *parts* (an arm, a data set, a size), each with one claim. Claims with a bound are
decided by an interval over networks, claims on chance by the ladder's tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.intervals import bootstrap_t_interval, mean_test
from kernelstudy.analysis.ladder import margin_of

HOLDS, FAILS, OPEN, MISSING = "holds", "fails", "open", "not run"


class Outcome(NamedTuple):
    """One claim and what the networks say. `estimate`, `low`, `high`: the mean with its 95% interval
    (bootstrap-t); `p` that of `mean_test`, of a mean of 0; `q`: p within the declared family, where there is
    one."""

    claim: str
    n: int
    estimate: float
    low: float
    high: float
    p: float
    q: float
    verdict: str


def below(claim: str, values: ArrayLike, bound: float) -> Outcome:
    """'The mean is less than `bound`': holds if all of its 95% interval is, fails if none of it is.

    values: (n,), one a network (or one a seed, of paired differences); what is not finite is left out.
    """
    return _outcome(claim, values, -np.inf, bound)


def above(claim: str, values: ArrayLike, bound: float) -> Outcome:
    """'The mean is more than `bound`', decided as `below` is."""
    return _outcome(claim, values, bound, np.inf)


def within(claim: str, values: ArrayLike, bound: float) -> Outcome:
    """'The mean is less than `bound` away from 0': a test of equivalence (Schuirmann 1987), by interval."""
    return _outcome(claim, values, -bound, bound)


def _outcome(claim: str, values: ArrayLike, least: float, most: float) -> Outcome:
    x = np.asarray(values, dtype=float).ravel()
    x = x[np.isfinite(x)]
    if not len(x):
        return missing(claim)
    low, high = (float(end) for end in bootstrap_t_interval(x))
    p = float(mean_test(x)) if len(x) >= FEWEST else np.nan
    verdict = OPEN
    if least < low and high < most:
        verdict = HOLDS
    elif high <= least or low >= most:
        verdict = FAILS
    return Outcome(claim, len(x), float(x.mean()), low, high, p, np.nan, verdict)


def above_chance(claim: str, rung, *, level: float = 0.05) -> Outcome:
    """'It is above this rung of the ladder': holds if q says so, fails if q says below, else open.

    rung: a row of `tables.ladder`; None where there is none.
    """
    found = _against(rung, level)
    return _on_rung(claim, rung, HOLDS if found.above else FAILS if found.below else OPEN)


def not_above_chance(claim: str, rung, *, level: float = 0.05) -> Outcome:
    """'It is at chance', as the ladder asks: fails if q says above, is open if the interval alone does, and
    holds otherwise.

    That nothing was found is no proof that there is nothing: the interval says how little it may be.
    """
    found = _against(rung, level)
    return _on_rung(claim, rung, FAILS if found.above else OPEN if found.maybe_above else HOLDS)


def not_from_chance(claim: str, rung, *, level: float = 0.05) -> Outcome:
    """'It matches this rung': as `not_above_chance`, and below as above."""
    found = _against(rung, level)
    maybe = found.maybe_above or found.maybe_below
    return _on_rung(claim, rung, FAILS if found.above or found.below else OPEN if maybe else HOLDS)


class _Against(NamedTuple):
    """How networks lie to a rung, by q; `maybe`: by their interval, where q does not say so."""

    above: bool = False
    below: bool = False
    maybe_above: bool = False
    maybe_below: bool = False


def _against(rung, level: float) -> _Against:
    if rung is None or not rung.n:
        return _Against()
    is_clear = rung.q <= level  # False where too few networks allow no test
    margin = margin_of(rung.null, rung.measure)
    return _Against(
        is_clear and rung.diff > margin,
        is_clear and rung.diff < 0,
        rung.ci_low > margin,
        rung.ci_high < 0,
    )


def _on_rung(claim: str, rung, verdict: str) -> Outcome:
    if rung is None or not rung.n:
        return missing(claim)
    diff, low, high, p, q = map(float, (rung.diff, rung.ci_low, rung.ci_high, rung.p, rung.q))
    return Outcome(claim, int(rung.n), diff, low, high, p, q, OPEN if np.isnan(q) else verdict)


def missing(claim: str) -> Outcome:
    """A claim whose networks are not there."""
    nan = np.nan
    return Outcome(claim, 0, nan, nan, nan, nan, nan, MISSING)


def overall(verdicts: Iterable[str]) -> str:
    """Of all parts: one that fails makes the whole fail; it holds only if every part was run and holds."""
    kinds = set(verdicts)
    if FAILS in kinds:
        return FAILS
    if kinds == {HOLDS}:
        return HOLDS
    return MISSING if kinds <= {MISSING} else OPEN
