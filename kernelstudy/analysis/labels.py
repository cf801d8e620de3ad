"""A short label for a channel, by a declared rule, and how far seeds agree on it.

Three indices say how strongly a channel prefers one thing: the length of the mean of its orientation
resultants over gratings of every frequency, edges and bars (an orientation must hold for all of them:
rectified random channels prefer another for each), and how far the best corner, and the best spot, stand
above all other local stimuli. Random kernels prefer
something, too: a channel is called 'unselective' unless its largest index, in units of what untrained
channels of the same layer have, exceeds 95% of theirs. So untrained networks are 'unselective' at a rate
of 95% by construction, and what training adds shows as more labels than that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

RATE = 0.95  # of untrained channels that are called unselective
UNSELECTIVE, DEAD = "unselective", "dead"
INDICES = ("orientation", "corner", "blob")
BAR = 1.2  # times as much as to the best edge does a 'bar' channel answer to the best bar
FINE, COARSE = 0.2, 0.15  # cycles a pixel


class Labels(NamedTuple):
    """Of channels, arrays of strings of one shape. `kind`: edge, bar, corner, blob, unselective or dead;
    `direction` (vertical, ...) and `grain` (fine, coarse or neither) of edges and bars, '' for others."""

    kind: np.ndarray
    direction: np.ndarray
    grain: np.ndarray

    @property
    def form(self) -> np.ndarray:
        """Kind with its direction: 'horizontal edge'."""
        return np.char.lstrip(np.char.add(np.char.add(self.direction, " "), self.kind))

    @property
    def words(self) -> np.ndarray:
        """All of it: 'horizontal edge, fine'."""
        grain = np.where(self.grain == "", "", np.char.add(", ", self.grain))
        return np.char.add(self.form, grain)


class Threshold(NamedTuple):
    """What untrained channels have: middle and spread of each index, and where their largest ends."""

    middle: np.ndarray  # (3,)
    spread: np.ndarray  # (3,)
    level: float
    channels: int


class Agreement(NamedTuple):
    """How often matched channels of two networks have one label, and how often shuffled ones would."""

    observed: float
    chance: float

    @property
    def kappa(self) -> float:
        """Cohen's: what there is of agreement beyond chance; NaN where chance is 1."""
        return (
            (self.observed - self.chance) / (1 - self.chance) if self.chance < 1 else float("nan")
        )


def threshold(untrained: ArrayLike, *, rate: float = RATE) -> Threshold:
    """From the indices (channel, 3) of untrained channels; those that answer nothing (NaN) are left out."""
    x = np.asarray(untrained, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != len(INDICES):
        raise ValueError(f"untrained must be (channel, {len(INDICES)}), not {x.shape}")
    x = x[np.isfinite(x).all(axis=1)]
    if not len(x):
        return Threshold(np.zeros(3), np.ones(3), np.inf, 0)
    middle = np.median(x, axis=0)
    spread = np.quantile(x, rate, axis=0) - middle
    spread = np.where(spread > 0, spread, 1.0)
    largest = ((x - middle) / spread).max(axis=1)
    return Threshold(middle, spread, float(np.quantile(largest, rate, method="higher")), len(x))


def label(
    indices: ArrayLike,
    orientation: ArrayLike,
    frequency: ArrayLike,
    bar: ArrayLike,
    is_dead: ArrayLike,
    chance: Threshold,
) -> Labels:
    """Labels of channels, arrays of one shape (`indices` has a last axis of 3).

    orientation: degrees, in which brightness changes; frequency: cycles a pixel; bar: whether the best
    bar is answered more than the best edge by a factor `BAR`.
    """
    x = np.asarray(indices, dtype=np.float64)
    scores = np.nan_to_num((x - chance.middle) / chance.spread, nan=-np.inf)
    best, index = scores.max(axis=-1), scores.argmax(axis=-1)
    kind = np.array(["edge", "corner", "blob"])[index]
    kind = np.where((index == 0) & np.asarray(bar), "bar", kind)
    kind = np.where(best > chance.level, kind, UNSELECTIVE)
    kind = np.where(np.asarray(is_dead), DEAD, kind)
    oriented = np.isin(kind, ("edge", "bar"))
    turned = np.nan_to_num(np.asarray(orientation, dtype=np.float64)) % 180
    names = np.array(["vertical", "diagonal", "horizontal", "diagonal"])
    way = names[((turned + 22.5) % 180 // 45).astype(int)]
    f = np.asarray(frequency, dtype=np.float64)
    grain = np.where(f >= FINE, "fine", np.where(f <= COARSE, "coarse", ""))
    return Labels(kind, np.where(oriented, way, ""), np.where(oriented, grain, ""))


def matched(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Channels of two networks in pairs, by the correlation of their answers to the same images.

    first, second: (answer, channel) -> rows, columns of the pairs, those that add up to the most
    (Hungarian method; Li et al. 2016 match so). Channels that never vary correlate with none.
    """
    units = []
    for x in (first, second):
        x = np.asarray(x, dtype=np.float64)
        x = x - x.mean(axis=0)
        norm = np.linalg.norm(x, axis=0)
        units.append(x / np.where(norm > 0, norm, np.inf))
    return scipy.optimize.linear_sum_assignment(units[0].T @ units[1], maximize=True)


def agreement(first: ArrayLike, second: ArrayLike) -> Agreement:
    """Of the labels of matched channels, (channel,) each, in the order of the pairs.

    Chance: the expectation over all ways to pair them, exactly.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"labels must be (channel,) alike, not {a.shape} and {b.shape}")
    chance = sum(float((a == name).mean() * (b == name).mean()) for name in np.unique(a))
    return Agreement(float((a == b).mean()), chance)
