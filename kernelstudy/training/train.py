"""One network's training as pure functions, and the same for a whole population.

`make_train` builds the functions of a single network. `make_population` maps them over networks:
one after another on a CPU, where a network's working set then stays in cache, and with `vmap` on
GPU and TPU; on both the networks are shared out over all devices. Nothing a network computes
depends on its neighbours.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kernelstudy.config import Study
from kernelstudy.training import ops
from kernelstudy.training.data import Images
from kernelstudy.training.model import CNN

# Steps of one dispatch: enough to make its cost small, few enough for a lively progress bar.
STEPS_A_CALL = 16

# For what runs seldom: compiling JAX's random bits with all optimisations takes 10 seconds.
_COMPILE_QUICKLY = {"xla_backend_optimization_level": 0}


class State(NamedTuple):
    """What training changes. In a population every leaf has a leading axis of networks."""

    params: Any  # nnx.State: convs.0.kernel (kh, kw, cin, width), ...
    optimizer: Any


class Net(NamedTuple):
    """What is fixed for one network."""

    seed_row: Array  # its row in the batch orders
    label_row: Array  # its row in the label sets
    frozen: Array  # True: the first layer's kernel and bias stay as they are


class Task(NamedTuple):
    """What all networks share; on every device."""

    train_images: Array  # (N, H, W, C)
    label_sets: Array  # (rows, N)
    test_images: Array
    test_labels: Array


class Train(NamedTuple):
    """The functions of one network, all pure.

    init(key, first kernel (kh, kw, cin, width)) -> State
    advance(state, net, task, order (seeds, STEPS_A_CALL, batch), steps) -> State, losses
    evaluate(state, task) -> test accuracy
    feature_maps(params, probes (P, H, W, C)) -> their maps in layer 2 (in 1, where that is all)
    """

    init: Callable[[Array, Array], State]
    advance: Callable[[State, Net, Task, Array, Array], tuple[State, Array]]
    evaluate: Callable[[State, Task], Array]
    feature_maps: Callable[[Any, Array], Array]


def make_train(study: Study, data: Images) -> Train:
    """The training of one network of `study` on `data`."""
    table = ops.IMPLS[ops.default_impl() if study.impl == "auto" else study.impl]
    on_cpu = table is ops.GEMM
    optimizer = make_optimizer(study)

    def build(key: Array, first_kernel: Array) -> CNN:
        return CNN(
            image_shape=data.image_shape,
            classes=data.classes,
            kernel_size=study.model.kernel_size,
            width=study.model.width,
            deep_width=study.model.deep_width,
            depth=study.model.depth,
            activation=study.model.activation,
            first_init=lambda *_: first_kernel,
            rngs=nnx.Rngs(key),
        )

    any_kernel = jnp.zeros(first_kernel_shape(study, data))
    graph = nnx.graphdef(nnx.eval_shape(lambda: build(jax.random.key(0), any_kernel)))

    def init(key: Array, first_kernel: Array) -> State:
        params = nnx.state(build(key, first_kernel), nnx.Param)
        return State(params, optimizer.init(params))

    def loss_sum(params: Any, images: Array, labels: Array) -> Array:
        logits = nnx.merge(graph, params)(images, table)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    def loss_and_gradient(params: Any, images: Array, labels: Array) -> tuple[Array, Any]:
        """Means over the batch. On a CPU it is taken in chunks whose patches fit the cache."""
        batch = len(labels)
        chunk = chunk_size(batch) if on_cpu else batch
        chunks = [a.reshape(batch // chunk, chunk, *a.shape[1:]) for a in (images, labels)]

        def add(total, part):
            return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_sum)(params, *part)), None

        zero = (jnp.zeros((), images.dtype), jax.tree.map(jnp.zeros_like, params))
        total, _ = lax.scan(add, zero, tuple(chunks))
        return jax.tree.map(lambda t: t / batch, total)

    def advance(state: State, net: Net, task: Task, order: Array, steps: Array):
        labels = task.label_sets[net.label_row]
        batches = order[net.seed_row]

        def step(index, carry):
            (params, memory), losses = carry
            chosen = batches[index]
            loss, gradient = loss_and_gradient(params, task.train_images[chosen], labels[chosen])
            changes: Any
            changes, memory = optimizer.update(gradient, memory, params)
            first = changes["convs"][0]
            changes["convs"][0] = jax.tree.map(lambda u: jnp.where(net.frozen, 0, u), first)
            return State(optax.apply_updates(params, changes), memory), losses.at[index].set(loss)

        # A trip count that is not a constant lets segments of all lengths share one program.
        losses = jnp.zeros(STEPS_A_CALL, task.train_images.dtype)
        return lax.fori_loop(0, steps, step, (state, losses))

    def evaluate(state: State, task: Task) -> Array:
        model = nnx.merge(graph, state.params)
        count = len(task.test_labels)
        chunk = min(count, 64) if on_cpu else count
        spare = -count % chunk
        images = jnp.pad(task.test_images, ((0, spare), (0, 0), (0, 0), (0, 0)))
        labels = jnp.pad(task.test_labels, (0, spare), constant_values=-1)  # never predicted

        def correct(part):
            return (model(part[0], table).argmax(-1) == part[1]).sum()

        parts = (images.reshape(-1, chunk, *images.shape[1:]), labels.reshape(-1, chunk))
        return lax.map(correct, parts).sum() / count

    def feature_maps(params: Any, probes: Array) -> Array:
        maps = nnx.merge(graph, params).feature_maps(probes, table)
        return maps[min(1, len(maps) - 1)]

    return Train(init, advance, evaluate, feature_maps)


def first_kernel_shape(study: Study, data: Images) -> tuple[int, int, int, int]:
    """(kh, kw, cin, cout) of the first layer."""
    size = study.model.kernel_size
    return size, size, data.image_shape[-1], study.model.width


def make_optimizer(study: Study) -> optax.GradientTransformation:
    """The optimiser of a study, Optax's own."""
    o = study.optim
    if o.name == "sgd":
        rule = optax.sgd(o.learning_rate, momentum=o.momentum or None)
        return optax.chain(optax.add_decayed_weights(o.weight_decay), rule)
    if o.name == "adamw":
        return optax.adamw(o.learning_rate, weight_decay=o.weight_decay)
    return optax.adam(o.learning_rate)


