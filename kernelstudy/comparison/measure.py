"""One finished layer, anybody's: its kernels against the hand-crafted ones and against chance.

The same measures as a run's, without the time axis. Of one network the kernels are the observations,
and what is found holds for this network; several (the seeds of a run) are judged as a run is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kernelstudy.analysis.fits import gabor_fit, gaussian_derivative_fit
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.kernels import Bank, isotropic_chance, kernel_matches, network_measures
from kernelstudy.analysis.ladder import derivative_plane, plane_axes, plane_r2
from kernelstudy.analysis.layer import (
    explained_variance,
    live_kernels,
    orthogonality,
    sparsity,
    variance_entropy,
)
from kernelstudy.analysis.nulls import isotropic, r2_distribution
from kernelstudy.analysis.population import PopulationInterval
from kernelstudy.analysis.similarity import colour_spatial
from kernelstudy.analysis.tables import KERNELS_COLUMNS, LADDER_COLUMNS, ladder
from kernelstudy.analysis.verdict import Verdict, judge

from .within import NULL_NUMBERS, WITHIN_COLUMNS, Plane, kernels_a, ladder_within

LARGEST = 32  # pixels; beyond it the symmetry sectors take minutes
_FLAT = 1e-3  # of the mean: a kernel that varies less is constant up to float16's rounding
_GABOR_KERNELS, _GABOR_DRAWS, _GABOR_LARGEST = 128, 100, 16

PER_KERNEL_COLUMNS = [name for name in KERNELS_COLUMNS if name not in ("arm", "seed")]
LAYER_MEASURES = {
    "variance_entropy": variance_entropy,
    "first_axis_variance": lambda kernels: explained_variance(kernels)[..., 0],
    "orthogonality": orthogonality,
    "sparsity": sparsity,
}


@dataclass(frozen=True)
class Subject:
    """What is measured: `kernels` (net, channel, k, k), spatial profiles.

    `colour_share` (net, channel): the part of a filter's energy that its profile holds, 1 for grey;
    `rounding`: the quantisation step of every channel (channel,), zeros where there is none; `start`:
    the same networks at step 0, `patch_basis` (k*k, k*k) of the images, where known; `seeds`: the
    networks' names.
    """

    name: str
    kernels: np.ndarray
    colour_share: np.ndarray
    rounding: np.ndarray
    start: np.ndarray | None = None
    patch_basis: np.ndarray | None = None
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class LayerMeasures:
    """`kernels`, `layer`, `ladder`: the tables; `a`: of this network's kernels, or of the networks."""

    subject: Subject
    verdict: Verdict
    a: PopulationInterval | None
    flags: np.ndarray  # (net, channel): '', 'dead' or 'constant'
    kernels: pd.DataFrame
    layer: pd.DataFrame
    ladder: pd.DataFrame

    @property
    def networks(self) -> int:
        return len(self.subject.kernels)


def subject(name: str, kernels_hwio: np.ndarray, **known: Any) -> Subject:
    """A `Subject` out of kernels (kh, kw, in, out) of one network, or (net, kh, kw, in, out).

    Raises:
        ValueError: kernels that nothing can be said of: not square, 1x1, too large, not finite.
    """
    kernels = np.asarray(kernels_hwio, dtype=np.float64)
    kernels = kernels[None] if kernels.ndim == 4 else kernels
    if kernels.ndim != 5 or 0 in kernels.shape:
        raise ValueError(f"{name}: kernels must be (kh, kw, in, out), not {np.shape(kernels_hwio)}")
    kh, kw = kernels.shape[1:3]
    if kh == kw == 1:
        raise ValueError(
            f"{name}: its kernels are 1x1, which have no shape in space: there is nothing to compare"
        )
    if kh != kw:
        raise ValueError(f"{name}: its kernels are {kh}x{kw}; only square ones can be compared")
    if kh > LARGEST:
        raise ValueError(f"{name}: its kernels are {kh}x{kh}; the largest compared is {LARGEST}")
    broken = int((~np.isfinite(kernels)).any(axis=(1, 2, 3)).sum())
    if broken:
        total = kernels.shape[0] * kernels.shape[-1]
        raise ValueError(f"{name}: {broken} of {total} filters hold NaN or infinite weights")
    profiles, share = _profiles(kernels)
    step = known.pop("rounding", None)
    rounding = np.broadcast_to(0.0 if step is None else step, (kernels.shape[-1],))
    if known.get("start") is not None:
        known["start"], _ = _profiles(np.asarray(known["start"], dtype=np.float64))
    return Subject(name, profiles, share, rounding, **known)


