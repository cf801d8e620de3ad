"""The zoo's page; every number comes from the tables."""

import numpy as np
import pandas as pd
from all_layer_words import all_layers
from dog_words import dogs, surviving
from dog_words import table as dog_table
from first_layer_words import headline
from maker_words import sobels_side
from why_words import why

COLUMNS = (
    *("network", "package", "licence", "format", "kernels", "dead", "derivative-like"),
    *("beyond permuted", "R² (chance)", "p, N2", "a"),
)
TEXT = """# How derivative-like are the layers of networks in the wild?

The question, the choice of networks and the hypotheses are in
[experiments/zoo](../../experiments/zoo/README.md). Networks that are near-copies of one before ({copies})
count once. All of them are at the end of an unknown training: nothing here tells what training added.

**In short.** {short}

R² is likeness to an edge detector: the part of a kernel, less its mean, that Sobel's kernel at its best
angle (at other sizes a smoothed derivative like it) explains. *Derivative-like* is a kernel whose R² is
larger than random kernels of its size have by chance: isotropic ones (N0), or its own taps permuted (N2).
*Expected* is what was written down before, with its number in the plan.

## First layers

{first}

![Up to 16 kernels of every first layer](kernels.png)

Every row a network, most derivative-like first; of each up to 16 kernels of evenly spaced ranks in R²,
neither the best nor the worst; dominant spatial profiles, each on its own scale. Behind the name: how
many of its filters are derivative-like beyond chance.

![Share of derivative-like kernels of every first layer beside chance](zoo.png)

Left: the share of a layer's live kernels that are derivative-like, each held against isotropic kernels,
q < .05 within the layer; the grey bar ends where 97.5% of isotropic layers of as many kernels end. Black
ticks: the share beyond the kernels' own permuted taps. Right: the layer's mean R² with the middle 95% of
isotropic layers, and (tick) the mean of its own kernels with permuted taps.

## One pipeline, different data

{pairs}

![Kernels of networks of one pipeline](pairs.png)

## Why nearer Sobel than Prewitt?

{why}

![a of every resolved first layer and of photographs](why.png)

Left: a of the layer, of its achromatic part (the filters' mean over channels), and with every live kernel
scaled to norm 1. Right: a of 3x3 patches of photographs. Dotted: the middle between Prewitt and Sobel.

## All layers

{layers}

![Likeness against depth](depth.png)

Every dot a layer; the line the median network, the band half of the networks.

## Are depthwise kernels differences of Gaussians?

{dogs}

{dog_table}

Left: (s - c) / (1 - c), of a share s of trained kernels beside a null's share c, over makers: the
smallest part of the kernels that can be differences of Gaussians if all others are as the null draws
them. Below 0 the null is fitted more often.

![Shares of kernels that a difference of Gaussians fits, trained and of the nulls](dog.png)

![Kernels drawn at random, trained and of the nulls](dog_kernels.png)

Drawn at random from all networks' kernels, none picked; above each the R² of its fit. A high R² beside a
kernel of a null is what the model gives to kernels that are no difference of Gaussians.

## Volumes

{volumes}

![Central planes of kernels of a 3-D denoiser](volumes.png)

Of {volume}: 16 kernels of evenly spaced ranks in R²; of each the three planes through its middle, on one
scale.

## Deviations from the plan

- What is left of the kernels beside a null is taken of means over makers, not network by network: where nearly
  all kernels of a null are fitted, a network's own share divides by almost nothing. Its interval resamples
  makers.
- An a below 0 counts neither on Prewitt's side nor on Sobel's (hypothesis 4, that most layers lie on
  Prewitt's): there middle and corner taps pull against each other. In the first round it would have counted.

## Every network

p of N2 is within the network: it says that these kernels are not permuted ones, and nothing of other
networks trained the same way. Operators are not named: one network cannot.

| {columns} |
|{rule}
{rows}

All columns: [networks.csv](networks.csv), [layers.csv](layers.csv), [dog.csv](dog.csv),
[photographs.csv](photographs.csv), [volumes.csv](volumes.csv); the kernels shown: kernels.npz. Made by
`python experiments/zoo/run.py`, and without measuring again by `python experiments/zoo/pages.py`.
"""


