"""What the parts of a study's hypotheses say: as tables, and in sentences."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.studies.hypotheses import HOLDS, MISSING, Outcome, overall
from kernelstudy.studies.plan import PLACE

MOST_PLACES = 3
MOST_LISTED = 6  # parts of one claim that are written out; all are in the table

MEASURES = {  # columns of `StudyRuns.networks`: what they are called here, and what they may be at most
    "start": ("start", 1.0),
    "value": ("W", 1.0),
    "delta": ("update", 1.0),
    "accuracy": ("accuracy", 1.0),
    "movement": ("movement", float("inf")),
}


class Claim(NamedTuple):
    """One claim of a hypothesis. `place`: the data set, or size and width; `subject`: the arm or arms."""

    hypothesis: int
    place: str
    subject: str
    outcome: Outcome


def table_of(parts: list[Claim]) -> pd.DataFrame:
    """A row a part: hypothesis, place, subject, and its outcome's fields."""
    rows = [(*part[:3], *part.outcome) for part in parts]
    return pd.DataFrame(rows, columns=[*Claim._fields[:3], *Outcome._fields])


def verdicts(parts: list[Claim], hypotheses: dict[int, str]) -> pd.DataFrame:
    """A row a hypothesis: hypothesis, verdict, parts, held, failed, open, text."""
    rows = []
    for number, text in hypotheses.items():
        mine = [part.outcome.verdict for part in parts if part.hypothesis == number]
        counts = [mine.count(word) for word in ("holds", "fails", "open", "not run")]
        rows.append((number, overall(mine), len(mine), *counts, text))
    names = ["hypothesis", "verdict", "parts", "hold", "fail", "open", "not_run", "text"]
    return pd.DataFrame(rows, columns=names)


def arms(networks: pd.DataFrame) -> pd.DataFrame:
    """Every arm's start, end, update, accuracy and movement: means with bootstrap-t intervals, and chance."""
    kept, rows = networks[~networks["diverged"].astype(bool)], []
    for key, group in kept.groupby([*PLACE, "arm"], sort=False):
        chance = group["chance"].iloc[0]
        for column, (name, most) in MEASURES.items():
            values = group[column].dropna().to_numpy(float)
            if len(values):
                ends = bootstrap_t_interval(values, support=(0.0, most))
                rows.append((*key, name, len(values), values.mean(), *ends, chance))
    names = [*PLACE, "arm", "measure", "n", "mean", "low", "high", "chance"]
    found = pd.DataFrame(rows, columns=names)
    found.loc[found["measure"].isin(["accuracy", "movement"]), "chance"] = float("nan")
    return found


def interval(outcome: Outcome) -> str:
    """'+0.123 [0.1, 0.14]', with q where there is one."""
    text = f"{outcome.estimate:+.3g} [{outcome.low:.3g}, {outcome.high:.3g}]"
    return text + (f", q = {outcome.q:.2g}" if outcome.q == outcome.q else "")


def sentences(parts: list[Claim]) -> list[str]:
    """What is to be said of one hypothesis, claim by claim."""
    there = [part for part in parts if part.outcome.verdict != MISSING]
    absent = dict.fromkeys(p.place for p in parts if p.place not in {q.place for q in there})
    found, claims = [], dict.fromkeys((part.place, part.outcome.claim) for part in there)
    for where, claim in claims:
        mine = [p for p in parts if (p.place, p.outcome.claim) == (where, claim)]
        if len(mine) == 1:
            (part,) = mine
            found.append(f"{where}, {part.subject}: {claim}: {_told(part)}.")
            continue
        held = [p for p in mine if p.outcome.verdict == HOLDS]
        others = [p for p in mine if p not in held]
        whole = len(mine) <= MOST_LISTED
        listed = mine if whole else others[:MOST_LISTED]
        said = [f"{p.subject} {_told(p)}" for p in listed]
        if not whole and held:
            values = [p.outcome.estimate for p in held]
            span = f"from {min(values):+.3g} to {max(values):+.3g}"
            said.insert(0, f"the {len(held)} that hold lie {span}")
        if not whole and len(others) > len(listed):
            said.append(f"{len(others) - len(listed)} more are in the table")
        found.append(f"{where}: {claim}: holds in {len(held)} of {len(mine)}: {'; '.join(said)}.")
    if absent:
        found.append(f"Not run: {'; '.join(absent)}.")
    return found


def _told(part: Claim) -> str:
    return f"{part.outcome.verdict} {_figures(part.outcome)}"


def by_place(parts: list[Claim], hypothesis: int) -> str:
    """' (mnist5k: holds; ...)' where there are few places."""
    found: dict[str, list[str]] = {}
    for part in parts:
        if part.hypothesis == hypothesis:
            found.setdefault(part.place, []).append(part.outcome.verdict)
    said = "; ".join(f"{place}: {overall(verdicts)}" for place, verdicts in found.items())
    return f" ({said})" if 1 < len(found) <= MOST_PLACES else ""


def _figures(outcome: Outcome) -> str:
    return f"({interval(outcome)})" if outcome.n else "(no networks)"
