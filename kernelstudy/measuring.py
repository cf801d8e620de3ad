"""What a run's report rests on: its measures, verdicts and tables. No JAX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import xarray as xr

from kernelstudy import measured, runs, untrusted
from kernelstudy.analysis import study, tables
from kernelstudy.reporting import answer, deeper


class Found(NamedTuple):
    """A finished run and what was found in it."""

    trajectory: xr.Dataset
    settings: dict
    provenance: dict
    analysis: xr.Dataset
    verdicts: answer.Verdicts
    deep: deeper.Deeper | None
    tables: dict[str, pd.DataFrame]


def measure(run: Path, *, out: Path | None = None) -> Found:
    """Measure a finished run and write tables/ into `out`.

    Into the run's own directory (the default) also analysis.zarr, elsewhere provenance.json.

    Raises:
        RunError: where `run` cannot be read.
    """
    out = run if out is None else out
    trajectory = runs.read_trajectory(run)
    untrusted.check_places(out, "tables", "figures")
    settings, provenance = runs.read_facts(run, trajectory.sizes["arm"])
    bank, metric = settings["bank"]["kernels"], settings["bank"]["metric"]

    analysis = study.measure(trajectory, bank)
    verdicts = study.verdicts(trajectory, settings["arms"])
    deep = deeper.measure(trajectory, settings["arms"])
    if out == run:
        of_layers = [] if deep is None else [deep.channels, deep.layers]
        whole = xr.merge([analysis, *of_layers])
        runs.write_dataset(out / runs.ANALYSIS, measured.seal(whole, run, verdicts, metric))
    else:  # a report on its own still says where it comes from
        runs.write_text(out / runs.PROVENANCE, json.dumps(provenance, indent=2) + "\n")
    found = {
        "summary": tables.summary(analysis),
        "tests": tables.tests(analysis),
        "ladder": tables.ladder(verdicts),
        "growth": tables.growth(analysis),
        "kernels": tables.kernels(trajectory, bank),
        **({} if deep is None else deeper.tables(deep)),
    }
    for name, table in found.items():
        runs.write_text(out / "tables" / f"{name}.csv", table.to_csv(index=False))
    return Found(trajectory, settings, provenance, analysis, verdicts, deep, found)
