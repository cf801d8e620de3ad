"""The network against the same network written in plain Flax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernelstudy.config import Arm, Bank, Model, Optim, Study
from kernelstudy.data.images import Images
from kernelstudy.training.model import ACTIVATIONS, CNN
from kernelstudy.training.ops import GEMM, LAX
from kernelstudy.training.optimizer import rates_of
from kernelstudy.training.train import Net, Order, Task, make_train


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
        jax.jit(lambda x: model(x, ops))(images),
        jax.jit(lambda x: in_plain_flax(model, x))(images),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_depths(depth):
    model = network(depth=depth)
    images = jnp.ones((2, 12, 13, 2))
    maps, expected = (jax.jit(lambda x, o=o: model.feature_maps(x, o))(images) for o in (GEMM, LAX))
    assert [m.shape[1:3] for m in maps] == [(12, 13), (6, 6), (3, 3), (1, 1), (1, 1)][:depth]
    for ours, theirs in zip(maps, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert jax.eval_shape(lambda x: model(x, GEMM), images).shape == (2, 5)


def test_networks_that_differ_in_the_first_init_share_all_other_layers():
    he, ortho = network(), network(first_init=nnx.initializers.orthogonal())
    assert not np.array_equal(he.convs[0].kernel[...], ortho.convs[0].kernel[...])
    for a, b in itertools.chain(
        zip(he.convs[1:], ortho.convs[1:], strict=True), [(he.dense, ortho.dense)]
    ):
        np.testing.assert_array_equal(a.kernel[...], b.kernel[...])


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_stride_and_residual_are_plain_laxs(ops):
    """Symmetric padding, as in PyTorch; shortcuts where channels agree, from the third layer on."""
    model = network(stride=2, residual=True, depth=3)
    images = jax.random.normal(jax.random.key(1), (3, 12, 13, 2))
    x, maps = images, []
    for index, conv in enumerate(model.convs):
        y = jax.lax.conv_general_dilated(
            x,
            conv.kernel[...],
            (2, 2),
            [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(y + conv.bias[...] + (x[:, ::2, ::2] if index == 2 else 0))
        maps.append(x)
    for ours, theirs in zip(model.feature_maps(images, ops), maps, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    logits = model.dense(x.reshape(3, -1))
    np.testing.assert_allclose(model(images, ops), logits, atol=1e-5)


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_batch_norm_is_pytorchs(ops):
    torch = pytest.importorskip("torch")
    model = network(batch_norm=True, depth=1)
    images = 3 + jax.random.normal(jax.random.key(1), (8, 12, 13, 2))
    conv, norm = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(np.asarray(model.convs[0].kernel[...])).permute(3, 2, 0, 1))
    x = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)
    for training in (True, True, False):
        norm.train(training)
        y = torch.nn.functional.max_pool2d(torch.relu(norm(conv(x))), 2)
        y = y.permute(0, 2, 3, 1).reshape(8, -1).detach().numpy()
        ours = model(images, ops, training=training)
        # in evaluation PyTorch divides by n - 1, see below
        near = 2e-4 if training else 2e-3
        np.testing.assert_allclose(ours, y @ np.asarray(model.dense.kernel[...]), atol=near)
    np.testing.assert_allclose(model.norms[0].mean[...], norm.running_mean, atol=1e-5)
    # PyTorch keeps the unbiased variance, Flax the biased one
    n = 8 * 12 * 13
    kept = 0.81 + (norm.running_var.numpy() - 0.81) * (n - 1) / n
    np.testing.assert_allclose(model.norms[0].var[...], kept, rtol=1e-4)


def test_batch_norm_trains_alike_on_both_backends():
    """Its statistics are the whole batch's, however convolutions are computed."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(64, 8, 8, 1)).astype(np.float32)
    labels = (images.mean((1, 2, 3)) > 0).astype(np.int32)
    data = Images(images, labels, images, labels, 2, {})
    task = Task(images[None], labels[None], images[None], labels)
    rows = np.arange(64).reshape(1, 1, 64).repeat(16, 1)
    rates = jax.tree.map(jnp.asarray, rates_of(Arm("he_normal"), Optim()))
    net = Net(jnp.asarray(0), jnp.asarray(0), jnp.asarray(0), jnp.asarray(False), rates)
    found = []
    for impl in ("lax", "gemm"):
        study = Study(
            arms=[Arm("he_normal")],
            batch_size=64,
            impl=impl,
            bank=Bank(["sobel_x"]),
            model=Model(width=4, deep_width=4, depth=2, batch_norm=True, residual=True),
        )
        train = make_train(study, data)
        state = train.init(jax.random.key(0), jax.random.normal(jax.random.key(1), (3, 3, 1, 4)))
        assert len(jax.tree.leaves(state.statistics)) == 4
        state, _ = jax.jit(train.advance)(state, net, task, Order(rows, rows), jnp.asarray(3))
        assert all(np.any(leaf) for leaf in jax.tree.leaves(state.statistics))
        found.append((state, train.evaluate(state, net, task, jnp.asarray(64))))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), *found)
