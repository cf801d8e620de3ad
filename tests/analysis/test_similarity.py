"""Closed forms and cross-checks of the similarity measures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from kernelstudy import analysis
from kernelstudy.handcrafted import bank, family, kernel

taps = arrays(np.float64, (3, 3), elements=st.floats(-8, 8, allow_subnormal=False)).filter(
    lambda k: np.ptp(k) > 1e-3
)


def test_cosines_within_the_family_have_their_closed_form():
    a = np.array([0.0, 1, 2**0.5, 2, 10 / 3, 7])
    kernels = np.stack([family(x) for x in a])
    expected = (2 + np.outer(a, a)) / np.sqrt(np.outer(2 + a**2, 2 + a**2))
    np.testing.assert_allclose(analysis.cosine(kernels, kernels), expected, atol=1e-14)
    sobel, prewitt = kernel("sobel_x", 3), kernel("prewitt_x", 3)
    assert analysis.cosine(sobel, prewitt[None])[0] == pytest.approx(0.9428, abs=5e-5)


@given(taps, st.floats(0.1, 100))
def test_cosine_is_signed_and_forgets_scale(k, scale):
    entries = bank("all", 3)
    once, twice = analysis.cosine(k, entries), analysis.cosine(-scale * k, entries)
    np.testing.assert_allclose(once, -twice, atol=1e-12)
    assert np.nanmax(np.abs(once)) <= 1 + 1e-12


@given(taps, st.floats(-5, 5))
def test_centred_measures_forget_the_mean(k, shift):
    entries = bank("derivative", 3)
    moved = k + shift
    for measure in (
        lambda x: analysis.cosine(x, entries, centered=True),
        lambda x: analysis.steered_r2(x, family(2), family(2).T, centered=True),
    ):
        np.testing.assert_allclose(measure(moved), measure(k), atol=1e-9)


def test_centring_turns_an_impulse_into_the_negative_laplacian():
    impulse = kernel("identity", 3)
    laplacian = {"laplacian8": np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]])}
    assert analysis.cosine(impulse, laplacian, centered=True)[0] == pytest.approx(-1)
    assert np.isnan(analysis.cosine(np.full((3, 3), 0.1), laplacian, centered=True)).all()
    assert np.isnan(analysis.cosine(np.zeros((3, 3)), laplacian)).all()


@given(st.floats(-np.pi, np.pi), st.floats(0, 5))
def test_steered_r2_is_the_square_of_the_best_steered_cosine(theta, a):
    k = family(a, theta)
    expected = (2 + 2 * a) ** 2 / ((2 + a**2) * 6)
    assert analysis.steered_r2(k, family(2), family(2).T) == pytest.approx(expected, abs=1e-12)


def test_r2_of_diagonal_masks():
    # [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]] is Sobel's own steering by 45 degrees but for its corners
    diagonal = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]])
    assert analysis.steered_r2(diagonal, family(2), family(2).T) == pytest.approx(64 / (12 * 6))
    prewitt = np.array([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]])
    assert analysis.steered_r2(prewitt, family(1), family(1).T) == pytest.approx(32 / 36)
    search = max(
        analysis.cosine(prewitt, family(1, t)[None])[0] ** 2 for t in np.linspace(0, np.pi, 3601)
    )
    assert search == pytest.approx(32 / 36, abs=1e-6)


def test_steered_r2_needs_a_plane():
    with pytest.raises(ValueError, match="different directions"):
        analysis.steered_r2(np.eye(3), family(2), -3 * family(2))


def test_best_match_names_and_p_of_the_maximum():
    entries = bank("all", 3)
    found = analysis.best_match(np.stack([5 * entries["sobel_x"], np.zeros((3, 3))]), entries)
    assert found.names.tolist() == ["sobel_x", ""]
    assert found.abs_cos[0] == pytest.approx(1)
    assert found.p[0] == pytest.approx(1 / 10_001)
    assert np.isnan(found.p[1])
    assert np.isnan(found.abs_cos[1])


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("seed", [1, 2])
def test_p_of_the_best_match_is_uniform_for_noise(seed, shift):
    noise = analysis.isotropic(1500, 5, seed)
    p = analysis.best_match(noise, bank("derivative", 5), seed=seed + 9, shift=shift).p
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    # a |cos| to one entry read as if nothing had been chosen would be far off
    naive = analysis.best_match(noise, bank("derivative", 5)).abs_cos ** 2
    assert stats.kstest(analysis.cos2_distribution(25).sf(naive), "uniform").pvalue < 1e-9


def test_best_match_takes_null_kernels_and_translations():
    entries = {"sobel_x": kernel("sobel_x", 5)}
    moved = np.zeros((5, 5))
    moved[:, :4] = entries["sobel_x"][:, 1:]
    assert analysis.best_match(moved, entries).abs_cos < 0.9
    assert analysis.best_match(moved, entries, shift=1).abs_cos == pytest.approx(1)
    nulls = np.stack([moved, entries["sobel_x"], np.eye(5)])
    assert analysis.best_match(entries["sobel_x"], entries, null=nulls).p == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match="null must be"):
        analysis.best_match(moved, entries, null="permuted")


def test_one_gallery_of_untrained_kernels_proves_nothing():
    """The best of 64 random kernels against the whole bank is near 0.9, as the docstring says."""
    rng = np.random.default_rng(5)
    entries = bank("all", 3)
    best = [
        np.nanmax(np.abs(analysis.cosine(rng.standard_normal((64, 3, 3)), entries)))
        for _ in range(50)
    ]
    assert 0.85 < np.median(best) < 0.95


@given(taps, st.integers(0, 2), st.integers(0, 2))
def test_spectrum_is_blind_to_shift_and_sign(k, down, right):
    entries = bank("derivative", 3)
    moved = -np.roll(k, (down, right), axis=(0, 1))
    first, second = (analysis.spectrum_similarity(x, entries) for x in (k, moved))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_spectrum_is_centred():
    assert analysis.spectrum_similarity(family(2), family(2)[None])[0] == pytest.approx(1)
    assert analysis.spectrum_similarity(family(2), np.ones((1, 3, 3)))[0] < 0.1
    assert np.isnan(analysis.spectrum_similarity(kernel("identity", 3), family(2)[None])).all()


def test_colour_spatial_takes_a_filter_apart_and_keeps_its_scale():
    rng = np.random.default_rng(0)
    spatial, colour = rng.standard_normal((4, 3, 3)), rng.random((4, 3))
    filters = np.einsum("oyx,oc->yxco", spatial, colour)
    found = analysis.colour_spatial(filters)
    np.testing.assert_allclose(found.share, 1)
    np.testing.assert_allclose(found.colour, colour / np.linalg.norm(colour, axis=1)[:, None])
    np.testing.assert_allclose(
        np.einsum("oyx,oc->yxco", found.spatial, found.colour), filters, atol=1e-12
    )
    grey = analysis.colour_spatial(-spatial.transpose(1, 2, 0)[:, :, None])
    np.testing.assert_allclose(grey.spatial, -spatial, atol=1e-12)
    np.testing.assert_allclose(grey.share, 1)


def test_colour_share_of_noise_is_the_largest_singular_value():
    filters = np.random.default_rng(1).standard_normal((2, 5, 5, 3, 7))
    found = analysis.colour_spatial(filters)
    assert found.spatial.shape == (2, 7, 5, 5)
    s = np.linalg.svd(filters[1, ..., 4].reshape(25, 3), compute_uv=False)
    assert found.share[1, 4] == pytest.approx(s[0] ** 2 / np.sum(s**2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: analysis.cosine(np.zeros(9), bank("derivative", 3)),
        lambda: analysis.cosine(np.zeros((5, 5)), bank("derivative", 3)),
        lambda: analysis.cosine(np.zeros((3, 3)), {}),
        lambda: analysis.spectrum_similarity(np.zeros((3, 5)), np.zeros((1, 3, 5))),
        lambda: analysis.colour_spatial(np.zeros((3, 3, 1))),
        lambda: analysis.best_match(np.zeros((3, 3)), bank("derivative", 3), shift=3),
    ],
)
def test_wrong_shapes_are_refused(call):
    with pytest.raises(ValueError, match="must"):
        call()
