"""What the way tells beside the end: labels on the way, agreement of pairs of seeds, a reading of classes."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kernelstudy import runs
from kernelstudy.analysis import deep, labels, sectors
from kernelstudy.studies.plan import StudyRuns

KINDS = ("edge", "bar", "corner", "blob")
LAYERS = (1, 2, 3)
OF_CHANNELS = (
    *("labelled", "hidden", "passing", "early"),
    *("symmetric_start", "symmetric", "swapped"),
)
AT = 0.25  # of the steps: where labels are asked whether they tell the end


class Ways(NamedTuple):
    """channels: data, arm, layer, seed, labelled, hidden, passing (shares of channels), early (kappa), and
    of the layer's mean kernel, in layers past the first, symmetric_start, symmetric, swapped (shares of
    energy). courses: data, arm, layer, step, unit (seed or pair), measure (labelled, told, agreement,
    classes), value."""

    channels: pd.DataFrame
    courses: pd.DataFrame


def ways(found: StudyRuns) -> Ways:
    channels, courses = [], []
    for (data, *_), run in found.places.items():
        trajectory, settings = runs.read_trajectory(run), runs.read_settings(run)
        measured = deep.measure_channels(trajectory, [arm.starts_random for arm in settings.arms])
        layers = deep.measure_layers(trajectory)
        steps = trajectory["step"].values
        seeds = trajectory["probe_seed"].values
        quarter = int(np.abs(steps - AT * steps[-1]).argmin())
        for row, arm in enumerate(trajectory["arm"].values):
            kept = ~trajectory["diverged"].sel(seed=seeds).values[row]
            for layer in LAYERS:
                dims = ("arm", "probe_seed", "step", f"channel_{layer}")
                kind, form = (
                    measured[f"{name}_{layer}"].transpose(*dims).values[row].astype(str)
                    for name in ("kind", "form")
                )
                read = layers["probe_accuracy"].sel(layer=layer).values[row]
                key = (data, str(arm), layer)
                for column, seed in enumerate(seeds):
                    if not kept[column]:
                        continue
                    told = [told_by(at, form[column, -1]) for at in form[column]]
                    of_mean = (
                        symmetry(trajectory, layer, row, column) if layer > 1 else [np.nan] * 3
                    )
                    channels.append(
                        (*key, int(seed), *shares(kind[column]), told[quarter], *of_mean)
                    )
                    named = np.isin(kind[column], KINDS).mean(axis=1)
                    for measure, course in (
                        ("labelled", named),
                        ("told", told),
                        ("classes", read[column]),
                    ):
                        courses += [
                            (*key, int(step), int(seed), measure, float(value))
                            for step, value in zip(steps, course, strict=True)
                        ]
                answers = _answers(trajectory, layer, row)
                for first in range(0, len(seeds) - 1, 2):
                    pair = [first, first + 1]
                    if kept[pair].all():
                        courses += [
                            (*key, int(step), first // 2, "agreement", value)
                            for step, value in zip(
                                steps, agreed(answers[pair], form[pair]), strict=True
                            )
                        ]
    names = ["data", "arm", "layer"]
    return Ways(
        pd.DataFrame(channels, columns=[*names, "seed", *OF_CHANNELS]),
        pd.DataFrame(courses, columns=[*names, "step", "unit", "measure", "value"]),
    )


def shares(kind: np.ndarray) -> tuple[float, float, float]:
    """Of a network's channels, kinds (step, channel): the shares that have a label at the end, that had one
    on the way which the end does not show, and that had one kind on the way and end as another."""
    way, end = kind[1:-1], kind[-1]
    on_the_way = np.isin(way, KINDS) & (way != end)
    hidden = on_the_way.any(axis=0)
    ends_named = np.isin(end, KINDS)
    return ends_named.mean(), hidden.mean(), (hidden & ends_named).mean()


def told_by(at: np.ndarray, end: np.ndarray) -> float:
    """Cohen's kappa of the channels' labels with their own at the end; NaN where chance is 1."""
    return labels.agreement(at, end).kappa


def _answers(trajectory, layer: int, row: int) -> np.ndarray:
    """What channels of an arm answer to the examples, (seed, step, answer, channel)."""
    order = ("arm", "probe_seed", "step", "example", f"cell_{layer}", f"channel_{layer}")
    values = trajectory[f"feature_{layer}"].transpose(*order).values[row].astype(float)
    return values.reshape(*values.shape[:2], -1, values.shape[-1])


def agreed(answers: np.ndarray, form: np.ndarray) -> list[float]:
    """Kappa of two networks' labels (2, step, channel) at each log point, channels matched by their answers
    (2, step, answer, channel) at that point."""
    found = []
    for step in range(form.shape[1]):
        first, second = labels.matched(answers[0, step], answers[1, step])
        found.append(labels.agreement(form[0, step][first], form[1, step][second]).kappa)
    return found


def symmetry(trajectory, layer: int, row: int, column: int) -> tuple[float, float, float]:
    """Of the mean kernel of a deeper layer of one network: the share of energy that the square's symmetries
    leave alone, at the start and at the end, and at the end the share that is odd under a left-right
    swap."""
    order = (f"ky_{layer}", f"kx_{layer}", f"channel_{layer - 1}", f"channel_{layer}")
    at = trajectory[f"kernel_{layer}"].isel(arm=row, probe_seed=column, step=[0, -1])
    means = at.transpose("step", *order).values.astype(float).mean((-2, -1))
    still = sectors(means)[:, :2].sum(-1)  # dc and isotropic
    odd = (means[1] - means[1][:, ::-1]) / 2
    return float(still[0]), float(still[1]), float((odd**2).sum() / (means[1] ** 2).sum())


def best_before_the_end(courses: np.ndarray) -> np.ndarray:
    """Courses (unit, step): how far each lies, at the step before the end at which all others are highest on
    average, above its own end. Step 0, which is before any training, is no such step."""
    away = []
    for row, mine in enumerate(courses):
        mean = np.nanmean(np.delete(courses, row, axis=0)[:, 1:-1], axis=0)
        away.append(mine[1:-1][int(np.nanargmax(mean))] - mine[-1])
    return np.array(away)


def course(table: pd.DataFrame, data: str, arm: str, layer: int, measure: str) -> pd.DataFrame:
    """(unit, step) of one course; empty where there is none."""
    mine = table[
        (table["data"] == data)
        & (table["arm"] == arm)
        & (table["layer"] == layer)
        & (table["measure"] == measure)
    ]
    return mine.pivot_table(index="unit", columns="step", values="value", dropna=False)
