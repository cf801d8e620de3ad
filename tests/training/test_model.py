"""The network against the same network written in plain Flax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernelstudy.training.model import ACTIVATIONS, CNN
from kernelstudy.training.ops import GEMM, LAX


def network(**changes) -> CNN:
    settings = {
        "image_shape": (12, 13, 2),
        "classes": 5,
        "kernel_size": 3,
        "width": 4,
        "deep_width": 6,
        "depth": 2,
        "activation": "relu",
        "first_init": nnx.initializers.he_normal(),
    }
    return CNN(**(settings | changes), rngs=nnx.Rngs(0))


def in_plain_flax(model: CNN, x):
    """conv - activation - pool with Flax's own layers."""
    for conv in model.convs:
        x = ACTIVATIONS[model.activation](conv(x))
        x = nnx.max_pool(x, (2, 2), (2, 2)) if min(x.shape[1:3]) >= 2 else x
    return model.dense(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_logits_are_plain_flaxs(ops, activation):
    model = network(activation=activation)
    for conv in model.convs:  # biases start at zero, where bias errors would not show
        conv.bias[...] = jnp.linspace(-1, 1, conv.bias.shape[0])
    images = jax.random.normal(jax.random.key(1), (3, 12, 13, 2))
    np.testing.assert_allclose(
        model(images, ops), in_plain_flax(model, images), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_depths(depth):
    model = network(depth=depth)
    images = jnp.ones((2, 12, 13, 2))
    maps = model.feature_maps(images, GEMM)
    assert [m.shape[1:3] for m in maps] == [(12, 13), (6, 6), (3, 3), (1, 1), (1, 1)][:depth]
    for ours, theirs in zip(maps, model.feature_maps(images, LAX), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert model(images, GEMM).shape == (2, 5)


def test_networks_that_differ_in_the_first_init_share_all_other_layers():
    he, ortho = network(), network(first_init=nnx.initializers.orthogonal())
    assert not np.array_equal(he.convs[0].kernel[...], ortho.convs[0].kernel[...])
    for a, b in itertools.chain(
        zip(he.convs[1:], ortho.convs[1:], strict=True), [(he.dense, ortho.dense)]
    ):
        np.testing.assert_array_equal(a.kernel[...], b.kernel[...])
