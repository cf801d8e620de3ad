"""Part 3: a convolution trained to imitate an operator must turn out to be that operator."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from scipy.ndimage import correlate
from simulate import NETWORKS, photographs

from kernelstudy.analysis import OPERATORS, judge, patch_pca, population_a_interval
from kernelstudy.config import Arm, Optim, Study
from kernelstudy.handcrafted import family
from kernelstudy.training import ops
from kernelstudy.training.optimizer import make_optimizer, rates_of

CROP, BATCH, NOISE = 48, 8, 0.25
RATES = (0.02, 0.002)  # the second for the last third, to settle
TARGETS = ("Prewitt", "Sobel", "Scharr")


def crops() -> np.ndarray:
    """All photographs cut into squares, (n, CROP, CROP)."""
    tiles = [
        image[y : y + CROP, x : x + CROP]
        for image in photographs()
        for y in range(0, 300 - CROP + 1, CROP)
        for x in range(0, 400 - CROP + 1, CROP)
    ]
    return np.stack(tiles)


def run(steps: int, *, targets=TARGETS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The result for each operator, and a along the way."""
    images = crops()
    basis = patch_pca(photographs(), 3)[1]
    results, paths = [], []
    for name in targets:
        kernels, logged = _train(images, OPERATORS[name], steps)
        for step, value in zip(logged, kernels, strict=True):
            found = population_a_interval(value)
            bounds = {"low": found.low, "high": found.high, "resolved": found.resolved}
            paths.append({"operator": name, "step": step, "a_hat": found.a} | bounds)
        verdict = judge(kernels[-1], start=kernels[0], patch_basis=basis)
        results.append(
            {
                "operator": name,
                "a": OPERATORS[name],
                "a_hat": verdict.a.a,
                "low": verdict.a.low,
                "high": verdict.a.high,
                "relative_error": verdict.a.a / OPERATORS[name] - 1,
                "within_1_percent": abs(verdict.a.a / OPERATORS[name] - 1) < 0.01,
                "interval_names": " or ".join(verdict.a.names()),
                "tier": verdict.tier,
                "called": verdict.operator,
            }
        )
        print(f"  {name}", flush=True)
    return pd.DataFrame(results), pd.DataFrame(paths)


def _train(images: np.ndarray, a: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Train NETWORKS convolutions at once; kernels (log, net, 2, 3, 3) and their steps."""
    table = ops.IMPLS[ops.default_impl()]
    arms = [Arm(init="he_normal")]
    optimizers = [
        make_optimizer(Study(arms=arms, optim=optim))(rates_of(arms[0], optim))
        for optim in (Optim(name="adam", learning_rate=rate) for rate in RATES)
    ]
    operator = np.stack([family(a), family(a).T])
    operator /= np.linalg.norm(operator[0])
    response = np.stack([[correlate(i, k, mode="constant") for k in operator] for i in images], 0)
    response = np.moveaxis(response, 1, -1)
    # each network has noise of its own: an interval over networks knows nothing of what they share
    shape = (NETWORKS, *response.shape)
    noise = np.random.default_rng(3).standard_normal(shape, np.float32) * NOISE * response.std()
    inputs = jnp.asarray(images[..., None], jnp.float32)
    targets = jnp.asarray(response + noise, jnp.float32)

    def loss(kernel, chosen, wanted):
        output = table.leave(table.conv(table.enter(inputs[chosen]), kernel, 1))
        return jnp.mean((output - wanted[chosen]) ** 2)

    @partial(jax.jit, static_argnums=3)
    def advance(kernels, memory, keys, stage):
        def one(kernel, state, key, wanted):
            chosen = jax.random.choice(key, len(images), (BATCH,), replace=False)
            updates, state = optimizers[stage].update(jax.grad(loss)(kernel, chosen, wanted), state)
            return optax.apply_updates(kernel, updates), state

        return jax.vmap(one)(kernels, memory, keys, targets)

    keys = jax.random.split(jax.random.key(0), NETWORKS)
    kernels = jax.vmap(lambda k: jax.nn.initializers.he_normal()(k, (3, 3, 1, 2)))(keys)
    memory = jax.vmap(optimizers[0].init)(kernels)
    wanted = np.unique(np.r_[0, np.geomspace(1, steps, 16).round().astype(int)])
    logged = []
    for step in range(steps + 1):
        if step in wanted:
            logged.append(np.moveaxis(np.asarray(kernels, float)[:, :, :, 0], -1, 1))
        step_keys = jax.vmap(lambda k, s=step: jax.random.fold_in(k, s))(keys)
        kernels, memory = advance(kernels, memory, step_keys, int(step >= steps * 2 / 3))
    return np.stack(logged), wanted
