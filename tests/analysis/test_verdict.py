"""The claims: right on planted kernels, silent on chance, honest where nothing can be said."""

import numpy as np
import pytest

from kernelstudy import analysis
from kernelstudy.analysis.ladder import permuted_mean, plane_axes
from kernelstudy.handcrafted import family, kernel, steer

RNG = np.random.default_rng


def images(seed=0):
    noise = np.fft.fft2(RNG(seed).standard_normal((8, 32, 32)))
    fy, fx = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij")
    return np.fft.ifft2(noise / (0.02 + np.hypot(fy, fx))).real


BASES = {size: analysis.patch_pca(images(), size)[1] for size in (3, 5)}


def planted(a, snr, seed, nets=10, channels=16, size=3):
    rng = RNG(seed)
    theta = rng.uniform(-np.pi, np.pi, (nets, channels))
    pair = kernel("sobel_x", size), kernel("sobel_y", size)
    signal = family(a, theta) if size == 3 else steer(*pair, theta)
    signal = signal / np.linalg.norm(signal[0, 0])
    return snr**0.5 * signal + rng.standard_normal(signal.shape) / size


def test_a_strong_sobel_is_called_so():
    kernels = planted(2, 8, 0)
    verdict = analysis.judge(kernels, start=planted(2, 0, 1), patch_basis=BASES[3])
    assert verdict.tier == "beyond image statistics"
    assert verdict.derivative_like
    assert verdict.operator == "Sobel"
    assert [rung.null for rung in verdict.rungs] == ["N0", "N1", "N2", "N3"]
    assert all(rung.p == 2 / 1024 for rung in verdict.rungs)
    assert verdict.significant == verdict.live == 160
    words = analysis.claims(verdict)
    assert words[0] == "The kernels are derivative-like, more than image statistics imply."
    n2 = verdict.rungs[2]
    assert any(w.startswith(f"N2: r2 {n2.value:.3f} against {n2.chance:.3f}") for w in words)
    assert words[-1].endswith("Sobel.")


def test_between_two_operators_is_unresolved():
    verdict = analysis.judge(planted(1.7, 8, 0, channels=4), patch_basis=BASES[3])
    assert verdict.derivative_like
    assert verdict.operator == "unresolved"
    assert verdict.reason.startswith("the interval of a holds")


def test_the_name_needs_the_patch_statistics():
    verdict = analysis.judge(planted(2, 8, 0))
    assert (verdict.tier, verdict.operator) == ("spatially structured", "unresolved")
    assert "N3" in verdict.reason
    assert np.isnan(verdict.a_images)


@pytest.mark.parametrize("size", [3, 5])
def test_noise_is_chance(size):
    tiers = [
        analysis.judge(
            RNG(seed).standard_normal((10, 16, size, size)),
            start=RNG(seed + 500).standard_normal((10, 16, size, size)),
            patch_basis=BASES[size],
            draws=2000,
        ).tier
        for seed in range(60)
    ]
    assert tiers.count("chance") >= 55


def test_what_a_start_already_had_is_not_learned():
    start = planted(2, 8, 0)
    verdict = analysis.judge(start + 0.01 * RNG(1).standard_normal(start.shape), start=start)
    outcome = {rung.null: rung.passed for rung in verdict.rungs}
    assert outcome["N0"]
    assert outcome["N2"]
    assert verdict.tier == "chance" or outcome["N1"]


def test_permuted_taps_are_not_spatially_structured():
    learned = planted(2, 8, 0) + 0.0
    found = [
        analysis.judge(analysis.permute_taps(learned, seed)).derivative_like for seed in range(60)
    ]
    assert sum(found) <= 5


def test_n2_has_the_exact_mean_over_permutations():
    kernels = planted(2, 1, 3, nets=1, channels=3) + 0.2
    gx = np.array([[0, 1, 2], [-1, 0.5, 1], [-2, -1, 0]])  # not free of a mean, to be general
    axes = plane_axes(kernels, gx, gx.T[::-1])
    drawn = np.mean(
        [
            analysis.steered_r2(analysis.permute_taps(kernels, s), gx, gx.T[::-1])
            for s in range(6000)
        ],
        axis=0,
    )
    np.testing.assert_allclose(permuted_mean(kernels, axes), drawn, atol=0.01)


