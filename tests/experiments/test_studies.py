"""One study's report made again from a small run, and what studies decide, by closed forms."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernelstudy import runs
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.studies.hypotheses import FAILS, HOLDS, above
from kernelstudy.studies.inputs_figure import r2_by_inputs
from kernelstudy.studies.plan import Member, _unplanned, paired, plan_of, read_study
from kernelstudy.studies.plan_report import Claim
from kernelstudy.system.errors import RunError
from tests.experiments.scripts import script

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
RUNS, EXPECTED = HERE / "runs" / "why", HERE / "expected" / "why"
JOBS = {
    "initialisation": 2,
    "why": 2,
    "learned_vs_handcrafted": 12,
    "regimes": 3,
    "why_forgetting": 2,
    "learned_forgetting": 6,
    "datasets": 12,
    "kernel_size": 8,
    "deeper_layers": 3,
    "replication": 2,
    "fixed_banks": 3,
    "redrawn": 2,
    "batch_norm_depth": 8,
    "splits": 10,
    "derived_labels": 6,
    "long_training": 2,
}


@pytest.fixture(scope="module")
def why():
    return script("why")


@pytest.fixture(scope="module")
def made(why, tmp_path_factory):
    out = tmp_path_factory.mktemp("why")
    status = why.plan_report.main(why.__file__, why.answer, [str(RUNS), "--out", str(out)])
    assert status == 0
    return out


def test_the_tables_come_out_as_they_did(made):
    names = {path.name for path in EXPECTED.glob("*.csv")}
    assert names == {path.name for path in (made / "tables").glob("*.csv")}
    for name in names:
        found, expected = (pd.read_csv(place / name) for place in (made / "tables", EXPECTED))
        pd.testing.assert_frame_equal(found, expected, rtol=2e-4, atol=1e-6)


def test_the_report_says_what_it_is_made_of_and_what_was_planned(made):
    page = (made / "report.md").read_text(encoding="utf-8")
    plan = plan_of(ROOT / "experiments/why", ROOT / "conf/exp/why.yaml")
    for text in plan.hypotheses.values():
        assert text in page
    assert "steps is 8 (planned: 2000), batch_size is 32 (planned: 64), seeds is 6" in page
    for title in ("Deviations from the plan", "What it does not show", "How the plan was read"):
        assert f"## {title}" in page
    for figure in ("update", "derivative_share", "profile"):
        assert (made / "figures" / f"{figure}.png").is_file()
        assert (made / "figures" / f"{figure}.svg").is_file()
    assert "mnist5k (4,000 images, sha256" in page
    assert "Of 2 planned runs 1 are not in this report: data=photo_patches" in page
    assert "Not run: photo_patches." in page


@pytest.mark.parametrize("part", ["W", "update"])
def test_the_figure_of_inputs_shows_every_arm_beside_its_n3(why, part):
    found = read_study(
        [RUNS / "58ff57ba095e"], plan_of(ROOT / "experiments/why", ROOT / "conf/exp/why.yaml")
    )
    panel = r2_by_inputs(found, why.INPUTS, why.arm, part).axes[0]
    ladder = found.ladder
    n3 = ladder[(ladder["part"] == part) & (ladder["null"] == "N3") & (ladder["n"] > 0)]
    n3 = n3[n3["measure"] == CENTRED]
    squares = [
        line.get_xdata()[0]
        for line in panel.lines
        if line.get_marker() == "s" and len(line.get_xdata())
    ]
    assert len(squares) > 0
    np.testing.assert_allclose(sorted(squares), sorted(n3["chance"]))
    column = {"W": "value", "update": "delta"}[part]
    diamonds = [
        line.get_xdata()[0]
        for line in panel.lines
        if line.get_marker() == "D" and len(line.get_xdata())
    ]
    np.testing.assert_allclose(
        sorted(diamonds), sorted(found.networks.groupby("arm")[column].mean())
    )


def test_nothing_finished_is_one_sentence(why, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("name: why\n")
    status = why.plan_report.main(
        why.__file__, why.answer, [str(tmp_path), "--out", str(tmp_path / "o")]
    )
    assert status == 2
    assert capsys.readouterr().err.startswith("kernelstudy: none of the 1 runs is finished")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("study", "jobs"), list(JOBS.items()))
def test_plans_are_read_from_what_was_committed(study, jobs):
    plan = plan_of(ROOT / "experiments" / study, ROOT / "conf" / "exp" / f"{study}.yaml")
    assert len(plan.jobs) == jobs
    assert list(plan.hypotheses) == list(range(1, len(plan.hypotheses) + 1))
    assert plan.question.endswith("?")
    rates = [arm.get("learning_rate", 1.0) for arm in plan.settings["arms"]]
    assert all(isinstance(rate, float) for rate in rates)  # 3e-3 is text to PyYAML
    conf = (ROOT / "conf" / "exp" / f"{study}.yaml").read_text(encoding="utf-8")
    commands = plan.command.split("\n")  # one a grid of sweep.yaml
    assert conf.splitlines()[1 : 1 + len(commands)] == [f"# {line}" for line in commands]


def test_runs_that_differ_in_what_was_not_planned_are_told_of():
    plan = plan_of(ROOT / "experiments/why", ROOT / "conf/exp/why.yaml")
    study = runs.read_settings(next(RUNS.iterdir()))
    members = [
        Member(Path("a"), replace(study, eval_images=images), {}, "", "") for images in (128, 256)
    ]
    said = _unplanned(plan, members)
    assert said == ["eval_images is not the same in all runs: 128, 256."]
    assert _unplanned(plan, members[:1] * 2) == []


def test_a_page_without_a_plan_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# A study\n")
    shutil.copy(ROOT / "experiments" / "why" / "sweep.yaml", tmp_path)
    with pytest.raises(RunError, match=r"has no part \*\*Hypotheses"):
        plan_of(tmp_path, ROOT / "conf" / "exp" / "why.yaml")
    with pytest.raises(RunError, match="cannot be read"):
        plan_of(tmp_path / "no", ROOT / "conf" / "exp" / "why.yaml")


def test_around_a_peak(why):
    one = np.array([0.1, 0.5, 0.2])
    rise, fall = why.around_peak(np.stack([one, one + 0.1, one - 0.05]))
    np.testing.assert_allclose(rise, 0.4)
    np.testing.assert_allclose(fall, 0.3)
    rise, fall = why.around_peak(np.tile([0.1, 0.2, 0.3], (4, 1)))
    np.testing.assert_allclose(fall, 0)  # still rising: no fall, which decides against it
    assert above("", fall, 0).verdict == FAILS


def test_one_data_set_may_differ_from_n3_and_no_more(why):
    def part(data, values):
        return Claim(5, data, why.arm("natural"), above("N3", values, 0))

    differs, matches = [-1.0] * 6, [1.0] * 6
    once = [part("mnist5k", differs), part("photo_patches", matches)]
    twice = [part("mnist5k", differs), part("photo_patches", differs)]
    assert [p.outcome.verdict for p in why.allowed_exception(once)] == [HOLDS, HOLDS]
    assert [p.outcome.verdict for p in why.allowed_exception(twice)] == [FAILS, FAILS]


@pytest.fixture(scope="module")
def grid():
    """Networks whose accuracies are known: hand-crafted kernels lose a point with every tenfold."""
    study = script("learned_vs_handcrafted")
    rows = [
        ("fashion_mnist", size, 16, arm, seed, 0.5 + 0.01 * seed + gain, False)
        for size in study.SIZES
        for seed in range(8)
        for arm, gain in (
            (study.LEARNED, 0.0),
            (study.RANDOM, -0.01),
            (study.FROZEN, 0.021 - 0.01 * np.log10(size / 100)),
            (study.PCA, 0.005),
            (study.STARTED, 0.006),
            (study.DENSE, -0.1),
        )
    ]
    names = ["data", "size", "width", "arm", "seed", "accuracy", "diverged"]
    return study, pd.DataFrame(rows, columns=names)


def test_accuracies_are_compared_seed_by_seed(grid):
    study, nets = grid
    np.testing.assert_allclose(study.slopes(nets, 16), -1)
    whole = study.compared(nets)
    assert len(whole) == 4 * 15
    table = whole[whole["reference"] == study.LEARNED].set_index(["size", "arm"])
    np.testing.assert_allclose(
        table.loc[(100, study.RANDOM), ["points", "low", "high"]].astype(float), -1
    )
    np.testing.assert_allclose(table["p"], 2 / 2**8)
    assert (table["q"] >= table["p"]).all()
    parts = study.tested(nets)
    said = {(p.hypothesis, p.place, p.subject): p.outcome.verdict for p in parts}
    assert said[1, "60,000 images, width 16", study.RANDOM] == HOLDS
    assert said[2, "60,000 images, width 16", study.FROZEN] == FAILS  # -0.68 points to -1
    assert said[4, "100 images, width 16", study.PCA] == HOLDS
    assert said[5, "100 images, width 16", study.STARTED] == FAILS
    assert {v for (n, place, _), v in said.items() if n == 6} == {HOLDS}


def test_a_network_that_diverged_pairs_with_none(grid):
    study, nets = grid
    broken = nets.assign(diverged=(nets["seed"] == 3) & (nets["arm"] == study.RANDOM))
    found = paired(broken, "accuracy", study.RANDOM, study.LEARNED, size=100, width=16)
    assert sorted(found.index) == [0, 1, 2, 4, 5, 6, 7]


def test_findings_have_their_numbers_from_the_committed_tables():
    words = script("findings", "words")
    found = words.findings(words.Results(ROOT / "results"))
    summary = pd.read_csv(ROOT / "results" / "mnist" / "tables" / "summary.csv")
    last = summary[(summary["arm"] == "he_normal") & (summary["step"] == summary["step"].max())]
    update = last[last["measure"] == words.UPDATE].iloc[0]
    said = f"of W − W₀ it is {update['mean']:.2f} [{update['ci_low']:.2f}, {update['ci_high']:.2f}]"
    assert said in found[0].text
    for finding in found:
        assert not finding.table or (ROOT / "results" / finding.table).is_file()
    nowhere = words.findings(words.Results(ROOT / "no such place"))
    assert all(f.text.endswith("is not in results/ yet.") for f in nowhere)


def test_the_tier_is_the_last_rung_without_a_gap():
    words = script("findings", "words")

    def tier(**passed):
        rows = [("a", "update", null, "r2_centered", value) for null, value in passed.items()]
        table = pd.DataFrame(rows, columns=["arm", "part", "null", "measure", "passed"])
        return words.tier(table, "a", "update")

    assert tier(N0=False, N2=True, N3=True) == "chance"
    assert tier(N0=True, N2=False, N3=True) == "structured"
    assert tier(N0=True, N1=False, N2=True).startswith("above random kernels from the start")
    assert tier(N0=True, N2=True, N3=False) == "spatially structured"
    assert tier(N0=True, N2=True, N3=True) == "beyond image energies"
