"""The zoo in figures; every number comes from the tables, every kernel from kernels.npz."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelstudy.analysis.gradients import phi_of_a
from kernelstudy.reporting import style

Pictures = Mapping[str, np.ndarray]
NULL_WORDS = {
    "isotropic": "isotropic (N0)",
    "smoothed": "smoothed noise",
    "permuted": "permuted taps (N2)",
    "signs": "random signs (N3)",
    "phases": "random phases (N3)",
}


def first_layers(table: pd.DataFrame) -> Figure:
    """Share of derivative-like kernels, and mean R2, of every first layer beside chance."""
    table = table.sort_values(["share", "r2"], ignore_index=True)
    rows = np.arange(len(table))
    with style.styled():
        drawn = Figure(figsize=(10, 1.4 + 0.2 * len(table)))
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        colours = [style.colour_of({3: 0, 5: 1, 7: 2}.get(k, 3)) for k in table["kernel"]]
        left.barh(rows, table["chance_share"], height=0.8, color=style.CHANCE, alpha=0.35)
        left.barh(rows, table["share"], height=0.5, color=colours, alpha=0.85)
        left.plot(table["share_permuted"], rows, "|", color="black", ms=7, mew=1.5)
        for row, line in table.iterrows():
            gone = line["dead"] + line["constant"]
            text = f"{line['derivative_like']}/{line['kernels'] - gone}" + (
                f", {gone} dead" if gone else ""
            )
            place = max(line["share"], line["share_permuted"], line["chance_share"]) + 0.015
            left.text(place, row, text, va="center", fontsize=6)
        left.set(
            xlim=(0, 1.08), ylim=(-0.7, len(table) - 0.3), xlabel="share of live kernels, q < .05"
        )
        left.set_title("Derivative-like kernels")
        names = [f"{n.network}, {n.kernel}x{n.kernel}" for n in table.itertuples()]
        left.set_yticks(rows, names, fontsize=6.5)
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
        right.scatter(table["r2"], rows, c=colours, s=16, zorder=3)
        right.plot(table["r2_permuted"], rows, "|", color="black", ms=7, mew=1.2)
        right.set(xlim=(0, 1), xlabel="mean R² with the steered derivative pair")
        right.set_title("The layer as a whole")
        right.grid(axis="y", visible=False)
        for size, colour in ((3, 0), (5, 1), (7, 2), ("other", 3)):
            left.barh(
                0,
                0,
                color=style.colour_of(colour),
                label=f"{size}x{size}" if size != "other" else "other sizes",
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


def kernels(table: pd.DataFrame, pictures: Pictures) -> Figure:
    """Up to 16 kernels of every network, of evenly spaced ranks in R2, in two columns of networks."""
    table = table.sort_values(["share", "r2"], ascending=False)
    rows = -(-len(table) // 2)
    with style.styled():
        drawn = Figure(figsize=(11.5, 0.3 + 0.195 * rows))
        axes = drawn.subplots(1, 2)
        for half, one in enumerate(axes):
            part = table.iloc[half * rows : (half + 1) * rows]
            canvas = np.full((rows * _CELL, 16 * _CELL), np.nan)
            for row, index in enumerate(part.index):
                for column, kernel in enumerate(pictures[f"first_{index}"]):
                    _put(canvas, kernel, row, column)
            one.imshow(canvas, cmap=style.DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
            places = (np.arange(len(part)) + 0.5) * _CELL
            names = [
                f"{_short(r.network)}, {r.derivative_like}/{r.kernels}" for r in part.itertuples()
            ]
            one.set_yticks(places, names, fontsize=5.5)
            _pictures_alone(one)
    return drawn


_CELL = 24  # pixels of a picture and the gap after it


def _put(canvas: np.ndarray, kernel: np.ndarray, row: int, column: int, gap: int = 3) -> None:
    side = _CELL - gap
    at = np.arange(side) * len(kernel) // side
    large = kernel[np.ix_(at, at)] / (np.abs(kernel).max() or 1)
    canvas[row * _CELL : row * _CELL + side, column * _CELL : column * _CELL + side] = large


def _short(name: str, most: int = 42) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def depth(layers: pd.DataFrame) -> Figure:
    """Mean R2 less chance against the place in the network, dense and depthwise layers apart."""
    with style.styled():
        drawn = Figure(figsize=(8.6, 3.1))
        axes = drawn.subplots(1, 2, sharey=True)
        for one, (kind, part) in zip(axes, layers.groupby("depthwise"), strict=True):
            for _, network in part.groupby("network"):
                one.plot(network["place"], network["beyond"], ".", color="0.6", ms=2, alpha=0.5)
            bins = pd.cut(part["place"], np.linspace(0, 1, 9), include_lowest=True)
            means = part.groupby([bins, "network"], observed=True)["beyond"].mean()
            of_bins = means.groupby(level=0, observed=True)
            centres = [interval.mid for interval in of_bins.mean().index]
            quartiles = [of_bins.quantile(q) for q in (0.25, 0.5, 0.75)]
            one.fill_between(
                centres, quartiles[0], quartiles[2], color=style.colour_of(0), alpha=0.25, lw=0,
                label="half of the networks",
            )  # fmt: skip
            one.plot(centres, quartiles[1], color=style.colour_of(0), lw=2, label="median network")
            one.axhline(0, color=style.CHANCE, lw=1.5, label="chance")
            one.set_title("Depthwise layers" if kind else "Dense layers")
            one.set(xlabel="place in the network, 0 the first layer", xlim=(-0.02, 1.02))
            one.set_ylim(-0.35, 0.8)
        axes[0].set_ylabel("mean R² less chance")
        axes[0].legend(fontsize=7.5)
    return drawn


def dogs(dog: pd.DataFrame, levels: tuple[float, ...]) -> Figure:
    """Shares of kernels at each level of R2, trained and of the nulls, means over networks; a panel a size."""
    sizes = [size for size, part in dog.groupby("kernel") if len(part) >= 5]
    with style.styled():
        drawn = Figure(figsize=(8.6, 3.2))
        axes = drawn.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for one, size in zip(axes, sizes, strict=True):
            part = dog[dog["kernel"] == size]
            names = ["trained", *NULL_WORDS]
            for index, name in enumerate(names):
                values = [part[f"{name}_{level:g}"].mean() for level in levels]
                one.plot(
                    levels, values, "-o" if name == "trained" else "--", ms=4,
                    lw=2.2 if name == "trained" else 1.2,
                    color="black" if name == "trained" else style.colour_of(index),
                    label="trained" if name == "trained" else NULL_WORDS[name],
                )  # fmt: skip
            one.axvline(0.9, color="0.8", lw=1, zorder=0)
            one.set_title(f"{size}x{size}, {len(part)} networks")
            one.set(xlabel="R² of the fit, at least", ylim=(0, 1.02))
        axes[0].set_ylabel("share of kernels")
        drawn.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7
        )
    return drawn


def dog_kernels(pictures: Pictures) -> Figure:
    """Kernels drawn at random, trained and of the nulls, each with the R2 of its fit."""
    sizes = sorted({int(name.split("_")[1]) for name in pictures if name.startswith("dog_")})[:3]
    rows = [
        (size, name) for size in sizes for name in ("trained", "smoothed", "permuted", "phases")
    ]
    with style.styled():
        drawn = Figure(figsize=(8.6, 0.82 * len(rows)))
        axes = drawn.subplots(len(rows), 12)
        for line, (size, name) in zip(axes, rows, strict=True):
            found = pictures[f"dog_{size}_{name}"], pictures[f"dog_{size}_{name}_r2"]
            for one, kernel, r2 in zip(line, *found, strict=True):
                peak = np.abs(kernel).max() or 1
                one.imshow(
                    kernel, cmap=style.DIVERGING, vmin=-peak, vmax=peak, interpolation="nearest"
                )
                one.set_title(f"{r2:.2f}", fontsize=6.5, loc="center", pad=2)
                one.set_xticks([])
                one.set_yticks([])
                one.grid(visible=False)
                for spine in one.spines.values():
                    spine.set_visible(False)
            words = "trained" if name == "trained" else NULL_WORDS[name].replace(" (", "\n(")
            line[0].set_ylabel(
                f"{size}x{size}\n{words}", rotation=0, ha="right", va="center", fontsize=7
            )
    return drawn


def why(named: pd.DataFrame, photographs: pd.DataFrame) -> Figure:
    """a of every resolved first layer, three ways; and a of photographs as they are, blurred and smaller."""
    named = named.sort_values("a", key=phi_of_a, ignore_index=True)
    with style.styled():
        drawn = Figure(figsize=(9.5, 1.4 + 0.19 * len(named)))
        left, right = drawn.subplots(1, 2, width_ratios=(1.6, 1))
        rows = np.arange(len(named))
        for column, marker, words in (
            ("a", "o", "as reported"),
            ("a_achromatic", "s", "achromatic part"),
            ("a_unit", "^", "every kernel at norm 1"),
        ):
            left.plot(
                _bounded(named[column]),
                rows,
                marker,
                ms=5,
                mfc="none" if column != "a" else None,
                label=words,
            )
        names = [f"{r.network}, stride {r.stride or '?'}" for r in named.itertuples()]
        left.set_yticks(rows, names, fontsize=6.5)
        left.set_ylim(-0.7, len(named) - 0.3)
        _operators(left)
        left.set_title("First 3x3 layers whose a is resolved")
        lines = [
            f"{t}{f', {x:g}' if x else ''}"
            for t, x in photographs[["treatment", "amount"]].to_numpy()
        ]
        right.plot(
            _bounded(photographs["a"]), np.arange(len(lines))[::-1], "o", color=style.colour_of(4)
        )
        right.set_yticks(np.arange(len(lines))[::-1], lines, fontsize=7)
        _operators(right)
        right.set_title("Patches of photographs")
        drawn.legend(
            *left.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=7.5
        )
    return drawn


def _bounded(a: pd.Series) -> np.ndarray:
    """phi in degrees from -90 to 90, a's bounded scale."""
    return np.degrees(phi_of_a(a.to_numpy(float)))


