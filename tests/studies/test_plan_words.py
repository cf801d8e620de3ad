"""What a study says of its hypotheses: in words, with the side that is better."""

import numpy as np
import pandas as pd
import pytest

from kernelstudy.studies import plan_words
from kernelstudy.studies.hypotheses import above
from kernelstudy.studies.plan import plan_of
from kernelstudy.studies.plan_words import Claim, Number

CLAIM = "one layer is above the other"
SIDES = {
    CLAIM: Number("points, the one less the other", "the one is better", "the other is better")
}


def claim(mean: float) -> Claim:
    noise = np.array([-1.0, 1, -0.5, 0.5, 0.2, -0.2, 0.8, -0.8])
    return Claim(1, "digits", f"an arm at {mean:g}", above(CLAIM, mean + 0.1 * noise, 0.0))


def test_the_side_that_is_better_is_named_where_it_is_sure():
    lines = plan_words.sentences([claim(1.0), claim(-1.0), claim(0.0)], SIDES)
    assert "the number is points, the one less the other" in lines[0]
    told = lines[1].split("). ")
    assert "holds in 1 of 3. an arm at 1 holds" in told[0]
    assert told[0].count("the one is better") == 1
    assert "an arm at -1 fails" in told[1]
    assert told[1].count("the other is better") == 1
    assert "an arm at 0 cannot tell" in told[2]
    assert "better" not in told[2]


def test_claims_without_sides_are_told_as_they_were():
    (line,) = plan_words.sentences([claim(1.0)])
    assert line.startswith(f"digits, an arm at 1: {CLAIM}: holds (+1 [")
    assert "better" not in line


def test_all_parts_of_a_claim_are_accounted_for():
    said = plan_words.came_out([claim(1.0), claim(-1.0), claim(-2.0), claim(0.0)])
    assert said == f"{CLAIM.capitalize()}: so in 1 of 4, not so in 2, cannot be told in 1"


@pytest.mark.parametrize(
    ("text", "gist"),
    [
        (
            "Collapse: all is one curve. A curve fitted to the means is one.",
            "Collapse: all is one curve",
        ),
        ("It falls; it never rises.", "It falls"),
        ("With i.i.d. inputs it is at chance.", "With i.i.d. inputs it is at chance"),
        (
            "It correlates at r > .9 with it, and so on",
            "It correlates at r > .9 with it, and so on",
        ),
    ],
)
def test_the_gist_is_the_first_sentence_or_clause(text, gist):
    assert plan_words.gist(text) == gist


def test_a_long_gist_ends_at_a_comma():
    text = "one two three four five six seven eight nine ten, " * 4
    assert plan_words.gist(text) == ("one two three four five six seven eight nine ten, " * 3)[:-2]


def test_surely_better_and_worse_are_counted():
    grid = pd.DataFrame(
        {
            "arm": ["a"] * 3 + ["b"],
            "points": [1.0, -1.0, 0.2, 3.0],
            "low": [0.5, -2.0, -0.1, 2.0],
            "high": [1.5, -0.5, 0.5, 4.0],
        }
    )
    said = plan_words.points_of(grid, {"a": "frozen", "c": "absent"})
    assert said == "Frozen: -1.0 to +1.0, surely better in 1 and surely worse in 1 of 3"


def test_a_hypothesis_that_another_speaks_of_is_named(tmp_path):
    (tmp_path / "README.md").write_text(
        "**Question.** Why? **Declared.** **Hypotheses.**\n1. Kernels move: by half.\n"
        "2. Less than in hypothesis 1, or hypothesis 9.\n\n**Planned tests.**"
    )
    (tmp_path / "sweep.yaml").write_text("data: [digits]\n")
    (tmp_path / "moves.yaml").write_text("steps: 2\n")
    plan = plan_of(tmp_path, tmp_path / "moves.yaml")
    assert plan.hypotheses[2] == (
        "Less than in the hypothesis 'Kernels move' (1), or hypothesis 9."
    )
