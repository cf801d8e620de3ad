"""What the parts of a study's hypotheses say: as tables, and in sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.studies.hypotheses import FAILS, HOLDS, MISSING, OPEN, Outcome, overall
from kernelstudy.studies.plan import PLACE

MOST_PLACES = 3
MOST_LISTED = 6  # parts of one claim that are written out; all are in the table
MOST_WORDS = 30  # of a hypothesis' gist

MEASURES = {  # columns of `StudyRuns.networks`: what they are called here, and what they may be at most
    "start": ("start", 1.0),
    "value": ("W", 1.0),
    "delta": ("update", 1.0),
    "accuracy": ("accuracy", 1.0),
    "movement": ("movement", float("inf")),
}


_OF_NETWORKS = {  # measures of `arms`, in plain words
    "W": "the kernels' likeness to an edge detector (R²)",
    "update": "the likeness of what training added to an edge detector (R²)",
    "accuracy": "test accuracy",
}
IN_WORDS = {HOLDS: "holds", FAILS: "fails", OPEN: "cannot tell", MISSING: "not run"}


class Claim(NamedTuple):
    """One claim of a hypothesis. `place`: the data set, or size and width; `subject`: the arm or arms."""

    hypothesis: int
    place: str
    subject: str
    outcome: Outcome


class Number(NamedTuple):
    """What the numbers of a claim are, and what it means that one is surely above 0, or surely below."""

    what: str
    above: str = ""
    below: str = ""


Numbers = Mapping[str, Number]  # by claim


def gist(text: str) -> str:
    """The first sentence or clause of a hypothesis: short enough for a heading, and in its own words."""
    first = re.split(r"(?<=\w[\w)])[.;]\s", text)[0].rstrip(".;")
    words = first.split()
    if len(words) <= MOST_WORDS:
        return first
    start = " ".join(words[:MOST_WORDS])
    return start.rpartition(",")[0] or start


def table_of(parts: list[Claim]) -> pd.DataFrame:
    """A row a part: hypothesis, place, subject, and its outcome's fields."""
    rows = [(*part[:3], *part.outcome) for part in parts]
    return pd.DataFrame(rows, columns=[*Claim._fields[:3], *Outcome._fields])


def verdicts(parts: list[Claim], hypotheses: dict[int, str]) -> pd.DataFrame:
    """A row a hypothesis: hypothesis, verdict, parts, held, failed, open, text."""
    rows = []
    for number, text in hypotheses.items():
        part_verdicts = [part.outcome.verdict for part in parts if part.hypothesis == number]
        counts = [part_verdicts.count(word) for word in ("holds", "fails", "open", "not run")]
        rows.append((number, overall(part_verdicts), len(part_verdicts), *counts, text))
    names = ["hypothesis", "verdict", "parts", "hold", "fail", "open", "not_run", "text"]
    return pd.DataFrame(rows, columns=names)


def arms(networks: pd.DataFrame) -> pd.DataFrame:
    """Every arm's start, end, update, accuracy and movement: means with bootstrap-t intervals, and chance."""
    valid, rows = networks[~networks["diverged"].astype(bool)], []
    for key, group in valid.groupby([*PLACE, "arm"], sort=False):
        chance = group["chance"].iloc[0]
        for column, (name, most) in MEASURES.items():
            values = group[column].dropna().to_numpy(float)
            if len(values):
                ends = bootstrap_t_interval(values, support=(0.0, most))
                rows.append((*key, name, len(values), values.mean(), *ends, chance))
    names = [*PLACE, "arm", "measure", "n", "mean", "low", "high", "chance"]
    table = pd.DataFrame(rows, columns=names)
    table.loc[table["measure"].isin(["accuracy", "movement"]), "chance"] = float("nan")
    return table


def interval(outcome: Outcome) -> str:
    """'+0.123 [0.1, 0.14]', with q where there is one."""
    text = f"{outcome.estimate:+.3g} [{outcome.low:.3g}, {outcome.high:.3g}]"
    return text + (f", q = {outcome.q:.2g}" if outcome.q == outcome.q else "")


