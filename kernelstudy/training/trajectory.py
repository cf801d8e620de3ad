"""What training leaves behind, as the labelled arrays that everything after it reads."""

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernelstudy.analysis import patch_pca, variables
from kernelstudy.analysis.fields import FIELDS, Field
from kernelstudy.config import Study
from kernelstudy.data import feed, stimuli
from kernelstudy.data.images import Images
from kernelstudy.training.responses import Subjects

if TYPE_CHECKING:
    import xarray as xr


class Log(NamedTuple):
    """What one group of networks leaves behind; L log points, S steps."""

    kernels: np.ndarray  # (arm, seed, L, ky, kx, cin, cout)
    accuracies: dict[
        str, np.ndarray
    ]  # (arm, seed, L): test_accuracy, those on changed images, val_accuracy
    losses: np.ndarray  # (S, arm, seed)
    watched: dict[str, np.ndarray]  # (arm, seed, L, ...), of those of its seeds that are watched


def trajectory(
    study: Study,
    data: Images,
    seen: feed.Variants,
    subjects: Subjects,
    watched: list[int],
    logs: list[Log],
    fields: list[Field],
) -> "xr.Dataset":
    """What `train_population` returns, from the logs of its groups; `fields`: as of `Network`."""
    import xarray as xr  # slow to import, and needed only when all is trained

    kernels = np.concatenate([log.kernels for log in logs], 1)
    accuracies = {
        name: np.concatenate([log.accuracies[name] for log in logs], 1)
        for name in logs[0].accuracies
    }
    changed = [accuracies.pop(variables.accuracy_on(test)) for test in study.tests]
    if changed:
        accuracies["changed_accuracy"] = np.stack(changed, -1)
    losses = np.concatenate([log.losses for log in logs], 2)
    of_spans = [mean_loss(losses, a, b) for a, b in itertools.pairwise([0, *study.log_steps])]
    of_spans[0] = losses[0]
    size = study.model.kernel_size
    eigenvalues, axes = zip(*(patch_pca(of.mean(-1), size) for of in seen.sample), strict=True)
    # What belongs to the images has an axis of arms only where arms see them in several variants.
    of_arm = seen.row_of_arm if len(seen.names) > 1 else 0
    shown = _shown(data, subjects, logs, of_arm) if watched else {}
    arrays = {
        "kernel": kernels.astype(np.float32),
        "train_loss": np.stack(of_spans, -1).astype(np.float32),
        **{name: values.astype(np.float32) for name, values in accuracies.items()},
        "diverged": ~np.isfinite(losses).all(0),
        **shown,
        "patch_eigenvalue": np.stack(eigenvalues)[of_arm],
        "patch_basis": np.stack(axes).reshape(len(axes), -1, size, size)[of_arm],
    }
    coords = {
        "arm": [arm.name for arm in study.arms],
        "seed": study.seed_list,
        "step": study.log_steps,
        **({"test": study.tests} if changed else {}),
        **(
            {"probe_seed": watched, "statistic": list(variables.STATISTICS)} | stimuli.coords()
            if watched
            else {}
        ),
    }
    layers = sum(name.startswith("feature_map_") for name in shown)
    # Laid out as they will be read back: sums in another order would round otherwise.
    arrays = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    return xr.Dataset(
        variables.with_dims(arrays, layers),
        coords=variables.with_dims(coords, layers),
        attrs={FIELDS: json.dumps(fields)} if layers and fields else {},
    )


def _shown(data: Images, subjects: Subjects, logs: list[Log], of_arm) -> dict[str, Any]:
    """What was watched, with the images that a report shows."""
    logs = [log for log in logs if log.watched]
    found: dict[str, Any] = {
        name: np.concatenate([log.watched[name] for log in logs], 1) for name in logs[0].watched
    }
    train, test, examples = subjects.train_rows, subjects.test_rows, subjects.example_rows
    images = subjects.images[of_arm]
    probes = len(train) + len(test)
    found["probe_image"] = images[..., :probes, :, :, :]
    found["example_image"] = images[..., -len(examples) :, :, :, :].astype(np.float16)
    found["probe_label"] = np.concatenate([data.train_labels[train], data.test_labels[test]])
    found["probe_part"] = ["train"] * len(train) + ["test"] * len(test)
    found["example_label"] = data.test_labels[examples]
    return found


def mean_loss(losses: Sequence[np.ndarray] | np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mean over steps start .. stop - 1; NaN where there are none."""
    if start == stop:
        return np.array(np.nan)
    return np.mean(losses[start:stop], axis=0, dtype=float)
