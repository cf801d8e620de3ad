"""`compare`: the command's contract, the notebook's two lines, and what real layers hold."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from PIL import Image

import kernelstudy
from kernelstudy import compare as command
from kernelstudy import runs
from kernelstudy.analysis.tables import KERNELS_COLUMNS
from kernelstudy.comparison import measure as network
from kernelstudy.comparison import run_directory
from kernelstudy.comparison.measure import PER_KERNEL_COLUMNS
from kernelstudy.comparison.report import CLASSICAL
from tests import synthetic
from tests.synthetic import make_run
from tests.weights import files

DATA = Path(__file__).parent / "weights" / "data"


def run(capsys, *words) -> tuple[int, list[str], str]:
    status = command.main([str(w) for w in words])
    told = capsys.readouterr()
    return status, told.out.splitlines(), told.err


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The report of a real network's first layer (MTCNN's first net): its place, what was printed."""
    out, printed = tmp_path_factory.mktemp("report"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert command.main([str(DATA / "facenet_pnet.pt"), "--out", str(out)]) == 0
    return out, printed.getvalue()


@pytest.fixture(scope="module")
def report(told):
    return told[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def test_all_parts_of_the_report(report):
    for name in ("kernels", "layer", "ladder"):
        assert len(pd.read_csv(report / "tables" / f"{name}.csv")) > 0
    text = (report / "report.md").read_text()
    pictures = re.findall(r'src(?:set)?="(figures/[^"]+)"', text)
    assert len(pictures) == 2 * 5
    for picture in pictures:
        assert (report / picture).stat().st_size > 1000
    page = (report / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert page.index("2 of 10 first-layer kernels respond to edges") < page.index("<img")
    assert page.index("<img") < page.index('class="glance"') < page.index("Others seen")
    for words in (
        "[1, a, 1] x [-1, 0, 1]",
        "conv1.weight",
        "Others seen",
        "What one network cannot tell",
        "R, G, B or B, G, R",
    ):
        assert words in page


def test_kernels_csv_has_the_columns_of_a_runs(report):
    table = pd.read_csv(report / "tables" / "kernels.csv")
    assert [c for c in KERNELS_COLUMNS if c not in ("arm", "seed")] == PER_KERNEL_COLUMNS
    assert list(table.columns[: len(PER_KERNEL_COLUMNS)]) == PER_KERNEL_COLUMNS
    assert {"colour_share", "flag"} <= set(table.columns)
    assert list(table["channel"]) == list(range(10))


def test_it_says_which_layer_and_what_it_found(told):
    out, text = told
    assert text.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "conv1.weight: 3x3, 3 -> 10" in text
    assert re.search(r"\d+ of 10 kernels are derivative-like beyond chance \(q < \.05\)", text)


def test_the_same_again(report):
    again = kernelstudy.compare(DATA / "facenet_pnet.pt")
    assert again.kernels.to_csv(index=False) == (report / "tables" / "kernels.csv").read_text()


def test_list(capsys):
    status, lines, _ = run(capsys, DATA / "facenet_pnet.pt", "--list")
    assert status == 0
    assert len(lines) == 5
    assert lines[0].startswith("conv1.weight: 3x3, 3 -> 10")


FIRST = """
import sys, inspect, kernelstudy
{first}
from kernelstudy.compare import compare, main
assert kernelstudy.compare is sys.modules["kernelstudy.compare"]
assert kernelstudy.compare.main is main and callable(kernelstudy.compare)
assert "layout" in inspect.signature(kernelstudy.compare).parameters
assert not {{"jax", "pandas", "matplotlib"}} & set(sys.modules)
"""
NO_JAX = """
sys.modules["jax"] = sys.modules["flax"] = None
import numpy
kernels, figure = kernelstudy.compare(numpy.random.default_rng(0).standard_normal((3, 3, 1, 4)))
assert len(kernels["kernels"]) == 4
"""


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("import kernelstudy.compare", NO_JAX),
        ("kernelstudy.compare; import kernelstudy.compare", ""),
    ],
)
def test_the_name_is_module_and_function_in_either_order_and_needs_no_jax(first, then):
    code = FIRST.format(first=first) + then
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_two_lines_in_a_notebook():
    rng = np.random.default_rng(0)
    kernels = kernelstudy.family(2.0, rng.uniform(0, 7, 12)) * rng.uniform(1, 3, (12, 1, 1))
    noisy = kernels + 0.05 * rng.standard_normal(kernels.shape)
    tables, figure = kernelstudy.compare(noisy.transpose(1, 2, 0)[:, :, None])
    assert len(figure.axes) == 2
    assert set(tables) == {"kernels", "layer", "ladder"}
    assert (tables["kernels"]["q_r2"] < 0.05).all()
    found = kernelstudy.compare(noisy.transpose(1, 2, 0)[:, :, None])
    assert "12 of 12 kernels are derivative-like beyond chance" in str(found)
    assert found.measured[0].a.holds(2.0)
    assert abs(found.measured[0].a.a - 2) < 0.1


def test_torch_and_flax_modules_give_the_same():
    torch = pytest.importorskip("torch")
    net = files.torch_module()
    wanted = kernelstudy.compare(files.STEM).kernels
    for given in (net, net[0].weight, {"params": {"stem": {"kernel": files.STEM}}}):
        pd.testing.assert_frame_equal(kernelstudy.compare(given).kernels, wanted)
    assert isinstance(net[0], torch.nn.Conv2d)


def test_the_same_network_twice():
    """fer's emotion model in Keras and in TFLite, where its batch norm is folded into the filters."""
    keras, tflite = (
        kernelstudy.compare(DATA / name).kernels
        for name in ("fer_emotion_first.hdf5", "fer_emotion.tflite")
    )
    ratio = tflite["norm"] / keras["norm"]
    assert ratio.max() / ratio.min() > 1.5  # it is folded
    for name in ("dc", "odd", "a", "purity", "r2_sobel", "r2_sobel_centered", "best_abs_cos", "r2"):
        np.testing.assert_allclose(tflite[name], keras[name], rtol=1e-3, atol=1e-5)
    assert (keras["best"] == tflite["best"]).all()


def test_against_puts_two_side_by_side(tmp_path, capsys):
    other = DATA / "fer_emotion.tflite"
    status, lines, _ = run(capsys, DATA / "facenet_pnet.pt", "--against", other, "--out", tmp_path)
    assert status == 0
    table = pd.read_csv(tmp_path / "tables" / "kernels.csv")
    assert list(table["network"].unique()) == ["facenet_pnet.pt", "fer_emotion.tflite"]
    assert any(line.startswith("fer_emotion.tflite: ") for line in lines)
    assert "fer_emotion.tflite" in (tmp_path / "report.md").read_text()


def test_dead_and_constant_filters_are_flagged_counted_and_left_out():
    kernels = np.random.default_rng(1).standard_normal((3, 3, 1, 12))
    kernels[..., 3] *= 1e-4
    kernels[..., 4] = 0
    kernels[..., 5] = 0.7
    found = kernelstudy.compare(kernels)
    table = found.kernels
    assert dict(table["flag"].value_counts()) == {"": 9, "dead": 2, "constant": 1}
    assert list(table.index[~table["live"]]) == [3, 4, 5]
    assert table.loc[3:5, "q_best"].isna().all()
    assert table.loc[table["live"], "q_best"].notna().all()
    assert any("2 dead" in line and "1 constant of 12" in line for line in found.sentences)
    assert re.match(r"\d+ of 9 kernels", found.sentences[0])


def test_nothing_lives():
    for kernels in (np.zeros((3, 3, 1, 4)), np.ones((3, 3, 3, 4))):
        found = kernelstudy.compare(kernels)
        assert "none of the 4 kernels is alive" in str(found)
        assert len(found.kernels) == 4


def test_scale_of_filters_changes_no_measure_of_them():
    rng = np.random.default_rng(2)
    kernels = rng.standard_normal((3, 3, 3, 16))
    plain = kernelstudy.compare(kernels).kernels
    folded = kernelstudy.compare(kernels * rng.uniform(0.1, 3, 16)).kernels
    pd.testing.assert_frame_equal(folded.drop(columns="norm"), plain.drop(columns="norm"))
    whole = kernelstudy.compare(kernels * 1e-200).kernels
    pd.testing.assert_frame_equal(whole.drop(columns="norm"), plain.drop(columns="norm"))


@pytest.mark.parametrize(("size", "cin"), [(2, 1), (4, 3), (5, 1)])
def test_other_sizes(monkeypatch, size, cin):
    monkeypatch.setattr(network, "_GABOR_DRAWS", 9)
    found = kernelstudy.compare(np.random.default_rng(3).standard_normal((size, size, cin, 4)))
    assert found.kernels["r2"].between(0, 1).all()
    assert ("gabor_p" in found.kernels) == (size >= 5)
    assert found.kernels["theta"].isna().all()
    assert found.kernels["best"].eq("").all() == (size % 2 == 0)


def test_depthwise_first_layer():
    found = kernelstudy.compare(DATA / "keras3.keras", layer="dw")
    assert len(found.kernels) == 8
    assert any("depthwise" in note for note in found.opened[0].notes)


def test_a_space_to_depth_stem_is_compared_on_the_image():
    found = kernelstudy.compare(
        {"stem.kernel": np.random.default_rng(6).standard_normal((1, 1, 12, 5))}
    )
    assert found.measured[0].subject.kernels.shape == (1, 5, 2, 2)
    assert any("space-to-depth" in note for note in found.opened[0].notes)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((1, 1, 3, 8), "1x1, which have no shape in space: there is nothing to compare"),
        ((1, 2, 3, 8), "one shape alone"),
        ((64, 64, 1, 2), "the largest compared is 32"),
    ],
)
def test_kernels_that_nothing_can_be_said_of(tmp_path, capsys, shape, match):
    np.save(tmp_path / "w.npy", np.ones(shape))
    status, lines, error = run(
        capsys, tmp_path / "w.npy", "--layout", "hwio", "--out", tmp_path / "o"
    )
    assert (status, lines) == (2, [])
    assert match in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_wrong_arguments_are_one_sentence(tmp_path, capsys):
    np.save(tmp_path / "w.npy", np.ones((3, 3, 1, 2)))
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    weights = tmp_path / "w.npy"
    for words, match in (
        ([], "WEIGHTS"),
        ([weights], "--layout"),
        ([weights, "--layout", "chw"], "invalid choice: 'chw'"),
        ([weights, "--layout", "hwio", "--bank", "sobol"], "did you mean sobel"),
        (
            [weights, "--layout", "hwio", "--images", "imagenet"],
            "neither a directory nor one of the data sets",
        ),
        ([weights, "--layout", "hwio", "--images", tmp_path / "empty"], "holds no image"),
        ([weights, "--layout", "hwio", "--out", tmp_path / "file"], "is a file: name a directory"),
        ([weights, "--layout", "hwio", "--max-gib", "0"], "--max-gib"),
        ([weights, "--layout", "hwio", "--max-gib", "nan"], "--max-gib"),
        ([weights, "--layout", "hwio", "--against", tmp_path / "none.pt"], "none.pt is not there"),
        ([f"{weights}:he_normal"], "is no run directory"),
        ([DATA / "facenet_pnet.pt", "--layer", "conv9"], "is no layer"),
    ):
        status, lines, error = run(capsys, *words)
        assert (status, lines) == (2, []), words
        assert match in error, error
        assert len(error.splitlines()) == 1


