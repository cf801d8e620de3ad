"""Part 6: how often means of 0 pass upwards where differences are skewed, by two tests."""

import numpy as np
import pandas as pd
from false_positives import LEVEL, binomial_interval

from kernelstudy.analysis import mean_test, sign_flip_test

# Differences of mean 0; the long tail of all but the first two lies below.
LAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Exp(1) - 1": lambda rng, shape: rng.exponential(size=shape) - 1,
    "1 - Exp(1)": lambda rng, shape: 1 - rng.exponential(size=shape),
    "Beta(6, 1) less its mean": lambda rng, shape: rng.beta(6, 1, shape) - 6 / 7,
    "Beta(2, 0.3) less its mean": lambda rng, shape: rng.beta(2, 0.3, shape) - 2 / 2.3,
}
TESTS = {"sign flips alone": sign_flip_test, "mean_test (the package's)": mean_test}


def run(studies: int, *, networks=(6, 10, 14)) -> pd.DataFrame:
    """A row for every law, number of networks and test."""
    rows = []
    for number, (law, draw) in enumerate(LAWS.items()):
        for n in networks:
            values = draw(np.random.default_rng([8, number, n]), (n, studies))
            up = values.mean(axis=0) > 0
            for name, test in TESTS.items():
                passed = int(np.sum(up & (test(values) <= LEVEL)))
                low, high = binomial_interval(passed, studies)
                rows.append((law, n, name, studies, passed / studies, low, high))
    return pd.DataFrame(rows, columns=["law", "networks", "test", "studies", "rate", "low", "high"])
