"""One report over many runs: what is read, what is refused, what the page says."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
import zarr

from kernelstudy import report, runs
from kernelstudy.analysis.trajectory import judge_arms, measure_trajectory
from kernelstudy.config import Arm, Bank, Model, Optim, Study, result_settings
from kernelstudy.data.options import Data
from kernelstudy.runs import directory, measures
from kernelstudy.studies import sweep_report
from kernelstudy.studies.sweep import find_runs, read_sweep
from kernelstudy.system.errors import RunError
from tests.synthetic import PROVENANCE, trajectory

ARMS = [Arm("he_normal"), Arm("sobel", first_layer="frozen")]
BASE = Study(name="grid", arms=ARMS, seeds=7, steps=9, bank=Bank(["sobel_x", "laplacian4"]))
VERSIONS = {"kernelstudy": "0.1.0", "git_commit": "abc", "packages": {"jax": "1.0", "numpy": "2.0"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with its analysis, to be copied: measuring and writing take longest."""
    place = tmp_path_factory.mktemp("finished") / "run"
    made = trajectory(seeds=7)
    runs.start(place, BASE)
    runs.finish(place, made, PROVENANCE | VERSIONS)
    analysis = measure_trajectory(made, BASE.bank.kernels)
    verdicts = judge_arms(made, BASE.controls)
    runs.write_dataset(
        place / runs.ANALYSIS,
        measures.seal(analysis, measures.fingerprint_of(place), verdicts, BASE.bank.metric),
    )
    return place


@pytest.fixture
def grid(tmp_path, finished):
    """Four finished runs: two learning rates x two widths."""
    for rate in (1e-3, 2e-3):
        for width in (8, 16):
            changes = {"optim": Optim(learning_rate=rate), "model": Model(width=width)}
            make(tmp_path / "grid" / f"{rate:g}_{width}", finished, **changes)
    return tmp_path / "grid"


def make(place, finished, *, provenance=None, **changes):
    """A finished run of other settings, with the same kernels."""
    shutil.copytree(finished, place)
    settings = result_settings(dataclasses.replace(BASE, **changes))
    (place / runs.CONFIG).write_text(yaml.safe_dump(settings))
    (place / runs.PROVENANCE).write_text(json.dumps(PROVENANCE | VERSIONS | (provenance or {})))
    reseal(place)
    group = place / runs.ANALYSIS / "zarr.json"
    described = json.loads(group.read_text())
    described["attributes"][measures.OF] = measures.fingerprint_of(place)
    group.write_text(json.dumps(described))
    runs.seal_analysis(place)
    return place


def reseal(place):
    """DONE as the run would have written it with these settings and this provenance."""
    directory._write_done(place, directory._checksums(place))


def read(place):
    return read_sweep(find_runs([place]))


def current(place):
    return measures.is_current(place, measures.fingerprint_of(place))


def no_drawing(monkeypatch):
    """Most tests are of what is read and said."""

    def draw(sweep, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "x.svg").write_text("<svg/>")
        for ground in ("", "-dark"):
            (folder / f"x{ground}.png").write_bytes(b"")
        return [sweep_report.Figure("x", "x", "x")]

    monkeypatch.setattr(sweep_report, "draw", draw)


