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
    measures = {
        "cosine": lambda: analysis.cosine(kernels, entries),
        "cosine, centred": lambda: analysis.cosine(kernels, entries, centered=True),
        "best_match": lambda: analysis.best_match(kernels, entries),
        "spectrum_similarity": lambda: analysis.spectrum_similarity(kernels, entries),
        "steered_r2": lambda: analysis.steered_r2(kernels, gx, gy),
        "sectors": lambda: analysis.sectors(kernels),
        "derivative_fit": lambda: analysis.derivative_fit(kernels),
    }
    print(f"| measure | seconds for {KERNELS:,} kernels, {len(entries)} entries |\n|---|---|")
    for name, call in measures.items():
        before = time.perf_counter()
        call()
        print(f"| {name} | {time.perf_counter() - before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