def sentences(parts: list[Claim], numbers: Numbers | None = None) -> list[str]:
    """Sentences on one hypothesis: what its numbers are, then claim by claim."""
    numbers = numbers or {}
    present = [part for part in parts if part.outcome.verdict != MISSING]
    absent = dict.fromkeys(p.place for p in parts if p.place not in {q.place for q in present})
    claims = dict.fromkeys((part.place, part.outcome.claim) for part in present)
    lines = [
        f"'{claim[0].upper()}{claim[1:]}': the number is {numbers[claim].what}."
        for claim in dict.fromkeys(claim for _, claim in claims)
        if claim in numbers
    ]
    for where, claim in claims:
        group = [p for p in parts if (p.place, p.outcome.claim) == (where, claim)]
        if len(group) == 1:
            (part,) = group
            told = _verdict_and_numbers(part, numbers)
            lines.append(f"{where}, {part.subject}: {claim}: {told}.")
            continue
        holding = [p for p in group if p.outcome.verdict == HOLDS]
        others = [p for p in group if p not in holding]
        whole = len(group) <= MOST_LISTED
        written = group if whole else others[:MOST_LISTED]
        clauses = [f"{p.subject} {_verdict_and_numbers(p, numbers)}" for p in written]
        if not whole and holding:
            values = [p.outcome.estimate for p in holding]
            span = f"from {min(values):+.3g} to {max(values):+.3g}"
            clauses.insert(0, f"The {len(holding)} that hold lie {span}")
        if not whole and len(others) > len(written):
            clauses.append(f"{len(others) - len(written)} more are in the table")
        lines.append(
            f"{where}: {claim}: holds in {len(holding)} of {len(group)}. {'. '.join(clauses)}."
        )
    if absent:
        lines.append(f"Not run: {'; '.join(absent)}.")
    return lines


def _verdict_and_numbers(part: Claim, numbers: Numbers) -> str:
    return f"{IN_WORDS[part.outcome.verdict]} {_numbers(part.outcome, numbers)}"


def by_place(parts: list[Claim], hypothesis: int) -> str:
    """' (mnist5k: holds; ...)' where there are few places."""
    verdicts_of: dict[str, list[str]] = {}
    for part in parts:
        if part.hypothesis == hypothesis:
            verdicts_of.setdefault(part.place, []).append(part.outcome.verdict)
    text = "; ".join(f"{place}: {IN_WORDS[overall(of)]}" for place, of in verdicts_of.items())
    return f" ({text})" if 1 < len(verdicts_of) <= MOST_PLACES else ""


def _numbers(outcome: Outcome, numbers: Numbers) -> str:
    if not outcome.n:
        return "(no networks)"
    known = numbers.get(outcome.claim, Number(""))
    side = known.above if outcome.low > 0 else known.below if outcome.high < 0 else ""
    return f"({interval(outcome)}{': ' if side else ''}{side})"


def counted(table: pd.DataFrame) -> str:
    """How the hypotheses came out, in a sentence. table: `verdicts`."""
    return f"Of {len(table)} hypotheses written down before the runs {tally(table)}."


def tally(table: pd.DataFrame) -> str:
    """'1 holds, 4 fail, 2 cannot be told'. table: `verdicts`."""
    of = Counter(table["verdict"])
    told = [
        f"{of[verdict]} {words}"
        for verdict, words in (
            (HOLDS, "holds" if of[HOLDS] == 1 else "hold"),
            (FAILS, "fails" if of[FAILS] == 1 else "fail"),
            (OPEN, "cannot be told"),
            (MISSING, "was not run" if of[MISSING] == 1 else "were not run"),
        )
        if of[verdict]
    ]
    return ", ".join(told)


def glance(parts: list[Claim], table: pd.DataFrame) -> pd.DataFrame:
    """A row a hypothesis: what was expected, what came out, the verdict, in words. table: `verdicts`."""
    rows = []
    for row in table.itertuples():
        number = int(str(row.hypothesis))
        verdict = IN_WORDS[str(row.verdict)] + by_place(parts, number)
        mine = [part for part in parts if part.hypothesis == number]
        rows.append((number, row.text, came_out(mine), verdict))
    names = ["hypothesis", "expected", "what came out", "verdict"]
    return pd.DataFrame(rows, columns=names)


