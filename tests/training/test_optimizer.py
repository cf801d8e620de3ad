"""The optimiser's rules against PyTorch's, rates of single networks, schedules and widths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernelstudy.config import Arm, Bank, Model, Optim, Study
from kernelstudy.data.images import Images
from kernelstudy.training import optimizer, population
from kernelstudy.training.optimizer import Rates, make_optimizer, rates_of

STEPS = 12
WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))
BIAS = np.random.default_rng(1).normal(size=4)
GRADIENTS = np.random.default_rng(2).normal(size=(STEPS, 3, 4))


def followed(optim: Optim, arm: Arm | None = None, steps: int = STEPS) -> tuple[np.ndarray, ...]:
    """A kernel and a bias after the steps of given gradients, in float64."""
    arm = arm or Arm("he_normal")
    study = Study(arms=[arm], optim=optim, steps=steps)
    with jax.enable_x64(True):
        rule = make_optimizer(study)(Rates(*map(jnp.asarray, rates_of(arm, optim))))
        params = {"kernel": jnp.asarray(WEIGHTS), "bias": jnp.asarray(BIAS)}
        memory = rule.init(params)
        for gradient in GRADIENTS[:steps]:
            given = {"kernel": jnp.asarray(gradient), "bias": jnp.asarray(gradient[0])}
            changes, memory = rule.update(given, memory, params)
            params = jax.tree.map(jnp.add, params, changes)
        return np.asarray(params["kernel"]), np.asarray(params["bias"])


@pytest.mark.parametrize(
    ("optim", "theirs"),
    [
        (Optim("adam", 0.01), ("Adam", {"lr": 0.01})),
        (Optim("adamw", 0.01, 0.0, 0.5), ("AdamW", {"lr": 0.01, "weight_decay": 0.5})),
        (
            Optim("sgd", 0.1, 0.9, 0.3),
            ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}),
        ),
        (Optim("sgd", 0.1), ("SGD", {"lr": 0.1})),
    ],
)
def test_a_rule_is_pytorchs(optim, theirs):
    """With decay of all parameters, as PyTorch has it by default; by default of kernels alone."""
    torch = pytest.importorskip("torch")
    name, words = theirs
    weights, bias = (torch.tensor(v, requires_grad=True) for v in (WEIGHTS, BIAS))
    rule = getattr(torch.optim, name)([weights, bias], **words)
    undecayed = torch.tensor(BIAS, requires_grad=True)
    rule_of_bias = getattr(torch.optim, name)([undecayed], **{**words, "weight_decay": 0})
    for gradient in torch.tensor(GRADIENTS):
        weights.grad, bias.grad, undecayed.grad = gradient, gradient[0], gradient[0]
        rule.step()
        rule_of_bias.step()
    both = followed(dataclasses.replace(optim, decay_all=True))
    np.testing.assert_allclose(both[0], weights.detach(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(both[1], bias.detach(), rtol=1e-6, atol=1e-9)
    kernels_only = followed(optim)
    np.testing.assert_allclose(kernels_only[0], both[0])
    np.testing.assert_allclose(kernels_only[1], undecayed.detach(), rtol=1e-6, atol=1e-9)


def test_decoupled_decay_is_not_seen_by_momentum():
    """sgdw: w <- (1 - rate * decay) w - rate * m, with m of the gradients alone."""
    w, m = WEIGHTS, 0.0
    for gradient in GRADIENTS:
        m = 0.9 * m + gradient
        w = (1 - 0.1 * 0.3) * w - 0.1 * m
    np.testing.assert_allclose(followed(Optim("sgdw", 0.1, 0.9, 0.3))[0], w, rtol=1e-12)


def test_an_arms_own_rates_come_before_the_studys():
    arm = Arm("he_normal", learning_rate=0.02, weight_decay=0.0)
    own = followed(Optim("adamw", 0.01, 0.0, 0.5), arm)
    for mine, wanted in zip(own, followed(Optim("adam", 0.02)), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-12)
    assert arm.name == "he_normal/lr=0.02/wd=0"
    assert Arm("sobel", 0.1, "frozen", momentum=0.5).name == "sobel*0.1/frozen/momentum=0.5"


@pytest.mark.parametrize(
    ("optim", "expected"),
    [
        (Optim(schedule="cosine"), 0.5 * (1 + np.cos(np.pi * np.arange(100) / 100))),
        (Optim(schedule="step", decay_at=[0.25, 0.9]), [1.0] * 25 + [0.1] * 65 + [0.01] * 10),
        (Optim(warmup_steps=4), [0.2, 0.4, 0.6, 0.8] + [1.0] * 96),
        (
            Optim(schedule="cosine", warmup_steps=20),
            [*np.arange(1, 21) / 21, *0.5 * (1 + np.cos(np.pi * np.arange(80) / 80))],
        ),
        (
            Optim(schedule="step", warmup_steps=10, decay_at=[0.5]),
            [*np.arange(1, 11) / 11, *[1.0] * 40, *[0.1] * 50],
        ),
    ],
)
def test_schedules(optim, expected):
    rate = optimizer.schedule(optim, 100)
    np.testing.assert_allclose([rate(step) for step in range(100)], expected, rtol=1e-4, atol=1e-6)


def test_the_schedule_multiplies_decoupled_decay():
    """Without gradients a weight is what decay and schedule leave of it."""
    optim = Optim("sgdw", 0.1, 0.0, 0.5, schedule="step", decay_at=[0.5], decay_factor=0.2)
    study = Study(arms=[Arm("he_normal")], optim=optim, steps=4)
    rule = make_optimizer(study)(rates_of(study.arms[0], optim))
    params = {"kernel": jnp.ones((2, 2))}
    memory = rule.init(params)
    for _ in range(4):
        changes, memory = rule.update({"kernel": jnp.zeros((2, 2))}, memory, params)
        params = jax.tree.map(jnp.add, params, changes)
    np.testing.assert_allclose(params["kernel"], (0.95**2 * 0.99**2) * np.ones((2, 2)), rtol=1e-6)


def small_images(classes: int = 4) -> Images:
    rng = np.random.default_rng(0)
    labels = np.arange(256, dtype=np.int32) % classes
    images = rng.normal(size=(256, 8, 8, 1)).astype(np.float32)
    images[..., 0] += np.linspace(-1, 1, 8) * (labels[:, None, None] - 1.5)
    return Images(images, labels, images[:64], labels[:64], classes, {})


BASE = Study(
    arms=[Arm("he_normal")],
    seeds=2,
    steps=20,
    batch_size=32,
    log_points=3,
    probe_seeds=0,
    bank=Bank(["sobel_x"]),
    model=Model(width=4, deep_width=4),
)


@pytest.mark.parametrize("name", ["adamw", "sgd", "sgdw"])
def test_networks_of_one_population_have_rates_of_their_own(name):
    """Each arm is, to rounding, what a study of that arm alone at those rates trains."""
    momentum = {} if name == "adamw" else {"momentum": 0.9}
    plain = Optim(name, 0.01)
    rates = [{}, {"weight_decay": 0.5}, {"learning_rate": 0.03, **momentum}]
    arms = [Arm("he_normal", **own) for own in rates]
    together = dataclasses.replace(BASE, arms=arms, optim=plain)
    kernels = population.train_population(together, small_images())["kernel"].values
    for row, own in enumerate(rates):
        alone = dataclasses.replace(BASE, optim=dataclasses.replace(plain, **own))
        wanted = population.train_population(alone, small_images())["kernel"].values[0]
        np.testing.assert_allclose(kernels[row], wanted, atol=2e-5)
    moved = np.abs(kernels[:, :, -1] - kernels[:, :, 0]).max((1, 2, 3, 4, 5))
    assert np.all(moved > 1e-3)
    assert not np.allclose(kernels[0, :, -1], kernels[1, :, -1], atol=1e-3)


def movement(width: int, parametrization: str, name: str) -> float:
    """How far the first kernels move in five steps, relative to their start."""
    model = Model(width=width, deep_width=2 * width, parametrization=parametrization, base_width=8)
    model = dataclasses.replace(model, base_deep_width=16)
    optim = Optim(name, 0.005 if name == "adam" else 0.02)
    study = dataclasses.replace(BASE, steps=5, log_points=2, seeds=4, model=model, optim=optim)
    kernel = population.train_population(study, small_images())["kernel"].values
    start, end = kernel[:, :, 0], kernel[:, :, -1]
    return float(np.sqrt(np.mean((end - start) ** 2) / np.mean(start**2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_width_does_not_change_how_far_the_first_layer_moves_in_mup(name):
    """A coordinate check (Yang et al. 2022, appendix D.1), of the first kernels' relative movement."""
    mup, standard = (
        [movement(width, kind, name) for width in (8, 64)] for kind in ("mup", "standard")
    )
    np.testing.assert_allclose(mup[0], standard[0], rtol=1e-5)  # the base width: one and the same
    assert 0.8 < mup[1] / mup[0] < 1.25
    if name == "sgd":  # with Adam the first layer moves alike in both
        assert standard[1] / standard[0] < 0.6
