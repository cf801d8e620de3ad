"""Tables of a sweep, against SciPy and by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy

from kernelstudy.analysis import bootstrap_t_interval, mean_test
from kernelstudy.studies import effects

CHANCE = {0: 0.25, 1: 0.1}  # of the first key's values, as kernels' sizes have it


def networks(*, seeds=range(8), second=range(8), widths=(0, 1)):
    """Conditions: key a (two values) x key b (`widths`); a network a row."""
    rng = np.random.default_rng(0)
    design = pd.DataFrame([(a, b) for a in (0, 1) for b in widths], columns=["a", "b"])
    rows = []
    for condition, (a, b) in design.iterrows():
        for arm in ("x", "y"):
            for seed in seeds if a == 0 else second:
                value = 0.5 + 0.1 * a + 0.02 * b + 0.05 * rng.standard_normal()
                rows.append((condition, arm, seed, value, value / 2, 0.3, CHANCE[a]))
    columns = ["condition", "arm", "seed", "value", "delta", "start", "chance"]
    return pd.DataFrame(rows, columns=columns), design


def corrected(table, design, column, a, b):
    """One condition's measure of arm x, corrected for chance, by seed."""
    (condition,) = design.index[(design["a"] == a) & (design["b"] == b)]
    found = table[(table["condition"] == condition) & (table["arm"] == "x")].set_index("seed")
    return (found[column] - found["chance"]) / (1 - found["chance"])


def test_pairs_by_seed_averaged_over_the_other_key():
    table, design = networks()
    row = effects.effects(table, design).iloc[0]
    assert tuple(row[["key", "arm", "part", "value", "reference", "pairing", "n", "averaged"]]) == (
        *("a", "x", "W", 1, 0, "by seed", 8, 2),
    )
    x, y = (
        sum(corrected(table, design, "value", a, b) for b in (0, 1)).to_numpy() / 2 for a in (1, 0)
    )
    student = scipy.stats.ttest_rel(x, y).confidence_interval()
    exact = scipy.stats.permutation_test(
        (x, y), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert row["diff"] == pytest.approx(np.mean(x - y))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(bootstrap_t_interval(x - y))
    assert row["ci_low"] <= student.low
    assert row["ci_high"] >= student.high
    assert row["p"] == pytest.approx(mean_test(x - y))
    assert row["p"] >= exact.pvalue - 1e-12


def test_other_seeds_are_compared_by_their_means():
    table, design = networks(second=range(100, 109), widths=(0,))
    row = effects.effects(table, design[["a"]]).iloc[0]
    x, y = (corrected(table, design, "value", a, 0).to_numpy() for a in (1, 0))
    welch = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    assert tuple(row[["pairing", "n", "n_reference"]]) == ("none", 9, 8)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((welch.low, welch.high))
    assert row["p"] == pytest.approx(
        scipy.stats.permutation_test((x, y), lambda x, y: x.mean() - y.mean()).pvalue, abs=0.01
    )


def test_few_networks_have_differences_but_no_p():
    table, design = networks(seeds=range(3), second=range(3))
    found = effects.effects(table, design)
    assert found["p"].isna().all()
    assert found["diff"].notna().all()
    assert effects.tests(table)["p"].isna().all()
    disjoint, design = networks(seeds=range(2), second=range(5, 8))
    row = effects.effects(disjoint, design).iloc[0]
    assert row["pairing"] == "none"
    assert np.isnan(row["p"])  # of 10 ways to divide five networks, 2 are as far apart


def test_a_missing_condition_leaves_the_rest_balanced():
    table, design = networks()
    gone = table[table["condition"] != 3]  # a = 1, b = 1
    row = effects.effects(gone, design).iloc[0]
    assert row["averaged"] == 1
    x, y = (corrected(table, design, "value", a, 0) for a in (1, 0))
    assert row["diff"] == pytest.approx((x - y).mean())


def test_diverged_networks_fall_out_of_their_pairs():
    table, design = networks(widths=(0,))
    table.loc[(table["condition"] == 1) & (table["seed"] == 2), ["value", "delta"]] = np.nan
    row = effects.effects(table, design).iloc[0]
    x, y = (corrected(table, design, "value", a, 0) for a in (1, 0))
    assert row["n"] == 7
    assert row["diff"] == pytest.approx((x - y).drop(2).mean())


def test_skewed_differences_do_not_pass_upwards():
    """Of mean 0 with a long tail below, sign flips alone let through 9% at 10 networks, nominal 2.5%."""
    rng = np.random.default_rng(1)
    rows = [
        (condition, "x", seed, 0.25 + 0.1 * excess, np.nan, np.nan, 0.25)
        for condition, study in enumerate(1 - rng.exponential(size=(300, 10)))
        for seed, excess in enumerate(study)
    ]
    columns = ["condition", "arm", "seed", "value", "delta", "start", "chance"]
    tested = effects.tests(pd.DataFrame(rows, columns=columns))
    upwards = (tested["p"] <= 0.05) & (tested["diff"] > 0)
    assert len(tested) == 300
    assert upwards.mean() < 0.075


def test_q_is_over_the_whole_sweep():
    table, design = networks()
    for found in (effects.tests(table), effects.effects(table, design)):
        expected = scipy.stats.false_discovery_control(found["p"])
        np.testing.assert_allclose(found["q"], expected)


def test_conditions_and_their_differences_from_chance():
    table, _ = networks()
    table.loc[table["arm"] == "y", "delta"] = np.nan  # a frozen first layer has no update
    found = effects.conditions(table).set_index(["condition", "arm", "part"])
    assert len(found) == 4 * 3
    values = table[(table["condition"] == 2) & (table["arm"] == "x")]["delta"].to_numpy()
    row = found.loc[(2, "x", "update")]
    assert row["mean"] == pytest.approx(values.mean())
    expected = bootstrap_t_interval(values, support=(0, 1))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected)
    tested = effects.tests(table).set_index(["condition", "arm", "part", "null"])
    assert tested.loc[(2, "x", "update", "N0"), "diff"] == pytest.approx(values.mean() - 0.1)
    assert tested.loc[(2, "x", "update", "N1"), "diff"] == pytest.approx(values.mean() - 0.3)


def test_nothing_swept_or_nothing_measured_is_an_empty_table():
    table, design = networks(widths=(0,))
    one = table[table["condition"] == 0]
    assert not len(effects.effects(one, design[[]]))
    nothing = one.assign(value=np.nan, delta=np.nan)
    assert not len(effects.effects(nothing, design))
    assert not len(effects.conditions(nothing))
    assert not len(effects.tests(nothing))
