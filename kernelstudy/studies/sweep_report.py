"""One report over many runs: swept keys become columns and axes. Needs no JAX."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from kernelstudy import runs
from kernelstudy.recording import joined
from kernelstudy.reporting import page, style
from kernelstudy.reporting.measure_words import METRIC_WORDS
from kernelstudy.reporting.page import Figure, Page
from kernelstudy.runs import report as runs_report
from kernelstudy.runs import untrusted
from kernelstudy.studies import effects, sweep_figures, sweep_tables, sweep_words
from kernelstudy.studies.sweep import Sweep, find_runs, read_sweep, sources_of
from kernelstudy.system import files
from kernelstudy.system.errors import RunError
from kernelstudy.system.version import __version__

MOST_ROWS = 200  # of a table on the page; the whole tables are beside it


def report(paths: list[Path], *, out: Path | None = None, allow_mixed: bool = False) -> Path:
    """`make`, of which the answer is not asked for."""
    return make(paths, out=out, allow_mixed=allow_mixed)[0]


def make(
    paths: list[Path], *, out: Path | None = None, allow_mixed: bool = False
) -> tuple[Path, list[str]]:
    """One run's report, or one over all runs in `paths`: directories of runs, or of many of them.

    Recordings (`kernelstudy.Recorder`) in one place are networks of one run.

    Returns:
        The path of report.html, and the answer in a few sentences.

    Raises:
        RunError: where they cannot be read, or do not belong together.
    """
    if recordings := joined.below(paths):
        return _of_recordings(recordings, out)
    directories = find_runs(paths)
    if not directories:
        raise RunError(f"{paths[0]} holds a report over many runs, but no run")
    if len(directories) == 1:
        return _of_one(directories[0], out)
    return write(directories, out=out, allow_mixed=allow_mixed)


def _of_one(run: Path, out: Path | None = None) -> tuple[Path, list[str]]:
    page, sentence = runs_report.make(run, out=out)
    return page, [sentence] if sentence else []


def _of_recordings(recordings: list[Path], out: Path | None) -> tuple[Path, list[str]]:
    """The report on trainings that were recorded: of several, and of one that still goes on, as one run."""
    if len(recordings) == 1 and runs.is_done(recordings[0]):
        return _of_one(recordings[0], out)
    return _of_one(joined.join(recordings, out))


def default_directory(directories: list[Path]) -> Path:
    """Where a report over these runs goes: `report/` in the directory that holds them all."""
    return Path(os.path.commonpath([directory.parent for directory in directories])) / "report"


def write(
    directories: list[Path], *, out: Path | None = None, allow_mixed: bool = False
) -> tuple[Path, list[str]]:
    """Report on the runs in `directories` together: tables/, figures/, report.md, report.html, provenance.json.

    `out`: where to; `default_directory` otherwise. `allow_mixed`: although they are of different versions,
    or different data bear one name.

    Returns:
        The path of report.html, and the answer in a sentence or two.

    Raises:
        RunError: none of the runs can be read, or they do not belong together.
    """
    sweep = read_sweep(directories, allow_mixed=allow_mixed)
    out = default_directory(directories) if out is None else out
    untrusted.refuse_links(out, "tables", "figures")
    chance_tests = effects.tests(sweep.networks)
    key_effects = effects.effects(sweep.networks, sweep.design)
    tables = {
        "conditions": sweep_tables.conditions(sweep),
        "effects": sweep_tables.labelled(sweep, key_effects),
        "tests": sweep_tables.spread(sweep, chance_tests),
        "networks": sweep_tables.spread(sweep, sweep.networks),
        "runs": sweep_tables.members(sweep, out),
    }
    csv = page.write_tables(tables, out)
    figures = draw(sweep, out / "figures")
    provenance = _provenance(sweep, directories)
    files.write_text(out / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
    content = _page(sweep, chance_tests, key_effects, tables, figures, provenance)
    content.csv = csv
    return page.write(content, out), [content.sentence]


def draw(sweep: Sweep, folder: Path) -> list[Figure]:
    """All figures; the first is the report's lead."""
    label = sweep_figures.lead_label(sweep)
    figures = []

    def add(drawing, name: str, title: str, caption: str) -> None:
        style.save(drawing, folder, name, dark=True)
        figures.append(Figure(name, title, caption))

    how = (
        "Networks at their run's final step, beside chance; diamonds: means, bars: their 95% interval over "
        "networks. Values are evenly spaced. Grey: what random kernels give."
    )
    most = sweep_figures.MOST_PANELS
    if any(len(sweep.keys[k].values) > most for k in sweep_figures.axes_of(sweep.keys)[1:]):
        how += f" Of rows and columns {most} are shown, from the first to the last."
    parts = {sweep_figures.TITLES[part]: column for part, column in effects.PARTS.items()}
    if not sweep.keys:
        pass
    elif len(sweep.keys) <= 2:
        add(
            sweep_figures.effect(sweep, parts, label),
            "effect",
            sweep_words.seen_in_parts(sweep),
            f"Primary measure against swept keys. {how}",
        )
    else:
        for name, (title, column) in zip(
            ("effect_update", "effect"), list(parts.items())[::-1], strict=True
        ):
            drawing = sweep_figures.effect(sweep, {title: column}, f"{label}: {title}")
            seen = sweep_words.seen_in_part(sweep, title, column)
            add(drawing, name, seen, f"Primary measure of the {title} against swept keys. {how}")
    if sweep.curves:
        add(
            sweep_figures.over_time(sweep),
            "over_time",
            sweep_words.seen_over_time(sweep),
            "Primary measure against step in every condition. Mean over networks with its 95% interval; "
            "grey: the middle 95% of networks of random kernels.",
        )
    if sweep.keys:
        drawing = sweep_figures.effect(
            sweep, {"test accuracy": "accuracy"}, "Test accuracy, final step"
        )
        add(
            drawing,
            "accuracy",
            sweep_words.seen_in_accuracy(sweep),
            "Test accuracy against swept keys: whether the networks learned their task.",
        )
    if not figures:
        raise RunError("nothing was swept, and no run's curves can be read: nothing to draw")
    return figures


