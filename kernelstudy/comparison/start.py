"""The same layer before training: what training added to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kernelstudy.analysis.ladder import derivative_plane, plane_axes, plane_r2
from kernelstudy.analysis.layer import live_kernels
from kernelstudy.weights import Limits, WeightsError

from . import opening
from .measure import subject
from .opening import Opened


def with_start(one: Opened, start: Any, limits: Limits, layout: str) -> Opened:
    """`one` with its kernels at the start, for rung N1, and a line on how far they have moved.

    `start`: the same network before training, in any form; its layer is the one of the same name,
    or, where the names of the two files differ, the one that sees the image.

    Raises:
        WeightsError: it cannot be read, or its kernels have another shape.
    """
    if one.known:
        raise WeightsError("--start: a run knows its start")
    name = one.provenance.get("layer")
    try:
        found = opening.open_any(start, limits, layer=name, layout=layout)
    except WeightsError:
        found = opening.open_any(start, limits, layout=layout)
    if found.kernels.shape != one.kernels.shape:
        raise WeightsError(
            f"--start: the kernels of {found.name} are {found.kernels.shape[1:]}, those of {one.name} "
            f"{one.kernels.shape[1:]}"
        )
    moved = one.kernels - found.kernels
    facts = [*one.facts, ("Start", f"{found.name}; {_movement(moved, found.kernels)}")]
    known = {**one.known, "start": found.kernels}
    return replace(one, known=known, facts=facts)


def _movement(moved: np.ndarray, start: np.ndarray) -> str:
    """How far W is from W0, and what the update W - W0 looks like, in a few words."""
    if not moved.any():
        return "nothing has moved since"
    share = np.linalg.norm(moved) / np.linalg.norm(start) if start.any() else np.inf
    profiles = subject("W - W0", moved).kernels[0]
    profiles = profiles[live_kernels(profiles)]
    axes = plane_axes(profiles, *derivative_plane(profiles.shape[-1]))
    r2 = float(np.nanmean(plane_r2(profiles, axes, centered=True)))
    return (
        f"W - W0 has {share:.2g} of the start's norm, and a mean centred R² of {r2:.2f} with the steered "
        f"derivative pair (isotropic {axes.shape[1] / (axes.shape[0] - 1):.2f})"
    )