def came_out(parts: list[Claim]) -> str:
    """How many parts of each claim of a hypothesis are so."""
    told = []
    for claim in dict.fromkeys(part.outcome.claim for part in parts):
        of = Counter(part.outcome.verdict for part in parts if part.outcome.claim == claim)
        known = of.total() - of[MISSING]
        text = f"{claim}: so in {of[HOLDS]} of {known}" if known else f"{claim}: not run"
        text += f", not so in {of[FAILS]}" if of[FAILS] else ""
        text += f", cannot be told in {of[OPEN]}" if of[OPEN] else ""
        told.append(text[0].upper() + text[1:])
    return ". ".join(told)


def extremes(table: pd.DataFrame, measure: str, names: Mapping[str, str]) -> str:
    """With which arm a measure is highest, and with which lowest. table: `arms`; names: arm -> words."""
    rows = table[table["measure"] == measure]
    if not len(rows):
        return "No network was measured."
    words, percent = _OF_NETWORKS[measure], measure == "accuracy"
    ends = []
    for key, group in rows.groupby(PLACE, sort=False):
        means = group.set_index("arm")["mean"]
        ends.append((_place(rows, key), means, str(means.idxmax()), str(means.idxmin())))
    if len(ends) > MOST_PLACES:
        told = []
        for position, end in ((2, "highest"), (3, "lowest")):
            arm, count = Counter(one[position] for one in ends).most_common(1)[0]
            told.append(f"{end} with '{names.get(arm, arm)}' in {count} of {len(ends)} conditions")
        return f"{words[0].upper()}{words[1:]} is {' and '.join(told)}."

    def value(number: float) -> str:
        return f"{number:.1%}" if percent else f"{number:.2f}"

    told = [
        f"On {place} it is highest with '{names.get(high, high)}' ({value(means[high])}) and lowest with "
        f"'{names.get(low, low)}' ({value(means[low])})."
        for place, means, high, low in ends
    ]
    chance = rows["chance"].dropna().unique()
    random = f" Random kernels have {value(chance[0])}." if len(chance) == 1 else ""
    return f"{words[0].upper()}{words[1:]}: {' '.join(told)}{random}"


def remembered(networks: pd.DataFrame, arm: str, forgotten: float = 0.25) -> str:
    """How much of an arm's start is left, place by place. networks: `StudyRuns.networks`; forgotten: the memory
    below which the study of regimes calls a start so."""
    mine = networks[(networks["arm"] == arm) & ~networks["diverged"].astype(bool)]
    left = mine.groupby(PLACE, sort=False)["memory"].mean()
    if not len(left):
        return f"No network of {arm} was measured."
    more = [str(key[0]) for key in left.index[left >= forgotten]]
    kept = f"; in {', '.join(dict.fromkeys(more))} it is not below {forgotten}" if more else ""
    return (
        f"'Start forgotten', '{arm}': at the end {left.min():.0%} to {left.max():.0%} of the "
        f"kernels' energy is still "
        f"their start's{kept}."
    )


def above_noise(ladder: pd.DataFrame, part: str) -> str:
    """In how many arms and data sets `part` ('W' or 'update') lies above random kernels. ladder:
    `StudyRuns.ladder`."""
    rows = ladder[(ladder["part"] == part) & (ladder["null"] == "N0")]
    rows = rows[rows["measure"] == (CENTRED if CENTRED in set(rows["measure"]) else "r2")]
    above = int(((rows["q"] <= 0.05) & (rows["diff"] > 0)).sum())
    words = {"W": "The kernels lie", "update": "What training added lies"}[part]
    return (
        f"{words} above random kernels in {above} of {len(rows)} combinations of arm and data set"
    )


def _place(rows: pd.DataFrame, key: tuple) -> str:
    """What sets a place apart: the data set, unless sizes or widths differ, too."""
    if rows["size"].nunique() == 1 or len(rows.drop_duplicates(PLACE)) == rows["data"].nunique():
        return str(key[0])
    return f"{key[1]:,} images, width {key[2]}"


def points_of(grid: pd.DataFrame, words: Mapping[str, str]) -> str:
    """Between which differences in points each arm lies, and how often it is surely better or worse. grid: arm,
    points, low, high; words: arm -> its name."""
    told = []
    for arm, name in words.items():
        rows = grid[grid["arm"] == arm]
        if not len(rows):
            continue
        better, worse = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
        told.append(
            f"{name[0].upper()}{name[1:]}: {rows['points'].min():+.1f} to {rows['points'].max():+.1f}, surely "
            f"better in {better} and surely worse in {worse} of {len(rows)}"
        )
    return ". ".join(told)
