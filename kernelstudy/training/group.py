"""One group of networks, trained from its beginning or a checkpoint to the last step (`train_group`)."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy.config import Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.training import responses
from kernelstudy.training.checkpoints import Saved
from kernelstudy.training.inputs import initial, mixed, nets_of, task_of
from kernelstudy.training.journal import Journal
from kernelstudy.training.observer import Observer
from kernelstudy.training.parallel import Population, compiling, in_background, shapes_of_one
from kernelstudy.training.recorder import watching_of
from kernelstudy.training.train import STEPS_A_CALL, Order, State, Task
from kernelstudy.training.trajectory import mean_loss


class Common(NamedTuple):
    """What the groups of a study share. `watched`: seeds; `devices`: how many."""

    study: Study
    data: Images
    seen: feed.Variants
    subjects: responses.Subjects
    watched: list[int]
    population: Population
    devices: int


def train_group(
    common: Common,
    seeds: list[int],
    journal: Journal,
    saved: Saved | None,
    *,
    pause: Callable[[Callable[[], None], State, float], None],
    observer: Observer,
) -> None:
    """Train all arms of `seeds` and log them in `journal`.

    Args:
        common: of all groups.
        saved: the checkpoint to go on from; None: the beginning.
        pause: called between two dispatches with a function that adds to the journal what it still
            lacks, the networks and the seconds of training.
        observer: told of every step and log point.
    """
    study, data, seen, subjects, watched, population, devices = common
    nets = [(arm, row) for arm in range(len(study.arms)) for row in range(len(seeds))]
    # The networks must divide by the devices; copies of the last fill up and are dropped.
    filled = nets + [nets[-1]] * (-len(nets) % devices)
    grid = (len(study.arms), len(seeds))

    def on_grid(values: jax.Array) -> np.ndarray:
        return population.fetch(values)[: len(nets)].reshape(*grid, *values.shape[1:])

    task = population.share(task_of(study, data, seen, seeds))
    held_out = {"test_accuracy": task}
    if len(data.val_labels):
        images, labels = population.share(mixed(seen.val, data.val_labels))
        held_out["val_accuracy"] = task._replace(test_images=images, test_labels=labels)
    net = population.place(nets_of(study, seen, filled))
    count = sum(seed in watched for seed in seeds)
    watching = watching_of(population, subjects, net, grid, count, devices) if count else None
    begun = len(journal.losses)
    ahead = [span for span in spans(study.log_steps) if span[0] >= begun]
    dispatches = feed.feed(
        data,
        study.data,
        seen,
        seeds=seeds,
        spans=ahead,
        room=STEPS_A_CALL,
        batch=study.batch_size,
    )

    def next_batches(task: Task) -> tuple[Task, Order]:
        dispatch = next(dispatches)
        if dispatch.images is not None:
            task = task._replace(train_images=population.share(dispatch.images))
        return task, population.share(Order(dispatch.rows, dispatch.order))

    (task, order), one = next_batches(task), jnp.asarray(1)
    # All compile at the same time. XLA takes them in turn, so what is wanted first comes first.
    start = initial(study, data, seen, population) if saved is None else None
    shapes = population.like(shapes_of_one(population, study, data), len(filled))
    advancing = compiling(population.advance, shapes, net, task, order, one)
    evaluating = compiling(population.evaluate, shapes, net, held_out["test_accuracy"], one)
    if start is None:
        assert saved is not None
        rows = [*range(len(nets)), *[len(nets) - 1] * (len(filled) - len(nets))]
        leaves = [leaf[rows] for leaf in saved.leaves]
        state = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    else:
        state = start([(arm, seeds[row]) for arm, row in filled])
    state = population.place(state)
    advance, evaluate = advancing.result(), evaluating.result()
    score = {"test_accuracy": evaluate, "val_accuracy": population.evaluate}
    losses = journal.losses  # (arm, seed) of every step done
    started = time.perf_counter() - (saved.position.seconds if saved else 0)
    before = study.log_steps[len(journal.records) - 1] if journal.records else 0
    asked: list[tuple] = []  # what `watch` has still to be called with

    @cache
    def showing() -> Future[Any]:
        assert watching is not None
        like = watching.shapes(shapes)
        # Traced in the background, too, for here the devices would stand still meanwhile.
        return in_background(lambda: population.watch.lower(*like).compile())

    def answer() -> None:
        while watching and asked:
            journal.show(**watching.fetch(showing().result()(*asked.pop(0))))

    def rest() -> None:
        """Between two dispatches."""
        pause(answer, state, time.perf_counter() - started)

    for step in study.log_steps[len(journal.records) :]:
        while (done := len(losses)) < step:
            count = min(STEPS_A_CALL, step - done)
            state, loss = advance(state, net, task, order, jnp.asarray(count))
            if done + count < study.steps:
                task, order = next_batches(task)  # while the devices work
            losses += list(np.moveaxis(on_grid(loss), -1, 0)[:count])
            observer.on_step(len(losses), float(journal.points["test_accuracy"][-1].mean()))
            if len(losses) < step:
                rest()
        scores = {}
        for name, part in held_out.items():
            count = len(part.test_labels)
            count = count if step == study.steps else min(count, study.eval_images)
            scores[name] = on_grid(score[name](state, net, part, jnp.asarray(count)))
        kernel = on_grid(state.params["convs"][0]["kernel"][...])
        record = {
            "step": step,
            "seconds": round(time.perf_counter() - started, 3),
            **({} if seeds == study.seed_list else {"seeds": seeds}),
            "train_loss": _by_arm(study, mean_loss(losses, before, step), len(seeds)),
            **{name: _by_arm(study, of, len(seeds)) for name, of in scores.items()},
        }
        journal.log(record, kernel=kernel, **scores)
        observer.on_log(record, kernel)
        before = step
        if watching:
            asked.append(watching.arguments(state))
            if step:
                showing()  # is compiled while the first steps are made, not before them
            if step >= min(STEPS_A_CALL, study.steps):
                answer()
        rest()


def spans(log_steps: list[int]) -> list[tuple[int, int]]:
    """First step and number of steps of every dispatch: none goes beyond a log point."""
    return [
        (start, min(STEPS_A_CALL, stop - start))
        for first, stop in itertools.pairwise(log_steps)
        for start in range(first, stop, STEPS_A_CALL)
    ]


def _by_arm(study: Study, values: np.ndarray, seeds: int) -> dict[str, list[float | None]]:
    grid = np.broadcast_to(values, (len(study.arms), seeds))
    return {
        arm.name: [round(float(v), 6) if np.isfinite(v) else None for v in row]
        for arm, row in zip(study.arms, grid, strict=True)
    }
