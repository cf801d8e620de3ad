"""Train all arms x seeds of a study together and log them over time."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy.config import ConfigError, Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.stopping import Stopped
from kernelstudy.training import agreement, initializers, watch
from kernelstudy.training.checkpoints import Position, Saved, Store
from kernelstudy.training.journal import Journal
from kernelstudy.training.parallel import (
    COMPILE_QUICKLY,
    Population,
    bytes_a_network,
    compiling,
    make_population,
    shapes_of_one,
)
from kernelstudy.training.train import (
    STEPS_A_CALL,
    Net,
    Order,
    State,
    Task,
    first_kernel_shape,
    make_train,
)
from kernelstudy.training.trajectory import Log, mean_loss, trajectory
from kernelstudy.training.watching import bytes_of_one, watching_of

if TYPE_CHECKING:
    import xarray as xr

# Streams of random numbers that belong to a seed, apart from its parameters'.
_LABELS = 1  # 0 is its order of examples, data.feed.ORDER
_FIRST_LAYER = 1


def train_population(
    study: Study,
    data: Images,
    *,
    on_step: Callable[[int, float], None] = lambda step, accuracy: None,
    on_log: Callable[[dict[str, Any]], None] = lambda record: None,
    on_resume: Callable[[str, float, list[dict[str, Any]]], None] = lambda *_: None,
    store: Store | None = None,
    signal: Callable[[], int] = lambda: 0,
    on_start: Callable[[str], None] = lambda told: None,
    on_kernels: Callable[[dict[str, Any], np.ndarray], None] = lambda record, kernels: None,
) -> "xr.Dataset":
    """Train every network of `study` and return the logged trajectory.

    Seed s gives every arm the same batches in the same order and the same initial values in all
    layers but the first, so that arms are paired by seed. A network whose loss stops being finite
    is marked as diverged; the others go on.

    Args:
        study: checked settings.
        data: what to train on.
        on_step: called with (steps done, mean test accuracy when last logged) as training goes on.
        on_log: called at each log point with a record that JSON can hold. Networks that do not fit
            `study.memory_gib` together are trained in groups of seeds, one group after another, and
            each group logs for itself; its records name its seeds.
        on_resume: called first where `store` holds a checkpoint, with where that is in words, the
            seconds of training and all records logged up to it. The rest is, bit for bit, what it would have
            been.
        store: where the first process keeps checkpoints; None (in the others, too) keeps none.
        signal: the signal that asks this process to end, 0 while there is none.
        on_start: called before training with a sentence on what is logged of deeper layers, and its size.
        on_kernels: called with a record, as `on_log`, and the first-layer kernels
            (arm, seed, ky, kx, cin, cout).

    Returns:
        kernel (arm, seed, step, ky, kx, cin, cout) float32, the first layer's;
        train_loss (arm, seed, step), the mean over the minibatches since the log point before, each
        taken before its update (at step 0: of the first minibatch); test_accuracy (arm, seed, step), of the
        last step on all test images, before it on `eval_images` of them; and
        val_accuracy where images were held out to validate;
        diverged (arm, seed) bool; of the first `probe_seeds` networks of each arm and every layer i
        feature_map_i, grating_i, ... (arm, probe_seed, step, ...) after the activation and before
        pooling, see `watch.WHAT`; probe_image (probe, row, column, colour) with probe_label and
        probe_part; example_image and example_label; patch_eigenvalue (component) and
        patch_basis (component, ky, kx) of training images, colours averaged; the images and these
        two have a leading axis of arms where arms see their images in several variants.

    Raises:
        Stopped: a signal asked for it; a checkpoint has been made.
    """
    devices = choose_devices(study)
    train = make_train(study, data)
    population = make_population(train, devices)
    seen = feed.variants(data, study.data, [arm.inputs for arm in study.arms])
    one = shapes_of_one(population, study, data)
    subjects = watch.subjects(data, seen)
    size = bytes_of_one(study, data, train, one)
    watched = study.seed_list[: watch.watched_seeds(study, size)]
    on_start(watch.told(study, size))

    def on_point(record: dict[str, Any], kernels: np.ndarray) -> None:
        on_log(record)
        on_kernels(record, kernels)

    begun = _restored(study, one, store)
    if begun:
        position, _, journals = begun
        groups = position.groups
        records = [record for journal in journals for record in journal.records]
        on_resume(_where(study, position), position.seconds, records)
    else:
        groups, journals = _groups(study, bytes_a_network(one, study, data)), []
    logs = []
    for index, seeds in enumerate(groups):
        saved = begun if begun and index == begun.position.group else None
        if index >= len(journals):
            journals.append(Journal())
        if len(journals[index].losses) < study.steps:
            pause = partial(_pause, study, store, signal, population, groups, journals)
            _train_group(
                study,
                data,
                seen,
                subjects,
                watched,
                population,
                len(devices),
                seeds,
                journals[index],
                saved,
                pause,
                on_step,
                on_point,
            )
        logs.append(_log(journals[index], _held_out(data)))
    if store:
        store.close()
    return trajectory(study, data, seen, subjects, watched, logs)


def _train_group(
    study: Study,
    data: Images,
    seen: feed.Variants,
    subjects: watch.Subjects,
    watched: list[int],
    population: Population,
    devices: int,
    seeds: list[int],
    journal: Journal,
    saved: Saved | None,
    pause: Callable[[Callable[[], None], State, float], None],
    on_step: Callable[[int, float], None],
    on_point: Callable[[dict[str, Any], np.ndarray], None],
) -> None:
    """All arms of `seeds`, from initialisation or a checkpoint to the last step, logged in `journal`."""
    nets = [(arm, row) for arm in range(len(study.arms)) for row in range(len(seeds))]
    # The networks must divide by the devices; copies of the last fill up and are dropped.
    filled = nets + [nets[-1]] * (-len(nets) % devices)
    grid = (len(study.arms), len(seeds))

    def on_grid(values: jax.Array) -> np.ndarray:
        return population.fetch(values)[: len(nets)].reshape(*grid, *values.shape[1:])

    task = population.share(_task(study, data, seen, seeds))
    held_out = {"test_accuracy": task}
    if len(data.val_labels):
        images, labels = population.share(_mixed(seen.val, data.val_labels))
        held_out["val_accuracy"] = task._replace(test_images=images, test_labels=labels)
    net = population.place(_nets(study, seen, filled))
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
    initial = _initial(study, data, seen, population) if saved is None else None
    shapes = population.like(shapes_of_one(population, study, data), len(filled))
    advancing = compiling(population.advance, shapes, net, task, order, one)
    evaluating = compiling(population.evaluate, shapes, net, held_out["test_accuracy"], one)
    if initial is None:
        assert saved is not None
        rows = [*range(len(nets)), *[len(nets) - 1] * (len(filled) - len(nets))]
        leaves = [leaf[rows] for leaf in saved.leaves]
        state = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    else:
        state = initial([(arm, seeds[row]) for arm, row in filled])
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
        return compiling(population.watch, *watching.shapes(shapes))

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
            on_step(len(losses), float(journal.points["test_accuracy"][-1].mean()))
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
        on_point(record, kernel)
        before = step
        if watching:
            asked.append(watching.arguments(state))
            if step:
                showing()  # is compiled while the first steps are made, not before them
            if step >= min(STEPS_A_CALL, study.steps):
                answer()
        rest()


def _pause(
    study: Study,
    store: Store | None,
    signal: Callable[[], int],
    population: Population,
    groups: list[list[int]],
    journals: list[Journal],
    complete: Callable[[], None],
    state: State,
    seconds: float,
) -> None:
    """Between two dispatches: a checkpoint if it is time for one, the end if a signal asks for it.

    `complete` adds to the journal what it still lacks.
    """
    group, step = len(journals) - 1, len(journals[-1].losses)
    due = store is not None and step < study.steps and store.due()
    number, due = agreement.most(signal(), due)
    position = Position(groups, group, step, seconds)
    if number or due:
        complete()
        nets = len(study.arms) * len(groups[group])
        # Copies, for the memory of `state` is given to the next dispatch.
        leaves = [np.array(leaf[:nets]) for leaf in jax.tree.leaves(population.fetch(state))]
        if store:
            store.save(position, leaves, journals)
    if number:
        if store:
            store.close()
        raise Stopped(number, _where(study, position))


def _restored(study: Study, one: State, store: Store | None) -> Saved | None:
    """The checkpoint to go on from, the same in every process; `one`: shapes of one network's state."""
    abstract, arms = jax.tree.leaves(one), len(study.arms)
    found = store.restore(abstract, arms=arms, seeds=study.seed_list) if store else None
    return agreement.leaders_checkpoint(found, abstract)


