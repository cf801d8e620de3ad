"""Families and kinds of first layers: against PyTorch, each other's table, and what their units see."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernelstudy.analysis import fields
from kernelstudy.config import Arm, Bank, Model, Optim, Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.reporting import dense
from kernelstudy.training import deeper, inputs, parallel
from kernelstudy.training.model import CNN
from kernelstudy.training.ops import GEMM, LAX
from kernelstudy.training.population import train_population
from kernelstudy.training.train import STEPS_A_CALL, Order, first_kernel_shape, make_train

QUICKLY = {"xla_backend_optimization_level": 0}  # to compile; the values are the same
SHAPE = (13, 12, 3)


def untrained(**changes) -> CNN:
    settings = {
        "image_shape": SHAPE,
        "classes": 4,
        "kernel_size": 3,
        "width": 6,
        "deep_width": 5,
        "depth": 3,
        "activation": "relu",
        "first_init": nnx.initializers.he_normal(),
    }
    return CNN(**(settings | changes), rngs=nnx.Rngs(0))


def network(**changes) -> CNN:
    """With no value at zero or one, where errors would not show."""
    model = untrained(**changes)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda v: v + 0.1 * rng.standard_normal(v.shape).astype(v.dtype), params)
    return nnx.merge(graph, moved, rest)


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, *SHAPE)).astype(np.float32)


KINDS = [
    {"family": "resnet", "batch_norm": True},
    {"family": "resnet", "first": "depthwise", "first_stride": 2},
    {"family": "vgg", "batch_norm": True},
    {"family": "convnext", "first": "patchify", "activation": "gelu"},
    {"family": "convnext", "first_stride": 4, "depth": 2},
    {"first": "dense", "batch_norm": True, "depth": 2},
    {"first": "patchify", "depth": 2},
    {"first": "depthwise", "batch_norm": True, "depth": 2},
    {"first_stride": 4, "depth": 2},
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(map(str, k.values())))
def test_both_tables_agree(kind):
    """Loss, gradients, running statistics and feature maps, in float64."""
    labels = np.arange(8) % 4
    with jax.enable_x64(True):
        graph, *state = nnx.split(network(**kind), nnx.Param, ...)
        params, rest = jax.tree.map(
            lambda v: v.astype(float) if jnp.issubdtype(v.dtype, jnp.floating) else v, tuple(state)
        )
        x = jnp.asarray(images(), float)

        def loss(params, ops):
            model = nnx.merge(graph, params, jax.tree.map(lambda v: v, rest))
            scores = jax.nn.log_softmax(model(x, ops, training=True))
            return -scores[jnp.arange(8), labels].mean(), nnx.state(model, nnx.BatchStat)

        def everything(ops):
            found = jax.value_and_grad(lambda p: loss(p, ops), has_aux=True)
            maps = nnx.merge(graph, params, rest).feature_maps(x, ops)
            return found(params), maps, nnx.merge(graph, params, rest)(x, ops)

        found = [
            jax.jit(lambda o=ops: everything(o), compiler_options=QUICKLY)() for ops in (LAX, GEMM)
        ]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9), *found)


def in_torch(x, conv, *, stride=1, groups=1, padding=None):
    torch = pytest.importorskip("torch")
    weights = torch.tensor(np.asarray(conv.kernel[...]).transpose(3, 2, 0, 1).copy())
    bias = None if conv.bias is None else torch.tensor(np.asarray(conv.bias[...]))
    padding = weights.shape[-1] // 2 if padding is None else padding
    return torch.nn.functional.conv2d(x, weights, bias, stride, padding, groups=groups)


def channels_first(x: np.ndarray):
    torch = pytest.importorskip("torch")
    return torch.tensor(x.transpose(0, 3, 1, 2).copy())


def channels_last(x) -> np.ndarray:
    return x.numpy().transpose(0, 2, 3, 1)


def torch_layer_norm(x, norm):
    torch = pytest.importorskip("torch")
    scale, bias = (torch.tensor(np.asarray(v[...])) for v in (norm.scale, norm.bias))
    y = torch.nn.functional.layer_norm(x.movedim(1, -1), (len(scale),), scale, bias, 1e-6)
    return y.movedim(-1, 1)


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_a_resnet_is_pytorchs(ops):
    torch = pytest.importorskip("torch")
    model, relu = network(family="resnet"), torch.relu
    x = relu(in_torch(channels_first(images()), model.convs[0]))
    for number, stage in enumerate(model.stages):
        stride = 1 if number == 0 else 2
        y = relu(in_torch(x, stage.first.conv, stride=stride))
        y = in_torch(y, stage.second.conv)
        x = relu(y + (x if number == 0 else in_torch(x, stage.shortcut.conv, stride=2)))
    logits = x.mean((2, 3)).numpy() @ np.asarray(model.dense.kernel[...]) + model.dense.bias[...]
    np.testing.assert_allclose(model(jnp.asarray(images()), ops), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_a_vgg_is_pytorchs(ops):
    torch = pytest.importorskip("torch")
    model, relu = network(family="vgg"), torch.relu
    x = relu(in_torch(channels_first(images()), model.convs[0]))
    assert [len(stage.convs) for stage in model.stages] == [1, 2]
    for stage in model.stages:
        for conv in stage.convs:
            x = relu(in_torch(x, conv.conv))
        x = torch.nn.functional.max_pool2d(x, 2)
    flat = channels_last(x).reshape(8, -1)
    logits = flat @ np.asarray(model.dense.kernel[...]) + model.dense.bias[...]
    np.testing.assert_allclose(model(jnp.asarray(images()), ops), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_a_convnext_is_pytorchs(ops):
    torch = pytest.importorskip("torch")
    model = network(family="convnext", first="patchify", activation="gelu")
    x = in_torch(channels_first(images()), model.convs[0], stride=3, padding=0)
    x = torch_layer_norm(x, model.norms[0])
    for stage in model.stages:
        if stage.downsample is not None:
            x = torch_layer_norm(x, stage.downsample_norm)
            x = in_torch(x, stage.downsample, stride=2, padding=0)
        y = in_torch(x, stage.depthwise, groups=x.shape[1])
        y = in_torch(torch_layer_norm(y, stage.norm), stage.expand)
        x = x + in_torch(torch.nn.functional.gelu(y, approximate="tanh"), stage.project)
    logits = x.mean((2, 3)).numpy() @ np.asarray(model.dense.kernel[...]) + model.dense.bias[...]
    np.testing.assert_allclose(model(jnp.asarray(images()), ops), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["plain", "resnet", "vgg", "convnext"])
def test_layers_after_the_first_start_from_lecuns_distribution(family):
    """As reports say: a variance of 1 / fan in, and biases of 0."""
    net = untrained(family=family, depth=3, width=32, deep_width=64)
    first = net.convs[0].kernel[...].shape
    params = [leaf[...] for _, leaf in nnx.to_flat_state(nnx.state(net, nnx.Param))]
    others = [p for p in params if p.ndim > 1 and p.size > 2000 and p.shape != first]
    assert len(others) >= 2
    for kernel in others:
        fan_in = kernel.size // kernel.shape[-1]
        assert float(jnp.var(kernel)) * fan_in == pytest.approx(1, rel=0.15)
    assert not net.dense.bias[...].any()


def test_a_depthwise_first_layer_gives_each_colour_its_own_kernels():
    model = network(first="depthwise", depth=1)
    assert model.convs[0].kernel.shape == (3, 3, 1, 6)
    expected = channels_last(in_torch(channels_first(images()), model.convs[0], groups=3))
    for ops in (LAX, GEMM):
        (maps,) = model.feature_maps(jnp.asarray(images()), ops)
        np.testing.assert_allclose(maps, np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


def test_a_dense_first_layer_is_a_matrix():
    model = network(first="dense", depth=1)
    weights = np.asarray(model.convs[0].kernel[...]).reshape(-1, 6, 6, 6)
    expected = np.tensordot(images().reshape(8, -1), weights, 1) + np.asarray(model.convs[0].bias)
    for ops in (LAX, GEMM):
        (maps,) = model.feature_maps(jnp.asarray(images()), ops)
        np.testing.assert_allclose(maps, np.maximum(expected, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "kind",
    [
        {"family": "vgg", "activation": "tanh"},
        {"family": "resnet", "activation": "tanh", "first_stride": 2, "depth": 2},
        {"family": "convnext", "first": "patchify", "activation": "tanh", "depth": 2},
        {"first_stride": 4, "activation": "tanh", "depth": 2},
        {"first": "depthwise", "kernel_size": 5, "activation": "tanh", "depth": 2},
    ],
    ids=lambda k: "-".join(map(str, k.values())),
)
def test_units_see_what_their_receptive_fields_say(kind):
    """By the pixels that have a gradient, of a unit in the middle of a large image."""
    shape = (64, 64, 3)
    model = network(image_shape=shape, **kind)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, *shape)), jnp.float32)
    for layer, field in enumerate(model.receptive_fields()):

        def middle(x, layer=layer):
            maps = model.feature_maps(x, LAX)[layer]
            if kind.get("family") == "convnext":  # a layer norm's sum over channels is constant
                return maps[0, maps.shape[1] // 2, maps.shape[2] // 2, 0]
            return maps[0, maps.shape[1] // 2, maps.shape[2] // 2].sum()

        index = jax.eval_shape(lambda x, i=layer: model.feature_maps(x, LAX)[i], x).shape[1] // 2
        seen = np.abs(jax.jit(jax.grad(middle), compiler_options=QUICKLY)(x))[0].sum(-1)
        for axis in (0, 1):
            pixels = np.flatnonzero(seen.sum(1 - axis))
            first, end = field.window(index)
            assert (pixels[0], pixels[-1] + 1) == (max(first, 0), min(end, 64))


ARMS = (Arm("he_normal"), Arm("he_normal", first_layer="frozen"))


def study(arms=ARMS, **model) -> Study:
    settings = {"kernel_size": 3, "width": 6, "deep_width": 4, "depth": 2} | model
    return Study(
        name="families",
        arms=list(arms),
        seeds=2,
        steps=3,
        batch_size=8,
        log_points=3,
        eval_images=8,
        probe_seeds=1,
        model=Model(**settings),
        optim=Optim(name="adamw", weight_decay=0.1),
        bank=Bank(kernels=["sobel_x"]),
    )


def some_images() -> Images:
    rng = np.random.default_rng(0)
    train, test = images_of(rng, 32), images_of(rng, 16)
    labels = np.arange(32, dtype=np.int32) % 4
    return Images(train, labels, test, labels[:16], 4, {"name": "noise"})


def images_of(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, *SHAPE)).astype(np.float32)


def test_a_dense_first_layer_is_trained_and_kept_as_images():
    trajectory = train_population(study(first="dense"), some_images())
    assert trajectory["kernel"].shape == (2, 2, 3, 3, 3, 3, 6)
    whole = trajectory["dense_weight"]
    assert whole.shape == (2, 1, 3, 13, 12, 3, 6)
    top, left = (fields.middle_window(side, 3) for side in SHAPE[:2])
    window = whole[..., top : top + 3, left : left + 3, :, :]
    np.testing.assert_allclose(window, trajectory["kernel"][:, :1], rtol=1e-3, atol=1e-5)
    moved = np.abs(whole.diff("step")).max(("probe_seed", "step", "row", "column", "colour"))
    assert (moved[0] > 0).all()
    assert (moved[1] == 0).all()  # the frozen arm
    # Weights that are alike everywhere have their share by chance in any window.
    even = trajectory.assign(dense_weight=whole * 0 + 1, kernel=trajectory["kernel"] * 0 + 1)
    np.testing.assert_allclose(dense.local_share(even), dense.local_chance(even))


def trained(of: Study) -> tuple[Any, Any]:
    """One network's parameters before and after one step, of the first arm."""
    data = some_images()
    train = make_train(of, data)
    seen = feed.variants(data, of.data, ["natural"])
    state = train.init(jax.random.key(0), jnp.ones(first_kernel_shape(of, data)) / 10)
    shapes = jax.eval_shape(lambda: state.params)
    nets = inputs.nets_of(of, seen, [(0, 0)])
    nets = nets._replace(deeper=deeper.held(of, [(0, 0)], shapes))
    net = jax.tree.map(lambda v: v[0], nets)
    task = inputs.task_of(of, data, seen, [0])
    rows = np.arange(STEPS_A_CALL * 8, dtype=np.int32).reshape(1, STEPS_A_CALL, 8) % 32
    order = Order(rows, rows)
    advance = jax.jit(train.advance, compiler_options=QUICKLY)
    return state.params, advance(state, net, task, order, jnp.asarray(1))[0].params


