"""Tests, intervals and corrections against SciPy, statsmodels and simulation."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernelstudy import analysis

differences = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=6, max_size=11)


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=11))  # integers tie exactly
def test_sign_flip_equals_scipys_permutation_test(values):
    expected = stats.permutation_test(
        (np.array(values),), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    found = analysis.sign_flip_test(values)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, abs=1e-12)


@given(differences, st.floats(0.01, 100))
def test_sign_flip_forgets_sign_order_and_scale(values, scale):
    p = analysis.sign_flip_test(values)
    assert analysis.sign_flip_test(-scale * np.array(values)[::-1]) == pytest.approx(p)
    assert p >= 2 ** (1 - len(values))
    assert p <= 1


def test_sign_flip_reaches_its_smallest_p_and_no_less():
    assert analysis.sign_flip_test(np.arange(1.0, 7)) == 2 / 64
    assert analysis.sign_flip_test(np.arange(1.0, 11)) == 2 / 1024
    assert analysis.sign_flip_test(np.zeros(8)) == 1


@pytest.mark.parametrize("n", [0, 1, 5])
def test_sign_flip_refuses_fewer_than_six(n):
    with pytest.raises(ValueError, match="at least 6"):
        analysis.sign_flip_test(np.ones(n))


def test_sign_flip_of_many_tests_at_once():
    d = np.random.default_rng(0).standard_normal((4, 10, 30)) + 0.3
    d[2, 5, 7] = np.nan
    p = analysis.sign_flip_test(d, axis=1)
    assert p.shape == (4, 30)
    assert np.isnan(p[2, 7])
    assert np.isnan(p).sum() == 1
    assert p[3, 4] == pytest.approx(analysis.sign_flip_test(d[3, :, 4]))


def test_sign_flip_by_monte_carlo_agrees_with_the_exact_p():
    d = np.random.default_rng(1).standard_normal(20) + 0.4
    exact = analysis.sign_flip_test(d)
    t = stats.ttest_1samp(d, 0).pvalue
    assert exact == pytest.approx(t, abs=0.02)
    more = np.append(d, [1e-9])  # n = 21 is beyond the exact range, and adds nothing
    assert analysis.sign_flip_test(more) == pytest.approx(exact, abs=0.005)
    assert analysis.sign_flip_test(more, seed=1) == analysis.sign_flip_test(more, seed=1)


def test_random_signs_are_numpys_own_choice():
    """In blocks that fit the memory, but with the stream of one call, however many networks there are."""
    draws, values = 1001, np.random.default_rng(1).standard_normal((9001, 2)) + 0.02
    signs = np.random.default_rng(5).choice([-1.0, 1.0], size=(draws, len(values)))
    beyond = np.abs(signs @ values) >= np.abs(values.sum(axis=0))
    expected = (1 + beyond.sum(axis=0)) / (1 + draws)
    np.testing.assert_array_equal(analysis.sign_flip_test(values, draws=draws, seed=5), expected)


def test_thousands_of_networks_fit_the_memory():
    values = np.random.default_rng(0).random(4000)
    tracemalloc.start()
    low, high = analysis.bootstrap_t_interval(values, draws=199)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert low < values.mean() < high
    assert peak < 100 * 2**20  # draws x networks, not draws x networks x networks


@pytest.mark.parametrize("seed", [0, 1])
def test_sign_flip_holds_its_level(seed):
    noise = np.random.default_rng(seed).standard_t(3, (10, 4000))
    p = analysis.sign_flip_test(noise)
    for level in (0.01, 0.05, 0.2):
        assert abs(np.mean(p <= level) - level) < 4 * (level * (1 - level) / 4000) ** 0.5


def test_t_interval_is_scipys():
    x = np.random.default_rng(0).standard_normal((7, 3))
    low, high = analysis.t_interval(x, level=0.9)
    expected = stats.t.interval(0.9, 6, x.mean(axis=0), stats.sem(x, axis=0))
    np.testing.assert_allclose([low, high], expected)
    np.testing.assert_allclose(analysis.t_interval(x.T, level=0.9, axis=1), expected)
    assert np.isnan(analysis.t_interval([1.0])).all()
    with pytest.raises(ValueError, match="level"):
        analysis.t_interval(x, level=95)


def exact_bootstrap_t(x, level=0.95):
    """The interval's ends from all n^n resamples, counted one by one."""
    n, mean, error = len(x), np.mean(x), stats.sem(x)
    drawn = np.array(list(itertools.product(x, repeat=n)))
    varied = np.ptp(drawn, axis=1) > 0
    t = (drawn[varied].mean(axis=1) - mean) / stats.sem(drawn[varied], axis=1)
    tail = (1 - level) / 2
    symmetric = np.quantile(np.abs(t), level)
    down, up = np.quantile(t, 1 - tail), -np.quantile(t, tail)
    student = stats.t.ppf(1 - tail, n - 1)
    return mean - max(symmetric, down, student) * error, mean + max(symmetric, up, student) * error


