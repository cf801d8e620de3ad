"""How long the measures take on 10^6 3x3 kernels against 33 entries; prints a table."""

import time

import numpy as np

from kernelstudy import analysis
from kernelstudy.handcrafted import bank, family

KERNELS = 1_000_000


def main() -> None:
    rng = np.random.default_rng(0)
    kernels = rng.standard_normal((KERNELS, 3, 3))
    entries = dict(list(bank("all", 3).items())[:33])
    gx, gy = family(2), family(2).T
    axes, uniform = np.eye(9), rng.random(KERNELS)
    measures = {
        "cosine": lambda: analysis.cosine(kernels, entries),
        "cosine, centred": lambda: analysis.cosine(kernels, entries, centered=True),
        "best_match": lambda: analysis.best_match(kernels, entries),
        "spectrum_similarity": lambda: analysis.spectrum_similarity(kernels, entries),
        "steered_r2": lambda: analysis.steered_r2(kernels, gx, gy),
        "sectors": lambda: analysis.sectors(kernels),
        "derivative_fit": lambda: analysis.derivative_fit(kernels),
        "population_a": lambda: analysis.population_a(kernels),
        "permute_taps": lambda: analysis.permute_taps(kernels, 0),
        "phase_scrambled": lambda: analysis.phase_scrambled(kernels, 0),
        "covariance_matched": lambda: analysis.covariance_matched(kernels, axes, KERNELS, 0),
        "colour_spatial": lambda: analysis.colour_spatial(kernels.reshape(3, 3, 1, -1)),
        "energy_profile": lambda: analysis.energy_profile(kernels, axes),
        "explained_variance": lambda: analysis.explained_variance(kernels),
        "sparsity": lambda: analysis.sparsity(kernels),
        "orthogonality, layers of 64": lambda: analysis.orthogonality(
            kernels.reshape(-1, 64, 3, 3)
        ),
        "benjamini_hochberg": lambda: analysis.benjamini_hochberg(uniform),
    }
    print(f"| measure | seconds for {KERNELS:,} kernels, {len(entries)} entries |\n|---|---|")
    for name, call in measures.items():
        before = time.perf_counter()
        call()
        print(f"| {name} | {time.perf_counter() - before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
