"""What layers showed is held to its dims, types and ranges before a report makes anything of it."""

from pathlib import Path

import numpy as np
import pytest

from kernelstudy.runs import layout
from kernelstudy.system.errors import RunError
from tests.synthetic import trajectory


def test_what_runs_write_passes():
    layout.check_dataset(trajectory(), Path("run"))
    layout.check_dataset(trajectory(probe_seeds=0, tests=("blur@1",)), Path("run"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_vars("grating_2"), "there is no grating_2"),
        (lambda t: t.drop_vars("kernel_2"), "there is no kernel_2"),
        (lambda t: t.assign(kernel_2=t["kernel_2"][0]), "kernel_2 has the dims"),
        (
            lambda t: t.drop_vars("kernel_2").assign(kernel_2=t["kernel_2"].isel(kx_2=[0, 1])),
            "kernel_2 is not square",
        ),
        (lambda t: t.rename(feature_2="feature_3"), "between others"),
        (lambda t: t.drop_vars("stimulus_kind"), "there is no stimulus_kind"),
        (lambda t: t.assign(top_example_1=t["top_example_1"] + 1000), "names no examples"),
        (lambda t: t.assign(top_example_1=t["top_example_1"] - 1000), "names no examples"),
        (lambda t: t.assign(top_place_2=-1 - t["top_place_2"]), "names no places"),
        (lambda t: t.drop_vars("changed_accuracy"), "there is no changed_accuracy"),
        (lambda t: t.assign(changed_accuracy=1.5 + t["changed_accuracy"]), "is no share"),
        (lambda t: t.assign_coords(test=["blur@1"] * 2), "test is not one distinct value"),
        (lambda t: t.assign_coords(test=["blur@1", "<b>"]), "test: '<b>' is not one of"),
        (lambda t: t.assign_coords(test=[1.0, 2.0]), "test is of the wrong type"),
        (lambda t: t.assign(feature_1=t["feature_1"].astype(str)), "feature_1 is of the wrong"),
        (lambda t: t.assign(feature_1=t["feature_1"][0]), "feature_1 has the dims"),
        (lambda t: t.assign(probe_part=("probe", ["train"] * 4)), "probes or gratings"),
        (lambda t: t.assign(example_label=t["example_label"] * 0), "of one class"),
        (lambda t: t.assign_coords(probe_seed=[3, 4]), "not the first"),
        (lambda t: t.assign_coords(stimulus_kind=("stimulus", ["x"] * 49)), "stimuli are missing"),
    ],
)
def test_anything_else_is_refused(change, said):
    made = trajectory(tests=("blur@1", "gaussian_clone"))
    assert np.isfinite(made["feature_1"]).all()
    with pytest.raises(RunError, match=said):
        layout.check_dataset(change(made), Path("run"))
