"""Part 7: kinds of kernels. How often each null model gives each, how often a count is said to be above
chance where it is not, and what is counted of planted mixtures."""

from pathlib import Path

import numpy as np
import pandas as pd
from false_positives import CHANNELS, LEVEL, NOMINAL, binomial_interval
from simulate import NETWORKS, digits, null_draws, trained_kernels

from kernelstudy.analysis import count_kinds, kind_agreement, patch_pca
from kernelstudy.analysis.kind_counts import ALL_KINDS, isotropic_rates, kinds_by_chance
from kernelstudy.handcrafted import family, kernel

WIDTH = 16
DRAWS = 60  # of ten networks, where shares are counted and no verdict is asked
# Of which null model each source is a draw, so that no kind may be more frequent than in it.
TRUE_NULLS = {
    "normal noise": ("N0", "N1", "N2", "N3"),
    "permuted taps": ("N2",),
    "N3 draws": ("N3",),
    "Laplace coefficients": ("N3",),
    "unequal means": ("N3",),
    "half white": ("N3",),
    "half whitened": ("N3",),
}
# How many kernels of 16 are planted; the rest is noise.
PLANTED = {
    3: {"low-pass": 4, "edge": 6, "line": 3, "blob": 1},
    7: {"low-pass": 4, "edge": 4, "grating": 4},
}
SNRS = (20.0, 5.0, 2.0, 1.0)


def chance(studies: int, cache: Path, *, sizes=(3, 5, 7), steps: int = 150) -> pd.DataFrame:
    """A row for every source, size and kind: its share of kernels; at 3 x 3 also, of each null model, how
    often the kind is said to be more frequent than in it."""
    rows = []
    for size in sizes:
        basis = patch_pca(digits(), size)[1]
        trained = trained_kernels(size, cache, width=max(CHANNELS), steps=steps)
        for index, (source, draw) in enumerate(null_draws(size, trained, basis).items()):
            rng = np.random.default_rng([9, size, index])
            shares = np.mean(
                [count_kinds(draw(rng, WIDTH)[0]).mean(0) / WIDTH for _ in range(DRAWS)], axis=0
            )
            rows += [
                {"source": source, "size": size, "kind": kind, "share": share, "isotropic": rate}
                for kind, share, rate in zip(ALL_KINDS, shares, isotropic_rates(size), strict=True)
            ]
            if size == 3 and source in TRUE_NULLS:
                rows += _said(source, draw, basis, studies)
            print(f"  {source}, {size}x{size}", flush=True)
    table = pd.DataFrame(rows)
    tested = table["null"].notna()
    table["holds"] = True
    for row in table.index[tested]:
        count, n = int(table.loc[row, "count"]), int(table.loc[row, "studies"])
        strict = binomial_interval(count, n, level=1 - 0.05 / tested.sum())
        table.loc[row, "holds"] = strict[0] <= NOMINAL
    return table


def _said(source: str, draw, basis: np.ndarray, studies: int) -> list[dict]:
    """How often the kinds of a true null are said to be more frequent than in it."""
    passed: dict[tuple[str, str], int] = {}
    for study in range(studies):
        kernels, start = draw(np.random.default_rng([10, study]), WIDTH)
        rungs = kinds_by_chance(kernels, start=start, patch_basis=basis, level=LEVEL, seed=study)
        for rung in rungs:
            if rung.null in TRUE_NULLS[source]:
                key = (rung.measure, rung.null)
                passed[key] = passed.get(key, 0) + bool(rung.passed)
    rows = []
    for (kind, null), count in passed.items():
        low, high = binomial_interval(count, studies)
        said = {"null": null, "studies": studies, "count": count, "rate": count / studies}
        rows.append({"source": source, "size": 3, "kind": kind, **said, "low": low, "high": high})
    return rows


