"""The package's own training step on made-up images, whole or with one trick taken away."""

import contextlib
import os
from typing import Any, NamedTuple

import flax_module
import jax
import jax.numpy as jnp
import numpy as np
from works import BATCH, CLASSES, EXAMPLES, WORKS, Work

from kernelstudy.config import Arm, Bank, Model, Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.training import (
    gemm,
    inputs,
    ops,
    own,
    own_network,
    parallel,
    population,
    train,
    winograd,
)
from kernelstudy.training.network import Network


class Prepared(NamedTuple):
    """Networks on their devices. `advance(state, *inputs, steps)` trains them, jitted; `state` is donated."""

    advance: Any
    state: Any
    inputs: tuple[Any, ...]
    bytes_each: int  # what the package reckons that one more network takes


def burst(work: str, options: dict[str, str]):
    """A function that trains `nets` networks for one dispatch and returns the net-images done."""
    without(options.get("without", ""))
    nets, steps = int(options.get("nets", 8)), int(options.get("steps", train.STEPS_A_CALL))
    made = prepared(work, options)
    held = [made.state]

    def run() -> int:
        held[0], losses = made.advance(held[0], *made.inputs, jnp.asarray(steps))
        jax.block_until_ready(losses)
        return nets * steps * BATCH

    return run


def prepared(work: str, options: dict[str, str]) -> Prepared:
    """`nets` networks and what they train on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(RuntimeError):  # JAX has started already
        jax.config.update("jax_num_cpu_devices", int(options.get("devices", cores)))
    chosen = WORKS[work]
    changed = {
        key: int(options[key]) for key in ("kernel_size", "width", "depth") if key in options
    }
    nets = int(options.get("nets", 8))
    model, shape = model_of(chosen._replace(**changed)), chosen.shape
    study = Study(
        arms=[Arm("he_normal")],
        seeds=nets,
        batch_size=BATCH,
        model=model,
        bank=Bank(["sobel_x"]),
        impl=options.get("impl", "auto"),
        precision=options.get("precision", "float32"),
    )
    rng = np.random.default_rng(0)
    images = rng.standard_normal((EXAMPLES, *shape)).astype(np.float32)
    labels = rng.integers(CLASSES, size=EXAMPLES).astype(np.int32)
    data = Images(images, labels, images[:64], labels[:64], CLASSES, {})
    devices = population.choose_devices(study)
    network = _flax(chosen, study) if "own" in options else None
    trained = parallel.make_population(train.make_train(study, data, network), devices)
    seeds = study.seed_list
    pairs = [(0, row) for row in range(nets)]
    pairs += pairs[-1:] * (-nets % len(devices))
    seen = feed.variants(data, study.data, ["natural"])
    task = trained.share(inputs.task_of(study, data, seen, seeds))
    state = inputs.initial(study, data, seen, trained)(pairs)
    state, net = trained.place((state, inputs.nets_of(study, seen, pairs)))
    rows = np.stack(
        [rng.permutation(EXAMPLES)[:BATCH] for _ in range(nets * train.STEPS_A_CALL)]
    ).reshape(nets, train.STEPS_A_CALL, BATCH)
    if "shared_order" in options:
        rows = np.broadcast_to(rows[:1], rows.shape)
    order = trained.share(train.Order(*[rows.astype(np.int32)] * 2))
    one = parallel.shapes_of_one(trained, study, data)
    bytes_each = parallel.bytes_a_network(one, study, data)
    return Prepared(trained.advance, state, (net, task, order), bytes_each)


def _flax(work: Work, study: Study) -> Network:
    """The same network as a Flax module of one's own."""
    found = own.find(flax_module.maker(work), "Net")
    on_cpu = ops.table(study.impl) is ops.GEMM
    return own_network.network_of(found, work.shape, on_cpu=on_cpu)


def model_of(work: Work) -> Model:
    settings = {key: value for key, value in work._asdict().items() if key != "shape"}
    return Model(**settings)


def without(trick: str) -> None:
    """Take one trick away from the modules it lives in; `''` leaves all."""
    if trick == "winograd":
        gemm_table = ops.GEMM._replace(conv_pool=gemm.conv_pool)
    elif trick == "tiles":  # patches of every pixel, then a pool
        gemm_table = ops.GEMM._replace(
            conv_pool=lambda x, k: (
                winograd.conv_pool(x, k)
                if k.shape[:2] == (3, 3) and k.shape[2] >= 4
                else gemm.pool(gemm.conv(x, k))
            )
        )
    elif trick == "layout":
        gemm_table = ops.GEMM._replace(enter=lambda images: images.transpose(3, 1, 2, 0))
    else:
        gemm_table = ops.GEMM
    ops.GEMM = ops.IMPLS["gemm"] = gemm_table
    if trick == "materialised":
        winograd.materialised = lambda *values: values
    if trick == "apart":
        ops.lax = _Lax(optimization_barrier=lambda value: value)
    if trick == "order":
        parallel.IN_TURN = None
    if trick == "iota":
        winograd.to_first = gemm.to_first = lambda first, dy, axis: jnp.stack(
            [jnp.where(first == place, dy, 0) for place in range(4)], axis
        )
    if trick == "chunks":
        train.chunk_size = lambda batch: batch
    if trick == "map":  # networks by vmap, as on a GPU
        parallel.lax = _Lax(map=lambda function, values: jax.vmap(function)(values))


class _Lax:
    """`jax.lax` with some of its functions replaced."""

    def __init__(self, **replaced):
        self.__dict__ |= replaced

    def __getattr__(self, name):
        return getattr(jax.lax, name)


def count(work: str) -> dict[str, float]:
    """XLA's own count of FLOP and bytes for one image, forward and backward, of a chunk of 32."""
    model, shape = model_of(WORKS[work]), WORKS[work].shape
    study = Study(arms=[Arm("he_normal")], seeds=1, batch_size=32, model=model)
    images = np.zeros((32, *shape), np.float32)
    labels = np.zeros(32, np.int32)
    data = Images(images, labels, images, labels, CLASSES, {})
    trained = train.make_train(study, data)
    shape_of_kernel = train.first_kernel_shape(study, data)
    state = trained.init(jax.random.key(0), jnp.zeros(shape_of_kernel))
    seen = feed.variants(data, study.data, ["natural"])
    task = inputs.task_of(study, data, seen, [0])
    net = jax.tree.map(lambda leaf: leaf[0], inputs.nets_of(study, seen, [(0, 0)]))
    rows = np.zeros((1, train.STEPS_A_CALL, 32), np.int32)
    order, steps = train.Order(rows, rows), jnp.asarray(1)
    compiled = jax.jit(trained.advance).lower(state, net, task, order, steps).compile()
    cost = compiled.cost_analysis()  # of a loop with an unknown trip count: one turn
    return {"flop": cost["flops"] / 32, "bytes": cost["bytes accessed"] / 32}
