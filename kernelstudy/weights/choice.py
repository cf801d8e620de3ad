"""Which layer of a network is meant: named, or the first that sees the image; else a question."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .layer import Layer, Network, WeightsError, natural
from .roles import AVERAGE, doubtful, in_sequence, named_depthwise, role_of
from .stem import BLOCK_OF

LARGEST = 64  # pixels: what is longer is no kernel (anchors, positions)


def choose(network: Network, name: str | None = None) -> tuple[Layer, str]:
    """The layer, and in a few words why it is this one.

    By `name`: its whole name, or an ending that only one has. Else the first convolution that sees
    the network's input as its graph tells it; without a graph, the one with 1 or 3 input channels, or
    with so many that no other layer can have made them.

    Raises:
        WeightsError: no such layer, none that could see an image, or several: the message lists them.
    """
    if name is not None:
        return _named(network, name), "as named"
    if network.order == "graph":
        return _readable(*_in_graph(network.layers))
    weights, why = _weights(network.layers)
    if len(network.layers) == 1 and len(weights) == 1 and not weights[0].transposed:
        return _readable(weights[0], f"the only convolution{why}", named=True)
    found = _without_doubles(candidates(network))
    first = found[0]
    ordered = [_follows(network.order, first, other) for other in found[1:]]
    if not all(ordered):
        raise WeightsError(
            "several layers may be the one that sees the image: name one with --layer: "
            + _listed(found)
        )
    channels = _inputs(first)
    if channels not in (1, 3) and not _named_first(first.name):
        raise WeightsError(
            "no layer has 1 or 3 input channels; one of these may see bands, or come after others: name "
            f"one with --layer: {_listed(found)}"
        )
    if len(found) == 1:
        fit = "input channels fit" if channels != 1 else "input channel fits"
        return _readable(first, f"the only one whose {channels} {fit} an image{why}")
    return _readable(first, f"the first in order of those that may see the image{why}")


def without_numbers(network: Network) -> Network:
    """The network where only its arrays' shapes are known, as within `jax.jit`: others stand in for the
    numbers, by which copies of a layer would be told."""
    rng = np.random.default_rng(0)
    layers = (
        replace(each, load=lambda shape=each.shape: rng.standard_normal(shape))
        for each in network.layers
    )
    return replace(network, layers=tuple(layers))


def rivals(network: Network, chosen: Layer) -> list[Layer]:
    """The other layers that may see an image, copies among them, as far as the file tells."""
    if network.order == "graph":
        found = [layer for layer in network.layers if layer.sees]
    else:
        try:
            found = candidates(network)
        except WeightsError:
            found = []
    alike = [
        layer
        for layer in network.layers
        if layer.shape == chosen.shape and (layer.role or doubtful(layer.name))
    ]
    those = {id(layer) for layer in (*found, *alike)} - {id(chosen)}
    return [layer for layer in network.layers if id(layer) in those]


def candidates(network: Network) -> list[Layer]:
    """The layers that may see an image as far as the file tells, the likeliest first.

    Raises:
        WeightsError: there is none.
    """
    weights, _ = _weights(network.layers)
    forward = [layer for layer in weights if not layer.transposed]
    if not forward:
        raise WeightsError(
            f"no layer sees an image: {_listed(weights)} {_are(weights)} transposed, and the last of "
            "such layers makes the image; name one with --layer"
        )
    unknown = [layer for layer in forward if layer.layout is None]
    if len(unknown) == len(forward):
        raise WeightsError(
            f"the layout of {unknown[0].name} {unknown[0].shape} cannot be known: give --layout, "
            "one of hwio, oihw, ohwi"
        )
    known = [layer for layer in forward if layer.layout is not None and _is_spatial(layer)]
    found = _without_copies(_seeing(known, weights, network.order))
    if not found:
        told = f"; {_listed(weights[-1:])} is transposed" if weights[-1].transposed else ""
        raise WeightsError(
            "no layer has 1 or 3 input channels: name one with --layer, for instance "
            + ", ".join(layer.name for layer in forward[:3])
            + told
        )
    if network.order == "names":
        found = sorted(found, key=lambda layer: natural(layer.name))
    return found


def _seeing(layers: list[Layer], all_weights: list[Layer], order: str) -> list[Layer]:
    """Those whose input channels are an image's, rather than another layer's output."""
    makers = [o for o in all_weights if o.layout is not None and not _is_depthwise(o)]
    made = {_outputs(other) for other in makers}
    free = [layer for layer in layers if not (_is_depthwise(layer) and len(layers) > 1)]
    # positions and the like are stored in the shape of one filter, under names of their own
    kernels = [o for o in free if _outputs(o) > 1 or re.search(r"(weight|kernel)\w*$", o.name)]
    free = kernels or free

    place = {id(layer): index for index, layer in enumerate(all_weights)}

    def may_feed(maker: Layer, layer: Layer) -> bool:
        told = order == "declared" or in_sequence(maker.name, layer.name)
        return maker is not layer and not (told and place[id(maker)] > place[id(layer)])

    def may_be_depthwise(layer: Layer) -> bool:
        fed = {_outputs(maker) for maker in makers if may_feed(maker, layer)}
        return _inputs(layer) == 1 and any(n > 1 and _outputs(layer) % n == 0 for n in fed)

    image = [layer for layer in free if _inputs(layer) in (1, 3)]
    # beside colour a second image of one channel, depth for instance, counts where it can be nothing else
    sure = [layer for layer in image if not may_be_depthwise(layer)]
    if sure:
        # the same layer of a second stream (depth beside colour) may look like a depthwise one
        return [o for o in image if o in sure or any(_is_counterpart(o, other) for other in sure)]
    # few channels that no layer makes come from outside: bands, or blocks of pixels
    bands = {2, *range(4, 33), 48} - made
    return [layer for layer in free if _inputs(layer) in bands | {1}]


def _is_counterpart(layer: Layer, other: Layer) -> bool:
    """Whether names differ in one word, and shapes in the input channels alone."""
    a, b = (re.split(r"[./]", one.name) for one in (layer, other))
    if len(a) != len(b) or len(a) < 3 or in_sequence(layer.name, other.name):
        return False
    words = sum(x != y for x, y in zip(a, b, strict=True))
    alike = _size(layer) == _size(other) and _outputs(layer) == _outputs(other)
    return words == 1 and alike and not _is_depthwise(layer)


def _without_copies(found: list[Layer]) -> list[Layer]:
    """Without those whose names are a copy's where one of the same shape bears none."""
    plain = [layer.shape for layer in found if not doubtful(layer.name)]
    return [layer for layer in found if not doubtful(layer.name) or layer.shape not in plain]


