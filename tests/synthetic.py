"""Small made-up trajectories and runs with known kernels, so that reports are tested without training."""

from pathlib import Path

import numpy as np
import xarray as xr

from kernelstudy import runs
from kernelstudy.analysis import patch_pca
from kernelstudy.config import Arm, Bank, Study
from kernelstudy.data import stimuli
from kernelstudy.handcrafted import kernel

STEPS = (0, 1, 4, 9)


def trajectory(
    *,
    arms=("he_normal", "sobel/frozen"),
    seeds: int = 7,
    channels: int = 5,
    size: int = 3,
    cin: int = 1,
    probe_seeds: int = 2,
    tests=(),
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
    made = xr.Dataset(
        {
            "kernel": (
                ("arm", "seed", "step", "ky", "kx", "cin", "cout"),
                kernels.astype(np.float32),
            ),
            "train_loss": (("arm", "seed", "step"), rng.uniform(0.5, 2, per_step)),
            "test_accuracy": (("arm", "seed", "step"), rng.uniform(0.5, 1, per_step)),
            "diverged": (("arm", "seed"), np.zeros(grid, bool)),
            "patch_eigenvalue": ("component", eigenvalues),
            "patch_basis": (("component", "ky", "kx"), axes.reshape(-1, size, size)),
        },
        coords={"arm": list(arms), "seed": range(seeds), "step": list(STEPS)},
    ).merge(watched(arms, min(seeds, probe_seeds), cin))
    if not tests:
        return made
    changed = rng.uniform(0.3, 0.8, (*per_step, len(tests)))
    dims = ("arm", "seed", "step", "test")
    return made.assign(changed_accuracy=(dims, changed)).assign_coords(test=list(tests))


def watched(arms, seeds: int, cin: int, channels: int = 4, examples: int = 20) -> xr.Dataset:
    """What two layers of the first `seeds` networks showed: at random, but that it moves with the steps."""
    if not seeds:
        return xr.Dataset()
    rng = np.random.default_rng(1)
    kinds, directions, polarities = zip(*stimuli.local(3, 3)[0], strict=True)
    net, sizes = ("arm", "probe_seed", "step"), (len(arms), seeds, len(STEPS))
    share = np.linspace(0, 1, len(STEPS))
    found: dict = {}

    def put(name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype=np.float16) -> None:
        start, end = rng.uniform(0, 1, (2, *sizes[:2], 1, *shape))
        along = share.reshape(-1, *[1] * len(shape))
        found[name] = ((*net, *dims), (start + along * (end - start)).astype(dtype))

    for i, side in ((1, 12), (2, 6)):
        c = f"channel_{i}"
        put(
            f"feature_map_{i}",
            ("probe", f"y_{i}", f"x_{i}", f"map_{c}"),
            (4, side, side, channels),
        )
        put(f"grating_{i}", ("orientation", "frequency", c), (16, 5, channels))
        put(f"stimulus_{i}", ("stimulus", "statistic", c), (len(kinds), 2, channels))
        put(f"feature_{i}", ("example", f"cell_{i}", c), (examples, 4, channels))
        put(f"top_value_{i}", ("rank", c), (3, channels))
        for name, dims, shape, most in (
            (f"top_example_{i}", ("rank", c), (3, channels), examples),
            (f"top_place_{i}", ("rank", "axis", c), (3, 2, channels), side),
        ):
            whole = rng.integers(most, size=(*sizes, *shape)).astype(np.int16)
            found[name] = ((*net, *dims), whole)
    put("kernel_2", ("ky_2", "kx_2", "channel_1", "channel_2"), (3, 3, channels, channels))
    image = ("row", "column", "colour")
    found |= {
        "probe_image": (("probe", *image), rng.uniform(-1, 1, (4, 12, 12, cin))),
        "probe_label": ("probe", [0, 1, 2, 0]),
        "probe_part": ("probe", ["train", "train", "test", "test"]),
        "example_image": (("example", *image), rng.uniform(-1, 1, (examples, 12, 12, cin))),
        "example_label": ("example", np.arange(examples) % 3),
    }
    coords = {
        "arm": list(arms),
        "probe_seed": range(seeds),
        "step": list(STEPS),
        "orientation": np.rad2deg(stimuli.angles()),
        "frequency": list(stimuli.FREQUENCIES),
        "statistic": ["mean", "peak"],
        "stimulus_kind": ("stimulus", list(kinds)),
        "stimulus_direction": ("stimulus", list(directions)),
        "stimulus_polarity": ("stimulus", list(polarities)),
    }
    return xr.Dataset(found, coords=coords)


PROVENANCE = {
    "command": "python -m kernelstudy.run +exp=demo 'arms=[{init: he_normal}]'",
    "device": "2 x cpu",
    "data": {
        "name": "made",
        "source": "made up",
        "train": 100,
        "test": 10,
        "image_shape": [12, 12, 1],
        "classes": 3,
        "sha256": "0" * 64,
    },
}
ARMS = [Arm("he_normal"), Arm("sobel", first_layer="frozen")]
BANK = Bank(["sobel_x", "sobel_y", "prewitt_x", "laplacian4"])


def make_run(place: Path, **kwargs) -> Path:
    study = Study(name="demo", arms=ARMS, seeds=kwargs.get("seeds", 7), steps=9, bank=BANK)
    study.tests = list(kwargs.get("tests", ()))
    study.model.kernel_size = kwargs.get("size", 3)
    runs.start(place, study)
    runs.finish(place, trajectory(**kwargs), PROVENANCE)
    return place
