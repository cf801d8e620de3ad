"""1-D, 3-D and oblong kernels: planted ones are found, noise is not, and what is not asked is named."""

import json

import numpy as np
import pandas as pd
import pytest

import kernelstudy
from kernelstudy import compare as command
from kernelstudy.analysis import any_shape
from kernelstudy.comparison import measure
from kernelstudy.comparison.shape_report import ShapeComparison
from kernelstudy.weights import WeightsError, choose, modules, read

RNG = np.random.default_rng(0)
SMOOTH, SLOPE = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2


def noise(*shape):
    return (RNG.standard_normal(shape) * 0.1).astype(np.float32)


def sobel_3d(count):
    """(count, 1, 3, 3, 3): Sobel's derivative in space along random directions."""
    along = RNG.standard_normal((count, 3))
    frame = np.stack([any_shape.derivatives((3, 3, 3))[axis] for axis in "zyx"])
    return np.einsum("na,azyx->nzyx", along, frame)[:, None].astype(np.float32)


def test_a_planted_sobel_of_space_in_a_file(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    state = {
        "stem.weight": torch.from_numpy(sobel_3d(16)),
        "next.weight": torch.from_numpy(noise(8, 16, 3, 3, 3)),
    }
    path = tmp_path / "volume.pth"
    torch.save(state, path)
    assert command.main([str(path), "--out", str(tmp_path / "no")]) == 2
    told = capsys.readouterr().err
    assert "stem.weight" in told
    assert "a 3-D convolution (16 x 1 x 3 x 3 x 3 as stored)" in told
    assert "--layer" in told
    assert command.main([str(path), "--layer", "stem", "--out", str(tmp_path / "o")]) == 0
    told = capsys.readouterr().out
    assert "16 of 16 kernels are derivative-like beyond chance" in told
    assert "Not asked of kernels of this shape: likeness to named operators" in told
    kernels = pd.read_csv(tmp_path / "o" / "tables" / "kernels.csv")
    np.testing.assert_allclose(kernels["r2_centered"], 1)
    slices = pd.read_csv(tmp_path / "o" / "tables" / "slices.csv").set_index("plane")
    np.testing.assert_allclose(slices.loc[["yx", "zx", "zy"], "odd"], 1)
    resolved = slices["a"].dropna()  # of 16 kernels one plane's may be open
    assert len(resolved) >= 2
    np.testing.assert_allclose(resolved, 2, atol=1e-5)
    assert slices.loc["chance", "odd"] == pytest.approx(4 / 9)
    assert (tmp_path / "o" / "figures" / "kernels.png").exists()
    assert "In the central yx plane 100%" in (tmp_path / "o" / "report.md").read_text()
    later = kernelstudy.compare(str(path), layer="next")
    assert later.ladder["p"].min() > 0.001  # noise
    survey = kernelstudy.compare(str(path), layers="all").table.set_index("layer")
    assert survey.loc["stem.weight", "r2"] == pytest.approx(1)
    assert survey.loc["next.weight", "r2"] == pytest.approx(3 / 26, abs=0.05)


def test_filters_of_a_sequence(tmp_path):
    slope = np.convolve(
        [1, 4, 6, 4, 1], [-1, 0, 1]
    )  # of nine taps the smoothed difference, order by order
    for _ in range(2):
        slope = np.convolve(slope, [1, 1])
    planted = np.outer(np.linspace(-1, 1, 8), slope)[:, :, None].transpose(1, 2, 0)  # (k, in, out)
    found = kernelstudy.compare(planted + 0.0, layout="hwio")
    assert isinstance(found, ShapeComparison)
    np.testing.assert_allclose(found.kernels["r2_centered"], 1)
    assert set(found.kernels["best"]) == {"d/dx"}
    layer = found.layer.set_index("measure")
    assert layer.loc["odd x", "value"] == pytest.approx(1)
    assert layer.loc["odd x", "chance"] == pytest.approx(4 / 9)
    assert layer.loc["low_share", "value"] == pytest.approx(any_shape.low_share(slope))
    assert layer.loc["low_share", "chance"] == 0.5
    page = found.save(tmp_path / "o")
    assert (tmp_path / "o" / "figures" / "responses.png").exists()
    assert "Frequency responses" in page.read_text()
    tables, figure = found
    assert set(tables) == {"kernels", "layer", "ladder"}
    assert figure is found.figure


def test_noise_of_any_shape_is_chance():
    for shape in ((9, 1, 200), (3, 5, 1, 200), (3, 3, 3, 1, 200), (2, 5, 5, 3, 100)):
        given = {} if len(shape) == 4 else {"layout": "hwio"}
        found = kernelstudy.compare(RNG.standard_normal(shape), **given)
        ladder = found.ladder.set_index("null")
        assert set(ladder.index) == {"N0", "N2"}  # N3 is not asked
        assert (ladder["p"] > 0.001).all()
        axes = sum(n > 1 for n in shape[:-2])
        assert ladder.loc["N0", "chance"] == pytest.approx(axes / (np.prod(shape[:-2]) - 1))
        rows = found.layer.set_index("measure")
        off = np.abs(rows["value"] - rows["chance"]) / (rows["chance_high"] - rows["chance_low"])
        assert off.max() < 1.25  # some five standard deviations
        assert (found.kernels["q_r2"] < 0.05).mean() < 0.05


def test_oblong_and_flat_kernels():
    torch = pytest.importorskip("torch")
    planted = np.outer(SMOOTH, np.convolve(np.convolve([1, 1], [1, 1]), SLOPE))  # 3 x 5
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, (3, 5)), torch.nn.Conv2d(8, 6, (1, 7)), torch.nn.Conv2d(6, 6, (7, 1))
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(planted * np.arange(1, 9)[:, None, None, None]))
    first = kernelstudy.compare(net)  # the image is seen by an oblong one: no name is needed
    np.testing.assert_allclose(first.kernels["r2_centered"], 1, rtol=1e-6)
    assert first.layer.set_index("measure").loc["odd x", "value"] == pytest.approx(1)
    assert first.kernels["best"].eq("d/dx").all()
    for layer, axis in (("1", "x"), ("2", "y")):
        flat = kernelstudy.compare(net, layer=layer)
        assert flat.measured.axes == axis
        assert flat.measured.profiles.shape == (6, 7)
        assert any(
            f"along {'y' if axis == 'x' else 'x'} they have one tap" in n for n in flat.opened.notes
        )
        assert "low_share" in flat.kernels
    table = kernelstudy.compare(net, layers="all").table
    assert table["r2_chance"].tolist() == pytest.approx([2 / 14, 1 / 6, 1 / 6])


