"""The tables: their columns, and their numbers worked out another way."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kernelstudy.analysis import bootstrap_t_interval, mean_test, sector_energies, tables
from kernelstudy.analysis.sectors import SECTORS
from kernelstudy.analysis.trajectory import final_matches, measure_trajectory
from tests.synthetic import trajectory

BANK = ["sobel_x", "sobel_y", "laplacian4"]


@pytest.fixture(scope="module")
def made():
    return trajectory()


@pytest.fixture(scope="module")
def measured(made):
    return measure_trajectory(made, BANK)


@pytest.fixture(scope="module")
def tested(measured):
    return tables.tests(measured)


def test_accuracy_on_changed_images_is_held_against_the_same_networks_on_clean_ones():
    made = trajectory(tests=("blur@1", "gaussian_clone"))
    made["diverged"][0, 2] = True
    measured = measure_trajectory(made, BANK)
    found = tables.changed(measured).set_index(["arm", "test"])
    assert len(found) == 4
    kept = [0, 1, 3, 4, 5, 6]
    changed = made["changed_accuracy"].values[0, kept, -1, 1]
    difference = changed - made["test_accuracy"].values[0, kept, -1]
    row = found.loc[("he_normal", "gaussian_clone")]
    assert row["n"] == 6
    assert row["accuracy"] == pytest.approx(changed.mean())
    assert row["change"] == pytest.approx(difference.mean())
    ends = bootstrap_t_interval(difference, support=(-1, 1))
    assert (row["change_low"], row["change_high"]) == pytest.approx(ends)
    assert row["change_low"] < row["change"] < row["change_high"]
    summary = tables.summary(measured).set_index(["arm", "measure", "step"])
    of = summary.loc[("he_normal", "test_accuracy[gaussian_clone]", 9)]
    assert of["mean"] == pytest.approx(changed.mean())


def test_columns(made, measured, tested):
    summary = tables.summary(measured)
    assert list(summary) == ["arm", "step", "measure", "n", "mean", "ci_low", "ci_high"]
    assert list(tested) == [
        "arm",
        "step",
        "measure",
        "null",
        "n",
        "diff",
        "ci_low",
        "ci_high",
        "p",
        "q",
    ]
    assert list(tables.kernels(final_matches(made, BANK).trained, made["diverged"])) == [
        "arm",
        "seed",
        "channel",
        "norm",
        "live",
        "dc",
        "isotropic",
        "b1",
        "b2",
        "odd",
        "theta",
        "a",
        "purity",
        "best",
        "best_abs_cos",
        "p_best",
        "q_best",
        "r2_sobel",
        "r2_sobel_centered",
    ]
    expected = {
        *("dc", "isotropic", "b1", "b2", "odd", "r2_sobel", "r2_sobel_centered", "r2_prewitt"),
        *("a_pop", "purity", "best_abs_cos", "movement", "train_loss", "test_accuracy"),
        *("memory", "cos_start", "start_left"),
    }
    found = set(summary["measure"])
    assert expected <= found
    assert {name.removeprefix("delta_").removeprefix("new_") for name in found} == expected


def test_summary_is_the_mean_and_its_bootstrap_t_interval(measured):
    summary = tables.summary(measured).set_index(["arm", "step", "measure"])
    row, values = summary.loc["he_normal", 4, "odd"], measured["odd"].sel(arm="he_normal", step=4)
    low, high = bootstrap_t_interval(values.values)
    assert row["n"] == 7
    np.testing.assert_allclose(
        row[["mean", "ci_low", "ci_high"]].astype(float), [values.mean(), low, high]
    )
    no_shares = [
        "a_pop",
        "delta_a_pop",
        "new_a_pop",
        "movement",
        "train_loss",
        "cos_start",
        "start_left",
    ]
    shares = summary.drop(index=no_shares, level="measure")
    assert shares["ci_low"].min() >= 0
    assert shares["ci_high"].max() <= 1


def test_a_row_is_the_test_of_its_own_differences(measured, tested):
    row = tested.set_index(["arm", "measure", "step", "null"]).loc["he_normal", "odd", 9, "N0"]
    values = measured["odd"].sel(arm="he_normal", step=9).values - 4 / 9
    ends = bootstrap_t_interval(values)
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), ends)
    np.testing.assert_allclose(row["p"], mean_test(values))


def test_p_is_at_least_the_exact_permutation_tests(measured, tested):
    index = ["arm", "step", "measure", "null"]
    for null, reference in (("N0", 4 / 9), ("N1", measured["odd"].sel(arm="he_normal", step=0))):
        values = (measured["odd"].sel(arm="he_normal", step=9) - reference).values
        expected = stats.permutation_test(
            (values, np.zeros(7)), lambda x, y: np.mean(x - y), permutation_type="samples"
        )
        row = tested.set_index(index).loc["he_normal", 9, "odd", null]
        assert row["p"] >= expected.pvalue * (1 - 1e-9)
        assert row["diff"] == pytest.approx(values.mean())


def test_q_is_benjamini_hochbergs_within_arm_and_step(tested):
    one = tested[(tested["arm"] == "he_normal") & (tested["step"] == 9)]
    np.testing.assert_allclose(one["q"], stats.false_discovery_control(one["p"]))


def test_update_is_held_against_the_initial_kernels(measured, tested):
    row = tested.set_index(["arm", "step", "measure", "null"]).loc[
        "he_normal", 9, "delta_odd", "N1"
    ]
    initial = measured["odd"].sel(arm="he_normal", step=0)
    final = measured["delta_odd"].sel(arm="he_normal", step=9)
    assert row["diff"] == pytest.approx(float((final - initial).mean()))


def test_no_p_below_six_networks():
    found = tables.tests(measure_trajectory(trajectory(seeds=5), BANK))
    assert found["p"].isna().all()
    assert found["q"].isna().all()
    assert found["diff"].notna().all()


def test_what_cannot_be_measured_has_no_row(measured, tested):
    summary = tables.summary(measured)
    at_start = summary[(summary["step"] == 0) & summary["measure"].str.startswith("delta_")]
    assert at_start.empty
    frozen = summary[
        (summary["arm"] == "sobel/frozen") & summary["measure"].str.startswith("delta_")
    ]
    assert frozen.empty
    assert tested[(tested["step"] == 0) & (tested["null"] == "N1")].empty
    assert summary["mean"].notna().all()


def test_an_interval_of_a_that_cannot_be_given_is_empty():
    summary = tables.summary(measure_trajectory(trajectory(seeds=2), BANK))
    rows = summary[summary["measure"] == "a_pop"]
    assert rows[["ci_low", "ci_high"]].isna().all(axis=None)
    assert rows["mean"].notna().all()


def test_kernels_q_is_within_the_arm(made):
    table = tables.kernels(final_matches(made, BANK).trained, made["diverged"])
    assert len(table) == 2 * 7 * 5
    for _, of_arm in table.groupby("arm"):
        np.testing.assert_allclose(
            of_arm["q_best"], stats.false_discovery_control(of_arm["p_best"])
        )


def test_diverged_networks_have_no_kernels(made):
    made = made.copy(deep=True)
    made["diverged"][1, 3] = True
    table = tables.kernels(final_matches(made, BANK).trained, made["diverged"])
    assert len(table) == 2 * 7 * 5 - 5
    assert table[(table["arm"] == "sobel/frozen") & (table["seed"] == 3)].empty


def test_tables_survive_csv(tmp_path, tested):
    tested.to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), tested, check_dtype=False)


def test_larger_kernels_leave_a_empty():
    larger = trajectory(size=5, seeds=1)
    table = tables.kernels(final_matches(larger, BANK).trained, larger["diverged"])
    assert table[["theta", "a", "purity"]].isna().all(axis=None)
    assert table["odd"].notna().all()


def test_growth_adds_up_to_the_final_energy(made, measured):
    found = tables.growth(measured).set_index(["arm", "sector"])
    w = (
        made["kernel"]
        .sel(arm="he_normal")
        .isel(cin=0)
        .transpose("seed", "step", "cout", "ky", "kx")
    )
    energies = sector_energies(w.values).sum(axis=2)
    share = energies / (w.values[:, 0] ** 2).sum(axis=(1, 2, 3))[:, None, None]
    for index, name in enumerate(SECTORS):
        row = found.loc["he_normal", name]
        np.testing.assert_allclose(row["start"], share[:, 0, index].mean(), rtol=1e-5)
        np.testing.assert_allclose(row["end"], share[:, -1, index].mean(), rtol=1e-5)
        assert row["start"] + row["new"] + row["cross"] == pytest.approx(row["end"])
        assert row["new_low"] <= row["new"] <= row["new_high"]
    assert found.loc["he_normal", "odd"]["new"] > found.loc["he_normal", "dc"]["new"]
    frozen = found.loc["sobel/frozen"]
    assert (frozen["new"] == 0).all()
    assert (frozen["cross"] == 0).all()
