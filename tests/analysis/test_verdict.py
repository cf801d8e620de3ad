"""The claims: right on planted kernels, silent on chance, honest where nothing can be said."""

import re

import numpy as np
import pytest
from scipy import stats

from kernelstudy import analysis
from kernelstudy.analysis.ladder import (
    derivative_plane,
    permuted_mean,
    phases_mean,
    plane_axes,
    plane_r2,
    signs_mean,
)
from kernelstudy.analysis.nulls import zero_mean_axes
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
    assert verdict.tier == "beyond image energies"
    assert verdict.derivative_like
    assert verdict.operator == "Sobel"
    assert [rung.null for rung in verdict.rungs] == ["N0", "N1", "N2", "N3"]
    assert all(rung.passed and rung.p == rung.q < 0.01 for rung in verdict.rungs)
    assert {rung.measure for rung in verdict.rungs} == {"r2_centered"}
    assert {rung.measure for rung in verdict.raw} == {"r2"}
    assert verdict.significant == verdict.live == 160
    words = analysis.claims(verdict)
    assert words[0] == (
        "The kernels are derivative-like, more so than their energies on the images' own axes imply."
    )
    n2 = verdict.rungs[2]
    assert any(
        w.startswith(f"N2: r2_centered {n2.value:.3f} against {n2.chance:.3f}") for w in words
    )
    assert words[-1].endswith("Sobel.")


def test_between_two_operators_is_unresolved():
    verdict = analysis.judge(planted(1.7, 8, 0, channels=4), patch_basis=BASES[3])
    assert verdict.derivative_like
    assert verdict.operator == "unresolved"
    assert verdict.reason.startswith("the interval of a holds")


def test_an_operator_that_is_missed_by_little_is_told_as_nearest():
    """As after training on labels that Sobel makes, where a ends at 1.92: surely near, surely not it."""
    for a, near in ((1.85, "Sobel, of 2"), (3.0, "Scharr, of 3.33"), (1.6, "Frei-Chen, of 1.41")):
        naming = analysis.name_operator(planted(a, 200, 0))
        assert naming.operator == "unresolved"
        assert naming.reason == f"the interval of a holds no named operator; nearest is {near}"
        name, far = naming.a.nearest()
        ends = naming.a.phi_low, naming.a.phi_high
        assert far == pytest.approx(
            min(abs(analysis.phi_of_a(analysis.OPERATORS[name]) - e) for e in ends)
        )
    spread = analysis.name_operator(mixture(planted(1, 20, 0), planted(10 / 3, 20, 1)))
    assert "nearest" not in spread.reason


def test_a_name_is_of_what_is_there_whatever_the_images_imply():
    """Prewitt is what photographs imply, too: named, and not beyond their energies."""
    for basis in (None, BASES[3]):
        verdict = analysis.judge(planted(1, 8, 0), patch_basis=basis)
        assert (verdict.tier, verdict.operator) == ("spatially structured", "Prewitt")
    assert np.isnan(analysis.judge(planted(2, 8, 0)).a_images)


def mixture(*parts):
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("kernels", "said"),
    [
        (mixture(planted(2, 20, 0), planted(1, 20, 1)), "mixture"),
        (mixture(planted(1, 20, 0), planted(10 / 3, 20, 1)), "the interval of a holds no named"),
        (planted(2, 0.7, 0, channels=8), "to tell one operator from a mixture|the interval of a"),
    ],
)
def test_a_mixture_has_no_name(kernels, said):
    verdict = analysis.judge(kernels, patch_basis=BASES[3])
    assert verdict.operator == "unresolved"
    assert re.search(said, verdict.reason), verdict.reason


