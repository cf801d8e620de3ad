"""A small made-up trajectory with known kernels, so that reports are tested without training."""

import numpy as np
import xarray as xr

from kernelstudy.analysis import patch_pca
from kernelstudy.handcrafted import kernel

STEPS = (0, 1, 4, 9)


def trajectory(
    *,
    arms=("he_normal", "sobel/frozen"),
    seeds: int = 7,
    channels: int = 5,
    size: int = 3,
    cin: int = 1,
) -> xr.Dataset:
    """Arm 0 moves from noise towards Sobel x; every other arm stays where it starts."""
    rng = np.random.default_rng(0)
    grid = (len(arms), seeds)
    start = rng.standard_normal((*grid, 1, size, size, cin, channels))
    share = np.linspace(0, 1, len(STEPS))[:, None, None, None, None]
    sobel = kernel("sobel_x", size)
    target = 3 * size * (sobel / np.linalg.norm(sobel))[:, :, None, None]
    kernels = np.repeat(start, len(STEPS), axis=2)
    kernels[0] += share * (target + rng.standard_normal((seeds, 1, size, size, cin, channels)))
    photos = rng.standard_normal((20, 12, 12)).cumsum(1).cumsum(2)
    eigenvalues, axes = patch_pca(photos, size)
    per_step = (*grid, len(STEPS))
    return xr.Dataset(
        {
            "kernel": (
                ("arm", "seed", "step", "ky", "kx", "cin", "cout"),
                kernels.astype(np.float32),
            ),
            "train_loss": (("arm", "seed", "step"), rng.uniform(0.5, 2, per_step)),
            "test_accuracy": (("arm", "seed", "step"), rng.uniform(0.5, 1, per_step)),
            "diverged": (("arm", "seed"), np.zeros(grid, bool)),
            "feature_map": (
                ("arm", "step", "probe", "y", "x", "channel"),
                rng.uniform(0, 1, (len(arms), len(STEPS), 3, 6, 6, 4)).astype(np.float16),
            ),
            "probe_image": (
                ("probe", "row", "column", "colour"),
                rng.uniform(0, 1, (3, 12, 12, 1)),
            ),
            "probe_label": ("probe", [0, 1, 2]),
            "patch_eigenvalue": ("component", eigenvalues),
            "patch_basis": (("component", "ky", "kx"), axes.reshape(-1, size, size)),
        },
        coords={"arm": list(arms), "seed": range(seeds), "step": list(STEPS)},
    )
