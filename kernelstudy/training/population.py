"""Train all arms x seeds of a study together and log them over time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kernelstudy.analysis import variables
from kernelstudy.config import Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.system.errors import ConfigError
from kernelstudy.system.signals import Stopped
from kernelstudy.training import processes, responses
from kernelstudy.training.checkpoints import Position, Saved, Store
from kernelstudy.training.group import Common, Group, train_group
from kernelstudy.training.journal import Journal
from kernelstudy.training.observer import SILENT, Observer
from kernelstudy.training.ops import GEMM, table
from kernelstudy.training.own import Own
from kernelstudy.training.own_network import bytes_of_batch, network_of
from kernelstudy.training.parallel import (
    bytes_a_network,
    make_population,
    shapes_of_one,
)
from kernelstudy.training.recorder import bytes_of_one
from kernelstudy.training.train import State, Train, built_in, make_train
from kernelstudy.training.trajectory import Log, trajectory

if TYPE_CHECKING:
    import xarray as xr


def train_population(
    study: Study,
    data: Images,
    *,
    observer: Observer = SILENT,
    store: Store | None = None,
    starts: Mapping[str, np.ndarray] = MappingProxyType({}),
    own: Own | None = None,
) -> "xr.Dataset":
    """Train every network of `study` and return the logged trajectory.

    Seed s gives every arm the same batches in the same order and the same initial values in all
    layers but the first, so that arms are paired by seed. A network whose loss stops being finite
    is marked as diverged; the others go on.

    Args:
        study: checked settings.
        data: what to train on.
        observer: told of every step and log point, and asked for signals.
        store: where the first process keeps checkpoints; None (in the others, too) keeps none. Where it
            holds one, training goes on from it, and the rest is, bit for bit, what it would have been.
        starts: by the names of the arms that start from a file or a run, their first layer's kernels, before
            `scale`: (seed, kh, kw, cin, cout) float32.
        own: the network that is trained in place of the built-in one; `study.model` has its shapes.

    Returns:
        kernel (arm, seed, step, ky, kx, cin, cout) float32, the first layer's;
        train_loss (arm, seed, step), the mean over the minibatches since the log point before, each
        taken before its update (at step 0: of the first minibatch); test_accuracy (arm, seed, step), of the
        last step on all test images, before it on `eval_images` of them; changed_accuracy (arm, seed, step,
        test), the same on the same images changed, where `study.tests` says how; and
        val_accuracy where images were held out to validate;
        diverged (arm, seed) bool; of the first `probe_seeds` networks of each arm and every layer i
        feature_map_i, grating_i, ... (arm, probe_seed, step, ...) after the activation and before
        pooling, see `analysis.variables`; probe_image (probe, row, column, colour) with probe_label and
        probe_part; example_image and example_label; patch_eigenvalue (component) and
        patch_basis (component, ky, kx) of training images, colours averaged; the images and these
        two have a leading axis of arms where arms see their images in several variants.

    Raises:
        ConfigError: `memory_gib` does not hold the networks of one seed; `own` does not start from first_init.
        Stopped: a signal asked for it; a checkpoint has been made.
    """
    common = _common(study, data, observer, starts, own)
    saved = _restored(study, common.one, store)
    if saved:
        groups, journals = saved.position.groups, saved.journals
        records = [record for journal in journals for record in journal.records]
        observer.on_resume(_where(study, saved.position), saved.position.seconds, records)
    else:
        batch = None if own is None else bytes_of_batch(own, data.image_shape, study.batch_size)
        each = bytes_a_network(common.one, study, data, batch)
        groups, journals = _groups(study, each), []
    logs = []
    for index, seeds in enumerate(groups):
        if index == len(journals):
            journals.append(Journal())
        if len(journals[index].losses) < study.steps:
            observer.on_group(index, len(groups))
            here = saved if saved and index == saved.position.group else None
            for group in train_group(common, seeds, journals[index], here):
                _pause(group, groups, journals, store)
        logs.append(_log(journals[index], _held_out(study, data)))
    if store:
        store.close()
    return trajectory(
        study, data, common.seen, common.subjects, common.watched, logs, common.fields
    )


def _common(
    study: Study,
    data: Images,
    observer: Observer,
    starts: Mapping[str, np.ndarray],
    own: Own | None,
) -> Common:
    """What all groups share; the observer is told what will be logged."""
    devices = choose_devices(study)
    ops = table(study.impl)
    if own is None:
        network, layers = built_in(study, data, ops), "all layers"
    else:
        network, layers = network_of(own, data.image_shape, on_cpu=ops is GEMM), "convolutions"
    train = make_train(study, data, network)
    population = make_population(train, devices)
    seen = feed.variants(data, study.data, [arm.inputs for arm in study.arms], study.tests)
    one = shapes_of_one(population, study, data)
    subjects = responses.subjects(data, seen)
    size = bytes_of_one(study, data, train, one)
    watched = study.seed_list[: responses.watched_seeds(study, size)]
    observer.on_start(responses.told(study, size, layers))
    observer.on_size(_bytes_of_all(study, train, one) + size * len(watched))
    return Common(
        study,
        data,
        seen,
        subjects,
        watched,
        population,
        len(devices),
        one,
        observer,
        starts,
        fields=network.fields() if watched else [],
    )


def _bytes_of_all(study: Study, train: Train, one: State) -> int:
    """What the log of all networks takes, without that of their deeper layers; `one`: shapes of one."""
    kernel = jax.eval_shape(train.first_kernel, one.params).size
    values = (kernel + 2) * len(study.log_steps) + study.steps
    return 4 * values * len(study.arms) * len(study.seed_list)


def _pause(
    group: Group, groups: list[list[int]], journals: list[Journal], store: Store | None
) -> None:
    """Between two dispatches of the last of `journals`: a checkpoint where it is time for one.

    Raises:
        Stopped: a signal asks for it, in any process; after a checkpoint.
    """
    study, observer = group.common.study, group.common.observer
    position = Position(groups, len(journals) - 1, len(group.journal.losses), group.seconds)
    due = store is not None and position.step < study.steps and store.due()
    number, due = processes.most(observer.signal(), due)
    if number or due:  # the same in every process, for leaves are gathered from all
        group.complete()
        leaves = group.leaves()
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
    return processes.leaders_checkpoint(found, abstract)


def _where(study: Study, position: Position) -> str:
    """In words."""
    of = f" (group {position.group + 1} of {len(position.groups)})"
    return f"step {position.step:,} of {study.steps:,}{of if len(position.groups) > 1 else ''}"


def _held_out(study: Study, data: Images) -> tuple[str, ...]:
    """The names of the accuracies that are logged."""
    changed = map(variables.accuracy_on, study.tests)
    return ("test_accuracy", *changed, *(("val_accuracy",) if len(data.val_labels) else ()))


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


def choose_devices(study: Study) -> list[Any]:
    """The devices that share the networks: all, or the first `study.devices` of each process."""
    return [
        device
        for process in range(jax.process_count())
        for device in jax.local_devices(process_index=process)[: study.devices]
    ]
