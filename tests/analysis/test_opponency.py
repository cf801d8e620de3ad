"""Shares of colour filters on the opponent axes: closed forms, and their own null."""

import numpy as np
import pytest
from scipy import stats

from kernelstudy.analysis import layer_opponency, opponent_shares


def filters(colours, size=3, seed=0):
    """(size, size, 3, n): each colour on a pattern of its own."""
    patterns = np.random.default_rng(seed).standard_normal((size, size, len(colours)))
    return patterns[:, :, None, :] * np.asarray(colours, float).T


def test_pure_colours_lie_on_one_axis_each():
    shares = opponent_shares(filters([[1, 1, 1], [-2, 2, 0], [1, 1, -2], [1, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(shares[:3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(shares[3], [1 / 3, 1 / 2, 1 / 6])
    assert np.isnan(shares[4]).all()
    both = opponent_shares(filters([[1, 0, 0]])[:, :, ::-1])  # read as B, G, R
    np.testing.assert_allclose(both[0, 0], 1 / 3)


def test_shares_sum_to_one_at_any_scale():
    kernels = np.random.default_rng(1).standard_normal((2, 5, 5, 3, 7)) * 1e-200
    shares = opponent_shares(kernels)
    assert shares.shape == (2, 7, 3)
    np.testing.assert_allclose(shares.sum(-1), 1)
    with pytest.raises(ValueError, match="3, out"):
        opponent_shares(np.ones((3, 3, 1, 4)))


def test_the_null_holds_its_level_for_filters_of_one_colour_and_of_many():
    rng = np.random.default_rng(2)
    for rank in (1, 3):
        p = []
        for seed in range(200):
            if rank == 1:
                kernels = filters(rng.standard_normal((6, 3)), seed=seed)
            else:
                kernels = rng.standard_normal((3, 3, 3, 6))
            p.append(layer_opponency(kernels, draws=400).p)
        assert (np.mean(np.array(p) <= 0.05, axis=0) < 0.1).all()
        assert stats.kstest(np.array(p)[:, 0], "uniform").pvalue > 1e-3


def test_an_opponent_layer_is_told_from_chance():
    found = layer_opponency(filters([[1, -1, 0.1]] * 16))
    assert found.value[1] > 0.95
    assert found.p[1] < 0.01
    assert found.low[0] < 1 / 3 < found.high[0]
    with pytest.raises(ValueError, match="zero"):
        layer_opponency(np.zeros((3, 3, 3, 2)))
