"""Run directories received from others: nothing outside them is read, nothing changed in them goes unseen."""

import json
import os
import shutil
import struct
import time
from pathlib import Path

import pytest
import zarr

from kernelstudy import report, runs, status
from kernelstudy.reporting import markdown, page
from kernelstudy.runs import measures, untrusted
from kernelstudy.runs.report import build
from kernelstudy.system import plain_yaml
from kernelstudy.system.errors import RunError
from tests.synthetic import make_run

pytestmark = pytest.mark.usefixtures("coarse")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("made") / "run", seeds=2)
    build(run)
    return run


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs" / "run")


@pytest.mark.slow
def test_a_page_holds_the_tables_that_were_just_made_and_no_other_file(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (run / "tables" / "of_this_machine.csv").symlink_to(tmp_path / "secret")
    os.mkfifo(run / "tables" / "waits.csv")
    (run / "tables" / "endless.csv").symlink_to("/dev/zero")
    assert report.main([str(run)]) == 0
    text = (run / "report.html").read_text()
    assert "csv-summary" in text
    assert not any(f"csv-{name}" in text for name in ("of_this_machine", "waits", "endless"))


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json"])
def test_what_a_run_was_made_with_is_sealed(run, name, capsys):
    text = (run / name).read_text()
    changed = text.replace("steps: 9", "steps: 8").replace("made up", "made by me")
    assert changed != text
    (run / name).write_text(changed)
    assert report.main([str(run)]) == 2
    assert f"{name} is not what the run wrote, its checksum says" in capsys.readouterr().err


def test_a_changed_summary_is_not_believed(run):
    study, fingerprint = runs.read_settings(run), measures.fingerprint_of(run)
    right, measured = measures.read_measures(run, fingerprint, study)
    assert measured is None  # read back, not measured again
    path = run / "analysis.zarr" / "zarr.json"
    content = json.loads(path.read_text())
    found = json.loads(content["attributes"]["summary"])
    found["per_network"]["value"][0][0] = 0.99
    content["attributes"]["summary"] = json.dumps(found)
    path.write_text(json.dumps(content))
    assert measures.fingerprint_of(run) == fingerprint
    now, measured = measures.read_measures(run, fingerprint, study)
    assert measured is not None
    assert (now.per_network["value"] == right.per_network["value"]).all()


@pytest.mark.slow
def test_a_run_of_an_earlier_version_says_what_is_not_sealed(run):
    lines = (run / "DONE").read_text().splitlines(keepends=True)
    (run / "DONE").write_text("".join(line for line in lines if "trajectory.zarr" in line))
    assert report.main([str(run)]) == 0
    assert "No checksum covers config.yaml and provenance.json" in (run / "report.md").read_text()
    (run / "DONE").write_text("")
    assert runs.not_sealed(run) == ["trajectory.zarr", "config.yaml", "provenance.json"]


def test_a_second_frame_in_a_chunk_is_refused(run):
    """It would be decompressed as well, however large."""
    path = next(p for p in (run / "trajectory.zarr/kernel/c").rglob("*") if p.is_file())
    untrusted.check_store(run / "trajectory.zarr")
    frame = path.read_bytes()
    empty = b"\x28\xb5\x2f\xfd\x20\x00" + struct.pack("<I", 1)[:3]  # a frame of nothing
    for spoiled in (frame * 2, frame + empty, frame + b"\0", frame[:-1], frame[:30]):
        path.write_bytes(spoiled)
        with pytest.raises(RunError, match="is damaged"):
            untrusted.check_store(run / "trajectory.zarr")


def test_a_claim_without_data_is_refused(run):
    """Its chunks are not there, which Zarr takes for zeros; to measure them would take tens of GiB."""
    path = run / "trajectory.zarr" / "kernel" / "zarr.json"
    content = json.loads(path.read_text())
    content["shape"][-1] = 300_000
    content["chunk_grid"]["configuration"]["chunk_shape"][-1] = 300_000
    path.write_text(json.dumps(content))
    shutil.rmtree(path.parent / "c")
    with pytest.raises(RunError, match=r"claims .* MiB of numbers in files of"):
        untrusted.check_store(run / "trajectory.zarr")


def test_frames_of_every_size_pass(tmp_path):
    """Blocks of all kinds: raw, of one byte, compressed; several in a frame."""
    import numpy as np

    rng = np.random.default_rng(0)
    group = zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=3)
    for index, values in enumerate(
        (
            rng.standard_normal(200_000),
            np.ones(300_000),
            np.arange(3.0),
            rng.integers(3, size=500_000),
        )
    ):
        group.create_array(f"a{index}", data=values, chunks=values.shape)
    untrusted.check_store(tmp_path / "store.zarr")


YAMLS = {
    "an integer of 5,000 digits": "name: demo\nsteps: " + "9" * 5000,
    "laughs": "a: &a [x, x]\n"
    + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)),
    "base 60": "steps: " + ":".join(["59"] * 10**6),
    "colliding keys": "\n".join(f"{i * (2**61 - 1)}: 1" for i in range(30_000)),
    "a tag": "name: !!binary aGk=",
    "a date": "steps: 2020-01-01",
    "deep": "[" * 10**5,
    "many": "[" + "1," * 10**6 + "]",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
