"""Arms at equal memory, on curves whose answer is known."""

import numpy as np
import pytest

from kernelstudy.studies.equal_memory import difference, first_at

STEPS = np.arange(5)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(1.0, 0.2), (0.9, 0.25), (0.8, 0.3), (0.65, 0.45), (0.2, 0.7), (0.1, np.nan)],
)
def test_a_value_is_read_where_memory_first_comes_to_a_level(level, expected):
    memory, value = np.array([1, 0.8, 0.5, 0.6, 0.2]), np.array([0.2, 0.3, 0.6, 0.9, 0.7])
    assert first_at(memory, value, level) == pytest.approx(expected, nan_ok=True)


def test_what_is_not_known_is_stepped_over():
    memory, value = np.array([1, np.nan, 0.5]), np.array([np.nan, 0.3, 0.6])
    assert first_at(memory, value, 0.5) == 0.6
    assert first_at(memory, value, 0.7) == 0.6  # nothing is known before


def test_one_curve_of_memory_shows_no_difference_however_fast_it_is_run():
    slow, fast = np.exp(-STEPS / 10), np.exp(-STEPS / 2)
    line = lambda memory: 0.25 + 0.4 * (1 - memory)  # noqa: E731
    level, less = difference((fast, line(fast)), (slow, line(slow)))
    assert level == pytest.approx(slow[-1])
    assert less == pytest.approx(0)
    assert line(fast)[-1] - line(slow)[-1] > 0.2


def test_a_difference_at_equal_memory_is_found():
    memory = np.linspace(1, 0.2, 5)
    assert difference((memory, 1 - memory), (memory, 1.5 - memory)) == pytest.approx((0.2, -0.5))
