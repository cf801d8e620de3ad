"""Kinds of kernels: what each is called, what chance gives, and planted mixtures."""

import numpy as np
import pytest
from scipy import stats

from kernelstudy import handcrafted
from kernelstudy.analysis import (
    KINDS,
    count_kinds,
    kind_agreement,
    kind_of,
    kinds_by_chance,
    patch_pca,
)
from kernelstudy.analysis.kind_counts import (
    ALL_KINDS,
    counts_as_family,
    isotropic_rates,
    signs_drawn,
)
from kernelstudy.handcrafted import family

RNG = np.random.default_rng


def names_of(kernels):
    return [(*KINDS, "mixed", "none")[i] for i in np.atleast_1d(kind_of(kernels).index)]


@pytest.mark.parametrize(
    ("name", "kind", "sizes"),
    [
        ("box", "low-pass", (3, 5, 7, 11)),
        ("gaussian", "low-pass", (3, 5, 7, 11)),
        ("sobel_x", "edge", (3, 5, 7, 11)),
        ("prewitt_y", "edge", (3, 5, 7)),
        ("scharr_x", "edge", (3,)),
        ("central_x", "edge", (3,)),
        ("kirsch_3", "edge", (3,)),
        ("robinson_5", "edge", (3,)),
        ("gauss_dx", "edge", (3, 5, 7, 11)),
        ("gauss_dxx", "line", (3, 5, 7, 11)),
        ("gauss_dxy", "line", (3, 5, 7, 11)),
        ("dct_0_2", "line", (3,)),
        ("laplacian4", "blob", (3,)),
        ("laplacian8", "blob", (3,)),
        ("log", "blob", (3, 5, 7, 11)),
        ("dog", "blob", (3, 5, 7, 11)),
        ("identity", "blob", (3, 5, 7)),
        ("dct_2_2", "checker", (3,)),
        ("dct_0_3", "grating", (5, 7)),
    ],
)
def test_hand_crafted_kernels_are_of_their_kind(name, kind, sizes):
    for size in sizes:
        made = handcrafted.kernel(name, size)
        turned = np.stack([np.rot90(made, i) * sign for i in range(4) for sign in (1, -2.5)])
        assert names_of(turned) == [kind] * 8, size


def test_an_edge_is_one_at_any_angle_and_a():
    angles = np.linspace(-3, 3, 25)
    for a in (0.5, 1.0, 2.0, 10 / 3, 20.0):
        found = kind_of(family(a, angles))
        assert set(found.index) == {KINDS.index("edge")}
        assert found.share.min() > 0.995  # the grid of a


def test_the_share_is_the_closed_form_of_the_best_derivative():
    """Of 3 x 3 kernels whose best rank-one gradient has a > 0: its energy (Eckart & Young)."""
    kernels = RNG(0).standard_normal((500, 3, 3))
    m = np.stack(
        [
            (kernels[:, 1, 2] - kernels[:, 1, 0]) / 2**0.5,
            (kernels[:, 2, 1] - kernels[:, 0, 1]) / 2**0.5,
            (kernels[:, 0, 2] + kernels[:, 2, 2] - kernels[:, 0, 0] - kernels[:, 2, 0]) / 2,
            (kernels[:, 2, 0] + kernels[:, 2, 2] - kernels[:, 0, 0] - kernels[:, 0, 2]) / 2,
        ],
        axis=-1,
    ).reshape(-1, 2, 2)
    u, s, _ = np.linalg.svd(m)
    energy = (kernels**2).sum((1, 2))
    expected = s[:, 0] ** 2 / energy
    found = kind_of(kernels)
    same_sign = u[:, 0, 0] * u[:, 1, 0] > 0
    edges = found.index == KINDS.index("edge")
    assert (edges & same_sign).sum() > 60
    np.testing.assert_allclose(
        found.share[edges & same_sign], expected[edges & same_sign], atol=0.005
    )
    others = (expected > 0.53) & same_sign & ~edges
    # those have more of another kind, which overlaps: none, for other kinds are even
    assert not others.any()


