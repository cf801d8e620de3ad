"""What a report shows of a dense first layer: its weights as images, and whether they have become local."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from kernelstudy.analysis import t_interval
from kernelstudy.analysis.fields import middle_window
from kernelstudy.reporting.drawing import Save
from kernelstudy.reporting.galleries import SHOWN_CHANNELS, bare, tiled
from kernelstudy.reporting.page import Figure, Page
from kernelstudy.reporting.style import DIVERGING, styled


def local_share(trajectory: xr.Dataset) -> xr.DataArray:
    """The part of a unit's squared weights that lies in the window where a convolution would have its kernel:
    mean over the units of each watched network, (arm, probe_seed, step).

    Chance, of weights that are alike everywhere, is `local_chance`.
    """
    whole = (trajectory["dense_weight"].astype(float) ** 2).sum(("row", "column", "colour"))
    seeds = trajectory["probe_seed"].values
    window = (trajectory["kernel"].sel(seed=seeds).astype(float) ** 2).sum(("ky", "kx", "cin"))
    window = window.rename(seed="probe_seed", cout="channel_1").assign_coords(probe_seed=seeds)
    return (window / whole.where(whole > 0)).mean("channel_1")


def local_chance(trajectory: xr.Dataset) -> float:
    sizes = trajectory.sizes
    return sizes["ky"] * sizes["kx"] / (sizes["row"] * sizes["column"])


def table(trajectory: xr.Dataset) -> pd.DataFrame:
    """Of every arm: the local share at the first and the last step, and that of the change, which is what
    training wrote."""
    share, step = local_share(trajectory), trajectory["step"].values
    rows = []
    for arm in trajectory["arm"].values.astype(str):
        of_arm = share.sel(arm=arm)
        for index in (0, -1):
            low, high = t_interval(of_arm.isel(step=index).values)
            rows.append(
                {
                    "arm": arm,
                    "step": int(step[index]),
                    "local_share": float(of_arm.isel(step=index).mean()),
                    "low": low,
                    "high": high,
                    "chance": local_chance(trajectory),
                }
            )
    return pd.DataFrame(rows)


def draw(trajectory: xr.Dataset, folder: Path, save: Save) -> None:
    for row in range(trajectory.sizes["arm"]):
        save(partial(weights, trajectory, row), folder, f"dense_{row}")


def weights(trajectory: xr.Dataset, row: int) -> Drawing:
    """The middle units' weights over the image, colours averaged, of an arm's first network: at the start,
    at the end, and what training changed, where a box marks the window of a convolution."""
    values = trajectory["dense_weight"].isel(arm=row, probe_seed=0).mean("colour")
    values = values.transpose("step", "channel_1", "row", "column").values.astype(float)
    shown = values[:, : SHOWN_CHANNELS // 2]
    rows = {"start": shown[0], "end": shown[-1], "end − start": shown[-1] - shown[0]}
    channels = shown.shape[1]
    with styled():
        figure = Drawing(figsize=(9, 0.5 + 3 * 9 / channels))
        axes = figure.subplots()
        stack = np.nan_to_num(np.stack(list(rows.values())), posinf=0, neginf=0)
        ends = np.abs(stack).max((1, 2, 3))
        axes.imshow(
            tiled(stack / np.where(ends > 0, ends, 1)[:, None, None, None]),
            cmap=DIVERGING,
            vmin=-1,
            vmax=1,
            extent=(0, channels, len(rows), 0),
        )
        for place, end in enumerate(ends):
            axes.text(1.005 * channels, place + 0.5, f"±{end:.2g}", va="center", fontsize=7.5)
        (height, across), size = shown.shape[-2:], trajectory.sizes["ky"]
        for channel in range(channels):
            corner = (
                channel + middle_window(across, size) / across,
                2 + middle_window(height, size) / height,
            )
            axes.add_patch(Rectangle(corner, size / across, size / height, fill=False, lw=1))
        bare(axes)
        axes.set(xlim=(0, 1.07 * channels), ylim=(len(rows), 0))
        axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
        axes.set_xlabel(
            f"weights over the image of the middle unit of {channels} of {values.shape[1]} maps",
            fontsize=8.5,
        )
    return figure


def add_to(page: Page, trajectory: xr.Dataset, names: Mapping[str, str]) -> None:
    """The section of a dense first layer, put first. names: arm -> its name in words."""
    found, size = table(trajectory), trajectory.sizes["ky"]
    last = found[found["step"] == found["step"].max()]
    figures = [
        Figure(
            f"dense_{row}",
            f"{names[arm]}: {of['local_share']:.1%} of the squared weights lie in the {size} x {size} pixels "
            f"where a convolution would have its kernel; spread evenly, {of['chance']:.1%} would.",
            f"{arm}, the first network. The box is that window. Each row has a colour scale of its own, whose "
            "end stands beside it.",
            pictures=True,
        )
        for row, (arm, of) in enumerate(last.set_index("arm").iterrows())
    ]
    how = (
        "The first layer is dense: each of its units sees the whole image. Shown are the weights of the unit "
        f"in the middle of each map. All that this report calls a kernel is the {size} x {size} window of "
        "those weights where a convolution would have its own."
    )
    page.sections.insert(0, ("The dense layer's weights", how, figures))
    page.tables.append(("Share of a dense layer's squared weights in the window", found))
