"""The null models against their own laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernelstudy import analysis
from kernelstudy.analysis import nulls
from kernelstudy.analysis.nulls import shares_of_variances, variances_of_shares
from kernelstudy.handcrafted import family, kernel


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_isotropic_kernels_follow_the_beta_laws(size, seed):
    noise = analysis.isotropic(4000, size, seed)
    gx = kernel("sobel_x", size)
    d = size * size
    checks = {
        "raw": (analysis.cosine(noise, gx[None])[:, 0] ** 2, analysis.cos2_distribution(d)),
        "centred": (
            analysis.cosine(noise, gx[None], centered=True)[:, 0] ** 2,
            analysis.cos2_distribution(d - 1),
        ),
        "plane": (analysis.steered_r2(noise, gx, gx.T), analysis.r2_distribution(2, d)),
        "centred plane": (
            analysis.steered_r2(noise, gx, gx.T, centered=True),
            analysis.r2_distribution(2, d - 1),
        ),
        "odd": (analysis.sectors(noise)[:, 4], analysis.r2_distribution(d // 2, d)),
    }
    for name, (values, law) in checks.items():
        assert stats.kstest(values, law.cdf).pvalue > 1e-4, name


def test_the_laws_can_fail():
    noise = analysis.isotropic(4000, 3, 0)
    r2 = analysis.steered_r2(noise, family(2), family(2).T)
    assert stats.kstest(r2, analysis.r2_distribution(2, 8).cdf).pvalue < 1e-6


@pytest.mark.parametrize(("k", "d"), [(0, 9), (9, 9), (10, 9)])
def test_r2_distribution_needs_a_proper_subspace(k, d):
    with pytest.raises(ValueError, match="0 < k < d"):
        analysis.r2_distribution(k, d)
    with pytest.raises(ValueError, match="0 < k < d"):
        nulls.r2_tail(0.5, k, d)


@pytest.mark.parametrize(("k", "d"), [(2, 9), (2, 8), (4, 9), (1, 121)])
def test_the_tail_is_that_of_the_law(k, d):
    r2 = np.array([0, 1e-9, 0.1, 0.5, 0.999, 1, 1 + 1e-12, np.nan])
    np.testing.assert_allclose(
        nulls.r2_tail(r2, k, d), stats.beta(k / 2, (d - k) / 2).sf(np.minimum(r2, 1)), rtol=1e-12
    )


@given(st.integers(0, 2**31))
def test_permuted_taps_keep_the_values(seed):
    kernels = analysis.isotropic(6, 5, seed).reshape(2, 3, 5, 5)
    permuted = analysis.permute_taps(kernels, seed)
    np.testing.assert_array_equal(np.sort(permuted.reshape(6, 25)), np.sort(kernels.reshape(6, 25)))
    assert not np.array_equal(permuted, kernels)


def test_each_kernel_has_a_permutation_of_its_own_and_all_are_alike():
    kernels = np.broadcast_to(np.arange(9.0).reshape(3, 3), (9000, 3, 3))
    permuted = analysis.permute_taps(kernels, 0)
    np.testing.assert_allclose(permuted.mean(axis=0), 4, atol=0.15)
    counts = (permuted == 8).sum(axis=0)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


@given(st.integers(0, 2**31), st.integers(2, 7))
def test_phase_scrambling_keeps_spectrum_and_mean(seed, size):
    kernels = analysis.isotropic(4, size, seed) + 1
    scrambled = analysis.phase_scrambled(kernels, seed + 1)
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(scrambled)), np.abs(np.fft.fft2(kernels)), atol=1e-9
    )
    np.testing.assert_allclose(scrambled.sum(axis=(1, 2)), kernels.sum(axis=(1, 2)), atol=1e-9)


def test_same_generator_same_draws():
    kernels = analysis.isotropic(5, 3, 1)
    for null in (
        lambda rng: analysis.isotropic(4, 3, rng),
        lambda rng: analysis.permute_taps(kernels, rng),
        lambda rng: analysis.phase_scrambled(kernels, rng),
        lambda rng: analysis.covariance_matched(kernels, np.eye(9), 4, rng),
    ):
        first = null(np.random.default_rng(7))
        np.testing.assert_array_equal(first, null(7))
        assert not np.array_equal(first, null(8))


@pytest.fixture
def basis():
    return np.linalg.qr(np.random.default_rng(3).standard_normal((9, 9)))[0]


def test_covariance_matched_has_the_layers_energy_on_every_axis(basis):
    rng = np.random.default_rng(0)
    coefficients = rng.standard_normal((10, 16, 9)) * np.geomspace(1, 0.01, 9) ** 0.5
    kernels = (coefficients @ basis).reshape(10, 16, 3, 3)
    drawn = analysis.covariance_matched(kernels, basis, 40_000, 1)
    layer = (kernels.reshape(-1, 9) @ basis.T) ** 2
    np.testing.assert_allclose(
        ((drawn.reshape(-1, 9) @ basis.T) ** 2).mean(axis=0), layer.mean(axis=0), rtol=0.05
    )
    off_diagonal = np.corrcoef((drawn.reshape(-1, 9) @ basis.T).T) - np.eye(9)
    assert np.abs(off_diagonal).max() < 0.03


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_share_matching_keeps_mean_shares_whatever_the_norms(basis, spread):
    rng = np.random.default_rng(1)
    kernels = (rng.standard_normal((200, 9)) * np.geomspace(1, 1e-4, 9) ** 0.5) @ basis
    kernels = (kernels * rng.lognormal(0, spread, (200, 1))).reshape(200, 3, 3)
    drawn = analysis.covariance_matched(kernels, basis, 60_000, 2, match="share")

    def shares(k):
        energy = (k.reshape(-1, 9) @ basis.T) ** 2
        return (energy / energy.sum(axis=1, keepdims=True)).mean(axis=0)

    np.testing.assert_allclose(shares(drawn), shares(kernels), atol=6e-3)


@given(st.lists(st.floats(1e-4, 1), min_size=2, max_size=25))
def test_variances_and_shares_are_inverse(values):
    variances = np.array(values) / np.sum(values)
    shares = shares_of_variances(variances)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares_of_variances(variances_of_shares(shares)), shares, atol=1e-4)


def test_shares_have_their_closed_form_in_two_dimensions():
    # E[v1 z1^2 / (v1 z1^2 + v2 z2^2)] = sqrt(v1) / (sqrt(v1) + sqrt(v2))
    shares = shares_of_variances(np.array([0.9, 0.1]))
    np.testing.assert_allclose(shares, [0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize("options", [{"match": "norm"}, {"n": 0}, {"patch_basis": np.eye(8)}])
def test_covariance_matched_refuses(options):
    given_ = {"patch_basis": np.eye(9), "n": 3, "rng": 0} | options
    with pytest.raises(ValueError, match="must"):
        analysis.covariance_matched(np.ones((4, 3, 3)), **given_)