def _page(
    sweep: Sweep,
    chance_tests: pd.DataFrame,
    key_effects: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    figures: list[Figure],
    provenance: dict[str, Any],
) -> Page:
    done = [member for member in sweep.members if not member.reason]
    learning = {name for member in done for name in member.settings.learning_arms}
    arms = list(dict.fromkeys(sweep.networks["arm"]))
    words = sweep_figures.arm_names(sweep)
    names = sorted({member.settings.name for member in done})
    steps = sorted(set(sweep.networks["steps"]))
    banks = sorted({", ".join(m.settings.bank.kernels) for m in done})
    facts = [
        (
            "Runs",
            f"{len(done)} of {len(sweep.members)} finished and read; {sweep.measured_again} measured again",
        ),
        (
            "Swept",
            "; ".join(f"{k.name}: {sweep_words.values_of(k)}" for k in sweep.keys) or "nothing",
        ),
        (
            "Networks",
            f"{len(sweep.networks):,}: {len(sweep.design)} conditions, arms {', '.join(arms)}",
        ),
        ("Paired", sweep_words.pairing(sweep)),
        (
            "Declared",
            f"primary measure {sweep.metric}; final step {', '.join(f'{s:,}' for s in steps)}; "
            f"bank {' | '.join(banks)}",
        ),
        ("Versions", provenance["versions"]),
        ("Data", provenance["data"]),
    ]
    notes = [
        *sweep_words.missing(sweep),
        *sweep.notes,
        sweep_words.refusal(sweep),
        sweep_words.diverged(sweep),
    ]
    page_tables = [
        ("What each swept key does", tables["effects"]),
        ("Every condition", tables["conditions"]),
        ("Against chance", tables["tests"]),
        ("Runs", tables["runs"]),
    ]
    shortened = [title for title, table in page_tables if len(table) > MOST_ROWS]
    return Page(
        title=f"{', '.join(names)}: {len(done)} runs together",
        facts=facts,
        sentence=sweep_words.sentence(sweep, learning, tables["conditions"], words),
        lines=sweep_words.headline(sweep, learning, chance_tests, key_effects),
        glance=sweep_tables.glance(tables["conditions"], words),
        glance_note=sweep_words.GLANCE_NOTE,
        numbers_title="What each swept key does, in numbers: intervals, p and q",
        headline=[],
        answer=sweep_words.answers(sweep, key_effects),
        notes=[note for note in notes if note],
        lead=figures[0],
        sections=[("More figures", "Arms keep their colours.", figures[1:])] if figures[1:] else [],
        tables=[(title, table[:MOST_ROWS]) for title, table in page_tables],
        method=_method(sweep, chance_tests, key_effects),
        reproduce=provenance["command"],
        provenance=provenance,
        tables_note=f"Of {', '.join(shortened)} only the first {MOST_ROWS} rows."
        if shortened
        else "At the final step.",
    )


