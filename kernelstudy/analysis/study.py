"""All measures of a logged trajectory: network by network, step by step, beside chance.

Every measure is taken twice: of the kernels W, and, with the prefix `delta_`, of the update W - W0.
At common learning rates a first layer moves little, so W looks like its initialisation whatever was
learned; the update is where learning shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from kernelstudy import handcrafted

from .gradients import derivative_fit
from .layer import live_kernels
from .nulls import isotropic
from .population import population_a_interval
from .sectors import SECTORS, network_growth, sector_energies
from .similarity import BestMatch, best_match, colour_spatial, cosine, steered_r2
from .theory import a_pca
from .verdict import Verdict, judge

# Of the shape of a network's kernels; each can be held against chance.
SHAPE_MEASURES = (
    *SECTORS,
    "r2_sobel",
    "r2_sobel_centered",
    "r2_prewitt",
    "purity",
    "best_abs_cos",
)
DELTA = "delta_"

NULL_NETWORKS = 4000

Bank = Mapping[str, np.ndarray]


def support_of(name: str) -> tuple[float, float]:
    """Between which limits the mean of a measure lies: shares within 0 and 1, the rest above 0."""
    share = name == "test_accuracy" or name.removeprefix(DELTA) in SHAPE_MEASURES
    return (0.0, 1.0) if share else (0.0, np.inf)


def usable_bank(names: list[str], size: int) -> dict[str, np.ndarray]:
    """The hand-crafted kernels of `names` that exist at this size."""
    return {
        name: handcrafted.kernel(name, size) for name in names if name in handcrafted.names(size)
    }


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


def mean_over_live(values: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Mean over the last axis where `live` and defined; NaN where nothing is."""
    counted = live & ~np.isnan(values)
    count, total = counted.sum(-1), np.where(counted, values, 0).sum(-1)
    return total / np.where(count > 0, count, np.nan)