def test_gratings_need_room():
    made = np.stack(
        [
            handcrafted.kernel("gabor", 7, theta=t, wavelength=3.0, sigma=2.0, gamma=1.0, phase=p)
            for t in (0, 0.6, 1.2)
            for p in (0, 1)
        ]
    )
    assert names_of(made) == ["grating"] * 6


def test_zero_and_odd_shapes():
    assert kind_of(np.zeros((2, 3, 3))).index.tolist() == [-1, -1]
    assert np.isnan(kind_of(np.zeros((3, 3))).share)
    with pytest.raises(ValueError, match="3x3"):
        kind_of(np.ones((2, 2)))
    with pytest.raises(ValueError, match="square"):
        kind_of(np.ones((3, 5)))


def test_chance_of_low_pass_is_exact():
    """The constant's share of an isotropic kernel is Beta(1/2, 4)."""
    rates = dict(zip(ALL_KINDS, isotropic_rates(3), strict=True))
    assert sum(rates.values()) == pytest.approx(1)
    assert rates["low-pass"] == pytest.approx(stats.beta(0.5, 4).sf(0.5), abs=0.003)
    assert rates["grating"] == 0


def planted(rng, nets=10):
    """Six edges, four low-pass kernels, three lines, a blob and two of noise a network."""
    edges = family(1.5, rng.uniform(-3, 3, (nets, 6)))
    low = np.ones((nets, 4, 3, 3))
    line = np.outer([1, 2, 1], [1, -2, 1])
    lines = np.stack([[np.rot90(line, i) for i in range(3)]] * nets)
    blobs = np.broadcast_to(handcrafted.kernel("laplacian8"), (nets, 1, 3, 3))
    parts = [
        p / np.linalg.norm(p, axis=(-2, -1), keepdims=True) for p in (edges, low, lines, blobs)
    ]
    noise = rng.standard_normal((nets, 2, 3, 3)) / 3
    return np.concatenate([*parts, noise], axis=1) + 0.05 * rng.standard_normal((nets, 16, 3, 3))


def test_planted_mixtures_are_counted():
    counts = count_kinds(planted(RNG(0), 200)).mean(0)
    rates = isotropic_rates(3)
    expected = np.array([4, 6, 3, 1, 0, 0, 0]) + 2 * rates
    np.testing.assert_allclose(counts, expected, atol=0.25)


def test_counts_beside_chance():
    basis = patch_pca(RNG(1).standard_normal((20, 12, 12)).cumsum(1).cumsum(2), 3)[1]
    kernels = planted(RNG(0))
    start = RNG(2).standard_normal(kernels.shape)
    found = {
        (rung.measure, rung.null): rung
        for rung in kinds_by_chance(kernels, start=start, patch_basis=basis, controls=kernels)
    }
    edge = found["edge", "N0"]
    assert edge.value == pytest.approx(6.4, abs=0.5)
    assert edge.chance == pytest.approx(16 * isotropic_rates(3)[1])
    assert edge.passed
    assert edge.p < 0.01
    assert found["edge", "N1"].chance == pytest.approx(edge.chance, abs=1)
    assert found["low-pass", "N2"].value == pytest.approx(found["low-pass", "N2"].chance, abs=0.2)
    assert found["edge", "N2"].passed
    assert found["edge", "N4"].difference == 0
    assert not found["edge", "N4"].passed


def test_chance_is_called_chance():
    passed = []
    for seed in range(30):
        rungs = kinds_by_chance(RNG(seed).standard_normal((8, 16, 3, 3)))
        edges = next(rung for rung in rungs if (rung.null, rung.measure) == ("N0", "edge"))
        assert counts_as_family({"only": rungs})["only"] == rungs  # a family of one: q is p
        passed.append(edges.passed)
    assert sum(passed) <= 4


