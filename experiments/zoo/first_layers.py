"""One network's first layer: a line of the table, and some of its kernels to look at."""

from pathlib import Path

import numpy as np
from why import gradient_columns

from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.nulls import r2_distribution
from kernelstudy.compare import compare
from kernelstudy.comparison.report import Comparison

SHOWN = 16


def measured(path: Path, layer: str | None, axes: np.ndarray) -> tuple[dict, Comparison]:
    """`axes`: (9, 9) principal axes of photographs' 3x3 patches, for `why`."""
    found = compare(path, layer=layer)
    one, ladder = found.measured[0], found.ladder.set_index("null")
    size, live = one.subject.kernels.shape[-1], one.verdict.live
    stored = found.opened[0].kernels[0]
    told = found.opened[0].provenance
    resolved = bool(one.a and one.a.resolved)
    line = {
        "format": told["format"],
        "layer": told["layer"],
        "kernel": size,
        "channels": f"{stored.shape[2]} → {one.flags.size}",
        "stride": _stride(found),
        "kernels": one.flags.size,
        "dead": int((one.flags == "dead").sum()),
        "constant": int((one.flags == "constant").sum()),
        "derivative_like": one.verdict.significant,
        "beyond_permuted": one.verdict.significant_permuted,
        "share": one.verdict.significant / live,
        "share_permuted": one.verdict.significant_permuted / live,
        "chance_share": chance_share(live, size),
        "r2": ladder.loc["N0", "value"],
        "r2_chance": ladder.loc["N0", "chance"],
        "r2_low": ladder.loc["N0", "chance_low"],
        "r2_high": ladder.loc["N0", "chance_high"],
        "r2_permuted": ladder.loc["N2", "chance"],
        "p_n0": ladder.loc["N0", "p"],
        "p_n2": ladder.loc["N2", "p"],
        "colour_share": found.kernels.loc[found.kernels["live"], "colour_share"].median(),
        "a": one.a.a if one.a else np.nan,
        "a_low": one.a.low if one.a and resolved else np.nan,
        "a_high": one.a.high if one.a and resolved else np.nan,
        "a_resolved": resolved,
        "a_holds": ", ".join(one.a.names()) if one.a and resolved else "",
    }
    if size == 3:
        line |= gradient_columns(stored, one.subject.kernels[0][one.flags[0] == ""], axes)
    return line, found


def shown(found: Comparison) -> np.ndarray:
    """`SHOWN` live kernels (n, k, k), of evenly spaced ranks in R2: neither the best nor the worst."""
    one = found.measured[0]
    live = found.kernels[found.kernels["live"]].sort_values("r2_centered", ascending=False)
    picked = live.index[
        np.unique(np.linspace(0, len(live) - 1, min(SHOWN, len(live))).round().astype(int))
    ]
    return one.subject.kernels[0][picked]


def _stride(found: Comparison) -> str:
    told = dict(found.opened[0].facts)["Layer"]
    return told.split("stride ")[1].split(",")[0].split(";")[0] if "stride " in told else ""


def chance_share(kernels: int, size: int, draws: int = 2000) -> float:
    """The 97.5% point of the share of kernels called derivative-like among as many isotropic ones."""
    law = r2_distribution(2, size**2 - 1)
    p = law.sf(law.rvs((draws, kernels), random_state=0))
    shares = [np.mean(benjamini_hochberg(row) <= 0.05) for row in p]
    return float(np.quantile(shares, 0.975))