def moved(before: Any, after: Any) -> dict[str, np.ndarray]:
    """By path, where parameters have changed."""
    old, new = (jax.tree_util.tree_leaves_with_path(tree) for tree in (before, after))
    return {
        jax.tree_util.keystr(path): np.asarray(a) != np.asarray(b)
        for (path, a), (_, b) in zip(old, new, strict=True)
    }


@pytest.mark.parametrize("family", ["resnet", "convnext"])
def test_stages_are_frozen_but_for_their_norms(family):
    arm = Arm("he_normal", deeper="frozen")
    of = study([arm], family=family, depth=2, batch_norm=family == "resnet")
    changed = moved(*trained(of))
    held = {path for path in changed if "stages" in path and "norm" not in path}
    assert held
    assert {path for path, where in changed.items() if not where.any()} == held


def test_a_share_of_a_dense_first_layer_is_frozen_map_by_map():
    changed = moved(*trained(study([Arm("he_normal", frozen=0.5)], first="dense")))
    (kernel,) = (
        of for path, of in changed.items() if "convs" in path and "[0]" in path and of.ndim == 2
    )
    by_map = kernel.reshape(-1, 6, 6, 6).any((0, 1, 2))  # (pixels, p, q, map)
    assert by_map.tolist() == [False] * 3 + [True] * 3


