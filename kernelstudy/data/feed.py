"""What a population is fed: the variants of the images that its arms see, and its minibatches in turn.

Seed s has one order of examples, alike in every arm and in every variant. Where the training images are
in memory, a minibatch is rows of them. Where they are streamed or augmented, every dispatch brings a
buffer of the images it needs, read ahead by Grain, and its rows point into that; order and values
are the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kernelstudy.data import augment, controls, corruptions
from kernelstudy.data.images import Images
from kernelstudy.data.options import Data

ORDER = 0  # the stream of a seed's random numbers that is its order of examples
READ_AHEAD = 2  # dispatches


class Variants(NamedTuple):
    """The images in every variant that an arm sees: natural, or under a control."""

    names: tuple[str, ...]
    row_of_arm: np.ndarray  # (arms,) the variant that each arm sees
    train: np.ndarray | None  # (variants, N, H, W, C); None: every dispatch brings its own
    test: np.ndarray  # (variants, M, H, W, C)
    val: np.ndarray  # (variants, V, H, W, C)
    sample: np.ndarray  # (variants, n, H, W, C), training images for statistics
    controls: tuple[controls.Apply, ...]  # of training images
    changed: dict[str, np.ndarray]  # by the name of the change, as `test`


class Dispatch(NamedTuple):
    """The minibatches of the next steps; room beyond them holds row 0."""

    images: (
        np.ndarray | None
    )  # (variants, n, H, W, C) that `rows` point into; None: `Variants.train`
    rows: np.ndarray  # (seeds, steps, batch) int32
    order: np.ndarray  # (seeds, steps, batch) int32, into the labels


def variants(
    images: Images, data: Data, inputs: Sequence[str], tests: Sequence[str] = ()
) -> Variants:
    """The variants that arms with these `inputs` see. Controls are fitted on the sample for statistics.

    `tests`: changes of the test images (`corruptions`), which come before the controls.
    """
    names = tuple(dict.fromkeys(inputs))
    sample = images.sample()
    fitted = {
        part: tuple(controls.fit(name, sample, part=part) for name in names)
        for part in (controls.TRAIN, controls.TEST, controls.VAL)
    }

    def under_all(of: np.ndarray, part: int) -> np.ndarray:
        found = [controls.apply(control, of) for control in fitted[part]]
        return found[0][None] if len(found) == 1 else np.stack(found)  # a large set is not copied

    in_place = not images.streamed and not augment.is_on(data)
    rows, of_training = images.sample_rows(), fitted[controls.TRAIN]
    return Variants(
        names=names,
        row_of_arm=np.array([names.index(name) for name in inputs]),
        train=under_all(np.asarray(images.train_images), controls.TRAIN) if in_place else None,
        test=under_all(images.test_images, controls.TEST),
        val=under_all(images.val_images, controls.VAL),
        sample=np.stack([control(sample, rows) for control in of_training]),
        controls=of_training,
        changed={
            name: under_all(
                corruptions.changed(name, images.test_images, images.test_labels), controls.TEST
            )
            for name in tests
        },
    )


def batches(seed: int, start: int, count: int, examples: int, batch: int) -> np.ndarray:
    """Rows (count, batch) of the minibatches start, start + 1, ..: a fresh permutation each epoch."""
    an_epoch = examples // batch
    steps = np.arange(start, start + count)
    orders = {
        epoch: np.random.default_rng([seed, ORDER, epoch]).permutation(examples)
        for epoch in np.unique(steps // an_epoch)
    }
    first = (steps % an_epoch) * batch
    found = [orders[s // an_epoch][f : f + batch] for s, f in zip(steps, first, strict=True)]
    return np.array(found, np.int32).reshape(count, batch)


def feed(
    images: Images,
    data: Data,
    seen: Variants,
    *,
    seeds: Sequence[int],
    spans: Sequence[tuple[int, int]],
    room: int,
    batch: int,
) -> Iterator[Dispatch]:
    """The dispatches of a training, one for each span.

    Args:
        spans: first step and number of steps of each dispatch, `room` at most.
        seeds: each has an order of its own; batch: examples of a minibatch.
    """
    buffers = Buffers(images, data, seen, tuple(seeds), tuple(spans), room, batch)
    if seen.train is not None:
        for index in range(len(buffers)):
            order = buffers.order(index)
            yield Dispatch(None, order, order)
        return
    import grain  # slow to import, and only needed here

    options = grain.ReadOptions(num_threads=READ_AHEAD, prefetch_buffer_size=READ_AHEAD)
    yield from grain.MapDataset.source(buffers).to_iter_dataset(options)


@dataclass(frozen=True)
class Buffers:
    """The dispatches of a training by number, images with them: a data source for Grain."""

    images: Images
    data: Data
    seen: Variants
    seeds: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    room: int
    batch: int

    def __len__(self) -> int:
        return len(self.spans)

    def order(self, index: int) -> np.ndarray:
        """(seeds, room, batch): which examples."""
        start, count = self.spans[index]
        examples = len(self.images.train_labels)
        order = np.zeros((len(self.seeds), self.room, self.batch), np.int32)
        for row, seed in enumerate(self.seeds):
            order[row, :count] = batches(seed, start, count, examples, self.batch)
        return order

    def __getitem__(self, index: int) -> Dispatch:
        order = self.order(index)
        chosen, rows = np.unique(order, return_inverse=True)
        found = self.images.train_images[chosen]
        size = min(order.size, len(self.images.train_labels))  # always the same: one program
        if augment.is_on(self.data):  # every use of an image is another one
            found = augment.augmented(found[rows.ravel()], *self._draws(index))
            chosen, rows, size = order.ravel(), np.arange(order.size), order.size
        under = np.zeros((len(self.seen.names), size, *found.shape[1:]), found.dtype)
        for row, control in enumerate(self.seen.controls):
            under[row, : len(found)] = control(found, chosen)
        return Dispatch(under, rows.reshape(order.shape).astype(np.int32), order)

    def _draws(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """How each image of a dispatch is augmented: (n,) and (n, 2) in the order of its use."""
        start, _ = self.spans[index]
        drawn = [
            augment.draw(self.data, seed, start + step, self.batch)
            for seed in self.seeds
            for step in range(self.room)
        ]
        mirrored, moves = zip(*drawn, strict=True)
        return np.concatenate(mirrored), np.concatenate(moves)
