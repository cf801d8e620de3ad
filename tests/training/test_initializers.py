"""First-layer initialisers: scale, shape, and what the hand-crafted ones hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernelstudy import config
from kernelstudy.analysis import derivative_fit, steered_r2
from kernelstudy.handcrafted import kernel
from kernelstudy.training import initializers

SHAPE = (3, 3, 1, 16)


def test_the_schema_knows_all_of_them():
    assert set(config.INITS) == set(initializers.NAMES)


@pytest.mark.parametrize("name", initializers.NAMES)
@pytest.mark.parametrize("shape", [SHAPE, (5, 5, 3, 8), (7, 7, 1, 1)])
def test_all_give_finite_kernels_of_the_right_shape(name, shape):
    values = initializers.first_layer(name)(jax.random.key(0), shape, jnp.float32)
    assert values.shape == shape
    assert values.dtype == jnp.float32
    assert np.isfinite(values).all()
    assert (np.linalg.norm(np.asarray(values), axis=(0, 1)) > 0).all()


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


def test_unknown_name():
    with pytest.raises(ValueError, match="he_normal"):
        initializers.first_layer("he_norml")
