"""The figures of a run's report below the explorer, section by section, each with what is seen in it."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from kernelstudy.analysis.trajectory import Matches
from kernelstudy.reporting import figure_titles
from kernelstudy.reporting.page import Figure

Section = tuple[str, str, list[Figure]]
OF_A = (
    "a is the middle weight of the family [1, a, 1] x [-1, 0, 1]: 1 is Prewitt, √2 Frei-Chen, 2 Sobel, "
    "10/3 Scharr."
)


def sections(
    analysis: xr.Dataset, matches: Matches, metric: str, names: Mapping[str, str]
) -> list[Section]:
    """names: arm -> its name in words."""
    arms = [str(arm) for arm in analysis["arm"].values]
    return [
        (
            "Likeness over time",
            _HOW,
            [*_over_time(analysis, metric, names), *_of_a(analysis, matches)],
        ),
        (
            "Kernels over time",
            "The first seed's kernels of each arm. Every step has a symmetric colour scale of its own, whose "
            "end stands beside it.",
            [
                Figure(
                    f"kernels_{i}",
                    figure_titles.kernels_of(analysis, arm, names),
                    arm,
                    pictures=True,
                )
                for i, arm in enumerate(arms)
            ],
        ),
        (
            "Matches",
            "A gallery of best matches proves nothing: the best of many random kernels looks good too. So "
            "each arm shows its best, median and worst kernel, and its best before any training.",
            [
                Figure(
                    "matches",
                    figure_titles.matches(matches.trained, matches.untrained, "the kernels", names),
                    "Kernels W; p is of the best over the bank.",
                    pictures=True,
                ),
                Figure(
                    "matches_update",
                    figure_titles.matches(matches.update, matches.untrained, "the updates", names),
                    "The same for the update W − W₀.",
                    pictures=True,
                ),
            ],
        ),
        *([_accuracy(analysis, names)] if has_scores(analysis) else []),
    ]


_HOW = (
    "Lines: mean over networks with its 95% interval. Grey: the middle 95% of networks made of random kernels, "
    "and their mean."
)


def _over_time(analysis: xr.Dataset, metric: str, names: Mapping[str, str]) -> list[Figure]:
    return [
        Figure(
            "parts",
            figure_titles.parts(analysis, metric),
            "Every network at the final step. Grey: what random kernels give. Left, the kernels; middle, what "
            "training added to them, which is where learning shows while the kernels keep their start; right, "
            "what of the kernels is new, whatever they keep.",
            is_open=True,
        ),
        Figure(
            "similarity",
            figure_titles.change(analysis, metric, names),
            "Above the kernels W, below the update W − W₀.",
        ),
        Figure(
            "sectors",
            figure_titles.change(analysis, "odd", names, "the gradient-like share of the energy"),
            "A kernel's energy divides exactly into these sectors of symmetry. Dotted: chance, each sector's "
            "part of the dimensions.",
        ),
    ]


def _of_a(analysis: xr.Dataset, matches: Matches) -> list[Figure]:
    """Figures on which operator it is: of 3 x 3 kernels."""
    if "a_pop" not in analysis:
        return []
    return [
        Figure(
            "a_pop",
            figure_titles.population_a(analysis),
            f"{OF_A} Bars: 95% interval over networks. Crosses: unresolved, the networks share no direction.",
        ),
        Figure(
            "portrait",
            figure_titles.portrait(matches.trained),
            f"{OF_A} Every kernel of every network; the larger the dot, the more gradient energy. Hand-crafted "
            "operators are lines, for they exist at all orientations.",
        ),
    ]


def _accuracy(analysis: xr.Dataset, names: Mapping[str, str]) -> Section:
    figure = Figure(
        "performance",
        figure_titles.performance(analysis, names),
        "Mean and 95% interval. The last point is on all test images, those before it on a fixed random "
        "part of them (eval_images).",
    )
    figures = [figure]
    if "changed_accuracy" in analysis:
        changed = Figure(
            "changed",
            figure_titles.changed(analysis),
            "The same images as above, changed. noise@s: s standard deviations of the training images' pixels; "
            "blur@s: s pixels; contrast@c: times c; shift@d: d pixels; gaussian_clone: Gaussian images with "
            "each class's mean and covariance and nothing else of it. Dotted: the clean ones.",
        )
        figures.append(changed)
    return "Accuracy", "Whether the networks learned their task.", figures


def has_scores(analysis: xr.Dataset) -> bool:
    """Whether accuracies or losses are known; a recording need not have them."""
    return any(bool(analysis[name].notnull().any()) for name in ("test_accuracy", "train_loss"))
