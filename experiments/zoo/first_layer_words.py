"""First layers in words: how derivative-like they are, and where a lies."""

import numpy as np
import pandas as pd
from maker_words import expected, over_makers, prewitts_side, sobels_side

from kernelstudy.analysis.gradients import phi_of_a
from kernelstudy.analysis.inference import benjamini_hochberg, sign_flip_test


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
        f"isotropic chance, {permuted} ({permuted / live.sum():.0%}) beyond their own permuted taps (q < "
        ".05, over the kernels of each layer).",
        f"By network the share runs from {share.min():.0%} to {share.max():.0%}, median {share.median():.0%}.",
        f"As a whole, {above0.sum()} of {len(table)} layers are above isotropic chance, and {above2.sum()} "
        "above their permuted taps as well (q < .05, here over the networks). Over makers, mean R² exceeds "
        f"that of permuted taps by {beyond.mean():.3f} (sign-flip p = {sign_flip_test(beyond):.2g}, n = "
        f"{len(beyond)}).",
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
    prewitt, sobel = prewitts_side(named["a"]), sobels_side(named["a"])
    neither = len(named) - prewitt.sum() - sobel.sum()
    positive = named[named["a"] > 0].set_index("network")["a"]
    beyond = dict(zip(positive.index, np.degrees(phi_of_a(positive)) - 45, strict=True))
    most = "most layers whose a is resolved lie nearer Prewitt than Sobel, as the patches of photographs do"
    return [
        "a tells the operators apart: it is the middle tap of [1, a, 1] x [-1, 0, 1], 1 in Prewitt's, 2 in "
        f"Sobel's. It is resolved in {len(named)} of {(table['kernel'] == 3).sum()} layers of 3x3 kernels, "
        f"with a median of {named['a'].median():.2f}.",
        f"In {len(only)} of them the interval over the layer's kernels holds one named operator alone"
        + (f" ({held})" if held else "")
        + ". That does not name them: kernels of other a often give such an interval, too.",
        expected("hypothesis 4", most, prewitt.sum() > len(named) / 2)
        + f" Of the {len(named)}, {prewitt.sum()} lie on Prewitt's side and {sobel.sum()} on Sobel's or "
        "beyond (their middle, on the bounded scale of a, is √2)"
        + (
            f", and {neither} have middle and corner taps that pull against each other."
            if neither
            else "."
        ),
        "Past that middle the layers with a above 0 lie by "
        f"{over_makers(beyond, table.set_index('network')['maker'])}, in degrees of 180.",
    ]
