"""All measures of a logged trajectory: network by network, step by step, beside chance.

Every measure is taken three times. Of the kernels W: what does the layer look like? With the prefix
`delta_`, of the update W - W0: what did training add, while W0 is still there? At common learning rates
a first layer moves little, so W looks like its start whatever was learned, and the update is where
learning shows; once the start has decayed, the update holds -W0. With the prefix `new_`, of the new part,
W less its projection on W0 (`memory.new_part`): what did training make, whatever is left of the start?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from .kernels import (
    PREFIXES,
    isotropic_chance,
    kernel_matches,
    network_measures,
    usable_bank,
)
from .kind_counts import (
    ALL_KINDS,
    KindAgreement,
    counts_as_family,
    kind_agreement,
    kinds_by_chance,
)
from .kinds import count_kinds
from .ladder import Rung
from .layer import live_kernels, mean_over_live
from .memory import memory_of_start, new_part
from .opponency import AXES, opponent_shares
from .population import population_a_interval
from .sectors import SECTORS, network_growth
from .similarity import colour_spatial, cosine
from .theory import a_pca
from .variables import NET, PATCHES
from .verdict import Verdict, as_family, judge

# By (arm, 'W', 'update' or 'new').
Verdicts = dict[tuple[str, str], Verdict]
Counts = dict[tuple[str, str], list[Rung]]


def spatial_kernels(trajectory: xr.Dataset) -> np.ndarray:
    """First-layer kernels as spatial profiles (arm, seed, step, channel, ky, kx), float64.

    With several input channels: each filter's dominant colour x spatial term (`colour_spatial`).
    """
    kernels = trajectory["kernel"].transpose("arm", "seed", "step", "ky", "kx", "cin", "cout")
    values = kernels.values.astype(float)
    if kernels.sizes["cin"] == 1:
        return np.moveaxis(values[..., 0, :], -1, -3)
    return colour_spatial(np.nan_to_num(values)).spatial


def updates(trajectory: xr.Dataset) -> xr.Dataset:
    """The trajectory with W - W0 in place of the kernels W."""
    kernel = trajectory["kernel"]
    return trajectory.assign(kernel=kernel - kernel.isel(step=0, drop=True))


def measure_trajectory(
    trajectory: xr.Dataset, bank_names: list[str], *, kernels: np.ndarray | None = None
) -> xr.Dataset:
    """Measure a trajectory against the hand-crafted kernels `bank_names`.

    `kernels`: its `spatial_kernels`, where they have been made already.

    Returns, for W, with `delta_` for W - W0 and with `new_` for the new part (NaN where there is none,
    or the network diverged): the `SHAPE_MEASURES` (arm, seed, step); abs_cos and abs_cos_centered (arm, seed,
    step, entry), means over live kernels; a_pop, a_pop_low, a_pop_high, a_pop_gap, a_pop_resolved,
    a_pop_reason (arm, step) over networks and a_pca of the images (NaN where none are known), for
    3 x 3; movement, memory, cos_start, start_left (`memory_of_start`), train_loss, test_accuracy (arm, seed,
    step); achromatic, red_green, blue_yellow (arm, seed, step), the mean shares of the filters' energy on these
    axes (`opponent_shares`), of networks that see three colours; changed_accuracy (arm, seed, step, test),
    where it is known; `network_growth` (arm, seed, step, sector); live_kernels (arm, seed, step); kinds
    (arm, seed, step, kind), how many live kernels are of each kind; and N0 as null_mean, null_low,
    null_high (measure).
    """
    kernels = spatial_kernels(trajectory) if kernels is None else kernels
    kept = ~trajectory["diverged"].values
    kernels = np.where(kept[:, :, None, None, None, None], kernels, np.nan)
    size, channels = kernels.shape[-1], kernels.shape[-3]
    bank = usable_bank(bank_names, size)
    start = kernels[:, :, :1]
    update = kernels - start
    parts = {"W": kernels, "update": update, "new": _new(kernels)}
    net, entry = ("arm", "seed", "step"), ("arm", "seed", "step", "entry")
    found: dict[str, tuple] = {}
    for part, values in parts.items():
        prefix = PREFIXES[part]
        for name, of_nets in network_measures(values, bank).items():
            found[prefix + name] = (net, of_nets)
        live = live_kernels(np.nan_to_num(values))
        found[f"{prefix}live_kernels"] = (net, live.sum(-1))
        found[f"{prefix}kinds"] = ((*net, "kind"), count_kinds(values))
        for name, centered in (("abs_cos", False), ("abs_cos_centered", True)):
            cosines = np.abs(cosine(np.nan_to_num(values), bank, centered=centered))
            averaged = mean_over_live(np.moveaxis(cosines, -1, -2), live[..., None, :])
            found[prefix + name] = (entry, averaged)
        if size == 3:
            found |= _population_a(values, kept, prefix)
    first, moved = (np.sqrt((k**2).sum((-3, -2, -1))) for k in (start, update))
    found["movement"] = (net, moved / np.where(first > 0, first, np.nan))
    remembered = memory_of_start(np.broadcast_to(start, kernels.shape), kernels)
    found |= {name: (net, values) for name, values in remembered._asdict().items()}
    for name, values in network_growth(kernels).items():
        found[name] = ((*net, "sector"), values)
    if trajectory.sizes["cin"] == len(AXES):
        of_axes = np.moveaxis(_shares_of_colours(trajectory, kernels), -1, 0)
        found |= {name: (net, values) for name, values in zip(AXES, of_axes, strict=True)}
    for name in ("train_loss", "test_accuracy"):
        values = trajectory[name].transpose(*net).values.astype(float)
        found[name] = (net, np.where(kept[..., None], values, np.nan))
    if "changed_accuracy" in trajectory:
        values = trajectory["changed_accuracy"].transpose(*net, "test").values.astype(float)
        found["changed_accuracy"] = (
            (*net, "test"),
            np.where(kept[..., None, None], values, np.nan),
        )
    found["diverged"] = (("arm", "seed"), ~kept)
    if size == 3:
        first = _of_arm(trajectory, 0)
        axes = _patch_axes(first)
        a = np.nan if axes is None else a_pca(first["patch_eigenvalue"], axes)
        found["a_pca"] = ((), a)
    coords = {name: trajectory[name] for name in (*net, *({"test"} & set(trajectory.dims)))}
    coords |= {"entry": list(bank), "sector": list(SECTORS), "kind": list(ALL_KINDS)}
    return xr.merge([xr.Dataset(found, coords=coords), isotropic_chance(size, channels, bank)])


def _shares_of_colours(trajectory: xr.Dataset, kernels: np.ndarray) -> np.ndarray:
    """Mean `opponent_shares` of each network's live filters, (arm, seed, step, axis). `kernels`: their spatial
    profiles."""
    weights = trajectory["kernel"].transpose(*NET, "ky", "kx", "cin", "cout")
    shares = opponent_shares(weights.values)
    live = live_kernels(np.nan_to_num(kernels))
    return mean_over_live(np.moveaxis(shares, -1, -2), live[..., None, :])


def _new(kernels: np.ndarray) -> np.ndarray:
    """The new part of every step (..., step, channel, k, k); NaN at the start, which has none."""
    new = new_part(np.broadcast_to(kernels[:, :, :1], kernels.shape), kernels)
    new[:, :, 0] = np.nan
    return new


def judge_arms(
    trajectory: xr.Dataset,
    controls: Sequence[int | None],
    *,
    kernels: np.ndarray | None = None,
) -> Verdicts:
    """`judge` at the final step: (arm, 'W'), (arm, 'update') and (arm, 'new') -> its verdict.

    Their q is over all of them (`as_family`). `controls`: of each arm the index of the one that differs from
    it in shuffled labels alone, against which N4 is held, or None. `kernels`: as in `measure_trajectory`. The
    update and the new part of a frozen layer have no entry.
    """
    layers = _final_layers(trajectory, controls, kernels)
    return as_family({key: judge(values, **given) for key, (values, given) in layers.items()})


def count_arms(
    trajectory: xr.Dataset,
    controls: Sequence[int | None],
    *,
    kernels: np.ndarray | None = None,
) -> Counts:
    """`kinds_by_chance` at the final step, for the same layers and with the same arguments as `judge_arms`;
    the q of each kind is over them."""
    layers = _final_layers(trajectory, controls, kernels)
    return counts_as_family(
        {key: kinds_by_chance(values, **given) for key, (values, given) in layers.items()}
    )


def agreement_of_arms(
    trajectory: xr.Dataset, *, kernels: np.ndarray | None = None
) -> dict[tuple[str, str], KindAgreement]:
    """`kind_agreement` over the seeds of each arm at the final step, for the same layers as `judge_arms`."""
    layers = _final_layers(trajectory, [None] * trajectory.sizes["arm"], kernels)
    return {key: kind_agreement(values) for key, (values, _) in layers.items()}


def _final_layers(
    trajectory: xr.Dataset, controls: Sequence[int | None], kernels: np.ndarray | None
) -> dict[tuple[str, str], tuple[np.ndarray, dict[str, Any]]]:
    """(arm, part) -> its kernels (seed, channel, k, k) at the final step, and what they are held against."""
    kernels = spatial_kernels(trajectory) if kernels is None else kernels
    kept = ~trajectory["diverged"].values
    kernels = np.where(kept[:, :, None, None, None, None], kernels, np.nan)
    start, final = kernels[:, :, 0], kernels[:, :, -1]
    parts = {"W": final, "update": final - start, "new": _new(kernels[:, :, [0, -1]])[:, :, -1]}
    found = {}
    for row, arm in enumerate(trajectory["arm"].values):
        control = controls[row]
        for part, values in parts.items():
            if np.any(np.nan_to_num(values[row])):
                given = {
                    "start": start[row] if part == "W" else None,
                    "controls": None if control is None else values[control],
                    "patch_basis": _patch_axes(_of_arm(trajectory, row)),
                }
                found[str(arm), part] = values[row], given
    return found


def _of_arm(trajectory: xr.Dataset, row: int) -> xr.Dataset:
    """What belongs to the images that arm `row` sees; where all see the same it has no axis of arms."""
    names = [name for name in PATCHES if name in trajectory]
    return trajectory[names].isel(arm=row, missing_dims="ignore")


def _patch_axes(trajectory: xr.Dataset) -> np.ndarray | None:
    """The images' principal patch axes as (k*k, k*k), a row each; None of a recording without images."""
    if "patch_basis" not in trajectory:
        return None
    axes = trajectory["patch_basis"].transpose("component", "ky", "kx").values
    return axes.reshape(len(axes), -1)


