"""The zoo in words; every number comes from the tables."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy

from kernelstudy.analysis.gradients import phi_of_a
from kernelstudy.analysis.inference import benjamini_hochberg, sign_flip_test
from kernelstudy.analysis.intervals import bootstrap_t_interval

NULLS = {
    "isotropic": "isotropic ones",
    "smoothed": "smoothed noise",
    "permuted": "their own permuted taps",
    "signs": "random signs on photographs' axes",
    "phases": "their own spectra with random phases",
}


def headline(table: pd.DataFrame) -> list[str]:
    """The findings in sentences."""
    gone = table["dead"] + table["constant"]
    live = table["kernels"] - gone
    q0, q2 = (benjamini_hochberg(table[p].to_numpy()) for p in ("p_n0", "p_n2"))
    above0 = q0 <= 0.05
    above2 = above0 & (q2 <= 0.05)
    beyond = (table["r2"] - table["r2_permuted"]).groupby(table["maker"]).mean().to_numpy()
    found, permuted = table["derivative_like"].sum(), table["beyond_permuted"].sum()
    share = table["share"]
    lines = [
        f"{len(table)} distinct networks of {table['maker'].nunique()} makers, {table['kernels'].sum():,} "
        f"first-layer kernels; {gone.sum()} of them dead or constant, in {(gone > 0).sum()} networks.",
        f"{found} of {live.sum():,} live kernels ({found / live.sum():.0%}) are derivative-like beyond "
        f"isotropic chance (q < .05 within each layer), {permuted} ({permuted / live.sum():.0%}) beyond their "
        f"own permuted taps; by network the share runs from {share.min():.0%} to {share.max():.0%}, median "
        f"{share.median():.0%}.",
        f"As a whole, {above0.sum()} of {len(table)} layers are above isotropic chance, and {above2.sum()} "
        "above their permuted taps as well (q < .05 over networks). Over makers, mean R² exceeds that of "
        f"permuted taps by {beyond.mean():.3f} (sign-flip p = {sign_flip_test(beyond):.2g}, "
        f"n = {len(beyond)}).",
    ]
    for size, group in table.groupby("kernel"):
        part = group["derivative_like"].sum() / live[group.index].sum()
        count = "1 network" if len(group) == 1 else f"{len(group)} networks"
        lines.append(
            f"{size}x{size}: {count}, {part:.0%} of kernels derivative-like, mean R² {group['r2'].mean():.2f} "
            f"where chance is {group['r2_chance'].mean():.2f}."
        )
    return lines + _operators(table)


def _operators(table: pd.DataFrame) -> list[str]:
    """Where a lies, in the layers in which it is resolved."""
    named = table[table["a_resolved"].astype(bool)]
    only = named[~named["a_holds"].str.contains(",") & (named["a_holds"] != "")]["a_holds"]
    held = ", ".join(f"{name} {count}" for name, count in only.value_counts().items())
    prewitt, sobel = _prewitts_side(named["a"]), _sobels_side(named["a"])
    neither = len(named) - prewitt.sum() - sobel.sum()
    positive = named[named["a"] > 0].set_index("network")["a"]
    beyond = dict(zip(positive.index, np.degrees(phi_of_a(positive)) - 45, strict=True))
    return [
        f"a is resolved in {len(named)} of {(table['kernel'] == 3).sum()} layers of 3x3 kernels (median "
        f"{named['a'].median():.2f}; 1 is Prewitt, 2 Sobel); in {len(only)} of them the interval over the "
        "layer's kernels holds one named operator alone"
        + (f" ({held})" if held else "")
        + ", which does not name them: kernels of other a often give such an interval, too.",
        f"Of the {len(named)}, {prewitt.sum()} lie on Prewitt's side and {sobel.sum()} on Sobel's or beyond "
        "(their middle, on the bounded scale of a, is √2)"
        + (
            f", and {neither} have middle and corner taps that pull against each other"
            if neither
            else ""
        )
        + f": hypothesis 4 {_holds(prewitt.sum() > len(named) / 2)}. Past that middle the layers with "
        f"a above 0 lie by {_over_makers(beyond, table.set_index('network')['maker'])}, in degrees of 180.",
    ]


def _prewitts_side(a: pd.Series) -> pd.Series:
    return (a > 0) & (a < np.sqrt(2))


def _sobels_side(a: pd.Series) -> pd.Series:
    return a >= np.sqrt(2)


def with_places(layers: pd.DataFrame) -> pd.DataFrame:
    """The measured layers with their place (0 first, 1 last), whether depthwise, and R2 less chance."""
    last = layers.groupby("network")["depth"].transform("max")
    found = layers.assign(
        place=(layers["depth"] - 1) / (last - 1).clip(lower=1),
        depthwise=_depthwise(layers),
        beyond=layers["r2"] - layers["r2_chance"],
    )
    return found[found["r2"].notna()]


def _depthwise(layers: pd.DataFrame) -> pd.Series:
    """By the file, or, where it does not tell, one input a filter past the first layer."""
    one_input = layers["shape"].str.contains(", 1 -> ") & ~layers["shape"].str.contains("-> 1$")
    return layers["shape"].str.contains("depthwise") | (one_input & (layers["depth"] > 1))


def all_layers(layers: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """L1 and L2, over distinct networks."""
    placed = with_places(layers)
    placed = placed[placed["network"].isin(table["network"])]
    makers = table.set_index("network")["maker"]
    slopes, kinds = {}, {}
    for name, part in placed.groupby("network"):
        if len(part) >= 6 and part["beyond"].nunique() > 1:
            slopes[name] = scipy.stats.spearmanr(part["place"], part["beyond"]).statistic
        dense = part[~part["depthwise"] & (part["depth"] > 1)]["beyond"]
        depthwise = part[part["depthwise"]]["beyond"]
        if len(dense) and len(depthwise):
            kinds[name] = depthwise.mean() - dense.mean()
    lines = [
        f"{len(layers):,} convolutions, {len(placed):,} of them of distinct networks and with a shape in "
        f"space; {placed['verdict'].str.startswith('more').mean():.0%} are more derivative-like on average "
        f"than isotropic kernels, {placed['verdict'].str.startswith('less').mean():.0%} less (q < .05 over a "
        "network's layers)."
    ]
    falls = sum(slope < 0 for slope in slopes.values())
    lines.append(
        f"Likeness falls with depth in {falls} of {len(slopes)} networks of at least six measured layers, "
        f"Spearman's correlation {_over_makers(slopes, makers)}: by its count L1 "
        f"{_holds(falls > len(slopes) / 2)}."
    )
    larger = sum(value > 0 for value in kinds.values())
    dense, depthwise = (
        placed[(placed["depthwise"] == kind) & (placed["depth"] > 1)]
        .groupby("network")["beyond"]
        .mean()
        .mean()
        for kind in (False, True)
    )
    lines.append(
        f"Past the first layer R² exceeds chance by {depthwise:.2f} in depthwise layers and by {dense:.2f} in "
        f"dense ones, means over networks; of {len(kinds)} networks that have both, {larger} have more in the "
        f"depthwise ones, a difference of {_over_makers(kinds, makers)}: by its count L2 "
        f"{_holds(larger > len(kinds) / 2)}."
    )
    return lines


def dogs(dog: pd.DataFrame) -> list[str]:
    """D1 to D4, over distinct networks."""
    lines, verdicts = [], {}
    for size, part in dog.groupby("kernel"):
        shares = {name: part[f"{name}_0.9"].mean() for name in ("trained", *NULLS)}
        words = ", ".join(f"{shares[name]:.0%} of {told}" for name, told in NULLS.items())
        own = part["kernels"].sum()
        survives, low, high = _surviving(part)
        left = ", ".join(
            f"{_surviving(part, [name])[0]:.0%} beside {told}" for name, told in NULLS.items()
        )
        interval = f" [{low:.0%}, {high:.0%}]" if np.isfinite(low) else ""
        lines.append(
            f"{size}x{size}, {_count(part, 'network')} of {_count_makers(part)}, {own:,} kernels: "
            f"**{shares['trained']:.0%}** are fitted with R² of at least 0.9; so are {words}. So many of the "
            f"kernels are left to be differences of Gaussians: {left}; beside the highest of them "
            f"**{survives:.0%}{interval}**. One by one beyond isotropic noise (q < .05): "
            f"{part['beyond_noise'].mean():.0%}."
        )
        verdicts[size] = shares, survives, part
    return lines + _dog_hypotheses(verdicts)


def _surviving(
    part: pd.DataFrame, nulls: Iterable[str] = NULLS, draws: int = 4000
) -> tuple[float, float, float]:
    """(s - c) / (1 - c), means over makers of their networks' means, beside the null with the largest share c;
    and the middle 95% of it over resampled makers, from six on. Below 0 the null is fitted more often."""
    columns = [f"{name}_0.9" for name in ("trained", *nulls)]
    of_makers = part.groupby("maker")[columns].mean().to_numpy()

    def left(means: np.ndarray) -> np.ndarray:
        null = means[..., 1:].max(axis=-1)
        return (means[..., 0] - null) / np.maximum(1 - null, 0.005)

    value = float(left(of_makers.mean(axis=0)))
    if len(of_makers) < 6:
        return value, np.nan, np.nan
    picked = np.random.default_rng(0).integers(len(of_makers), size=(draws, len(of_makers)))
    low, high = np.quantile(left(of_makers[picked].mean(axis=1)), [0.025, 0.975])
    return value, float(low), float(high)


def _dog_hypotheses(verdicts: dict) -> list[str]:
    if not {3, 5} <= set(verdicts):
        return []
    (three, survive3, part3), (_, survive5, part5) = verdicts[3], verdicts[5]
    first = three["trained"] >= 0.9 and three["isotropic"] > 0.5 and survive3 < 0.5
    above = {name: (part5["trained_0.9"] > part5[f"{name}_0.9"]).sum() for name in NULLS}
    n3 = (part5["trained_0.9"] > part5[["signs_0.9", "phases_0.9"]].max(axis=1)).sum()
    second = min(above["isotropic"], above["permuted"]) > len(part5) / 2
    second = second and n3 < min(above["isotropic"], above["permuted"]) and survive5 > survive3
    third = part3["beyond_noise"].mean() < 0.1 and part5["beyond_noise"].mean() > 0.5
    known = pd.concat([part3, part5])[["first_third", "last_third"]].dropna()
    falls = (known["last_third"] < known["first_third"]).sum()
    rises = (known["last_third"] > known["first_third"]).sum()
    return [
        f"D1 {_holds(first)}. D2 {_holds(second)}: at 5x5 the share is above that of isotropic kernels in "
        f"{above['isotropic']} of {len(part5)} networks, of permuted taps in {above['permuted']}, of N3 in "
        f"{n3}. D3 {_holds(third)}.",
        f"From the first to the last third of the depthwise layers the share falls in {falls} and rises in "
        f"{rises} of {len(known)} networks and sizes: D4 {_holds(falls > len(known) / 2)}.",
    ]


def why(table: pd.DataFrame, photographs: pd.DataFrame) -> list[str]:
    """W1 to W5, over distinct networks whose a is resolved."""
    named = table[table["a_resolved"].astype(bool)]
    phi = np.degrees(phi_of_a(named["a"].to_numpy(float)))
    stride = named["stride"].astype(str).str[:1].to_numpy()
    one, two = phi[stride == "1"], phi[stride == "2"]
    lines = []
    if len(one) > 2 and len(two) > 2:
        p = scipy.stats.mannwhitneyu(one, two).pvalue
        medians = [np.sqrt(2) * np.tan(np.radians(np.median(x))) for x in (one, two)]
        lines.append(
            f"Stride: the median a is {medians[1]:.2f} in {len(two)} layers of stride 2 and {medians[0]:.2f} "
            f"in {len(one)} of stride 1 (Mann and Whitney's p = {p:.2g}; the rest do not tell): W1 "
            f"{_holds(medians[1] > medians[0] and p < 0.05)}."
        )
    sobel = named[_sobels_side(named["a"])]
    for column, words, number in (
        ("a_achromatic", "of the achromatic part alone", "W2"),
        ("a_unit", "with every kernel at norm 1", "W3"),
    ):
        stay = (_sobels_side(named[column]) == _sobels_side(named["a"])).sum()
        of_sobel = _sobels_side(sobel[column]).sum()
        lines.append(
            f"a {words} is on the same side of √2 in {stay} of {len(named)} layers, and on Sobel's in "
            f"{of_sobel} of the {len(sobel)} that lie there: {number} {_holds(stay > len(named) / 2)}."
        )
    a = photographs.set_index(["treatment", "amount"])["a"]
    whole = a.loc["as they are"].iloc[0]
    smaller = pd.concat([a.loc["made smaller by area"], a.loc["every so many pixels"]])
    blurred = a.loc["blurred, sigma in pixels"]
    fourth = (blurred < whole).all() and (smaller > whole).all() and (smaller < np.sqrt(2)).all()
    lines.append(
        f"The patches of photographs have a of {whole:.2f}, blurred {blurred.min():.2f} to "
        f"{blurred.max():.2f}, made smaller {smaller.min():.2f} to {smaller.max():.2f}: W4 {_holds(fourth)}. "
        "Whatever is done to them, none of it comes near 2."
    )
    positive = ((named["coherence"] > 0) & (named["coherence_p"] < 0.05)).sum()
    of_sobel = ((sobel["coherence"] > 0) & (sobel["coherence_p"] < 0.05)).sum()
    lines.append(
        f"The fine gradient goes along with the smooth one, beyond random signs, in {positive} of "
        f"{len(named)} layers (of those on Sobel's side {of_sobel} of {len(sobel)}; median coherence "
        f"{named['coherence'].median():.2f}): W5 {_holds(positive > len(named) / 2)}. An a beyond that of the "
        "patches and such a coherence are one thing said twice; what is found is that the energies on the "
        "patches' axes do not bring it about, whitened or not, and that it points one way. The patches "
        "themselves have none, for so their axes are defined. It is a matter of phase, which second moments "
        "do not hold; what in the images or in the training makes it, weights cannot tell."
    )
    return lines


def volumes(found: pd.DataFrame) -> list[str]:
    return [
        f"{row.network}, {row.kernels} kernels of {row.shape}: {row.derivative_like} are derivative-like "
        f"beyond chance and {row.beyond_permuted} beyond their own permuted taps, mean R² {row.r2:.2f} where "
        f"chance gives {row.r2_chance:.3f}; in the central planes {row.odd_low:.0%} to {row.odd_high:.0%} of "
        f"the energy is odd (chance {row.odd_chance:.0%})."
        for row in found.itertuples()
    ]


def _over_makers(values: dict[str, float], makers: pd.Series) -> str:
    """Mean over makers, each the mean of its networks, with its interval and the sign-flip p."""
    means = (
        pd.Series(values)
        .groupby(makers.reindex(list(values)).to_numpy())
        .mean()
        .dropna()
        .to_numpy()
    )
    if len(means) < 6:
        return f"{means.mean():.2f} (of {len(means)} makers)"
    low, high = bootstrap_t_interval(means)
    return (
        f"{means.mean():.2f} [{low:.2f}, {high:.2f}] over {len(means)} makers (sign-flip p = "
        f"{sign_flip_test(means):.2g})"
    )


def _count_makers(part: pd.DataFrame) -> str:
    count = part["maker"].nunique()
    return f"{count} makers" if count > 1 else "1 maker"


def _count(part: pd.DataFrame, word: str) -> str:
    return f"1 {word}" if len(part) == 1 else f"{len(part)} {word}s"


def _holds(found: bool) -> str:
    return "holds" if found else "does not hold"


COLUMNS = (
    *("network", "package", "licence", "format", "kernels", "dead", "derivative-like"),
    *("beyond permuted", "R² (chance)", "p, N2", "a"),
)
TEXT = """# How derivative-like are the layers of networks in the wild?

