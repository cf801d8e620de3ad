"""Hypotheses: what holds, what fails and what stays open, against SciPy's intervals and by closed forms."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy

from kernelstudy.analysis import bootstrap_t_interval
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.studies import hypotheses
from kernelstudy.studies.hypotheses import FAILS, HOLDS, MISSING, OPEN

VALUES = np.array([0.9, 1.1, 1.0, 1.2, 0.8, 1.05, 0.95, 1.0])
LOW, HIGH = bootstrap_t_interval(VALUES)


class Rung(NamedTuple):
    null: str
    measure: str
    n: int
    diff: float
    ci_low: float
    ci_high: float
    p: float
    q: float


@pytest.mark.parametrize(
    ("test", "bound", "verdict"),
    [
        (hypotheses.below, HIGH + 1e-9, HOLDS),
        (hypotheses.below, HIGH - 1e-9, OPEN),
        (hypotheses.below, LOW + 1e-9, OPEN),
        (hypotheses.below, LOW - 1e-9, FAILS),
        (hypotheses.above, LOW - 1e-9, HOLDS),
        (hypotheses.above, LOW + 1e-9, OPEN),
        (hypotheses.above, HIGH + 1e-9, FAILS),
        (hypotheses.within, HIGH + 1e-9, HOLDS),
        (hypotheses.within, HIGH - 1e-9, OPEN),
        (hypotheses.within, LOW - 1e-9, FAILS),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_bound_is_decided_by_where_the_whole_interval_lies(test, bound, verdict, sign):
    mirrored = {hypotheses.below: hypotheses.above, hypotheses.above: hypotheses.below}
    if sign < 0 and test is not hypotheses.within:
        test, bound = mirrored[test], -bound
    found = test("claim", sign * VALUES, bound)
    ends = (LOW, HIGH) if sign > 0 else (-HIGH, -LOW)
    assert found.verdict == verdict
    assert (found.n, found.claim) == (8, "claim")
    np.testing.assert_allclose([found.low, found.high], ends)
    student = scipy.stats.ttest_1samp(sign * VALUES, 0).confidence_interval()
    assert found.low <= student.low < student.high <= found.high
    np.testing.assert_allclose(found.estimate, sign * VALUES.mean())


def test_p_is_at_least_the_exact_sign_flip_tests():
    found = hypotheses.above("", VALUES[:6] - 0.95, 0)
    exact = scipy.stats.permutation_test(
        (VALUES[:6] - 0.95,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert exact.pvalue * (1 - 1e-9) <= found.p < 1
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
    ("diff", "half", "q", "expected"),
    [
        (0.1, 0.1, 0.01, (HOLDS, FAILS, FAILS)),
        (-0.1, 0.1, 0.01, (FAILS, HOLDS, FAILS)),
        (0.1, 0.1, 0.051, (OPEN, HOLDS, HOLDS)),
        (-0.1, 0.1, 0.051, (OPEN, HOLDS, HOLDS)),
        # the interval says what q over the family does not
        (0.1, 0.05, 0.051, (OPEN, OPEN, OPEN)),
        (-0.1, 0.05, 0.051, (OPEN, HOLDS, OPEN)),
        (0.1, 0.05, np.nan, (OPEN, OPEN, OPEN)),
    ],
)
def test_claims_on_chance_are_decided_by_q(diff, half, q, expected):
    rung = Rung("N0", CENTRED, 10, diff, diff - half, diff + half, q / 2, q)
    tests = (
        hypotheses.above_chance,
        hypotheses.not_above_chance,
        hypotheses.not_from_chance,
    )
    assert tuple(test("", rung).verdict for test in tests) == expected
    assert {test("", None).verdict for test in tests} == {MISSING}


def test_image_statistics_must_be_exceeded_by_the_margin():
    for diff, verdict in ((0.03, OPEN), (0.07, HOLDS), (-0.01, FAILS)):
        rung = Rung("N3", CENTRED, 10, diff, diff - 0.01, diff + 0.01, 0.002, 0.004)
        assert hypotheses.above_chance("", rung).verdict == verdict
    for diff, verdict in ((0.055, HOLDS), (0.065, OPEN)):
        rung = Rung("N3", CENTRED, 10, diff, diff - 0.01, diff + 0.01, 0.05, 0.1)
        assert hypotheses.not_above_chance("", rung).verdict == verdict


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