def test_a_volume_one_slice_thick_is_a_layer_of_squares():
    steered = kernelstudy.family(2.0, np.arange(16) * np.pi / 16)
    found = kernelstudy.compare(steered[:, None, None], layout="oihw")
    assert found.measured[0].a.a == pytest.approx(2)
    assert any("1x3x3: along z they have one tap" in note for note in found.opened[0].notes)


def test_modules_of_one_and_three_dimensions():
    nnx = pytest.importorskip("flax.nnx")
    net = {
        "a": nnx.Conv(2, 6, (5,), rngs=nnx.Rngs(0)),
        "b": nnx.Conv(1, 4, (3, 3, 3), rngs=nnx.Rngs(0)),
    }
    for name, module in net.items():
        network = modules.read(module)
        values = np.asarray(module.kernel[...])
        layer = choose(network, network.layers[0].name)[0]
        np.testing.assert_array_equal(layer.kernels(), values)
        assert layer.shape_of_kernels() == values.shape, name
        with pytest.raises(WeightsError, match="convolutions of two are needed here"):
            layer.hwio()
    torch = pytest.importorskip("torch")
    audio = torch.nn.Sequential(torch.nn.Conv1d(1, 6, 9), torch.nn.Conv1d(6, 6, 3, groups=6))
    for given in (audio, audio.state_dict()):
        network = modules.read(given)
        assert [layer.shape_of_kernels() for layer in network.layers] == [(9, 1, 6), (3, 1, 6)]
        with pytest.raises(WeightsError, match="no convolution of two dimensions"):
            choose(network)


