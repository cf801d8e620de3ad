"""Deeper layers that are frozen or mix fixed kernels, and a first layer that is frozen in part."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from kernelstudy.config import Arm, Bank, Model, Optim, Study
from kernelstudy.data import feed
from kernelstudy.handcrafted import kernel
from kernelstudy.training import deeper, inputs, ops, train
from tests.training.test_optimizer import small_images

NAMES = ["dog", "sobel_x", "sobel_y"]
MIXED = Arm("he_normal", deeper="mixed", deeper_kernels=NAMES)
ARMS = [
    Arm("he_normal"),
    MIXED,
    Arm("he_normal", deeper="mixed"),
    Arm("he_normal", deeper="frozen"),
    Arm("he_normal", deeper_kernels=NAMES),
    Arm("sobel", frozen=0.5),
    Arm("sobel", first_layer="frozen"),
]
STUDY = Study(
    arms=ARMS,
    seeds=[4],
    batch_size=32,
    impl="lax",
    bank=Bank(["sobel_x"]),
    model=Model(width=4, deep_width=6, depth=3),
)
IMAGES = small_images()
ROWS = np.random.default_rng(0).integers(256, size=(1, train.STEPS_A_CALL, 32))
RULES = [Optim("adamw", 0.01, 0.0, 0.5), Optim("sgd", 0.1, 0.9, 0.1)]


def begun(study):
    """The functions of training, the networks of the arms, their starts and what they see."""
    made = train.make_train(study, IMAGES)
    seen = feed.variants(IMAGES, study.data, ["natural"] * len(study.arms))
    states = []
    for arm in study.arms:
        draw = inputs.initializers.first_layer(arm.init)
        shape = train.first_kernel_shape(study, IMAGES)
        state = made.init(jax.random.key(4), draw(jax.random.key(5), shape))
        states.append(state._replace(params=deeper.started(arm, 4, state.params)))
    grid = [(row, 0) for row in range(len(study.arms))]
    held = deeper.held(study, [(row, 4) for row, _ in grid], states[0].params)
    nets = inputs.nets_of(study, seen, grid)._replace(deeper=held)
    return made, nets, states, inputs.task_of(study, IMAGES, seen, study.seed_list)


def trained(study, steps: int):
    """(start, end) of the parameters of every arm."""
    made, nets, states, task = begun(study)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    order = train.Order(ROWS, ROWS)
    advance = jax.jit(jax.vmap(made.advance, in_axes=(0, 0, None, None, None)))
    ended, _ = advance(stacked, nets, task, order, jnp.asarray(steps))
    return [
        (state.params, jax.tree.map(lambda leaf, row=row: leaf[row], ended.params))
        for row, state in enumerate(states)
    ]


def layer(params, index: int) -> tuple[np.ndarray, np.ndarray]:
    conv = params["convs"][index]
    return np.asarray(conv["kernel"][...]), np.asarray(conv["bias"][...])


def test_planes_are_the_kernels_in_turn():
    (planes,) = deeper.planes_of(MIXED, 0, [(3, 3, 4, 5)])
    for i, o in np.ndindex(4, 5):
        wanted = kernel(NAMES[(i + o) % 3])
        np.testing.assert_allclose(planes[:, :, i, o], wanted / np.linalg.norm(wanted), atol=1e-7)
    random = [
        deeper.planes_of(Arm("sobel", deeper="mixed"), s, [(3, 3, 4, 5)])[0] for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(random[0], random[1])
    assert not np.allclose(random[0], random[2])
    np.testing.assert_allclose(np.linalg.norm(random[0], axis=(0, 1)), 1, rtol=1e-6)


@pytest.mark.parametrize("arm", [MIXED, Arm("sobel", deeper="mixed")])
def test_a_start_on_planes_has_the_norm_of_flaxs(arm):
    wide = dataclasses.replace(STUDY, arms=[arm], model=Model(width=64, deep_width=128, depth=2))
    _, _, (state,), _ = begun(wide)
    weights, _ = layer(state.params, 1)
    (planes,) = deeper.planes_of(arm, 4, [weights.shape])
    numbers = (weights * planes).sum((0, 1))
    np.testing.assert_allclose(weights, numbers * planes, atol=1e-6)
    assert numbers.var() == pytest.approx(1 / 64, rel=0.05)  # Flax's: 1 / (9 cin) a tap
    assert abs(numbers.mean()) < 0.01


@pytest.mark.parametrize("optim", RULES, ids=lambda optim: optim.name)
def test_mixed_layers_learn_their_numbers_as_if_these_were_the_parameters(optim):
    """Against a training whose parameters are the numbers, by plain Optax."""
    study = dataclasses.replace(STUDY, arms=ARMS[:3], optim=optim)
    found = trained(study, 12)
    for row in (1, 2):
        start, end = found[row]
        planes = deeper.planes_of(study.arms[row], 4, [layer(start, i)[0].shape for i in (1, 2)])
        params, numbers = by_numbers(study, start, planes)
        for index, plane, wanted in zip((1, 2), planes, numbers, strict=True):
            weights, bias = layer(end, index)
            np.testing.assert_allclose(weights, wanted * plane, atol=2e-4)
            np.testing.assert_allclose(bias, layer(params, index)[1], atol=2e-4)
            along = (weights * plane).sum((0, 1))
            np.testing.assert_allclose(weights, along * plane, atol=1e-6)  # on its line
            assert np.abs(along - (layer(start, index)[0] * plane).sum((0, 1))).max() > 0.01


def by_numbers(study, params, planes) -> Any:
    """(parameters, numbers of each deeper layer) after 12 steps."""
    shape, optim = train.first_kernel_shape(study, IMAGES), study.optim
    graph = nnx.graphdef(train._model(study, IMAGES, jax.random.key(0), jnp.zeros(shape)))

    def loss(given, images, labels):
        params, numbers = given
        params = jax.tree.map(lambda leaf: leaf, params)
        for index, (c, plane) in enumerate(zip(numbers, planes, strict=True), 1):
            bias = params["convs"][index]["bias"]
            params["convs"][index] = nnx.State({"kernel": nnx.Param(c * plane), "bias": bias})
        logits = nnx.merge(graph, params, nnx.State({}))(images, ops.LAX)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    numbers = [jnp.asarray((layer(params, i)[0] * p).sum((0, 1))) for i, p in enumerate(planes, 1)]
    given: Any = (jax.tree.map(jnp.asarray, params), numbers)
    kernels = jax.tree.map(lambda leaf: leaf.ndim > 1, given)
    decay = optax.add_decayed_weights(optim.weight_decay, kernels)
    gradient = optax.scale_by_adam() if optim.name == "adamw" else optax.trace(optim.momentum)
    parts = [gradient, decay] if optim.name == "adamw" else [decay, gradient]
    rule = optax.chain(*parts, optax.scale(-optim.learning_rate))
    memory, gradient_of = rule.init(given), jax.jit(jax.grad(loss))
    for rows in ROWS[0, :12]:
        found = gradient_of(given, IMAGES.train_images[rows], IMAGES.train_labels[rows])
        changes, memory = rule.update(found, memory, given)
        given = optax.apply_updates(given, changes)
    return given


@pytest.mark.parametrize("optim", RULES, ids=lambda optim: optim.name)
def test_what_is_frozen_keeps_its_bits_and_all_else_learns(optim):
    plain, mixed, random, frozen, started, half, first = trained(
        dataclasses.replace(STUDY, optim=optim), 12
    )
    for index in (1, 2):
        for before, after in zip(layer(frozen[0], index), layer(frozen[1], index), strict=True):
            np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(layer(plain[0], index)[0], layer(frozen[0], index)[0])
        np.testing.assert_array_equal(layer(started[0], index)[0], layer(mixed[0], index)[0])
        for arm in (plain, mixed, random, started, half, first):
            assert (layer(arm[0], index)[0] != layer(arm[1], index)[0]).any()
    for before, after in zip(layer(first[0], 0), layer(first[1], 0), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(layer(half[0], 0), layer(half[1], 0), strict=True):
        np.testing.assert_array_equal(before[..., :2], after[..., :2])
        assert (before[..., 2:] != after[..., 2:]).reshape(-1, 2).any(0).all()
    for arm in (plain, mixed, random, frozen, started):
        assert (layer(arm[0], 0)[0] != layer(arm[1], 0)[0]).any()


def test_a_study_without_such_arms_has_the_program_of_before():
    """Nothing is held, and what is frozen is one number a network."""
    study = dataclasses.replace(STUDY, arms=[ARMS[0], ARMS[6]])
    _, nets, _, _ = begun(study)
    assert nets.deeper is None
    np.testing.assert_array_equal(nets.frozen, [False, True])
    _, nets, _, _ = begun(STUDY)
    np.testing.assert_array_equal(nets.frozen[5], [True, True, False, False])
    assert nets.frozen[6].all()
    assert not nets.frozen[:5].any()
