"""Measures of layers and of units against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from kernelstudy.analysis.representation import (
    PENALTY,
    effective_rank,
    linear_probe,
    order_of_layers,
    settling_step,
    way_level,
)
from kernelstudy.analysis.units import class_selectivity, dead

RNG = np.random.default_rng(0)


def test_effective_rank():
    basis = np.linalg.qr(RNG.standard_normal((60, 8)))[0]
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    for values, expected in (([1.0] * 8, 8), ([1.0], 1), ([1.0, 1.0], 2)):
        x = basis[:, : len(values)] * np.array(values) * 100 + 5
        assert effective_rank(x) == pytest.approx(expected, rel=1e-5)
    p = np.array([0.5, 0.3, 0.2])
    x = basis[:, :3] * p @ np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    assert effective_rank(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-5)
    assert effective_rank(x.repeat(30, axis=1)) == pytest.approx(effective_rank(x), rel=1e-5)
    assert np.isnan(effective_rank(np.ones((5, 3))))
    with pytest.raises(ValueError, match="features must be"):
        effective_rank(np.ones(3))


@pytest.mark.parametrize("powers", [(1,), (1, 2)], ids=["fewer features", "more than examples"])
def test_linear_probe_is_scikit_learns_classifier(powers):
    digits = load_digits()
    x, y = np.hstack([digits.data[:200] ** p for p in powers]), digits.target[:200]
    even, right = np.arange(200) % 2 == 0, 0
    for fit in (even, ~even):
        spread = x[fit].std(0)
        z = (x - x[fit].mean(0)) / np.where(spread > 0, spread, 1)
        model = RidgeClassifier(alpha=PENALTY).fit(z[fit], y[fit])
        right += (model.predict(z[~fit]) == y[~fit]).sum()
    assert linear_probe(x, y) == right / 200 > 0.8
    assert linear_probe(RNG.standard_normal((200, 5)), y) < 0.25
    assert np.isnan(linear_probe(x, np.zeros(200)))
    assert np.isnan(linear_probe(np.where(x == x.max(), np.nan, x), y))
    with pytest.raises(ValueError, match="labels must have shape"):
        linear_probe(x, y[:-1])


def test_settling():
    steps = [0, 1, 4, 9, 20]
    assert settling_step([0.2, 0.96, 0.9, 0.97, 1], steps) == 9
    assert settling_step([0.99, 0.99, 1, 1, 1], steps) == 0
    assert settling_step([0.1, 0.2, 0.3, 0.4, 1], steps) == 20
    assert np.isnan(settling_step([0.1, np.nan, 0.3, 0.4, 1], steps))
    assert way_level([0.5, 0.7, 1]) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="must be alike"):
        settling_step([1.0], steps)


def test_the_order_of_layers():
    up = np.array([[1, 5, 9]] * 7)
    tau, p, answer = order_of_layers(up)
    assert (tau == 1).all()
    assert (p, answer) == (2 / 2**7, "bottom-up")
    assert order_of_layers(up[:, ::-1])[2] == "top-down"
    assert order_of_layers(up[:5])[2] == "unresolved"  # too few networks
    assert order_of_layers(np.ones((8, 2)))[1:] == (1, "unresolved")
    mixed = np.where(np.arange(8)[:, None] % 2, [1, 2], [2, 1])
    assert order_of_layers(mixed)[2] == "unresolved"


def test_class_selectivity():
    labels = np.repeat([0, 1, 2, 3], 5)
    one, all_alike = (labels == 2).astype(float), np.ones(20)
    twice = np.where(labels == 1, 3.0, 1.0)
    found = class_selectivity(np.stack([one, all_alike, twice, 0 * one], 1), labels)
    np.testing.assert_allclose(found, [1, 0, 0.5, np.nan])
    with pytest.raises(ValueError, match="two classes"):
        class_selectivity(np.ones((4, 2)), [1, 1, 1, 1])


def test_dead_channels():
    features = np.zeros((2, 6, 4, 3))
    features[0, 3, 1, 0] = 1e-4
    features[1, ..., 2] = np.arange(4)  # a border, the same for every image
    np.testing.assert_array_equal(dead(features), [[False, True, True], [True] * 3])
