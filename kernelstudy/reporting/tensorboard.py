"""What other people's dashboards show: TensorBoard's event files, and W&B, written while networks train.

metrics.jsonl and trajectory.zarr stay the source; this is a view of them that comes earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.analysis.sectors import SECTORS, sector_energies
from kernelstudy.analysis.similarity import colour_spatial

FOLDER = "tensorboard"
SIDE = 24  # pixels of a kernel in a grid, about


Write = Callable[[dict[str, Any], np.ndarray], None]


@contextmanager
def tensorboard(run: Path, arms: list[str]) -> Iterator[Write]:
    """A function that, inside the block, writes one log point into <run>/tensorboard (`shown`)."""
    from tensorboardX import SummaryWriter  # an extra

    writer = SummaryWriter(str(run / FOLDER))

    def write(record: dict[str, Any], kernels: np.ndarray) -> None:
        for tag, value in shown(record, kernels, arms):
            if isinstance(value, np.ndarray):
                writer.add_image(tag, value, record["step"], dataformats="HW")
            else:
                writer.add_scalar(tag, value, record["step"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()  # it writes in a thread of its own


@contextmanager
def weights_and_biases(arms: list[str]) -> Iterator[Write]:
    """A function that, inside the block, logs one log point to W&B's current run, which is begun if there is
    none (`shown`)."""
    import wandb  # an extra  # pyright: ignore[reportMissingImports]

    current = wandb.run
    run = wandb.init(project="kernelstudy") if current is None else current

    def write(record: dict[str, Any], kernels: np.ndarray) -> None:
        point = {"kernelstudy/step": record["step"]}  # W&B's own steps may be others
        for tag, value in shown(record, kernels, arms):
            point[f"kernelstudy/{tag}"] = (
                wandb.Image(value) if isinstance(value, np.ndarray) else value
            )
        run.log(
            point, commit=current is None
        )  # in a run of one's own it joins the loop's next step

    try:
        yield write
    finally:
        if current is None:
            run.finish()


def shown(
    record: dict[str, Any], kernels: np.ndarray, arms: list[str]
) -> Iterator[tuple[str, float | np.ndarray]]:
    """What a dashboard gets of a log point, by tag: numbers, and grey pictures.

    record: as in metrics.jsonl; kernels: (arm, seed, ky, kx, cin, cout). Of each arm the mean over networks of
    every scalar, the sectors' shares of the kernels' energy, and a grid of the first network's kernels,
    its scale symmetric.
    """
    for name, values_by_arm in record.items():
        if not isinstance(values_by_arm, dict):
            continue
        for arm, values in values_by_arm.items():
            known = [v for v in values if v is not None]
            if known:
                yield f"{name}/{arm}", float(np.mean(known))
    spatial = np.moveaxis(kernels[..., 0, :], -1, -3).astype(float)
    if kernels.shape[-2] > 1:
        spatial = colour_spatial(np.nan_to_num(kernels)).spatial
    for arm, arm_kernels in zip(arms, spatial, strict=True):
        finite = arm_kernels[np.isfinite(arm_kernels).all((-3, -2, -1))]
        if not finite.size:
            continue
        energies = sector_energies(finite).reshape(-1, len(SECTORS)).sum(0)
        for sector, share in zip(SECTORS, energies / (energies.sum() or 1), strict=True):
            yield f"sectors/{sector}/{arm}", float(share)
        yield f"kernels/{arm}", kernel_grid(finite[0])


def kernel_grid(kernels: np.ndarray) -> np.ndarray:
    """Kernels (channel, k, k) side by side, eight a row, as grey bytes: 128 is zero."""
    count, size, _ = kernels.shape
    peak = np.abs(kernels).max() or 1.0
    pixels = np.round(127.5 * (1 + kernels / peak)).astype(np.uint8)
    times = max(1, SIDE // size)
    tiles = np.pad(np.kron(pixels, np.ones((1, times, times), np.uint8)), ((0, 0), (0, 2), (0, 2)))
    columns = min(8, count)
    spare = np.zeros((-count % columns, *tiles.shape[1:]), np.uint8)
    rows = np.concatenate([tiles, spare]).reshape(-1, columns, *tiles.shape[1:])
    return rows.transpose(0, 2, 1, 3).reshape(rows.shape[0] * tiles.shape[1], -1)
