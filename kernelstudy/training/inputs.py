"""What the networks of a study start from and what they see."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy.config import Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.system.errors import ConfigError
from kernelstudy.training import deeper, initializers, responses
from kernelstudy.training.optimizer import Rates, rates_of
from kernelstudy.training.parallel import Population, compiling, for_once
from kernelstudy.training.train import Net, State, Task, first_kernel_shape

# Streams of random numbers that belong to a seed, apart from its parameters'.
_LABELS = 1  # 0 is its order of examples, data.feed.ORDER
_FIRST_LAYER = 1


def initial(
    study: Study,
    data: Images,
    seen: feed.Variants,
    population: Population,
    starts: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Callable[[list[tuple[int, int]]], State]:
    """A function of networks (arm, seed) that returns their initial values, stacked.

    They depend on the seed alone, so arms are paired. Each network is drawn for itself by the same
    programs, so that no bit depends on how many there are. `starts`: as in `train_population`.

    Raises:
        ConfigError: a network of one's own does not start its first layer as the arm says.
    """
    shape = first_kernel_shape(study, data)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def of_kind(init: str, scale: float, kernels: tuple[str, ...], row: int):
        draw = initializers.first_layer(init, scale, seen.sample[row], kernels)

        @partial(jax.jit, compiler_options=for_once())
        def kernel(key: jax.Array) -> jax.Array:
            # Runs that differ in `precision` alone start from the same kernels.
            with jax.default_matmul_precision("float32"):
                return draw(jax.random.fold_in(key, _FIRST_LAYER), shape, jnp.float32)

        return compiling(kernel, key)

    rows = seen.row_of_arm.tolist()
    kinds = [
        (arm.init, arm.scale, tuple(arm.kernels), row)
        for arm, row in zip(study.arms, rows, strict=True)
    ]
    drawn = [kind for kind, arm in zip(kinds, study.arms, strict=True) if not arm.reads]
    draws = {kind: of_kind(*kind) for kind in dict.fromkeys(drawn)}
    init = compiling(population.init, key, jax.ShapeDtypeStruct(shape, jnp.float32))

    def first_kernel(index: int, seed: int) -> Any:
        arm = study.arms[index]
        if arm.reads:
            return np.float32(arm.scale) * starts[arm.name][study.seed_list.index(seed)]
        return draws[kinds[index]].result()(jax.random.key(seed))

    def begun(index: int, seed: int) -> State:
        state = init.result()(jax.random.key(seed), first_kernel(index, seed))
        return state._replace(params=deeper.started(study.arms[index], seed, state.params))

    def stacked(nets: list[tuple[int, int]]) -> State:
        states = [begun(arm, seed) for arm, seed in nets]
        state = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        if study.model.own and not np.array_equal(
            population.first_kernel(state.params), np.stack([first_kernel(*net) for net in nets])
        ):
            raise ConfigError(
                f"model: {study.model.own}'s first convolution does not start from what first_init draws: give "
                "it kernel_init=first_init, and leave the kernel as it is"
            )
        return state

    return stacked


def nets_of(study: Study, seen: feed.Variants, nets: list[tuple[int, int]]) -> Net:
    arms = study.arms
    rates = [rates_of(arms[a], study.optim) for a, _ in nets]
    frozen: Any = [arms[a].frozen_share == 1 for a, _ in nets]
    if any(0 < arm.frozen_share < 1 for arm in arms):
        channels = np.arange(study.model.width)
        frozen = np.stack([channels < arms[a].frozen_of(len(channels)) for a, _ in nets])
    return Net(
        seed_row=jnp.array([row for _, row in nets]),
        input_row=jnp.array([seen.row_of_arm[a] for a, _ in nets]),
        label_row=jnp.array([1 + row if arms[a].labels == "shuffled" else 0 for a, row in nets]),
        frozen=jnp.array(frozen),
        rates=Rates(*(jnp.array(of, float) for of in zip(*rates, strict=True))),
    )


def task_of(study: Study, data: Images, seen: feed.Variants, seeds: list[int]) -> Task:
    labels = [data.train_labels]
    if any(arm.labels == "shuffled" for arm in study.arms):
        labels += [
            np.random.default_rng((seed, _LABELS)).permutation(data.train_labels) for seed in seeds
        ]
    test_images, test_labels = mixed(seen.test, data.test_labels)
    return Task(
        # Where dispatches bring their images, one stands in for them.
        train_images=seen.sample[:, :1] if seen.train is None else seen.train,
        label_sets=np.stack(labels),
        test_images=test_images,
        test_labels=test_labels,
    )


def mixed(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(variants, M, ...) images and (M,) labels in a fixed random order, so that the first few are a fair
    sample of all."""
    order = responses.mixed_order(len(labels))
    return images[:, order], labels[order]