The question, the choice of networks and the hypotheses are in
[experiments/zoo](../../experiments/zoo/README.md). Networks that are near-copies of one before ({copies}) count
once. All of them are at the end of an unknown training: nothing here tells what training added.

**In short.** {short}

## First layers

{first}

![Up to 16 kernels of every first layer](kernels.png)

Every row a network, most derivative-like first; of each up to 16 kernels of evenly spaced ranks in R², neither
the best nor the worst; dominant spatial profiles, each on its own scale. Behind the name: how many of its
filters are derivative-like beyond chance.

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

![Shares of kernels that a difference of Gaussians fits, trained and of the nulls](dog.png)

![Kernels drawn at random, trained and of the nulls](dog_kernels.png)

Drawn at random from all networks' kernels, none picked; above each the R² of its fit. A high R² beside a
kernel of a null is what the model gives to kernels that are no difference of Gaussians.

## Volumes

{volumes}

![Central planes of kernels of a 3-D denoiser](volumes.png)

Of {volume}: 16 kernels of evenly spaced ranks in R²; of each the three planes through its middle, on one scale.

## Deviations from the plan

- What is left of the kernels beside a null is taken of means over makers, not network by network: where nearly
  all kernels of a null are fitted, a network's own share divides by almost nothing. Its interval resamples
  makers.
