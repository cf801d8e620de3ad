"""The calibration's report, written from its tables."""

from pathlib import Path

import pandas as pd


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def rate(row: pd.Series) -> str:
    return f"{percent(row['rate'])} [{percent(row['low'])}, {percent(row['high'])}]"


def table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def false_positives(found: pd.DataFrame) -> str:
    rows = []
    naming = found["claim"].isin(["Sobel", "any name", "Sobel by the interval alone"])
    found = found[~naming | (found["size"] == 3)]  # a, and so a name, is defined at 3x3 only
    columns = ("structured", "derivative-like", "beyond", "Sobel", "any name")
    for (kind, size, channels), cell in found.groupby(["kind", "size", "channels"], sort=False):
        by_claim = cell.set_index("claim")
        entries = []
        for claim in columns:
            if claim not in by_claim.index:
                entries.append("-")
                continue
            row = by_claim.loc[claim]
            text = (
                rate(row) if row["must_hold"] or claim == "Sobel" else f"({percent(row['rate'])})"
            )
            entries.append(text if row["holds"] else f"**{text}**")
        rows.append([kind, f"{size}x{size}", str(channels), *entries])
    held = found[found["must_hold"]]
    worst = held.loc[held["rate"].idxmax()]
    rungs = held[held["claim"].isin(["N0", "N1", "N2", "N3"])]
    summary = [
        f"- {int(held['holds'].sum())} of {len(held)} rates that must keep to the nominal "
        f"{percent(found['nominal'].iloc[0])} do.",
        f"- The largest of them is {rate(worst)} ({worst['claim']}, {worst['kind']}, "
        f"{worst['size']}x{worst['size']}, {worst['channels']} kernels).",
        f"- Single rungs are passed by chance at {percent(rungs['rate'].min())} to "
        f"{percent(rungs['rate'].max())}, {percent(rungs['rate'].mean())} on average.",
        f"- 'Sobel' was said {int(found.loc[found['claim'] == 'Sobel', 'count'].sum())} times in "
        f"{int(found.loc[found['claim'] == 'Sobel', 'studies'].sum()):,} studies of chance at 3x3. The "
        "interval of a alone, without the ladder, would have said it "
        f"{int(found.loc[found['claim'] == 'Sobel by the interval alone', 'count'].sum())} times.",
    ]
    alone = found[(found["claim"] == "N3") & ~found["must_hold"]]
    most = alone.loc[alone["rate"].idxmax()]
    summary.append(
        f"- Of what need not respect N3, {most['kind']} pass it most often, at up to "
        f"{percent(most['rate'])} ({most['size']}x{most['size']}, {most['channels']} kernels)."
        if most["count"]
        else "- Nor does anything that need not respect N3 pass it."
    )
    headers = [
        "kernels",
        "size",
        "a net",
        "structured",
        "derivative-like",
        "beyond image energies",
        "Sobel",
        "any name",
    ]
    return "\n".join(summary) + "\n\n" + table(headers, rows)


