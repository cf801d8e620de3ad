"""Which layers of a network's graph see its input: no layer with weights comes between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

LAYER = "a layer with weights"
Origins = dict[str, frozenset[str]]


class Step(NamedTuple):
    """One operation. `kind`: input, constant, conv, transposed, weighted, function or other."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()  # `name` where there are none


def in_running_order(steps: Iterable[Step]) -> list[Step]:
    """The steps so that each comes after those that feed it; of a circle, as they were."""
    steps = list(steps)
    maker = {out: i for i, step in enumerate(steps) for out in (step.outputs or (step.name,))}
    placed: dict[int, None] = {}
    for first in range(len(steps)):
        todo, open_ = [first], set()
        while todo:
            index = todo[-1]
            before = [maker[n] for n in steps[index].inputs if n in maker]
            left = [i for i in before if i not in placed and i not in open_]
            if left and index not in open_:
                open_.add(index)
                todo += left
            else:
                placed.setdefault(todo.pop())
    return [steps[i] for i in placed]


def origins(steps: Iterable[Step], known: Origins | None = None) -> Origins:
    """For every value the inputs that it comes from, and `LAYER` where weights lie between.

    `steps` in running order; `known`: of values that come from outside.
    """
    found = dict(known or {})
    for step in steps:
        if step.kind == "input":
            value = frozenset({step.name})
        elif step.kind == "constant":
            value = frozenset()
        else:
            value = frozenset().union(*(found.get(name, frozenset()) for name in step.inputs))
            if value and step.kind != "other":
                value = frozenset({LAYER})
        for out in step.outputs or (step.name,):
            found[out] = value
    return found


def seen_by(step: Step, found: Origins) -> tuple[bool, str]:
    """Whether a layer's first input comes straight from inputs, and from which."""
    origin = found.get(step.inputs[0], frozenset()) if step.inputs else frozenset()
    return bool(origin) and LAYER not in origin, ", ".join(sorted(origin - {LAYER}))
