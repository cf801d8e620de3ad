"""Tuning measures against closed forms."""

import numpy as np
import pytest

from kernelstudy import handcrafted
from kernelstudy.analysis.tuning import (
    circular_variance,
    direction_of,
    kind_index,
    on_off,
    orientation_selectivity,
    preferred_frequency,
    preferred_orientation,
    tuning_curve,
)
from kernelstudy.data import stimuli

ANGLES = stimuli.angles()


def test_one_orientation_no_orientation_and_a_rectified_derivative():
    one = np.eye(16)[5]
    assert circular_variance(one, ANGLES) == pytest.approx(0, abs=1e-12)
    assert circular_variance(np.ones(16), ANGLES) == pytest.approx(1)
    # the integral of |cos t| cos 2t over that of |cos t| is 1/3
    fine = np.arange(4096) * np.pi / 4096
    assert circular_variance(np.abs(np.cos(fine)), fine) == pytest.approx(2 / 3, abs=1e-6)
    assert orientation_selectivity(one) == orientation_selectivity(np.cos(ANGLES) ** 2) == 1
    assert orientation_selectivity(np.ones(16)) == 0
    assert orientation_selectivity(2 + np.cos(2 * ANGLES)) == pytest.approx(1 / 2)


@pytest.mark.parametrize("turn", [0, 3, 8, 15])
def test_a_turned_curve_has_the_turned_orientation(turn):
    curve = np.roll(np.exp(np.cos(2 * ANGLES)), turn)
    away = preferred_orientation(curve, ANGLES) - turn * 11.25
    assert (away + 90) % 180 - 90 == pytest.approx(0, abs=1e-9)  # 0 is 180
    # von Mises: the resultant is a ratio of Bessel functions
    from scipy.special import iv

    assert circular_variance(curve, ANGLES) == pytest.approx(1 - iv(1, 1) / iv(0, 1), abs=1e-9)


@pytest.mark.parametrize("below", [1e-17, 1e-16, 1e-15, 1e-9])
def test_an_orientation_next_to_0_is_never_180(below):
    curve = 1 + np.cos(2 * (ANGLES + below))
    assert 0 <= preferred_orientation(curve, ANGLES) < 180
    assert 0 <= direction_of(np.exp(-2j * below)) < 180
    assert np.isnan(direction_of(np.nan))


def test_preferred_frequency_and_its_curve():
    gratings = np.zeros((2, 16, 5))
    gratings[0, 4, 3], gratings[1, 9, 0] = 2, 1
    np.testing.assert_array_equal(
        preferred_frequency(gratings, stimuli.FREQUENCIES), [1 / 4, 1 / 16]
    )
    curve, index = tuning_curve(gratings)
    assert list(index) == [3, 0]
    np.testing.assert_array_equal(curve.argmax(-1), [4, 9])


def test_on_off_and_kinds():
    np.testing.assert_allclose(on_off([3, 1, 2, -1], [1, 3, 2, 2]), [0.5, -0.5, 0, -1])
    kinds = ["edge", "blob", "blob"]
    np.testing.assert_allclose(kind_index([[1, 3, 2], [2, 0, 1]], kinds, "blob"), [0.5, -1 / 3])
    with pytest.raises(ValueError, match="kinds must hold 'corner'"):
        kind_index([[1, 2, 3]], kinds, "corner")


def test_silence_is_nan_and_bad_input_is_refused():
    silent = np.zeros(16)
    for found in (circular_variance(silent, ANGLES), preferred_orientation(silent, ANGLES)):
        assert np.isnan(found)
    assert np.isnan(orientation_selectivity(silent))
    assert np.isnan(on_off(0, 0))
    assert np.isnan(preferred_frequency(np.zeros((16, 5)), stimuli.FREQUENCIES))
    with pytest.raises(ValueError, match="must not be negative"):
        circular_variance(-np.ones(16), ANGLES)
    with pytest.raises(ValueError, match="16 values"):
        circular_variance(np.ones(8), ANGLES)
    with pytest.raises(ValueError, match="even number"):
        orientation_selectivity(np.ones(3))


def test_gratings_have_the_images_mean_and_variance_and_turn_the_right_way():
    made = stimuli.gratings(32, 32)
    assert made.shape == (16, 5, 4, 32, 32)
    np.testing.assert_allclose(made.mean((2, 3, 4)), 0, atol=1e-9)  # phases cancel
    np.testing.assert_allclose((made**2).mean((2, 3, 4)), 1, atol=1e-9)
    # Sobel x answers most where brightness changes along x, and by its transfer function
    sobel = handcrafted.kernel("sobel_x", 3)
    windows = np.lib.stride_tricks.sliding_window_view(made, (3, 3), (-2, -1))
    energy = ((windows * sobel).sum((-2, -1)) ** 2).mean((2, 3, 4))
    f, t = 2 * np.pi * np.array(stimuli.FREQUENCIES), ANGLES[:, None]
    gain = 2 * np.sin(f * np.cos(t)) * (2 + 2 * np.cos(f * np.sin(t)))
    np.testing.assert_allclose(energy, gain**2, rtol=1e-6, atol=1e-9)
    assert list(energy.argmax(0)) == [0] * 5


def test_local_stimuli():
    named, made = stimuli.local(20, 22)
    assert len(named) == len(made)
    assert {s.kind for s in named} == {"edge", "ramp", "bar", "corner", "blob", "impulse", "plain"}
    of = {(s.kind, s.direction, s.polarity): image for s, image in zip(named, made, strict=True)}
    assert of["edge", 0.0, 1][10, 20] > 1 > -1 > of["edge", 0.0, 1][10, 2]
    assert of["edge", 90.0, 1][18, 11] > 1 > -1 > of["edge", 90.0, 1][2, 11]
    np.testing.assert_array_equal(of["bar", 0.0, 1], -of["bar", 0.0, -1])
    assert np.ptp(of["bar", 0.0, 1], axis=0).max() == 0  # a bar of direction x is vertical
    assert (of["corner", 0.0, 1] > 0).mean() == pytest.approx(0.25, abs=0.06)
    plain = [image for s, image in zip(named, made, strict=True) if s.kind == "plain"]
    assert sorted(image[0, 0] for image in plain) == pytest.approx([-1, 0, 1])
    assert all(np.ptp(image) == 0 for image in plain)
