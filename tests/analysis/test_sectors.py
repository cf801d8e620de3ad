"""The D4 decomposition on closed forms and under the square's symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernelstudy import analysis
from kernelstudy.handcrafted import family

sizes = st.integers(2, 7)
kernels = sizes.flatmap(
    lambda k: arrays(np.float64, (k, k), elements=st.floats(-4, 4, allow_subnormal=False))
).filter(lambda k: np.abs(k).max() > 1e-3)


@pytest.mark.parametrize(
    ("kernel", "shares"),
    [
        (np.ones((3, 3)), (1, 0, 0, 0, 0)),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], (1 / 9, 8 / 9, 0, 0, 0)),
        ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], (0, 1, 0, 0, 0)),
        ([[1, 1, 1], [1, -8, 1], [1, 1, 1]], (0, 1, 0, 0, 0)),
        ([[0, -1, 0], [1, 0, 1], [0, -1, 0]], (0, 0, 1, 0, 0)),
        ([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], (0, 0, 0, 1, 0)),
        (family(2, 0.3), (0, 0, 0, 0, 1)),
        ([[1, 0, 0], [0, 0, 0], [0, 0, 0]], (1 / 9, 5 / 36, 0, 1 / 4, 1 / 2)),
        ([[0, 0, 0], [1, -2, 1], [0, 0, 0]], (0, 5 / 6, 1 / 6, 0, 0)),
    ],
)
def test_shares_of_known_kernels(kernel, shares):
    np.testing.assert_allclose(analysis.sectors(kernel), shares, atol=1e-14)


def test_a2_is_what_is_left_over():
    y, x = np.mgrid[-2:3, -2:3]
    np.testing.assert_allclose(analysis.sectors(x * y * (x**2 - y**2)), 0, atol=1e-14)


@given(kernels, st.integers(0, 3), st.booleans(), st.floats(0.1, 10))
def test_shares_forget_sign_scale_rotation_and_reflection(k, turns, mirror, scale):
    moved = -scale * np.rot90(k[:, ::-1] if mirror else k, turns)
    shares = analysis.sectors(k)
    np.testing.assert_allclose(analysis.sectors(moved), shares, atol=1e-10)
    assert shares.min() >= 0
    assert shares.sum() <= 1 + 1e-12
    if len(k) <= 3:
        assert shares.sum() == pytest.approx(1)


@given(kernels)
def test_odd_and_dc_are_what_their_names_say(k):
    shares, energy = analysis.sectors(k), np.sum(k**2)
    odd = (k - k[::-1, ::-1]) / 2
    assert shares[4] == pytest.approx(np.sum(odd**2) / energy, abs=1e-12)
    assert shares[0] == pytest.approx(k.sum() ** 2 / k.size / energy, abs=1e-12)


@pytest.mark.parametrize(
    ("size", "dims"), [(3, (1, 2, 1, 1, 4)), (5, (1, 5, 3, 3, 12)), (7, (1, 9, 6, 6, 24))]
)
def test_noise_has_the_dimensions_shares(size, dims):
    noise = analysis.isotropic(20_000, size, 0)
    np.testing.assert_allclose(
        analysis.sectors(noise).mean(axis=0), np.array(dims) / size**2, atol=4e-3
    )


def test_the_growth_of_energy_splits_into_new_and_amplified():
    rng = np.random.default_rng(3)
    start, update = rng.standard_normal((2, 4, 16, 5, 5))
    grown = analysis.sector_energies(start + update) - analysis.sector_energies(start)
    split = analysis.sector_energies(update) + 2 * analysis.sector_products(start, update)
    np.testing.assert_allclose(grown, split, atol=1e-12)


def test_zero_kernels_are_nan_and_shapes_are_kept():
    shares = analysis.sectors(np.zeros((2, 4, 3, 3)))
    assert shares.shape == (2, 4, 5)
    assert np.isnan(shares).all()
    assert (analysis.sector_energies(np.zeros((3, 3))) == 0).all()


@pytest.mark.parametrize("shape", [(9,), (3, 5), (2, 0, 0)])
def test_only_square_kernels(shape):
    with pytest.raises(ValueError, match="kernels must"):
        analysis.sectors(np.zeros(shape))


@pytest.mark.parametrize("size", [3, 4, 5])
def test_growth_is_the_difference_of_energies(size):
    rng = np.random.default_rng(size)
    start, end = rng.standard_normal((2, 4, 6, size, size))
    new, cross = analysis.sector_growth(start, end)
    difference = analysis.sector_energies(end) - analysis.sector_energies(start)
    np.testing.assert_allclose(new + cross, difference, atol=1e-12)
    np.testing.assert_allclose(new, analysis.sector_energies(end - start))


def test_amplified_kernels_have_grown_and_learned_ones_are_new():
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    new, cross = analysis.sector_growth(sobel, 1.5 * sobel)
    np.testing.assert_allclose([new[4], cross[4]], [0.25 * 12, 12], atol=1e-12)
    new, cross = analysis.sector_growth(sobel, sobel + 0.5 * sobel.T)
    np.testing.assert_allclose([new[4], cross[4]], [3, 0], atol=1e-12)
