"""All measures of a logged trajectory: network by network, step by step, beside chance.

Every measure is taken twice: of the kernels W, and, with the prefix `delta_`, of the update W - W0.
At common learning rates a first layer moves little, so W looks like its initialisation whatever was
learned; the update is where learning shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from .kernels import (
    DELTA,
    isotropic_chance,
    kernel_matches,
    network_measures,
    usable_bank,
)
from .layer import live_kernels, mean_over_live
from .population import population_a_interval
from .sectors import SECTORS, network_growth
from .similarity import colour_spatial, cosine
from .theory import a_pca
from .verdict import Verdict, judge

Verdicts = dict[tuple[str, str], Verdict]  # by (arm, 'W' or 'update')


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

    Returns, for W and with `delta_` for W - W0 (NaN where there is no update, or the network
    diverged): the `SHAPE_MEASURES` (arm, seed, step); abs_cos and abs_cos_centered (arm, seed,
    step, entry), means over live kernels; a_pop, a_pop_low, a_pop_high, a_pop_gap, a_pop_resolved,
    a_pop_reason (arm, step) over networks and a_pca of the images, for 3 x 3; movement, train_loss,
    test_accuracy (arm, seed, step); `network_growth`
    (arm, seed, step, sector); live_kernels (arm, seed, step); and N0 as null_mean, null_low,
    null_high (measure).
    """
    kernels = spatial_kernels(trajectory) if kernels is None else kernels
    kept = ~trajectory["diverged"].values
    kernels = np.where(kept[:, :, None, None, None, None], kernels, np.nan)
    size, channels = kernels.shape[-1], kernels.shape[-3]
    bank = usable_bank(bank_names, size)
    update = kernels - kernels[:, :, :1]
    net, entry = ("arm", "seed", "step"), ("arm", "seed", "step", "entry")
    found: dict[str, tuple] = {}
    for prefix, values in (("", kernels), (DELTA, update)):
        for name, of_nets in network_measures(values, bank).items():
            found[prefix + name] = (net, of_nets)
        live = live_kernels(np.nan_to_num(values))
        found[f"{prefix}live_kernels"] = (net, live.sum(-1))
        for name, centered in (("abs_cos", False), ("abs_cos_centered", True)):
            cosines = np.abs(cosine(np.nan_to_num(values), bank, centered=centered))
            averaged = mean_over_live(np.moveaxis(cosines, -1, -2), live[..., None, :])
            found[prefix + name] = (entry, averaged)
        if size == 3:
            found |= _population_a(values, kept, prefix)
    first, moved = (np.sqrt((k**2).sum((-3, -2, -1))) for k in (kernels[:, :, :1], update))
    found["movement"] = (net, moved / np.where(first > 0, first, np.nan))
    for name, values in network_growth(kernels).items():
        found[name] = ((*net, "sector"), values)
    for name in ("train_loss", "test_accuracy"):
        values = trajectory[name].transpose(*net).values.astype(float)
        found[name] = (net, np.where(kept[..., None], values, np.nan))
    found["diverged"] = (("arm", "seed"), ~kept)
    if size == 3:
        first = _of_arm(trajectory, 0)
        found["a_pca"] = ((), a_pca(first["patch_eigenvalue"], _patch_axes(first)))
    coords = {name: trajectory[name] for name in net}
    coords |= {"entry": list(bank), "sector": list(SECTORS)}
    return xr.merge([xr.Dataset(found, coords=coords), isotropic_chance(size, channels, bank)])


def judge_arms(
    trajectory: xr.Dataset,
    controls: Sequence[int | None],
    *,
    kernels: np.ndarray | None = None,
) -> Verdicts:
    """`judge` at the final step: (arm, 'W') and (arm, 'update') -> its verdict.

    `controls`: of each arm the index of the one that differs from it in shuffled labels alone, against
    which N4 is held, or None. `kernels`: as in `measure_trajectory`. The update of a frozen layer has no
    entry.
    """
    kernels = spatial_kernels(trajectory) if kernels is None else kernels
    kept = ~trajectory["diverged"].values
    kernels = np.where(kept[:, :, None, None, None, None], kernels, np.nan)
    final, start = kernels[:, :, -1], kernels[:, :, 0]
    found = {}
    for row, arm in enumerate(trajectory["arm"].values):
        control = controls[row]
        for part, base in (("W", 0.0), ("update", start)):
            values = final - base
            if not np.any(np.nan_to_num(values[row])):
                continue
            found[str(arm), part] = judge(
                values[row],
                start=start[row] if part == "W" else None,
                controls=None if control is None else values[control],
                patch_basis=_patch_axes(_of_arm(trajectory, row)),
            )
    return found


def _of_arm(trajectory: xr.Dataset, row: int) -> xr.Dataset:
    """What belongs to the images that arm `row` sees; where all see the same it has no axis of arms."""
    return trajectory[["patch_eigenvalue", "patch_basis"]].isel(arm=row, missing_dims="ignore")


def _patch_axes(trajectory: xr.Dataset) -> np.ndarray:
    """The images' principal patch axes as (k*k, k*k), a row each."""
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