def _without_doubles(found: list[Layer]) -> list[Layer]:
    """Without those whose numbers are those of one before: a checkpoint may hold its weights twice."""
    if len(found) == 1 or len(found) > 8:
        return found
    kept: list[Layer] = []
    for layer in found:
        alike = [k for k in kept if k.shape == layer.shape and not k.refused and not layer.refused]
        if not any(np.array_equal(k.hwio(), layer.hwio()) for k in alike if k.layout):
            kept.append(layer)
    return kept


_FIRST = re.compile(
    r"(\w*stem\w*|conv_?[01]?(_?1)?|conv_?in|in_?conv|inc|input\w*|first\w*|\w*patch_embed\w*|proj|entry\w*|"
    r"root|0|\w*focus\w*|conv2d|Conv_0)",
    re.IGNORECASE,
)


def _named_first(name: str) -> bool:
    """Whether a layer's name is one that the first layer of a network usually bears."""
    parts = re.split(r"[./]", name)
    return any(_FIRST.fullmatch(part) for part in parts[:-1] or parts)


def _follows(order: str, first: Layer, other: Layer) -> bool:
    """Whether `other` comes after `first` in an order that means something."""
    if in_sequence(first.name, other.name):
        # of one shape, they are members of an ensemble unless one can feed the other
        return first.shape != other.shape or _inputs(other) == _outputs(first) or _alone(other)
    siblings = first.name.count(".") == other.name.count(".") == 0 or _parent(first) == _parent(
        other
    )
    return order == "declared" and siblings


def _alone(layer: Layer) -> bool:
    return _inputs(layer) == 1  # depthwise layers repeat


def _parent(layer: Layer) -> str:
    """The container of the layer whose weight it is."""
    return ".".join(layer.name.replace("/", ".").split(".")[:-2])