def _operators(axes: Axes) -> None:
    named = {1.0: "1\nPrewitt", 2.0: "2\nSobel", 10 / 3: "10/3\n\nScharr"}
    for a in named:
        axes.axvline(float(np.degrees(phi_of_a(a))), color="0.75", lw=1, zorder=0)
    axes.axvline(45, color=style.CHANCE, lw=1, ls=":", zorder=0)
    ticks = (0.0, 0.5, *named, np.inf)
    words = ("0", "0.5", *named.values(), "∞")
    axes.set_xticks(np.degrees(phi_of_a(np.array(ticks))), words, fontsize=7)
    axes.set_xlabel("a, on its bounded scale")


def pairs(table: pd.DataFrame, pictures: Pictures, groups: Mapping[str, list[str]]) -> Figure:
    """Networks of one pipeline below each other, 16 kernels of each of evenly spaced ranks in R2."""
    rows = [(title, name) for title, names in groups.items() for name in names]
    known = table.reset_index().set_index("network")
    with style.styled():
        drawn = Figure(figsize=(8.6, 0.4 + 0.4 * len(rows)))
        one = drawn.subplots()
        canvas = np.full((len(rows) * _CELL, 16 * _CELL), np.nan)
        for row, (_, name) in enumerate(rows):
            for column, kernel in enumerate(pictures[f"first_{known.loc[name, 'index']}"]):
                _put(canvas, kernel, row, column)
        one.imshow(canvas, cmap=style.DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        words = [
            f"{name}: {known.loc[name, 'derivative_like']} of {known.loc[name, 'kernels']}"
            for _, name in rows
        ]
        one.set_yticks((np.arange(len(rows)) + 0.5) * _CELL, words, fontsize=7)
        _pictures_alone(one)
    return drawn


def _pictures_alone(axes: Axes) -> None:
    """Nothing around the pictures but the names of their rows."""
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
