"""Training mapped over networks, devices and processes (`make_population`).

Networks run one after another on a CPU, where a network's working set then stays in cache, and under
`vmap` on GPU and TPU; on both they are shared out over all devices. Nothing a network computes depends on
its neighbours.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kernelstudy.config import Study
from kernelstudy.data.images import Images
from kernelstudy.training.ops import LAX
from kernelstudy.training.train import State, Train, abstract_model, first_kernel_shape

# A device's networks run on one thread of a CPU: operations are best in the order that reuses the cache.
IN_TURN = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
# For what runs once: compiling JAX's random bits with all optimisations takes 10 seconds.
_COMPILE_QUICKLY = {"xla_backend_optimization_level": 0}
# For what runs at log points: compiles in two thirds of the time, and runs as fast to within a seventh.
COMPILE_SOONER = {"xla_backend_optimization_level": 1}


class Population(NamedTuple):
    """`Train` over a leading axis of networks, compiled, with the networks shared out over devices.

    place(tree) -> the tree with that axis on the devices; share(tree) -> the tree on every device;
    fetch(tree) -> the tree as NumPy arrays, whole, in every process.
    pick(tree, rows) -> those networks of a placed tree, on every device.
    like(tree, nets) -> shapes of so many of a network's tree when they are placed, to compile for.
    init is of one network and runs on one device.
    """

    like: Callable[[Any, int], Any]
    place: Callable[[Any], Any]
    share: Callable[[Any], Any]
    fetch: Callable[[Any], Any]
    pick: Callable[[Any, Array], Any]
    advance: Any  # jitted (State, Net, Task, Order, steps) -> State, losses
    evaluate: Any  # jitted (State, Net, Task, examples) -> accuracy
    watch: Any  # jitted (params, statistics, input_row, images) -> what is watched, by name
    first_kernel: Any  # params -> `Train.first_kernel`
    init: Callable[[Array, Array], State]


def for_once() -> dict[str, int] | None:
    """Compiler options of what runs once, on one device; None but on a CPU, whose compiler they are of."""
    return _COMPILE_QUICKLY if jax.default_backend() == "cpu" else None


def make_population(train: Train, devices: list[Any]) -> Population:
    """Map `train` over networks on `devices`; the number of networks must be a multiple of theirs.

    With several processes (`jax.distributed`) every one of them calls this, and all that follows,
    with the same arguments; `devices` are those of all processes.
    """
    mesh = Mesh(np.array(devices), ("net",))
    split, everywhere = PartitionSpec("net"), PartitionSpec()
    on_cpu = devices[0].platform == "cpu"
    seldom = COMPILE_SOONER if on_cpu else None

    def over_nets(function, nets: int, shared: int, donate: bool = False, options=None):
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
        donated = 0 if donate else ()
        return jax.jit(mapped, donate_argnums=donated, compiler_options=options)

    def put(spec: PartitionSpec, tree: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        if jax.process_count() == 1:
            # By way of the host: to cut a device's arrays up, JAX compiles a program for each shape.
            return jax.device_put(jax.tree.map(np.asarray, tree), sharding)

        def parts(leaf):  # each process holds the whole and hands out what its devices need
            whole = np.asarray(leaf)
            return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

        return jax.tree.map(parts, tree)

    def fetch(tree: Any) -> Any:
        if jax.process_count() > 1:
            tree = multihost_utils.process_allgather(tree, tiled=True)
        return jax.tree.map(np.asarray, tree)

    def like(tree: Any, nets: int) -> Any:
        sharding = NamedSharding(mesh, split)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((nets, *leaf.shape), leaf.dtype, sharding=sharding),
            tree,
        )

    return Population(
        like=like,
        place=partial(put, split),
        share=partial(put, everywhere),
        fetch=fetch,
        pick=jax.jit(
            lambda tree, rows: jax.tree.map(lambda leaf: leaf[rows], tree),
            out_shardings=NamedSharding(mesh, everywhere),
        ),
        advance=over_nets(train.advance, 2, 3, donate=True, options=IN_TURN if on_cpu else None),
        evaluate=over_nets(train.evaluate, 2, 2, options=seldom),
        watch=over_nets(train.watch, 3, 1, options=seldom),
        first_kernel=jax.vmap(train.first_kernel),
        init=jax.jit(train.init, compiler_options=for_once()),
    )


class Grid(NamedTuple):
    """Networks (arm, seed) as rows of a population, arm by arm.

    Their number must divide by the devices: copies of the last fill up and are dropped.
    """

    arms: int
    seeds: int
    devices: int

    @property
    def networks(self) -> list[tuple[int, int]]:
        """(arm, row of its seed) of every network and of the copies."""
        nets = list(itertools.product(range(self.arms), range(self.seeds)))
        return nets + nets[-1:] * (-len(nets) % self.devices)

    def rows(self, seeds: int) -> list[int]:
        """The rows of `networks` where each arm has so many seeds, and no network is copied."""
        return [arm * seeds + row for arm, row in self.networks]

    def own(self, values: np.ndarray) -> np.ndarray:
        """Values (row, ...) without those of copies."""
        return values[: self.arms * self.seeds]

    def folded(self, values: np.ndarray) -> np.ndarray:
        """Values (row, ...) as (arm, seed, ...)."""
        return self.own(values).reshape(self.arms, self.seeds, *values.shape[1:])


in_background = ThreadPoolExecutor(thread_name_prefix="compile").submit


def compiling(program: Any, *args: Any) -> "Future[Any]":
    """A jitted function for these arguments (or their shapes), compiled while the caller goes on: XLA
    does not hold Python's lock while it works."""
    return in_background(program.lower(*args).compile)