def test_axes_are_never_guessed_and_what_is_not_asked_is_named(tmp_path, capsys):
    five = RNG.standard_normal((3, 3, 3, 1, 6))
    with pytest.raises(
        WeightsError, match=r"five axes .* may be several networks' kernels or 3-D ones"
    ):
        kernelstudy.compare(five)
    with pytest.raises(WeightsError, match=r"three axes .* may be 1-D kernels"):
        kernelstudy.compare(five[0, 0])
    with pytest.raises(ValueError, match="images can be asked of square kernels"):
        kernelstudy.compare(five, layout="hwio", images="photo_patches")
    with pytest.raises(ValueError, match="several networks can be asked of square"):
        kernelstudy.compare([five, five], layout="hwio")
    for shape, told in (
        ((2, 1, 4), "one shape alone"),
        ((1, 1, 4), "one tap"),
        ((1100, 1, 2), "1,024 taps at most"),
    ):
        with pytest.raises(ValueError, match=told):
            kernelstudy.compare(np.ones(shape) * RNG.standard_normal(shape), layout="hwio")
    five[0, 0, 0, 0, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 6 filters hold NaN"):
        kernelstudy.compare(five, layout="hwio")
    path = tmp_path / "w.npy"
    np.save(path, noise(9, 1, 8))
    assert command.main([str(path), "--out", str(tmp_path / "o")]) == 2
    assert "--layout" in capsys.readouterr().err
    assert command.main([str(path), "--layout", "hwio", "--out", str(tmp_path / "o")]) == 0


def test_dead_kernels_are_left_out():
    kernels = RNG.standard_normal((7, 1, 6))
    kernels[..., 2] = 0
    found = kernelstudy.compare(kernels, layout="hwio")
    assert found.kernels["live"].tolist() == [True, True, False, True, True, True]
    assert "1 of 6 kernels are dead or constant" in str(found)
    nothing = kernelstudy.compare(np.zeros((7, 1, 6)), layout="hwio")
    assert "No verdict" in str(nothing)


@pytest.mark.parametrize("size", [14, 16])
def test_patch_embeddings_of_vision_transformers(tmp_path, monkeypatch, size):
    """Planted: derivatives of Gaussians, which an even size has as well."""
    monkeypatch.setattr(measure, "_GABOR_LARGEST", 8)  # seconds of fits that test_fits has
    at = np.arange(size) - (size - 1) / 2
    gauss = np.exp(-(at**2) / 18)
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    x, y = np.outer(gauss, -at * gauss), np.outer(-at * gauss, gauss)
    planted = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    weight = np.repeat(planted[:, None], 3, axis=1).astype(np.float32)
    from safetensors.numpy import save_file

    arrays = {"vit.patch_embed.proj.weight": weight, "vit.pos_embed": noise(1, 197, 12)}
    save_file(arrays, tmp_path / "vit.safetensors", metadata={"format": "pt"})
    found = kernelstudy.compare(str(tmp_path / "vit.safetensors"))
    assert found.opened[0].provenance["layer"] == "vit.patch_embed.proj.weight"
    assert found.measured[0].verdict.significant == 12
    np.testing.assert_allclose(found.kernels["gauss1_r2"], 1, atol=1e-3)
    np.testing.assert_allclose(found.kernels["gauss1_sigma"], 3, rtol=0.02)


@pytest.mark.parametrize(
    ("kind", "shape", "read_as"),
    [
        ("Conv1D", (9, 1, 8), (9, 1, 8)),
        ("DepthwiseConv1D", (9, 4, 2), (9, 1, 8)),
        ("Conv3D", (3, 3, 3, 1, 8), (3, 3, 3, 1, 8)),
        ("Conv3DTranspose", (3, 3, 3, 8, 1), (3, 3, 3, 1, 8)),
        ("Conv2D", (3, 5, 1, 8), (3, 5, 1, 8)),
    ],
)
def test_what_keras_keeps(tmp_path, kind, shape, read_as):
    h5py = pytest.importorskip("h5py")
    leaf = "depthwise_kernel:0" if "Depthwise" in kind else "kernel:0"
    entry = {"class_name": kind, "config": {"name": "c", "strides": [1]}}
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": [entry]}}
    values = noise(*shape)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.create_group("model_weights/c/c")[leaf] = values
    layer = choose(read(tmp_path / "m.h5"), "c")[0]
    assert layer.shape_of_kernels() == read_as
    np.testing.assert_array_equal(layer.kernels().ravel()[0], values.ravel()[0])
    np.testing.assert_allclose(np.sort(layer.kernels(), axis=None), np.sort(values, axis=None))
