"""Gaussian-derivative and Gabor fits recover what was planted, and do not find it in noise."""

import numpy as np
import pytest
from scipy import optimize, stats

from kernelstudy import analysis
from kernelstudy.handcrafted import kernel


def gabor(size, x0, y0, sigma, theta, frequency, phase, aspect=1.0):
    axis = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    along = (x - x0) * np.cos(theta) + (y - y0) * np.sin(theta)
    across = (y - y0) * np.cos(theta) - (x - x0) * np.sin(theta)
    envelope = np.exp(-((along / sigma) ** 2 + (across / (aspect * sigma)) ** 2) / 2)
    return envelope * np.cos(2 * np.pi * frequency * along + phase)


@pytest.mark.parametrize("size", [5, 7, 11])
@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.9])
def test_a_sampled_derivative_is_found_at_its_sigma(size, sigma):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    g = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    kernels = np.stack([x * g - 2 * y * g, (x**2 / sigma**2 - 1) * g, 3 * g, x * y * g])
    fit = analysis.gaussian_derivative_fit(kernels)
    assert fit.r2.min() > 0.998
    np.testing.assert_allclose(fit.sigma, sigma, rtol=0.02)
    assert fit.p.max() < 0.05 if size > 5 else True
    gradient = analysis.gaussian_derivative_fit(kernels, orders=(1,))
    assert gradient.r2[0] > 0.998
    assert gradient.r2[1:].max() < 1e-10


@pytest.mark.parametrize("orders", [(0, 1, 2), (1,)])
def test_p_of_the_derivative_fit_is_uniform_for_noise(orders):
    noise = analysis.isotropic(800, 5, 3)
    p = analysis.gaussian_derivative_fit(noise, orders=orders, seed=1).p
    assert stats.kstest(p, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    "planted",
    [
        {"x0": 0.5, "y0": -0.3, "sigma": 1.5, "theta": 0.7, "frequency": 0.25, "phase": 0.4},
        {"x0": 0.0, "y0": 0.0, "sigma": 2.0, "theta": 2.5, "frequency": 0.2, "phase": -1.2},
        {
            "x0": 0.3,
            "y0": 0.2,
            "sigma": 1.4,
            "theta": 0.1,
            "frequency": 0.3,
            "phase": 3.0,
            "aspect": 1.5,
        },
    ],
)
def test_a_planted_gabor_is_recovered(planted):
    found = analysis.gabor_fit(-3 * gabor(7, **planted)[None], draws=0)
    assert found.r2[0] > 0.9999
    assert found.theta[0] == pytest.approx(planted["theta"], abs=1e-3)
    assert found.frequency[0] == pytest.approx(planted["frequency"], abs=1e-3)
    assert found.sigma[0] == pytest.approx(planted["sigma"], abs=1e-2)
    assert found.aspect[0] == pytest.approx(planted.get("aspect", 1), abs=1e-2)
    assert (found.x[0], found.y[0]) == pytest.approx((planted["x0"], planted["y0"]), abs=1e-2)
    turn = np.exp(1j * (found.phase[0] - planted["phase"] - np.pi))
    assert np.angle(turn) == pytest.approx(0, abs=1e-2)


def test_gabor_p_is_low_for_a_gabor_and_not_for_noise():
    noise = analysis.isotropic(8, 5, 5)
    wave = gabor(5, 0, 0, 1.2, 0.4, 0.25, 0)
    kernels = np.concatenate([noise, [wave / np.linalg.norm(wave) * 5 + 0.3 * noise[0]]])
    fit = analysis.gabor_fit(kernels, draws=40)
    assert fit.p[-1] == pytest.approx(1 / 41)
    assert fit.p[:-1].mean() > 0.2
    assert np.all((fit.r2 > 0.15) & (fit.r2 <= 1))


def test_zero_kernels_and_small_ones():
    kernels = np.stack([np.zeros((5, 5)), kernel("sobel_x", 5)])
    fit = analysis.gaussian_derivative_fit(kernels)
    assert np.isnan([fit.r2[0], fit.sigma[0], fit.p[0]]).all()
    assert fit.r2[1] > 0.95
    assert np.isnan(analysis.gabor_fit(kernels[:1], draws=0).r2).all()
    for call in (analysis.gaussian_derivative_fit, analysis.gabor_fit):
        with pytest.raises(ValueError, match="5x5 or more"):
            call(np.ones((3, 3)))
    with pytest.raises(ValueError, match="orders"):
        analysis.gaussian_derivative_fit(kernels, orders=(3,))


