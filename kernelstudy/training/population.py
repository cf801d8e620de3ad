"""Train all arms x seeds of a study together and log them over time."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from kernelstudy.analysis import patch_pca
from kernelstudy.config import Study
from kernelstudy.training import initializers
from kernelstudy.training.data import Images
from kernelstudy.training.train import (
    STEPS_A_CALL,
    Net,
    Task,
    first_kernel_shape,
    make_population,
    make_train,
)

PROBES = 8
# Streams of random numbers that belong to a seed, apart from its parameters'.
_ORDER, _LABELS = 0, 1
_FIRST_LAYER = 1
_FLOAT16 = float(np.finfo(np.float16).max)


def train_population(
    study: Study,
    data: Images,
    *,
    on_step: Callable[[int, float], None] = lambda step, accuracy: None,
    on_log: Callable[[dict[str, Any]], None] = lambda record: None,
) -> xr.Dataset:
    """Train every network of `study` and return the logged trajectory.

    Seed s gives every arm the same batches in the same order and the same initial values in all
    layers but the first, so that arms are paired by seed. A network whose loss stops being finite
    is marked as diverged; the others go on.

    Args:
        study: checked settings.
        data: what to train on.
        on_step: called with (steps done, mean test accuracy when last logged) as training goes on.
        on_log: called at each log point with a record that JSON can hold.

    Returns:
        kernel (arm, seed, step, ky, kx, cin, cout) float32, the first layer's;
        train_loss (arm, seed, step), the mean over the minibatches since the log point before, each
        taken before its update (at step 0: of the first minibatch); test_accuracy (arm, seed, step);
        diverged (arm, seed) bool; feature_map (arm, step, probe, y, x, channel) float16, layer 2 of
        the first seed's network after the activation, before pooling; probe_image
        (probe, row, column, colour) and probe_label (probe); patch_eigenvalue (component) and
        patch_basis (component, ky, kx) of the training images, colours averaged.
    """
    devices = choose_devices(study)
    train = make_train(study, data)
    population = make_population(train, devices)
    nets = [(arm, row) for arm in range(len(study.arms)) for row in range(len(study.seed_list))]
    # The networks must divide by the devices; copies of the last fill up and are dropped.
    filled = nets + [nets[-1]] * (-len(nets) % len(devices))
    grid = (len(study.arms), len(study.seed_list))

    def on_grid(values: jax.Array) -> np.ndarray:
        return np.asarray(values)[: len(nets)].reshape(*grid, *values.shape[1:])

    task = population.share(_task(study, data))
    probes = data.test_images[probe_rows(data.test_labels)]
    state = population.init(*_initial_values(study, data, filled))
    state, net = population.place((state, _nets(study, filled)))
    orders = [
        batch_order(seed, len(data.train_labels), study.batch_size) for seed in study.seed_list
    ]
    losses: list[np.ndarray] = []  # (arm, seed) of every step done
    kernels, accuracies, maps = [], [], []
    started, before = time.perf_counter(), 0
    for step in study.log_steps:
        while (done := len(losses)) < step:
            count = min(STEPS_A_CALL, step - done)
            order = np.zeros((grid[1], STEPS_A_CALL, study.batch_size), np.int32)
            for row, batches in enumerate(orders):
                order[row, :count] = list(itertools.islice(batches, count))
            state, loss = population.advance(
                state, net, task, population.share(order), jnp.asarray(count)
            )
            losses += list(np.moveaxis(on_grid(loss), -1, 0)[:count])
            on_step(len(losses), float(accuracies[-1].mean()))
        kernels.append(on_grid(state.params["convs"][0]["kernel"][...]))
        accuracies.append(on_grid(population.evaluate(state, task)))
        of_first_seed = jax.tree.map(lambda leaf: on_grid(leaf)[:, 0], state.params)
        maps.append(np.asarray(population.feature_maps(of_first_seed, jnp.asarray(probes))))
        on_log(
            {
                "step": step,
                "seconds": round(time.perf_counter() - started, 3),
                "train_loss": _by_arm(study, _mean_loss(losses, before, step)),
                "test_accuracy": _by_arm(study, accuracies[-1]),
            }
        )
        before = step

    edges = [0, *study.log_steps]
    mean_loss = [_mean_loss(losses, a, b) for a, b in itertools.pairwise(edges)]
    mean_loss[0] = losses[0]
    size = study.model.kernel_size
    eigenvalues, axes = patch_pca(data.train_images.mean(-1), size)
    grid_dims, image_dims = ("arm", "seed"), ("probe", "row", "column", "colour")
    return xr.Dataset(
        {
            "kernel": (
                (*grid_dims, "step", "ky", "kx", "cin", "cout"),
                np.stack(kernels, 2).astype(np.float32),
            ),
            "train_loss": ((*grid_dims, "step"), np.stack(mean_loss, -1).astype(np.float32)),
            "test_accuracy": ((*grid_dims, "step"), np.stack(accuracies, -1).astype(np.float32)),
            "diverged": (grid_dims, ~np.isfinite(losses).all(0)),
            "feature_map": (
                ("arm", "step", "probe", "y", "x", "channel"),
                np.clip(np.stack(maps, 1), -_FLOAT16, _FLOAT16).astype(np.float16),
            ),
            "probe_image": (image_dims, probes),
            "patch_eigenvalue": ("component", eigenvalues),
            "patch_basis": (("component", "ky", "kx"), axes.reshape(-1, size, size)),
            "probe_label": ("probe", data.test_labels[probe_rows(data.test_labels)]),
        },
        coords={
            "arm": [arm.name for arm in study.arms],
            "seed": study.seed_list,
            "step": study.log_steps,
        },
    )


def _nets(study: Study, nets: list[tuple[int, int]]) -> Net:
    arms = study.arms
    return Net(
        seed_row=jnp.array([row for _, row in nets]),
        label_row=jnp.array([1 + row if arms[a].labels == "shuffled" else 0 for a, row in nets]),
        frozen=jnp.array([arms[a].first_layer == "frozen" for a, _ in nets]),
    )


def _task(study: Study, data: Images) -> Task:
    shuffled = [_stream(s, _LABELS).permutation(data.train_labels) for s in study.seed_list]
    return Task(
        train_images=jnp.asarray(data.train_images),
        label_sets=jnp.asarray(np.stack([data.train_labels, *shuffled])),
        test_images=jnp.asarray(data.test_images),
        test_labels=jnp.asarray(data.test_labels),
    )


def _initial_values(
    study: Study, data: Images, nets: list[tuple[int, int]]
) -> tuple[jax.Array, jax.Array]:
    """Keys and first-layer kernels of networks; both depend on the seed alone, so arms are paired."""
    keys = jnp.stack([jax.random.key(seed) for seed in study.seed_list])
    own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, _FIRST_LAYER)
    shape = first_kernel_shape(study, data)
    kernels = []
    for arm in study.arms:
        draw = initializers.first_layer(arm.init, arm.scale)
        kernels.append(jnp.stack([draw(key, shape, jnp.float32) for key in own]))
    arms, rows = np.array(nets).T
    return keys[rows], jnp.stack(kernels)[arms, rows]


def _mean_loss(losses: list[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Mean over steps start .. stop - 1; NaN where there are none."""
    if start == stop:
        return np.full_like(losses[0], np.nan) if losses else np.array(np.nan)
    return np.mean(losses[start:stop], axis=0, dtype=float)


def choose_devices(study: Study) -> list[Any]:
    """The local devices that share the networks: all, or the first `study.devices`."""
    return jax.local_devices()[: study.devices]


def batch_order(seed: int, examples: int, batch: int) -> Iterator[np.ndarray]:
    """Minibatches of `seed` without end: rows (batch,) of a fresh permutation each epoch."""
    epoch = 0
    while True:
        rows = _stream(seed, _ORDER, epoch).permutation(examples).astype(np.int32)
        yield from rows[: examples // batch * batch].reshape(-1, batch)
        epoch += 1


def probe_rows(labels: np.ndarray) -> np.ndarray:
    """The first `PROBES` held-out images of different classes, by class; all from class 0 on."""
    classes = np.unique(labels)[:PROBES]
    return np.array([np.flatnonzero(labels == c)[0] for c in classes])


def _stream(*name: int) -> np.random.Generator:
    return np.random.default_rng(name)


def _by_arm(study: Study, values: np.ndarray) -> dict[str, list[float | None]]:
    grid = np.broadcast_to(values, (len(study.arms), len(study.seed_list)))
    return {
        arm.name: [round(float(v), 6) if np.isfinite(v) else None for v in row]
        for arm, row in zip(study.arms, grid, strict=True)
    }
