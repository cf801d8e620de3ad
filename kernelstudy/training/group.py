"""One group of networks, trained from its beginning or a checkpoint to the last step (`train_group`)."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy.analysis import variables
from kernelstudy.analysis.fields import Field
from kernelstudy.config import Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.training import deeper, responses
from kernelstudy.training.checkpoints import Saved
from kernelstudy.training.inputs import initial, mixed, nets_of, task_of
from kernelstudy.training.journal import Journal
from kernelstudy.training.observer import Observer
from kernelstudy.training.parallel import Grid, Population, compiling
from kernelstudy.training.recorder import ResponseRecorder, make_recorder
from kernelstudy.training.train import STEPS_A_CALL, Net, Order, State, Task
from kernelstudy.training.trajectory import mean_loss


class Common(NamedTuple):
    """What the groups of a study share."""

    study: Study
    data: Images
    seen: feed.Variants
    subjects: responses.Subjects
    watched: list[int]  # seeds
    population: Population
    devices: int  # how many
    one: State  # shapes of one network's state
    observer: Observer
    starts: Mapping[str, np.ndarray]  # as in `train_population`
    fields: list[Field]  # of the layers that are watched, as of `Network`


class Inputs(NamedTuple):
    """What the networks of a group see, on the devices."""

    net: Net
    train: Task
    held_out: dict[str, Task]  # by the name of the accuracy on it, which is on its test images


@dataclass
class Group:
    """The networks of some seeds while they train."""

    common: Common
    seeds: list[int]
    grid: Grid
    journal: Journal
    inputs: Inputs
    batches: Iterator[tuple[Task, Order]]
    batch: tuple[Task, Order]  # of the next dispatch
    recorder: ResponseRecorder | None
    advance: Any  # compiled, as `Population.advance`
    evaluate: dict[str, Any]  # as `Population.evaluate`, by the name of the accuracy
    state: State
    began: float  # on `time.perf_counter`, less what training took before the checkpoint

    @property
    def seconds(self) -> float:
        """That training has taken."""
        return time.perf_counter() - self.began

    def dispatch(self, step: int) -> None:
        """Train towards `step`, `STEPS_A_CALL` steps at most."""
        study, done = self.common.study, len(self.journal.losses)
        count = min(STEPS_A_CALL, step - done)
        self.state, losses = self.advance(
            self.state, self.inputs.net, *self.batch, jnp.asarray(count)
        )
        if done + count < study.steps:
            self.batch = next(self.batches)  # while the devices work
        self.journal.losses += list(np.moveaxis(self.fetch(losses), -1, 0)[:count])
        accuracy = float(self.journal.points["test_accuracy"][-1].mean())
        self.common.observer.on_step(done + count, accuracy)

    def log(self, step: int) -> None:
        """Log the networks, which have been trained up to the log point `step`."""
        scores = self.scores(step)
        kernels = self.fetch(self.common.population.first_kernel(self.state.params))
        record = self.record(step, scores)
        self.journal.log(record, kernel=kernels, **scores)
        self.common.observer.on_log(record, kernels)
        if self.recorder:
            self.recorder.add(self.state)
            if step:
                self.recorder.compile()  # while the first steps are made, not before them
            if step >= min(STEPS_A_CALL, self.common.study.steps):
                self.complete()

    def scores(self, step: int) -> dict[str, np.ndarray]:
        """Accuracies (arm, seed) by name: of `eval_images`, after the last step of all images."""
        study, found = self.common.study, {}
        for name, task in self.inputs.held_out.items():
            count = len(task.test_labels)
            count = count if step == study.steps else min(count, study.eval_images)
            accuracy = self.evaluate[name](self.state, self.inputs.net, task, jnp.asarray(count))
            found[name] = self.fetch(accuracy)
        return found

    def record(self, step: int, scores: dict[str, np.ndarray]) -> dict[str, Any]:
        """A log point's line of metrics.jsonl."""
        study, point = self.common.study, len(self.journal.records)
        before = study.log_steps[point - 1] if point else 0
        loss = mean_loss(self.journal.losses, before, step)
        return {
            "step": step,
            "seconds": round(self.seconds, 3),
            **({} if self.seeds == study.seed_list else {"seeds": self.seeds}),
            "train_loss": _by_arm(study, loss, len(self.seeds)),
            **{name: _by_arm(study, of, len(self.seeds)) for name, of in scores.items()},
        }

    def complete(self) -> None:
        """Add to the journal what it still lacks of the log points passed."""
        if self.recorder:
            self.recorder.write(self.journal)

    def leaves(self) -> list[np.ndarray]:
        """Of the state, each (networks, ...): copies, for its memory is given to the next dispatch."""
        whole = self.common.population.fetch(self.state)
        return [np.array(self.grid.own(leaf)) for leaf in jax.tree.leaves(whole)]

    def fetch(self, values: jax.Array) -> np.ndarray:
        """(networks, ...) on the devices as (arm, seed, ...)."""
        return self.grid.folded(self.common.population.fetch(values))


