"""Which layer of a network is meant: named, or the first that sees the image."""

from __future__ import annotations

import difflib

from .layer import Layer, Network, WeightsError

# Four shifted copies of a grey or colour image stacked as channels; also blocks of 4 x 4.
BLOCK_OF = {4: 2, 12: 2, 16: 4, 48: 4}
# Optimisers keep arrays of the weights' shapes.
_BESIDE = (
    "optimizer",
    "optimizer_state",
    "optimizer_state_dict",
    "optim",
    "opt_state",
    "mu",
    "nu",
    "ema",
)


def choose(network: Network, name: str | None = None) -> tuple[Layer, str]:
    """The layer, and in a few words why it is this one.

    By `name`: its whole name, or an ending that only one has. Else the first convolution in graph
    order, else the first with 1 or 3 input channels (3 before 1 where the order says nothing), else
    a first layer with 4 or 12 (16 or 48), a space-to-depth stem.

    Raises:
        WeightsError: no such layer, or none that could see an image.
    """
    if name is not None:
        return _named(network, name), "as named"
    layers = network.layers
    if network.order == "graph":
        return layers[0], "the first convolution in graph order"
    listed = [layer for layer in layers if not _beside(layer)] or list(layers)
    if len(layers) == 1:
        return layers[0], "the only array with four axes"
    unknown = [layer for layer in listed if layer.layout is None]
    if len(unknown) == len(listed):
        raise WeightsError(
            f"the layout of {unknown[0].name} {unknown[0].shape} cannot be known: give --layout, "
            "one of hwio, oihw, ohwi"
        )
    inputs = {id(layer): (layer.shape_hwio() or (0, 0, 0, 0))[2] for layer in listed}
    seeing = [layer for layer in listed if inputs[id(layer)] in (1, 3) and _spatial(layer)]
    seeing = seeing or [layer for layer in listed if inputs[id(layer)] in (1, 3)]
    colour = [layer for layer in seeing if inputs[id(layer)] == 3]
    first = listed[0]
    if seeing and network.order == "names" and colour:
        return colour[0], "the first by name with 3 input channels"
    stem = inputs[id(first)] in (4, 12, 48) and not colour
    if seeing and not (stem and inputs[id(seeing[0])] == 1):
        return seeing[0], "the first array with four axes and 1 or 3 input channels"
    if inputs[id(first)] in BLOCK_OF:
        return first, "the first array with four axes"
    raise WeightsError(
        "no layer has 1 or 3 input channels: name one with --layer, for instance "
        + ", ".join(layer.name for layer in listed[:3])
    )


def _named(network: Network, name: str) -> Layer:
    names = [layer.name for layer in network.layers]
    exact = [layer for layer in network.layers if layer.name == name]
    ending = [
        layer
        for layer in network.layers
        if layer.name.endswith((f".{name}", f"/{name}"))
        or name in layer.name.split("/")
        or layer.name in (f"{name}.weight", f"{name}/kernel")
    ]
    for found in (exact, ending):
        if len(found) == 1 or (found and found is exact):
            return found[0]
    near = difflib.get_close_matches(name, names, n=3) or names[:3]
    told = "names more than one layer" if ending else "is no layer with 4-d weights here"
    shown = [layer.name for layer in ending[:3]] or near
    raise WeightsError(
        f"--layer: {name!r} {told} (there are {len(names)}: {', '.join(shown)}, ...; see --list)"
    )


def _spatial(layer: Layer) -> bool:
    kh, kw, *_ = layer.shape_hwio() or (0, 0)
    return kh == kw > 1


def _beside(layer: Layer) -> bool:
    return bool({*layer.name.replace(".", "/").split("/")} & {*_BESIDE})