def shapes_of_one(population: Population, study: Study, data: Images) -> State:
    """Shapes of one network's state."""
    kernel = jax.ShapeDtypeStruct(first_kernel_shape(study, data), jnp.float32)
    return jax.eval_shape(population.init, jax.eval_shape(lambda: jax.random.key(0)), kernel)


def bytes_a_network(state: Any, study: Study, data: Images, batch: int | None = None) -> int:
    """Memory that one more network, whose state has these shapes, takes on its device, about.

    Its parameters and the optimiser's, twice (a step's results lie beside what it starts from); and where
    networks are mapped by vmap, what one batch needs: `batch` bytes, where it is not the built-in network.
    """
    held = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    if jax.default_backend() == "cpu":
        return held
    if batch is None:
        is_plain = study.model.family == "plain"
        batch = (
            bytes_of_batch(study, data.image_shape) if is_plain else bytes_of_stages(study, data)
        )
    return held + batch


def bytes_of_values(function: Callable[..., Any], *shapes: Any) -> int:
    """Memory of all that `function` computes of arguments of these shapes, and as much for its gradient."""
    computed = jax.make_jaxpr(function)(*shapes).jaxpr
    values = [v.aval for eqn in computed.eqns for v in eqn.outvars]
    return 2 * sum(v.size * v.dtype.itemsize for v in values if hasattr(v, "size"))


def bytes_of_stages(study: Study, data: Images) -> int:
    """`bytes_of_batch` of a family with stages."""
    graph, *state = nnx.split(abstract_model(study, data), nnx.Param, ...)

    def logits(params: Any, rest: Any, images: Array) -> Array:
        return nnx.merge(graph, params, rest)(images, LAX, training=True)

    images = jax.ShapeDtypeStruct((study.batch_size, *data.image_shape), jnp.float32)
    return bytes_of_values(logits, *state, images)


def bytes_of_batch(study: Study, image_shape: tuple[int, int, int]) -> int:
    """Memory of one network's images and feature maps of a batch, with what their gradients need, about.

    By what XLA's CPU compiler reserves for `lax` under vmap: up to eight times the maps.
    """
    model, (h, w, channels) = study.model, image_shape
    maps = 0
    for layer in range(model.depth):
        if model.stride > 1:
            h, w = -(-h // model.stride), -(-w // model.stride)
        maps += (model.width if layer == 0 else model.deep_width) * h * w
        if model.stride == 1:
            h, w = max(1, h // 2), max(1, w // 2)
    return 4 * study.batch_size * (image_shape[0] * image_shape[1] * channels + 8 * maps)