def test_image_statistics_ask_the_third_null(tmp_path):
    rng = np.random.default_rng(4)
    for i in range(3):
        walk = rng.standard_normal((130, 140)).cumsum(0).cumsum(1)
        grey = np.uint8(255 * (walk - walk.min()) / np.ptp(walk))
        Image.fromarray(grey).save(tmp_path / f"{i}.png")
    found = kernelstudy.compare(DATA / "facenet_pnet.pt", images=str(tmp_path))
    assert list(found.ladder["null"]) == ["N0", "N2", "N3"]
    assert any("their spectra alone (N3)" in line for line in found.sentences)


def test_a_run_is_judged_over_its_seeds_and_a_network_within(trained, tmp_path, capsys):
    status, lines, _ = run(capsys, trained, "--out", tmp_path / "all")
    assert status == 0
    assert any(line.startswith("The kernels are derivative-like, ") for line in lines)
    ladder = pd.read_csv(tmp_path / "all" / "tables" / "ladder.csv")
    assert list(ladder["null"]) == ["N0", "N1", "N2", "N3"] * 2
    assert list(ladder["measure"]) == ["r2_centered"] * 4 + ["r2"] * 4
    assert (ladder["n"] == 7).all()
    assert pd.read_csv(tmp_path / "all" / "tables" / "kernels.csv")["seed"].nunique() == 7
    one = kernelstudy.compare(f"{trained}:sobel/frozen:2:4")
    assert any("1 seed, step 4" in line for line in one.introduction)
    assert any("The same network at step 0 (N1)" in line for line in one.sentences)
    assert "seed" not in one.kernels.columns


