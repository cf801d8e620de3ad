"""Part 5: layers that are of several operators, or of none that has a name. What are they called?"""

import numpy as np
import pandas as pd
from false_positives import LEVEL, binomial_interval
from simulate import NETWORKS, planted

from kernelstudy.analysis import OPERATORS, count_kinds, judge, phi_of_a
from kernelstudy.handcrafted import family, kernel

CHANNELS, SNR = 16, 20.0
# What each may be called; anything else is a wrong name.
ALLOWED = {
    "Prewitt": ("Prewitt",),
    "Sobel": ("Sobel",),
    "half Sobel, half Prewitt": (),
    "half Prewitt, half Scharr": (),
    "a = 1.7, spread 45%": (),
    "a = 1.7": (),
    "half Prewitt, half Laplacian": ("Prewitt",),
    "Prewitt plus Laplacian": (),
    "Sobel's mask at 45 degrees": (),
    "masks of Robinson": (),
}


def run(studies: int) -> pd.DataFrame:
    """A row a layer: how often it is called what, how often that is wrong, and how many edges are counted."""
    rows = []
    for index, (name, allowed) in enumerate(ALLOWED.items()):
        rng = np.random.default_rng([7, index])
        called, edges = [], []
        for study in range(studies):
            kernels = _draw(rng, name)
            called.append(judge(kernels, level=LEVEL, seed=study).operator)
            edges.append(count_kinds(kernels)[:, 1].mean())
        counts = pd.Series(called).value_counts()
        wrong = sum(int(n) for of, n in counts.items() if of not in (*allowed, "unresolved"))
        low, high = binomial_interval(wrong, studies)
        rows.append(
            {"layer": name, "studies": studies, "wrong": wrong / studies, "low": low, "high": high}
            | {"edges": float(np.mean(edges))}
            | {of: float(counts.get(of, 0) / studies) for of in (*OPERATORS, "unresolved")}
        )
        print(f"  {name}", flush=True)
    return pd.DataFrame(rows)


def _draw(rng: np.random.Generator, name: str) -> np.ndarray:
    """A layer's kernels (net, channel, 3, 3)."""

    def layer(a: float, channels: int = CHANNELS) -> np.ndarray:
        return planted(rng, a, SNR, networks=NETWORKS, channels=channels)

    def noisy(kernels: np.ndarray) -> np.ndarray:
        unit = kernels / np.linalg.norm(kernels, axis=(-2, -1), keepdims=True)
        return SNR**0.5 * unit + rng.standard_normal(unit.shape) / 3

    laplacian = kernel("laplacian8") / np.linalg.norm(kernel("laplacian8"))
    half = CHANNELS // 2
    shape = (NETWORKS, CHANNELS)
    if name in OPERATORS:
        return layer(OPERATORS[name])
    if name == "half Sobel, half Prewitt":
        return np.concatenate([layer(2, half), layer(1, half)], axis=1)
    if name == "half Prewitt, half Scharr":
        return np.concatenate([layer(1, half), layer(10 / 3, half)], axis=1)
    if name == "a = 1.7":
        return layer(1.7)
    if name == "a = 1.7, spread 45%":
        phi = phi_of_a(1.7 * np.exp(0.45 * rng.standard_normal(shape)))[..., None, None]
        theta = rng.uniform(-np.pi, np.pi, shape)
        middle, corners = (family(1, theta) - family(0, theta)) / 2**0.5, family(0, theta) / 2
        return noisy(np.sin(phi) * middle + np.cos(phi) * corners)
    if name == "half Prewitt, half Laplacian":
        blobs = noisy(np.broadcast_to(laplacian, (NETWORKS, half, 3, 3)))
        return np.concatenate([layer(1, half), blobs], axis=1)
    if name == "Prewitt plus Laplacian":
        return layer(1) + 1.2 * SNR**0.5 * laplacian
    masks = np.stack([kernel(f"robinson_{i}") for i in range(8)])
    if name == "Sobel's mask at 45 degrees":
        masks = np.stack([np.rot90(kernel("robinson_1"), i) for i in range(4)])
    return noisy(masks[rng.integers(len(masks), size=shape)])