def train_group(
    common: Common, seeds: list[int], journal: Journal, saved: Saved | None
) -> Iterator[Group]:
    """Train all arms of `seeds` and log them in `journal`.

    Args:
        saved: the checkpoint to go on from; None: the beginning.

    Yields:
        The group between two dispatches, when it can be saved or left.
    """
    study, data, population = common.study, common.data, common.population
    grid = Grid(len(study.arms), len(seeds), common.devices)
    inputs = _inputs(common, seeds, grid)
    shapes = population.like(common.one, len(grid.networks))
    watched = sum(seed in common.watched for seed in seeds)
    recorder = make_recorder(population, common.subjects, inputs.net, grid, watched)
    batches = _batches(common, seeds, inputs.train, len(journal.losses))
    batch, one = next(batches), jnp.asarray(1)

    # All compile at the same time. XLA takes them in turn, so what is wanted first comes first.
    if saved:
        start = partial(_restored, saved, shapes, grid)
    else:
        networks = [(arm, seeds[row]) for arm, row in grid.networks]
        start = partial(initial(study, data, common.seen, population, common.starts), networks)
    advance = compiling(population.advance, shapes, inputs.net, *batch, one)
    scored = inputs.held_out["test_accuracy"]
    evaluate = compiling(population.evaluate, shapes, inputs.net, scored, one)

    group = Group(
        common,
        seeds,
        grid,
        journal,
        inputs,
        batches,
        batch,
        recorder,
        state=population.place(start()),
        advance=advance.result(),
        evaluate={
            name: population.evaluate if name == "val_accuracy" else evaluate.result()
            for name in inputs.held_out  # changed test images have the shape of the clean ones
        },
        began=time.perf_counter() - (saved.position.seconds if saved else 0),
    )
    for step in study.log_steps[len(journal.records) :]:
        while len(journal.losses) < step:
            group.dispatch(step)
            if len(journal.losses) < step:
                yield group
        group.log(step)
        yield group


def _inputs(common: Common, seeds: list[int], grid: Grid) -> Inputs:
    study, data, seen, population = common.study, common.data, common.seen, common.population
    task = population.share(task_of(study, data, seen, seeds))
    held_out = {"test_accuracy": task}
    for test, changed in seen.changed.items():
        images = population.share(mixed(changed, data.test_labels)[0])
        held_out[variables.accuracy_on(test)] = task._replace(test_images=images)
    if len(data.val_labels):
        images, labels = population.share(mixed(seen.val, data.val_labels))
        held_out["val_accuracy"] = task._replace(test_images=images, test_labels=labels)
    networks = [(arm, seeds[row]) for arm, row in grid.networks]
    net = nets_of(study, seen, grid.networks)
    net = net._replace(deeper=deeper.held(study, networks, common.one.params))
    return Inputs(population.place(net), task, held_out)


def _batches(
    common: Common, seeds: list[int], task: Task, done: int
) -> Iterator[tuple[Task, Order]]:
    """What the dispatches after `done` steps see, on the devices."""
    study, population = common.study, common.population
    dispatches = feed.feed(
        common.data,
        study.data,
        common.seen,
        seeds=seeds,
        spans=[span for span in spans(study.log_steps) if span[0] >= done],
        room=STEPS_A_CALL,
        batch=study.batch_size,
    )
    for dispatch in dispatches:
        if dispatch.images is not None:
            task = task._replace(train_images=population.share(dispatch.images))
        yield task, population.share(Order(dispatch.rows, dispatch.order))


def _restored(saved: Saved, shapes: State, grid: Grid) -> State:
    """The state in a checkpoint, which holds no copies of networks."""
    rows = grid.rows(grid.seeds)
    leaves = [leaf[rows] for leaf in saved.leaves]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def spans(log_steps: list[int]) -> list[tuple[int, int]]:
    """First step and number of steps of every dispatch: none goes beyond a log point."""
    return [
        (start, min(STEPS_A_CALL, stop - start))
        for first, stop in itertools.pairwise(log_steps)
        for start in range(first, stop, STEPS_A_CALL)
    ]


def _by_arm(study: Study, values: np.ndarray, seeds: int) -> dict[str, list[float | None]]:
    """Values (arm, seed), or one for all, as JSON holds them: None where they are not finite."""
    grid = np.broadcast_to(values, (len(study.arms), seeds))
    return {
        arm.name: [round(float(v), 6) if np.isfinite(v) else None for v in row]
        for arm, row in zip(study.arms, grid, strict=True)
    }
