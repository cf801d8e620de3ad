"""What this study measures beyond a run's own report: a of a network beside the images', and alignment."""

import numpy as np
import pandas as pd

from kernelstudy import runs
from kernelstudy.analysis import (
    KINDS,
    a_pca,
    derivative_fit,
    kind_of,
    phi_of_a,
    population_a,
    wrap_phi,
)
from kernelstudy.analysis.trajectory import spatial_kernels, updates
from kernelstudy.studies.plan import StudyRuns

COLUMNS = [
    *("data", "arm", "part", "seed", "a", "phi", "images_a", "images_phi"),
    *("edges", "aligned", "orientation", "concentration"),
]


def networks(found: StudyRuns) -> pd.DataFrame:
    """A row a network and part (W, update) at the final step: `COLUMNS`.

    phi: of the learned a, radians, on the side of the circle nearer to the images'; edges: how many kernels
    are edge detectors; aligned: their mean cos 2(direction - that of the images' gradients).
    """
    rows = []
    for (data, *_), run in found.places.items():
        trajectory, options = runs.read_trajectory(run), runs.read_settings(run).data
        images = trajectory[["patch_eigenvalue", "patch_basis"]].isel(arm=0, missing_dims="ignore")
        axes = images["patch_basis"].transpose("component", "ky", "kx").values.reshape(9, 9)
        images_a = a_pca(images["patch_eigenvalue"], axes)
        last = [-1]  # the update of several colours has a spatial profile of its own
        final = spatial_kernels(trajectory.isel(step=last))[:, :, 0]
        update = spatial_kernels(updates(trajectory).isel(step=last))[:, :, 0]
        for part, values in (("W", final), ("update", update)):
            for row, arm in enumerate(trajectory["arm"].values):
                for column, seed in enumerate(trajectory["seed"].values):
                    if trajectory["diverged"].values[row, column]:
                        continue
                    net = values[row, column]
                    rows.append(
                        (
                            *(data, str(arm), part, int(seed)),
                            *beside_images(population_a(net).a, images_a),
                            *alignment(net, options.orientation),
                            *(options.orientation, options.concentration),
                        )
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def beside_images(a: float, images_a: float) -> tuple[float, float, float, float]:
    """a, its phi on the side of the circle nearer to the images', and the images' a and phi."""
    images_phi = float(phi_of_a(images_a))
    phi = images_phi + float(wrap_phi(phi_of_a(a) - images_phi))
    return a, phi, images_a, images_phi


def alignment(kernels: np.ndarray, orientation: float) -> tuple[int, float]:
    """How many of the kernels (channel, 3, 3) are edge detectors, and their mean alignment with a direction in
    degrees; NaN where there is none."""
    edges = kernels[kind_of(kernels).index == KINDS.index("edge")]
    if not len(edges):
        return 0, float("nan")
    away = derivative_fit(edges).theta - np.deg2rad(orientation)
    return len(edges), float(np.cos(2 * away).mean())


def rank_correlations(nets: pd.DataFrame) -> pd.Series:
    """Over sets of images, the rank correlation of the learned phi and the images', a value a seed.

    nets: rows of one arm and part. Seeds that lack a set are left out.
    """
    learned = nets.pivot_table(index="seed", columns="data", values="phi").dropna()
    of_images = nets.groupby("data")["images_phi"].first()[learned.columns]
    ranks = learned.rank(axis=1)
    return (
        ranks.T.corrwith(of_images.rank()) if len(learned.columns) > 2 else pd.Series(dtype=float)
    )
