"""Measures of whole trajectories, from kernels whose answers are known."""

import numpy as np
import pytest

from kernelstudy.analysis import new_part, steered_r2, tables
from kernelstudy.analysis.kernels import (
    DELTA,
    SHAPE_MEASURES,
    exact_means,
    isotropic_chance,
    network_measures,
    usable_bank,
)
from kernelstudy.analysis.sectors import SECTORS
from kernelstudy.analysis.trajectory import (
    count_arms,
    final_matches,
    judge_arms,
    live_kernels,
    measure_trajectory,
    spatial_kernels,
)
from kernelstudy.handcrafted import family, kernel
from tests.synthetic import trajectory

BANK = ["sobel_x", "sobel_y", "laplacian4", "scharr_x"]


@pytest.fixture(scope="module")
def made():
    return trajectory()


@pytest.fixture(scope="module")
def measured(made):
    return measure_trajectory(made, BANK)


def test_all_measures_are_there_twice(measured):
    for name in SHAPE_MEASURES:
        assert measured[name].dims == measured[DELTA + name].dims == ("arm", "seed", "step")
    assert measured["abs_cos"].dims == ("arm", "seed", "step", "entry")
    assert list(measured["entry"].values) == BANK


def test_shares_sum_to_one(measured):
    for prefix, steps in (("", slice(None)), (DELTA, slice(1, None))):
        shares = sum(measured[prefix + name] for name in SECTORS)
        np.testing.assert_allclose(shares.isel(arm=0, step=steps), 1, atol=1e-9)


def test_update_is_measured_as_the_difference(made, measured):
    kernels = spatial_kernels(made)
    update = kernels - kernels[:, :, :1]
    apart = network_measures(update[0, :, 1:], usable_bank(BANK, 3))
    for name, values in apart.items():
        np.testing.assert_allclose(measured[DELTA + name][0, :, 1:], values)


def test_no_update_gives_no_measure(measured):
    for name in SHAPE_MEASURES:
        assert np.isnan(measured[DELTA + name].isel(step=0)).all()
        assert np.isnan(measured[DELTA + name].isel(arm=1)).all()


def test_movement(made, measured):
    kernels = made["kernel"].values.astype(float)
    for arm in range(2):
        for step in range(4):
            moved = np.linalg.norm((kernels[arm, 3, step] - kernels[arm, 3, 0]).ravel())
            ratio = moved / np.linalg.norm(kernels[arm, 3, 0].ravel())
            assert measured["movement"][arm, 3, step] == pytest.approx(ratio, rel=1e-6, abs=1e-12)


def test_sector_shares_weigh_by_energy():
    """A Sobel kernel ten times as strong as an impulse dominates the shares, not the means."""
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    kernels = np.stack([10 * kernel("sobel_x") / np.linalg.norm(kernel("sobel_x")), impulse])
    found = network_measures(kernels, usable_bank(BANK, 3))
    assert found["odd"] == pytest.approx(100 / 101)
    assert found["dc"] == pytest.approx(1 / 9 / 101)
    assert found["r2_sobel"] == pytest.approx(0.5)


def test_dead_kernels_are_left_out_of_means():
    kernels = np.stack([kernel("sobel_x"), 1e-3 * kernel("box"), np.zeros((3, 3))])
    assert live_kernels(kernels).tolist() == [True, False, False]
    assert network_measures(kernels, usable_bank(BANK, 3))["r2_sobel"] == pytest.approx(1)


def test_random_networks_give_what_n0_says():
    """The expectations are exact; the bands hold 95% of fresh random networks."""
    bank = usable_bank(BANK, 3)
    null = isotropic_chance(3, 16, bank, seed=0)
    fresh = network_measures(np.random.default_rng(7).standard_normal((3000, 16, 3, 3)), bank)
    for name, values in fresh.items():
        expected = float(null["null_mean"].sel(measure=name))
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - expected) < 4.5 * error, name
        low, high = (float(null[f"null_{end}"].sel(measure=name)) for end in ("low", "high"))
        assert np.mean((values > low) & (values < high)) == pytest.approx(0.95, abs=0.02), name


