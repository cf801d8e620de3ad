"""The zoo in a figure and in words; every number comes from the table."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.analysis.inference import benjamini_hochberg, sign_flip_test
from kernelstudy.comparison.figures import most_alike
from kernelstudy.comparison.report import Comparison
from kernelstudy.reporting import lead, style
from kernelstudy.reporting.galleries import bare

SHOWN = 10  # kernels of a network


def figure(table: pd.DataFrame) -> Figure:
    """Share of derivative-like kernels, and mean R2, of every first layer beside chance."""
    table = table.sort_values(["share", "r2"], ignore_index=True)
    rows = np.arange(len(table))
    with style.styled():
        drawn = Figure(figsize=(10, 1.4 + 0.27 * len(table)))
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        colours = [style.colour_of({3: 0, 5: 1, 7: 2}.get(k, 3)) for k in table["kernel"]]
        left.barh(rows, table["chance_share"], height=0.8, color=style.CHANCE, alpha=0.35)
        left.barh(rows, table["share"], height=0.5, color=colours, alpha=0.85)
        left.plot(table["share_permuted"], rows, "|", color="black", ms=11, mew=2)
        for row, line in table.iterrows():
            gone = line["dead"] + line["constant"]
            text = f"{line['derivative_like']}/{line['kernels'] - gone}" + (
                f", {gone} dead" if gone else ""
            )
            place = max(line["share"], line["share_permuted"], line["chance_share"]) + 0.015
            left.text(place, row, text, va="center", fontsize=7)
        left.set(
            xlim=(0, 1.08), ylim=(-0.7, len(table) - 0.3), xlabel="share of live kernels, q < .05"
        )
        left.set_title("Derivative-like kernels")
        names = [f"{n.network}, {n.kernel}x{n.kernel}" for n in table.itertuples()]
        left.set_yticks(rows, names, fontsize=7.5)
        for axes in (left, right):
            axes.set_axisbelow(True)
        left.grid(axis="y", visible=False)
        right.barh(
            rows,
            table["r2_high"] - table["r2_low"],
            left=table["r2_low"],
            height=0.8,
            color=style.CHANCE,
            alpha=0.35,
        )
        right.scatter(table["r2"], rows, c=colours, s=24, zorder=3)
        right.plot(table["r2_permuted"], rows, "|", color="black", ms=9, mew=1.5)
        right.set(xlim=(0, 1), xlabel="mean R² with the steered derivative pair")
        right.set_title("The layer as a whole")
        right.grid(axis="y", visible=False)
        for size, colour in ((3, 0), (5, 1), (7, 2), ("other", 3)):
            left.barh(
                0,
                0,
                color=style.colour_of(colour),
                label=f"{size}x{size}" if size != "other" else "6x6 (unfolded)",
            )
        left.plot(
            [], [], "|", color="black", ms=9, mew=2, label="beyond / mean of permuted taps (N2)"
        )
        left.fill_between(
            [], [], color=style.CHANCE, alpha=0.35, label="95% of isotropic layers (N0)"
        )
        drawn.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7.5
        )
    return drawn


def kernels(found: list[Comparison], names: list[str]) -> Figure:
    """Of every network the kernels most like a hand-crafted one, with that one below each, in two columns."""
    half = -(-len(found) // 2)
    block, width = lead.block_of(2), lead.SIDE * SHOWN
    with style.styled():
        drawn = Figure(figsize=(2 * (width + 0.8), block * half), layout="none")
        columns = drawn.subplots(1, 2, squeeze=False)[0]
        drawn.subplots_adjust(0.06, 0, 1, 1, 0.14, 0)
        for column, axes in enumerate(columns):
            bare(axes)
            axes.set(xlim=(0, width), ylim=(block * half, 0), autoscale_on=False)
            for row, index in enumerate(range(column * half, min(len(found), (column + 1) * half))):
                (one,), (bank,) = found[index].measured, found[index].banks
                pictures, matches, _ = most_alike(one, bank, shown=SHOWN)
                largest = np.abs(pictures).max(axis=(1, 2), keepdims=True)
                nearest = lead.nearest_entries(pictures, matches["best"].to_numpy(), bank)
                rows = [("kernels", pictures / np.where(largest > 0, largest, 1))]
                rows += [("nearest", nearest)] if bank else []
                lead.strips(axes, names[index], rows, block * row)
    return drawn


def headline(table: pd.DataFrame) -> list[str]:
    """The findings in sentences."""
    gone = table["dead"] + table["constant"]
    live = table["kernels"] - gone
    q0, q2 = (benjamini_hochberg(table[p].to_numpy()) for p in ("p_n0", "p_n2"))
    above0 = q0 <= 0.05
    above2 = above0 & (q2 <= 0.05)
    packages = table["package"]
    beyond = (table["r2"] - table["r2_permuted"]).groupby(packages).mean().to_numpy()
    found, permuted = table["derivative_like"].sum(), table["beyond_permuted"].sum()
    share = table["share"]
    lines = [
        f"{len(table)} distinct networks of {packages.nunique()} packages, {table['kernels'].sum():,} "
        f"first-layer kernels; {gone.sum()} of them dead or constant, in {(gone > 0).sum()} networks.",
        f"{found} of {live.sum():,} live kernels ({found / live.sum():.0%}) are derivative-like beyond "
        f"isotropic chance (q < .05 within each layer), {permuted} ({permuted / live.sum():.0%}) beyond their "
        f"own permuted taps; by network the share runs from {share.min():.0%} to {share.max():.0%}, median "
        f"{share.median():.0%}.",
        f"As a whole, {above0.sum()} of {len(table)} layers are above isotropic chance, and {above2.sum()} "
        "above their permuted taps as well (q < .05 over networks). Over packages, mean R² exceeds that of "
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
    # the middle between Prewitt and Sobel on the circle of phi, where a lives
    nearer = int((named["a"] < np.sqrt(2)).sum())
    return [
        f"a is resolved in {len(named)} of {(table['kernel'] == 3).sum()} layers of 3x3 kernels (median "
        f"{named['a'].median():.2f}; 1 is Prewitt, 2 Sobel); in {len(only)} of them the interval over the "
        "layer's kernels holds one named operator alone" + (f" ({held})." if held else "."),
        f"Of the {len(named)}, {nearer} lie nearer Prewitt and {len(named) - nearer} nearer Sobel or beyond "
        "(their middle, on the bounded scale of a, is √2): hypothesis 4 "
        + ("holds." if nearer > len(named) / 2 else "does not hold."),
    ]


COLUMNS = (
    *("network", "package", "licence", "format", "kernels", "dead", "derivative-like"),
    *("beyond permuted", "R² (chance)", "p, N2", "a"),
)
TEXT = """# How derivative-like are the first layers of networks in the wild?

