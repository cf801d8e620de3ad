"""First layers that see three colours: shown in colour, and how their energy divides among colours."""

import numpy as np
import pytest

from kernelstudy.analysis import opponent_shares, tables
from kernelstudy.analysis.kernels import usable_bank
from kernelstudy.analysis.trajectory import final_matches, measure_trajectory, spatial_kernels
from kernelstudy.reporting import galleries, lead
from kernelstudy.reporting.colour import filters_of
from kernelstudy.runs.report import make
from tests.synthetic import BANK, make_run, trajectory


@pytest.fixture
def made():
    return trajectory(cin=3, size=5)


def test_a_report_begins_with_the_filters_in_colour(made):
    kernels, filters = spatial_kernels(made), filters_of(made)
    analysis = measure_trajectory(made, BANK.kernels, kernels=kernels)
    nearest = final_matches(made, BANK.kernels, kernels=kernels).trained["best"]
    bank = usable_bank(BANK.kernels, 5)
    figure = lead.before_and_after(
        kernels, analysis, nearest, bank, "r2_sobel_centered", {}, filters=filters[:, :, [0, -1]]
    )
    shown = [image.get_array() for image in figure.axes[0].images]
    shown = [np.asarray(picture) for picture in shown if picture.ndim == 3]
    channels = made.sizes["cout"]
    assert len(shown) == 2 * 2 * channels  # arms, start and end
    for row, step in enumerate((0, -1)):  # of the first arm
        weights = made["kernel"].isel(arm=0, seed=0, step=step).values
        for i in range(channels):
            wanted = 0.5 + weights[..., i] / (2 * np.abs(weights).max())
            np.testing.assert_allclose(shown[row * channels + i], wanted, atol=1e-6)


def test_filters_over_time_are_shown_in_colour(made):
    figure = galleries.kernels_over_time(made, filters_of(made), 0, in_colour=True)
    values, updates = (np.asarray(image.get_array()) for image in figure.axes[0].images)
    assert values.shape == updates.shape
    np.testing.assert_array_equal(values[:5, :5, 3], 1)
    np.testing.assert_array_equal(values[5, :, 3], 0)  # between two steps
    np.testing.assert_array_equal(updates[:5, :5, :3], 0.5)  # nothing is added at step 0
    last = made["kernel"].isel(arm=0, seed=0, step=-1).values
    wanted = 0.5 + last[..., 0] / (2 * np.abs(last).max())
    np.testing.assert_allclose(values[-5:, :5, :3], wanted, atol=1e-6)


def test_how_the_energy_divides_among_colours_has_chance_beside_it(made):
    patterns = np.random.default_rng(0).standard_normal((7, 5, 5, 1, 5))
    kernel = made["kernel"].copy()
    kernel[0, :, -1] = patterns * np.array([1.0, 1.0, 1.0])[:, None]
    kernel[1, :, -1] = patterns * np.array([1.0, 0.0, -1.0])[:, None]  # a quarter and three
    analysis = measure_trajectory(made.assign(kernel=kernel), BANK.kernels)
    table = tables.colours(analysis).set_index(["arm", "axis"])
    arms = made["arm"].values
    np.testing.assert_allclose(table.loc[arms[0], "value"], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(table.loc[arms[1], "value"], [0, 0.25, 0.75], atol=1e-9)
    assert (table["p"] < 0.05).all()
    start = opponent_shares(made["kernel"].isel(arm=0, step=0).values).mean((0, 1))
    np.testing.assert_allclose(table.loc[arms[0], "start"], start)  # every filter lives
    untouched = tables.colours(measure_trajectory(made, BANK.kernels)).set_index(["arm", "axis"])
    assert (untouched.loc[arms[1], "p"] > 0.01).all()  # noise that has not been trained
    assert (untouched["chance"] == 1 / 3).all()


def test_a_run_s_report_tells_of_colours(tmp_path):
    run = make_run(tmp_path / "run", cin=3)
    make(run)
    assert "by chance each is 33%" in (run / "report.md").read_text()
    assert (run / "tables" / "colours.csv").is_file()
