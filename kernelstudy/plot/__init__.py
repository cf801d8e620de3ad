"""The report's figures as functions that draw on Axes of one's own::

    run = kernelstudy.open_run("results/runs/mnist/...", measures=True)
    kernelstudy.plot.over_time(run, "r2_sobel_centered", part="new")
    kernelstudy.plot.kernels(run, arm="he_normal", step=-1)

Each draws on `axes`, or on Axes of a new figure of pyplot's, and returns them.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from kernelstudy.analysis.kernels import PREFIXES
from kernelstudy.analysis.trajectory import spatial_kernels
from kernelstudy.reporting import curves, galleries
from kernelstudy.reporting.colour import kernels_rgb
from kernelstudy.reporting.measure_words import SECTOR_WORDS, SHORT_WORDS
from kernelstudy.reporting.style import DIVERGING, SECTOR_COLOURS, styled
from kernelstudy.weights.modules import as_numpy

__all__ = ["kernels", "over_time", "sectors"]


def kernels(
    of: Any,
    axes: Axes | None = None,
    *,
    arm: str | None = None,
    seed: int | None = None,
    step: int = -1,
    columns: int = 8,
) -> Axes:
    """Kernels as pictures, `columns` a row: those of three colours in colour, others in orange and violet.

    Args:
        of: a run (`kernelstudy.open_run`), or kernels (kh, kw, cin, cout), or (n, k, k).
        axes: to draw on.
        arm, seed: of a run, the first unless given.
        step: index of a run's log point; the last unless given.
        columns: pictures a row.

    Raises:
        ValueError: no such arm, seed or step, or arrays of another shape.
    """
    if isinstance(of, xr.Dataset):
        network = _network(of, arm, seed)
        if not -network.sizes["step"] <= step < network.sizes["step"]:
            raise ValueError(f"step: the run has {network.sizes['step']} log points, not {step}")
        one = network.isel(step=[step])
        of = one["kernel"].values[0, 0, 0]
        profiles = spatial_kernels(one)[0, 0, 0]
    else:
        of = as_numpy(of).astype(float)
        if of.ndim == 4 and of.shape[0] != of.shape[1]:
            raise ValueError(f"kernels must be (kh, kw, cin, cout), not {of.shape}")
        if of.ndim == 3:
            profiles = of
        elif of.ndim == 4:
            profiles = _profiles(of)
        else:
            raise ValueError(f"kernels must be (kh, kw, cin, cout) or (n, k, k), not {of.shape}")
    if columns < 1:
        raise ValueError(f"columns: {columns} must be 1 or more")
    in_colour = of.ndim == 4 and of.shape[2] == 3
    pictures = kernels_rgb(of) if in_colour else profiles / (np.nanmax(np.abs(profiles)) or 1)
    with styled():
        axes = _axes(axes)
        rows = -(-len(pictures) // columns)
        spare = rows * columns - len(pictures)
        padded = np.pad(
            pictures, [(0, spare), *[(0, 0)] * (pictures.ndim - 1)], constant_values=np.nan
        )
        bands = np.moveaxis(padded, -1, 0) if in_colour else padded[None]
        grid = (rows, columns, *bands.shape[2:])
        whole = np.stack([galleries.tiled(band.reshape(grid)) for band in bands], axis=-1)
        if in_colour:
            axes.imshow(np.where(np.isnan(whole), 1, whole), interpolation="nearest")
        else:
            axes.imshow(whole[..., 0], cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        galleries.bare(axes)
    return axes


def over_time(run: xr.Dataset, measure: str, axes: Axes | None = None, *, part: str = "W") -> Axes:
    """A measure against step: of every arm the mean over networks with its 95% interval; grey: chance (N0).

    Args:
        run: `kernelstudy.open_run(..., measures=True)`.
        measure: as 'r2_sobel_centered', 'odd', 'best_abs_cos'.
        axes: to draw on.
        part: 'W', 'update' (W - W0) or 'new' (W less its projection on W0).

    Raises:
        ValueError: no such measure or part, or a run that was opened without measures.
    """
    if part not in PREFIXES:
        raise ValueError(f"part: {part!r} is not one of {', '.join(PREFIXES)}")
    known = [str(name) for name in run["measure"].values] if "measure" in run else []
    if measure not in known:
        why = f"one of {', '.join(known)}" if known else "there: open the run with measures=True"
        raise ValueError(f"measure: {measure!r} is not {why}")
    with styled():
        axes = _axes(axes)
        curves.beside_chance(axes, run, measure, PREFIXES[part])
        curves.step_axis(np.array([axes]), run)
        axes.set_ylabel(SHORT_WORDS.get(measure, measure))
        axes.legend(frameon=False)
    return axes


def sectors(
    run: xr.Dataset, axes: Axes | None = None, *, arm: str | None = None, part: str = "W"
) -> Axes:
    """Shares of the five symmetry sectors of an arm's energy against step, means over networks.

    Arguments and errors as for `over_time` and `kernels`.
    """
    if part not in PREFIXES:
        raise ValueError(f"part: {part!r} is not one of {', '.join(PREFIXES)}")
    if "odd" not in run:
        raise ValueError("run: open the run with measures=True")
    chosen = run.sel(arm=_choice(run, "arm", arm))
    with styled():
        axes = _axes(axes)
        for sector, colour in SECTOR_COLOURS.items():
            curves.band(axes, chosen[PREFIXES[part] + sector], colour, SECTOR_WORDS[sector])
        curves.step_axis(np.array([axes]), run)
        axes.set(ylim=(-0.02, 1.02), ylabel="share of energy")
        axes.legend(frameon=False)
    return axes


def _axes(axes: Axes | None) -> Axes:
    return plt.subplots()[1] if axes is None else axes


def _network(run: xr.Dataset, arm: str | None, seed: int | None) -> xr.Dataset:
    return run.sel(arm=[_choice(run, "arm", arm)], seed=[_choice(run, "seed", seed)])


def _choice(run: xr.Dataset, dim: str, given: Any) -> Any:
    values = run[dim].values.tolist()
    if given is None:
        return values[0]
    if given not in values:
        raise ValueError(f"{dim}: {given!r} is not one of {', '.join(map(str, values))}")
    return given


def _profiles(kernels: np.ndarray) -> np.ndarray:
    """Spatial profiles (cout, kh, kw)."""
    from kernelstudy.analysis.similarity import colour_spatial

    return (
        kernels[:, :, 0].transpose(2, 0, 1)
        if kernels.shape[2] == 1
        else colour_spatial(kernels).spatial
    )
