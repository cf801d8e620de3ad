"""All layers of one network: known kernels are found where they are, chance is chance, figures agree."""

import numpy as np
import pandas as pd
import pytest

import kernelstudy
from kernelstudy import compare as command
from kernelstudy.comparison import all_layers
from kernelstudy.weights import Layer, Limits, Network, WeightsError
from tests.weights import files

RNG = np.random.default_rng(11)


def noise(*shape):
    return RNG.standard_normal(shape)


def survey(monkeypatch, arrays, **settings):
    layers = tuple(
        Layer(name, a.shape, "oihw", lambda a=a: a, depthwise=name.startswith("dw"))
        for name, a in arrays.items()
    )
    network = Network("test", layers, "declared")
    monkeypatch.setattr(all_layers, "network_of", lambda *_: ("net", network, {}))
    return all_layers.survey("net", Limits(), ["sobel_x", "sobel_y"], **settings)


def test_what_is_put_in_is_found_at_its_depth(monkeypatch):
    steered = kernelstudy.family(2.0, np.arange(48) * np.pi / 48)
    found = survey(
        monkeypatch,
        {
            "stem": noise(16, 3, 3, 3),
            "pointwise": noise(16, 16, 1, 1),
            "dw": steered[:16, None],
            "late": steered.reshape(6, 8, 3, 3),
            "wide": noise(4, 2, 3, 5),
        },
    ).table.set_index("layer")
    assert list(found["depth"]) == [1, 2, 3, 4, 5]
    assert list(found["kernels"].fillna(0)) == [16, 0, 16, 48, 4]
    assert found.loc["pointwise", "verdict"].endswith("1x1 kernels have no shape in space")
    assert found.loc["wide", "r2_chance"] == pytest.approx(
        2 / 14
    )  # sectors are of square kernels alone
    assert found.loc["wide", ["odd", "best_abs_cos", "a"]].isna().all()
    for name in ("dw", "late"):
        assert found.loc[name, "r2"] == pytest.approx(1)
        assert found.loc[name, "odd"] == pytest.approx(1)
        assert found.loc[name, "share_significant"] == 1
        assert found.loc[name, "verdict"].startswith("more derivative-like")
    assert found.loc["late", "a"] == pytest.approx(2, abs=1e-6)
    assert found.loc["stem", "r2"] == pytest.approx(2 / 8, abs=0.1)


def test_chance_is_told_as_chance(monkeypatch):
    arrays = {str(i): noise(20, 20, 3, 3) for i in range(30)}
    table = survey(monkeypatch, arrays).table
    assert (table["verdict"] == "as isotropic kernels").sum() >= 28
    assert table["best_abs_cos"].between(table["best_low"], table["best_high"]).mean() > 0.8


def test_more_kernels_than_are_measured_are_drawn_and_told(monkeypatch):
    monkeypatch.setattr(all_layers, "MOST", 50)
    found = survey(monkeypatch, {"a": noise(10, 10, 3, 3)})
    assert list(found.table[["kernels", "measured"]].iloc[0]) == [100, 50]
    assert any("drawn: 50 kernels each of a" in line for line in found.introduction)


def test_the_command_and_what_it_cannot_do(tmp_path, capsys):
    path = files.onnx(tmp_path)
    assert command.main([str(path), "--layers", "all", "--out", str(tmp_path / "o")]) == 0
    told = capsys.readouterr().out
    assert "layers: 2 convolutions, 2 measured" in told
    table = pd.read_csv(tmp_path / "o" / "tables" / "layers.csv")
    assert list(table["layer"]) == ["first", "second"]
    assert (tmp_path / "o" / "report.html").stat().st_size > 1000
    assert (tmp_path / "o" / "figures" / "depth.png").exists()
    words = [str(path), "--layers", "all", "--layer", "first"]
    assert command.main(words) == 2
    assert "goes with no layer" in capsys.readouterr().err
    with pytest.raises(WeightsError, match="an array is one layer"):
        kernelstudy.compare(noise(3, 3, 1, 4), layers="all")


def test_a_layer_of_colours_is_measured_as_it_is_alone(monkeypatch):
    kernels = noise(24, 3, 3, 3) + 2 * kernelstudy.kernel("sobel_x")
    alone = kernelstudy.compare(kernels, layout="oihw")
    row = survey(monkeypatch, {"stem": kernels, "next": noise(8, 24, 3, 3)}).table.iloc[0]
    assert row["r2"] == pytest.approx(alone.kernels["r2_centered"].mean(), rel=1e-5)
