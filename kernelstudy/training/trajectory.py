"""What training leaves behind, as the labelled arrays that everything after it reads."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernelstudy.analysis import patch_pca
from kernelstudy.config import Study
from kernelstudy.data import feed, stimuli
from kernelstudy.data.images import Images
from kernelstudy.training.responses import STATISTICS, WHAT, Subjects

if TYPE_CHECKING:
    import xarray as xr


class Log(NamedTuple):
    """What one group of networks leaves behind; L log points, S steps."""

    kernels: np.ndarray  # (arm, seed, L, ky, kx, cin, cout)
    accuracies: dict[str, np.ndarray]  # test_accuracy (arm, seed, L), and val_accuracy
    losses: np.ndarray  # (S, arm, seed)
    watched: dict[str, np.ndarray]  # (arm, seed, L, ...), of those of its seeds that are watched


def trajectory(
    study: Study,
    data: Images,
    seen: feed.Variants,
    subjects: Subjects,
    watched: list[int],
    logs: list[Log],
) -> "xr.Dataset":
    """What `train_population` returns, from the logs of its groups."""
    import xarray as xr  # slow to import, and needed only when all is trained

    kernels = np.concatenate([log.kernels for log in logs], 1)
    accuracies = {
        name: np.concatenate([log.accuracies[name] for log in logs], 1)
        for name in logs[0].accuracies
    }
    losses = np.concatenate([log.losses for log in logs], 2)
    of_spans = [mean_loss(losses, a, b) for a, b in itertools.pairwise([0, *study.log_steps])]
    of_spans[0] = losses[0]
    size = study.model.kernel_size
    eigenvalues, axes = zip(*(patch_pca(of.mean(-1), size) for of in seen.sample), strict=True)
    grid_dims = ("arm", "seed")
    # What belongs to the images has an axis of arms only where arms see them in several variants.
    arms, of_arm = (("arm",), seen.row_of_arm) if len(seen.names) > 1 else ((), 0)
    return xr.Dataset(
        {
            "kernel": ((*grid_dims, "step", "ky", "kx", "cin", "cout"), kernels.astype(np.float32)),
            "train_loss": ((*grid_dims, "step"), np.stack(of_spans, -1).astype(np.float32)),
            **{
                name: ((*grid_dims, "step"), values.astype(np.float32))
                for name, values in accuracies.items()
            },
            "diverged": (grid_dims, ~np.isfinite(losses).all(0)),
            **(_shown(data, subjects, logs, arms, of_arm) if watched else {}),
            "patch_eigenvalue": ((*arms, "component"), np.stack(eigenvalues)[of_arm]),
            "patch_basis": (
                (*arms, "component", "ky", "kx"),
                np.stack(axes).reshape(len(axes), -1, size, size)[of_arm],
            ),
        },
        coords={
            "arm": [arm.name for arm in study.arms],
            "seed": study.seed_list,
            "step": study.log_steps,
            **(_watched_coords(watched) if watched else {}),
        },
    )


def _shown(data: Images, subjects: Subjects, logs: list[Log], arms: tuple, of_arm) -> dict:
    """What was watched, with the images that a report shows."""
    logs = [log for log in logs if log.watched]
    found = {}
    for name in logs[0].watched:
        what, _, layer = name.rpartition("_")
        dims = [dim.format(i=layer, before=int(layer) - 1) for dim in WHAT[what]]
        values = np.concatenate([log.watched[name] for log in logs], 1)
        found[name] = (("arm", "probe_seed", "step", *dims), values)
    train, test, examples = subjects.train_rows, subjects.test_rows, subjects.example_rows
    probes = len(train) + len(test)
    images = subjects.images[of_arm]
    for name, dim, part in (
        ("probe_image", "probe", images[..., :probes, :, :, :]),
        ("example_image", "example", images[..., -len(examples) :, :, :, :].astype(np.float16)),
    ):
        found[name] = ((*arms, dim, "row", "column", "colour"), part)
    labels = np.concatenate([data.train_labels[train], data.test_labels[test]])
    found["probe_label"] = ("probe", labels)
    found["probe_part"] = ("probe", ["train"] * len(train) + ["test"] * len(test))
    found["example_label"] = ("example", data.test_labels[examples])
    return found


def _watched_coords(watched: list[int]) -> dict:
    named, _ = stimuli.local(3, 3)
    kinds, directions, polarities = zip(*named, strict=True)
    return {
        "probe_seed": watched,
        "orientation": np.rad2deg(stimuli.angles()),
        "frequency": list(stimuli.FREQUENCIES),
        "statistic": list(STATISTICS),
        "stimulus_kind": ("stimulus", list(kinds)),
        "stimulus_direction": ("stimulus", list(directions)),
        "stimulus_polarity": ("stimulus", list(polarities)),
    }


def mean_loss(losses: Sequence[np.ndarray] | np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mean over steps start .. stop - 1; NaN where there are none."""
    if start == stop:
        return np.array(np.nan)
    return np.mean(losses[start:stop], axis=0, dtype=float)
