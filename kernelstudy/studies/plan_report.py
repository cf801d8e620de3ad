"""The page that answers a study: a verdict for every hypothesis of its plan, from runs alone. No JAX.

A study's script (experiments/<study>/run.py) gives `main` a function from `StudyRuns` to `Answer`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.figure
import pandas as pd

from kernelstudy import runs
from kernelstudy.config import Arm
from kernelstudy.config.arm_words import words_by_name
from kernelstudy.reporting import page, style
from kernelstudy.reporting.page import Figure, Page
from kernelstudy.studies import plan_words
from kernelstudy.studies.plan import PLACE, Plan, StudyRuns, plan_of, read_study
from kernelstudy.studies.plan_words import Claim, Number, Numbers, arms, table_of, verdicts
from kernelstudy.studies.sweep import sources_of
from kernelstudy.system import files
from kernelstudy.system.commandline import Parser
from kernelstudy.system.errors import InputError, RunError
from kernelstudy.system.software import environment

__all__ = ["Answer", "Claim", "Drawn", "Number", "main", "write"]


class Drawn(NamedTuple):
    """A figure. `title`: one sentence that states what is seen, out of the data; `caption`: how to read it."""

    name: str
    title: str
    caption: str
    figure: matplotlib.figure.Figure


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a study's script concludes. The first figure leads. `sentence`: the answer in one, in plain words;
    by
    default, with which arm `measure` ('W', 'update' or 'accuracy' of the networks) is highest and lowest.
    `shown`: tables that stand on the page, by their titles.
    `readings`: how words of the plan that allow several readings were read; `limits`: what the study does not
    show, the most important first. `terms`: words that the page uses from its first sentence on, each explained
    in one; `numbers`: by claim, what its numbers are."""

    runs: StudyRuns
    parts: list[Claim]
    tables: dict[str, pd.DataFrame]
    figures: list[Drawn]
    readings: list[str]
    limits: list[str]
    measure: str = "update"
    sentence: str = ""
    terms: list[str] = field(default_factory=list)
    numbers: dict[str, Number] = field(default_factory=dict)
    shown: dict[str, pd.DataFrame] = field(default_factory=dict)


def main(
    script: str | Path, answer: Callable[[StudyRuns], Answer], words: list[str] | None = None
) -> int:
    """The command of a study's script (its __file__): runs in, results/<study> out; 0 done, 2 wrong input."""
    folder = Path(script).resolve().parent
    root, name = folder.parents[1], folder.name
    parser = Parser(
        prog=f"python experiments/{name}/run.py", description=f"Report on the study {name}."
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="runs, or directories of")
    parser.add_argument("--out", type=Path, default=root / "results" / name, metavar="DIR")
    try:
        options = parser.parse_args(words)
        plan = plan_of(folder, root / "conf" / "exp" / f"{name}.yaml")
        study_runs = read_study(options.runs, plan)
        paths = [_short_path(path) for path in options.runs]
        command = shlex.join(["python", f"experiments/{name}/run.py", *paths])
        page_path = write(answer(study_runs), options.out, command)
    except (InputError, RunError) as error:
        print(f"kernelstudy: {error}", file=sys.stderr)
        return 2
    print(f"report: {page_path}")
    return 0


def _short_path(path: Path) -> str:
    """The path from the directory that holds results/ down to it; its name where there is none."""
    parts = path.resolve().parts
    return "/".join(parts[parts.index("results") :]) if "results" in parts else path.name