def test_n3_draws_are_not_beyond_image_statistics():
    layer = planted(1.2, 3, 0)
    found = []
    for seed in range(60):
        drawn = analysis.covariance_matched(layer, BASES[3], 160, seed).reshape(10, 16, 3, 3)
        verdict = analysis.judge(drawn, patch_basis=BASES[3], draws=4000, seed=seed)
        found.append(verdict.tier == "beyond image statistics")
        assert verdict.operator != "Sobel" or found[-1]
    assert sum(found) <= 5


def test_controls_are_shown_and_decide_nothing():
    kernels, controls = planted(2, 8, 0), planted(2, 12, 1)
    verdict = analysis.judge(kernels, controls=controls, patch_basis=BASES[3])
    assert verdict.rungs[-1].null == "N4"
    assert verdict.rungs[-1].passed is False
    assert verdict.operator == "Sobel"


def test_a_broken_control_leaves_out_its_pair_in_n4_alone():
    kernels, controls = planted(2, 8, 0), planted(2, 0, 1)
    whole = analysis.judge(kernels, controls=controls, patch_basis=BASES[3])
    controls[4, 0, 0, 0] = np.nan
    found = analysis.judge(kernels, controls=controls, patch_basis=BASES[3])
    assert found.rungs[:-1] == whole.rungs[:-1]
    assert found.rungs[-1].n == 9
    assert found.excluded == 0


def test_few_networks_get_no_p_but_their_kernels_do():
    verdict = analysis.judge(planted(2, 8, 0, nets=1), patch_basis=BASES[3])
    assert verdict.tier == "unresolved"
    assert verdict.derivative_like is None
    assert all(np.isnan(rung.p) and "needs 6" in rung.reason for rung in verdict.rungs)
    assert verdict.significant == 16
    assert verdict.significant_permuted >= 12
    assert analysis.claims(verdict)[0].startswith("No verdict: a test over networks needs 6")


def test_permutation_p_is_uniform_enough_and_small_for_an_operator():
    noise = analysis.isotropic(300, 3, 0)
    p = analysis.permutation_p(noise, family(2), family(2).T, draws=200)
    assert 0.02 < np.mean(p <= 0.05) < 0.09
    assert analysis.permutation_p(family(2, 0.4), family(2), family(2).T) < 0.01
    assert np.isnan(analysis.permutation_p(np.zeros((3, 3)), family(2), family(2).T))


def test_larger_kernels_have_no_a():
    verdict = analysis.judge(planted(0, 8, 0, size=5), patch_basis=BASES[5])
    assert verdict.derivative_like
    assert verdict.a is None
    assert verdict.operator == "unresolved"
    assert "3x3" in verdict.reason
    np.testing.assert_allclose(analysis.gradient_plane(5)[0], kernel("sobel_x", 5))
    np.testing.assert_allclose(analysis.gradient_plane(7)[1], kernel("sobel_y", 7))


def test_dead_kernels_and_broken_networks_are_counted():
    kernels = planted(2, 8, 0)
    kernels[:, :4] *= 1e-5
    kernels[3, 7, 1, 1] = np.nan
    verdict = analysis.judge(kernels, patch_basis=BASES[3])
    assert (verdict.excluded, verdict.networks) == (1, 9)
    assert (verdict.kernels, verdict.live) == (144, 108)
    assert verdict.r2_all == pytest.approx(verdict.rungs[0].value, abs=0.05)
    text = " ".join(analysis.claims(verdict))
    assert "36 dead kernels left out, 1 networks excluded" in text


def test_nothing_moved_nothing_claimed():
    verdict = analysis.judge(np.zeros((10, 4, 3, 3)), patch_basis=BASES[3])
    assert verdict.tier == "unresolved"
    assert verdict.live == 0
    assert "no live kernels" in analysis.claims(verdict)[0]


def test_scale_of_networks_and_kernels_does_not_matter():
    kernels = planted(2, 0.5, 0)
    scale = RNG(1).uniform(0.3, 3, (10, 16, 1, 1))
    first, second = (
        analysis.judge(k, patch_basis=BASES[3]).rungs for k in (kernels, kernels * scale)
    )
    for one, two in zip(first, second, strict=True):
        assert one.value == pytest.approx(two.value)
        assert one.p == two.p


@pytest.mark.parametrize(
    "call",
    [
        lambda k: analysis.judge(k[0]),
        lambda k: analysis.judge(k, start=k[:5]),
        lambda k: analysis.judge(k, level=5),
        lambda k: analysis.judge(k, patch_basis=np.eye(25)),
        lambda k: analysis.gradient_plane(4),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(ValueError, match=r"must|needs"):
        call(np.ones((10, 4, 3, 3)))