def report(tables: dict[str, pd.DataFrame], pairs: list[str]) -> str:
    """The page, of all tables; `pairs`: what is said of networks of one pipeline."""
    whole = tables["networks"]
    table = distinct(whole)
    copies = len(whole) - len(table)
    dog = tables["dog"][tables["dog"]["network"].isin(table["network"])]
    listed = {
        "first": headline(table),
        "pairs": pairs,
        "why": why(table, tables["photographs"]),
        "layers": all_layers(tables["layers"], table),
        "dogs": dogs(dog),
        "volumes": volumes(tables["volumes"]),
    }
    return TEXT.format(
        short=in_short(table, dog),
        dog_table=dog_table(dog),
        copies=f"{copies} of {len(whole)}",
        volume=tables["volumes"]["network"].iloc[-1],
        columns=" | ".join(COLUMNS),
        rule="---|" * len(COLUMNS),
        rows="\n".join(
            _row(line) for line in table.sort_values("share", ascending=False).itertuples()
        ),
        **{name: "\n".join(f"- {line}" for line in lines) for name, lines in listed.items()},
    )


def in_short(table: pd.DataFrame, dog: pd.DataFrame) -> str:
    """The page in a few sentences. dog: of distinct networks."""
    live = (table["kernels"] - table["dead"] - table["constant"]).sum()
    named = table[table["a_resolved"].astype(bool)]
    sobel = sobels_side(named["a"]).sum()
    three, five = (dog[dog["kernel"] == size] for size in (3, 5))
    low, high = surviving(five)[1:]
    coherent = ((named["coherence"] > 0) & (named["coherence_p"] < 0.05)).sum()
    return (
        f"{table['derivative_like'].sum() / live:.0%} of first-layer kernels are derivative-like (edge-like) "
        f"beyond chance; of one network the share is {table['share'].median():.0%} in the median and "
        f"{table['share'].max():.0%} at most. Of 3x3 depthwise kernels {three['trained_0.9'].mean():.0%} are "
        "fitted by differences of Gaussians, as has been reported. But so are "
        f"{three['smoothed_0.9'].mean():.0%} of smoothed noise and {three['isotropic_0.9'].mean():.0%} of "
        f"noise: nine taps cannot tell. Of 5x5 ones {five['trained_0.9'].mean():.0%} are, and {low:.0%} to "
        f"{high:.0%} are left beside the nulls. Where a, which tells Prewitt (1) from Sobel (2), is "
        f"resolved, it lies on Sobel's side in {sobel} of {len(named)} layers. Neither stride nor colour nor "
        f"a few large kernels nor blurred or smaller photographs account for it. In {coherent} the fine and "
        "the smooth gradient go together, which no second moments of images hold."
    )


def volumes(found: pd.DataFrame) -> list[str]:
    """A sentence or two a network."""
    return [
        f"{row.network}, {row.kernels} kernels of {row.shape}: {row.derivative_like} are derivative-like "
        f"beyond chance and {row.beyond_permuted} beyond their own permuted taps, mean R² {row.r2:.2f} where "
        f"chance gives {row.r2_chance:.3f}. In the central planes {row.odd_low:.0%} to {row.odd_high:.0%} of "
        f"the energy is odd (chance {row.odd_chance:.0%})."
        for row in found.itertuples()
    ]


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Near-copies once."""
    return table[table["copy_of"].fillna("") == ""]


def _row(line) -> str:
    gone = line.dead + line.constant
    cells = (
        line.network,
        f"{line.package} {line.version}",
        line.licence,
        line.format,
        f"{line.kernel}x{line.kernel}, {line.channels}",
        gone,
        f"{line.derivative_like}/{line.kernels - gone}",
        line.beyond_permuted,
        f"{line.r2:.2f} ({line.r2_chance:.2f})",
        f"{line.p_n2:.2g}",
        _a(line),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _a(line) -> str:
    if np.isnan(line.a):
        return ""
    value = "∞" if np.isinf(line.a) else f"{line.a:.2f}"
    return (
        f"{value} [{line.a_low:.2f}, {line.a_high:.2f}]"
        if line.a_resolved
        else f"{value}, unresolved"
    )
