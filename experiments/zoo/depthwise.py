"""Depthwise kernels against differences of Gaussians, and against nulls of as many taps."""

from functools import lru_cache

import numpy as np

from kernelstudy.analysis import dog_fit
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.layer import live_kernels
from kernelstudy.analysis.nulls import isotropic, permute_taps, phase_scrambled, zero_mean_axes
from kernelstudy.weights import Network, WeightsError, role_of

MOST, DRAWN = 200, 1000  # kernels of a network and size; of the nulls that all networks share
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
NULLS = ("isotropic", "smoothed", "permuted", "signs", "phases")


def depthwise_kernels(network: Network) -> list[np.ndarray]:
    """Of every depthwise layer past the first, of square kernels from 3x3: its live kernels (n, k, k)."""
    found = []
    layers = [layer for layer in network.layers if not role_of(layer)]
    for place, layer in enumerate(layers):
        shape = layer.shape_hwio()
        if layer.refused or layer.transposed or shape is None or place == 0:
            continue
        kh, kw, cin, out = shape
        # of PyTorch's files names do not tell: past the first layer one input a filter is depthwise
        if kh != kw or kh < 3 or cin != 1 or out < 2:
            continue
        try:
            kernels = layer.hwio()[:, :, 0].transpose(2, 0, 1)
        except WeightsError:
            continue
        kernels = kernels[np.isfinite(kernels).all(axis=(1, 2))]
        if len(kernels):
            found.append(kernels[live_kernels(kernels)])
    return found


def drawn_evenly(layers: list[np.ndarray], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST` kernels (n, k, k), as many of each layer as it has, and each one's third of the depth."""
    rng, left, quota = np.random.default_rng(seed), MOST, {}
    for count, index in sorted((len(layer), index) for index, layer in enumerate(layers)):
        quota[index] = min(count, left // (len(layers) - len(quota)))
        left -= quota[index]
    kernels, thirds = [], []
    for index, layer in enumerate(layers):
        kernels.append(layer[np.sort(rng.choice(len(layer), quota[index], replace=False))])
        thirds += [3 * index // len(layers)] * quota[index]
    return np.concatenate(kernels), np.array(thirds)


def nulls_of(kernels: np.ndarray, patch_basis: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """As many kernels of each null that is the network's own: N2, and N3 by signs and by phases."""
    rng = np.random.default_rng(seed)
    n = len(kernels)
    axes = zero_mean_axes(patch_basis, kernels.shape)
    flat = kernels.reshape(n, -1)
    mean = flat.mean(axis=1, keepdims=True)
    turned = ((flat - mean) @ axes.T * rng.choice([-1.0, 1.0], (n, len(axes)))) @ axes + mean
    return {
        "permuted": permute_taps(kernels, rng),
        "signs": turned.reshape(kernels.shape),
        "phases": phase_scrambled(kernels, rng),
    }


def smoothed_noise(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Isotropic noise under the 3x3 binomial, (n, size, size)."""
    noise, taps = isotropic(n, size + 2, seed), (1, 2, 1)
    along = sum(w * noise[:, i : i + size] for i, w in enumerate(taps))
    return sum(w * along[:, :, i : i + size] for i, w in enumerate(taps))


def shared_nulls(size: int) -> dict[str, np.ndarray]:
    """The nulls that all networks share, (`DRAWN`, size, size) each."""
    return {"isotropic": isotropic(DRAWN, size, 1), "smoothed": smoothed_noise(DRAWN, size, 2)}


@lru_cache(maxsize=8)
def shared_fits(size: int) -> dict[str, np.ndarray]:
    """R2 of their fits."""
    return {name: dog_fit(kernels, draws=0).r2 for name, kernels in shared_nulls(size).items()}


def dog_rows(layers: list[np.ndarray], bases: dict[int, np.ndarray]) -> tuple[list[dict], dict]:
    """A row a kernel size, shares of kernels at each of `LEVELS` of R2 beside the nulls'; and R2 by size."""
    rows, kept = [], {}
    for size in sorted({layer.shape[-1] for layer in layers}):
        own = [layer for layer in layers if layer.shape[-1] == size]
        kernels, thirds = drawn_evenly(own)
        if size > 11 or len(kernels) < 20:
            continue
        fitted = {"trained": dog_fit(kernels, draws=0).r2, **shared_fits(size)}
        made = nulls_of(kernels, bases[size])
        fitted |= {name: dog_fit(null, draws=0).r2 for name, null in made.items()}
        noise = np.sort(fitted["isotropic"])
        p = (1 + len(noise) - np.searchsorted(noise, fitted["trained"])) / (1 + len(noise))
        row = {
            "kernel": size,
            "layers": len(own),
            "of": sum(map(len, own)),
            "kernels": len(kernels),
        }
        row |= {
            f"{name}_{level:g}": float(np.mean(r2 >= level))
            for name, r2 in fitted.items()
            for level in LEVELS
        }
        row["beyond_noise"] = float(np.mean(benjamini_hochberg(p) <= 0.05))
        good = fitted["trained"] >= 0.9
        for third, name in ((0, "first_third"), (2, "last_third")):
            row[name] = float(good[thirds == third].mean()) if len(own) >= 3 else np.nan
        rows.append(row)
        kept[size] = (kernels, made, fitted)
    return rows, kept