def test_image_statistics_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path))
    found = kernelstudy.compare(DATA / "facenet_pnet.pt", images="digits")
    assert found.images == "the training images of digits"
    assert list(found.ladder["null"]) == ["N0", "N2", "N3"]


def test_arms_with_images_of_their_own(tmp_path, monkeypatch):
    given = synthetic.trajectory()
    axes = given["patch_basis"]
    each = xr.concat(
        [axes, -axes.isel(component=slice(None, None, -1))], dim="arm", join="override"
    )
    monkeypatch.setattr(runs, "read_trajectory", lambda _: given.assign(patch_basis=each))
    for arm, wanted in zip(given["arm"].values, each.values, strict=True):
        read = run_directory.read(tmp_path, [str(arm)])
        np.testing.assert_array_equal(read.patch_basis, wanted.reshape(9, 9))


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (":none", "no arm 'none'; allowed are he_normal, sobel/frozen"),
        (":he_normal:77", "no seed '77'"),
        (":he_normal:1:5", "no step '5'; allowed are 0, 1, 4, 9"),
        (":he_normal:1:4:2", "no more"),
    ],
)
def test_what_a_run_does_not_have(trained, capsys, parts, match):
    status, _, error = run(capsys, f"{trained}{parts}")
    assert status == 2
    assert match in error