def test_the_report_and_its_files(grid, capsys):
    assert report.main([str(grid)]) == 0
    out = grid / "report"
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {out / 'report.html'}"
    page = (out / "report.md").read_text()
    pictures = re.findall(r'src(?:set)?="(figures/[^"]+)"', page)
    assert len(pictures) == 2 * 3
    for picture in pictures:
        assert (out / picture).stat().st_size > 1000
        assert (out / picture.replace("-dark", "")).with_suffix(".svg").exists()
    html = (out / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "default-src 'none'" in html
    assert "optim.learning_rate: 0.001, 0.002; model.width" not in page  # in the schema's order
    assert "model.width: 8, 16; optim.learning_rate: 0.001, 0.002" in page
    assert "by seed: every condition has the same 7 seeds" in page
    networks = pd.read_csv(out / "tables" / "networks.csv")
    assert len(networks) == 4 * 2 * 7
    assert {"model.width", "optim.learning_rate", "arm", "seed", "value"} <= set(networks)
    effects = pd.read_csv(out / "tables" / "effects.csv")
    assert set(effects["pairing"]) == {"by seed"}
    # all runs are one and the same: nothing has an effect
    np.testing.assert_allclose(effects["diff"], 0, atol=1e-12)
    assert (effects["p"] == 1).all()
    provenance = json.loads((out / "provenance.json").read_text())
    assert len(provenance["runs"]) == 4
    # again, as a shell's * names the report too
    assert report.main([str(place) for place in sorted(grid.iterdir())]) == 0
    assert json.loads((out / "provenance.json").read_text()) == provenance


def test_runs_are_listed_by_their_values_and_linked(grid, monkeypatch):
    """Those that have a report; what is shown of each is what was swept."""
    no_drawing(monkeypatch)
    first = sorted(path for path in grid.iterdir() if (path / "DONE").exists())[0]
    (first / "report.html").write_text("")
    page = sweep_report.report([grid])
    (first / "report.html").unlink()
    links = re.findall(r'<td><a href="(.*?)">(.*?)</a></td>', page.read_text())
    assert links == [(f"../{first.name}/report.html", str(first))]
    assert f"[{first}](../{first.name}/report.md)" in page.with_suffix(".md").read_text()
    table = pd.read_csv(page.parent / "tables" / "runs.csv")
    assert list(table.columns[:2]) == ["model.width", "optim.learning_rate"]
    assert table["model.width"].tolist() == [8, 8, 16, 16]


def test_analyses_are_read_while_they_are_current(grid, monkeypatch):
    monkeypatch.setattr(measures, "measure_trajectory", None)  # not to be called
    found = read(grid)
    assert found.measured_again == 0
    assert not any(member.reason for member in found.members)
    monkeypatch.undo()
    stale, damaged, *_ = sorted(grid.iterdir())
    with (stale / runs.PROVENANCE).open("a") as file:  # trained once more since
        file.write("\n")
    reseal(stale)
    (damaged / runs.ANALYSIS / "zarr.json").write_text("{")
    again = read(grid)
    assert again.measured_again == 2
    pd.testing.assert_frame_equal(again.networks, found.networks)
    pd.testing.assert_frame_equal(again.cells, found.cells)


def test_an_analysis_of_another_version_is_made_again(grid, monkeypatch):
    monkeypatch.setattr(measures, "MADE_BY", "99")
    assert not any(current(place) for place in grid.iterdir())
    monkeypatch.undo()
    assert all(current(place) for place in grid.iterdir())


def test_missing_runs_are_listed(grid, monkeypatch):
    no_drawing(monkeypatch)
    failed, running, damaged, _ = sorted(grid.iterdir())
    for place in (failed, running):
        (place / runs.DONE).unlink()
    (failed / runs.FAILED).write_text("Traceback:\nMemoryError: <b>no</b> room\n")
    shutil.rmtree(damaged / runs.ANALYSIS)
    shutil.rmtree(damaged / runs.TRAJECTORY)
    html = sweep_report.report([grid]).read_text()
    assert "Missing: 3 of 4 runs." in html
    assert "MemoryError: &lt;b&gt;no&lt;/b&gt; room" in html
    table = pd.read_csv(grid / "report" / "tables" / "runs.csv", keep_default_na=False)
    assert sorted(table["state"]) == ["missing"] * 3 + ["read"]
    reasons = table.set_index("run")["reason"]
    assert reasons[str(running)].startswith("not finished: interrupted, 0 of")
    assert "trajectory.zarr cannot be read" in reasons[str(damaged)]


def test_a_gap_in_the_grid_is_told(grid, monkeypatch):
    no_drawing(monkeypatch)
    shutil.rmtree(grid / "0.001_8")
    sweep_report.report([grid])
    page = (grid / "report" / "report.md").read_text()
    assert "No run was found of 1 of the grid's 4 combinations: model.width=8" in page


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"packages": {"jax": "2.0", "numpy": "2.0"}}, "jax is 1.0 in 4 (such as"),
        ({"kernelstudy": "9"}, "kernelstudy is 0.1.0 in 4"),
        (
            {"data": PROVENANCE["data"] | {"name": "made", "sha256": "1" * 64}},
            "mnist5k have sha256 0000000000000000 in 4",
        ),
    ],
)
def test_runs_that_do_not_belong_together(grid, finished, monkeypatch, capsys, changed, said):
    no_drawing(monkeypatch)
    make(grid / "other", finished, provenance=PROVENANCE | changed, model=Model(width=4))
    assert report.main([str(grid)]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert said in told
    assert "--allow-mixed" in told
    assert not (grid / "report").exists()
    assert report.main([str(grid), "--allow-mixed"]) == 0
    assert said in (grid / "report" / "report.md").read_text()


def test_swept_data_have_hashes_of_their_own(grid, finished):
    data = {"name": "made", "sha256": "1" * 64}
    changes = {"data": Data("digits"), "provenance": {"data": data}}
    make(grid / "digits", finished, **changes)
    assert "data.name" in {key.name for key in read(grid).keys}


def test_other_primary_measures_are_refused(grid, finished):
    make(grid / "odd", finished, bank=Bank(["sobel_x"], metric="odd"))
    with pytest.raises(RunError, match="different primary measures"):
        read(grid)


def test_seeds_in_several_runs_are_one_condition(tmp_path, finished, monkeypatch):
    no_drawing(monkeypatch)
    make(tmp_path / "a", finished)
    make(tmp_path / "b", finished, name="another")  # the same seeds once more
    found = read(tmp_path)
    assert not found.keys
    assert len(found.networks) == 2 * 7
    assert "14 networks are in more than one run" in found.notes[0]
    sweep_report.report([tmp_path])  # nothing swept, and still a report


def test_keys_that_go_together_are_one_axis(tmp_path, finished):
    for width, deep in ((8, 32), (16, 64), (32, 64)):
        make(tmp_path / str(width), finished, model=Model(width=width, deep_width=deep))
    (key,) = read(tmp_path).keys
    assert key.name == "model.width"
    assert key.values == [8, 16, 32]
    assert key.follows == ["model.deep_width"]


def test_hostile_directories_are_named_and_nothing_more(grid, finished, monkeypatch):
    no_drawing(monkeypatch)
    hostile = "<script>$alert$</script>"
    make(grid / hostile.replace("/", "_"), finished, model=Model(activation=hostile))
    (grid / "empty").mkdir()
    broken = make(grid / "broken", finished)
    (broken / runs.CONFIG).write_text("arms: 3\nbank: {metric: odd, kernels: []}\n")
    huge = make(grid / "huge", finished, model=Model(width=99))
    store = zarr.open_group(huge / runs.ANALYSIS, mode="r+", use_consolidated=False)
    store.create_array(
        "r2_sobel_centered", shape=(10**12,), dtype="f8", chunks=(10**6,), overwrite=True
    )
    mean = make(grid / "mean", finished, model=Model(width=98)) / runs.ANALYSIS / "zarr.json"
    mean.write_text(mean.read_text().replace("per_network", "<script>"))
    html = sweep_report.report([grid]).read_text()
    assert "<script>$" not in html
    assert "config.yaml is not that of a run" in html
    found = read(grid)
    assert found.measured_again == 1  # the mean one, out of its trajectory
    assert [key.name for key in found.keys] == [
        "model.width",
        "model.activation",
        "optim.learning_rate",
    ]


@pytest.mark.parametrize("key", ["steps", "batch_size", "log_points", "eval_images", "impl"])
def test_any_key_can_be_swept(tmp_path, finished, key):
    """Those too that are called like a column of the networks' table."""
    for value in ("lax", "gemm") if key == "impl" else (9, 12):
        make(tmp_path / f"{value}", finished, **{key: value})
    sweep_report.report([tmp_path])
    assert f"{key}: " in (tmp_path / "report" / "report.md").read_text()
    table = pd.read_csv(tmp_path / "report" / "tables" / "networks.csv")
    assert table[key].nunique() == 2


def test_names_are_drawn_as_they_are(tmp_path, finished):
    for name in ("$x^$", "a" * 200):
        make(tmp_path / name[:3], finished, model=Model(activation=name))
    sweep_report.report([tmp_path])


def test_wrong_input_is_one_sentence(tmp_path, grid, capsys):
    (tmp_path / "empty").mkdir()
    unfinished = grid / "0.001_8"
    (unfinished / runs.DONE).unlink()
    for words in ([tmp_path / "none", grid], [tmp_path / "empty"], [unfinished]):
        assert report.main([str(word) for word in words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