def test_kernels_that_spread_over_a_have_no_name():
    """Mean a of 1.7, spread 45%: their interval can hold 2."""
    rng = RNG(0)
    a = 1.7 * np.exp(0.45 * rng.standard_normal((10, 16)))
    theta = rng.uniform(-np.pi, np.pi, (10, 16))
    kernels = np.array(
        [[family(x, t) for x, t in zip(*row, strict=True)] for row in zip(a, theta, strict=True)]
    )
    kernels /= np.linalg.norm(kernels, axis=(-2, -1), keepdims=True)
    verdict = analysis.judge(kernels + 0.02 * rng.standard_normal(kernels.shape))
    assert verdict.operator == "unresolved"
    assert verdict.naming.spread == pytest.approx(np.std(analysis.phi_of_a(a)), rel=0.3)


def test_other_kernels_do_not_change_the_name_of_the_edges():
    """Half Prewitt, half Laplacian: the edges are Prewitts; a kernel that is both is no edge."""
    laplacian = np.broadcast_to(kernel("laplacian8"), (10, 16, 3, 3)) / np.linalg.norm(
        kernel("laplacian8")
    )
    noise = RNG(5).standard_normal(laplacian.shape) / 20
    half = analysis.judge(mixture(planted(1, 20, 0), laplacian + noise))
    assert (half.operator, half.naming.edges) == ("Prewitt", 160)
    both = analysis.judge(planted(1, 50, 0) + 1.2 * 50**0.5 * laplacian)
    assert both.operator == "unresolved"


def test_the_few_edges_that_noise_makes_have_no_name():
    """Of Prewitt plus a stronger Laplacian 0.4 of 16 kernels are edges; of random kernels 3.8 are."""
    laplacian = kernel("laplacian8") / np.linalg.norm(kernel("laplacian8"))
    found = [
        analysis.name_operator(planted(1, 20, seed) + 1.2 * 20**0.5 * laplacian)
        for seed in range(100)
    ]
    assert {naming.operator for naming in found} == {"unresolved"}
    assert "no more of its kernels are edges than of random ones" in {n.reason for n in found}
    assert (
        sum(naming.a is not None and naming.a.resolved for naming in found) > 2
    )  # it would be named


def test_at_45_degrees_two_operators_have_one_name():
    """The compass mask of Sobel at 45 degrees is the steered Prewitt."""
    mask = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]) / 12**0.5
    turned = np.stack([np.rot90(mask, i) for i in range(16)])
    kernels = turned + RNG(0).standard_normal((10, 16, 3, 3)) / 20
    verdict = analysis.judge(kernels)
    assert verdict.operator == "unresolved"
    assert "45 degrees" in verdict.reason


def test_the_family_of_a_report_is_paid_for():
    """One layer of eight with a small p: p alone passes it, q over the report does not."""
    verdicts = {i: analysis.judge(RNG(i).standard_normal((10, 16, 3, 3))) for i in range(8)}
    verdicts["weak"] = analysis.judge(planted(2, 0.08, 3))
    alone = verdicts["weak"].rungs[0]
    found = analysis.as_family(verdicts)
    p = [v.rungs[0].p for v in verdicts.values()]
    q = [v.rungs[0].q for v in found.values()]
    np.testing.assert_allclose(q, stats.false_discovery_control(p))
    assert alone.q == alone.p
    assert all(
        v.rungs[0].passed == bool(v.rungs[0].difference > 0 and v.rungs[0].q <= 0.05)
        for v in found.values()
    )


