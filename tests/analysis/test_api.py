"""What holds for the whole library: its names, its imports, its docstrings."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from kernelstudy import analysis

FUNCTIONS = {
    name: getattr(analysis, name)
    for name in analysis.__all__
    if inspect.isfunction(getattr(analysis, name))
}


def test_the_fixed_names_are_there():
    fixed = [
        "cosine",
        "steered_r2",
        "sectors",
        "derivative_fit",
        "population_a",
        "spectrum_similarity",
        "gabor_fit",
        "gaussian_derivative_fit",
        "colour_spatial",
        "best_match",
        "isotropic",
        "cos2_distribution",
        "r2_distribution",
        "permute_taps",
        "covariance_matched",
        "phase_scrambled",
        "sign_flip_test",
        "t_interval",
        "cluster_bootstrap",
        "benjamini_hochberg",
        "max_statistic",
        "cliffs_delta",
        "variance_entropy",
        "sparsity",
        "orthogonality",
        "explained_variance",
        "filter_kl",
        "energy_profile",
        "movement",
        "match_seeds",
        "patch_pca",
        "a_pca",
        "predicted_profile",
    ]
    assert set(fixed) <= set(FUNCTIONS)


def test_importing_needs_no_jax_and_no_pandas():
    code = "import sys, kernelstudy.analysis; print({'jax', 'pandas', 'xarray'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()", found.stderr


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_documented_and_options_are_keywords(name):
    text = inspect.getdoc(FUNCTIONS[name])
    assert text
    assert text.splitlines()[0].endswith((".", ":", ",")) or len(text.splitlines()) > 1
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.default is not inspect.Parameter.empty and name not in {
            "t_interval",
            "cluster_bootstrap",
        }:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter


@pytest.mark.parametrize("name", ["sectors", "derivative_fit", "live_kernels"])
def test_inputs_are_left_alone(name):
    kernels = np.random.default_rng(0).standard_normal((4, 3, 3))
    kernels.setflags(write=False)
    FUNCTIONS[name](kernels)