def test_signs_keep_norm_mean_and_energies():
    kernels = RNG(0).standard_normal((50, 5, 5)) + 0.5
    basis = np.linalg.qr(np.c_[np.ones(25), RNG(1).standard_normal((25, 24))])[0].T
    drawn = signs_drawn(kernels, basis, RNG(2))
    on = [(k.reshape(50, 25) @ basis.T) for k in (kernels, drawn)]
    np.testing.assert_allclose(np.abs(on[0]), np.abs(on[1]), atol=1e-12)
    np.testing.assert_allclose(kernels.mean((1, 2)), drawn.mean((1, 2)))
    assert 0.4 < np.mean(on[0][:, 1:] * on[1][:, 1:] > 0) < 0.6


def test_dead_kernels_and_broken_networks_do_not_count():
    kernels = planted(RNG(0), 3)
    kernels[0, :6] *= 1e-6
    kernels[1, 0, 0, 0] = np.nan
    counts = count_kinds(kernels)
    assert counts[0].sum() == 10
    assert np.isnan(counts[1]).all()
    assert counts[2].sum() == 16


PURE = {
    "edge": handcrafted.kernel("sobel_x"),
    "low-pass": np.ones((3, 3)) / 2,
    "blob": handcrafted.kernel("laplacian8"),
}


def of_kinds(*networks):
    """Networks whose kernels are of the kinds named."""
    return np.array([[PURE[kind] for kind in kinds] for kinds in networks], dtype=float)


def test_two_networks_agree_on_what_pairs_off():
    found = kind_agreement(
        of_kinds(["edge"] * 3 + ["blob"], ["edge"] * 2 + ["low-pass", "blob"], ["blob"] * 4)
    )
    assert found.n == 3
    assert found.share == pytest.approx((3 + 1 + 1) / (3 * 4))
    same = kind_agreement(of_kinds(*[["edge", "blob", "low-pass"]] * 4))
    assert (same.share, same.ci_low, same.ci_high) == (1, 1, 1)
    assert same.drawn < 1


def test_agreement_by_chance_is_that_of_drawn_networks():
    """Both expectations, by drawing networks; the isotropic ones are random kernels themselves."""
    rng = RNG(0)
    rates = isotropic_rates(3)
    random = kind_agreement(rng.standard_normal((60, 16, 3, 3)))
    drawn = rng.multinomial(16, rates, size=(2, 20_000))
    expected = np.minimum(*drawn).sum(-1).mean() / 16
    assert random.random == pytest.approx(expected, abs=0.005)
    assert random.ci_low < random.random < random.ci_high
    assert random.share == pytest.approx(random.drawn, abs=0.02)


def test_the_interval_of_agreement_covers_what_networks_agree_on_in_truth():
    rng, kinds = RNG(1), np.array(list(PURE))
    rates = np.array([0.5, 0.3, 0.2])
    drawn = rng.multinomial(12, rates, size=(2, 100_000))
    truth = np.minimum(*drawn).sum(-1).mean() / 12
    covered = [
        found.ci_low <= truth <= found.ci_high
        for found in (
            kind_agreement(of_kinds(*rng.choice(kinds, (8, 12), p=rates))) for _ in range(150)
        )
    ]
    assert np.mean(covered) >= 0.9


def test_networks_that_differ_as_wholes_agree_on_less_than_draws_from_their_mixture():
    found = kind_agreement(of_kinds(*[["edge"] * 8] * 4, *[["blob"] * 8] * 4))
    assert found.share == pytest.approx(12 / 28)
    assert found.share < found.drawn - 0.3


def test_agreement_of_few_broken_and_dead_networks():
    kernels = of_kinds(["edge"] * 4, ["edge"] * 4, ["edge"] * 4)
    kernels[2, 0, 0, 0] = np.nan
    kernels[1, 0] *= 1e-9
    found = kind_agreement(kernels)
    assert (found.n, found.share) == (2, 0.75)
    assert found.drawn == pytest.approx(0.75)
    assert np.isnan(found.ci_low)
    assert np.isnan(kind_agreement(kernels[:1]).share)
