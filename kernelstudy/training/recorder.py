"""Which networks of a population are watched, and how their answers come back."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy.config import Study
from kernelstudy.data.images import Images
from kernelstudy.training import responses
from kernelstudy.training.parallel import Population
from kernelstudy.training.train import Net, State, Train


def bytes_of_one(study: Study, data: Images, train: Train, one: State) -> int:
    """What watching one network of every arm takes on disk before compression; `one`: its shapes."""
    images = jax.ShapeDtypeStruct((1, responses.image_count(data), *data.image_shape), jnp.float32)
    row = jax.ShapeDtypeStruct((), jnp.int32)
    shapes = jax.eval_shape(train.watch, one.params, one.statistics, row, images)
    return responses.bytes_a_seed(study, shapes)


class Watching(NamedTuple):
    """The networks of a group that are watched, and on what."""

    population: Population
    rows: jax.Array  # of the population; the last fills up to a multiple of the devices
    grid: tuple[int, int]  # arms, seeds
    input_row: jax.Array
    images: jax.Array

    def arguments(self, state: Any) -> tuple:
        """The arguments of `Population.watch`."""
        chosen = self.population.pick((state.params, state.statistics), self.rows)
        return *self.population.place(chosen), self.input_row, self.images

    def shapes(self, state: State) -> tuple:
        """Of `arguments`, from the shapes of the whole population's state."""
        chosen = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (len(self.rows), *leaf.shape[1:]), leaf.dtype, sharding=leaf.sharding
            ),
            (state.params, state.statistics),
        )
        return *chosen, self.input_row, self.images

    def fetch(self, found: dict[str, jax.Array]) -> dict[str, np.ndarray]:
        """name -> (arm, seed, ...)."""
        count = self.grid[0] * self.grid[1]
        whole = self.population.fetch(found)
        return {name: v[:count].reshape(*self.grid, *v.shape[1:]) for name, v in whole.items()}


def watching_of(
    population: Population,
    subjects: responses.Subjects,
    net: Net,
    grid: tuple[int, int],
    seeds: int,
    devices: int,
) -> Watching:
    """The first `seeds` networks of every arm of a group."""
    rows = (np.arange(grid[0])[:, None] * grid[1] + np.arange(seeds)).ravel()
    rows = jnp.asarray(np.pad(rows, (0, -len(rows) % devices), mode="edge"))
    of_nets = population.place(population.pick(net.input_row, rows))
    images = population.share(subjects.images)
    return Watching(population, rows, (grid[0], seeds), of_nets, images)
