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


GX = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
WITHOUT_SCALE = {
    "cosine": lambda k: analysis.cosine(k, [GX]),
    "cosine, centred": lambda k: analysis.cosine(k, [GX], centered=True),
    "steered_r2": lambda k: analysis.steered_r2(k, GX, GX.T),
    "spectrum_similarity": lambda k: analysis.spectrum_similarity(k, [GX]),
    "sectors": analysis.sectors,
    "derivative_fit": lambda k: np.stack(analysis.derivative_fit(k)),
    "population_a": lambda k: np.stack(analysis.population_a(k)),
    "best_match": lambda k: analysis.best_match(k, {"sobel": GX}, draws=20).abs_cos,
    "energy_profile": lambda k: analysis.energy_profile(k, np.eye(9)),
    "explained_variance": analysis.explained_variance,
    "variance_entropy": analysis.variance_entropy,
    "orthogonality": analysis.orthogonality,
    "sparsity": analysis.sparsity,
    "live_kernels": analysis.live_kernels,
}


@pytest.mark.parametrize("name", WITHOUT_SCALE)
@pytest.mark.parametrize("scale", [1e-250, 1e-30, 1e30, 1e250])
def test_scale_never_matters(name, scale):
    kernels = np.random.default_rng(0).standard_normal((4, 3, 3))
    found, expected = (WITHOUT_SCALE[name](k) for k in (scale * kernels, kernels))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_measure_and_gives_no_warning(name, value):
    found = np.asarray(WITHOUT_SCALE[name](np.full((4, 3, 3), value)), dtype=float)
    assert np.all(np.isnan(found) | ((found == 0) & (name == "live_kernels")))


@pytest.mark.parametrize("name", list(WITHOUT_SCALE)[:8])
def test_no_kernels_have_no_measures(name):
    found = WITHOUT_SCALE[name](np.zeros((0, 3, 3)))
    assert np.size(found) == 0 or np.isnan(found).all()


@pytest.mark.parametrize("name", list(WITHOUT_SCALE)[8:])
def test_a_layer_without_kernels_is_refused(name):
    with pytest.raises(ValueError, match="at least one kernel"):
        WITHOUT_SCALE[name](np.zeros((0, 3, 3)))


def test_one_broken_kernel_leaves_the_others_of_its_layer_alone():
    layers = np.random.default_rng(0).standard_normal((2, 4, 3, 3)) * [[[[1]]], [[[1e200]]]]
    layers[:, 0, 1, 1] = np.nan
    assert analysis.live_kernels(layers).tolist() == [[False, True, True, True]] * 2
    r2 = analysis.steered_r2(layers, GX, GX.T)
    assert np.isnan(r2).tolist() == [[True, False, False, False]] * 2