def by_slsqp(kernel, refine):
    """R2 of the nearest Gabor function by SciPy's SLSQP from the best of a grid: an independent search."""
    size = len(kernel)
    unit = kernel.ravel() / np.linalg.norm(kernel)

    def loss(at):
        pair = [
            gabor(size, at[0], at[1], np.exp(at[2]), at[4], at[5], p, np.exp(at[3]))
            for p in (0, np.pi / 2)
        ]
        base = np.linalg.qr(np.stack([one.ravel() for one in pair], axis=1))[0]
        return -np.sum((unit @ base) ** 2)

    places, waves = (-0.15 * size, 0.0, 0.15 * size), (0.5 / size, 1 / size, 1.7 / size)
    starts = [
        np.array([x, y, np.log(s * size), 0, t, f])
        for x in places
        for y in places
        for s in (0.15, 0.25, 0.4)
        for t in np.arange(8) * np.pi / 8
        for f in waves
    ]
    starts = sorted(starts, key=loss)[:refine]
    reach = 0.4 * size
    bounds = [(-reach, reach)] * 2 + [(np.log(0.5), np.log(size)), (np.log(0.4), np.log(2.5))]
    bounds += [(-np.pi, 2 * np.pi), (0.1 / size, 0.5)]
    found = [
        optimize.minimize(loss, s, bounds=bounds, method="SLSQP", options={"ftol": 1e-9})
        for s in starts
    ]
    return -min(one.fun for one in found)


def test_gabor_fits_of_noise_are_as_good_as_an_independent_search():
    noise = analysis.isotropic(6, 7, 11)
    ours = analysis.gabor_fit(noise, draws=0, refine=8).r2
    theirs = np.array([by_slsqp(kernel, 4) for kernel in noise])
    assert (ours > theirs - 2e-3).all()
    assert np.median(abs(ours - theirs)) < 0.01


def dog(size, order, x0, y0, sigma, ratio, balance, theta):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    x, y = x - x0, y - y0
    along = x * np.cos(theta) + y * np.sin(theta)

    def one(s):
        u = along / s
        return np.exp(-(x**2 + y**2) / (2 * s * s)) / s**2 * [1, u, u * u - 1][order]

    return one(sigma) + balance * one(sigma * ratio)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("size", [5, 7])
def test_a_planted_difference_of_gaussians_is_recovered(order, size):
    planted = {"x0": 0.3, "y0": -0.2, "sigma": 0.9, "ratio": 1.8, "balance": -0.8, "theta": 0.6}
    fit = analysis.dog_fit(-2 * dog(size, order, **planted), orders=(order,), draws=0)
    assert fit.r2 > 0.9999
    assert fit.order == order
    assert (fit.x, fit.y) == pytest.approx((0.3, -0.2), abs=0.02)
    assert fit.theta == pytest.approx(0.6, abs=0.02) if order else np.isnan(fit.theta)
    if order == 0:
        assert (fit.sigma, fit.ratio, fit.balance) == pytest.approx((0.9, 1.8, -0.8), rel=0.05)


def test_differences_of_gaussians_in_noise_and_of_other_nulls():
    rng = np.random.default_rng(0)
    noise = analysis.isotropic(60, 3, 4)
    fit = analysis.dog_fit(noise, draws=200)
    assert stats.kstest(fit.p, "uniform").pvalue > 1e-3
    smooth = analysis.isotropic(300, 7, 5)
    for axis in (1, 2):
        smooth = (smooth + np.roll(smooth, 1, axis)) / 2
    against_noise = analysis.dog_fit(smooth[:60], draws=100).p
    against_smooth = analysis.dog_fit(smooth[:60], null=smooth[60:260]).p
    assert np.median(against_noise) < 0.1 < np.median(against_smooth)
    centre = dog(7, 0, 0, 0, 0.8, 2, -1, 0)
    noisy = centre / np.linalg.norm(centre) + 0.2 / 7 * rng.standard_normal((7, 7))
    assert analysis.dog_fit(noisy, draws=99).p == pytest.approx(0.01)
    assert np.isnan(analysis.dog_fit(np.zeros((2, 3, 3))).r2).all()
    for wrong in ({"orders": (3,)}, {"orders": ()}, {"draws": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            analysis.dog_fit(noise, **wrong)
    with pytest.raises(ValueError, match="3x3"):
        analysis.dog_fit(np.ones((2, 2)))