def _in_graph(layers: Sequence[Layer]) -> tuple[Layer, str]:
    if all(layer.sees is None for layer in layers):
        return layers[0], "the first convolution in graph order"
    seeing = [layer for layer in layers if layer.sees]
    if not seeing:
        transposed = [layer for layer in layers if layer.transposed]
        told = (
            f"{_listed(transposed)} {_are(transposed)} transposed, and the last of such layers makes "
            "the image"
            if transposed
            else "the first convolutions come after other layers"
        )
        raise WeightsError(
            f"no layer sees the image: {told}; name one with --layer: {_listed(layers)}"
        )
    forward = [layer for layer in seeing if not layer.transposed]
    if not forward:
        raise WeightsError(
            f"no layer sees an image: {_listed(seeing)} {_are(seeing)} transposed, which makes an "
            "image from what it is given; name a layer with --layer"
        )
    sources = {layer.source for layer in forward}
    if len(sources) > 1 and len(forward) > 1:
        raise WeightsError(
            "the network has several inputs, each seen by a layer of its own: name one with --layer: "
            + _listed(forward)
        )
    return forward[0], "the first convolution that the network's input reaches in its graph"


def _readable(layer: Layer, why: str, *, named: bool = False) -> tuple[Layer, str]:
    if len(layer.shape) in (3, 5) and not layer.refused and not named:
        raise WeightsError(
            f"{layer.name}, {why}, is {layer.kind()}, which sees no image: named with --layer it is measured, "
            "as far as there is chance to hold it against"
        )
    if layer.refused:
        raise WeightsError(
            f"{layer.name}, {why}, cannot be measured: {layer.refused}; another is named by --layer"
        )
    return layer, why


def _weights(layers: Sequence[Layer]) -> tuple[list[Layer], str]:
    """Without optimisers' arrays and the like; averages only where there is nothing else."""
    plain = [layer for layer in layers if not role_of(layer)]
    surer = [layer for layer in plain if len(layer.shape) != 3 or layer.sees is not None]
    if surer or len(plain) == 1:
        return surer or plain, ""
    if plain:
        raise WeightsError(
            "the file holds no convolution of two dimensions; if these are of one, name one with --layer: "
            + _listed(plain)
        )
    averages = [layer for layer in layers if role_of(layer) == AVERAGE]
    if averages:
        return averages, f"; it is {AVERAGE}"
    raise WeightsError(f"the file holds no weights of a layer: {_listed(layers)}")


def _named(network: Network, name: str) -> Layer:
    names = [layer.name for layer in network.layers]
    exact = [layer for layer in network.layers if layer.name == name]
    ending = [
        layer
        for layer in network.layers
        if layer.name.endswith((f".{name}", f"/{name}"))
        or name in layer.name.split("/")
        or layer.name in (f"{name}.weight", f"{name}/kernel")
        or layer.name.endswith((f".{name}.weight", f"/{name}/kernel"))
    ]
    for found in (exact, [layer for layer in ending if not layer.role], ending):
        if len(found) == 1 or (found and found is exact):
            if found[0].refused:
                raise WeightsError(f"{found[0].name} cannot be measured: {found[0].refused}")
            return found[0]
    near = difflib.get_close_matches(name, names, n=3) or names[:3]
    told = (
        "names more than one layer" if ending else "is no layer with a convolution's weights here"
    )
    shown = [layer.name for layer in ending[:3]] or near
    raise WeightsError(
        f"--layer: {name!r} {told} (there are {len(names)}: {', '.join(shown)}, ...; see --list)"
    )


def _is_depthwise(layer: Layer) -> bool:
    return layer.depthwise or (_inputs(layer) == 1 and named_depthwise(layer.name))


def _is_spatial(layer: Layer) -> bool:
    size = _size(layer)
    if set(size) == {1}:
        return _inputs(layer) in BLOCK_OF
    return 1 < max(size) <= LARGEST and math.prod(size) <= LARGEST**2


def _size(layer: Layer) -> tuple[int, ...]:
    """The kernel's extent, of two or three axes."""
    return {
        "oihw": layer.shape[2:],
        "iohw": layer.shape[2:],
        "ohwi": layer.shape[1:-1],
    }.get(layer.layout or "", layer.shape[:-2])


def _inputs(layer: Layer) -> int:
    return _channels(layer)[0]


def _outputs(layer: Layer) -> int:
    return _channels(layer)[1]


def _channels(layer: Layer) -> tuple[int, int]:
    s = layer.shape
    return {
        "oihw": (s[1], s[0]),
        "iohw": (s[0], s[1]),
        "ohwi": (s[-1], s[0]),
        "hwoi": (s[-1], s[-2]),
        "hwim": (1, s[-2] * s[-1]),
    }.get(layer.layout or "", (s[-2], s[-1]))


def _listed(layers: Sequence[Layer]) -> str:
    shown = [layer.describe() for layer in layers[:6]]
    return "; ".join(shown) + (f"; {len(layers) - 6} more" if len(layers) > 6 else "")


def _are(layers: Sequence[Layer]) -> str:
    return "is" if len(layers) == 1 else "are"