def test_the_centred_measure_decides_and_the_raw_one_is_shown():
    """Edges under a large mean: of the whole kernel little is gradient, of the rest all."""
    kernels = planted(2, 20, 0) + 4
    verdict = analysis.judge(kernels)
    assert verdict.derivative_like
    assert verdict.rungs[0].value > 0.8
    assert verdict.raw[0].value < 0.25
    low = analysis.judge(planted(0, 0, 1) + np.sign(RNG(0).standard_normal((10, 16, 1, 1))))
    np.testing.assert_allclose(low.rungs[0].chance, 2 / 8)
    np.testing.assert_allclose([r.chance for r in low.rungs[:2]], 2 / 8)
    np.testing.assert_allclose(low.raw[0].chance, 2 / 9)
    assert low.raw[1].chance < 0.2  # permuting taps leaves the mean


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


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("centered", [False, True])
def test_n3_has_the_exact_means_over_signs_and_phases(size, centered):
    kernels = RNG(3).standard_normal((6, size, size)).cumsum(-1) + 0.3
    axes = plane_axes(kernels, *derivative_plane(size))
    basis = zero_mean_axes(BASES[size], kernels.shape)
    np.testing.assert_allclose(basis @ basis.T, np.eye(size**2 - 1), atol=1e-12)
    np.testing.assert_allclose(basis.sum(1), 0, atol=1e-12)
    mean = kernels.mean((1, 2), keepdims=True)
    flat, rng = (kernels - mean).reshape(6, -1), RNG(4)
    signs = rng.choice([-1.0, 1.0], (4000, 6, size**2 - 1))
    drawn = ((flat @ basis.T) * signs @ basis).reshape(-1, *kernels.shape) + mean
    expected = plane_r2(drawn, axes, centered=centered).mean(0)
    np.testing.assert_allclose(
        signs_mean(kernels, axes, basis, centered=centered), expected, atol=0.02
    )
    copies = np.broadcast_to(kernels, (4000, *kernels.shape))
    scrambled = analysis.phase_scrambled(copies, 5)
    expected = plane_r2(scrambled, axes, centered=centered).mean(0)
    np.testing.assert_allclose(phases_mean(kernels, axes, centered=centered), expected, atol=0.02)


def null_kernels(kind, size, rng, nets=10, channels=16):
    """Kernels in which there is no operator, though much may differ between them."""
    basis, d = BASES[size], size**2
    scale = np.geomspace(3, 0.1, d)
    shape = (nets, channels, size, size)
    gauss = (rng.standard_normal((nets, channels, d)) * scale @ basis).reshape(shape)
    white = rng.standard_normal(shape) * np.sqrt(np.mean(gauss**2))
    half = np.arange(channels)[:, None, None] < channels // 2
    if kind == "laplace":
        return (rng.laplace(size=(nets, channels, d)) * scale @ basis).reshape(shape)
    if kind == "unequal means":
        mean = gauss.mean((-2, -1), keepdims=True)
        return gauss - mean + mean * np.exp(1.5 * rng.standard_normal((nets, channels, 1, 1)))
    if kind == "half white":
        return np.where(half, gauss, white)
    if kind == "half whitened":
        whitened = (rng.standard_normal((nets, channels, d)) / scale @ basis).reshape(shape)
        return np.where(half, gauss, whitened)
    if kind == "rank one":
        u, v = rng.standard_normal((2, nets, channels, size))
        return u[..., :, None] * v[..., None, :]
    if kind == "orthogonal":
        q = np.linalg.qr(rng.standard_normal((nets, d, d)))[0]
        return q[:, : min(channels, d)].reshape(nets, -1, size, size)
    assert kind == "phases"
    return analysis.phase_scrambled(planted(2, 8, 0, size=size), rng)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(
    "kind",
    ["laplace", "unequal means", "half white", "half whitened", "rank one", "orthogonal", "phases"],
)
def test_what_holds_no_operator_does_not_pass_n3(kind, size):
    passed = 0
    for seed in range(40):
        verdict = analysis.judge(null_kernels(kind, size, RNG(seed)), patch_basis=BASES[size])
        passed += bool(next(r for r in verdict.rungs if r.null == "N3").passed)
    assert passed <= 4  # 1 is nominal; 5 of 40 has a chance of 0.3%


def test_n3_draws_are_not_beyond_image_energies():
    layer = planted(1.2, 3, 0)
    found = []
    for seed in range(60):
        drawn = analysis.covariance_matched(layer, BASES[3], 160, seed).reshape(10, 16, 3, 3)
        verdict = analysis.judge(drawn, patch_basis=BASES[3], seed=seed)
        found.append(verdict.tier == "beyond image energies")
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
