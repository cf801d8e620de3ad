"""Layer measures on closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernelstudy import analysis


def test_live_kernels_at_one_percent_of_their_own_network():
    kernels = np.ones((2, 4, 3, 3)) * np.array([1, 0.011, 0.009, 0])[:, None, None]
    kernels[1] *= 1e-6
    np.testing.assert_array_equal(analysis.live_kernels(kernels), [[1, 1, 0, 0]] * 2)
    kernels[1, 0, 0, 0] = np.nan
    assert analysis.live_kernels(kernels)[1].tolist() == [False, True, True, False]
    assert not analysis.live_kernels(np.zeros((3, 3, 3))).any()


def test_sparsity_as_its_source_tests_it():
    assert analysis.sparsity(np.zeros((64, 3, 3))) == 1
    assert analysis.sparsity(np.ones((64, 3, 3))) == 0
    half = np.ones((2, 3, 3))
    half[0] = 0
    assert analysis.sparsity(half) == 0.5


def test_variance_entropy_in_base_ten():
    axes = np.eye(9).reshape(9, 3, 3)
    spread = np.concatenate([axes, -axes])
    assert analysis.variance_entropy(spread) == pytest.approx(np.log10(9))
    weights = np.sqrt([0.5, 0.2, 0.2, 0.1])[:, None, None] * axes[:4]
    layer = np.concatenate([weights, -weights])
    np.testing.assert_allclose(
        analysis.explained_variance(layer), [0.5, 0.2, 0.2, 0.1, 0, 0, 0, 0, 0], atol=1e-12
    )
    assert analysis.variance_entropy(layer) == pytest.approx(
        stats.entropy([0.5, 0.2, 0.2, 0.1], base=10)
    )
    assert analysis.variance_entropy(np.full((64, 3, 3), 0.1)) == 0
    assert np.isnan(analysis.explained_variance(np.full((64, 3, 3), 0.1))).all()


def test_explained_variance_of_few_channels_has_all_axes():
    shares = analysis.explained_variance(analysis.isotropic(4, 5, 0))
    assert shares.shape == (25,)
    assert shares.sum() == pytest.approx(1)
    assert (shares[3:] < 1e-12).all()


def test_orthogonality():
    assert analysis.orthogonality(np.ones((8, 3, 3)) * 0.1) == pytest.approx(0)
    assert analysis.orthogonality(np.eye(9).reshape(9, 3, 3)) == pytest.approx(1)
    noise = analysis.isotropic(2000, 3, 0)
    mean_abs = stats.beta(0.5, 4).expect(np.sqrt)
    assert analysis.orthogonality(noise) == pytest.approx(1 - mean_abs, abs=3e-3)
    with pytest.raises(ValueError, match="at least 2"):
        analysis.orthogonality(np.ones((1, 3, 3)))


def test_filter_kl_is_symmetric_zero_for_equals_and_grows_with_the_shift():
    noise = analysis.isotropic(600, 3, 0)
    first, second = noise[:300], noise[300:]
    assert analysis.filter_kl(first, first[::-1]) == pytest.approx(0, abs=1e-9)
    chance = analysis.filter_kl(first, second)
    assert analysis.filter_kl(second, first) == pytest.approx(chance)
    shifted = [analysis.filter_kl(first, second + s) for s in (0, 0.5, 1, 2)]
    assert np.all(np.diff(shifted) > 0)
    assert analysis.filter_kl(3 * first, second) == pytest.approx(chance)
    with pytest.raises(ValueError, match="two sets"):
        analysis.filter_kl(first, np.zeros((5, 3, 3)))


def test_energy_profile_reads_off_the_axes():
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    kernels = np.array([3.0, 1.0])[:, None, None] * basis[[2, 5]].reshape(2, 3, 3)
    expected = np.zeros(9)
    expected[[2, 5]] = 0.9, 0.1
    np.testing.assert_allclose(analysis.energy_profile(kernels, basis), expected, atol=1e-12)
    stacked = analysis.energy_profile(np.stack([kernels, 0 * kernels]), basis.reshape(9, 3, 3))
    np.testing.assert_allclose(stacked[0], expected, atol=1e-12)
    assert np.isnan(stacked[1]).all()
    with pytest.raises(ValueError, match="patch_basis"):
        analysis.energy_profile(kernels, basis[:4])


def test_movement():
    start = np.ones((2, 4, 3, 3))
    np.testing.assert_allclose(analysis.movement(1.5 * start, start), 0.5)
    assert np.isnan(analysis.movement(start[0], 0 * start[0]))


def test_match_seeds_finds_a_hidden_permutation_and_the_best_total():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((12, 3, 3))
    hidden = rng.permutation(12)
    found = analysis.match_seeds(a, -2 * a[hidden])
    np.testing.assert_array_equal(hidden[found.order], np.arange(12))
    np.testing.assert_allclose(found.abs_cos, 1)
    x, y = rng.standard_normal((2, 5, 3, 3))
    cosines = np.abs(analysis.cosine(x, y))
    best = max(sum(cosines[i, p[i]] for i in range(5)) for p in itertools.permutations(range(5)))
    assert analysis.match_seeds(x, y).abs_cos.sum() == pytest.approx(best)
    with pytest.raises(ValueError, match="both be"):
        analysis.match_seeds(x, y[:4])


@given(st.integers(0, 1000))
def test_cka_forgets_rotation_and_scale(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((30, 5))
    turned = 3 * x @ np.linalg.qr(rng.standard_normal((5, 5)))[0] + 2
    assert analysis.cka(x, turned) == pytest.approx(1)
    other = analysis.cka(x, rng.standard_normal((30, 4)))
    assert 0 <= other < 0.9


def test_cka_of_a_constant_is_nan():
    assert np.isnan(analysis.cka(np.ones((5, 2)), np.eye(5)))
    with pytest.raises(ValueError, match="inputs, features"):
        analysis.cka(np.ones((5, 2)), np.ones((4, 2)))


@pytest.mark.parametrize("measure", ["sparsity", "explained_variance", "variance_entropy"])
def test_a_layer_has_channels(measure):
    with pytest.raises(ValueError, match="channel"):
        getattr(analysis, measure)(np.ones((3, 3)))
    many = getattr(analysis, measure)(analysis.isotropic(24, 3, 0).reshape(2, 3, 4, 3, 3))
    assert many.shape[:2] == (2, 3)
