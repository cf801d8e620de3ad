"""What this study measures: how much of the variance over networks is of the draw, and how much of the seed."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kernelstudy.analysis.intervals import bootstrap_t_interval

SEEDS = 10  # of the study whose interval is asked about


class Variance(NamedTuple):
    """draws: (n,) one estimate a draw of the variance of draws, unbiased; seeds, rest: variances."""

    draws: np.ndarray
    seeds: float
    rest: float

    @property
    def ratios(self) -> np.ndarray:
        """The variance of draws over that of seeds and the rest, an estimate a draw."""
        return self.draws / (self.seeds + self.rest)


def variance(values: np.ndarray) -> Variance:
    """Parts of the variance of `values` (draw, seed), one network a cell: two-way analysis of variance with
    random effects and without replication (Searle, Casella & McCulloch 1992, section 4.3).

    A part whose estimate is below 0 is 0, but for the draws', whose mean is to stay unbiased.
    """
    draws, seeds = values.shape
    by_draw, by_seed = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_draw[:, None] - by_seed + values.mean()
    of_rest = float((rest**2).sum() / ((draws - 1) * (seeds - 1)))
    of_seeds = float(by_seed.var(ddof=1) - of_rest / draws)
    of_draws = (by_draw - by_draw.mean()) ** 2 * draws / (draws - 1) - of_rest / seeds
    return Variance(of_draws, max(of_seeds, 0.0), of_rest)


def table(networks: pd.DataFrame, measures: dict[str, str]) -> pd.DataFrame:
    """The standard deviations, arm by arm and measure by measure: arm, measure, draws, seeds, mean, sd_draws,
    sd_seeds, sd_rest, ratio (of the variances) with its 95% interval, wider (the interval of `SEEDS` seeds
    that also covers the draw, over the one that does not)."""
    rows = []
    for arm in dict.fromkeys(networks["arm"]):
        for column in measures:
            values = crossed(networks, arm, column)
            if min(values.shape) < 2:
                continue
            found = variance(values)
            ratio = max(float(found.ratios.mean()), 0.0)
            low, high = bootstrap_t_interval(found.ratios)
            sds = np.sqrt([max(found.draws.mean(), 0.0), found.seeds, found.rest])
            wider = np.sqrt(1 + SEEDS * ratio)
            rows.append((arm, column, *values.shape, values.mean(), *sds, ratio, low, high, wider))
    names = ["arm", "measure", "draws", "seeds", "mean", "sd_draws", "sd_seeds", "sd_rest"]
    return pd.DataFrame(rows, columns=[*names, "ratio", "ratio_low", "ratio_high", "wider"])


def crossed(networks: pd.DataFrame, arm: str, column: str) -> np.ndarray:
    """`column` (draw, seed) of an arm; a seed that is missing on a draw is left out of all."""
    mine = networks[(networks["arm"] == arm) & ~networks["diverged"].astype(bool)]
    wide = mine.pivot_table(index="data", columns="seed", values=column, sort=False)
    return wide.dropna(axis=1).to_numpy(float)
