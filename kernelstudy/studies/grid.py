"""What was swept: which settings differ between runs, and how the runs lie in the grid of their values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from kernelstudy.config import NOT_IN_ID, Study

if TYPE_CHECKING:
    import pandas as pd

NOT_SWEPT = ("name", "seeds", "arms")  # a label, and two axes of their own


class Key(NamedTuple):
    """A swept key. `values`: what it takes, in order; `follows`: keys whose value it decides."""

    name: str
    values: list[Any]
    follows: list[str]

    def label(self, index: int) -> str:
        return label(self.values[index])


def arrange(studies: list[Study]) -> tuple[list[Key], list[int], pd.DataFrame]:
    """The swept keys, every run's condition, and the conditions' design.

    The design has a row a condition and a column a key, holding the index of the key's value. A key
    whose value another swept key decides is no axis of its own but 'follows' that one.
    """
    import pandas as pd  # slow to import: `status` does without

    flattened = [flat(study) for study in studies]
    names = list(flattened[0]) if flattened else []
    columns: dict[str, list[int]] = {}
    values: dict[str, list[Any]] = {}
    for name in names:
        values[name], columns[name] = _rank([one[name] for one in flattened])
    swept = [name for name in names if len(values[name]) > 1]
    axes = [name for name in swept if not _decider(name, swept, columns)]
    follows = {name: _decider(name, axes, columns) for name in swept if name not in axes}
    keys = [
        Key(name, values[name], [k for k, by in follows.items() if by == name]) for name in axes
    ]
    points = [tuple(columns[name][i] for name in axes) for i in range(len(studies))]
    conditions = sorted(set(points))
    design = pd.DataFrame(conditions, columns=axes, index=range(len(conditions)), dtype=int)
    index = {point: i for i, point in enumerate(conditions)}
    return keys, [index[point] for point in points], design


def _decider(name: str, others: Iterable[str], columns: dict[str, list[int]]) -> str | None:
    """The first other key whose value fixes that of `name`; of two that fix each other the first counts."""
    order = list(columns)
    for other in others:
        if other == name or not _fixes(columns[other], columns[name]):
            continue
        if _fixes(columns[name], columns[other]) and order.index(name) < order.index(other):
            continue
        return other
    return None


def _fixes(one: list[int], another: list[int]) -> bool:
    return len(set(zip(one, another, strict=True))) == len(set(one))


def _rank(values: list[Any]) -> tuple[list[Any], list[int]]:
    """The distinct values in order, numbers by size, and every run's index among them."""
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    value_of = dict(zip(texts, values, strict=True))

    def rank(text: str) -> tuple:
        value = value_of[text]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (value is not None, not number, value if number else 0, text)

    texts_in_order = sorted(value_of, key=rank)
    position = {text: i for i, text in enumerate(texts_in_order)}
    return [value_of[text] for text in texts_in_order], [position[text] for text in texts]


def flat(study: Study) -> dict[str, Any]:
    """Dotted keys -> values of all that can be swept and changes the result."""
    return _flat(dataclasses.asdict(study), "")


def _flat(entries: dict[str, Any], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in entries.items():
        key = f"{prefix}{name}"
        if key in NOT_SWEPT or key in NOT_IN_ID:
            continue
        if isinstance(value, dict):
            values |= _flat(value, f"{key}.")
        else:
            values[key] = value
    return values


def label(value: Any) -> str:
    """A setting's value as it is shown: short, on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."
