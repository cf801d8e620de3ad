"""The sentences say what the tables hold."""

import numpy as np
import pytest

from kernelstudy.analysis import tables
from kernelstudy.analysis.trajectory import judge_arms, measure_trajectory
from kernelstudy.reporting import run_words
from tests.synthetic import trajectory

BANK = ["sobel_x", "sobel_y", "laplacian4"]
ARMS = [
    {"init": "he_normal", "first_layer": "learned", "labels": "true"},
    {"init": "sobel", "first_layer": "frozen", "labels": "true"},
]


def told(made):
    measured = measure_trajectory(made, BANK)
    verdicts = judge_arms(made, [None] * made.sizes["arm"])
    lines = run_words.sentences(
        measured, tables.summary(measured), tables.tests(measured), verdicts, "r2_sobel_centered"
    )
    return measured, verdicts, dict(lines)


@pytest.fixture(scope="module")
def learned():
    return told(trajectory())


def test_numbers_are_the_tables(learned):
    measured, _, lines = learned
    value = float(measured["r2_sobel_centered"].sel(arm="he_normal", step=9).mean())
    assert f"{value:.2f} [" in lines["he_normal"][0]
    assert "chance is 0.25" in lines["he_normal"][0]
    assert "p = 0.016" in lines["he_normal"][0]  # 2/2^7, all networks above chance
    assert "in 7 of 7 networks" in lines["he_normal"][1]


def test_a_frozen_arm_has_no_update(learned):
    lines = learned[2]["sobel/frozen"]
    assert "frozen" in lines[0]
    assert lines[1] == "Update W − W₀: none."


def test_growth_is_told_apart(learned):
    measured, _, lines = learned
    odd = measured.sel(arm="he_normal", sector="odd").isel(step=-1)
    said = next(line for line in lines["he_normal"] if "odd" in line and "is new" in line)
    assert f"{float(odd['growth_new'].mean()):+.2g} is new" in said
    assert f"{float(odd['growth_cross'].mean()):+.2g} is what was there" in said
    assert not any("is new" in line for line in lines["sobel/frozen"])


def test_headline_counts_learned_arms_only(learned):
    head = run_words.headline(learned[1], ["he_normal"])
    assert "in 1 of 1 arms" in head[0]
    assert "in 1 of 1 arms" in head[1]


def test_too_few_networks_are_refused_with_the_reason():
    measured, verdicts, lines = told(trajectory(seeds=3))
    assert "fewer than 6 networks (the least here is 3)" in run_words.refusal(measured)
    assert all("p =" not in line for of_arm in lines.values() for line in of_arm)
    assert "no verdict below 6 networks" in run_words.headline(verdicts, ["he_normal"])[0]


def test_enough_networks_need_no_refusal(learned):
    assert run_words.refusal(learned[0]) == ""
    assert run_words.diverged(learned[0]) == ""


def test_diverged_networks_are_counted():
    made = trajectory()
    made["diverged"][0, :2] = True
    made["diverged"][1] = True
    made["kernel"][1] = np.nan
    measured, _, lines = told(made)
    said = run_words.diverged(measured)
    assert "2 of 7 in he_normal" in said
    assert "7 of 7 in sobel/frozen" in said
    assert lines["sobel/frozen"] == ["Every network diverged: nothing to measure."]
