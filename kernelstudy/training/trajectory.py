"""What training leaves behind, as the labelled arrays that everything after it reads."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernelstudy.analysis import patch_pca
from kernelstudy.config import Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images

if TYPE_CHECKING:
    import xarray as xr

PROBES = 8


class Log(NamedTuple):
    """What one group of networks leaves behind; L log points, S steps."""

    kernels: np.ndarray  # (arm, seed, L, ky, kx, cin, cout)
    accuracies: dict[str, np.ndarray]  # test_accuracy (arm, seed, L), and val_accuracy
    losses: np.ndarray  # (S, arm, seed)
    maps: np.ndarray  # (arm, L, probe, y, x, channel), of the group's first seed


def trajectory(study: Study, data: Images, seen: feed.Variants, logs: list[Log]) -> "xr.Dataset":
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
    size, rows = study.model.kernel_size, probe_rows(data.test_labels)
    eigenvalues, axes = zip(*(patch_pca(of.mean(-1), size) for of in seen.sample), strict=True)
    grid_dims, image_dims = ("arm", "seed"), ("probe", "row", "column", "colour")
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
            "feature_map": (("arm", "step", "probe", "y", "x", "channel"), logs[0].maps),
            "probe_image": ((*arms, *image_dims), seen.test[of_arm][..., rows, :, :, :]),
            "patch_eigenvalue": ((*arms, "component"), np.stack(eigenvalues)[of_arm]),
            "patch_basis": (
                (*arms, "component", "ky", "kx"),
                np.stack(axes).reshape(len(axes), -1, size, size)[of_arm],
            ),
            "probe_label": ("probe", data.test_labels[rows]),
        },
        coords={
            "arm": [arm.name for arm in study.arms],
            "seed": study.seed_list,
            "step": study.log_steps,
        },
    )


def mean_loss(losses: Sequence[np.ndarray] | np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mean over steps start .. stop - 1; NaN where there are none."""
    if start == stop:
        return np.array(np.nan)
    return np.mean(losses[start:stop], axis=0, dtype=float)


def probe_rows(labels: np.ndarray) -> np.ndarray:
    """The first `PROBES` held-out images of different classes, by class; all from class 0 on."""
    classes = np.unique(labels)[:PROBES]
    return np.array([np.flatnonzero(labels == c)[0] for c in classes])
