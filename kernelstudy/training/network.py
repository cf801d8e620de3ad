"""What the engine needs of a network, the built-in one and those of one's own alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from kernelstudy.analysis.fields import Field


class Network(NamedTuple):
    """One kind of network as pure functions of its parameters and the rest of its state, `statistics`.

    build(key, first kernel) -> params, statistics
    logits(params, statistics, images (N, H, W, C), training) -> (N, classes), statistics
    first_kernel(params) -> the first layer's kernel (kh, kw, cin, width) that is logged
    watch(params, statistics, images (n, H, W, C), how many are probes) -> `analysis.variables.of_layer`, by
        name; of one that cannot be watched nothing
    fields() -> receptive fields of the layers that are watched; none, where they follow from their sizes
    """

    build: Callable[[Array, Array], tuple[Any, Any]]
    logits: Callable[[Any, Any, Array, bool], tuple[Array, Any]]
    first_kernel: Callable[[Any], Array]
    watch: Callable[[Any, Any, Array, int], dict[str, Array]]
    fields: Callable[[], list[Field]]
    first: tuple[
        Any, ...
    ]  # path in params of the first layer, whose entries below frozen arms keep
    frozen: tuple[str, ...]
    whole_batch: bool  # an image's logits depend on the other images of its batch


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    """What is at the end of a path of keys."""
    for key in path:
        tree = tree[key]
    return tree


def hold(changes: Any, network: Network, frozen: Array) -> None:
    """Make what would change the first layer zero, in place, where `frozen`: () for all, (channels,)."""
    first = at(changes, network.first)

    def held(leaf: Array) -> Array:
        # a dense layer's kernel holds all places of a map, with the channels last
        of_leaf = jnp.tile(frozen, leaf.shape[-1] // len(frozen)) if frozen.ndim else frozen
        return jnp.where(of_leaf, 0, leaf)

    for name in network.frozen:
        first[name] = jax.tree.map(held, first[name])
