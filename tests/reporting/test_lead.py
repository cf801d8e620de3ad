"""What a run's report begins with shows what its sentence counts and what R² judges."""

import numpy as np
import pytest

from kernelstudy.analysis.kernels import usable_bank
from kernelstudy.analysis.trajectory import final_matches, measure_trajectory, spatial_kernels
from kernelstudy.reporting import lead
from tests.synthetic import BANK, trajectory


@pytest.mark.parametrize("narrow", [False, True])
def test_each_kernel_that_is_counted_has_a_mark(narrow):
    made = trajectory()
    kernels = spatial_kernels(made)
    analysis = measure_trajectory(made, BANK.kernels, kernels=kernels)
    nearest = final_matches(made, BANK.kernels, kernels=kernels).trained["best"]
    bank = usable_bank(BANK.kernels, kernels.shape[-1])
    figure = lead.before_and_after(
        kernels, analysis, nearest, bank, "r2_sobel_centered", {}, narrow=narrow
    )
    marked = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "^"]
    edges = analysis["kinds"].isel(seed=0, step=-1).sel(kind="edge")
    assert marked == edges.values.astype(int).tolist()
    assert max(marked) > 0


def test_centred_kernels_have_no_mean_and_all_of_one_scale():
    kernels = np.random.default_rng(0).standard_normal((5, 3, 3)) + 7
    kernels[4] = 2.0  # constant: nothing is left
    shown = lead.centred(kernels)
    np.testing.assert_allclose(shown.mean(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(shown[:4]).max(axis=(1, 2)), 1)
    assert not shown[4].any()
    for one, of in zip(
        shown[:4], kernels[:4] - kernels[:4].mean(axis=(1, 2), keepdims=True), strict=True
    ):
        assert np.corrcoef(one.ravel(), of.ravel())[0, 1] == pytest.approx(1)
