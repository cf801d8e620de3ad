"""Kernels of one, two and three axes against closed forms, SciPy and numerical integrals."""

import numpy as np
import pytest
import scipy

import kernelstudy
from kernelstudy.analysis import any_shape, sectors

RNG = np.random.default_rng(0)


def test_derivatives_are_sobels_and_products_of_their_axes():
    for size in (3, 5, 7):
        for axis, found in any_shape.derivatives((size, size)).items():
            np.testing.assert_array_equal(found, kernelstudy.kernel(f"sobel_{axis}", size))
    smooth, slope = np.array([1, 2, 1]), np.array([-1, 0, 1])
    planted = np.einsum("z,y,x->zyx", smooth, smooth, slope)
    np.testing.assert_array_equal(any_shape.derivatives((3, 3, 3))["x"], planted)
    assert list(any_shape.derivatives((1, 5))) == ["x"]
    np.testing.assert_array_equal(any_shape.derivatives((1, 3))["x"], [slope])


def test_the_bank_answers_polynomials_as_derivatives_do():
    y, x = np.mgrid[:5, :3] - np.array([2, 1])[:, None, None]
    bank = any_shape.textbook((5, 3))
    assert set(bank) == {"smooth", "d/dx", "d/dy", "d2/dx2", "d2/dy2", "d2/dxdy", "laplacian"}
    for name, polynomial in (("d/dx", x), ("d/dy", y), ("d2/dx2", x**2), ("d2/dxdy", x * y)):
        others = [p for p in (1 + 0 * x, x, y, x * y) if not np.array_equal(p, polynomial)]
        assert np.sum(bank[name] * polynomial) > 0
        for other in others if name in ("d/dx", "d/dy", "d2/dxdy") else others[:1]:
            assert np.sum(bank[name] * other) == pytest.approx(0)
    assert "d2/dx2" not in any_shape.textbook((5, 2))


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3), (1, 4), (3, 3, 3), (2, 4, 3)])
def test_parities_divide_the_energy_and_noise_has_their_dimensions(shape):
    noise = RNG.standard_normal((4000, *shape))
    energies = any_shape.parity_energies(noise, len(shape))
    flat = noise.reshape(4000, -1)
    np.testing.assert_allclose(energies.sum(-1), (flat**2).sum(-1))
    dimensions = any_shape.parity_dimensions(shape)
    assert dimensions.sum() == np.prod(shape)
    np.testing.assert_allclose(energies.mean(0), dimensions, atol=0.25)
    for axis, kernel in any_shape.derivatives(shape).items():
        shares = dict(
            zip(
                any_shape.parities(shape),
                any_shape.parity_energies(kernel, len(shape)),
                strict=True,
            )
        )
        assert shares[f"odd {axis}"] == pytest.approx((kernel**2).sum())
    mirrored = any_shape.parity_energies(np.flip(noise, -1), len(shape))
    np.testing.assert_allclose(mirrored, energies)


def test_odd_parities_of_two_axes_are_the_gradient_sector():
    noise = RNG.standard_normal((50, 5, 5))
    shares = dict(
        zip(any_shape.parities((5, 5)), any_shape.parity_energies(noise, 2).T, strict=True)
    )
    odd = sectors(noise)[:, 4] * (noise**2).sum((1, 2))
    np.testing.assert_allclose(shares["odd x"] + shares["odd y"], odd)


def test_frequency_responses():
    f = np.linspace(0, 0.5, 33)
    w = 2 * np.pi * f
    np.testing.assert_allclose(
        any_shape.frequency_response([-1, 1], f), np.abs(2 * np.sin(w / 2)), atol=1e-12
    )
    np.testing.assert_allclose(
        any_shape.frequency_response([-1, 0, 1], f), np.abs(2 * np.sin(w)), atol=1e-12
    )
    np.testing.assert_allclose(
        any_shape.frequency_response([1, 2, 1], f), 4 * np.cos(w / 2) ** 2, atol=1e-12
    )
    kernels = RNG.standard_normal((3, 7))
    for kernel, found in zip(kernels, any_shape.frequency_response(kernels, f), strict=True):
        np.testing.assert_allclose(found, np.abs(scipy.signal.freqz(kernel, worN=w)[1]))


def test_the_share_below_half_of_the_band():
    kernels = np.array([[1.0, 1, 0, 0], [-1, 1, 0, 0], [0, 1, 0, 0], [0.3, -2, 1, 1]])
    f = np.linspace(-0.25, 0.25, 20001)
    by_hand = scipy.integrate.simpson(any_shape.frequency_response(kernels, f) ** 2, x=f)
    np.testing.assert_allclose(any_shape.low_share(kernels), by_hand / (kernels**2).sum(1))
    assert any_shape.low_share(kernels[0]) == pytest.approx(0.5 + 1 / np.pi)
    assert np.isnan(any_shape.low_share(np.zeros(3)))


def test_central_slices():
    kernel = np.arange(3 * 4 * 5.0).reshape(3, 4, 5)
    found = any_shape.central_slices(kernel)
    np.testing.assert_array_equal(found["yx"], kernel[1])
    np.testing.assert_array_equal(found["zx"], kernel[:, 1:3].mean(1))
    np.testing.assert_array_equal(found["zy"], kernel[:, :, 2])


def test_what_is_no_kernel():
    for shape in ((1,), (1, 1), (2, 2, 2, 2)):
        with pytest.raises(ValueError, match="one to three axes"):
            any_shape.derivatives(shape)
