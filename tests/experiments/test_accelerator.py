"""The check of accelerators tells what is right and what is not, and its page says what its rows say."""

import json
from pathlib import Path

import jax
import pandas as pd
import pytest

from kernelstudy.config import Model
from kernelstudy.training import ops
from tests.experiments.scripts import script

RESULTS = Path(__file__).parents[2] / "results" / "accelerator"


@pytest.fixture(scope="module")
def equality():
    return script("accelerator", "equality")


@pytest.fixture(scope="module")
def run():
    return script("accelerator")


@pytest.fixture(scope="module")
def report():
    return script("accelerator", "report")


def pooled(equality):
    return next(c for c in equality._operations(True) if c.kind == "max pooling with ties")


def reference(equality):
    found, told = equality._reference()
    assert told.status == "holds"
    return found


def test_a_case_that_agrees_holds(equality):
    row = equality.compare(pooled(equality), reference(equality))
    assert row.status == "holds"
    assert row.values["gemm64"] == 0


def test_a_pool_that_gives_every_tie_the_gradient_is_found(equality, monkeypatch):
    """Right on random images, wrong on constant ones."""

    def every(x):
        n, h, w, c = x.shape
        return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))

    monkeypatch.setattr(equality, "LAX", ops.LAX._replace(pool=every))
    row = equality.compare(pooled(equality), reference(equality))
    assert row.status == "FAILS"
    assert row.values["gemm64"] > 0.1


def test_without_float64_the_two_are_held_to_each_other(equality):
    row = equality.compare(pooled(equality), None)
    assert row.status == "holds"
    assert row.said == f"lax and gemm differ by {row.values['lax']:.1e} in float32"


def test_the_families_have_all_that_conf_can_express(equality):
    from kernelstudy.config import ACTIVATIONS, DEPTHS, KERNEL_SIZES, STRIDES

    families = equality.FAMILIES
    known = {"activation": ACTIVATIONS, "depth": DEPTHS, "kernel_size": KERNEL_SIZES}
    for key, values in known.items():
        assert {getattr(model, key) for model in families} == set(values)
    flags = {(m.batch_norm, m.stride, m.residual) for m in families}
    assert flags == {(b, s, r) for b in (False, True) for s in STRIDES for r in (False, True)}


def test_a_number_that_is_none_fails(equality):
    case = equality.family(Model(depth=1), (6, 6, 1))
    params, statistics, images, labels = case.arguments
    params = jax.tree.map(lambda leaf: leaf * float("nan"), params)
    row = equality.compare(case._replace(arguments=(params, statistics, images, labels)), None)
    assert row.status == "FAILS"


def test_a_part_that_dies_or_cannot_start_is_a_row(run, tmp_path):
    rows, _ = run.run_part("no such part", tmp_path, tiny=True)
    assert [row.status for row in rows] == ["FAILS"]
    assert rows[0].said == "its process ended with status 2"


def test_other_bits_in_another_process_fail(run):
    def trained(bits):
        return run.Row("trained", "measured", "", {"digest": bits})

    same = run.repeated({"training": [trained("a")], "again": [trained("a")]})
    other = run.repeated({"training": [trained("a")], "again": [trained("b")]})
    lost = run.repeated({"training": [trained("a")], "again": []})
    assert [row.status for row in (same, other, lost)] == ["holds", "FAILS", "FAILS"]


def test_the_committed_page_says_what_its_tables_say(report):
    facts = json.loads((RESULTS / "provenance.json").read_text(encoding="utf-8"))
    written = (RESULTS / "report.md").read_text(encoding="utf-8")
    rows = pd.read_csv(RESULTS / "tables" / "rows.csv", keep_default_na=False)
    assert report.where(facts) in written
    assert not facts["tiny"]
    assert f"{(rows['status'] == 'holds').sum()} checks hold, **" in written
    assert f"**{(rows['status'] == 'FAILS').sum()} fail**" in written
    for row in rows[~rows["part"].isin(["equality"])].itertuples():
        assert row.said in written


@pytest.mark.slow
def test_the_tiny_form_ends_well_and_draws_its_page(run, tmp_path):
    status = run.main(["--tiny", "--out", str(tmp_path), "--parts", "rates", "torch_rates"])
    assert status == 0
    assert (tmp_path / "accelerator.png").is_file()
    assert (tmp_path / "accelerator.svg").is_file()
    facts = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert facts["device"]["platform"] == jax.default_backend()
    assert "tiny form" in page
    rates = pd.read_csv(tmp_path / "tables" / "rates.csv")
    assert (rates["rate"] > 0).all()


def test_parts_that_are_not_run_again_are_kept_from_the_tables(report, tmp_path):
    for name in ("report.md", "provenance.json"):
        (tmp_path / name).write_bytes((RESULTS / name).read_bytes())
    facts = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    found = report.kept(RESULTS)
    report.write(tmp_path, found, facts)
    for name in ("report.md", "tables/rows.csv", "tables/equality.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (RESULTS / name).read_text(
            encoding="utf-8"
        )
