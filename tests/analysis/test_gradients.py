"""theta, a and purity of a kernel; a of a population and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernelstudy import analysis
from kernelstudy.handcrafted import family, kernel, steer

angles = st.floats(-np.pi, np.pi, exclude_min=True)
taps = arrays(np.float64, (3, 3), elements=st.floats(-4, 4, allow_subnormal=False)).filter(
    lambda k: np.abs(k - k[::-1, ::-1]).max() > 1e-3
)


@given(st.floats(0, 30), angles, st.floats(1e-3, 1e3))
def test_a_member_of_the_family_returns_itself(a, theta, scale):
    fit = analysis.derivative_fit(scale * family(a, theta))
    assert fit.a == pytest.approx(a, abs=1e-10)
    assert np.angle(np.exp(1j * (fit.theta - theta))) == pytest.approx(0, abs=1e-10)
    assert fit.purity == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "a"),
    [("prewitt", 1), ("sobel", 2), ("scharr", 10 / 3), ("central", np.inf)],
)
def test_named_operators(name, a):
    for direction, theta in (("x", 0), ("y", np.pi / 2)):
        fit = analysis.derivative_fit(kernel(f"{name}_{direction}", 3))
        assert fit.a == pytest.approx(a)
        assert fit.theta == pytest.approx(theta)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.5, 3.0])
def test_a_sampled_gaussian_derivative(sigma):
    y, x = np.mgrid[-1:2, -1:2]
    g = x * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    assert analysis.derivative_fit(g).a == pytest.approx(np.exp(1 / (2 * sigma**2)), rel=1e-10)


def test_theta_lies_in_its_interval_and_negative_a_is_told():
    assert analysis.derivative_fit(-kernel("sobel_x", 3)).theta == pytest.approx(np.pi)
    against = np.array([[-1, 0, 1], [1, 0, -1], [-1, 0, 1]])
    fit = analysis.derivative_fit(against)
    assert fit.a == pytest.approx(-1)
    assert fit.theta == pytest.approx(0)


@given(taps)
def test_against_an_svd_and_a_search(k):
    m = analysis.gradient_matrix(k)
    u, s, vt = np.linalg.svd(m)
    fit = analysis.derivative_fit(k)
    assert fit.purity == pytest.approx(s[0] ** 2 / np.sum(s**2), abs=1e-9)
    np.testing.assert_allclose(np.sum(m**2), analysis.sector_energies(k)[4], rtol=1e-9)
    if s[0] - s[1] > 1e-3 * s[0]:  # else the directions are arbitrary
        phi = np.arctan2(u[0, 0], u[1, 0])
        assert np.sin(analysis.phi_of_a(fit.a) - phi) == pytest.approx(0, abs=1e-6)
        direction = np.array([np.cos(fit.theta), np.sin(fit.theta)])
        assert abs(direction @ vt[0]) == pytest.approx(1, abs=1e-9)


@given(taps)
def test_a_and_purity_forget_sign_turn_and_mirror(k):
    fit = analysis.derivative_fit(k)
    if fit.purity < 0.5 + 1e-3:
        return
    for moved in (-k, np.rot90(k), k[::-1], k.T, 7 * k + 1):
        again = analysis.derivative_fit(moved)
        assert again.purity == pytest.approx(fit.purity, abs=1e-9)
        gap = analysis.wrap_phi(analysis.phi_of_a(again.a) - analysis.phi_of_a(fit.a))
        assert abs(np.sin(gap)) < 1e-6


def test_kernels_without_a_gradient_are_nan():
    even = np.stack([np.zeros((3, 3)), np.ones((3, 3)), kernel("laplacian8", 3)])
    fit = analysis.derivative_fit(even)
    assert np.isnan(fit).all()
    assert np.isnan(analysis.population_a(even)).all()


def test_chance_purity_is_as_documented():
    purity = analysis.derivative_fit(analysis.isotropic(20_000, 3, 0)).purity
    assert purity.mean() == pytest.approx(0.5 + np.pi / 8, abs=3e-3)


def test_phi_and_a_are_one_scale():
    a = np.array([-3.0, 0, 1, 2, 10 / 3, np.inf])
    np.testing.assert_allclose(analysis.a_of_phi(analysis.phi_of_a(a)), a, rtol=1e-12)
    np.testing.assert_allclose(analysis.phi_of_a(a), np.arctan2(2**0.5 * a, 2))
    assert analysis.a_of_phi(-np.pi / 2) == np.inf
    assert analysis.wrap_phi(-np.pi / 2) == np.pi / 2
    beyond = analysis.wrap_phi(np.nextafter(np.pi / 2, [0, 4]) * np.array([[1], [-1]]))
    assert (np.abs(beyond) <= np.pi / 2).all()
    assert (beyond > -np.pi / 2).all()


def planted(a, snr, rng, nets=10, channels=16):
    theta = rng.uniform(-np.pi, np.pi, (nets, channels))
    signal = family(a, theta) / np.linalg.norm(family(a))
    return snr**0.5 * signal + rng.standard_normal(signal.shape) / 3


def test_population_a_pools_directions_and_is_not_biased_by_noise():
    rng = np.random.default_rng(0)
    found = analysis.population_a(planted(2, 0.5, rng, nets=400))
    assert found.a == pytest.approx(2, abs=0.05)
    exact = analysis.population_a(family(10 / 3, rng.uniform(-3, 3, (2, 5))))
    assert exact.a == pytest.approx(10 / 3)
    assert exact.gap == pytest.approx(1)


def test_interval_of_copies_is_a_point_and_names_it():
    rng = np.random.default_rng(1)
    for name, a in analysis.OPERATORS.items():
        if np.isfinite(a):
            found = analysis.population_a_interval(family(a, rng.uniform(-3, 3, (8, 4))))
            assert found.names() == (name,)
            assert found.low == pytest.approx(a)
            assert found.high == pytest.approx(a)


def test_interval_wraps_through_infinity():
    rng = np.random.default_rng(4)
    theta = rng.uniform(-np.pi, np.pi, (10, 16))
    signal = steer(kernel("central_x", 3), kernel("central_y", 3), theta)
    noisy = 2 * signal / np.linalg.norm(signal[0, 0]) + rng.standard_normal(signal.shape) / 3
    found = analysis.population_a_interval(noisy)
    assert found.resolved
    assert found.low > 0 > found.high
    assert found.holds(np.inf)
    assert not found.holds(2)
    assert found.names() == ("central difference",)


def test_interval_is_unresolved_without_a_direction():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((200, 10, 16, 3, 3))
    resolved = [analysis.population_a_interval(k).resolved for k in noise]
    assert np.mean(resolved) < 0.1
    few = analysis.population_a_interval(planted(2, 10, rng, nets=5))
    assert not few.resolved
    assert "needs 6" in few.reason
    assert few.a == pytest.approx(2, abs=0.3)
    assert few.names() == tuple(analysis.OPERATORS)


@pytest.mark.parametrize(("nets", "a", "snr"), [(6, 2, 0.5), (10, 1, 0.3), (20, 10 / 3, 0.3)])
def test_interval_covers(nets, a, snr):
    """At a nominal 90% over 400 studies; nets of very unequal energy."""
    rng = np.random.default_rng(nets)
    inside = []
    for _ in range(400):
        kernels = planted(a, snr, rng, nets) * rng.lognormal(0, 0.7, (nets, 1, 1, 1))
        inside.append(analysis.population_a_interval(kernels, level=0.9).holds(a))
    assert np.mean(inside) > 0.9 - 3 * (0.09 / 400) ** 0.5


def test_interval_handles_empty_and_broken_populations():
    zero = analysis.population_a_interval(np.zeros((10, 4, 3, 3)))
    assert (zero.resolved, zero.reason) == (False, "no gradient energy")
    broken = np.ones((10, 4, 3, 3))
    broken[3, 2, 1, 1:] = np.nan
    assert "finite" in analysis.population_a_interval(broken).reason
    with pytest.raises(ValueError, match="net, channel"):
        analysis.population_a_interval(np.zeros((4, 3, 3)))
    with pytest.raises(ValueError, match="3x3"):
        analysis.derivative_fit(np.zeros((5, 5)))