def test_memory_of_stages_counts_their_maps():
    """A ResNet's first stage alone keeps three maps of the whole image, and their gradients."""
    of = study(family="resnet", batch_norm=True)
    images = some_images()
    maps = 4 * of.batch_size * SHAPE[0] * SHAPE[1] * of.model.width
    small = parallel.bytes_of_stages(of, images)
    assert small > 2 * 3 * maps
    double = dataclasses.replace(of, batch_size=2 * of.batch_size)
    assert parallel.bytes_of_stages(double, images) == pytest.approx(2 * small, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vgg", "resnet", "convnext"])
def test_families_are_trained_and_watched(family):
    first = "patchify" if family == "convnext" else "conv"
    trajectory = train_population(study(family=family, first=first, depth=3), some_images())
    kernel = trajectory["kernel"]
    assert (kernel[0, :, 0] != kernel[0, :, -1]).all()
    np.testing.assert_array_equal(kernel[1, :, 0], kernel[1, :, -1])
    assert np.isfinite(trajectory["train_loss"][..., 1:]).all()
    assert [trajectory.sizes[f"channel_{i}"] for i in (1, 2, 3)] == [6, 6, 4]
    known = fields.fields_of(trajectory, 1)
    assert len(known) == 3
    assert known[0].size == 3
