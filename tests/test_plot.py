"""The report's figures on Axes of one's own, and runs as Datasets."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import kernelstudy
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.runs.report import build
from tests.synthetic import BANK, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = make_run(tmp_path_factory.mktemp("plot") / "run")
    build(place)
    return kernelstudy.open_run(place, measures=True)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_run_is_a_described_dataset(run):
    for name, variable in run.variables.items():
        if name in ("kernel", "test_accuracy", "step", "feature_1", "top_place_2"):
            assert variable.attrs["long_name"], name
    assert run["step"].attrs["units"] == "step"
    assert run["kernel_2"].attrs["long_name"] == "kernels of layer 2"
    assert BANK.metric in run
    with pytest.raises(ValueError, match="is not a directory"):
        kernelstudy.open_run("no/such/run")


def test_kernels_are_those_of_the_run(run):
    axes = plt.subplots()[1]
    arm = str(run["arm"].values[1])
    drawn = kernelstudy.plot.kernels(run, axes, arm=arm, seed=1, step=2, columns=4)
    assert drawn is axes
    picture = np.asarray(axes.images[0].get_array())
    kernels = spatial_kernels(run)[1, 1, 2]
    size = kernels.shape[-1]
    np.testing.assert_allclose(picture[:size, :size], kernels[0] / np.abs(kernels).max())
    at = size + 1
    np.testing.assert_allclose(picture[at : at + size, :size], kernels[4] / np.abs(kernels).max())


def test_colour_kernels_are_in_colour():
    kernels = np.random.default_rng(0).standard_normal((5, 5, 3, 6))
    axes = kernelstudy.plot.kernels(kernels, columns=3)
    picture = np.asarray(axes.images[0].get_array())
    assert picture.shape == (11, 17, 3)
    expected = 0.5 + kernels[..., 0] / (2 * np.abs(kernels).max())
    np.testing.assert_allclose(picture[:5, :5], expected)
    grey = kernelstudy.plot.kernels(kernels[:, :, :1])
    assert np.asarray(grey.images[0].get_array()).ndim == 2


def test_measures_over_time(run):
    axes = kernelstudy.plot.over_time(run, BANK.metric, part="new")
    labels = [line.get_label() for line in axes.lines]
    assert run["arm"].values[0] in labels  # the other is frozen: it has no new part
    line = next(line for line in axes.lines if line.get_label() == run["arm"].values[0])
    expected = run[f"new_{BANK.metric}"].isel(arm=0).mean("seed").values
    np.testing.assert_allclose(line.get_ydata()[1:], expected[1:])
    shares = kernelstudy.plot.sectors(run, arm=str(run["arm"].values[0]))
    assert len(shares.lines) == 5


def test_what_cannot_be_drawn(run):
    for call, told in (
        (lambda: kernelstudy.plot.over_time(run, "likeness"), "is not one of"),
        (lambda: kernelstudy.plot.over_time(run, BANK.metric, part="old"), "part"),
        (lambda: kernelstudy.plot.kernels(run, arm="none"), "arm"),
        (lambda: kernelstudy.plot.kernels(run, step=99), "log points"),
        (lambda: kernelstudy.plot.kernels(np.zeros((3, 3))), "kernels must be"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
