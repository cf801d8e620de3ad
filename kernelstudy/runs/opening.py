"""A run as an xarray Dataset, for analyses of one's own: `kernelstudy.open_run`."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from kernelstudy.analysis.variables import words_of
from kernelstudy.runs import directory, state
from kernelstudy.system.errors import RunError, first_line


def open_run(run: str | Path, *, measures: bool = False) -> xr.Dataset:
    """The trajectory of a finished run, in memory: kernels (arm, seed, step, ky, kx, cin, cout), accuracy, ...

    Args:
        run: the directory of a run, or of a recording that was closed.
        measures: with what the report measured of it, R2, sectors, a, ... (`analysis.zarr`).

    Returns:
        Every variable has a `long_name`, and `units` where it has a unit. Plain `xarray.open_zarr` of
        `trajectory.zarr` gives the same, unchecked.

    Raises:
        ValueError: no finished run, one that was damaged, or no measures of it; the message is one sentence.
    """
    run = Path(run)
    state.refuse_unfinished(run)
    trajectory = directory.read_trajectory(run)
    for name, variable in trajectory.variables.items():
        variable.attrs = words_of(str(name)) | variable.attrs
    if not measures:
        return trajectory
    from kernelstudy.runs import untrusted

    store = run / directory.ANALYSIS
    try:
        untrusted.check_store(store)
        with xr.open_zarr(store, consolidated=False, zarr_format=3, decode_times=False) as dataset:
            return trajectory.merge(dataset.load(), compat="override")
    except Exception as error:
        raise RunError(f"{store} cannot be read: {first_line(error)}") from error