def power(found: pd.DataFrame) -> str:
    rows = []
    for _, row in found.iterrows():
        called = ", ".join(
            f"{name.removeprefix('called ')} {percent(row[name])}"
            for name in found.columns
            if name.startswith("called ") and row[name] > 0
        )
        rows.append(
            [
                row["operator"],
                f"{row['snr']:.3g}",
                percent(row["derivative_like"]),
                percent(row["beyond"]),
                percent(row["interval_right"]),
                percent(row["interval_wrong"]),
                called or "-",
                percent(row["unresolved"]),
                f"{row['a_median']:.3g}",
                f"{row['phi_bias']:+.4f} ({row['phi_bias_se']:.4f})",
                f"{percent(row['covered'])} "
                f"[{percent(row['covered_low'])}, {percent(row['covered_high'])}]",
            ]
        )
    worst = found.loc[found["named_wrong"].idxmax()]
    under = found[found["covered_high"] < 0.95]
    biased = found[found["phi_bias"].abs() > 4 * found["phi_bias_se"]]
    summary = [
        f"- Wrong names: at most {percent(worst['named_wrong'])} "
        f"[{percent(worst['named_wrong_low'])}, {percent(worst['named_wrong_high'])}] of the "
        f"studies ({worst['operator']}, ratio {worst['snr']:.3g}).",
        f"- Coverage of the interval of a: {percent(found['covered'].min())} to "
        f"{percent(found['covered'].max())}, mean {percent(found['covered'].mean())}; "
        f"{len(under)} of {len(found)} cells lie below 95% by more than their binomial interval.",
        f"- Bias of phi beyond 4 standard errors in {len(biased)} of {len(found)} cells.",
    ]
    for name, mine in found.groupby("operator", sort=False):
        detected = mine[mine["derivative_like"] >= 0.8]["snr"].min()
        resolved = mine[mine["interval_right"] >= 0.8]["snr"].min()
        named = mine[mine["named_right"] >= 0.8]["snr"].min()
        first, second, third = (
            f"a ratio of {v:.3g}" if pd.notna(v) else "no ratio tried"
            for v in (detected, resolved, named)
        )
        summary.append(
            f"- {name}: derivative-like in 80% of the studies from {first}; the interval alone "
            f"names it from {second}; the verdict names it from {third}."
        )
    headers = [
        "planted",
        "ratio",
        "derivative-like",
        "beyond N3",
        "interval right",
        "interval wrong",
        "called",
        "unresolved",
        "median a",
        "bias of phi (se)",
        "interval covers",
    ]
    return "\n".join(summary) + "\n\n" + table(headers, rows)


def training(found: pd.DataFrame) -> str:
    rows = [
        [
            r["operator"],
            f"{r['a']:.4f}",
            f"{r['a_hat']:.4f}",
            f"[{r['low']:.4f}, {r['high']:.4f}]",
            f"{100 * r['relative_error']:+.2f}%",
            "yes" if r["within_1_percent"] else "**no**",
            r["interval_names"] if isinstance(r["interval_names"], str) else "none",
            f"{r['called']} ({r['tier']})",
        ]
        for _, r in found.iterrows()
    ]
    return table(
        [
            "trained on",
            "a",
            "found",
            "95% interval",
            "error",
            "within 1%",
            "names in the interval",
            "verdict",
        ],
        rows,
    )


def coverage(found: pd.DataFrame) -> str:
    rows, summary = [], []
    for (quantity, method), mine in found.groupby(["quantity", "method"], sort=False):
        spans = [
            f"{percent(m['coverage'].min())} to {percent(m['coverage'].max())}"
            for _, m in mine.groupby("networks")
        ]
        under = mine[mine["high"] < 0.95]
        rows.append([quantity, method, *spans, f"{len(under)} of {len(mine)}"])
        if not method.startswith("bootstrap of"):
            where = f", at spreads of {under['spread'].min():g} rad and more" if len(under) else ""
            summary.append(
                f"- {method.removeprefix('package: ')}, of {quantity}: "
                f"{percent(mine['coverage'].min())} to {percent(mine['coverage'].max())}; "
                f"{len(under)} of {len(mine)} cells lie below 95% by more than their binomial "
                f"interval{where}."
            )
    counts = sorted(found["networks"].unique())
    headers = ["of", "interval", *(f"{n} networks" for n in counts), "cells below 95%"]
    return "\n".join(summary) + "\n\n" + table(headers, rows)


def mixtures(found: pd.DataFrame) -> str:
    names = [
        n for n in found.columns if n not in ("layer", "studies", "wrong", "low", "high", "edges")
    ]
    rows = [
        [
            r["layer"],
            f"{percent(r['wrong'])} [{percent(r['low'])}, {percent(r['high'])}]",
            *(percent(r[name]) if r[name] else "-" for name in names),
            f"{r['edges']:.1f}",
        ]
        for _, r in found.iterrows()
    ]
    return table(["layer", "wrong name", *names, "edges of 16"], rows)


def mean_tests(found: pd.DataFrame) -> str:
    counts = sorted(found["networks"].unique())
    rows = [
        [law, test, *(rate(cell[cell["networks"] == n].iloc[0]) for n in counts)]
        for (law, test), cell in found.groupby(["law", "test"], sort=False)
    ]
    return table(["differences of mean 0", "test", *(f"{n} networks" for n in counts)], rows)


