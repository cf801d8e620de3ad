"""Part 2: planted operators. Are they found, is a right, is the name right?"""

import numpy as np
import pandas as pd
from false_positives import LEVEL, binomial_interval
from simulate import NETWORKS, photographs, planted

from kernelstudy.analysis import OPERATORS, TIERS, a_pca, judge, patch_pca, phi_of_a, wrap_phi

CHANNELS = 16
SNRS = tuple(float(s) for s in np.geomspace(1 / 16, 64, 8))
PLANTED = tuple(name for name, a in OPERATORS.items() if np.isfinite(a))


def run(studies: int, *, snrs=SNRS) -> pd.DataFrame:
    """A row for every operator and signal-to-noise ratio."""
    eigenvalues, basis = patch_pca(photographs(), 3)
    images = {"a_images": a_pca(eigenvalues, basis)}
    rows = []
    for index, name in enumerate(PLANTED):
        for snr in snrs:
            rng = np.random.default_rng([2, index, round(1000 * snr)])
            outcomes = pd.DataFrame(
                [_outcome(rng, name, snr, basis, study) for study in range(studies)]
            )
            rows.append(
                {"operator": name, "a": OPERATORS[name], "snr": snr} | images | _summary(outcomes)
            )
        print(f"  {name}", flush=True)
    return pd.DataFrame(rows)


def _outcome(rng, name: str, snr: float, basis: np.ndarray, seed: int) -> dict:
    a = OPERATORS[name]
    kernels = planted(rng, a, snr, networks=NETWORKS, channels=CHANNELS)
    start = rng.standard_normal(kernels.shape)
    verdict = judge(kernels, start=start, patch_basis=basis, level=LEVEL, seed=seed)
    interval = verdict.a
    alone = interval.names() if interval.resolved else ()
    return {
        "structured": verdict.tier in TIERS[1:],
        "derivative_like": bool(verdict.derivative_like),
        "beyond": verdict.tier == TIERS[-1],
        "named_right": verdict.operator == name,
        "named_wrong": verdict.operator not in (name, "unresolved"),
        "called": verdict.operator,
        "interval_right": alone == (name,),
        "interval_wrong": len(alone) == 1 and alone != (name,),
        "resolved": interval.resolved,
        "covered": interval.holds(a),
        "a_hat": interval.a,
        "phi_error": float(wrap_phi(interval.phi - phi_of_a(a))),
    }


def _summary(outcomes: pd.DataFrame) -> dict:
    n = len(outcomes)
    rates = outcomes.select_dtypes(bool).mean()
    covered = int(outcomes["covered"].sum())
    low, high = binomial_interval(covered, n)
    wrong_low, wrong_high = binomial_interval(int(outcomes["named_wrong"].sum()), n)
    called = outcomes["called"].value_counts()
    return (
        {"studies": n, **rates}
        | {"unresolved": float(called.get("unresolved", 0) / n)}
        | {f"called {name}": float(called.get(name, 0) / n) for name in OPERATORS}
        | {"covered_low": low, "covered_high": high}
        | {"named_wrong_low": wrong_low, "named_wrong_high": wrong_high}
        | {
            "a_median": outcomes["a_hat"].median(),
            "phi_bias": outcomes["phi_error"].mean(),
            "phi_bias_se": outcomes["phi_error"].std() / n**0.5,
        }
    )
