"""The sentences say what the tables hold."""

import numpy as np
import pytest

from kernelstudy.analysis import tables
from kernelstudy.analysis.trajectory import (
    agreement_of_arms,
    count_arms,
    judge_arms,
    measure_trajectory,
)
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


@pytest.fixture(scope="module")
def kinds():
    made = trajectory()
    return tables.kinds(count_arms(made, [None] * made.sizes["arm"]))


def test_headline_counts_learned_arms_only(learned, kinds):
    head = run_words.headline(learned[1], ["he_normal"], kinds)
    assert head[0].startswith("he_normal: of ")
    assert ["in 1 of 1 arms" in line for line in head] == [False, True, True, True, False]


def test_kinds_are_told_beside_their_chance(kinds):
    rows = kinds[(kinds["arm"] == "he_normal") & (kinds["part"] == "W")]
    edge = rows[rows["kind"] == "edge"].set_index("null")
    said = run_words.kind_sentence(kinds, "he_normal", "W")
    assert f"{edge.loc['N0', 'value']:.1f} are edge detectors" in said
    assert f"random kernels {edge.loc['N0', 'chance']:.1f} and " in said
    assert f"step 0 {edge.loc['N1', 'chance']:.1f} and " in said
    assert f"images' axes {edge.loc['N3', 'chance']:.1f} and " in said
    assert run_words.kind_sentence(kinds, "sobel/frozen", "update") == ""


def test_agreement_over_seeds_is_told_beside_chance():
    made = trajectory()
    table = tables.kind_agreement(agreement_of_arms(made))
    assert set(table["part"]) == {"W", "update", "new"}
    row = table[(table["arm"] == "he_normal") & (table["part"] == "W")].iloc[0]
    (said,) = run_words.agreement(table, ["he_normal"])
    assert f"he_normal {row['share']:.0%} [{row['ci_low']:.0%}, {row['ci_high']:.0%}]" in said
    assert f"random kernels {row['random']:.0%}" in said
    assert "sobel" not in said
    alone = trajectory(seeds=1)
    assert run_words.agreement(tables.kind_agreement(agreement_of_arms(alone)), ["he_normal"]) == []


def test_a_decayed_start_is_told():
    made = trajectory()
    kernel = made["kernel"]
    start = kernel.isel(step=0, drop=True)
    made["kernel"] = kernel.where(kernel["step"] < 9, kernel - 0.9 * start)
    lines = told(made)[2]["he_normal"]
    assert "so the update holds −W₀" in lines[1]
    assert "which explains" in lines[0]
    assert lines[2].startswith("New part (W less its projection on W₀)")


def test_too_few_networks_are_refused_with_the_reason():
    measured, verdicts, lines = told(trajectory(seeds=3))
    assert "fewer than 6 networks (the least here is 3)" in run_words.refusal(measured)
    assert all("p =" not in line for of_arm in lines.values() for line in of_arm)
    made = trajectory(seeds=3)
    few = tables.kinds(count_arms(made, [None] * made.sizes["arm"]))
    head = run_words.headline(verdicts, ["he_normal"], few)
    assert "edge detectors" in head[0]
    assert "no verdict below 6 networks" in head[1]


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


def test_the_sentence_accounts_for_every_arm(learned, kinds):
    """The arm with most edge detectors is told of, the others by what became of them."""
    verdict = learned[1]["he_normal", "W"]
    names = {"a": "way one", "b": "way two", "he_normal": "way three"}
    verdicts = {(arm, "W"): verdict for arm in names}
    said = run_words.sentence(verdicts, kinds, names, list(names))
    assert said.startswith("Training made first-layer kernels derivative-like (way three): ")
    assert "derivative-like, too: way one; way two." in said
    assert all(len(part.split()) < 45 for part in said.split(". "))


def test_the_sentence_counts_low_pass_kernels_where_they_are_more_than_chance(learned, kinds):
    verdicts = {("he_normal", "W"): learned[1]["he_normal", "W"]}
    of_low = (kinds["arm"] == "he_normal") & (kinds["part"] == "W") & (kinds["kind"] == "low-pass")
    for passed, told in ((True, True), (False, False), (float("nan"), False)):
        table = kinds.astype({"passed": object})
        table.loc[of_low, ["value", "chance", "passed"]] = [4.6, 0.4, passed]
        said = run_words.sentence(verdicts, table, {}, ["he_normal"])
        assert (" and 5 low-pass, where random kernels have " in said) == told
        assert (" and 0. " in said) == told


def test_kernels_that_were_so_from_the_start_are_not_called_chance(learned, kinds):
    verdict = learned[1]["he_normal", "W"]
    from_start = verdict._replace(
        derivative_like=False,
        rungs=tuple(rung._replace(passed=rung.null == "N0") for rung in verdict.rungs),
    )
    assert {"N0", "N1"} <= {rung.null for rung in from_start.rungs}
    verdicts = {("gabor", "W"): from_start}
    said = run_words.sentence(verdicts, kinds, {}, ["gabor"])
    assert said == "Training made no kernels derivative-like; so from the start: gabor."
    said = run_words.sentence(verdicts | {("gabor", "update"): verdict}, kinds, {}, ["gabor"])
    assert said.endswith("What it added to them is derivative-like (gabor).")
    chance = from_start._replace(rungs=tuple(r._replace(passed=False) for r in from_start.rungs))
    said = run_words.sentence({("gabor", "W"): chance}, kinds, {}, ["gabor"])
    assert said.startswith("Neither the kernels nor ")
