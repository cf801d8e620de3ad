"""Part 4: do intervals cover when kernels come in networks that differ from each other?"""

import numpy as np
import pandas as pd
from false_positives import binomial_interval
from simulate import planted

from kernelstudy.analysis import (
    bootstrap_t_interval,
    cluster_bootstrap,
    gradient_matrix,
    phi_of_a,
    population_a_interval,
    steered_r2,
    t_interval,
    wrap_phi,
)
from kernelstudy.handcrafted import family

A, SNR, CHANNELS, LEVEL, RESAMPLES = 2.0, 1.0, 16, 0.95, 399
SPREADS = (0.0, 0.05, 0.1, 0.2, 0.4)
NETWORKS = (6, 10, 20)


def run(studies: int, *, networks=NETWORKS, spreads=SPREADS) -> pd.DataFrame:
    """A row for every number of networks, spread between networks, quantity and method."""
    rows = []
    for n in networks:
        for spread in spreads:
            rng = np.random.default_rng([4, n, round(1000 * spread)])
            truth = _true_r2(rng, spread)
            inside: dict[tuple[str, str], list[bool]] = {}
            for study in range(studies):
                kernels = planted(rng, A, SNR, networks=n, channels=CHANNELS, spread=spread)
                for key, found in (_of_a(kernels, rng) | _of_r2(kernels, truth, study)).items():
                    inside.setdefault(key, []).append(found)
            for (quantity, method), values in inside.items():
                low, high = binomial_interval(sum(values), studies)
                rows.append(
                    {
                        "quantity": quantity,
                        "method": method,
                        "networks": n,
                        "spread": spread,
                        "studies": studies,
                        "coverage": sum(values) / studies,
                        "low": low,
                        "high": high,
                    }
                )
        print(f"  {n} networks", flush=True)
    return pd.DataFrame(rows)


def _of_a(kernels: np.ndarray, rng: np.random.Generator) -> dict[tuple[str, str], bool]:
    """Whether each interval of a holds the truth."""
    return {
        ("a", "package: sign flips of networks"): population_a_interval(kernels, level=LEVEL).holds(
            A
        ),
        ("a", "bootstrap of networks, percentiles"): _percentiles(kernels, rng, by_network=True),
        ("a", "bootstrap of kernels, percentiles"): _percentiles(kernels, rng, by_network=False),
    }


def _percentiles(kernels: np.ndarray, rng: np.random.Generator, *, by_network: bool) -> bool:
    """The textbook interval: percentiles of resampled top eigenvectors, on the circle of phi."""
    m = gradient_matrix(kernels)
    product = m @ np.swapaxes(m, -1, -2)
    z = (product[..., 1, 1] - product[..., 0, 0]) + 2j * product[..., 0, 1]
    z = z.sum(axis=1) if by_network else z.ravel()
    resampled = z[rng.integers(z.size, size=(RESAMPLES, z.size))].sum(axis=1)
    centre = np.angle(z.sum()) / 2
    error = wrap_phi(np.angle(resampled) / 2 - centre)
    low, high = np.quantile(error, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return bool(low <= wrap_phi(phi_of_a(A) - centre) <= high)


def _true_r2(rng: np.random.Generator, spread: float) -> float:
    many = planted(rng, A, SNR, networks=20_000, channels=CHANNELS, spread=spread)
    return float(steered_r2(many, family(2), family(2).T).mean())


def _of_r2(kernels: np.ndarray, truth: float, seed: int) -> dict[tuple[str, str], bool]:
    r2 = steered_r2(kernels, family(2), family(2).T)
    labels = np.repeat(np.arange(len(r2)), r2.shape[1])
    options = {"draws": RESAMPLES, "level": LEVEL, "seed": seed}
    intervals = {
        "package: bootstrap-t of networks": bootstrap_t_interval(
            r2.mean(axis=1), level=LEVEL, support=(0, 1)
        ),
        "package: cluster bootstrap": cluster_bootstrap(r2.ravel(), labels, **options),
        "Student's t over networks": t_interval(r2.mean(axis=1), level=LEVEL),
    }
    resampled = (
        np.random.default_rng(seed).choice(r2.ravel(), size=(RESAMPLES, r2.size)).mean(axis=1)
    )
    intervals["bootstrap of kernels, percentiles"] = tuple(
        np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    )
    return {("r2", name): bool(low <= truth <= high) for name, (low, high) in intervals.items()}
