"""What is said to be seen in a figure is in what is drawn."""

import numpy as np
import pytest
import xarray as xr

from kernelstudy.analysis.deep_tables import Deeper
from kernelstudy.analysis.trajectory import final_matches, measure_trajectory
from kernelstudy.reporting import deep_words, figure_titles
from tests.synthetic import trajectory

BANK = ["sobel_x", "sobel_y", "laplacian4"]
METRIC = "r2_sobel_centered"
NAMES = {"he_normal": "random start"}


@pytest.fixture(scope="module")
def made():
    return trajectory()


@pytest.fixture(scope="module")
def analysis(made):
    return measure_trajectory(made, BANK)


def test_arms_above_chance_are_counted(analysis):
    said = figure_titles.lead(analysis, METRIC)
    means = analysis[METRIC].isel(step=-1).mean("seed").values
    assert said == (
        "More like edge detectors than random kernels after training: 1 of 2 arms "
        f"(R² {means.max():.2f}, by chance 0.25)"
    )
    # the update of the frozen arm is none
    assert "training added in 1 of 1" in figure_titles.parts(analysis, METRIC)
    only = analysis.isel(arm=[0])
    assert ": the only arm (R²" in figure_titles.lead(only, METRIC)
    assert "0 of 2 arms" in figure_titles.lead(
        analysis.assign({METRIC: 0 * analysis[METRIC]}), METRIC
    )


def test_the_largest_change_is_named_in_words(analysis):
    said = figure_titles.change(analysis, METRIC, NAMES)
    start, end = analysis[METRIC].sel(arm="he_normal").isel(step=[0, -1]).mean("seed").values
    assert said.endswith(f"most in 'random start': from {start:.2f} to {end:.2f}")


def test_kernels_that_leave_their_start_and_that_stay(analysis):
    cosine = float(analysis["cos_start"].sel(arm="he_normal").isel(seed=0, step=-1))
    assert f"(cosine {cosine:.2f})" in figure_titles.kernels_of(analysis, "he_normal", NAMES)
    said = figure_titles.kernels_of(analysis, "sobel/frozen", NAMES)
    assert said == "'sobel/frozen': the kernels stay as they start"


def test_best_matches_before_and_after(made):
    found = final_matches(made, BANK)
    said = figure_titles.matches(found.trained, found.untrained, "the kernels", NAMES)
    for source in (found.trained, found.untrained):
        best = source["best_abs_cos"].values
        name = source["best"].values.ravel()[best.argmax()]
        assert f"a cosine of {best.max():.2f} with {name}" in said


def test_half_of_the_gradient_energy(made):
    found = final_matches(made, BANK).trained
    low, high = map(float, figure_titles.portrait(found).split("between ")[1].split(" and "))
    energy = (found["odd"] * found["norm"] ** 2).values
    inside = energy[(found["a"] >= low - 0.01) & (found["a"] <= high + 0.01)].sum() / energy.sum()
    assert abs(inside - 0.5) < 0.1


def test_nothing_left_is_told(analysis):
    gone = analysis.where(False)
    gone["null_mean"] = analysis["null_mean"]
    for said in (
        figure_titles.lead(gone, METRIC),
        figure_titles.change(gone, METRIC, NAMES),
        figure_titles.performance(gone, NAMES),
        figure_titles.kernels_of(gone, "he_normal", NAMES),
    ):
        assert "diverged" in said or said == "No accuracy is known"


def settled(networks: int) -> Deeper:
    steps = np.tile([3.0, 7.0], (1, networks, 1))
    dims = ("arm", "probe_seed", "layer")
    names = dict.fromkeys(("settled", "settled_way"), (dims, steps))
    layers = xr.Dataset(names, coords={"arm": ["he_normal"], "layer": [1, 2]})
    return Deeper(xr.Dataset(), layers, xr.Dataset())


def test_which_layer_settles_first_is_told_once_there_is_a_test():
    few = deep_words.settling_sentences(settled(5))
    assert few == [
        "5 networks an arm are too few to tell which layer settles first: a test takes 6 (probe_seeds=6)."
    ]
    said = deep_words.settling_sentences(settled(6))
    assert said[0].startswith(
        "Bottom-up or not? Of 1 arms, by CKA with the final state: 1 bottom-up"
    )
    assert "layer 1 at step 3 (3 to 3), layer 2 at step 7 (7 to 7)" in said[1]