- Of hypothesis 4's side of Prewitt an a below 0 is none: there middle and corner taps pull against each other.
  In the first round it would have counted.

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
    listed = {
        "first": headline(table),
        "pairs": pairs,
        "why": why(table, tables["photographs"]),
        "layers": all_layers(tables["layers"], table),
        "dogs": dogs(tables["dog"][tables["dog"]["network"].isin(table["network"])]),
        "volumes": volumes(tables["volumes"]),
    }
    return TEXT.format(
        short=in_short(table, tables["dog"]),
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
    """The page in four sentences."""
    live = (table["kernels"] - table["dead"] - table["constant"]).sum()
    named = table[table["a_resolved"].astype(bool)]
    sobel = _sobels_side(named["a"]).sum()
    dog = dog[dog["network"].isin(table["network"])]
    three, five = (dog[dog["kernel"] == size] for size in (3, 5))
    low, high = _surviving(five)[1:]
    coherent = ((named["coherence"] > 0) & (named["coherence_p"] < 0.05)).sum()
    return (
        f"{table['derivative_like'].sum() / live:.0%} of first-layer kernels are derivative-like beyond "
        f"chance; of one network the share is {table['share'].median():.0%} in the median and "
        f"{table['share'].max():.0%} at most. Of 3x3 depthwise kernels {three['trained_0.9'].mean():.0%} are "
        "fitted by differences of Gaussians, as has been reported, and so are "
        f"{three['smoothed_0.9'].mean():.0%} of smoothed noise and {three['isotropic_0.9'].mean():.0%} of "
        f"noise: nine taps cannot tell. Of 5x5 ones {five['trained_0.9'].mean():.0%} are, and {low:.0%} to "
        f"{high:.0%} are left beside the nulls. Where a is resolved it lies on Sobel's side in {sobel} of "
        f"{len(named)} layers, and neither stride nor colour nor a few large kernels nor blurred or smaller "
        f"photographs account for it: in {coherent} the fine and the smooth gradient go together, which no "
        "second moments of images hold."
    )


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
