"""What is seen in each figure of a run's report, in one sentence, out of what is drawn in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from kernelstudy.analysis import phi_of_a
from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.analysis.kernels import DELTA, NEW, support_of
from kernelstudy.reporting.measure_words import METRIC_WORDS

Names = Mapping[str, str]
_PARTS = {"": "the kernels", DELTA: "what training added", NEW: "what is new in the kernels"}


def lead(analysis: xr.Dataset, metric: str) -> str:
    """Of how many arms the kernels are above chance in the end, by the interval of their mean."""
    above, values = _above(analysis, metric, "")
    chance = float(analysis["null_mean"].sel(measure=metric))
    if not len(values):
        return "Every network diverged"
    measure = "R²" if metric.startswith("r2") else METRIC_WORDS[metric]
    count = int(above.sum())
    of = (
        f"{count} of {len(values)} arms"
        if len(values) > 1
        else f"the only arm{'' if count else ' not'}"
    )
    span = _span(values[above] if count else values)
    return (
        f"More like edge detectors than random kernels after training: {of} ({measure} {span}, by chance "
        f"{chance:.2f})"
    )


def parts(analysis: xr.Dataset, metric: str) -> str:
    """The same count for the kernels, the update and the new part."""
    told = []
    for prefix, words in _PARTS.items():
        above, values = _above(analysis, metric, prefix)
        told.append(f"{words} in {int(above.sum())} of {len(values)}")
    return f"Arms above chance at the end: {', '.join(told)}"


def _above(analysis: xr.Dataset, metric: str, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether each arm lies above random kernels' mean (by its interval; of one network, above the middle 95%),
    and its mean."""
    null: Any = analysis.sel(measure=metric)
    above, means = [], []
    for arm in analysis["arm"].values:
        values = analysis[prefix + metric].sel(arm=arm).isel(step=-1).values
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        means.append(values.mean())
        low = float(bootstrap_t_interval(values, support=support_of(metric))[0])
        known = np.isfinite(low)
        above.append(bool(low > null["null_mean"] if known else means[-1] > null["null_high"]))
    return np.array(above, bool), np.array(means)


def change(analysis: xr.Dataset, measure: str, names: Names, words: str | None = None) -> str:
    """Where a measure of the kernels changes most, up and down."""
    words = METRIC_WORDS.get(measure, measure) if words is None else words
    ends = analysis[measure].isel(step=[0, -1]).mean("seed")
    rise = (ends.isel(step=1) - ends.isel(step=0)).dropna("arm")
    if not rise.sizes["arm"]:
        return "Every network diverged"
    arm = str(rise["arm"].values[int(np.abs(rise.values).argmax())])
    start, end = (float(value) for value in ends.sel(arm=arm))
    more = "" if rise.sizes["arm"] == 1 else f" most in '{names.get(arm, arm)}'"
    return (
        f"{words[0].upper()}{words[1:]} of the kernels changes{more}: from {start:.2f} to {end:.2f}"
    )


def kernels_of(analysis: xr.Dataset, arm: str, names: Names) -> str:
    """How like their start the first network's kernels are in the end."""
    network = analysis.sel(arm=arm).isel(seed=0, step=-1)
    cosine, words = float(network["cos_start"]), names.get(arm, arm)
    if not np.isfinite(cosine):
        return f"'{words}': the first network diverged"
    if float(network["movement"]) == 0:
        return f"'{words}': the kernels stay as they start"
    near = "are close to" if cosine > 0.9 else "differ from" if cosine > 0.5 else "have left"
    return f"'{words}': at the end the kernels {near} their start (cosine {cosine:.2f})"


def population_a(analysis: xr.Dataset) -> str:
    """In how many arms the kernels share a direction, and which a they have."""
    last = analysis.isel(step=-1)
    known = last["a_pop_resolved"].values.astype(bool)
    if not known.any():
        return "In no arm do the networks' kernels agree on a, the number that tells Prewitt (1) from Sobel (2)"
    a = last["a_pop"].values[known]
    values = f"{a[0]:.2f}" if len(a) == 1 else f"{a.min():.2f} to {a.max():.2f}"
    return (
        f"In {known.sum()} of {known.size} arms the networks' kernels agree on a, the number that tells "
        f"Prewitt (1) from Sobel (2): {values}"
    )


def portrait(matches: xr.Dataset) -> str:
    """Between which a half of the gradient energy lies."""
    energy = (matches["odd"] * matches["norm"] ** 2).fillna(0).values.ravel()
    phi = phi_of_a(matches["a"].values).ravel()
    kept = np.isfinite(phi) & (energy > 0)
    if not kept.any():
        return "There is no gradient in the kernels"
    order = np.argsort(phi[kept])
    share = np.cumsum(energy[kept][order]) / energy[kept].sum()
    low, high = matches["a"].values.ravel()[kept][order][np.searchsorted(share, [0.25, 0.75])]
    return f"Half of the kernels' gradient energy is at an a between {low:.2f} and {high:.2f}"


def matches(final: xr.Dataset, untrained: xr.Dataset, words: str, names: Names) -> str:
    """The best match after training beside the best before, each with its arm."""
    told = []
    for source, which in (
        (final, f"The best of {words}"),
        (untrained, "the best untrained kernel"),
    ):
        score = source["best_abs_cos"].where(source["live"]).values
        if np.isfinite(score).any():
            best = np.unravel_index(int(np.nanargmax(score)), score.shape)
            name, arm = source["best"].values[best], str(source["arm"].values[best[0]])
            told.append(
                f"{which} ('{names.get(arm, arm)}') has a cosine of {score[best]:.2f} with {name}"
            )
    return ", ".join(told) or "No kernel is left"


def performance(analysis: xr.Dataset, names: Names) -> str:
    """Between which accuracies the arms end."""
    ends = analysis["test_accuracy"].isel(step=-1).mean("seed").dropna("arm")
    if not ends.sizes["arm"]:
        return "No accuracy is known"
    low, high = (
        str(ends["arm"].values[int(i)]) for i in (ends.values.argmin(), ends.values.argmax())
    )
    if low == high:
        return f"Test accuracy ends at {float(ends.max()):.1%}"
    return (
        f"Test accuracy ends between {float(ends.min()):.1%} ('{names.get(low, low)}') and "
        f"{float(ends.max()):.1%} ('{names.get(high, high)}')"
    )


def changed(analysis: xr.Dataset) -> str:
    """Which change of the test images costs most accuracy, over the arms."""
    last = analysis[["test_accuracy", "changed_accuracy"]].isel(step=-1).mean(("arm", "seed"))
    scores = last["changed_accuracy"].dropna("test")
    if not scores.size:
        return "Every network diverged"
    worst = scores["test"].values[int(scores.values.argmin())]
    return (
        f"Of the changed test images {worst} cost most: {float(scores.min()):.1%} right, where of the clean "
        f"ones {float(last['test_accuracy']):.1%} are"
    )


def _span(values: np.ndarray) -> str:
    ends = f"{values.min():.2f}", f"{values.max():.2f}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
