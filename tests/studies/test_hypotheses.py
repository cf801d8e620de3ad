"""Hypotheses: what holds, what fails and what stays open, against SciPy's intervals and by closed forms."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy

from kernelstudy.studies import hypotheses
from kernelstudy.studies.hypotheses import FAILS, HOLDS, MISSING, OPEN

VALUES = np.array([0.9, 1.1, 1.0, 1.2, 0.8, 1.05, 0.95, 1.0])
INTERVAL = scipy.stats.ttest_1samp(VALUES, 0).confidence_interval()


class Rung(NamedTuple):
    n: int
    diff: float
    ci_low: float
    ci_high: float
    p: float
    q: float


@pytest.mark.parametrize(
    ("test", "bound", "verdict"),
    [
        (hypotheses.below, INTERVAL.high + 1e-9, HOLDS),
        (hypotheses.below, INTERVAL.high - 1e-9, OPEN),
        (hypotheses.below, INTERVAL.low + 1e-9, OPEN),
        (hypotheses.below, INTERVAL.low - 1e-9, FAILS),
        (hypotheses.above, INTERVAL.low - 1e-9, HOLDS),
        (hypotheses.above, INTERVAL.low + 1e-9, OPEN),
        (hypotheses.above, INTERVAL.high + 1e-9, FAILS),
        (hypotheses.within, INTERVAL.high + 1e-9, HOLDS),
        (hypotheses.within, INTERVAL.high - 1e-9, OPEN),
        (hypotheses.within, INTERVAL.low - 1e-9, FAILS),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_bound_is_decided_by_where_the_whole_interval_lies(test, bound, verdict, sign):
    mirrored = {hypotheses.below: hypotheses.above, hypotheses.above: hypotheses.below}
    if sign < 0 and test is not hypotheses.within:
        test, bound = mirrored[test], -bound
    found = test("claim", sign * VALUES, bound)
    ends = (INTERVAL.low, INTERVAL.high) if sign > 0 else (-INTERVAL.high, -INTERVAL.low)
    assert found.verdict == verdict
    assert (found.n, found.claim) == (8, "claim")
    np.testing.assert_allclose([found.low, found.high], ends)
    np.testing.assert_allclose(found.estimate, sign * VALUES.mean())


def test_p_is_the_exact_sign_flip_tests():
    found = hypotheses.above("", VALUES[:6] - 0.95, 0)
    exact = scipy.stats.permutation_test(
        (VALUES[:6] - 0.95,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    np.testing.assert_allclose(found.p, exact.pvalue)
    assert np.isnan(hypotheses.above("", VALUES[:5], 0).p)


def test_what_is_not_finite_is_left_out_and_one_network_decides_nothing():
    assert hypotheses.above("", [*VALUES, np.nan, np.inf], 0).n == 8
    assert hypotheses.above("", [1.0], 0).verdict == OPEN
    assert hypotheses.above("", [], 0).verdict == MISSING
    assert hypotheses.above("", [np.nan], 0).n == 0


def test_networks_that_agree_exactly_decide():
    assert hypotheses.above("", [0.0] * 6, 0).verdict == FAILS
    assert hypotheses.below("", [-1.0] * 6, 0).verdict == HOLDS


@pytest.mark.parametrize(
    ("diff", "q", "expected"),
    [
        (0.1, 0.01, (HOLDS, FAILS, FAILS)),
        (-0.1, 0.01, (FAILS, HOLDS, FAILS)),
        (0.1, 0.051, (OPEN, HOLDS, HOLDS)),
        (-0.1, 0.051, (OPEN, HOLDS, HOLDS)),
        (0.1, np.nan, (OPEN, OPEN, OPEN)),
    ],
)
def test_claims_on_chance_are_decided_by_q(diff, q, expected):
    rung = Rung(10, diff, diff - 0.1, diff + 0.1, q / 2, q)
    tests = (
        hypotheses.above_chance,
        hypotheses.not_above_chance,
        hypotheses.not_from_chance,
    )
    assert tuple(test("", rung).verdict for test in tests) == expected
    assert {test("", None).verdict for test in tests} == {MISSING}


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, OPEN], OPEN),
        ([HOLDS, OPEN, FAILS, MISSING], FAILS),
        ([HOLDS, MISSING], OPEN),
        ([MISSING, MISSING], MISSING),
        ([], MISSING),
    ],
)
def test_a_hypothesis_holds_if_all_its_parts_do_and_fails_if_one_does(parts, whole):
    assert hypotheses.overall(parts) == whole