def chunk_size(batch: int) -> int:
    """The largest divisor of `batch` up to 32; the whole batch if only crumbs divide it."""
    best = max(d for d in range(1, min(batch, 32) + 1) if batch % d == 0)
    return best if best >= 8 else batch


class Population(NamedTuple):
    """`Train` over a leading axis of networks, compiled, with the networks shared out over devices.

    place(tree) -> the tree with that axis on the devices; share(tree) -> the tree on every device.
    init and feature_maps run on one device.
    """

    place: Callable[[Any], Any]
    share: Callable[[Any], Any]
    advance: Callable[[State, Net, Task, Array, Array], tuple[State, Array]]
    evaluate: Callable[[State, Task], Array]
    init: Callable[[Array, Array], State]
    feature_maps: Callable[[Any, Array], Array]


def make_population(train: Train, devices: list[Any]) -> Population:
    """Map `train` over networks on `devices`; the number of networks must be a multiple of theirs."""
    mesh = Mesh(np.array(devices), ("net",))
    split, everywhere = PartitionSpec("net"), PartitionSpec()
    on_cpu = devices[0].platform == "cpu"

    def over_nets(function, nets: int, shared: int, donate: bool = False):
        """Map `function` over its first `nets` arguments; the `shared` others are the same for all."""

        def block(*args):
            def one(mine):
                return function(*mine, *args[nets:])

            return lax.map(one, args[:nets]) if on_cpu else jax.vmap(one)(args[:nets])

        mapped = jax.shard_map(
            block,
            mesh=mesh,
            in_specs=(split,) * nets + (everywhere,) * shared,
            out_specs=split,
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0 if donate else ())

    return Population(
        place=lambda tree: jax.device_put(tree, NamedSharding(mesh, split)),
        share=lambda tree: jax.device_put(tree, NamedSharding(mesh, everywhere)),
        advance=over_nets(train.advance, 2, 3, donate=True),
        evaluate=over_nets(train.evaluate, 1, 1),
        init=jax.jit(jax.vmap(train.init), compiler_options=_COMPILE_QUICKLY),
        feature_maps=jax.jit(
            lambda params, probes: lax.map(lambda p: train.feature_maps(p, probes), params),
            compiler_options=_COMPILE_QUICKLY,
        ),
    )