def kinds(found: pd.DataFrame) -> str:
    """Shares of kernels by source, and the rates at which a kind is said to be above a null that is true."""
    shares = found[found["share"].notna()]
    said = found[found["rate"].notna()]
    names = [*dict.fromkeys(shares["kind"])]
    rows = []
    for (source, size), cell in shares.groupby(["source", "size"], sort=False):
        by_kind = cell.set_index("kind")["share"]
        rows.append([source, f"{size}x{size}", *(percent(by_kind[kind]) for kind in names)])
    worst = said.loc[said["rate"].idxmax()]
    return "\n".join(
        [
            f"- A kind is said to be above a null model of which the kernels are a draw in "
            f"{percent(said['rate'].min())} to {percent(said['rate'].max())} of "
            f"{int(said['studies'].iloc[0]):,} studies at 3x3, {percent(said['rate'].mean())} on average. "
            f"{int(said['holds'].sum())} of {len(said)} rates keep to the nominal 2.5%. The largest: "
            f"{rate(worst)} ({worst['kind']} above {worst['null']}, {worst['source']}).",
            "",
            "Share of kernels that are of each kind:",
            "",
            table(["kernels", "size", *names], rows),
        ]
    )


def planted_kinds(found: pd.DataFrame) -> str:
    """What is counted of 16, beside what was planted and what the noise among them adds."""
    rows = []
    for (size, snr), cell in found.groupby(["size", "snr"], sort=False):
        shown = cell[(cell["planted"] > 0) | (cell["counted"] >= 0.5)]
        power = cell[(cell["planted"] > 0) & cell["said"].notna()]
        first = cell.iloc[0]
        holds = "-"
        if pd.notna(first["covers"]):
            low, high = percent(first["covers_low"]), percent(first["covers_high"])
            holds = f"{percent(first['covers'])} [{low}, {high}]"
        rows.append(
            [
                f"{size}x{size}",
                f"{snr:g}",
                ", ".join(
                    f"{r['kind']} {r['counted']:.1f} ({r['expected']:.1f})"
                    for _, r in shown.iterrows()
                ),
                ", ".join(f"{r['kind']} {r['said']:.0%}" for _, r in power.iterrows()) or "-",
                holds,
            ]
        )
    three = found[found["size"] == 3]
    clear = three[three["snr"] >= 5]
    away = (clear["counted"] - clear["expected"]).abs().max()
    missed = three[(three["snr"] >= 2) & (three["planted"] > 0) & (three["said"] < 0.95)]
    of_missed = (
        ", ".join(f"{r['kind']} {r['said']:.0%} at {r['snr']:g}" for _, r in missed.iterrows())
        or "none"
    )
    least = three.loc[three["covers"].idxmin()]
    low, high = percent(least["covers_low"]), percent(least["covers_high"])
    headers = ["size", "ratio", "counted of 16 (expected)", "said to be above N0"]
    return "\n".join(
        [
            f"- At 3x3 and ratios of 5 and above counts are within {away:.2f} kernels of what is expected.",
            "- Planted, and said to be above N0 in less than 95% of the studies, at ratios of 2 and above: "
            f"{of_missed}.",
            f"- The interval of agreement covers least at a ratio of {least['snr']:g}: "
            f"{percent(least['covers'])} [{low}, {high}].",
            "",
            table([*headers, "agreement covered"], rows),
        ]
    )


def mean_intervals(found: pd.DataFrame) -> str:
    """The rivals: lowest coverage over the cells of R2 and over other skewed laws, and width."""
    rows = []
    for method, mine in found.groupby("method", sort=False):
        ours, others = mine[mine["law"] == "r2"], mine[mine["law"] != "r2"]
        under = ours[ours["high"] < 0.95]
        cells = [f"{len(under)} of {len(ours)}"]
        for part in (ours, others):
            cells += [
                f"{percent(m['coverage'].min())} ({m['width'].mean():.2f})"
                for _, m in part.groupby("networks")
            ]
        rows.append([method, *cells])
    counts = sorted(found["networks"].unique())
    headers = ["interval", "cells of R2 below 95%"]
    headers += [f"{law}, {n}" for law in ("R2", "others") for n in counts]
    return table(headers, rows)


