"""First-layer initialisers: scale, shape, and what the hand-crafted ones hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
from flax import nnx

from kernelstudy import config
from kernelstudy.analysis import derivative_fit, steered_r2
from kernelstudy.handcrafted import kernel
from kernelstudy.training import initializers

SHAPE = (3, 3, 1, 16)


def test_the_schema_knows_all_of_them():
    """But for those that jobs read."""
    assert set(config.INITS) == {*initializers.NAMES, "bank", "file", "run"}


@pytest.mark.parametrize("name", initializers.NAMES)
@pytest.mark.parametrize("shape", [SHAPE, (5, 5, 3, 8), (7, 7, 1, 1)])
def test_all_give_finite_kernels_of_the_right_shape(name, shape):
    images = np.random.default_rng(0).standard_normal((20, 12, 12, shape[2]))
    values = initializers.first_layer(name, 1, images)(jax.random.key(0), shape, jnp.float32)
    assert values.shape == shape
    assert values.dtype == jnp.float32
    assert np.isfinite(values).all()
    assert ((np.asarray(values) ** 2).sum((0, 1, 2)) > 0).all()


def test_flaxs_own_is_flaxs_own():
    ours = initializers.first_layer("he_normal", 0.5)(jax.random.key(3), SHAPE, jnp.float32)
    theirs = nnx.initializers.he_normal()(jax.random.key(3), SHAPE, jnp.float32)
    np.testing.assert_array_equal(ours, 0.5 * theirs)


@pytest.mark.parametrize("operator", ["sobel", "prewitt"])
def test_steered_banks_cover_the_half_circle_at_hes_norm(operator):
    values = initializers.first_layer(operator)(jax.random.key(0), SHAPE, jnp.float32)
    kernels = np.moveaxis(np.asarray(values)[:, :, 0], -1, 0)
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=(1, 2)), np.sqrt(2), rtol=1e-5)
    r2 = steered_r2(kernels, kernel(f"{operator}_x"), kernel(f"{operator}_y"))
    np.testing.assert_allclose(r2, 1, atol=1e-6)
    theta, a, _ = derivative_fit(kernels)
    np.testing.assert_allclose(theta, np.arange(16) * np.pi / 16, atol=1e-5)
    np.testing.assert_allclose(a, {"sobel": 2, "prewitt": 1}[operator], rtol=1e-4)


@pytest.mark.parametrize("name", ["he_normal", "sobel"])
def test_hes_norm_does_not_depend_on_the_input_channels(name):
    draw = initializers.first_layer(name)
    for shape in [(3, 3, 1, 256), (5, 5, 3, 256)]:
        values = np.asarray(draw(jax.random.key(0), shape, jnp.float32))
        assert np.mean((values**2).sum((0, 1, 2))) == pytest.approx(2, rel=0.06)


def test_jitter_moves_every_kernel_by_a_quarter_of_its_norm():
    shape = (3, 3, 1, 512)
    bank, jittered = (
        np.asarray(initializers.first_layer(name)(jax.random.key(1), shape, jnp.float32))
        for name in ("sobel", "sobel_jittered")
    )
    moved = np.sqrt(((jittered - bank) ** 2).sum((0, 1, 2)) / 2)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.25, rel=0.05)


def test_scrambling_keeps_the_spectrum_and_nothing_else():
    shape = (5, 5, 2, 64)
    bank, scrambled = (
        np.asarray(initializers.first_layer(name)(jax.random.key(1), shape, jnp.float32))
        for name in ("sobel", "sobel_scrambled")
    )
    spectra = (np.abs(np.fft.fft2(k, axes=(0, 1))) for k in (bank, scrambled))
    np.testing.assert_allclose(*spectra, atol=1e-5)
    cosines = (bank * scrambled).sum((0, 1, 2)) / 2
    assert np.abs(cosines).mean() < 0.5
    np.testing.assert_array_equal(scrambled[:, :, 0], scrambled[:, :, 1])


def test_sparse_kernels_have_three_taps_and_hes_norm():
    values = np.asarray(
        initializers.first_layer("sparse")(jax.random.key(0), (5, 5, 2, 4000), jnp.float32)
    )
    assert ((values != 0).sum((0, 1)) == 3).all()
    assert np.mean((values**2).sum((0, 1, 2))) == pytest.approx(2, rel=0.05)
    taken = (values != 0).mean((2, 3))  # every tap as often as any other
    np.testing.assert_allclose(taken, 3 / 25, atol=0.015)


def test_dct_is_scipys():
    draw = initializers.first_layer("dct")
    values = np.asarray(draw(jax.random.key(0), (3, 3, 1, 9), jnp.float32))[:, :, 0]
    spectra = np.abs(scipy.fft.dctn(values, axes=(0, 1), norm="ortho")).reshape(9, 9)
    np.testing.assert_allclose(np.sort(spectra, axis=0)[-1], np.sqrt(2), rtol=1e-5)
    assert sorted(spectra.argmax(0)) == list(range(9))
    assert np.median(spectra) < 1e-6


def images_of(covariance: np.ndarray, colours: int) -> np.ndarray:
    """Images of one patch each, 3 x 3, with about this covariance."""
    rng = np.random.default_rng(0)
    return rng.multivariate_normal(np.zeros(len(covariance)), covariance, 20_000).reshape(
        -1, 3, 3, colours
    )


@pytest.mark.parametrize("colours", [1, 3])
def test_kernels_of_patches(colours):
    """Axes of a known covariance in its order; Gaussian kernels of that covariance."""
    d = 9 * colours
    axes, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))
    covariance = axes * 2.0 ** -np.arange(d) @ axes.T
    images = images_of(covariance, colours)
    shape = (3, 3, colours, d + 2)
    draw = initializers.first_layer("patch_pca", 1, images)
    found = np.asarray(draw(jax.random.key(0), shape, jnp.float32)).reshape(d, d + 2)
    cosines = np.abs((found[:, :4] * axes[:, :4]).sum(0)) / np.sqrt(2)
    np.testing.assert_allclose(cosines, 1, atol=0.01)
    np.testing.assert_allclose(found[:, d:], -found[:, :2])  # signs turn when all are used
    draw = initializers.first_layer("patch_gaussian", 1, images)
    drawn = np.asarray(draw(jax.random.key(0), (3, 3, colours, 40_000), jnp.float32)).reshape(d, -1)
    np.testing.assert_allclose(np.cov(drawn), covariance * 2 / np.trace(covariance), atol=0.03)


def test_named_kernels_follow_each_other_at_hes_norm():
    names = ["dog", "log", "sobel_x"]
    draw = initializers.first_layer("bank", 2.0, kernels=names)
    found = np.asarray(draw(jax.random.key(0), (5, 5, 3, 8), jnp.float32))
    for channel in range(8):
        wanted = kernel(names[channel % 3], 5)
        wanted = 2 * wanted / np.linalg.norm(wanted) * np.sqrt(2 / 3)
        for colour in range(3):
            np.testing.assert_allclose(found[:, :, colour, channel], wanted, atol=1e-6)
    with pytest.raises(ValueError, match="bank needs the names"):
        initializers.first_layer("bank")


def test_patches_need_images():
    with pytest.raises(ValueError, match="patch_pca needs images"):
        initializers.first_layer("patch_pca")


def test_unknown_name():
    with pytest.raises(ValueError, match="he_normal"):
        initializers.first_layer("he_norml")
