"""The figures of the calibration: tables in, PNG and SVG out."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kernelstudy.analysis import OPERATORS

COLOURS = {"Prewitt": "#4477aa", "Frei-Chen": "#228833", "Sobel": "#cc3311", "Scharr": "#aa3377"}
GREY, INK, BAD = "#9a9a9a", "#222222", "#cc3311"
mpl.rcParams |= {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    "figure.dpi": 130,
    "svg.hashsalt": "calibration",
}


def save(figure: Figure, out: Path, name: str) -> None:
    for ending in ("png", "svg"):
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        figure.savefig(out / f"{name}.{ending}", bbox_inches="tight", metadata=metadata)
    plt.close(figure)


# Of each kind of chance: the rung that tests it, and the claim that must not be made of it.
ASKED = {
    "normal noise": ("N0", "derivative-like"),
    "uniform noise": ("N0", "derivative-like"),
    "permuted taps": ("N2", "derivative-like"),
    "N3 draws": ("N3", "beyond"),
    "Laplace coefficients": ("N3", "beyond"),
    "unequal means": ("N3", "beyond"),
    "half white": ("N3", "beyond"),
    "half whitened": ("N3", "beyond"),
    "rank one": ("N3", "beyond"),
    "orthogonal": ("N3", "beyond"),
    "scrambled phases": ("N3", "beyond"),
}


def false_positives(table: pd.DataFrame) -> Figure:
    """For each kind of chance its own rung, the claim it must not pass, and 'Sobel'."""
    cells = [
        (kind, size, channels)
        for kind in ASKED
        for size in sorted(table["size"].unique())
        for channels in sorted(table["channels"].unique())
    ]
    rows = table.set_index(["kind", "size", "channels", "claim"])
    picks = {
        "passes the rung that tests it": lambda kind: ASKED[kind][0],
        "gets the claim in the margin": lambda kind: ASKED[kind][1],
        "is called Sobel": lambda kind: "Sobel",
    }
    nominal, n = table["nominal"].iloc[0], int(table["studies"].iloc[0])
    height = 1.4 + 0.21 * len(cells)
    figure, axes = plt.subplots(1, 3, figsize=(11, height), sharey=True, sharex=True)
    figure.subplots_adjust(
        left=0.3, wspace=0.12, top=1 - 0.75 / height, bottom=0.6 / height, right=0.98
    )
    for axis, (title, pick) in zip(axes, picks.items(), strict=True):
        axis.axvspan(0, nominal, color="#e8f1e8", lw=0)
        axis.axvline(nominal, color=INK, lw=1, ls="--")
        for y, cell in enumerate(cells):
            if pick(cell[0]) == "Sobel" and cell[1] != 3:
                continue  # a is defined at 3x3 only
            found = rows.loc[(*cell, pick(cell[0]))]
            colour = INK if found["holds"] else BAD
            axis.plot([found["low"], found["high"]], [y, y], color=colour, lw=1.6)
            axis.plot(found["rate"], y, "o", color=colour, ms=4.5)
        axis.set_title(title)
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for y in range(len(cells) // len(ASKED), len(cells), len(cells) // len(ASKED)):
            axis.axhline(y - 0.5, color=GREY, lw=0.5)
    axes[0].set_xlim(0, max(0.06, table.loc[table["must_hold"], "high"].max() * 1.05))
    axes[0].set_yticks(
        range(len(cells)), [f"{k}x{k}, {c} kernels" for _, k, c in cells], fontsize=8
    )
    axes[0].set_xticks([0, 0.02, 0.04])
    axes[0].set_ylim(len(cells) - 0.4, -0.6)
    axes[1].set_xlabel("of simulated studies (bar: 95% binomial interval)")
    axes[2].text(nominal, len(cells) - 0.7, f" nominal {nominal:.1%}", fontsize=9)
    for index, (kind, (rung, claim)) in enumerate(ASKED.items()):
        claim = "beyond image\nenergies" if claim == "beyond" else claim
        axes[0].text(
            -0.78,
            (index + 0.5) * len(cells) / len(ASKED) - 0.5,
            f"{kind}\n{rung}\n'{claim}'",
            ha="center",
            va="center",
            transform=axes[0].get_yaxis_transform(),
            fontsize=9,
        )
    holds = bool(table.loc[table["must_hold"], "holds"].all())
    verdict = "Chance stays chance" if holds else "Some cells exceed the nominal rate"
    figure.suptitle(
        f"{verdict}: how often each kind of chance ... ({n:,} studies of 10 networks a row)",
        x=0.01,
        ha="left",
    )
    return figure


def power(table: pd.DataFrame) -> Figure:
    """Detection and naming against the signal-to-noise ratio, one column an operator."""
    names = list(table["operator"].unique())
    figure, axes = plt.subplots(
        2, len(names), figsize=(11, 5.4), sharex=True, sharey="row", layout="constrained"
    )
    for column, name in enumerate(names):
        mine = table[table["operator"] == name].sort_values("snr")
        top, bottom = axes[:, column]
        lines = (
            ("structured", "above N0 and N1", GREY, ":"),
            ("derivative_like", "derivative-like (and N2)", INK, "-"),
            ("beyond", "beyond image energies (and N3)", COLOURS[name], "-"),
        )
        for key, label, colour, style in lines:
            top.plot(mine["snr"], mine[key], color=colour, ls=style, lw=2, label=label)
        top.set_title(f"planted {name}, a = {mine['a'].iloc[0]:.3g}")
        right, wrong = mine["interval_right"], mine["interval_wrong"]
        bottom.stackplot(
            mine["snr"],
            right,
            wrong,
            1 - right - wrong,
            colors=(COLOURS[name], "black", "#e6e6e6"),
            labels=("right", "wrong", "unresolved"),
        )
        bottom.plot(mine["snr"], mine["named_right"], color="white", lw=3)
        bottom.plot(
            mine["snr"],
            mine["named_right"],
            color=INK,
            lw=1.5,
            ls="--",
            label="right, by the verdict",
        )
        bottom.set_xscale("log")
        bottom.set_xlabel("operator's energy / noise's")
        for axis in (top, bottom):
            axis.set_ylim(0, 1)
            axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0, 0].set_ylabel("studies detected")
    axes[1, 0].set_ylabel("name from the interval of a")
    axes[0, 0].legend(loc="center right", fontsize=8)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    box = {"frameon": True, "framealpha": 1, "edgecolor": "none"}
    axes[1, 0].legend(handles, labels, loc="center right", fontsize=8, **box)
    figure.suptitle(
        "Planted operators: how often they are detected (top) and named (bottom)", x=0.01, ha="left"
    )
    return figure


def bias_and_coverage(table: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for name, mine in table.groupby("operator", sort=False):
        axes[0].plot(mine["snr"], mine["a_median"], "o-", ms=4, color=COLOURS[name], label=name)
        axes[0].axhline(mine["a"].iloc[0], color=COLOURS[name], lw=0.8, ls="--")
        errors = np.abs(
            mine[["covered_low", "covered_high"]].to_numpy().T - mine["covered"].to_numpy()
        )
        axes[1].errorbar(
            mine["snr"], mine["covered"], errors, fmt="o-", ms=4, color=COLOURS[name], label=name
        )
    axes[0].set(xscale="log", title="median of the estimated a (dashed: planted)", ylim=(0, 5))
    axes[0].legend(fontsize=8)
    axes[1].axhline(0.95, color=INK, lw=1, ls="--")
    axes[1].set(xscale="log", title="interval of a holds the planted a (dashed: nominal)")
    axes[1].set_ylim(0.88, 1.005)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axis in axes:
        axis.set_xlabel("operator's energy / noise's")
    return figure


def training(paths: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(7.5, 4), layout="constrained")
    for name, mine in paths.groupby("operator", sort=False):
        mine = mine[mine["resolved"]]
        phi, low, high = np.arctan(mine[["a_hat", "low", "high"]].to_numpy().T / 2**0.5)
        axis.plot(mine["step"], phi, "o-", color=COLOURS[name], ms=4, label=f"trained on {name}")
        axis.fill_between(mine["step"], low, high, color=COLOURS[name], alpha=0.2, lw=0)
    marks = {name: a for name, a in OPERATORS.items() if np.isfinite(a)}
    for name, a in marks.items():
        axis.axhline(np.arctan(a / 2**0.5), color=COLOURS[name], lw=0.8, ls="--")
    axis.set_yticks(
        [np.arctan(a / 2**0.5) for a in marks.values()],
        [f"{name} {a:.3g}" for name, a in marks.items()],
    )
    resolved = paths.loc[paths["resolved"] & (paths["step"] > 0), "step"]
    first = int(resolved.min() if len(resolved) else paths["step"].max())
    axis.set(xscale="log", ylim=(0.1, 1.45), xlim=(first / 1.3, paths["step"].max() * 1.15))
    axis.set_xlabel(f"step (before {first}: unresolved)")
    axis.set_title("a of convolutions trained to give an operator's responses to photographs")
    axis.legend(fontsize=9, loc="lower right")
    return figure


def coverage(table: pd.DataFrame) -> Figure:
    quantities = {"a": "a of the population", "r2": "mean R2 with Sobel"}
    counts = sorted(table["networks"].unique())
    figure, axes = plt.subplots(
        2, len(counts), figsize=(10.5, 5.6), sharex=True, sharey=True, layout="constrained"
    )
    styles = {
        "package": (INK, "-"),
        "Student's t": (COLOURS["Scharr"], "--"),
        "bootstrap of networks": (COLOURS["Prewitt"], "--"),
        "bootstrap of kernels": (BAD, ":"),
    }
    for row, (quantity, title) in zip(axes, quantities.items(), strict=True):
        for axis, n in zip(row, counts, strict=True):
            axis.axhspan(0.94, 0.96, color="#e8f1e8", lw=0)
            axis.axhline(0.95, color=INK, lw=0.8)
            mine = table[(table["quantity"] == quantity) & (table["networks"] == n)]
            for method, line in mine.groupby("method", sort=False):
                colour, style = next(v for k, v in styles.items() if method.startswith(k))
                if method.endswith("cluster bootstrap"):
                    colour = COLOURS["Frei-Chen"]
                axis.plot(
                    line["spread"], line["coverage"], color=colour, ls=style, lw=2, label=method
                )
            axis.set_title(f"{title}, {n} networks")
            axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        row[0].set_ylabel("coverage")
        row[0].set_ylim(min(0.38, table["coverage"].min()), 1.01)  # room for the legends
        row[-1].legend(fontsize=8, loc="lower left")
    for axis in axes[-1]:
        axis.set_xlabel("spread of phi between networks (rad)")
    figure.suptitle(
        "How often intervals hold the truth when networks differ from each other (nominal 95%)",
        x=0.01,
        ha="left",
    )
    return figure
