"""Receptive fields against the gradients of the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernelstudy.analysis.fields import Field, crop, receptive_fields
from kernelstudy.training.model import CNN
from kernelstudy.training.ops import GEMM


@pytest.mark.parametrize(("kernel_size", "stride"), [(5, 1), (3, 2)])
def test_fields_are_where_the_gradient_is(kernel_size, stride):
    shape, depth = (22, 23), 3
    model = CNN(
        image_shape=(*shape, 1),
        classes=2,
        kernel_size=kernel_size,
        width=2,
        deep_width=2,
        depth=depth,
        activation="identity",
        first_init=nnx.initializers.ones,
        stride=stride,
        rngs=nnx.Rngs(0),
    )
    for conv in model.convs:
        conv.kernel[...] = jnp.ones_like(conv.kernel[...])
    # a pool passes one pixel of four, so that it takes many images to see all of a field
    images = np.random.default_rng(0).standard_normal((60, *shape, 1)).astype(np.float32)
    fields = receptive_fields(shape, kernel_size=kernel_size, depth=depth, stride=stride)
    for layer, field in enumerate(fields):

        def two(x, layer=layer):
            maps = model.feature_maps(x, GEMM)[layer]
            return maps[:30, 1, 1, 0].sum() + maps[30:, 2, 2, 0].sum()

        gradient = np.abs(jax.jit(jax.grad(two))(images)).max(-1)
        for seen, place in ((gradient[:30], (1, 1)), (gradient[30:], (2, 2))):
            for axis, index in zip((2, 1), place, strict=True):
                found = np.flatnonzero(seen.any(axis=(0, axis)))
                first, after = field.window(index)
                length = shape[2 - axis]
                assert (found[0], found[-1] + 1) == (max(first, 0), min(after, length))


def test_known_fields():
    """k = 3 and a pool at each layer: 3, 8, 18, 38 pixels, 1, 2, 4, 8 apart."""
    found = receptive_fields((64, 64), kernel_size=3, depth=4)
    assert [(f.size, f.jump) for f in found] == [(3, 1), (8, 2), (18, 4), (38, 8)]
    # no pool below two pixels: the jump then stays
    assert [f.jump for f in receptive_fields((4, 9), kernel_size=3, depth=5)] == [1, 2, 4, 4, 4]
    with pytest.raises(ValueError, match="at least 1"):
        receptive_fields((4, 4), kernel_size=3, depth=0)


def test_crops():
    image = np.arange(30.0).reshape(5, 6)
    field = Field(3, 2, -1)
    np.testing.assert_array_equal(crop(image, field, 1, 1), image[1:4, 1:4])
    corner = crop(image, field, 0, 0)
    assert np.isnan(corner[0]).all()
    assert np.isnan(corner[:, 0]).all()
    np.testing.assert_array_equal(corner[1:, 1:], image[:2, :2])
    assert np.isnan(crop(image, field, 9, 9)).all()
    assert crop(image[..., None], field, 1, 1).shape == (3, 3, 1)
