"""Patch statistics against NumPy's covariance; the closed form against a net that is trained."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelstudy import analysis
from kernelstudy.handcrafted import family


def smooth_images(seed, shape=(6, 20, 24)):
    """Images with neighbouring pixels alike: a random walk's worth of low frequencies."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal(shape))
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in shape[1:]), indexing="ij")
    return np.fft.ifft2(spectrum / (0.05 + np.hypot(fy, fx))).real


def test_patch_pca_is_the_covariance_of_all_patches():
    images = smooth_images(0) + 100
    patches = np.array(
        [im[y : y + 3, x : x + 3].ravel() for im in images for y in range(18) for x in range(22)]
    )
    values, basis = analysis.patch_pca(images, 3)
    covariance = np.cov(patches.T)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-9)
    np.testing.assert_allclose(basis.T @ np.diag(values) @ basis, covariance, atol=1e-9)
    np.testing.assert_allclose(basis @ basis.T, np.eye(9), atol=1e-12)
    again = analysis.patch_pca(images[..., None].astype(np.float32), 3)
    np.testing.assert_allclose(again[0], values, rtol=1e-4)


def test_patch_pca_of_colour_and_its_refusals():
    images = np.random.default_rng(0).standard_normal((40, 8, 8, 3)) * [1, 2, 3]
    values, basis = analysis.patch_pca(images, 2)
    assert basis.shape == (12, 12)
    np.testing.assert_allclose(values, np.repeat([9, 4, 1], 4), rtol=0.15)
    leading = np.abs(basis[:4].reshape(4, 2, 2, 3))
    assert leading[..., 2].sum() > 10 * leading[..., :2].sum() / 2
    for bad in (np.zeros((4, 4)), np.zeros((2, 2, 9))):
        with pytest.raises(ValueError, match="at least 3 pixels"):
            analysis.patch_pca(bad, 3)


@pytest.mark.parametrize("a", [1.0, 2.0, 10 / 3])
def test_a_pca_reads_the_family_out_of_patches(a):
    """Axes fam(a) in x and y with a large eigenvalue, everything else little."""
    rng = np.random.default_rng(0)
    first = np.stack([family(a), family(a).T]).reshape(2, 9)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    rest = rng.standard_normal((7, 9))
    basis = np.linalg.qr(np.concatenate([first, rest]).T)[0].T
    assert analysis.a_pca([5, 5, 0, 0, 0, 0, 0, 0, 0], basis) == pytest.approx(a)


def test_a_pca_is_population_a_of_the_patches_themselves():
    images = smooth_images(1)
    patches = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    patches = patches.reshape(-1, 3, 3) - patches.reshape(-1, 3, 3).mean(axis=0)
    assert analysis.a_pca(*analysis.patch_pca(images, 3)) == pytest.approx(
        analysis.population_a(patches).a
    )


def train_linear_net(images, targets, kernels, readout, eta, steps):
    """Gradient descent on mean (f - y)^2 / 2, f = sum_c v_c mean_positions(K_c * image).

    Written out position by position: nothing of the closed form is used.
    """
    kernels = kernels.copy()
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    for _ in range(steps):
        maps = np.einsum("nyxij,cij->ncyx", windows, kernels)
        error = np.einsum("ncyx,c->n", maps, readout) / maps[0, 0].size - targets
        into_maps = error[:, None, None, None] * readout[:, None, None] / maps[0, 0].size
        into_maps = np.broadcast_to(into_maps, maps.shape)
        kernels -= eta * np.einsum("ncyx,nyxij->cij", into_maps, windows) / len(images)
    return kernels


@pytest.mark.parametrize(("steps", "scale"), [(1, 0.0), (40, 0.0), (40, 1.0), (700, 1.0)])
def test_prediction_equals_the_net_actually_trained(steps, scale):
    rng = np.random.default_rng(2)
    images = smooth_images(5, (60, 7, 6)) * 4
    targets = rng.standard_normal(60)
    readout = rng.standard_normal(5)
    start = scale * rng.standard_normal((5, 3, 3))
    mean_patch = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    mean_patch = mean_patch.mean(axis=(1, 2)).reshape(60, 9)
    values, axes = np.linalg.eigh(mean_patch.T @ mean_patch / 60)
    values, basis = values[::-1], axes.T[::-1]
    step_size = 1.5 / values[0] / np.sum(readout**2)
    trained = train_linear_net(images, targets, start, readout, step_size, steps)

    residual = targets - mean_patch @ np.einsum("cij,c->ij", start, readout).ravel()
    b = basis @ (mean_patch.T @ residual) / 60
    eta = step_size * np.sum(readout**2)
    predicted = analysis.predicted_profile(values, b, eta, steps)
    np.testing.assert_allclose(
        analysis.energy_profile(trained - start, basis), predicted, atol=1e-10
    )
    update = analysis.predicted_update(values, b, eta, steps) @ basis
    moved = np.einsum("cij,c->ij", trained - start, readout).ravel()
    np.testing.assert_allclose(moved, update, atol=1e-9 * np.abs(update).max())


@given(
    st.lists(st.floats(1e-6, 1), min_size=1, max_size=9),
    st.floats(1e-3, 1.99),
    st.integers(0, 500),
)
def test_predicted_update_is_the_recursion(values, eta, t):
    values = np.array(values)
    w = np.zeros_like(values)
    for _ in range(t):
        w = w + eta * (1 - values * w)
    found = analysis.predicted_update(values, np.ones_like(values), eta, t)
    np.testing.assert_allclose(found, w, rtol=1e-8, atol=1e-12)


def test_the_profile_goes_from_the_spectrum_to_whitening():
    values = np.geomspace(1, 1e-3, 9)
    b = values**0.5  # labels that have nothing to do with the patches
    early = analysis.predicted_profile(values, b, 0.1, 1)
    late = analysis.predicted_profile(values, b, 0.1, 1e7)
    np.testing.assert_allclose(early, values / values.sum(), rtol=1e-9)
    np.testing.assert_allclose(late, (1 / values) / np.sum(1 / values), rtol=1e-6)


def test_outputs_add_up_and_zero_eigenvalues_do_not_divide():
    b = np.array([[1.0, 0, 2], [0, 3, 2]])
    profile = analysis.predicted_profile([1, 0.5, 0], b, 0.1, 1)
    np.testing.assert_allclose(profile, np.array([1, 9, 8]) / 18)
    assert np.isnan(analysis.predicted_profile([1, 0.5], np.zeros(2), 0.1, 5)).all()


@pytest.mark.parametrize(
    ("values", "b", "eta", "t"),
    [
        ([1, 2], [1, 1], 1.0, 5),
        ([1, 2], [1], 0.1, 5),
        ([-1, 2], [1, 1], 0.1, 5),
        ([1], [1], 0.1, -1),
    ],
)
def test_what_cannot_converge_is_refused(values, b, eta, t):
    with pytest.raises(ValueError, match="must"):
        analysis.predicted_profile(values, b, eta, t)
