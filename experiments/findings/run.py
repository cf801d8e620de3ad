"""python experiments/findings/run.py [--results DIR]: what all studies say together."""

import argparse
import re
import sys
from pathlib import Path

from figure import figure
from headline import answer
from words import STUDIES, Finding, Results, findings

from kernelstudy.reporting import style
from kernelstudy.reporting.markdown import escaped
from kernelstudy.studies.plan_words import IN_WORDS, gist, tally
from kernelstudy.system.files import write_text

ROOT = Path(__file__).resolve().parents[2]
START, STOP = "<!-- findings: made by experiments/findings/run.py -->", "<!-- /findings -->"
LIMITS = (
    "Small networks of one architecture (two convolutions, max-pooling, ReLU), 3 x 3 first-layer kernels, "
    "small grey images, one learning rate and no weight decay unless a finding says otherwise: a regime in "
    "which kernels keep their start; those with decay are of one that forgets it. Networks of a study share "
    "their training images, so that intervals are over seeds, not over data (but in splits). R² is a measure "
    "of likeness to a *steered* first derivative; it names no operator, and 'not above chance' is no proof of "
    "chance."
)


def block(results: Results) -> str:
    """What stands between the marks of results/README.md."""
    lines = [f"{number}. {_line(found)}" for number, found in enumerate(findings(results), 1)]
    judged = verdicts(results)
    return "\n".join(
        [
            "## Findings",
            "",
            *answer(results),
            "",
            "![What is found, where it comes from and what it is worth](findings.png)",
            "",
            "Means with 95% intervals over networks. In brackets: the tier of chance that a claim reaches "
            "(kernels less their mean; q over the report), and its table.",
            "",
            *lines,
            "",
            *([*judged, ""] if judged else []),
            f"**Limits.** {LIMITS}",
        ]
    )


def verdicts(results: Results) -> list[str]:
    """How many hypotheses of each study came out how; folded, each in its words."""
    told, rows = [], []
    for study in STUDIES:
        table = results(f"{study}/tables/verdicts.csv")
        if table is None:
            continue
        told.append(f"[{study}]({study}/report.md): {tally(table)}")
        rows += [
            f"| [{study}]({study}/report.md) | {escaped(gist(str(row.text)))} | {IN_WORDS[str(row.verdict)]} |"
            for row in table.itertuples()
        ]
    if not rows:
        return []
    return [
        "Hypotheses were written down before the runs; one fails if any of its parts does, on any arm or data "
        f"set. {'; '.join(told)}.",
        "",
        "<details><summary>Every hypothesis in short, and its verdict</summary>",
        "",
        "| study | hypothesis | verdict |",
        "|---|---|---|",
        *rows,
        "",
        "</details>",
    ]


def _line(found: Finding) -> str:
    table = f"[{found.table}]({found.table})" if found.table else ""
    noted = "; ".join(part for part in (found.tier and f"tier: {found.tier}", table) if part)
    return found.text + (f" ({noted})" if noted else "")


def between_marks(text: str, new: str) -> str:
    """The text with what is between its marks replaced; as it was where it has none."""
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(STOP), re.S)
    return pattern.sub(lambda _: f"{START}\n{new}\n{STOP}", text)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    given = parser.parse_args(words)
    results = Results(given.results)
    style.save(figure(results), given.results, "findings")
    pages = {given.results / "README.md": block(results)}
    pages[given.results.parent / "README.md"] = "\n".join(answer(results))
    for path, new in pages.items():
        if path.is_file():
            write_text(path, between_marks(path.read_text(encoding="utf-8"), new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
