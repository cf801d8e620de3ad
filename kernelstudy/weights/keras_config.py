"""The convolutions that a Keras config names, and which stored weights are theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .layer import natural

_DEEP = 40


class Convolution(NamedTuple):
    name: str
    kind: str
    settings: dict[str, Any]


def convolutions(config: Any, depth: int = 0) -> Iterator[Convolution]:
    """The two-dimensional convolutions of a model's config, in its order, nested ones included."""
    if depth > _DEEP:
        return
    if isinstance(config, list):
        for entry in config:
            yield from convolutions(entry, depth + 1)
    elif isinstance(config, dict):
        kind, settings = config.get("class_name"), config.get("config")
        if (
            isinstance(kind, str)
            and isinstance(settings, dict)
            and re.search(r"Conv(olution)?2D$", kind)
        ):
            yield Convolution(str(settings.get("name", config.get("name", ""))), kind, settings)
        for key in ("config", "layers", "layer"):
            if isinstance(config.get(key), dict | list):
                yield from convolutions(config[key], depth + 1)


def in_order(
    datasets: Iterable[str], found_in_config: list[Convolution]
) -> Iterator[tuple[str, Convolution]]:
    """Each 4-d dataset with its settings, in the config's order; those it lacks last, by name."""
    # Keras 3 counts classes (conv2d, conv2d_1) where older files have the layers' own names.
    counted: dict[str, int] = {}
    numbered = []
    for found in found_in_config:
        snake = re.sub(
            r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", found.kind)
        )
        count = counted[snake] = counted.get(snake, -1) + 1
        numbered.append(f"{snake.lower()}_{count}" if count else snake.lower())
    parts = {part for place in datasets for part in place.split("/")}
    own = [found.name for found in found_in_config]
    names = own if set(own) <= parts else numbered
    left = sorted(datasets, key=natural)
    for name, found in zip(names, found_in_config, strict=True):
        for place in [p for p in left if name in p.split("/")]:
            left.remove(place)
            yield place, found
    for place in left:
        yield place, Convolution("", "", {})


def stride_of(settings: dict[str, Any]) -> tuple[int, int] | None:
    stride = settings.get("strides", settings.get("subsample"))
    stride = [stride, stride] if isinstance(stride, int) else stride
    if isinstance(stride, list) and len(stride) == 2 and all(isinstance(n, int) for n in stride):
        return stride[0], stride[1]
    return None
