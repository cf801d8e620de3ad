"""Run directories made by somebody who means harm: refused in one sentence; nothing is run or followed."""

import json
import os
import pickle
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import zarr

from kernelstudy import compare, report, status
from kernelstudy.runs.report import build
from tests.synthetic import PROVENANCE, make_run

PWNED = "pwned"


class Bomb:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self):
        return os.system, (f"touch {PWNED}",)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("made") / "run", seeds=2)


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy without checksums, as somebody who means harm would make it; what lies outside of it."""
    run = shutil.copytree(made, tmp_path / "runs" / "demo" / "run")
    (run / "DONE").write_text("")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    monkeypatch.chdir(tmp_path)
    return run


def metadata(run: Path, array: str, **changes) -> None:
    path = run / "trajectory.zarr" / array / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def chunk(run: Path, array: str) -> Path:
    return next(p for p in (run / f"trajectory.zarr/{array}/c").rglob("*") if p.is_file())


def pickled_objects(run):
    """Zarr 2 of objects, which xarray would unpickle."""
    store = run / "trajectory.zarr"
    shutil.rmtree(store)
    (store / "kernel").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    array = {
        **{"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "order": "C"},
        **{"compressor": None, "fill_value": None, "filters": [{"id": "pickle"}]},
    }
    (store / "kernel" / ".zarray").write_text(json.dumps(array))
    (store / "kernel" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["arm"]}')
    (store / "kernel" / "0").write_bytes(pickle.dumps(Bomb()))


def pickle_codec(run):
    codecs = [{"name": "numcodecs.pickle", "configuration": {}}]
    metadata(run, "kernel", codecs=codecs)
    chunk(run, "kernel").write_bytes(pickle.dumps(Bomb()))


def objects(run):
    metadata(run, "kernel", data_type="object")


def extension_type(run):
    metadata(run, "kernel", data_type={"name": "os.system", "configuration": {}})


def absurd_shape(run):
    metadata(run, "kernel", shape=[10**12, 1, 1, 1, 1, 1, 1])


def absurd_chunk(run):
    metadata(
        run,
        "kernel",
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [10**12, *[1] * 6]}},
    )


def absurdly_many_chunks(run):
    grid = {"name": "regular", "configuration": {"chunk_shape": [1]}}
    metadata(run, "probe_label", shape=[10**8], chunk_grid=grid)


def shape_of_text(run):
    metadata(run, "kernel", shape=["a"] * 7)


def negative_shape(run):
    metadata(run, "kernel", shape=[-1, 1, 1, 1, 1, 1, 1])


def bomb_of_zeros(run):
    """A chunk whose frame says that it grows to a tebibyte."""
    chunk(run, "kernel").write_bytes(b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**40) + b"\0" * 9)


def frame_of_unknown_size(run):
    chunk(run, "kernel").write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + b"\0" * 9)


def linked_chunk(run):
    path = chunk(run, "kernel")
    path.unlink()
    path.symlink_to(run.parents[2] / "outside" / "secret")


def linked_store(run):
    (run / "trajectory.zarr").rename(run.parents[2] / "outside" / "trajectory.zarr")
    (run / "trajectory.zarr").symlink_to(run.parents[2] / "outside" / "trajectory.zarr")


def linked_config(run):
    shutil.move(run / "config.yaml", run.parents[2] / "outside" / "config.yaml")
    (run / "config.yaml").symlink_to(run.parents[2] / "outside" / "config.yaml")


def linked_tables(run):
    (run / "tables").symlink_to(run.parents[2] / "outside")


def linked_figures(run):
    (run / "figures").symlink_to(run.parents[2] / "outside")


def pipe(run):
    """Who opens it waits for ever."""
    (run / "provenance.json").unlink()
    os.mkfifo(run / "provenance.json")


def pipe_in_the_store(run):
    os.mkfifo(run / "trajectory.zarr" / "kernel" / "x")


def foreign_file(run):
    (run / "trajectory.zarr" / "kernel" / "setup.py").write_text("import os")


def deep_json(run):
    (run / "provenance.json").write_text("[" * 10**6)


def deep_metadata(run):
    (run / "trajectory.zarr" / "zarr.json").write_text("[" * 10**5)


def constructed_yaml(run):
    (run / "config.yaml").write_text(f'!!python/object/apply:os.system ["touch {PWNED}"]')


def deep_yaml(run):
    (run / "config.yaml").write_text("[" * 5000)


def endless_yaml(run):
    (run / "config.yaml").write_text("&a [*a]")


def large_yaml(run):
    (run / "config.yaml").write_text("# " + "x" * 2**25)


def _config(old, new):
    def spoil(run):
        text = (run / "config.yaml").read_text()
        assert old in text
        (run / "config.yaml").write_text(text.replace(old, new))

    return spoil


def _provenance(**changes):
    def spoil(run):
        found = json.loads((run / "provenance.json").read_text())
        (run / "provenance.json").write_text(json.dumps(found | changes))

    return spoil


def checksums_elsewhere(run):
    (run / "DONE").write_text(f"{'0' * 64}  ../../../outside/secret\n")


def binary_done(run):
    (run / "DONE").write_bytes(b"\xff\xfe\0")


def _array(name, values):
    def spoil(run):
        group = zarr.open_group(run / "trajectory.zarr", mode="a", use_consolidated=False)
        dims = group[name].metadata.dimension_names
        del group[name]
        made = group.create_array(name, data=values, dimension_names=dims)
        assert made.shape == values.shape

    return spoil


def _changed(name, change):
    """An array as `change` makes it; the axes' names stay."""

    def spoil(run):
        group = zarr.open_group(run / "trajectory.zarr", mode="a", use_consolidated=False)
        names = group[name].metadata.dimension_names
        short = change(np.asarray(group[name][...]))
        for other in list(group):  # what shares an axis that is now shorter
            dims = group[other].metadata.dimension_names
            values = short if other == name else np.asarray(group[other][...])
            for axis, dim in enumerate(dims):
                if dim in names:
                    values = values.take(range(short.shape[names.index(dim)]), axis)
            if values.shape != group[other].shape or other == name:
                del group[other]
                group.create_array(other, data=values, dimension_names=dims)

    return spoil


