"""One finished layer: its tables against closed forms, its p-values under the null, its interval."""

import numpy as np
import pytest
from scipy import stats

from kernelstudy import handcrafted
from kernelstudy.analysis import gradient_plane, population_a_interval, steered_r2
from kernelstudy.analysis.kernels import usable_bank
from kernelstudy.analysis.ladder import derivative_plane
from kernelstudy.comparison.measure import measure_layer, subject
from kernelstudy.comparison.within import kernels_a, ladder_within, one_of_each
from kernelstudy.comparison.words import network_claims, what_one_cannot_tell

BANK = usable_bank(["sobel_x", "sobel_y", "laplacian4"], 3)


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11])
def test_the_plane_is_sobels_where_sobel_exists(size):
    for mine, theirs in zip(derivative_plane(size), gradient_plane(size), strict=True):
        np.testing.assert_allclose(mine, theirs)


@pytest.mark.parametrize("size", [2, 4, 6, 16])
def test_the_plane_is_odd_at_even_sizes_too(size):
    gx, gy = derivative_plane(size)
    assert gx.shape == (size, size)
    np.testing.assert_allclose(gx, -gx[:, ::-1])
    np.testing.assert_allclose(gx, gx[::-1])
    np.testing.assert_allclose(gy, gx.T)
    assert (gx * gy).sum() == 0


def test_p_values_within_a_network_are_uniform_under_their_null():
    rng = np.random.default_rng(0)
    plane = derivative_plane(3)
    p = {"N0": [], "N2": []}
    single = []
    for seed in range(60):
        rungs, permuted = ladder_within(
            rng.standard_normal((8, 3, 3)), plane, None, draws=99, seed=seed
        )
        single.append(permuted[0])
        for rung in rungs:
            p[rung[0]].append(rung[-1])
    for found in (*p.values(), single):
        assert stats.kstest(found, "uniform").pvalue > 0.01


def test_planted_gradients_are_found_beyond_every_null():
    rng = np.random.default_rng(1)
    angles = rng.uniform(0, 2 * np.pi, 20)
    kernels = handcrafted.family(2.0, angles) + 0.3 * rng.standard_normal((20, 3, 3))
    basis = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    found = measure_layer(
        subject("planted", kernels.transpose(1, 2, 0)[:, :, None], patch_basis=basis), BANK
    )
    assert list(found.ladder["null"]) == ["N0", "N2", "N3"]
    assert (found.ladder["p"] < 0.01).all()
    assert found.verdict.significant == 20
    np.testing.assert_allclose(found.kernels["r2"], steered_r2(kernels, *derivative_plane(3)))
    assert found.a is not None
    assert found.a.holds(2.0)
    text = network_claims(found)
    assert text[0] == (
        "20 of 20 kernels are derivative-like beyond chance (q < .05), and 20 of 20 beyond their own "
        "permuted taps."
    )
    assert "n = 1" in what_one_cannot_tell(found)
    assert found.verdict.operator == "unresolved"  # one network names nothing


def test_rounding_widens_the_interval_of_a():
    rng, step = np.random.default_rng(3), 0.4
    held = []
    for _ in range(30):
        true = handcrafted.family(1.5, rng.uniform(0, 7, 24)) + 0.1 * rng.standard_normal(
            (24, 3, 3)
        )
        stored = step * np.round(true / step)
        coarse, unaware = kernels_a(stored, np.full(24, step)), kernels_a(stored, np.zeros(24))
        assert unaware.phi == population_a_interval(stored[one_of_each(stored), None]).phi
        assert coarse.phi_high - coarse.phi_low > unaware.phi_high - unaware.phi_low
        assert coarse.phi == unaware.phi
        held.append(coarse.resolved and coarse.holds(1.5))
    assert sum(held) >= 26
    drowned = kernels_a(stored, np.full(24, 200 * step))
    assert not drowned.resolved
    assert "rounding" in drowned.reason


def test_colour_filters_are_measured_by_their_profile():
    rng = np.random.default_rng(4)
    profiles, colours = rng.standard_normal((6, 3, 3)), rng.standard_normal((6, 3))
    kernels = np.einsum("oyx,oc->yxco", profiles, colours)
    found = measure_layer(subject("colour", kernels), BANK)
    np.testing.assert_allclose(found.kernels["colour_share"], 1)
    np.testing.assert_allclose(found.kernels["r2"], steered_r2(profiles, *derivative_plane(3)))


def test_a_layer_and_its_chance():
    found = measure_layer(
        subject("noise", np.random.default_rng(5).standard_normal((3, 3, 1, 40))), BANK
    )
    layer = found.layer.set_index("measure")
    assert layer.loc["odd", "chance"] == pytest.approx(4 / 9)
    assert layer.loc["r2_sobel", "chance"] == pytest.approx(2 / 9)
    inside = (layer["value"] >= layer["chance_low"]) & (layer["value"] <= layer["chance_high"])
    assert inside.mean() > 0.7


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((3, 3, 1), "must be"),
        ((3, 3, 0, 2), "must be"),
        ((1, 1, 3, 4), "1x1"),
        ((3, 5, 1, 4), "square"),
    ],
)
def test_what_cannot_be_compared(shape, match):
    with pytest.raises(ValueError, match=match):
        subject("x", np.ones(shape))


def test_near_copies_count_once():
    """Ten copies of three kernels say no more than the three."""
    rng = np.random.default_rng(0)
    three = rng.standard_normal((3, 3, 3))
    copied = np.concatenate([three * (1 + i / 10) * (-1) ** i for i in range(10)])
    copied += 1e-3 * rng.standard_normal(copied.shape)
    assert len(one_of_each(copied)) == 3
    assert kernels_a(copied, np.zeros(30)).reason.endswith("here are 3")
    plane = handcrafted.family(2.0), handcrafted.family(2.0).T
    rungs, p = ladder_within(copied, plane, None)
    assert [rung[2] for rung in rungs] == [3, 3]
    assert len(p) == 30
    assert len(one_of_each(rng.standard_normal((40, 5, 5)))) == 40
    assert list(one_of_each(np.zeros((2, 3, 3)))) == [0, 1]


def test_the_ladder_within_keeps_its_level_under_copies():
    """Noise whose kernels come four times over is called structured no more often than noise."""
    plane = handcrafted.family(2.0), handcrafted.family(2.0).T
    p = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        kernels = np.tile(rng.standard_normal((8, 3, 3)), (4, 1, 1))
        kernels += 0.01 * rng.standard_normal(kernels.shape)
        p.append(ladder_within(kernels, plane, None, draws=200)[0][0][-1])
    assert np.mean(np.array(p) <= 0.05) <= 0.11