def write(out: Path, tables: dict[str, pd.DataFrame], facts: dict) -> None:
    """report.md beside the tables and figures."""
    seconds = sum(part["seconds"] for part in facts["parts"].values())
    text = f"""# Calibration of the verdict

The question, the hypotheses and the nominal levels were stated before the run:
[experiments/calibration](../../experiments/calibration/README.md). Every number below is read from
the tables beside this file; all simulated studies go through what also writes a run's report:
`kernelstudy.analysis.judge`, in part 7 `kinds_by_chance` and `kind_agreement`.
`python experiments/calibration/run.py`, {seconds:.0f} s on one core.

## 1. False positives: chance stays chance

![False positives](false_positives.png)

{false_positives(tables["false_positives"])}

Rates in brackets are of claims that are *true* of that chance: permuted kernels keep their mean, N3
draws are gradients because the images are. Bold: above nominal by more than chance over the cells
of the claim.

## 2. Power: planted operators

![Power](power.png)

![Bias and coverage](bias_and_coverage.png)

{power(tables["power"])}

A layer of pure Prewitts is just what these photographs imply (their own a is
{tables["power"]["a_images"].iloc[0]:.3f}): it is derivative-like, and never beyond image energies.

## 3. A positive control that is trained

![Training control](training_control.png)

{training(tables["training_control"])}

Each network's targets carry noise of their own, a quarter of the response's deviation. 'Beyond
image energies' asks for kernels that are more of a derivative than their energies on the images' axes,
or their spectra, give by themselves.

## 4. Coverage when kernels come in networks

![Coverage](coverage.png)

{coverage(tables["coverage"])}

Lowest and highest over spreads of phi between networks from {tables["coverage"]["spread"].min():g} to
{tables["coverage"]["spread"].max():g} rad, 16 kernels a network. 'Cells below 95%': by more than their
binomial interval. Student's t is what the table of tests holds, and the reports' intervals of means
once were: where networks differ a lot their means of R2 are skewed, and it covers too little.

### Which interval of a mean over networks?

Lowest coverage in {tables["mean_intervals"]["studies"].iloc[0]:,} studies a cell at 6, 10 and 20 networks,
over the spreads above (R2) and over laws that no interval was chosen on (others: Beta(6, 1),
Beta(2, 0.3), lognormal, exponential); in brackets the median width, Student's being 1.

{mean_intervals(tables["mean_intervals"])}

The package's takes, at each end, the farthest of Student's, the equal-tailed and the symmetric
bootstrap-t. No interval of finite width covers every law (Bahadur & Savage 1956); those for bounded
means come nearest to a guarantee, at the width shown. An inverted sign-flip test and Student's
suppose symmetry. Six values of a law like Beta(2, 0.3) often show nothing of its tail.

## 5. Mixtures, and layers between names

{mixtures(tables["mixtures"])}

Ten networks of 16 kernels, the operator's energy 20 times the noise's. A name is wrong if it is none that
the layer may have; 'half Prewitt, half Laplacian' may be called Prewitt, for names are of a layer's edges.

## 6. Skewed differences

How often a mean of 0 passes upwards (nominal 2.5%):

{mean_tests(tables["mean_tests"])}

`mean_test` asks that sign flips and the bootstrap-t both reject. Where the long tail lies below, it passes
upwards more often than it should, too, if less often than sign flips alone do.

## 7. Kinds of kernels

{kinds(tables["kinds"])}

Planted mixtures of ten networks of 16 kernels. 'Ratio': a shape's energy over that of the noise on it.
'Expected': what was planted and what random kernels give of the rest. 'Agreement covered': how often the
interval of the share of kernels that two networks can pair off by kind holds what it is in truth.

{planted_kinds(tables["kinds_planted"])}
"""
    (out / "report.md").write_text(text)
