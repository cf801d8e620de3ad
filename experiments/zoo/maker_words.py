"""Words that all parts of the zoo's page use: sides of a, means over makers, counts, verdicts."""

import numpy as np
import pandas as pd

from kernelstudy.analysis.inference import sign_flip_test
from kernelstudy.analysis.intervals import bootstrap_t_interval


def over_makers(values: dict[str, float], makers: pd.Series) -> str:
    """Mean over makers, each the mean of its networks, with its interval and the sign-flip p."""
    means = (
        pd.Series(values)
        .groupby(makers.reindex(list(values)).to_numpy())
        .mean()
        .dropna()
        .to_numpy()
    )
    if len(means) < 6:
        return f"{means.mean():.2f} (of {len(means)} makers)"
    low, high = bootstrap_t_interval(means)
    return (
        f"{means.mean():.2f} [{low:.2f}, {high:.2f}] over {len(means)} makers (sign-flip p = "
        f"{sign_flip_test(means):.2g})"
    )


def count_makers(part: pd.DataFrame) -> str:
    """'5 makers'."""
    count = part["maker"].nunique()
    return f"{count} makers" if count > 1 else "1 maker"


def count(part: pd.DataFrame, word: str) -> str:
    """'5 networks', of rows."""
    return f"1 {word}" if len(part) == 1 else f"{len(part)} {word}s"


def expected(number: str, claim: str, found: bool) -> str:
    """A hypothesis that was written down before, in words, with its number in the plan, and how it came out."""
    return f"Expected ({number}): {claim}. This {'holds' if found else 'does not hold'}."


def prewitts_side(a: pd.Series) -> pd.Series:
    """Which a lie nearer Prewitt's 1 than Sobel's 2; the middle, on the bounded scale of a, is √2."""
    return (a > 0) & (a < np.sqrt(2))


def sobels_side(a: pd.Series) -> pd.Series:
    """Which a lie on Sobel's side of that middle, or beyond."""
    return a >= np.sqrt(2)