SPOILED = [
    *(pickled_objects, pickle_codec, objects, extension_type, absurd_shape, absurd_chunk),
    *(absurdly_many_chunks, shape_of_text, negative_shape, bomb_of_zeros, frame_of_unknown_size),
    *(linked_chunk, linked_store, pipe_in_the_store, foreign_file, deep_metadata),
    *(checksums_elsewhere, binary_done),
    _array("step", np.array([0, 4, 1, 9])),
    _array("seed", np.array([3, 3])),
    _array("diverged", np.zeros((2, 2))),
    _changed("patch_basis", lambda values: values[..., :-1, :, :]),
    _changed("patch_basis", lambda values: values * np.inf),
    _changed("test_accuracy", lambda values: values - np.inf),
    _changed("test_accuracy", lambda values: values + 2),
]
SPOILED_FOR_REPORTS = [
    *(linked_config, linked_tables, linked_figures, pipe, deep_json, constructed_yaml, deep_yaml),
    *(endless_yaml, large_yaml),
    _config("name: demo", "name: ../../outside"),
    _config("name: demo", "name: <script>alert(1)</script>"),
    _config("steps: 9", "steps: -1"),
    _config("- sobel_x", "- ../../outside/secret"),
    _config("metric: r2_sobel_centered", "metric: __class__"),
    _config("- init: sobel", "- [sobel]\n- init: sobel"),
    _provenance(command="python '"),
    _provenance(data=None),
    _provenance(data={**PROVENANCE["data"], "left_out": {"count": "many"}}),
    _provenance(device=[1]),
    _provenance(packages=["jax"]),
    _provenance(packages={"jax": 1}),
    _provenance(starts=["sobel"]),
    _provenance(starts={"file[k.npy]": {"path": "k.npy", "sha256": 1}}),
    _provenance(network={"name": "Net", "watched": {"layers": [1]}}),
    _provenance(network=["Net"]),
    _config("  first_layer: learned\n", ""),
]


