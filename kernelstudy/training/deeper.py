"""Deeper convolutions that start or learn in a way of their own (`arms.deeper`, `arms.deeper_kernels`).

A plane is what one output sees of one input, (kh, kw). In a mixed layer every plane is a fixed kernel of norm 1
times a number, and the numbers are learned: W[:, :, i, o] = c[i, o] B[:, :, i, o]. The rule of training acts on
the numbers themselves, so that its memory, its decay and Adam's division by the gradient's size are those of c
(`to_numbers`, `from_numbers`). With a full convolution this is the counterpart of fixed spatial filters whose
mixing is learned: random ones (Gavrikov & Keuper 2023), or a few that serve all layers (Babaiee et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernelstudy import handcrafted
from kernelstudy.config import Arm, Study

_PLANES = 2  # a seed's stream of random kernels, apart from those in `inputs`


class Held(NamedTuple):
    """How the deeper convolutions of one network are held; in a population with a leading axis of networks."""

    frozen: Any  # True: kernels and biases stay as they are, those of norms are learned
    mixed: Any  # True: of every plane the number alone is learned
    planes: (
        Any  # of each layer (kh, kw, cin, cout), planes of norm 1; None where no network is mixed
    )


def held(study: Study, nets: list[tuple[int, int]], params: Any) -> Held | None:
    """Of networks (arm, seed), stacked; None where all arms learn all of it. `params`: shapes of one's."""
    arms = study.arms
    if all(arm.deeper == "learned" for arm in arms):
        return None
    planes = None
    if any(arm.deeper == "mixed" for arm in arms):
        shapes = _shapes(params)
        zeros = [np.zeros(shape, np.float32) for shape in shapes]
        of_nets = [
            planes_of(arms[a], seed, shapes) if arms[a].deeper == "mixed" else zeros
            for a, seed in nets
        ]
        planes = [jnp.asarray(np.stack(of_layer)) for of_layer in zip(*of_nets, strict=True)]
    return Held(
        frozen=jnp.array([arms[a].deeper == "frozen" for a, _ in nets]),
        mixed=jnp.array([arms[a].deeper == "mixed" for a, _ in nets]),
        planes=planes,
    )


def started(arm: Arm, seed: int, params: Any) -> Any:
    """One network's parameters with the start of its deeper layers that `arm` wants.

    Flax's start projected on each plane's kernel, times the root of the number of taps: normal numbers, paired
    by seed, and planes with the mean squared norm of Flax's start.
    """
    if not arm.deeper_kernels and arm.deeper != "mixed":
        return params

    def on_plane(kernel: Any, plane: Any) -> np.ndarray:
        kernel = np.asarray(kernel)
        taps = kernel.shape[0] * kernel.shape[1]
        return taps**0.5 * (kernel * plane).sum((0, 1), keepdims=True) * plane

    return _on_kernels(on_plane, params, planes_of(arm, seed, _shapes(params)))


def planes_of(arm: Arm, seed: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Of each deeper layer of such a shape (kh, kw, cin, cout) the kernels of its planes, of norm 1, float32.

    The plane from input i to output o has kernel (i + o) modulo their number, so that every output, and every
    input, meets all kernels alike. Without names all are random and differ from plane to plane.
    """
    rng = np.random.default_rng((seed, _PLANES))
    found = []
    for shape in shapes:
        planes = rng.standard_normal(shape)
        if names := arm.deeper_kernels:
            bank = np.stack([handcrafted.kernel(name, shape[0]) for name in names], -1)
            places = np.add.outer(np.arange(shape[2]), np.arange(shape[3])) % len(names)
            planes = bank[:, :, places]
        norms = np.linalg.norm(planes, axis=(0, 1), keepdims=True)
        found.append((planes / norms).astype(np.float32))
    return found


def to_numbers(held: Held | None, tree: Any) -> Any:
    """Gradients or parameters, of which every tap of a mixed plane has the component along its kernel: of
    parameters the number c, of gradients that by c."""
    if held is None or held.planes is None:
        return tree

    def along(leaf: jax.Array, plane: jax.Array) -> jax.Array:
        return jnp.where(held.mixed, (leaf * plane).sum((0, 1), keepdims=True), leaf)

    return _on_kernels(along, tree, held.planes)


def from_numbers(held: Held | None, changes: Any) -> Any:
    """The changes of parameters that belong to changes of `to_numbers`; none of what is frozen."""
    if held is None:
        return changes
    if held.planes is not None:

        def on_plane(leaf: jax.Array, plane: jax.Array) -> jax.Array:
            return jnp.where(held.mixed, leaf * plane, leaf)

        changes = _on_kernels(on_plane, changes, held.planes)
    for index in list(changes["convs"])[1:]:
        layer = changes["convs"][index]
        changes["convs"][index] = jax.tree.map(lambda u: jnp.where(held.frozen, 0, u), layer)
    if "stages" in changes:
        changes["stages"] = jax.tree_util.tree_map_with_path(
            lambda path, u: u if _is_norm(path) else jnp.where(held.frozen, 0, u), changes["stages"]
        )
    return changes


def _is_norm(path: tuple[Any, ...]) -> bool:
    return "norm" in jax.tree_util.keystr(path)


def _on_kernels(function: Callable[[Any, Any], Any], tree: Any, planes: Any) -> Any:
    """`tree` with `function(kernel, planes)` for the kernels of its deeper convolutions."""
    tree = jax.tree.map(lambda leaf: leaf, tree)
    for index, of_layer in zip(list(tree["convs"])[1:], planes, strict=True):
        tree["convs"][index] = jax.tree.map(
            lambda leaf, of_layer=of_layer: function(leaf, of_layer) if leaf.ndim == 4 else leaf,
            tree["convs"][index],
        )
    return tree


def _shapes(params: Any) -> list[tuple[int, ...]]:
    """Of the kernels of the deeper convolutions."""
    layers = [params["convs"][index] for index in list(params["convs"])[1:]]
    return [
        leaf.shape for layer in layers for leaf in jax.tree.leaves(layer) if len(leaf.shape) == 4
    ]
