"""Runs that were made before the package had its rooms: read, reported and resumed.

data/before_rooms.tar.xz holds `finished`, a run of three arms x six networks with its tables; `stopped`,
one that SIGTERM ended at step 421 of 3,000; and `whole`, the same run trained without a stop (kernels, loss
and accuracy, and the checksums of all its files).
"""

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from kernelstudy import report, runs
from kernelstudy.config import result_settings
from kernelstudy.system.software import versions
from tests.commands import run_here

ARCHIVE = Path(__file__).parent / "data" / "before_rooms.tar.xz"
STOPPED = (
    *("+exp=mnist", "name=stopped", "data=digits", "seeds=2", "steps=3000", "log_points=6"),
    *("optim=adam", "optim.learning_rate=1e-3"),
    *("probe_seeds=1", "model.width=4", "model.deep_width=4", "eval_images=64", "batch_size=32"),
    *("arms=[{init: he_normal},{init: sobel, first_layer: frozen}]", "runs_dir=.", "report=false"),
)


@pytest.fixture
def earlier(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.slow
def test_a_finished_run_gives_the_values_that_it_gave(earlier):
    run = earlier / "finished"
    before = {path.stem: pd.read_csv(path) for path in (run / "tables").glob("*.csv")}
    assert report.main([str(run)]) == 0
    assert len(before) == 7
    for name, table in before.items():
        now = pd.read_csv(run / "tables" / f"{name}.csv")
        if name in ("summary", "tests", "ladder"):  # have more rows now, and other tests
            keys = [key for key in ("arm", "part", "step", "measure", "null") if key in table]
            values = [value for value in ("n", "mean", "diff", "value", "chance") if value in table]
            table = table[table["measure"] != "concentration"][[*keys, *values]]
            now = table[keys].merge(now, on=keys, how="left")[[*keys, *values]]
            table = table.reset_index(drop=True)
        pd.testing.assert_frame_equal(now, table, rtol=1e-6)
    study = runs.read_settings(run)
    assert runs.run_id(study) == "77ec27e5ee73"
    assert [arm.name for arm in study.arms] == ["he_normal", "sobel/frozen", "he_normal/shuffled"]
    assert result_settings(study)["optim"]["learning_rate"] == 0.001


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_where_it_would_have_come(earlier):
    """To the bit, where the versions and the kind of machine are the same; all it had logged, anywhere."""
    told = run_here(earlier, "kernelstudy.run", *STOPPED, "allow_stale=true")
    assert told.returncode == 0, told.stderr
    run = earlier / "stopped" / "f18352757e78"
    assert f"{run.relative_to(earlier)}: goes on at step 421 of 3,000" in told.stdout
    found = runs.read_trajectory(run)
    whole = xr.open_zarr(earlier / "whole" / "trajectory.zarr", consolidated=False).load()
    passed = found["step"].values <= 421
    assert passed.sum() == 5
    for name in ("kernel", "train_loss", "test_accuracy"):
        now, before = found[name].values, whole[name].values
        np.testing.assert_array_equal(now[:, :, passed], before[:, :, passed])
    assert found["test_accuracy"].values[..., -1] == pytest.approx(
        whole["test_accuracy"].values[..., -1], abs=0.05
    )
    if versions() == _versions_of(earlier / "finished"):
        np.testing.assert_allclose(found["kernel"], whole["kernel"], atol=1e-3)


def _versions_of(run: Path) -> dict[str, str]:
    provenance = runs.read_provenance(run)
    return {name: (provenance["packages"] | provenance)[name] for name in versions()}