def _population_a(kernels: np.ndarray, kept: np.ndarray, prefix: str) -> dict[str, tuple]:
    """a_pop and its interval for every arm and step, over the networks that did not diverge."""
    arms, _, steps = kernels.shape[:3]
    fits = [
        [population_a_interval(kernels[a, kept[a], s]) for s in range(steps)] for a in range(arms)
    ]

    def collect(field: str) -> np.ndarray:
        return np.array([[getattr(fit, field) for fit in row] for row in fits])

    fields = {"": "a", "_low": "low", "_high": "high", "_gap": "gap"}
    found = {f"{prefix}a_pop{end}": collect(field).astype(float) for end, field in fields.items()}
    found[f"{prefix}a_pop_resolved"] = collect("resolved").astype(bool)
    found[f"{prefix}a_pop_reason"] = collect("reason").astype(str)
    return {name: (("arm", "step"), values) for name, values in found.items()}


class Matches(NamedTuple):
    """Every kernel with its best match, at the final step, at step 0, and of the final update W - W0.

    Each holds `kernel_matches` (arm, seed, channel), and kernel (arm, seed, channel, ky, kx).
    """

    trained: xr.Dataset
    untrained: xr.Dataset
    update: xr.Dataset


def final_matches(
    trajectory: xr.Dataset, bank_names: list[str], *, kernels: np.ndarray | None = None
) -> Matches:
    """The matches of a trajectory over the hand-crafted kernels `bank_names`.

    `kernels`: as in `measure_trajectory`. An update of several colours has a spatial profile of its own.
    """
    kernels = spatial_kernels(trajectory) if kernels is None else kernels
    update = spatial_kernels(updates(trajectory).isel(step=[-1]))
    bank = usable_bank(bank_names, kernels.shape[-1])
    dims, coords = ("arm", "seed", "channel"), {k: trajectory[k] for k in ("arm", "seed")}

    def matched(of: np.ndarray) -> xr.Dataset:
        of = np.where(np.isfinite(of).all((-3, -2, -1), keepdims=True), of, 0)
        found = {name: (dims, values) for name, values in kernel_matches(of, bank).items()}
        return xr.Dataset(found | {"kernel": ((*dims, "ky", "kx"), of)}, coords=coords)

    return Matches(matched(kernels[:, :, -1]), matched(kernels[:, :, 0]), matched(update[:, :, 0]))
