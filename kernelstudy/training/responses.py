"""What the first networks of each arm show of all their layers at a log point.

One program takes all images through a network: the probes, the synthetic stimuli and a fixed part of the
test images, `CHUNK` at a time, and keeps of each layer what the analysis needs: whole maps of the probes
alone, means and maxima of the rest: `analysis.variables.of_layer`; the sizes are known before a run starts
(`bytes_a_seed`), and `watched_seeds` holds them to `probe_mib`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernelstudy.analysis.variables import EXAMPLES, MAP_CHANNELS, MAP_SIDE, PROBES, TOP, quarters
from kernelstudy.config import Study
from kernelstudy.data import stimuli
from kernelstudy.data.feed import Variants
from kernelstudy.data.images import Images
from kernelstudy.training.ops import Ops

CHUNK = 32
_GRATINGS = stimuli.ORIENTATIONS * len(stimuli.FREQUENCIES) * stimuli.PHASES
_FLOAT16 = float(np.finfo(np.float16).max)
_MIXED = 2  # the stream of random numbers that orders the test images, apart from every seed's


class Subjects(NamedTuple):
    """The images that networks are watched on; rows of probes and examples in their sets."""

    images: np.ndarray  # (V, n, H, W, C): probes, gratings, other stimuli, examples
    train_rows: np.ndarray  # (PROBES / 2,) of the training images
    test_rows: np.ndarray  # (PROBES / 2,) of the test images
    example_rows: np.ndarray  # (EXAMPLES,) of the test images


def subjects(data: Images, seen: Variants) -> Subjects:
    """Probes are the first training image of each of the first four classes and the first test image
    of each of the next four (from class 0 on again where there are fewer). Examples are the first of
    the test images in the order in which they score."""
    classes, half = _classes(data), probe_count(data) // 2
    train_rows = _first_of(data.train_labels, classes[:half])
    test_rows = _first_of(data.test_labels, np.resize(np.roll(classes, -half), half))
    example_rows = mixed_order(len(data.test_labels))[:EXAMPLES]
    training = np.asarray(data.train_images[train_rows])
    probes = np.stack([control(training, train_rows) for control in seen.controls])
    height, width, colours = data.image_shape
    made = [
        stimuli.gratings(height, width).reshape(-1, height, width),
        stimuli.local(height, width)[1],
    ]
    shape = (len(seen.names), -1, height, width, colours)
    grey = np.broadcast_to(
        np.concatenate(made)[None, ..., None], (len(seen.names), _made(), *shape[2:])
    )
    parts = [probes, seen.test[:, test_rows], grey, seen.test[:, example_rows]]
    images = np.concatenate(parts, 1).astype(np.float32)
    return Subjects(images, train_rows, test_rows, example_rows)


def probe_count(data: Images) -> int:
    """`PROBES`, fewer where there are fewer than four classes."""
    return 2 * min(PROBES // 2, len(_classes(data)))


def image_count(data: Images) -> int:
    return probe_count(data) + _made() + min(EXAMPLES, len(data.test_labels))


def mixed_order(examples: int) -> np.ndarray:
    """A fixed random order of the test images, so that the first few are a fair sample of all."""
    return np.random.default_rng((_MIXED,)).permutation(examples)


def watch(
    maps_of: Callable[[Array], list[Array]], ops: Ops, images: Array, probes: int
) -> dict[str, Array]:
    """What `analysis.variables.of_layer` lists, of one network, without its kernels.

    maps_of: images (n, H, W, C) -> the maps of every layer, in the layout of `ops`.
    images: (n, H, W, C), in the order of `Subjects`, of which so many are `probes`.

    What is stored is float16, clipped to its range.
    """

    def each(reduced: Callable[[Array, Ops], dict[str, Array]], some: Array) -> list[dict]:
        return _in_chunks(lambda chunk: [reduced(maps, ops) for maps in maps_of(chunk)], some)

    shown = [_shown(ops.leave(maps)) for maps in maps_of(images[:probes])]
    answers = each(_answer, images[probes : probes + _made()])
    excited = each(_excitement, images[probes + _made() :])
    found = {}
    for layer, (maps, of, by) in enumerate(zip(shown, answers, excited, strict=True), 1):
        grid = (stimuli.ORIENTATIONS, len(stimuli.FREQUENCIES), stimuli.PHASES, -1)
        value, example = lax.top_k(by["largest"].T, min(TOP, len(by["largest"])))
        place = jnp.take_along_axis(by["place"].transpose(2, 0, 1), example[..., None], 1)
        local = jnp.stack([of["mean"][_GRATINGS:], of["peak"][_GRATINGS:]], 1)
        found |= {
            f"feature_map_{layer}": half(maps),
            f"grating_{layer}": half(of["mean"][:_GRATINGS].reshape(grid).mean(2)),
            f"stimulus_{layer}": half(local),
            f"feature_{layer}": half(by["cells"]),
            f"top_value_{layer}": half(value.T),
            f"top_example_{layer}": example.T.astype(jnp.int16),
            f"top_place_{layer}": place.transpose(1, 2, 0),
        }
    return found


def _in_chunks(function: Callable[[Array], Any], images: Array) -> Any:
    """`function` of `CHUNK` images at a time, which bounds its memory; leaves (n, ...)."""
    spare = -len(images) % CHUNK
    padded = jnp.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0)))
    found = lax.map(function, padded.reshape(-1, CHUNK, *images.shape[1:]))
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[: len(images)], found)


def deeper_kernels(params: Any) -> dict[str, Array]:
    """Kernels of the layers from the second on; those of stages are not kept."""
    convs = params["convs"]
    return {f"kernel_{i + 1}": half(convs[i]["kernel"][...]) for i in range(1, len(convs))}


def watched_seeds(study: Study, bytes_each: int) -> int:
    """How many networks of each arm are watched: `probe_seeds`, or as many as fit `probe_mib`; 0 where there is
    nothing to watch."""
    if not bytes_each:
        return 0
    wanted = min(study.probe_seeds, len(study.seed_list))
    return min(wanted, int(study.probe_mib * 2**20 // bytes_each))


def told(study: Study, bytes_each: int, layers: str = "all layers") -> str:
    """What is watched, in a sentence, with its size before compression. `layers`: which ones, in words."""
    count, wanted = watched_seeds(study, bytes_each), min(study.probe_seeds, len(study.seed_list))
    mib = bytes_each / 2**20
    reduced = (
        f" (probe_seeds={wanted} would take {wanted * mib:,.0f}, more than probe_mib={study.probe_mib:g})"
        if count < wanted and bytes_each
        else ""
    )
    if not count:
        return f"nothing is logged of deeper layers{reduced}"
    return (
        f"{layers} of {count} of {len(study.seed_list)} networks an arm at {len(study.log_steps)} steps, "
        f"{count * mib:,.0f} MiB before compression{reduced}"
    )


def bytes_a_seed(study: Study, shapes: Any) -> int:
    """Before compression, of one network of every arm, from the shapes of what `watch` returns."""
    a_point = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    return a_point * len(study.log_steps) * len(study.arms)


def _made() -> int:
    return _GRATINGS + len(stimuli.local(3, 3)[0])


def _classes(data: Images) -> np.ndarray:
    return np.intersect1d(data.train_labels, data.test_labels)


def _first_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.array([np.flatnonzero(labels == c)[0] for c in classes])


def half(values: Array) -> Array:
    return jnp.clip(values, -_FLOAT16, _FLOAT16).astype(jnp.float16)


def _shown(maps: Array) -> Array:
    """Maps as they are stored: the first channels, larger ones averaged over blocks of pixels."""
    _, h, w, _ = maps.shape
    step = -(-max(h, w) // MAP_SIDE)
    step = min(step, h, w)
    cut = maps[:, : h // step * step, : w // step * step, :MAP_CHANNELS]
    return cut.reshape(len(cut), h // step, step, w // step, step, -1).mean((2, 4))


# Of maps in the layout of `ops`, whose rows and columns are axes 1 and 2: numbers (n, ..., c), each image
# by itself.


def _answer(maps: Array, ops: Ops) -> dict[str, Array]:
    """Mean of |activation| and maximum over the middle of the maps."""
    h, w = maps.shape[1:3]
    middle = maps[:, h // 4 : h - h // 4, w // 4 : w - w // 4]
    peak = ops.leave(middle.max((1, 2), keepdims=True))[:, 0, 0]
    return {"mean": _mean(jnp.abs(middle), ops), "peak": peak}


def _excitement(maps: Array, ops: Ops) -> dict[str, Array]:
    """The maximum and its place, the first of equals; and the means over quarters of the maps.

    The search is written out column by column and row by row: XLA's argmax is slow on a CPU.
    """
    h, w = maps.shape[1:3]

    def larger(best: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
        found = other[0] > best[0]
        return jnp.where(found, other[0], best[0]), jnp.where(found, other[1], best[1])

    zero = jnp.zeros(maps[:, :, :1].shape, jnp.int32)
    columns = [(maps[:, :, c : c + 1], zero + c) for c in range(w)]
    value, column = reduce(larger, columns)
    rows = [(value[:, r : r + 1], column[:, r : r + 1] + r * w) for r in range(h)]
    largest, place = (ops.leave(v)[:, 0, 0] for v in reduce(larger, rows))
    return {
        "cells": jnp.stack([_mean(maps[:, r, c], ops) for r, c in quarters(h, w)], 1),
        "largest": largest,
        "place": jnp.stack([place // w, place % w], 1).astype(jnp.int16),
    }


def _mean(maps: Array, ops: Ops) -> Array:
    return ops.leave(maps.mean((1, 2), keepdims=True))[:, 0, 0]