def test_the_default_bank_is_the_studies_own():
    root = Path(kernelstudy.__file__).parents[1]
    text = (root / "conf" / "bank" / "classical.yaml").read_text()
    assert list(CLASSICAL) == yaml.safe_load(text)["kernels"]


@pytest.mark.parametrize(
    ("package", "make"), [("onnx", "onnx"), ("h5py", "keras_h5"), ("tflite", "tflite")]
)
def test_a_missing_reader_is_named(monkeypatch, tmp_path, capsys, package, make):
    path = files.FORMATS[make][0](tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    status, _, error = run(capsys, path)
    assert status == 2
    assert f"needs the package {package} (pip install 'kernelstudy[" in error


def test_folders_of_folders_of_any_images(tmp_path):
    rng = np.random.default_rng(5)
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, shape in (("x.png", (130, 140)), ("a/y.png", (9, 70)), ("a/b/z.png", (2, 2))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    found = kernelstudy.compare(DATA / "facenet_pnet.pt", images=str(tmp_path))
    assert "2 of the 4 images" in found.images
    assert "1 could not be read" in found.images
    assert "bad.png" in found.images
    assert "1 smaller than the kernels" in found.images
    assert any("bad.png" in line for line in found.introduction)


@pytest.mark.parametrize(
    ("shape", "match"),
    [((48, 64, 3), "one colour image"), ((5, 3, 48, 64), "seem to be .N, C, H, W.")],
)
def test_axes_of_images_are_not_guessed(shape, match):
    with pytest.raises(ValueError, match=match):
        kernelstudy.compare(DATA / "facenet_pnet.pt", images=np.ones(shape))
    if len(shape) == 3:
        with pytest.raises(ValueError, match=match):
            kernelstudy.correlate(np.ones(shape), np.ones((3, 3)), padding="same")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_rounding_of_the_stored_type_does_not_exclude_an_operator(tmp_path, dtype):
    kernels = kernelstudy.family(2.0, np.arange(16) * np.pi / 16)[:, None].astype(dtype) / 3
    np.save(tmp_path / "w.npy", kernels.astype(dtype))
    (one,) = kernelstudy.compare(tmp_path / "w.npy", layout="oihw").measured
    assert one.a.holds(2.0)
    assert one.a.high - one.a.low < 0.02
    if dtype != "float16":  # float32's rounding is known again where its numbers were widened
        found = str(kernelstudy.compare(kernels.astype(float).transpose(2, 3, 1, 0)))
        assert re.search("at Sobel, .*holds Sobel and no other named operator", found)


def test_a_reader_that_leaves_is_no_error():
    words = [sys.executable, "-m", "kernelstudy.compare", str(DATA / "facenet_pnet.pt"), "--list"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 141)
    assert error == ""


def test_a_start_tells_what_training_added(tmp_path, capsys):
    rng = np.random.default_rng(6)
    before = rng.standard_normal((3, 3, 1, 24))
    added = kernelstudy.family(2.0, rng.uniform(0, 7, 24)).transpose(1, 2, 0)[:, :, None]
    for name, kernels in (("w0", before), ("w", before + added), ("other", before[..., :4])):
        np.savez(tmp_path / f"{name}.npz", conv=kernels, fc=np.ones((2, 2)))
    words = [tmp_path / "w.npz", "--layout", "hwio", "--out", tmp_path / "o"]
    status, lines, _ = run(capsys, *words, "--start", tmp_path / "w0.npz")
    assert status == 0
    share = np.linalg.norm(added) / np.linalg.norm(before)
    (told,) = [line for line in lines if line.startswith("start: w0.npz")]
    assert f"W - W0 has {share:.2g} of the start's norm, and a mean centred R² of 1.00" in told
    ladder = pd.read_csv(tmp_path / "o" / "tables" / "ladder.csv").set_index("null")
    assert list(ladder.index) == ["N0", "N1", "N2"]
    plain = kernelstudy.compare(before).ladder.set_index("null")
    assert ladder.loc["N1", "chance"] == pytest.approx(plain.loc["N0", "value"], rel=1e-6)
    assert ladder.loc["N1", "value"] == pytest.approx(ladder.loc["N0", "value"], rel=1e-6)
    assert not any("the start is not known" in line for line in lines)
    status, _, error = run(capsys, *words, "--start", tmp_path / "other.npz")
    assert status == 2
    assert "--start: the kernels of other.npz are (3, 3, 1, 4)" in error


def test_colour_filters_are_shown_in_colour(report):
    kernels = np.zeros((3, 3, 3, 4))
    kernels[0, 0, 0, 0], kernels[1, 1, 2, 1] = 2, -1
    pictures = kernelstudy.compare(kernels).kernels_rgb()
    assert pictures.shape == (4, 3, 3, 3)
    assert (pictures[0, 0, 0, 0], pictures[1, 1, 1, 2]) == (1, 0.25)
    assert (pictures[3] == 0.5).all()
    with pytest.raises(ValueError, match=r"must be .kh, kw, 3, out."):
        kernelstudy.compare(np.ones((3, 3, 1, 4))).kernels_rgb()
    assert (report / "figures" / "colour_0.png").stat().st_size > 1000


def kernels_file(place: Path, name: str, kernels: np.ndarray) -> Path:
    np.save(place / name, kernels.astype(np.float32))
    return place / name


def sobel_and_noise(seed: int, noise: float) -> np.ndarray:
    bank = np.stack(list(kernelstudy.bank(["sobel_x", "sobel_y"], 3).values()) * 6)
    kernels = bank / np.linalg.norm(bank, axis=(1, 2), keepdims=True)
    kernels = kernels + noise * np.random.default_rng(seed).standard_normal(kernels.shape)
    return kernels.transpose(1, 2, 0)[:, :, None, :]


@pytest.mark.slow
def test_several_networks_as_seeds(tmp_path, capsys):
    paths = [kernels_file(tmp_path, f"s{i}.npy", sobel_and_noise(i, 0.05)) for i in range(6)]
    words = [*paths, "--layout", "hwio", "--as", "seeds", "--out", tmp_path / "out"]
    status, lines, error = run(capsys, *words)
    assert (status, error) == (0, "")
    assert (
        lines[0]
        == "networks: 6, taken as trained alike: s0.npy, s1.npy, s2.npy, s3.npy, s4.npy, s5.npy"
    )
    assert "The kernels are derivative-like." in lines
    ladder = pd.read_csv(tmp_path / "out" / "tables" / "ladder.csv")
    assert (ladder["n"] == 6).all()
    assert len(pd.read_csv(tmp_path / "out" / "tables" / "kernels.csv")) == 72
    # the verdict is that of the same kernels as seeds of a run
    both = np.stack([np.load(path)[:, :, 0].transpose(2, 0, 1) for path in paths]).astype(float)
    from kernelstudy.analysis import judge
    from kernelstudy.analysis.ladder import derivative_plane

    verdict = judge(both, plane=derivative_plane(3))
    found = (
        kernelstudy.compare([str(p) for p in paths], as_="seeds", layout="hwio").measured[0].verdict
    )
    assert found.tier == verdict.tier
    status, _, error = run(
        capsys, *paths[:5], "--layout", "hwio", "--as", "seeds", "--out", tmp_path / "five"
    )
    assert status == 0
    assert "No tests over networks below 6" in (tmp_path / "five" / "report.md").read_text()


def test_seeds_with_their_starts(tmp_path):
    trained = [sobel_and_noise(i, 0.05) for i in range(6)]
    starts = [np.random.default_rng(50 + i).standard_normal(trained[0].shape) for i in range(6)]
    found = kernelstudy.compare(trained, start=starts, as_="seeds", layout="hwio")
    assert "N1" in set(found.ladder["null"])
    assert (found.ladder["n"] == 6).all()
    with pytest.raises(ValueError, match="2 starts of 6 networks"):
        kernelstudy.compare(trained, start=starts[:2], as_="seeds", layout="hwio")


def test_what_cannot_be_taken_together(tmp_path, capsys):
    small = kernels_file(tmp_path, "a.npy", sobel_and_noise(0, 1))
    large = kernels_file(tmp_path, "b.npy", np.random.default_rng(0).standard_normal((5, 5, 1, 12)))
    for words, told in (
        ([small, "--as", "seeds"], "two networks or more"),
        ([small, large, "--as", "seeds"], "as seeds: the kernels of b.npy are (5, 5, 1, 12)"),
        ([small, "--as", "steps"], "two checkpoints or more"),
        ([small, large, "--as", "steps"], "its layer is (3, 3, 1, 12)"),
        ([small, small, "--as", "steps", "--start", small], "--start does not go with --as steps"),
        ([small, large, "--layers", "all"], "and with one network"),
    ):
        status, _, error = run(capsys, *words, "--layout", "hwio", "--out", tmp_path / "out")
        assert status == 2, words
        assert told in error
        assert error.count("\n") == 1
    with pytest.raises(ValueError, match="empty"):
        kernelstudy.compare([])
    with pytest.raises(ValueError, match="Recorder"):
        kernelstudy.compare([small, small], as_="steps")


def test_several_networks_side_by_side(tmp_path):
    found = kernelstudy.compare([sobel_and_noise(i, 0.1) for i in range(3)], layout="hwio")
    assert found.kernels["network"].unique().tolist() == [
        "kernels (1)",
        "kernels (2)",
        "kernels (3)",
    ]
    assert len(repr(found)) < 600
    html = found._repr_html_()
    assert "data:image/png;base64," in html
    assert len(re.findall("<table", html)) == 1


def test_kernels_of_a_colour_network_are_shown_in_colour():
    sobel = kernelstudy.kernel("sobel_x")[:, :, None]
    weights = np.array([[1, 1, 1], [1, -1, 0]])  # a brightness edge, and one from red to green
    kernels = np.stack([sobel * colours for colours in weights], axis=-1)
    drawn = kernelstudy.compare(kernels, layout="hwio").figure
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert texts[:2] == ["in colour", "kernels"]
    in_colour = [image.get_array() for image in drawn.axes[0].images[1:]]
    assert len(in_colour) == 2
    for kernel in np.moveaxis(kernels, -1, 0):  # zero is mid-grey, the largest weight 0 or 1
        want = 0.5 + kernel / 4
        assert any(np.allclose(shown, want) for shown in in_colour)


def test_checkpoints_as_steps(tmp_path, capsys):
    steps = [0, 50, 1000]
    paths = [
        kernels_file(tmp_path, f"run3-epoch{i}-step{step}.npy", sobel_and_noise(7, 2 / (1 + step)))
        for i, step in enumerate(steps)
    ]
    words = [*paths[::-1], "--layout", "hwio", "--as", "steps", "--out", tmp_path / "out"]
    status, lines, error = run(capsys, *words)
    assert (status, error) == (0, "")
    assert "the numbers after 'step' in their names" in lines[1]
    trained = kernelstudy.open_run(tmp_path / "out", measures=True)
    assert trained["step"].values.tolist() == steps
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(trained["kernel"].values[0, 0, row], np.load(path))
    assert trained["r2_sobel_centered"].values[0, 0, -1] > 0.99
    assert (tmp_path / "out" / "report.html").exists()
    assert 'id="explorer-data"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["ckpt_10.pt", "ckpt_2.pt"], [10, 2]),
        (["epoch=0-step=100.ckpt", "epoch=1-step=200.ckpt"], [100, 200]),
        (["model_v2_epoch_3.pth", "model_v2_epoch_7.pth"], [3, 7]),
        (["first.pt", "last.pt"], [0, 1]),
        (["a1.pt", "b2.pt"], [0, 1]),
        (["checkpoint-500", "checkpoint-1000"], [500, 1000]),
        (
            ["/a/checkpoint-500/model.safetensors", "/a/checkpoint-1000/model.safetensors"],
            [500, 1000],
        ),
        (["model.ckpt-100", "model.ckpt-20"], [100, 20]),
        (["s1-2.pt", "s1-2.pt"], [0, 1]),
    ],
)
def test_steps_are_taken_from_names_or_order(names, steps):
    from kernelstudy.recording.checkpoints import steps_of

    assert steps_of(names)[0] == steps