def write(answer: Answer, out: Path, command: str) -> Path:
    """tables/, figures/, report.md, report.html and provenance.json in `out`; the path of report.md."""
    tables = {
        "verdicts": verdicts(answer.parts, answer.runs.plan.hypotheses),
        "hypotheses": table_of(answer.parts),
        "arms": arms(answer.runs.networks),
        **answer.tables,
        "runs": answer.runs.made,
    }
    csv = page.write_tables({name: rounded(table) for name, table in tables.items()}, out)
    for drawing in answer.figures:
        style.save(drawing.figure, out / "figures", drawing.name, dark=True)
    provenance = _provenance(answer.runs, command)
    files.write_text(out / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
    content = _page(answer, tables, provenance)
    content.csv = csv
    page.write(content, out)
    return out / "report.md"


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers to six digits: more than their intervals allow, and the same on any machine."""
    numbers = table.select_dtypes("float")
    return table.assign(
        **{str(name): column.map(lambda v: float(f"{v:.6g}")) for name, column in numbers.items()}
    )


def _page(answer: Answer, tables: dict[str, pd.DataFrame], provenance: dict[str, Any]) -> Page:
    study_runs = answer.runs
    plan, run_table = study_runs.plan, study_runs.made
    seconds, images = run_table["seconds"].sum(), int(run_table["net_images"].sum())
    facts = [
        ("Plan", f"experiments/{plan.name}/README.md, committed before the runs"),
        (
            "Networks",
            f"{run_table['networks'].sum():,} in {len(run_table)} of {len(plan.jobs)} planned runs",
        ),
        (
            "Compute",
            f"{images:,} net-images in {seconds / 60:,.0f} minutes, on {provenance['devices']}",
        ),
        ("Data", provenance["data"]),
        ("Versions", provenance["versions"]),
    ]
    closing = {
        "Deviations from the plan": study_runs.deviations or ["None."],
        "How the plan was read": answer.readings,
        "What it does not show": answer.limits,
    }
    return compose(
        plan,
        answer.parts,
        tables,
        sentence=answer.sentence
        or plan_words.extremes(tables["arms"], answer.measure, arm_words(plan)),
        figures=[Figure(d.name, d.title, d.caption) for d in answer.figures],
        facts=facts,
        closing=closing,
        shown=answer.shown,
        provenance=provenance,
        reproduce=f"{plan.command}\n{provenance['command']}",
        terms=answer.terms,
        numbers=answer.numbers,
    )


def arm_words(plan: Plan) -> dict[str, str]:
    """What people call the planned arms: arm -> words."""
    return words_by_name(Arm(**given) for given in plan.settings["arms"])


def compose(
    plan: Plan,
    parts: list[Claim],
    tables: dict[str, pd.DataFrame],
    *,
    sentence: str,
    figures: list[Figure],
    facts: list[tuple[str, str]],
    closing: dict[str, list[str]],
    provenance: dict[str, Any],
    reproduce: str,
    method: list[str] | None = None,
    terms: list[str] | None = None,
    numbers: Numbers | None = None,
    shown: dict[str, pd.DataFrame] | None = None,
) -> Page:
    """The page: five sentences, the first figure, a row a hypothesis; the parts behind it."""
    verdict_table, run_table = tables["verdicts"], tables["runs"]
    sets = ", ".join(dict.fromkeys(run_table["data"]))
    steps = " or ".join(f"{n:,}" for n in dict.fromkeys(run_table["steps"]))
    lead, *more = figures
    return Page(
        title=f"{plan.name}: {len(plan.hypotheses)} hypotheses declared before the runs",
        sentence=sentence,
        lines=[
            *(terms or []),
            plan_words.counted(verdict_table),
            f"The question was: {plan.question}",
            f"{run_table['networks'].sum():,} networks in {len(arm_words(plan))} ways to start and train "
            f"(arms), trained for {steps} steps on {sets}; networks of an arm differ in their seed alone.",
            f"What it does not show: {closing['What it does not show'][0]}",
        ],
        glance=plan_words.glance(parts, verdict_table),
        glance_note=_NOTE,
        numbers_title="Every part of every hypothesis, with its interval",
        facts=facts,
        headline=_HOW_TO_READ,
        answer=[
            (
                f"Hypothesis {row.hypothesis}, '{plan_words.gist(str(row.text))}': "
                f"{plan_words.IN_WORDS[str(row.verdict)]}",
                plan_words.sentences([p for p in parts if p.hypothesis == row.hypothesis], numbers),
            )
            for row in verdict_table.itertuples()
        ],
        notes=[],
        lead=lead,
        sections=[
            *((title, "", []) for title in shown or {}),
            *([("More figures", "", more)] if more else []),
            *((title, "", []) for title in closing),
        ],
        tables=[("Runs", run_table)],
        tables_note="Every part of every hypothesis is in hypotheses.csv.",
        method=_METHOD if method is None else method,
        reproduce=reproduce,
        provenance=provenance,
        points=closing,
        section_tables={title: [table] for title, table in (shown or {}).items()},
    )


_NOTE = (
    "A hypothesis has parts: a claim on an arm, or two, and a data set. It holds if all of them do, fails "
    "if one of them does, and cannot be told otherwise. Every part with its interval is below, folded, and "
    "in hypotheses.csv. R²: likeness to an edge detector, the part of a kernel less its mean that Sobel's "
    "kernel at its best angle explains. W: the kernels; update: what training added to them. N0: random "
    "kernels; N1: the kernels' own start; N2: their own weights permuted; N3: kernels with their energies "
    "on the images' axes. Memory: the share of the kernels' energy that their start explains. a: the middle "
    "weight of [1, a, 1] x [-1, 0, 1], 1 in Prewitt's operator and 2 in Sobel's."
)
_HOW_TO_READ = [
    "In brackets: the mean over networks with its 95% interval.",
    "Where there is no q the interval decides: all of it within the bound that the claim names, or all of it "
    "outside; else it cannot be told.",
    "Where there is a q the claim is held against chance, and q decides: the test's p, corrected for the "
    "number of tests. The q beside a rung (N0, N1, N2 or N3) is over the tests of this rung alone, of all "
    "arms and of W, the update and the new part, on one data set: a family a rung and data set.",
]
_METHOD = [
    "The unit is the network; differences are paired by seed. Intervals are the bootstrap-t's, 95%.",
    "A claim with a bound holds if the interval lies inside the bound, fails if it lies outside, and is open "
    "otherwise. A hypothesis holds if all of its parts do, and fails if one of them does.",
    "Claims on chance are the package's ladder, in R² of kernels less their mean: tests over networks by sign "
    "flips and the bootstrap-t (N3: of an excess over 0.05).",
    "q is Benjamini and Hochberg's, of one rung over a run's arms and parts (W, W − W₀, new part): each "
    "rung of each run is a family of its own.",
    "'Above' holds at q ≤ .05, fails if the difference is as surely negative, and is open otherwise. 'Not "
    "above' fails at q ≤ .05, is open where the interval alone lies above, and holds otherwise, which is no "
    "proof of equality.",
    "Measures and ladders are those of each run's own report where it is current, else made again.",
]


def _provenance(study_runs: StudyRuns, command: str) -> dict[str, Any]:
    sources = sources_of(study_runs.sweep.members)
    return {
        "command": command,
        "report_made_by": environment(),
        "versions": sources.versions,
        "commits": sources.commits,
        "data": sources.data,
        "devices": sources.devices,
        "runs": {
            "/".join(map(str, row[:3])): row[-1]
            for row in study_runs.made[[*PLACE, "run"]].itertuples(index=False)
        },
    }
