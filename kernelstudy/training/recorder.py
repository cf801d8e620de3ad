"""What the first networks of each arm of a group show at its log points, recorded (`ResponseRecorder`)."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from kernelstudy.config import Study
from kernelstudy.data.images import Images
from kernelstudy.training import responses
from kernelstudy.training.journal import Journal
from kernelstudy.training.parallel import Grid, Population, in_background
from kernelstudy.training.train import Net, State, Train


def bytes_of_one(study: Study, data: Images, train: Train, one: State) -> int:
    """What watching one network of every arm takes on disk before compression; `one`: its shapes."""
    images = jax.ShapeDtypeStruct((1, responses.image_count(data), *data.image_shape), jnp.float32)
    row = jax.ShapeDtypeStruct((), jnp.int32)
    shapes = jax.eval_shape(train.watch, one.params, one.statistics, row, images)
    return responses.bytes_a_seed(study, shapes)


@dataclass
class ResponseRecorder:
    """Records what some networks of a group show at its log points.

    They are copied at a log point, and what they show is computed later: its program compiles during the
    first steps, not before them.
    """

    population: Population
    grid: Grid  # of these networks
    rows: jax.Array  # of these networks in the group's population
    input_row: jax.Array
    images: jax.Array  # (V, n, H, W, C)
    # By log point, the arguments of `Population.watch`.
    copies: list[tuple] = field(default_factory=list)
    program: Future[Any] | None = None

    def add(self, state: State) -> None:
        """Copy the networks at a log point."""
        chosen = self.population.pick((state.params, state.statistics), self.rows)
        self.copies.append((*self.population.place(chosen), self.input_row, self.images))

    def compile(self) -> Future[Any]:
        """The program, which begins to compile when this is first called, after `add`."""
        if self.program is None:
            like, watch = self.copies[0], self.population.watch
            # Traced in the background, too, for here the devices would stand still meanwhile.
            self.program = in_background(lambda: watch.lower(*like).compile())
        return self.program

    def write(self, journal: Journal) -> None:
        """Add to `journal` what the copies show."""
        while self.copies:
            shown = self.population.fetch(self.compile().result()(*self.copies.pop(0)))
            journal.show(**{name: self.grid.folded(of) for name, of in shown.items()})


def make_recorder(
    population: Population,
    subjects: responses.Subjects,
    net: Net,
    group: Grid,
    seeds: int,
) -> ResponseRecorder | None:
    """Of the first `seeds` networks of every arm of a group, whose `net` is on the devices; None of none."""
    if not seeds:
        return None
    grid = group._replace(seeds=seeds)
    rows = jnp.asarray(grid.rows(group.seeds))
    input_row = population.place(population.pick(net.input_row, rows))
    images = population.share(subjects.images)
    return ResponseRecorder(population, grid, rows, input_row, images)
