"""Overrides that are wrong, odd or nearly right, and what the command makes of them.

A case is the words of a command line and what its refusal must name. They go through the command's own
entry point, in this process; a case that is accepted ends where its run would begin.
"""

import contextlib
import io
import os
import random
import string
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from kernelstudy.config import compose

BASE = ("+exp=mnist", "+debug=tiny")
KEYS = [
    key for key in compose.known_keys() if key not in ("arms", "data", "model", "optim", "bank")
]
GROUPS = ("data", "model", "optim", "bank", "exp", "debug")
ODD = (
    *(
        "",
        "null",
        "true",
        "-1",
        "0",
        "1e999",
        "nan",
        "-.inf",
        "99999999999999999999999",
        "0x10",
        "1_0",
    ),
    *("[]", "[1,2", "{a:1}", "{a: [}", "[[[]]]", "${name}", "${nope}", "${oc.env:NOPE}", "${", "$"),
    *(
        "'",
        '"',
        "a=b",
        "a,b",
        "../../etc",
        "/etc/passwd",
        "<script>alert(1)</script>",
        "%s%n",
        "\\",
    ),
    *(
        "\t",
        "\n",
        "\u202e",
        "ж",
        "\udcff",
        "💥",
        "x" * 5000,
        "!!python/object:os.system",
        "*a",
        "&a 1",
    ),
    *("range(1,3)", "choice(1,2)", "glob(*)", "sort(3,1)", "int(3.7)", "cast(", "None", "-", "."),
)
OPTIONS = (
    *("--frobnicate", "--cfg", "--cfg=nix", "-x", "--config-name=nix", "--config-dir=/nowhere"),
    *("--config-path=/nowhere", "--package=a.b", "--info=nix", "--resolve", "--", "---", "--run=1"),
)


class Case(NamedTuple):
    """Words of a command line. `names`: one of them must be in the refusal; (): any sentence will do."""

    words: tuple[str, ...]
    names: tuple[str, ...]


def cases(count: int, seed: int = 0) -> list[Case]:
    """`count` cases."""
    rng = random.Random(seed)
    makers = [typo, wrong_value, appended, wrong_group, broken, wrong_arm, option, deleted]
    return [rng.choice(makers)(rng) for _ in range(count)]


def misspelt(word: str, rng: random.Random) -> str:
    """`word` with a letter lost, doubled, swapped or changed."""
    place = rng.randrange(len(word))
    kind = rng.randrange(4)
    if kind == 0 and len(word) > 1:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place] + word[place:]
    if kind == 2 and place + 1 < len(word):
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word[:place] + rng.choice(string.ascii_letters + "._-") + word[place + 1 :]


def typo(rng: random.Random) -> Case:
    key = misspelt(rng.choice(KEYS), rng)
    return Case((*BASE, f"{key}=1"), ())


def wrong_value(rng: random.Random) -> Case:
    key = rng.choice(KEYS)
    value = (
        rng.choice(ODD)
        if rng.random() < 0.7
        else "".join(rng.choices(string.printable, k=rng.randint(1, 9)))
    )
    return Case((*BASE, f"{key.replace('arms.', 'arms.0.')}={value}"), ())


def appended(rng: random.Random) -> Case:
    group = rng.choice(("", "model.", "data.", "optim.", "bank.", "hydra.", "arms.0."))
    name = group + "".join(rng.choices(string.ascii_lowercase, k=6))
    return Case((*BASE, f"{rng.choice(('+', '++', ''))}{name}={rng.choice(ODD[:6])}"), ())


def wrong_group(rng: random.Random) -> Case:
    group = rng.choice(GROUPS)
    plus = "+" if group in ("exp", "debug") else ""
    value = misspelt(rng.choice(("mnist", "cnn", "adam", "classical", "tiny", "digits")), rng)
    return Case(
        (*(w for w in BASE if not w.startswith(f"+{group}")), f"{plus}{group}={value}"), (group,)
    )


def broken(rng: random.Random) -> Case:
    word = rng.choice(("steps=1", "model.width=3", "seeds=[1,2]", "arms=[{init: sobel}]"))
    letters = list(word)
    for _ in range(rng.randint(1, 3)):
        letters.insert(rng.randrange(len(letters) + 1), rng.choice("=[]{}:,'\"$~+@\\ #%&*()!"))
    return Case((*BASE, "".join(letters)), ())


def wrong_arm(rng: random.Random) -> Case:
    entry = rng.choice(("init", "scale", "first_layer", "labels", "inputs"))
    names: tuple[str, ...] = (entry,)
    arm = {"init": "sobel", entry: rng.choice(ODD)}
    if rng.random() < 0.5:
        wrong = misspelt(entry, rng)
        arm[wrong], names = arm.pop(entry), (*names, wrong)
    inside = ", ".join(f"{key}: {value}" for key, value in arm.items())
    return Case((*BASE, f"arms=[{{{inside}}}]"), names)


def option(rng: random.Random) -> Case:
    return Case((*BASE, rng.choice(OPTIONS)), ())


def deleted(rng: random.Random) -> Case:
    return Case((*BASE, f"~{rng.choice([*KEYS, *GROUPS, 'arms', 'hydra', 'nix'])}"), ())


class Answer(NamedTuple):
    status: int
    out: str
    err: str


def ask(words: tuple[str, ...], place: Path) -> Answer:
    """What `python -m kernelstudy.run words` answers in the directory `place`."""
    from kernelstudy import run

    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["kernelstudy.run", *words]),
        mock.patch.object(run, "run"),  # accepted: here its run would begin
        mock.patch.dict(os.environ),
    ):
        try:
            run.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:
            traceback.print_exc()
            status = 1
    return Answer(status, out.getvalue(), err.getvalue())


def faults(case: Case, answer: Answer, place: Path) -> list[str]:
    """What is wrong with an answer."""
    found = []
    if "Traceback" in answer.err or answer.status not in (0, 2):
        found.append("traceback" if "Traceback" in answer.err else f"status {answer.status}")
    if answer.status == 2:
        sentence = answer.err.strip()
        if len(sentence.splitlines()) != 1 or not sentence.startswith("kernelstudy"):
            found.append("not one sentence")
        # the key, or the word that cannot be read, is named
        own = [word for word in case.words if word not in BASE]
        key = own[-1].lstrip("+~-").partition("=")[0].rstrip("@") if own else ""
        value = own[-1].partition("=")[2] if own else ""
        parts = [*case.names, *key.replace("arms.0", "arms").split("."), key, value]
        parts = [part for part in parts if part]
        if parts and not any(part in sentence for part in parts):
            found.append("does not name the key")
    if any(place.iterdir()):
        found.append("left something behind")
        for path in place.iterdir():
            found[-1] += f" {path.name}"
    return found


def fuzz(
    count: int, place: Path, seed: int = 0
) -> tuple[Counter, list[tuple[Case, Answer, list[str]]]]:
    """Ask `count` cases: how many were accepted and refused, and those with faults."""
    counts: Counter = Counter()
    wrong = []
    for case in cases(count, seed):
        answer = ask(case.words, place)
        counts["accepted" if answer.status == 0 else "refused"] += 1
        if found := faults(case, answer, place):
            wrong.append((case, answer, found))
    return counts, wrong