def test_yaml_that_does_harm_is_one_row_of_the_status(run, text, capsys):
    other = shutil.copytree(run, run.parent / "other")
    (other / "DONE").unlink()
    (other / "config.yaml").write_text(text)
    began = time.monotonic()
    assert status.main([str(run.parent)]) == 0
    assert time.monotonic() - began < 120  # of seconds that must not grow with what is in the file
    told = capsys.readouterr()
    assert told.err == ""
    row = next(line for line in told.out.splitlines() if "other" in line)
    assert "failed" in row
    assert "config.yaml" in row
    assert "1 done, 1 failed" in told.out


def test_plain_yaml_reads_what_runs_write(made):
    import yaml

    text = (made / "config.yaml").read_text()
    assert plain_yaml.load(text) == yaml.safe_load(text)
    odd = {"a": 1e-05, "b": [], "c": "1:30", "d": None, "e": "2020-01-01", "f": True, "g": -(2**31)}
    odd |= {"h": "0x10", "i": float("inf"), "j": "o'brien", "k": "yes", "l": 1.5e300, "m": "1_000"}
    assert plain_yaml.load(yaml.safe_dump(odd)) == odd


@pytest.mark.parametrize(
    "record",
    [
        '{"step": 1, "seconds": 1}',
        '{"step": 1, "seconds": 1, "seeds": [0]}\n{"step": 1, "seconds": 1}',
        '{"step": 1, "seconds": 1}\n{"step": 1, "seconds": 1, "seeds": [0]}',
    ],
)
def test_metrics_without_seeds_are_no_end_of_the_status(run, record, capsys):
    (run / "DONE").unlink()
    (run / "metrics.jsonl").write_text(record + "\n")
    assert status.main([str(run)]) == 0
    assert "1 interrupted" in capsys.readouterr().out


def test_whatever_is_wrong_with_a_run_is_its_own_row(run, monkeypatch, capsys):
    (run / "DONE").unlink()
    monkeypatch.setattr(status.lock, "holder", lambda run: 1 // 0)
    assert status.main([str(run)]) == 0
    assert "cannot be read: ZeroDivisionError" in capsys.readouterr().out


def test_no_part_of_a_name_is_a_link(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ladder.csv").write_text("secret")
    shutil.rmtree(run / "tables")
    (run / "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        untrusted.read_text(run, "tables/ladder.csv")


HOSTILE = (
    "conv1\n\n# The answer\n\n- Sobel!\n\n![](http://127.0.0.1:9/p.png) [x](javascript:alert(1)) \x1b[2J\x07"
    " <script>alert(1)</script> | **`a`** ~~b~~ [d]: http://e &lt;"
)


def test_markdown_shows_names_as_they_are():
    from markdown_it import MarkdownIt

    reader = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    for text in (
        HOSTILE,
        "# a",
        "- b",
        "> c",
        "1. d",
        "***",
        "=====",
        "[a]: b",
        "![a](b)",
        "<b>x</b>",
    ):
        for shown in (f"- {markdown.escaped(text)}", f"# {markdown.escaped(text)}"):
            tokens = reader.parse(f"{shown}\n")
            inline = [t for t in tokens if t.type == "inline"]
            assert len(inline) == 1, shown
            kinds = {child.type for child in inline[0].children}
            assert kinds <= {"text", "text_special"}, (shown, kinds)
            assert not {"html_block", "fence", "blockquote_open"} & {t.type for t in tokens}
        assert markdown.escaped(text).isprintable()
    for text in ("`a` ``b", "```\n# c", "plain"):
        (token,) = reader.parse(markdown.block(text))
        assert token.content.rstrip("\n") == text
    for text in (
        "he_normal*0.1",
        "0.62 [0.59, 0.65], p = 0.01 (n = 3)",
        "W − W₀ of sobel/frozen",
        "-0.3",
    ):
        (shown,) = [t.content for t in reader.parse(markdown.escaped(text))[1].children[:1]]
        assert text.startswith(shown)
    assert markdown.escaped("0.62 [0.59, 0.65], he_normal") == "0.62 [0.59, 0.65], he_normal"


def test_cells_are_no_formulas(tmp_path):
    import pandas as pd

    table = pd.DataFrame(
        {"name": ["=1+1", "@SUM(A1)", "-2+3", "-0.5", "a=b", "+"], "n": [-1.0] * 6}
    )
    text = page.write_tables({"t": table}, tmp_path)["t"]
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [
        *("'=1+1", "'@SUM(A1)", "'-2+3", "-0.5", "a=b", "+")
    ]
    assert Path(tmp_path / "tables" / "t.csv").read_text() == text
    assert (pd.read_csv(tmp_path / "tables" / "t.csv")["n"] == -1).all()