def test_exact_expectations():
    found = exact_means(3)
    expected = {"dc": 1 / 9, "isotropic": 2 / 9, "b1": 1 / 9, "b2": 1 / 9, "odd": 4 / 9}
    expected |= {"r2_sobel": 2 / 9, "r2_prewitt": 2 / 9, "r2_sobel_centered": 1 / 4}
    assert found == pytest.approx(expected)


def test_a_diverged_network_is_excluded(made):
    made = made.copy(deep=True)
    made["kernel"][0, 2, 3] = np.nan
    made["diverged"][0, 2] = True
    found = measure_trajectory(made, BANK)
    assert np.isnan(found["odd"][0, 2]).all()
    assert np.isfinite(found["odd"][0, [0, 1, 3, 4, 5, 6]]).all()
    assert np.isfinite(found["a_pop"][0, 1:]).all()


@pytest.mark.parametrize("size", [5, 7])
def test_larger_kernels_have_no_a(size):
    made = trajectory(size=size, seeds=2)
    found = measure_trajectory(made, BANK)
    assert "a_pop" not in found
    assert "purity" not in found
    assert list(found["entry"].values) == ["sobel_x", "sobel_y"]  # the others are 3 x 3 only
    assert found["r2_sobel"][0, 0, -1] > found["r2_sobel"][0, 0, 0]


def test_colour_kernels_are_measured_by_their_spatial_profile():
    made = trajectory(cin=3, seeds=1)
    colour = np.array([0.2, 0.5, -0.3])
    made["kernel"][:] = (family(1.0, 0.4)[:, :, None, None] * colour[:, None]).astype(np.float32)
    assert measure_trajectory(made, BANK)["r2_prewitt"][0, 0, 0] == pytest.approx(1, abs=1e-6)


def test_final_matches(made):
    found = final_matches(made, BANK).trained
    assert found["best"].dims == ("arm", "seed", "channel")
    assert found["best"].isel(arm=0).isin(["sobel_x", "scharr_x"]).all()
    assert found["p_best"].isel(arm=0).median() < 0.01 < found["p_best"].isel(arm=1).median()
    assert (found["best_abs_cos"] >= 0).all()


def test_verdicts(made):
    found = judge_arms(made, [None, None])
    learned = {("he_normal", part) for part in ("W", "update", "new")}
    assert set(found) == learned | {("sobel/frozen", "W")}
    assert found["he_normal", "W"].derivative_like
    assert not found["sobel/frozen", "W"].derivative_like  # noise that never moved


def test_counts_of_kinds(made):
    """The first arm learns steered operators, the second is noise that never moves."""
    found = count_arms(made, [None, None])
    assert set(found) == set(judge_arms(made, [None, None]))
    edges = {r.null: r for r in found["he_normal", "W"] if r.measure == "edge"}
    assert list(edges) == ["N0", "N1", "N2", "N3"]
    assert edges["N0"].passed
    assert edges["N1"].passed
    noise = [r for r in found["sobel/frozen", "W"] if r.null == "N0"]
    assert not any(r.passed for r in noise)
    table = tables.kinds(found).set_index(["arm", "part", "kind", "null"])
    assert table.loc[("he_normal", "W", "edge", "N0"), "value"] == edges["N0"].value
    analysed = measure_trajectory(made, BANK)
    last = analysed["kinds"].sel(arm="he_normal", kind="edge").isel(step=-1)
    assert float(last.mean()) == pytest.approx(edges["N0"].value)
    np.testing.assert_allclose(analysed["kinds"].sum("kind"), analysed["live_kernels"])


def test_the_three_parts_and_the_memory(made):
    found = measure_trajectory(made, BANK).isel(arm=0, step=-1)
    kernels = spatial_kernels(made)[0]
    start, final = kernels[:, 0], kernels[:, -1]
    flat = [k.reshape(len(k), -1) for k in (start, final)]
    inner = (flat[0] * flat[1]).sum(1)
    norms = [np.linalg.norm(f, axis=1) for f in flat]
    np.testing.assert_allclose(found["cos_start"], inner / norms[0] / norms[1])
    np.testing.assert_allclose(found["memory"], found["cos_start"] ** 2)
    np.testing.assert_allclose(found["start_left"], inner / norms[0] ** 2)
    new = steered_r2(new_part(start, final), family(2.0), family(2.0).T, centered=True)
    np.testing.assert_allclose(found["new_r2_sobel_centered"], new.mean(1))
