"""What a report says and shows of deeper layers: figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from kernelstudy.analysis import labels, t_interval
from kernelstudy.analysis.deep_tables import Deeper, layer_table
from kernelstudy.analysis.inference import FEWEST
from kernelstudy.analysis.representation import OF_ITS_WAY, SETTLED, order_of_layers
from kernelstudy.reporting import deep_figures, deep_titles, galleries
from kernelstudy.reporting.drawing import Save
from kernelstudy.reporting.page import Figure, Page

MAPS_DPI = 90  # a map or a patch has as many pixels as in the network, or a few more


def draw(trajectory: xr.Dataset, deep: Deeper, stride: int, folder: Path, save: Save) -> None:
    """All figures of deeper layers."""
    save(partial(deep_figures.layer_figure, deep.layers), folder, "layers")
    save(partial(deep_figures.label_figure, deep.channels), folder, "labels")
    for index, arm in enumerate(trajectory["arm"].values.astype(str)):
        save(galleries.feature_maps(trajectory, arm), folder, f"feature_maps_{index}", dpi=MAPS_DPI)
        save(
            deep_figures.patch_figure(trajectory, deep.channels, arm, stride),
            folder,
            f"patches_{index}",
            dpi=MAPS_DPI,
        )


def add_to(
    page: Page,
    trajectory: xr.Dataset,
    deep: Deeper,
    names: Mapping[str, str],
    *,
    recorded: bool,
    own: bool,
) -> None:
    """The sections and the table of deeper layers, before the last section. names: arm -> its name in words."""
    seen = "the probes" if recorded else "a fixed part of the test images"
    images, one = ("probes", "probe") if recorded else ("test images", "held-out image")
    arms = list(enumerate(deep.layers["arm"].values.astype(str)))
    count, depth = deep.layers.sizes["probe_seed"], deep.layers.sizes["layer"]
    settling = (
        "When layers settle",
        f"Of the first {count} networks of each arm, watched at every log point: the features of {seen} in "
        "each layer. If lower layers settle first, learning is bottom-up (Raghu et al. 2017).",
        [
            Figure(
                "layers",
                deep_titles.layers(deep),
                "CKA with the final state, linear-probe accuracy and effective rank of each layer: mean "
                "over networks with Student's 95% interval. A layer that starts near its end has little "
                "way to go: so both its CKA and its own way are judged.",
            )
        ],
    )
    maps = (
        f"Deeper: all {depth} layers over training" if depth > 1 else "Deeper: feature maps",
        f"Feature maps of one {one} after the activation (each channel keeps one scale over time), and "
        f"the patches of {images} that excite the most selective channels most, as large as what those see.",
        [
            figure
            for i, arm in arms
            for figure in (
                Figure(
                    f"feature_maps_{i}",
                    deep_titles.feature_maps(trajectory, arm, names),
                    f"{arm}, the first network.",
                    pictures=True,
                ),
                Figure(
                    f"patches_{i}",
                    deep_titles.patches(deep, arm, names),
                    f"{arm}, the first network at the final step; below, each channel and its label.",
                    pictures=True,
                ),
            )
        ],
    )
    thresholds = ", ".join(
        f"{int(n)} in layer {int(i)}"
        for i, n in zip(deep.layers["layer"], deep.channels["threshold_channels"], strict=True)
    )
    starts = (
        "in arms that start from random kernels"
        if deep.channels.attrs["random_starts"]
        else "in all arms, for none of them starts from random kernels"
    )
    labelling = (
        "What channels detect",
        "A channel is called unselective unless it prefers an orientation, a corner or a blob more than "
        f"{labels.RATE:.0%} of the untrained channels of its layer do. Those are taken {starts}: {thresholds}. "
        f"So {1 - labels.RATE:.0%} of theirs have a label before any training, and only what "
        "an arm gains over its own start is learned.",
        [
            Figure(
                "labels",
                deep_titles.labelled(deep),
                "Parts of each layer's channels with a label at the final step, all watched networks of an arm "
                "together.",
            )
        ],
    )
    page.sections[-1:-1] = [maps, settling, labelling]
    page.points[settling[0]] = settling_sentences(deep)
    page.answer.append((labelling[0], label_sentences(deep)))
    page.method += _method(recorded=recorded, own=own)
    page.tables.append(("Layers, at the start and at the end", layer_table(deep)))


def _method(*, recorded: bool, own: bool) -> list[str]:
    taken = (
        "a map is what a convolution answers in evaluation mode, after a normalisation that directly takes it, "
        "and what of it is above zero"
        if recorded or own
        else "activations are taken before pooling"
    )
    like = "the probes in each colour" if recorded else "the training images"
    images = "the probes" if recorded else "a fixed random part of the test images"
    return [
        f"Deeper layers: {taken}; stimuli have the mean and variance of {like}. Gratings have 16 orientations, "
        "5 spatial frequencies and 4 phases; a response is the mean of |activation| over the middle half of a "
        "map and over phases. Circular variance: Ringach et al. 2002; class selectivity: Morcos et al. 2018; a "
        "dead channel answers the same to every image.",
        "CKA (linear, Kornblith et al. 2019), effective rank (Roy & Vetterli 2007) and the linear probe (ridge "
        f"regression, two halves in turn) see each channel's means over the four quarters of its map, for "
        f"{images}. Channels of two seeds are matched by the correlation of those.",
    ]


def settling_sentences(deep: Deeper) -> list[str]:
    """When each layer of each arm settles, and whether the lower ones do first: the answer comes first. Of
    too few
    networks for a test, that there is none."""
    if (count := deep.layers.sizes["probe_seed"]) < FEWEST:
        return [
            f"{count} networks an arm are too few to tell which layer settles first: a test takes {FEWEST} "
            f"(probe_seeds={FEWEST})."
        ]
    lines, answers = [], {"settled": [], "settled_way": []}
    numbers = [int(n) for n in deep.layers["layer"].values]
    for arm in deep.layers["arm"].values.astype(str):
        for name, rule in (
            ("settled", f"settled by CKA (that with the final state stays above {SETTLED})"),
            ("settled_way", f"settled by its own way ({OF_ITS_WAY:.0%} of it is done)"),
        ):
            steps = deep.layers[name].sel(arm=arm).transpose("probe_seed", "layer").values
            known = steps[np.isfinite(steps).all(axis=1)]
            if not len(known):
                continue
            when = ", ".join(
                f"layer {n} at step {np.median(s):,.0f} ({s.min():,.0f} to {s.max():,.0f})"
                for n, s in zip(numbers, known.T, strict=True)
            )
            order = _order(known)
            lines.append(f"{arm}, {rule}: {when}. {order[0].upper()}{order[1:]}.")
            if len(numbers) > 1:
                answers[name].append(order_of_layers(known)[2])
    return [*_answer(answers), *lines]


def _answer(answers: dict[str, list[str]]) -> list[str]:
    """How many arms are bottom-up, by either rule."""
    if not all(answers.values()):
        return []
    counts = [
        ", ".join(f"{arm_answers.count(a)} {a}" for a in dict.fromkeys(arm_answers))
        for arm_answers in answers.values()
    ]
    return [
        f"Bottom-up or not? Of {len(answers['settled'])} arms, by CKA with the final state: {counts[0]}. "
        f"By the part of its own way that a layer has done: {counts[1]}."
    ]


def _order(steps: np.ndarray) -> str:
    if steps.shape[1] < 2:
        return f"one layer, {len(steps)} networks"
    tau, p, answer = order_of_layers(steps)
    text = f"mean Kendall's tau {tau.mean():.2f} over {len(steps)} networks"
    if len(steps) < FEWEST:
        return f"{text}, too few for a test (it takes {FEWEST}): unresolved"
    return f"{text}, p = {p:.2g}: {answer}"


def label_sentences(deep: Deeper) -> list[str]:
    """How many channels have a label, beside what untrained ones have, and how far seeds agree."""
    lines = []
    share = 1 - labels.RATE
    for arm in deep.layers["arm"].values.astype(str):
        parts = []
        for n in deep.layers["layer"].values:
            kinds = deep.channels[f"kind_{n}"].sel(arm=arm).transpose("step", "probe_seed", ...)
            odd = ~np.isin(kinds.values[[0, -1]], (labels.UNSELECTIVE, labels.DEAD))
            low, high = _interval(odd[1].mean(axis=-1))
            pairs = deep.agreement.sel(arm=arm, layer=n)
            agreement = ""
            if pairs.sizes["pair"]:
                observed, chance = (float(pairs[k].mean()) for k in ("observed", "chance"))
                kappa = labels.Agreement(observed, chance).kappa
                agreement = f", and seeds agree on {observed:.0%} of matched channels, by chance {chance:.0%}"
                agreement += f" (kappa {kappa:.2f})" if np.isfinite(kappa) else ""
            shares = f"{odd[0].mean():.0%} at the start, {odd[1].mean():.0%}{_within(low, high)} at the end"
            parts.append(f"Layer {n}: {shares}{agreement}.")
        lines.append(
            f"{arm}: channels with a label (untrained: {share:.0%} by the rule). {' '.join(parts)}"
        )
    return lines


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = t_interval(values)
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def _within(low: float, high: float) -> str:
    return f" [{low:.0%}, {high:.0%}]" if np.isfinite(low + high) else ""