def network_measures(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Measures of networks from their kernels (..., channel, k, k): name -> (...).

    The sector shares weigh each kernel by its energy; the others are means over live kernels.
    `purity` exists for 3 x 3 only. Non-finite kernels give NaN.
    """
    kernels = np.where(np.isfinite(kernels).all((-3, -2, -1), keepdims=True), kernels, 0)
    size, live = kernels.shape[-1], live_kernels(kernels)
    energy = (kernels**2).sum((-3, -2, -1))
    shares = sector_energies(kernels).sum(-2) / np.where(energy > 0, energy, np.nan)[..., None]
    measures = {name: shares[..., i] for i, name in enumerate(SECTORS)}
    for name, values in kernel_measures(kernels, bank).items():
        if name != "theta" and name != "a":
            measures[name] = mean_over_live(values, live)
    assert size == 3 or "purity" not in measures
    return measures


def kernel_measures(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Measures of single kernels (..., k, k): name -> (...); theta, a and purity for 3 x 3 only."""
    size = kernels.shape[-1]
    measures = {}
    # Hand-crafted kernels exist at odd sizes up to 11; other people's networks have others too.
    if "sobel_x" in handcrafted.names(size):
        sobel, prewitt = (
            [handcrafted.kernel(f"{operator}_{axis}", size) for axis in "xy"]
            for operator in ("sobel", "prewitt")
        )
        measures |= {
            "r2_sobel": steered_r2(kernels, *sobel),
            "r2_sobel_centered": steered_r2(kernels, *sobel, centered=True),
            "r2_prewitt": steered_r2(kernels, *prewitt),
        }
    if bank:
        measures["best_abs_cos"] = np.abs(cosine(kernels, bank)).max(-1)
    if size == 3:
        fit = derivative_fit(kernels)
        measures |= {"theta": fit.theta, "a": fit.a, "purity": fit.purity}
    return measures


def chance(
    size: int, channels: int, bank: Bank, *, networks: int = NULL_NETWORKS, seed: int = 0
) -> xr.Dataset:
    """N0: what networks of `channels` isotropic kernels give.

    Returns null_mean (measure): exact where the law is known (sector shares, R2), else by Monte
    Carlo over so many `networks`; null_low, null_high (measure): the middle 95% of networks.
    """
    rng = np.random.default_rng(seed)
    kernels = isotropic(networks * channels, size, rng)
    drawn = network_measures(kernels.reshape(networks, channels, size, size), bank)
    low, high = np.quantile(np.stack(list(drawn.values())), [0.025, 0.975], axis=1)
    mean = {name: values.mean() for name, values in drawn.items()} | exact_means(size)
    return xr.Dataset(
        {
            "null_mean": ("measure", [mean[name] for name in drawn]),
            "null_low": ("measure", low),
            "null_high": ("measure", high),
        },
        coords={"measure": list(drawn)},
    )


def exact_means(size: int) -> dict[str, float]:
    """Expectations under isotropy that are known: a subspace's share is its part of the dimensions."""
    taps = np.eye(size * size).reshape(-1, size, size)
    dimensions = sector_energies(taps).sum(0)
    plane, centered = (2 / d for d in (size**2, size**2 - 1))  # of `r2_distribution(2, d)`
    return {
        **{name: float(n) / size**2 for name, n in zip(SECTORS, dimensions, strict=True)},
        "r2_sobel": plane,
        "r2_prewitt": plane,
        "r2_sobel_centered": centered,
    }


def measure(trajectory: xr.Dataset, bank_names: list[str]) -> xr.Dataset:
    """Measure a trajectory against the hand-crafted kernels `bank_names`.

    Returns, for W and with `delta_` for W - W0 (NaN where there is no update, or the network
    diverged): the `SHAPE_MEASURES` (arm, seed, step); abs_cos and abs_cos_centered (arm, seed,
    step, entry), means over live kernels; a_pop, a_pop_low, a_pop_high, a_pop_gap, a_pop_resolved,
    a_pop_reason (arm, step) over networks and a_pca of the images, for 3 x 3; movement, train_loss,
    test_accuracy (arm, seed, step); `network_growth`
    (arm, seed, step, sector); live_kernels (arm, seed, step); and N0 as null_mean, null_low,
    null_high (measure).
    """
    kernels = spatial_kernels(trajectory)
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
    return xr.merge([xr.Dataset(found, coords=coords), chance(size, channels, bank)])


def verdicts(trajectory: xr.Dataset, arms: list[dict]) -> dict[tuple[str, str], Verdict]:
    """`judge` at the final step: (arm, 'W') and (arm, 'update') -> its verdict.

    `arms`: the arms' settings, in the trajectory's order. N4 is held against the arm that differs in
    shuffled labels alone, where the study has one. The update of a frozen layer has no entry.
    """
    kernels = spatial_kernels(trajectory)
    kept = ~trajectory["diverged"].values
    kernels = np.where(kept[:, :, None, None, None, None], kernels, np.nan)
    final, start = kernels[:, :, -1], kernels[:, :, 0]
    found = {}
    for row, arm in enumerate(trajectory["arm"].values):
        control = _control_of(row, arms)
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


def _control_of(row: int, arms: list[dict]) -> int | None:
    """The arm that is arm `row` but for shuffled labels; None if there is none, or it is one."""
    if arms[row]["labels"] == "shuffled":
        return None
    wanted = arms[row] | {"labels": "shuffled"}
    return next((i for i, arm in enumerate(arms) if arm == wanted), None)


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


def matches(kernels: np.ndarray, bank: Bank) -> dict[str, np.ndarray]:
    """Single kernels (..., channel, k, k) with their best matches: name -> (..., channel).

    norm, live, the five sector shares, the measures of `kernel_measures`, best (a name), best_abs_cos
    and p_best, the p-value of that maximum; '' and NaN where the bank is empty.
    """
    if bank:
        match = best_match(kernels, bank)
    else:
        nothing = np.full(kernels.shape[:-2], np.nan)
        match = BestMatch(np.full(nothing.shape, ""), nothing, nothing)
    norm = np.linalg.norm(kernels, axis=(-2, -1))
    energies = sector_energies(kernels) / np.where(norm > 0, norm, np.nan)[..., None] ** 2
    return kernel_measures(kernels, bank) | {
        "norm": norm,
        "live": live_kernels(kernels),
        **{name: energies[..., i] for i, name in enumerate(SECTORS)},
        "best": match.names,
        "best_abs_cos": match.abs_cos,
        "p_best": match.p,
    }


def final_matches(trajectory: xr.Dataset, bank_names: list[str], *, step: int) -> xr.Dataset:
    """Every kernel at log point index `step` with its best match: `matches`, and the kernel itself.

    Of dims (arm, seed, channel); kernel (..., ky, kx).
    """
    kernels = spatial_kernels(trajectory)[:, :, step]
    finite = np.isfinite(kernels).all((-3, -2, -1), keepdims=True)
    kernels = np.where(finite, kernels, 0)
    dims = ("arm", "seed", "channel")
    per_kernel = matches(kernels, usable_bank(bank_names, kernels.shape[-1]))
    return xr.Dataset(
        {name: (dims, values) for name, values in per_kernel.items()}
        | {"kernel": ((*dims, "ky", "kx"), kernels)},
        coords={"arm": trajectory["arm"], "seed": trajectory["seed"]},
    )