def mixtures(studies: int, *, sizes=(3, 7)) -> pd.DataFrame:
    """A row for every size, ratio of energies and kind: planted, expected with the noise's, counted; at 3 x 3
    also how often it is said to be more frequent than in random kernels, and how often the interval of the
    networks' agreement holds what they agree on in truth."""
    rows = []
    for size in sizes:
        counts = [PLANTED[size].get(kind, 0) for kind in ALL_KINDS]
        expected = counts + (WIDTH - sum(counts)) * isotropic_rates(size)
        for number, snr in enumerate(SNRS):
            rng = np.random.default_rng([11, size, number])
            drawn = [layer(rng, size, snr) for _ in range(studies if size == 3 else DRAWS)]
            found = np.concatenate([count_kinds(kernels) for kernels in drawn])
            cell = {"size": size, "snr": snr, "studies": len(drawn)}
            power = {}
            if size == 3:
                above = [kinds_by_chance(k, level=LEVEL, seed=s) for s, k in enumerate(drawn)]
                for kind in ALL_KINDS:
                    rungs = [r for one in above for r in one if (r.measure, r.null) == (kind, "N0")]
                    power[kind] = np.mean([bool(rung.passed) for rung in rungs])
                cell |= _agreement(drawn, found)
            rows += [
                {**cell, "kind": kind, "planted": n, "expected": e, "counted": c}
                | ({"said": power[kind]} if power else {})
                for kind, n, e, c in zip(ALL_KINDS, counts, expected, found.mean(0), strict=True)
            ]
            print(f"  {size}x{size}, signal to noise {snr:g}", flush=True)
    return pd.DataFrame(rows)


def _agreement(drawn: list[np.ndarray], counts: np.ndarray) -> dict[str, float]:
    """counts: of all networks of all studies, of which any two agree on so much in truth."""
    rng = np.random.default_rng(12)
    one, other = (counts[rng.permutation(len(counts))] for _ in range(2))
    truth = np.minimum(one, other).sum(-1).mean() / WIDTH
    found = [kind_agreement(kernels) for kernels in drawn]
    covered = sum(a.ci_low <= truth <= a.ci_high for a in found)
    low, high = binomial_interval(covered, len(found))
    shares = {"agreement": truth, "share": np.mean([a.share for a in found])}
    return shares | {"covers": covered / len(found), "covers_low": low, "covers_high": high}


def layer(rng: np.random.Generator, size: int, snr: float) -> np.ndarray:
    """A planted mixture (net, channel, size, size): shapes of norm sqrt(snr) with noise of norm 1, and kernels
    of noise alone that are as long."""
    shapes = [
        _unit(_shape(rng, kind, size))
        for kind, n in PLANTED[size].items()
        for _ in range(NETWORKS * n)
    ]
    of_kind = np.concatenate(
        [
            part.reshape(NETWORKS, -1, size, size)
            for part in np.split(
                np.array(shapes), NETWORKS * np.cumsum(list(PLANTED[size].values()))[:-1]
            )
        ],
        axis=1,
    )
    noise = rng.standard_normal((NETWORKS, WIDTH, size, size)) / size
    noise[:, : of_kind.shape[1]] += snr**0.5 * of_kind
    noise[:, of_kind.shape[1] :] *= (1 + snr) ** 0.5  # as long as the others
    return noise


def _shape(rng: np.random.Generator, kind: str, size: int) -> np.ndarray:
    """One member of a kind, drawn as free as its rule has it, of either sign."""
    sign, angle = rng.choice([-1.0, 1.0]), rng.uniform(-np.pi, np.pi)
    if size == 3:
        bend = np.outer([1, 2, 1], [1, -2, 1])
        return (
            sign
            * {
                "low-pass": lambda: np.ones((3, 3)),
                "edge": lambda: family(rng.uniform(0.5, 4), angle),
                "line": lambda: np.rot90(bend, int(rng.integers(2))),
                "blob": lambda: kernel(str(rng.choice(["laplacian4", "laplacian8"]))),
            }[kind]()
        )
    sigma = rng.uniform(1.0, 2.0)
    if kind == "edge":
        dx, dy = (kernel(f"gauss_d{axis}", size, sigma=sigma) for axis in "xy")
        return np.cos(angle) * dx + np.sin(angle) * dy
    if kind == "low-pass":
        profile = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
        return sign * np.outer(profile, profile)
    return kernel(
        "gabor",
        size,
        theta=angle,
        wavelength=rng.uniform(2.5, 4.5),
        sigma=2.0,
        gamma=1.0,
        phase=rng.uniform(-np.pi, np.pi),
    )


def _unit(kernels: np.ndarray) -> np.ndarray:
    return kernels / np.linalg.norm(kernels)