def _name(spoil):
    return getattr(spoil, "__name__", str(spoil)).strip("_")


@pytest.mark.parametrize("spoil", [*SPOILED, *SPOILED_FOR_REPORTS], ids=_name)
def test_reports_refuse(run, spoil, capsys):
    spoil(run)
    assert report.main([str(run)]) == 2
    _nothing_happened(run, capsys)


@pytest.mark.parametrize("spoil", SPOILED, ids=_name)
def test_comparisons_refuse(run, spoil, capsys, tmp_path):
    spoil(run)
    assert compare.main([str(run), "--out", str(tmp_path / "made")]) == 2
    assert not (tmp_path / "made").exists()
    _nothing_happened(run, capsys)


def _nothing_happened(run, capsys):
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.isprintable() or told[:-1].isprintable()
    outside = run.parents[2] / "outside"
    assert (outside / "secret").read_text() == "secret"
    assert {p.name for p in outside.iterdir()} <= {"secret", "trajectory.zarr", "config.yaml"}
    assert not Path(PWNED).exists()
    assert not (run / "report.html").exists()


def endless_metrics(run):
    (run / "DONE").unlink()
    (run / "metrics.jsonl").write_text("[" * 10**5 + '\n{"step": 1e400, "seconds": "x"}\n{"step"')


def steering_failure(run):
    (run / "DONE").unlink()
    (run / "FAILED").write_bytes(b"Traceback\nValueError: \x1b[2J\xff\x9b31m gone\n")


def linked_failure(run):
    (run / "DONE").unlink()
    (run / "FAILED").symlink_to(run.parents[2] / "outside" / "secret")


def strange_holder(run):
    (run / "DONE").unlink()
    (run / ".holder").write_text('{"pid": 1e99, "host": "\\u001b[2J", "since": [], "place": {}}')


def linked_run(run):
    (run.parent / "link").symlink_to(run.parents[2] / "outside")
    (run.parents[2] / "outside" / "config.yaml").write_text("name: x")


@pytest.mark.parametrize(
    "spoil",
    [
        *(*SPOILED, *SPOILED_FOR_REPORTS, endless_metrics, steering_failure, linked_failure),
        *(strange_holder, linked_run),
    ],
    ids=_name,
)
def test_status_tells_of_them(run, spoil, capsys, tmp_path):
    spoil(run)
    assert status.main([str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert all(line.isprintable() for line in told.out.splitlines())
    assert told.out.splitlines()[-1].startswith("1 run: ")
    assert "secret" not in told.out.replace("outside/secret", "")
    assert not Path(PWNED).exists()


def test_checksums_find_a_flipped_bit(made, tmp_path, capsys):
    run = shutil.copytree(made, tmp_path / "run")
    path = chunk(run, "train_loss")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert report.main([str(run)]) == 2
    assert (
        "train_loss/c/0/0/0 is not what the run wrote, its checksum says" in capsys.readouterr().err
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    arms = ("<img src=x onerror=alert(1)>", "a/../b")
    run = make_run(tmp_path_factory.mktemp("names") / "run", seeds=1, arms=arms)
    return build(run)


def test_names_with_markup_are_no_markup(page):
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
    assert {p.parent.name for p in page.parent.rglob("*.png")} == {"figures"}


def test_the_pages_policy_allows_no_network(page):
    policy = dict(
        entry.strip().split(" ", 1)
        for entry in page.read_text()
        .split('Content-Security-Policy" content="')[1]
        .split('"')[0]
        .split(";")
    )
    assert policy.pop("default-src") == "'none'"
    scripts = policy.pop("script-src").split()  # the page's own, each by what it is
    assert all(re.fullmatch(r"'sha256-[\w+/]{43}='", word) for word in scripts)
    assert set(policy.values()) <= {"data:", "'unsafe-inline'", "'none'"}
    assert {"base-uri", "form-action"} <= policy.keys()