@pytest.mark.parametrize("law", ["exponential", "standard_normal"])
def test_bootstrap_t_interval_is_that_of_all_resamples(law):
    x = getattr(np.random.default_rng(4), law)(size=6)
    found = analysis.bootstrap_t_interval(x, draws=39_999)
    np.testing.assert_allclose(found, exact_bootstrap_t(x), atol=0.03 * np.ptp(found))
    student = analysis.t_interval(x)
    assert found[0] <= student[0]
    assert found[1] >= student[1]


def test_bootstrap_t_interval_keeps_shape_scale_support_and_few_values():
    x = np.random.default_rng(1).beta(6, 0.5, (3, 8, 2))
    low, high = analysis.bootstrap_t_interval(x, axis=1)
    assert low.shape == (3, 2)
    column = analysis.bootstrap_t_interval(x[2, :, 1])
    np.testing.assert_allclose([low[2, 1], high[2, 1]], column)
    moved = analysis.bootstrap_t_interval(5 - 1e-9 * x[2, :, 1])
    np.testing.assert_allclose(moved[::-1], 5 - 1e-9 * np.array(column), rtol=1e-12)
    assert np.all(analysis.bootstrap_t_interval(x, axis=1, support=(0, 1))[1] <= 1)
    few = x[0, :5, 0]
    np.testing.assert_allclose(analysis.bootstrap_t_interval(few), analysis.t_interval(few))
    assert analysis.bootstrap_t_interval(np.ones(7)) == (1, 1)
    assert np.isfinite(analysis.bootstrap_t_interval([1, 1, 1, 1, 1, 0.9])).all()
    assert np.isnan(analysis.bootstrap_t_interval([1, 2, 3, 4, 5, np.nan])).all()
    with pytest.raises(ValueError, match="level"):
        analysis.bootstrap_t_interval(few, level=95)


def test_bootstrap_t_interval_covers_a_skewed_bounded_mean_better_than_students():
    x = np.random.default_rng(0).beta(6, 1, (10, 1000))
    inside = {
        name: np.mean((low <= 6 / 7) & (high >= 6 / 7))
        for name, (low, high) in {
            "student": analysis.t_interval(x),
            "bootstrap-t": analysis.bootstrap_t_interval(x, draws=399, support=(0, 1)),
        }.items()
    }
    assert inside["bootstrap-t"] > 0.95 - 3 * (0.05 * 0.95 / 1000) ** 0.5
    assert inside["student"] < 0.94


def test_cluster_bootstrap_of_means_is_the_bootstrap_t_interval():
    x = np.random.default_rng(8).exponential(size=8)
    values, labels = np.repeat(x, 3), np.repeat(np.arange(8), 3)
    found = analysis.cluster_bootstrap(values, labels, draws=3999)
    expected = analysis.bootstrap_t_interval(x, draws=3999)
    np.testing.assert_allclose(found, expected, atol=0.03 * np.ptp(expected))


def nested(rng, studies, nets, channels, between):
    """Kernel values whose network effects have standard deviation `between`, kernels' 1; mean 0."""
    return between * rng.standard_normal((studies, nets, 1)) + rng.standard_normal(
        (studies, nets, channels)
    )


def test_cluster_bootstrap_covers_where_the_bootstrap_of_kernels_does_not():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(8), 16)
    inside = {"net": [], "kernel": []}
    for study in nested(rng, 150, 8, 16, 0.5):
        for name, labels in (("net", clusters), ("kernel", np.arange(128))):
            low, high = analysis.cluster_bootstrap(study.ravel(), labels, draws=300)
            inside[name].append(low <= 0 <= high)
    assert np.mean(inside["net"]) > 0.88
    assert np.mean(inside["kernel"]) < 0.8


