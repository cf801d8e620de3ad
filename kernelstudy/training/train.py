"""One network's training as pure functions (`make_train`)."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array, lax

from kernelstudy.analysis.fields import Field, middle_window
from kernelstudy.config import Study
from kernelstudy.data.images import Images
from kernelstudy.training import ops, responses
from kernelstudy.training.deeper import Held, from_numbers, to_numbers
from kernelstudy.training.gemm import chunk_size
from kernelstudy.training.model import CNN
from kernelstudy.training.network import Network, hold
from kernelstudy.training.optimizer import Rates, make_optimizer, rates_of, width_factors

# Steps of one dispatch: enough to make its cost small, few enough for a lively progress bar.
STEPS_A_CALL = 16


class State(NamedTuple):
    """What training changes. In a population every leaf has a leading axis of networks."""

    params: Any  # nnx.State: convs.0.kernel (kh, kw, cin, width), ...
    optimizer: Any
    statistics: Any  # nnx.State: batch norm's running means and variances; empty without it


class Net(NamedTuple):
    """What is fixed for one network."""

    seed_row: Array  # its row in the batch orders
    input_row: Array  # its variant of the images
    label_row: Array  # its row in the label sets
    # True: the first layer's kernels and biases stay as they are, all or, (width,), some
    frozen: Array
    rates: Rates  # of its optimiser; not a part of `State`, for training does not change them
    deeper: Held | None = None  # how its other convolutions are held


class Task(NamedTuple):
    """What all networks share; on every device. V variants of the images: natural, scrambled, ..."""

    train_images: Any  # (V, N, H, W, C)
    label_sets: Any  # (rows, N)
    test_images: Any  # (V, M, H, W, C)
    test_labels: Any  # (M,)


class Order(NamedTuple):
    """Which examples the steps of one dispatch see, for each seed.

    The two are alike where all images are in memory; `images` counts within a buffer where they are
    streamed.
    """

    images: Any  # (seeds, STEPS_A_CALL, batch) rows of `Task.train_images`
    labels: Any  # (seeds, STEPS_A_CALL, batch) rows of `Task.label_sets`


class Train(NamedTuple):
    """The functions of one network, all pure.

    init(key, first kernel (kh, kw, cin, width)) -> State
    advance(state, net, task, order, steps) -> State, losses (STEPS_A_CALL,)
    evaluate(state, net, task, examples) -> accuracy on the first `examples` test images
    watch(params, statistics, input_row, images (V, n, H, W, C)) -> `analysis.variables.of_layer`, by name
    first_kernel(params) -> the first layer's kernel (kh, kw, cin, width) that is logged
    """

    init: Callable[[Array, Array], State]
    advance: Callable[[State, Net, Task, Order, Array], tuple[State, Array]]
    evaluate: Callable[[State, Net, Task, Array], Array]
    watch: Callable[[Any, Any, Array, Array], dict[str, Array]]
    first_kernel: Callable[[Any], Array]


def make_train(study: Study, data: Images, network: Network | None = None) -> Train:
    """The training of one network of `study` on `data`; `network`: None is the built-in one."""
    on_cpu = ops.table(study.impl) is ops.GEMM
    if network is None:
        network = built_in(study, data, ops.table(study.impl))
    optimizer = make_optimizer(study)
    any_rates = rates_of(study.arms[0], study.optim)

    def init(key: Array, first_kernel: Array) -> State:
        params, statistics = network.build(key, first_kernel)
        return State(params, optimizer(any_rates).init(params), statistics)

    loss_and_gradient = _make_gradient(network)

    def advance(state: State, net: Net, task: Task, order: Order, steps: Array):
        image_rows, label_rows = order.images[net.seed_row], order.labels[net.seed_row]
        rule = optimizer(jax.tree.map(lambda r: r.astype(task.train_images.dtype), net.rates))

        def step(index, carry):
            (params, memory, statistics), losses = carry
            images = task.train_images[net.input_row, image_rows[index]]
            labels = task.label_sets[net.label_row, label_rows[index]]
            loss, gradient, statistics = loss_and_gradient(params, statistics, images, labels)
            changes: Any
            numbers = to_numbers(net.deeper, params)
            changes, memory = rule.update(to_numbers(net.deeper, gradient), memory, numbers)
            changes = from_numbers(net.deeper, changes)
            hold(changes, network, net.frozen)
            updated = State(optax.apply_updates(params, changes), memory, statistics)
            return updated, losses.at[index].set(loss)

        # A trip count that is not a constant lets segments of all lengths share one program.
        losses = jnp.zeros(STEPS_A_CALL, task.train_images.dtype)
        return lax.fori_loop(0, steps, step, (state, losses))

    def evaluate(state: State, net: Net, task: Task, examples: Array) -> Array:
        count = len(task.test_labels)
        chunk = min(count, 32 if on_cpu else study.batch_size)  # bounds memory, too

        def add(index, correct):
            start = jnp.minimum(index * chunk, count - chunk)  # the last may overlap the one before
            rows = start + jnp.arange(chunk)
            here = (net.input_row, start, 0, 0, 0)
            images = lax.dynamic_slice(
                task.test_images, here, (1, chunk, *task.test_images.shape[2:])
            )[0]
            labels = lax.dynamic_slice(task.test_labels, (start,), (chunk,))
            counts = (rows >= index * chunk) & (rows < examples)
            logits, _ = network.logits(state.params, state.statistics, images, False)
            return correct + (counts & (logits.argmax(-1) == labels)).sum()

        return lax.fori_loop(0, (examples + chunk - 1) // chunk, add, 0) / examples

    def watched(params: Any, statistics: Any, input_row: Array, images: Array) -> dict[str, Array]:
        probes = responses.probe_count(data)
        return network.watch(params, statistics, images[input_row], probes)

    return Train(
        *map(partial(_with_precision, study.precision), (init, advance, evaluate, watched)),
        first_kernel=network.first_kernel,
    )


def built_in(study: Study, data: Images, table: ops.Ops) -> Network:
    """The network of `model.py`, by the operations of `table`."""
    graph = nnx.graphdef(abstract_model(study, data))

    def build(key: Array, first_kernel: Array) -> tuple[Any, Any]:
        model = _model(study, data, key, first_kernel)
        return nnx.state(model, nnx.Param), nnx.state(model, nnx.BatchStat)

    def logits(params: Any, statistics: Any, images: Array, training: bool) -> tuple[Array, Any]:
        if not training:
            return nnx.merge(graph, params, statistics)(images, table), statistics
        own = jax.tree.map(lambda leaf: leaf, statistics)  # which the model may change
        model = nnx.merge(graph, params, own)
        return model(images, table, training=True), nnx.state(model, nnx.BatchStat)

    def watch(params: Any, statistics: Any, images: Array, probes: int) -> dict[str, Array]:
        model = nnx.merge(graph, params, statistics)
        found = responses.watch(partial(model.activations, ops=table), table, images, probes)
        if study.model.first == "dense":
            found["dense_weight"] = responses.half(dense_weights(study, data, params))
        return found | responses.deeper_kernels(params)

    def fields() -> list[Field]:
        of = study.model
        follow = (of.family, of.first, of.first_stride) == ("plain", "conv", 1)
        return [] if follow else abstract_model(study, data).receptive_fields()

    return Network(
        build,
        logits,
        first_kernel=partial(_first_kernel, study, data),
        watch=watch,
        fields=fields,
        first=("convs", 0),
        frozen=("kernel",) if study.model.batch_norm else ("kernel", "bias"),
        whole_batch=study.model.batch_norm or table is not ops.GEMM,
    )


def _first_kernel(study: Study, data: Images, params: Any) -> Array:
    """Of a dense layer the weights where a convolution would have its own: the k x k pixels about the middle
    unit of each map."""
    if study.model.first != "dense":
        return params["convs"][0]["kernel"][...]
    size, weights = study.model.kernel_size, dense_weights(study, data, params)
    top, left = (middle_window(side, size) for side in data.image_shape[:2])
    return weights[top : top + size, left : left + size]


def dense_weights(study: Study, data: Images, params: Any) -> Array:
    """Weights (H, W, C, width) of a dense first layer's middle unit of each map, as an image."""
    height, across, channels = data.image_shape
    weights = params["convs"][0]["kernel"][...]
    maps = weights.reshape(height, across, channels, height // 2, across // 2, study.model.width)
    return maps[:, :, :, height // 4, across // 4]


def abstract_model(study: Study, data: Images) -> CNN:
    """The network with shapes in place of values."""
    kernel = jnp.zeros(first_kernel_shape(study, data))
    return nnx.eval_shape(lambda: _model(study, data, jax.random.key(0), kernel))


def _model(study: Study, data: Images, key: Array, first_kernel: Array) -> CNN:
    """With random values but in its first kernel (kh, kw, cin, width)."""
    mup = study.model.parametrization == "mup"
    return CNN(
        image_shape=data.image_shape,
        classes=data.classes,
        kernel_size=study.model.kernel_size,
        width=study.model.width,
        deep_width=study.model.deep_width,
        depth=study.model.depth,
        activation=study.model.activation,
        first_init=lambda _, shape, *__: first_kernel.reshape(shape),
        first=study.model.first,
        first_stride=study.model.first_stride,
        family=study.model.family,
        batch_norm=study.model.batch_norm,
        stride=study.model.stride,
        residual=study.model.residual,
        dense_scale=width_factors(study.model)[1] ** -0.5 if mup else 1.0,
        rngs=nnx.Rngs(key),
    )


def _make_gradient(network: Network) -> Callable:
    """A function (params, statistics, images, labels) -> loss, gradient, statistics."""

    def loss_sum(params: Any, statistics: Any, images: Array, labels: Array):
        logits, statistics = network.logits(params, statistics, images, True)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()
        return loss, statistics

    def loss_and_gradient(params: Any, statistics: Any, images: Array, labels: Array):
        """Means over the batch, and the new statistics. On a CPU it is taken in chunks whose patches
        fit the cache; batch norm needs the whole batch at once."""
        batch = len(labels)
        chunk = batch if network.whole_batch else chunk_size(batch)
        chunks = [a.reshape(batch // chunk, chunk, *a.shape[1:]) for a in (images, labels)]
        gradient_of = jax.value_and_grad(loss_sum, has_aux=True)

        def add(carry, part):
            total, statistics = carry
            (loss, statistics), gradient = gradient_of(params, statistics, *part)
            return (jax.tree.map(jnp.add, total, (loss, gradient)), statistics), None

        zero = (jnp.zeros((), images.dtype), jax.tree.map(jnp.zeros_like, params))
        (total, statistics), _ = lax.scan(add, (zero, statistics), tuple(chunks))
        return *jax.tree.map(lambda t: t / batch, total), statistics

    return loss_and_gradient


def _with_precision(precision: str, function: Callable) -> Callable:
    """`function` with all its matrix products and convolutions at `precision`."""

    def wrapped(*args):
        with jax.default_matmul_precision(precision):
            return function(*args)

    return wrapped


def first_kernel_shape(study: Study, data: Images) -> tuple[int, int, int, int]:
    """(kh, kw, cin, cout) of the first layer; of a dense one (H, W, C, units)."""
    model, (height, across, channels) = study.model, data.image_shape
    if model.first == "dense":
        return height, across, channels, (height // 2) * (across // 2) * model.width
    size = model.kernel_size
    return size, size, 1 if model.first == "depthwise" else channels, model.width
