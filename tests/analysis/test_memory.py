"""Memory of the start and the new part, against closed forms."""

import numpy as np
import pytest

from kernelstudy.analysis.memory import memory_of_kernels, memory_of_start, new_part

RNG = np.random.default_rng(0)
START = RNG.normal(size=(5, 8, 3, 3))


def test_a_decayed_start_is_remembered_whole():
    """Weight decay alone: W = c W0. All of W is its start, though little is left of it, and none is new."""
    found = memory_of_start(START, 0.1 * START)
    np.testing.assert_allclose(found.memory, 1)
    np.testing.assert_allclose(found.cos_start, 1)
    np.testing.assert_allclose(found.start_left, 0.1)
    assert not new_part(START, 0.1 * START).any()
    np.testing.assert_allclose(memory_of_start(START, -START).cos_start, -1)


def test_it_is_the_share_of_energy_that_a_regression_on_the_start_explains():
    kernels = 0.3 * START + RNG.normal(size=START.shape)
    found = memory_of_start(START, kernels)
    each = memory_of_kernels(START, kernels)
    for net in range(5):
        x, y = START[net].ravel(), kernels[net].ravel()
        slope, residual = np.linalg.lstsq(x[:, None], y, rcond=None)[:2]
        np.testing.assert_allclose(found.start_left[net], slope[0])
        np.testing.assert_allclose(found.memory[net], 1 - residual[0] / (y @ y))
        x, y = START[net, 2].ravel(), kernels[net, 2].ravel()
        np.testing.assert_allclose(each.cos_start[net, 2], x @ y / np.sqrt(x @ x * (y @ y)))


def test_the_new_part_is_what_was_added_across_the_start():
    added = RNG.normal(size=START.shape)
    inner = (added * START).sum((-2, -1)) / (START**2).sum((-2, -1))
    across = added - inner[..., None, None] * START
    np.testing.assert_allclose(new_part(START, 0.4 * START + across), across, atol=1e-12)
    new = new_part(START, added)
    np.testing.assert_allclose((new * START).sum((-2, -1)), 0, atol=1e-12)


def test_forgotten_starts_have_chance_memory():
    """Independent isotropic kernels: the squared cosine of d taps averages 1/d."""
    one, other = np.random.default_rng(1).normal(size=(2, 20_000, 3, 3))
    np.testing.assert_allclose(memory_of_kernels(one, other).memory.mean(), 1 / 9, rtol=0.03)


def test_zeros_have_no_memory_and_are_all_new():
    kernels = RNG.normal(size=(2, 3, 3, 3))
    zero = np.zeros_like(kernels)
    np.testing.assert_array_equal(new_part(zero, kernels), kernels)
    for found in (memory_of_start(zero, kernels), memory_of_start(kernels, zero)):
        assert np.isnan(found.memory).all()
    with pytest.raises(ValueError, match="kernels"):
        memory_of_start(np.zeros(3), np.zeros(3))