def _where(study: Study, position: Position) -> str:
    """In words."""
    of = f" (group {position.group + 1} of {len(position.groups)})"
    return f"step {position.step:,} of {study.steps:,}{of if len(position.groups) > 1 else ''}"


def _held_out(data: Images) -> tuple[str, ...]:
    return ("test_accuracy", *(("val_accuracy",) if len(data.val_labels) else ()))


def _log(journal: Journal, accuracies: tuple[str, ...]) -> Log:
    """A group's journal as arrays."""
    points = journal.points
    shown = [name for name in points if name not in ("kernel", *accuracies)]
    return Log(
        np.stack(points["kernel"], 2),
        {name: np.stack(points[name], -1) for name in accuracies},
        np.stack(journal.losses),
        {name: np.stack(points[name], 2) for name in shown},
    )


def spans(log_steps: list[int]) -> list[tuple[int, int]]:
    """First step and number of steps of every dispatch: none goes beyond a log point."""
    return [
        (start, min(STEPS_A_CALL, stop - start))
        for first, stop in itertools.pairwise(log_steps)
        for start in range(first, stop, STEPS_A_CALL)
    ]


def _groups(study: Study, bytes_each: int) -> list[list[int]]:
    """The seeds in groups whose networks (all arms) fit `memory_gib` together; one group, if it does.

    Groups are trained one after another. What a network computes does not depend on its group.
    """
    seeds, limit = study.seed_list, study.memory_gib * 2**30
    fit = int(limit // (bytes_each * len(study.arms)))
    if fit < 1:
        needed = bytes_each * len(study.arms) / 2**30
        raise ConfigError(
            f"memory_gib: {study.memory_gib:g} does not hold the networks of one seed, which need "
            f"{needed:.2g}"
        )
    count = -(-len(seeds) // fit)
    size = -(-len(seeds) // count)  # groups alike in size share one compiled program
    return [seeds[i : i + size] for i in range(0, len(seeds), size)]


def _nets(study: Study, seen: feed.Variants, nets: list[tuple[int, int]]) -> Net:
    arms = study.arms
    return Net(
        seed_row=jnp.array([row for _, row in nets]),
        input_row=jnp.array([seen.row_of_arm[a] for a, _ in nets]),
        label_row=jnp.array([1 + row if arms[a].labels == "shuffled" else 0 for a, row in nets]),
        frozen=jnp.array([arms[a].first_layer == "frozen" for a, _ in nets]),
    )


def _task(study: Study, data: Images, seen: feed.Variants, seeds: list[int]) -> Task:
    labels = [data.train_labels]
    if any(arm.labels == "shuffled" for arm in study.arms):
        labels += [_stream(seed, _LABELS).permutation(data.train_labels) for seed in seeds]
    test_images, test_labels = _mixed(seen.test, data.test_labels)
    return Task(
        # Where dispatches bring their images, one stands in for them.
        train_images=seen.sample[:, :1] if seen.train is None else seen.train,
        label_sets=np.stack(labels),
        test_images=test_images,
        test_labels=test_labels,
    )


def _mixed(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(variants, M, ...) images and (M,) labels in a fixed random order, so that the first few are a fair
    sample of all."""
    order = watch.mixed_order(len(labels))
    return images[:, order], labels[order]


def _initial(
    study: Study, data: Images, seen: feed.Variants, population: Population
) -> Callable[[list[tuple[int, int]]], State]:
    """A function of networks (arm, seed) that returns their initial values, stacked.

    They depend on the seed alone, so arms are paired. Each network is drawn for itself by the same
    programs, so that no bit depends on how many there are.
    """
    shape = first_kernel_shape(study, data)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def of_kind(init: str, scale: float, row: int):
        draw = initializers.first_layer(init, scale, seen.sample[row])

        @partial(jax.jit, compiler_options=COMPILE_QUICKLY)
        def kernel(key: jax.Array) -> jax.Array:
            return draw(jax.random.fold_in(key, _FIRST_LAYER), shape, jnp.float32)

        return compiling(kernel, key)

    rows = seen.row_of_arm.tolist()
    kinds = [(arm.init, arm.scale, row) for arm, row in zip(study.arms, rows, strict=True)]
    draws = {kind: of_kind(*kind) for kind in dict.fromkeys(kinds)}
    init = compiling(population.init, key, jax.ShapeDtypeStruct(shape, jnp.float32))

    def initial(nets: list[tuple[int, int]]) -> State:
        keys = {seed: jax.random.key(seed) for _, seed in nets}
        states = [
            init.result()(keys[seed], draws[kinds[arm]].result()(keys[seed])) for arm, seed in nets
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *states)

    return initial


def choose_devices(study: Study) -> list[Any]:
    """The devices that share the networks: all, or the first `study.devices` of each process."""
    return [
        device
        for process in range(jax.process_count())
        for device in jax.local_devices(process_index=process)[: study.devices]
    ]


def _stream(*name: int) -> np.random.Generator:
    return np.random.default_rng(name)


def _by_arm(study: Study, values: np.ndarray, seeds: int) -> dict[str, list[float | None]]:
    grid = np.broadcast_to(values, (len(study.arms), seeds))
    return {
        arm.name: [round(float(v), 6) if np.isfinite(v) else None for v in row]
        for arm, row in zip(study.arms, grid, strict=True)
    }
