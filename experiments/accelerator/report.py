"""The page of a check: report.md, its tables and its figure."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rows import FAILS, HOLDS, MEASURED, NOT_HERE, Row

from kernelstudy.reporting import style
from kernelstudy.system.files import write_text

TITLES = {
    "equality": "Equality: lax, gemm and float64",
    "training": "Training: implementations, devices, precision",
    "again": "Determinism",
    "rates": "Rates and memory",
    "torch_rates": "PyTorch",
}
NAMES = {"lax": "lax, float32", "gemm": "gemm, float32", "gemm64": "gemm from lax, float64"}
BUSY = 0.1
KINDS = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}


def write(out: Path, parts: dict[str, list[Row]], facts: dict) -> Path:
    """All files of the page; the path of report.md.

    Args:
        parts: the rows of each part.
        facts: the device, what was given and the seconds of each part, for provenance.json.
    """
    tables = out / "tables"
    told = [
        {"part": part, "check": row.check, "status": row.status, "said": row.said}
        for part, rows in parts.items()
        for row in rows
    ]
    save(pd.DataFrame(told), tables / "rows.csv")
    found = {name: table(parts, name) for name in ("equality", "rates")}
    for name, frame in found.items():
        if len(frame):
            save(frame, tables / f"{name}.csv")
    style.save(draw(found["equality"], found["rates"]), out, "accelerator")
    write_text(out / "provenance.json", json.dumps(facts, indent=2) + "\n")
    write_text(out / "report.md", page(parts, facts))
    return out / "report.md"


def kept(out: Path) -> dict[str, list[Row]]:
    """The rows of each part of the page that is there, read back from its tables."""
    tables = out / "tables"
    if not (tables / "rows.csv").exists():
        return {}
    values: dict[str, dict] = {}
    for name in ("equality", "rates"):
        if (tables / f"{name}.csv").exists():
            for row in pd.read_csv(tables / f"{name}.csv").to_dict("records"):
                what = "{kind}: {case}" if name == "equality" else "{form}, {nets:,} networks"
                values[what.format(**row)] = {"table": name, **row}
    parts: dict[str, list[Row]] = {}
    for row in pd.read_csv(tables / "rows.csv", keep_default_na=False).itertuples():
        of_row = Row(row.check, row.status, row.said, values.get(row.check, {}))
        parts.setdefault(row.part, []).append(of_row)
    return parts


def table(parts: dict[str, list[Row]], name: str) -> pd.DataFrame:
    """The numbers that rows give to the table `name`."""
    values = [row.values for rows in parts.values() for row in rows]
    chosen = [
        {k: v for k, v in of.items() if k != "table"} for of in values if of.get("table") == name
    ]
    return pd.DataFrame(chosen)


def save(frame: pd.DataFrame, path: Path) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.4g", lineterminator="\n"))


def page(parts: dict[str, list[Row]], facts: dict) -> str:
    rows = [row for of_part in parts.values() for row in of_part]
    count = {s: sum(row.status == s for row in rows) for s in (HOLDS, FAILS, NOT_HERE, MEASURED)}
    text = [
        "# Does the package do on an accelerator what it does on a CPU?",
        "",
        where(facts),
        "",
        f"{count[HOLDS]} checks hold, **{count[FAILS]} fail**, {count[NOT_HERE]} cannot be done on this "
        f"device, {count[MEASURED]} rows are measurements. It took {sum(facts['seconds'].values()):,.0f} s. "
        "What was expected, and the one command that makes this page on your device: "
        "[experiments/accelerator](../../experiments/accelerator/README.md).",
        "",
        "![Differences from float64, and rates](accelerator.png)",
        "",
    ]
    for part, of_part in parts.items():
        text += [
            f"## {TITLES[part]}",
            "",
            *_beside(facts["others"].get(part)),
            *_lines(of_part),
            "",
        ]
    text += [
        "All rows: [tables/rows.csv](tables/rows.csv); every case of equality: "
        "[tables/equality.csv](tables/equality.csv); rates: [tables/rates.csv](tables/rates.csv).",
    ]
    return "\n".join(text) + "\n"


def where(facts: dict) -> str:
    """What it was run on, in plain words."""
    found = facts["device"]
    kind = KINDS.get(found["platform"], found["platform"])
    said = f"**A {kind} run**, on {found['devices']} x {found['kind']} ({facts['machine']})."
    if facts["tiny"]:
        said += " It is the tiny form: nothing is to be concluded from its rates and verdicts."
    if found["platform"] == "cpu":
        said += (
            " No GPU or TPU was there. `lax`, which they use, was computed here by XLA's CPU compiler: "
            "equality and devices are checked as far as that goes; what a GPU's or TPU's own compiler, "
            "memory and lower precision do is not."
        )
    return said


def _beside(share: float | None) -> list[str]:
    """What other processes took of the processors while a part ran, where it is worth a warning."""
    if share is None or share < BUSY:
        return []
    said = f"Other work took {share:.0%} of the processors meanwhile: no rate of this part is to be compared."
    return [said, ""]


def _lines(rows: list[Row]) -> list[str]:
    """A row each; kinds of equality have one for all their cases that hold."""
    lines = ["| check | | |", "|---|---|---|"]
    held: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == HOLDS and row.values.get("table") == "equality":
            held.setdefault(row.values["kind"], []).append(row)
        else:
            lines.append(_line(row.check, row.status, row.said))
    for kind, of_kind in held.items():
        worst = (
            (label, max((row.values.get(key, np.nan) for row in of_kind), default=np.nan))
            for key, label in NAMES.items()
        )
        said = ", ".join(f"{label}: {value:.1e}" for label, value in worst if np.isfinite(value))
        lines.append(_line(f"{kind} ({len(of_kind)} cases)", HOLDS, f"largest differences: {said}"))
    return lines


def _line(*cells: str) -> str:
    plain = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(plain)} |"


def draw(equality: pd.DataFrame, rates: pd.DataFrame) -> Figure:
    """Differences by kind of operation; rates by the number of networks."""
    with style.styled():
        figure = Figure(figsize=(10, 3.8))
        left, right = figure.subplots(1, 2)
        if len(equality):
            kinds = list(dict.fromkeys(equality["kind"]))[::-1]
            worst = equality.groupby("kind")[[n for n in NAMES if n in equality]].max()
            for index, name in enumerate(worst):
                places = np.arange(len(kinds)) + 0.2 * (1 - index)
                # A difference of nothing has no place on a logarithmic axis: it stands at its edge.
                values = worst.loc[kinds, name].clip(lower=1e-17)
                marker, colour = "os^"[index], style.colour_of(index)
                left.plot(values, places, marker, ms=5, color=colour, label=NAMES[name])
            left.set(xscale="log", xlabel="largest difference, as a part of the result's norm")
            left.set_yticks(range(len(kinds)), kinds)
            left.legend(loc="lower left", bbox_to_anchor=(0, 1.08), ncols=3, fontsize=7)
            left.set_title("From float64, by kind of operation")
        forms = list(dict.fromkeys(rates["form"])) if len(rates) else []
        for index, form in enumerate(forms):
            of_form = rates[rates["form"] == form]
            colour = style.colour_of(index)
            right.plot(of_form["nets"], of_form["rate"], "o-", ms=4, color=colour, label=form)
        if forms:
            right.set(xscale="log", yscale="log", xlabel="networks", ylabel="net-images/s")
            right.legend(fontsize=7)
        right.set_title("Training, batch 128, 28 x 28 x 1")
    return figure