The question, the choice of networks and the hypotheses are in
[experiments/zoo](../../experiments/zoo/README.md).

{findings}

{kernels}![Share of derivative-like kernels of every first layer beside chance](zoo.png)

Left: the share of a layer's live kernels that are derivative-like, each held against isotropic kernels,
q < .05 within the layer; the grey bar ends where 97.5% of isotropic layers of as many kernels end. Black
ticks: the share beyond the kernels' own permuted taps. Right: the layer's mean R² with the middle 95% of
isotropic layers, and (tick) the mean of its own kernels with permuted taps.

p of N2 is within the network: it says that these kernels are not permuted ones, and nothing of other
networks trained the same way. Operators are not named: one network cannot.

| {columns} |
|{rule}
{rows}

All columns: [networks.csv](networks.csv). Made by `python experiments/zoo/run.py`.
"""


KERNELS = """![Kernels of every network with their nearest hand-crafted ones](kernels.png)

Of every network the kernels most like a hand-crafted one, each with that one below it and on its own scale.
The best
of many resembles something by chance, too: that is what is counted next.

"""


def report(table: pd.DataFrame, further: list[str], *, kernels: bool = True) -> str:
    """The page, with `further` findings after the table's own; `kernels`: whether kernels.png is there."""
    shown = table.sort_values("share", ascending=False)
    return TEXT.format(
        kernels=KERNELS if kernels else "",
        findings="\n".join(f"- {line}" for line in [*headline(table), *further]),
        columns=" | ".join(COLUMNS),
        rule="---|" * len(COLUMNS),
        rows="\n".join(_row(line) for line in shown.itertuples()),
    )


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
