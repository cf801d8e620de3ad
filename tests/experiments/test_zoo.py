"""The committed zoo says what its table says, and the table holds enough networks."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernelstudy.compare import compare

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def words():
    place = ROOT / "experiments" / "zoo" / "report.py"
    spec = importlib.util.spec_from_file_location("zoo_report", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_sentence_and_row_comes_from_the_table(words):
    table = pd.read_csv(ROOT / "results" / "zoo" / "networks.csv", keep_default_na=False)
    numbers = table.drop(columns="a_holds").apply(pd.to_numeric, errors="coerce")
    texts = ["package", "version", "licence", "network", "format", "layer", "channels", "a_holds"]
    numbers[texts] = table[texts]
    numbers["a_resolved"] = table["a_resolved"].astype(str) == "True"
    page = (ROOT / "results" / "zoo" / "report.md").read_text(encoding="utf-8")
    for line in (*words.headline(numbers), *(words._row(row) for row in numbers.itertuples())):
        assert line in page


def test_the_kernels_of_every_network_are_shown(words):
    data = ROOT / "tests" / "weights" / "data"
    found = [compare(data / name) for name in ("facenet_pnet.pt", "fer_emotion.tflite")]
    drawn = words.kernels(found, ["P-Net", "emotions"])
    said = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert said == [*["kernels", "nearest", "P-Net"], *["kernels", "nearest", "emotions"]]
    for axes, one in zip(drawn.axes, found, strict=True):
        best = one.kernels.where(one.kernels["live"])["best_abs_cos"].idxmax()
        kernel = one.measured[0].subject.kernels[0, best]
        shown = np.asarray(axes.images[0].get_array())[:3, :3]
        np.testing.assert_allclose(shown, kernel / np.abs(kernel).max())


def test_there_are_enough_networks_each_with_its_licence():
    table = pd.read_csv(ROOT / "results" / "zoo" / "networks.csv", keep_default_na=False)
    declared = pd.read_csv(ROOT / "experiments" / "zoo" / "networks.csv")
    assert len(table) >= 12
    assert set(table["network"]) <= set(declared["what"])
    assert (table["licence"] != "").all()
    assert (table["derivative_like"] <= table["kernels"] - table["dead"] - table["constant"]).all()
