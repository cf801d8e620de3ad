"""One finished layer, anybody's: its kernels against the hand-crafted ones and against chance.

The same measures as a run's, without the time axis. Of one network the kernels are the observations,
and what is found holds for this network; several (the seeds of a run) are judged as a run is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd

from kernelstudy.analysis.fits import gabor_fit, gaussian_derivative_fit
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.kernels import Bank, isotropic_chance, kernel_matches, network_measures
from kernelstudy.analysis.ladder import CENTRED, derivative_plane, plane_axes, plane_r2
from kernelstudy.analysis.layer import (
    explained_variance,
    live_kernels,
    orthogonality,
    sparsity,
    variance_entropy,
)
from kernelstudy.analysis.nulls import isotropic, r2_tail
from kernelstudy.analysis.opponency import AXES, layer_opponency, opponent_shares
from kernelstudy.analysis.population import PopulationInterval
from kernelstudy.analysis.similarity import colour_spatial
from kernelstudy.analysis.tables import KERNELS_COLUMNS, LADDER_COLUMNS, ladder
from kernelstudy.analysis.verdict import Verdict, judge

from .within import NULL_NUMBERS, WITHIN_COLUMNS, Plane, kernels_a, ladder_within

LARGEST = 32  # pixels; beyond it the symmetry sectors take minutes
# Arithmetic in a type of float is off by an ulp or so, not by the half that rounding once may be.
_PER_STEP = float(np.sqrt(12))
_FLAT = 1e-3  # of the mean: a kernel that varies less is constant up to float16's rounding
_GABOR_KERNELS, _GABOR_DRAWS, _GABOR_LARGEST = 1024, 200, 16

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
    `rounding`: the quantisation step of every channel (channel,), zeros where there is none; `ulp`
    (channel,): how far the stored type of float lets a weight be off; `colours` (net, kh, kw, 3, channel): the
    filters themselves, where they see three colours; `start`:
    the same networks at step 0, `patch_basis` (k*k, k*k) of the images, where known; `seeds`: the
    networks' names.
    """

    name: str
    kernels: np.ndarray
    colour_share: np.ndarray
    rounding: np.ndarray
    ulp: np.ndarray
    colours: np.ndarray | None = None
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
    profiles, share = profiles_of(kernels)
    step = known.pop("rounding", None)
    rounding = np.broadcast_to(0.0 if step is None else step, (kernels.shape[-1],))
    peak = np.abs(kernels).max(axis=(0, 1, 2, 3))
    ulp = peak * float_precision(kernels, known.pop("dtype", ""))
    if kernels.shape[3] == 3:
        known["colours"] = kernels
    if known.get("start") is not None:
        known["start"], _ = profiles_of(np.asarray(known["start"], dtype=np.float64))
    return Subject(name, profiles, share, rounding, ulp, **known)


def float_precision(values: np.ndarray, dtype: str) -> float:
    """The relative step of the type of float in which the weights are, or were before they were widened."""
    names = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32}
    names |= {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}
    kind = names.get(dtype.lower())
    if kind is None:
        with np.errstate(over="ignore"):
            kind = np.float32 if (values.astype(np.float32) == values).all() else np.float64
    return float(ml_dtypes.finfo(kind).eps)