def _method(sweep: Sweep, chance_tests: pd.DataFrame, key_effects: pd.DataFrame) -> list[str]:
    counts = [int(table["p"].notna().sum()) for table in (chance_tests, key_effects)]
    return [
        f"Declared before the runs: primary measure {sweep.metric}, {METRIC_WORDS[sweep.metric]}, at each "
        "run's final step. All else is description.",
        "The unit is the network (seed). Intervals are bootstrap-t over networks (below 6: Student's); p "
        "is the larger of the exact sign-flip test's, which assumes symmetry, and the bootstrap-t's, "
        "which does not. Where two values have different seeds: Welch's interval and a permutation test.",
        "Two families are declared, each over the whole sweep, and q is Benjamini and Hochberg's within "
        "each. 'Against chance': every condition, arm and part against random kernels (N0) and against its "
        f"start (N1), {counts[0]} tests. 'What each swept key does': every swept key's values against its "
        f"first, arm by arm, {counts[1]} tests.",
        "A key's effect is the difference between two of its values, the other keys alike, averaged over "
        "the combinations of those that were run with both. The measure is corrected for chance, (measure − "
        "chance) / (1 − chance), for chance moves with the kernels' size.",
        "With the same seeds an effect is taken seed by seed: seed s sees the same order of batches and, "
        "where shapes allow, starts with the same values in all layers but the first. Without, means are "
        "compared (Welch's interval, permutation test).",
        "Tiers (table of conditions) are each run's own verdicts, by the ladder of chance that its report "
        "explains; where several runs share a condition there is none for all of them together.",
        "Measures are those of each run's own report where it is of the same trajectory (by checksum) and "
        f"version; {sweep.measured_again} runs were measured again.",
    ]


def _provenance(sweep: Sweep, directories: list[Path]) -> dict[str, Any]:
    sources = sources_of(sweep.members)
    return {
        "command": command(directories),
        "kernelstudy": __version__,
        "versions": sources.versions,
        "data": sources.data,
        "devices": sources.devices,
        "runs": {
            str(member.path): member.reason or member.provenance["command"]
            for member in sweep.members
        },
    }


def command(directories: list[Path]) -> str:
    """The command that makes this report again; of all runs in one directory, that directory."""
    parents = {directory.parent for directory in directories}
    words = [str(directory) for directory in directories]
    if len(parents) == 1:
        (parent,) = parents
        if {p.resolve() for p in find_runs([parent])} == {p.resolve() for p in directories}:
            words = [str(parent)]
    return shlex.join(["python", "-m", "kernelstudy.report", *words])
