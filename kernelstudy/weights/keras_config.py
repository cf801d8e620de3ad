"""The convolutions that a Keras config names, and which stored weights are theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .layer import natural

_DEEP = 40


class Convolution(NamedTuple):
    """`path`: the layers' own names from the outermost container; `counted`: Keras 3's place of its variables."""

    name: str
    kind: str
    settings: dict[str, Any]
    path: tuple[str, ...] = ()
    counted: str = ""


def convolutions(config: Any) -> Iterator[Convolution]:
    """The convolutions of a model's config, of one, two or three dimensions, in its order."""
    yield from _inside(config, (), "", 0)


def _inside(
    entry: Any, path: tuple[str, ...], counted: str, depth: int
) -> Iterator[Convolution]:
    """Those within a layer or model, whose own names are `path` and whose variables lie in `counted`."""
    if depth > _DEEP or not isinstance(entry, dict):
        return
    kind, settings = entry.get("class_name"), entry.get("config")
    if isinstance(settings, list):  # Keras 1's Sequential
        settings = {"layers": settings}
    if not isinstance(settings, dict):
        settings = entry if isinstance(entry.get("layers"), list) else {}
    name = str(settings.get("name", entry.get("name", "")))
    if isinstance(kind, str) and re.search(r"Conv(olution)?[123]D(Transpose)?$", kind):
        yield Convolution(name, kind, settings, path, counted)
    inner = settings.get("layers")
    if isinstance(inner, list):
        seen: dict[str, int] = {}
        for child in inner:
            if not isinstance(child, dict):
                continue
            snake = _snake(str(child.get("class_name", "")))
            count = seen[snake] = seen.get(snake, -1) + 1
            place = f"{counted}layers/{snake}_{count}/" if count else f"{counted}layers/{snake}/"
            own = child.get("config")
            own_name = own.get("name") if isinstance(own, dict) else None
            yield from _inside(
                child, (*path, str(own_name or child.get("name", ""))), place, depth + 1
            )
    if isinstance(settings.get("layer"), dict):  # TimeDistributed and other wrappers
        yield from _inside(settings["layer"], path, f"{counted}layer/", depth + 1)


def _snake(kind: str) -> str:
    """Conv2D -> conv2d, DepthwiseConv2D -> depthwise_conv2d, as Keras does."""
    kind = re.sub(r"\W+", "", kind)
    return re.sub(
        r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    ).lower()


def in_order(
    datasets: Iterable[str], found_in_config: list[Convolution]
) -> Iterator[tuple[str, Convolution]]:
    """Each dataset with its settings, in the config's order; those that it lacks last, by name.

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
