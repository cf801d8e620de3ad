"""The convolutions that a Keras config names, and which stored weights are theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .layer import natural

_DEEP = 40


class Convolution(NamedTuple):
    """`path`: the layers' own names from the outermost container; `counted`: Keras 3's place of its variables.

    `sees`: whether no layer with weights comes between it and the model's input `source`.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    path: tuple[str, ...] = ()
    counted: str = ""
    sees: bool | None = None
    source: str = ""


Origin = frozenset[str]  # the inputs of the model that a value comes from, and _LAYER
_LAYER = "a layer with weights"
_WEIGHTED = re.compile(
    r"Conv|Dense|LSTM|GRU|RNN|Embedding|Attention|LocallyConnected|Einsum|Quantized"
)


def convolutions(config: Any) -> list[Convolution]:
    """The convolutions of a model's config, of one, two or three dimensions, in its order."""
    return _inside(config, (), "", 0, frozenset({"input"}))[0]


def _inside(
    entry: Any, path: tuple[str, ...], counted: str, depth: int, origin: Origin
) -> tuple[list[Convolution], Origin]:
    """Those of a layer or model whose own names are `path`, whose variables lie in `counted`, and where
    what comes out of it comes from.
    """
    if depth > _DEEP or not isinstance(entry, dict):
        return [], origin
    kind, settings = str(entry.get("class_name")), entry.get("config")
    if isinstance(settings, list):  # Keras 1's Sequential
        settings = {"layers": settings}
    if not isinstance(settings, dict):
        settings = entry if isinstance(entry.get("layers"), list) else {}
    if re.search(r"Conv(olution)?[123]D(Transpose)?$", kind):
        name = str(settings.get("name", entry.get("name", "")))
        sees = bool(origin) and _LAYER not in origin
        found = Convolution(
            name, kind, settings, path, counted, sees, ", ".join(sorted(origin - {_LAYER}))
        )
        return [found], frozenset({_LAYER})
    if isinstance(settings.get("layers"), list):
        return _of_model(settings, path, counted, depth, origin)
    if isinstance(settings.get("layer"), dict):  # TimeDistributed and other wrappers
        return _inside(settings["layer"], path, f"{counted}layer/", depth + 1, origin)
    return [], frozenset({_LAYER}) if _WEIGHTED.search(kind) else origin


def _of_model(
    settings: dict[str, Any], path: tuple[str, ...], counted: str, depth: int, origin: Origin
) -> tuple[list[Convolution], Origin]:
    """Layers in a row, or as their `inbound_nodes` say."""
    children = [child for child in settings["layers"] if isinstance(child, dict)]
    names = [_name_of(child) for child in children]
    seen: dict[str, int] = {}
    found: list[Convolution] = []
    outputs: dict[str, Origin] = {}
    last = origin
    for child, name in zip(children, names, strict=True):
        snake = _snake(str(child.get("class_name", "")))
        count = seen[snake] = seen.get(snake, -1) + 1
        place = f"{counted}layers/{snake}_{count}/" if count else f"{counted}layers/{snake}/"
        before = list(_mentioned(child.get("inbound_nodes"), set(names), 0))
        if before:
            last = frozenset().union(*(outputs.get(n, frozenset()) for n in before))
        elif child.get("class_name") == "InputLayer":
            last = origin if depth else frozenset({name})
        inner, last = _inside(child, (*path, name), place, depth + 1, last)
        outputs[name] = last
        found += inner
    ends = list(_mentioned(settings.get("output_layers"), set(names), 0))
    return found, frozenset().union(*(outputs[n] for n in ends)) if ends else last


def _name_of(layer: dict[str, Any]) -> str:
    own = layer.get("config")
    name = own.get("name") if isinstance(own, dict) else None
    return str(name or layer.get("name", ""))


def _mentioned(value: Any, names: set[str], depth: int) -> Iterator[str]:
    """The layers that a description of connections names, in Keras 2's lists or Keras 3's tensors."""
    if isinstance(value, str) and value in names:
        yield value
    elif isinstance(value, dict | list) and depth < _DEEP:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _mentioned(inner, names, depth + 1)


def _snake(kind: str) -> str:
    """Conv2D -> conv2d, DepthwiseConv2D -> depthwise_conv2d, as Keras does."""
    kind = re.sub(r"\W+", "", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()


def in_order(
    datasets: Iterable[str], found_in_config: list[Convolution]
) -> Iterator[tuple[str, Convolution]]:
    """Each dataset with its settings, in the config's order ('' for a layer that has none); those that
    the config lacks last, by name.

    Keras 3 counts classes within their container (layers/functional/layers/conv2d) where older files
    have the layers' own names, nested models' inner ones after the outer.
    """
    left = sorted(datasets, key=natural)
    parts = {place: re.split(r"/", place) for place in left}
    for found in found_in_config:
        own = [p for p in left if p.startswith(f"{found.counted}vars/")]
        own = own or [p for p in left if _ends(parts[p], found.path)]
        own = own or [p for p in left if found.name in parts[p]]
        for place in own:
            left.remove(place)
            yield place, found
        if not own:
            yield "", found
    for place in left:
        yield place, Convolution("", "", {})


def _ends(parts: list[str], path: tuple[str, ...]) -> bool:
    """Whether a dataset lies under the layers' names: the outermost, then the others in turn."""
    rest = [part for part in parts if part not in ("model_weights", "layers", "vars")]
    if not path or rest[:1] != [path[0]]:
        return False
    steps = iter(rest)
    return all(name in steps for name in path)


def stride_of(settings: dict[str, Any]) -> tuple[int, int] | None:
    stride = settings.get("strides", settings.get("subsample"))
    stride = [stride, stride] if isinstance(stride, int) else stride
    if isinstance(stride, list) and len(stride) == 2 and all(isinstance(n, int) for n in stride):
        return stride[0], stride[1]
    return None