def _profiles(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dominant spatial profiles (net, out, kh, kw) and their shares of the filters' energy."""
    # squares of extreme weights would overflow, and an overall scale says nothing
    peak = np.abs(kernels).max(axis=(1, 2, 3, 4), keepdims=True)
    found = colour_spatial(kernels / np.where(peak > 0, peak, 1))
    scale = np.clip(peak, 1e-100, 1e100).reshape(-1, 1, 1, 1)
    return found.spatial * scale, np.nan_to_num(found.share)


def measure_layer(of: Subject, bank: Bank, *, level: float = 0.05, seed: int = 0) -> LayerMeasures:
    """All measures of a layer, each beside chance."""
    flags = _flags(of)
    used = np.where((flags == "")[..., None, None], of.kernels, 0.0)
    plane = derivative_plane(used.shape[-1])
    verdict = judge(
        used,
        start=of.start,
        patch_basis=of.patch_basis,
        plane=plane,
        level=level,
        seed=seed,
    )
    one = len(used) == 1
    a = verdict.a
    if one and a is not None:
        a = kernels_a(used[0][flags[0] == ""], of.rounding[flags[0] == ""], level=level, seed=seed)
    p_permuted = None
    if one:
        rungs, p_permuted = ladder_within(used[0][flags[0] == ""], plane, of.patch_basis, seed=seed)
        before = next((rung for rung in verdict.rungs if rung.null == "N1" and rung.n), None)
        if before is not None:  # one network before and after: a difference, and no test
            rungs.insert(1, ("N1", "r2", verdict.live, before.value, before.chance, *[np.nan] * 3))
        table = pd.DataFrame(rungs, columns=WITHIN_COLUMNS)
    else:
        table = ladder({(of.name, "W"): verdict})[
            [c for c in LADDER_COLUMNS if c not in ("arm", "part")]
        ]
    kernels = _kernel_table(of, flags, used, bank, plane, p_permuted, seed)
    return LayerMeasures(
        of, verdict, a, flags, kernels, _layer_table(used, flags, bank, plane, seed), table
    )


def _flags(of: Subject) -> np.ndarray:
    live = live_kernels(of.kernels)
    mean = of.kernels.mean(axis=(-2, -1), keepdims=True)
    varies = np.abs(of.kernels - mean).max(axis=(-2, -1))
    # a kernel of one value, up to rounding, of the float or of the quantiser
    flat = varies <= np.maximum(_FLAT * np.abs(mean[..., 0, 0]), of.rounding / 2)
    return np.where(~live, "dead", np.where(flat, "constant", ""))


def _kernel_table(
    of: Subject,
    flags: np.ndarray,
    used: np.ndarray,
    bank: Bank,
    plane: Plane,
    p_permuted,
    seed: int,
) -> pd.DataFrame:
    """A row a kernel: the columns of a run's kernels.csv, then what a single layer has besides."""
    nets, channels, size = used.shape[:3]
    kept = (flags == "").ravel()
    found = {name: np.ravel(values) for name, values in kernel_matches(of.kernels, bank).items()}
    axes = plane_axes(used, *plane)
    found |= {
        "channel": np.tile(np.arange(channels), nets),
        "live": kept,
        "q_best": _q(found["p_best"], kept),
        "flag": flags.ravel(),
        "colour_share": of.colour_share.ravel(),
        "r2": plane_r2(of.kernels, axes).ravel(),
    }
    law = r2_distribution(axes.shape[1], axes.shape[0])
    found["p_r2"] = np.where(kept, law.sf(np.nan_to_num(found["r2"])), np.nan)
    found["q_r2"] = _q(found["p_r2"], kept)
    extra = ["flag", "colour_share", "r2", "p_r2", "q_r2"]
    if p_permuted is not None:
        found["p_permuted"] = np.full(kept.shape, np.nan)
        found["p_permuted"][kept] = p_permuted
        found["q_permuted"] = _q(found["p_permuted"], kept)
        extra += ["p_permuted", "q_permuted"]
    if of.rounding.any():
        # of the kernel's energy, what rounding can have put there
        noise = used[0, 0].size * np.tile(of.rounding, nets) ** 2 / 12
        found["rounding_share"] = np.minimum(noise / np.maximum(found["norm"] ** 2, 1e-300), 1)
        extra.append("rounding_share")
    if size >= 5:
        fits = _fits(used.reshape(-1, size, size), kept, seed)
        found |= fits
        extra += list(fits)
    table = pd.DataFrame(found)
    if nets > 1:
        table.insert(0, "seed", np.repeat(of.seeds, channels))
    lead = ["seed"] if nets > 1 else []
    return table.reindex(columns=[*lead, *PER_KERNEL_COLUMNS, *extra])


def _fits(kernels: np.ndarray, kept: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Gaussian-derivative and Gabor fits of larger kernels, each with the p of its own null."""
    size = kernels.shape[-1]
    derivative = gaussian_derivative_fit(kernels, orders=(1,), seed=seed)
    jet = gaussian_derivative_fit(kernels, seed=seed)
    found = {
        "gauss1_r2": derivative.r2,
        "gauss1_sigma": derivative.sigma,
        "gauss1_p": derivative.p,
        "gauss1_q": _q(derivative.p, kept),
        "gauss012_r2": jet.r2,
        "gauss012_sigma": jet.sigma,
        "gauss012_p": jet.p,
        "gauss012_q": _q(jet.p, kept),
    }
    if size > _GABOR_LARGEST:
        return found
    fitted = np.flatnonzero(kept)[:_GABOR_KERNELS]
    gabor = gabor_fit(kernels[fitted], draws=_GABOR_DRAWS, seed=seed, refine=2)
    for name in ("r2", "theta", "frequency", "sigma", "phase", "p"):
        found[f"gabor_{name}"] = np.full(len(kernels), np.nan)
        found[f"gabor_{name}"][fitted] = getattr(gabor, name)
    found["gabor_q"] = _q(found["gabor_p"], kept)
    return found


def _q(p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q within the kernels that count."""
    return benjamini_hochberg(np.where(kept, p, np.nan))


def _layer_table(used: np.ndarray, flags: np.ndarray, bank: Bank, plane, seed: int) -> pd.DataFrame:
    """measure, value, chance, chance_low, chance_high: N0 networks with as many kernels."""
    live = used[0][flags[0] == ""] if len(used) == 1 else used
    channels, size = max(live.shape[-3], 1), used.shape[-1]
    networks = int(np.clip(NULL_NUMBERS // (4 * channels * size**2), 100, 1000))
    rows_of = []
    expected = isotropic_chance(size, channels, bank, networks=networks, seed=seed)
    for name, values in network_measures(used, bank).items():
        null = expected.sel(measure=name)
        bounds = (float(null[f"null_{end}"]) for end in ("mean", "low", "high"))
        rows_of.append(
            (name, float(np.nanmean(values)) if np.isfinite(values).any() else np.nan, *bounds)
        )
    # these compare kernels in pairs: fewer networks where there are many kernels, and one at a time
    fewer = int(np.clip(20 * NULL_NUMBERS // (channels * size) ** 2, 20, 200))
    rng = np.random.default_rng(seed)
    drawn = [isotropic(channels, size, rng) for _ in range(fewer)]
    for name, function in LAYER_MEASURES.items():
        if live.shape[-3] < 2:
            continue
        null = np.array([function(kernels) for kernels in drawn])
        low, high = np.quantile(null, [0.025, 0.975])
        rows_of.append((name, float(np.mean(function(live))), null.mean(), low, high))
    return pd.DataFrame(
        rows_of, columns=["measure", "value", "chance", "chance_low", "chance_high"]
    )