def profiles_of(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dominant spatial profiles (net, out, kh, kw) and their shares of the filters' energy."""
    # squares of extreme weights would overflow, and an overall scale says nothing
    peak = np.abs(kernels).max(axis=(1, 2, 3, 4), keepdims=True)
    decomposition = colour_spatial(kernels / np.where(peak > 0, peak, 1))
    scale = np.clip(peak, 1e-100, 1e100).reshape(-1, 1, 1, 1)
    return decomposition.spatial * scale, np.nan_to_num(decomposition.share)


def measure_layer(
    layer: Subject, bank: Bank, *, level: float = 0.05, seed: int = 0
) -> LayerMeasures:
    """All measures of a layer, each beside chance."""
    flags = flags_of(layer)
    profiles = np.where((flags == "")[..., None, None], layer.kernels, 0.0)
    plane = derivative_plane(profiles.shape[-1])
    verdict = judge(
        profiles,
        start=layer.start,
        patch_basis=layer.patch_basis,
        plane=plane,
        level=level,
        seed=seed,
    )
    is_single = len(profiles) == 1
    a = verdict.a
    if is_single and a is not None:
        live = flags[0] == ""
        rounding = np.hypot(layer.rounding, _PER_STEP * layer.ulp)[live]
        a = kernels_a(profiles[0][live], rounding, level=level, seed=seed)
    p_permuted = None
    if is_single:
        rungs, p_permuted = ladder_within(
            profiles[0][flags[0] == ""], plane, layer.patch_basis, seed=seed
        )
        before = next((rung for rung in verdict.rungs if rung.null == "N1" and rung.n), None)
        if before is not None:  # one network before and after: a difference, and no test
            rungs.insert(
                1, ("N1", CENTRED, verdict.live, before.value, before.chance, *[np.nan] * 3)
            )
        ladder_table = pd.DataFrame(rungs, columns=WITHIN_COLUMNS)
    else:
        ladder_table = ladder({(layer.name, "W"): verdict})[
            [c for c in LADDER_COLUMNS if c not in ("arm", "part")]
        ]
    kernel_table = _kernel_table(layer, flags, profiles, bank, plane, p_permuted, seed)
    return LayerMeasures(
        layer,
        verdict,
        a,
        flags,
        kernel_table,
        pd.concat(
            [_layer_table(profiles, flags, bank, plane, seed), _colour_table(layer, seed)],
            ignore_index=True,
        ),
        ladder_table,
    )


def flags_of(layer: Subject) -> np.ndarray:
    live = live_kernels(layer.kernels)
    mean = layer.kernels.mean(axis=(-2, -1), keepdims=True)
    varies = np.abs(layer.kernels - mean).max(axis=(-2, -1))
    # a kernel of one value, up to rounding, of the float or of the quantiser
    flat = varies <= np.maximum(_FLAT * np.abs(mean[..., 0, 0]), layer.rounding / 2)
    return np.where(~live, "dead", np.where(flat, "constant", ""))


def _kernel_table(
    layer: Subject,
    flags: np.ndarray,
    profiles: np.ndarray,
    bank: Bank,
    plane: Plane,
    p_permuted,
    seed: int,
) -> pd.DataFrame:
    """A row a kernel: the columns of a run's kernels.csv, then what a single layer has besides."""
    nets, channels, size = profiles.shape[:3]
    live = (flags == "").ravel()
    columns = {
        name: np.ravel(values) for name, values in kernel_matches(layer.kernels, bank).items()
    }
    axes = plane_axes(profiles, *plane)
    columns |= {
        "channel": np.tile(np.arange(channels), nets),
        "live": live,
        "q_best": _q(columns["p_best"], live),
        "flag": flags.ravel(),
        "colour_share": layer.colour_share.ravel(),
        "r2": plane_r2(layer.kernels, axes).ravel(),
        "r2_centered": plane_r2(layer.kernels, axes, centered=True).ravel(),
    }
    tail = r2_tail(np.nan_to_num(columns["r2_centered"]), axes.shape[1], axes.shape[0] - 1)
    columns["p_r2"] = np.where(live, tail, np.nan)
    columns["q_r2"] = _q(columns["p_r2"], live)
    extra = ["flag", "colour_share", "r2", "r2_centered", "p_r2", "q_r2"]
    if p_permuted is not None:
        columns["p_permuted"] = np.full(live.shape, np.nan)
        columns["p_permuted"][live] = p_permuted
        columns["q_permuted"] = _q(columns["p_permuted"], live)
        extra += ["p_permuted", "q_permuted"]
    if layer.colours is not None:
        shares = opponent_shares(layer.colours).reshape(-1, len(AXES))
        columns |= dict(zip(AXES, shares.T, strict=True))
        extra += AXES
    if layer.rounding.any():
        # of the kernel's energy, what rounding can have put there
        noise = profiles[0, 0].size * np.tile(layer.rounding, nets) ** 2 / 12
        columns["rounding_share"] = np.minimum(noise / np.maximum(columns["norm"] ** 2, 1e-300), 1)
        extra.append("rounding_share")
    if size >= 5:
        fits = _fits(profiles.reshape(-1, size, size), live, seed)
        columns |= fits
        extra += list(fits)
    table = pd.DataFrame(columns)
    if nets > 1:
        table.insert(0, "seed", np.repeat(layer.seeds, channels))
    lead = ["seed"] if nets > 1 else []
    return table.reindex(columns=[*lead, *PER_KERNEL_COLUMNS, *extra])


def _fits(kernels: np.ndarray, live: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Gaussian-derivative and Gabor fits of larger kernels, each with the p of its own null."""
    size = kernels.shape[-1]
    derivative = gaussian_derivative_fit(kernels, orders=(1,), seed=seed)
    jet = gaussian_derivative_fit(kernels, seed=seed)
    columns = {
        "gauss1_r2": derivative.r2,
        "gauss1_sigma": derivative.sigma,
        "gauss1_p": derivative.p,
        "gauss1_q": _q(derivative.p, live),
        "gauss012_r2": jet.r2,
        "gauss012_sigma": jet.sigma,
        "gauss012_p": jet.p,
        "gauss012_q": _q(jet.p, live),
    }
    if size > _GABOR_LARGEST:
        return columns
    indices = np.flatnonzero(live)[:_GABOR_KERNELS]
    gabor = gabor_fit(kernels[indices], draws=_GABOR_DRAWS, seed=seed, refine=4)
    for name in ("r2", "theta", "frequency", "sigma", "phase", "p"):
        columns[f"gabor_{name}"] = np.full(len(kernels), np.nan)
        columns[f"gabor_{name}"][indices] = getattr(gabor, name)
    columns["gabor_q"] = _q(columns["gabor_p"], live)
    return columns


def _q(p: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q within the kernels that count."""
    return benjamini_hochberg(np.where(live, p, np.nan))


def _colour_table(layer: Subject, seed: int) -> pd.DataFrame:
    """Rows of `_layer_table` on the colours of a colour network's first layer."""
    columns = ["measure", "value", "chance", "chance_low", "chance_high"]
    if layer.colours is None or not layer.colours.any():
        return pd.DataFrame(columns=columns)
    filters = np.concatenate(list(layer.colours), axis=-1)
    found = layer_opponency(filters, seed=seed)
    rows = zip(AXES, found.value, [1 / 3] * len(AXES), found.low, found.high, strict=True)
    return pd.DataFrame(rows, columns=columns)


def _layer_table(
    profiles: np.ndarray, flags: np.ndarray, bank: Bank, plane, seed: int
) -> pd.DataFrame:
    """measure, value, chance, chance_low, chance_high: N0 networks with as many kernels."""
    live = profiles[0][flags[0] == ""] if len(profiles) == 1 else profiles
    channels, size = max(live.shape[-3], 1), profiles.shape[-1]
    networks = int(np.clip(NULL_NUMBERS // (4 * channels * size**2), 100, 1000))
    rows = []
    expected = isotropic_chance(size, channels, bank, networks=networks, seed=seed)
    for name, values in network_measures(profiles, bank).items():
        null = expected.sel(measure=name)
        bounds = (float(null[f"null_{end}"]) for end in ("mean", "low", "high"))
        rows.append(
            (name, float(np.nanmean(values)) if np.isfinite(values).any() else np.nan, *bounds)
        )
    # these compare kernels in pairs: fewer networks where there are many kernels, and one at a time
    fewer = int(np.clip(20 * NULL_NUMBERS // (channels * size) ** 2, 20, 200))
    rng = np.random.default_rng(seed)
    noise = [isotropic(channels, size, rng) for _ in range(fewer)]
    for name, function in LAYER_MEASURES.items():
        if live.shape[-3] < 2:
            continue
        null = np.array([function(kernels) for kernels in noise])
        low, high = np.quantile(null, [0.025, 0.975])
        rows.append((name, float(np.mean(function(live))), null.mean(), low, high))
    return pd.DataFrame(rows, columns=["measure", "value", "chance", "chance_low", "chance_high"])