def test_cluster_bootstrap_takes_any_statistic_and_repeats_itself():
    rng = np.random.default_rng(2)
    values, clusters = rng.standard_normal((60, 2)), np.repeat(list("abcdef"), 10)
    first = analysis.cluster_bootstrap(values, clusters, lambda v: np.median(v, axis=0), draws=200)
    again = analysis.cluster_bootstrap(values, clusters, lambda v: np.median(v, axis=0), draws=200)
    np.testing.assert_array_equal(first, again)
    assert first[0].shape == (2,)
    with pytest.raises(ValueError, match="at least 2"):
        analysis.cluster_bootstrap(values, np.zeros(60))
    with pytest.raises(ValueError, match="clusters must"):
        analysis.cluster_bootstrap(values, np.zeros(6))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_benjamini_hochberg_is_scipys(p):
    q = analysis.benjamini_hochberg(p)
    np.testing.assert_allclose(q, stats.false_discovery_control(p), atol=1e-12)


def test_benjamini_hochberg_is_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).random(200) ** 3
    expected = multitest.multipletests(p, method="fdr_bh")[1]
    np.testing.assert_allclose(analysis.benjamini_hochberg(p), expected, atol=1e-12)


def test_benjamini_hochberg_keeps_shape_and_ignores_nan():
    p = np.array([[0.01, np.nan, 0.04], [0.03, 0.5, np.nan]])
    q = analysis.benjamini_hochberg(p)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
    np.testing.assert_allclose(q[~np.isnan(q)], stats.false_discovery_control(p[~np.isnan(p)]))
    assert analysis.benjamini_hochberg([]).shape == (0,)
    with pytest.raises(ValueError, match="p must"):
        analysis.benjamini_hochberg([0.2, 1.2])


def test_benjamini_hochberg_on_uniform_p_finds_something_at_its_level():
    p = np.random.default_rng(0).random((3000, 40))
    any_found = [np.any(analysis.benjamini_hochberg(row) <= 0.1) for row in p]
    assert abs(np.mean(any_found) - 0.1) < 4 * (0.09 / 3000) ** 0.5


def test_max_statistic_controls_the_family_and_keeps_single_tests():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((300, 8, 1))
    noise = 0.7 * shared + rng.standard_normal((300, 8, 6))
    family = np.mean([analysis.max_statistic(d).min() <= 0.05 for d in noise])
    assert family < 0.05 + 4 * (0.05 * 0.95 / 300) ** 0.5
    single = rng.standard_normal((9, 1)) + 0.5
    np.testing.assert_allclose(
        analysis.max_statistic(single), analysis.sign_flip_test(single), atol=1e-12
    )
    many = analysis.max_statistic(np.column_stack([single, rng.standard_normal((9, 20))]))
    assert many[0] >= analysis.sign_flip_test(single[:, 0])


def test_max_statistic_by_monte_carlo_and_its_refusals():
    d = np.random.default_rng(3).standard_normal((15, 3)) + 0.5
    d[:, 2] = 0
    p = analysis.max_statistic(d)
    np.testing.assert_allclose(p[:2], analysis.max_statistic(d, seed=1)[:2], atol=0.01)
    assert p[2] == 1
    with pytest.raises(ValueError, match="max_statistic needs"):
        analysis.max_statistic(d[:5])


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=12),
    st.lists(st.integers(-5, 5), min_size=1, max_size=12),
)
def test_cliffs_delta_counts_pairs(x, y):
    signs = np.sign(np.subtract.outer(x, y))
    assert analysis.cliffs_delta(x, y) == pytest.approx(signs.mean())
    assert analysis.cliffs_delta(y, x) == pytest.approx(-signs.mean())


def test_cliffs_delta_is_mann_whitney_in_another_dress():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30) + 0.5, rng.standard_normal(20)
    u = stats.mannwhitneyu(x, y).statistic
    assert analysis.cliffs_delta(x, y) == pytest.approx(2 * u / 600 - 1)
    assert np.isnan(analysis.cliffs_delta([], y))
