"""Several networks trained alike, as the seeds of one: inference over networks, from six on."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelstudy.system.errors import InputError

from .opening import Opened

_SHOWN = 6  # names of networks in the head of a report


def as_seeds(networks: list[Opened]) -> Opened:
    """One `Opened` whose networks are these, in their order.

    Raises:
        InputError: there is only one, or their layers differ in shape.
    """
    first = networks[0]
    if len(networks) < 2 or any(len(one.kernels) != 1 for one in networks):
        raise InputError("as seeds: give the weights of two networks or more, one network each")
    for one in networks[1:]:
        if one.kernels.shape != first.kernels.shape:
            raise InputError(
                f"as seeds: the kernels of {one.name} are {one.kernels.shape[1:]}, those of {first.name} "
                f"{first.kernels.shape[1:]}"
            )
    kernels = np.concatenate([one.kernels for one in networks])
    starts = [one.known["start"] for one in networks if "start" in one.known]
    known: dict[str, Any] = {"seeds": tuple(range(len(networks)))}
    if len(starts) == len(networks):
        known["start"] = np.concatenate(starts)
    steps = [one.rounding for one in networks if one.rounding is not None]
    names = ", ".join(dict.fromkeys(one.name for one in networks[:_SHOWN]))
    more = f" and {len(networks) - _SHOWN} more" if len(networks) > _SHOWN else ""
    facts = [
        ("Networks", f"{len(networks)}, taken as trained alike: {names}{more}"),
        *[(f"{fact} (first)", value) for fact, value in first.facts],
    ]
    layers = [one.provenance.get("layer") for one in networks]
    if len(set(layers)) > 1:
        facts.append(("Layers", "; ".join(map(str, layers))))
    return Opened(
        name=f"{len(networks)} networks",
        kernels=kernels,
        rounding=np.max(steps, axis=0) if steps else None,
        facts=facts,
        notes=list(dict.fromkeys(note for one in networks for note in one.notes)),
        listing=first.listing,
        details=first.details,
        known=known,
        provenance={"networks": [one.provenance or {"name": one.name} for one in networks]},
        dtype=first.dtype,
    )
