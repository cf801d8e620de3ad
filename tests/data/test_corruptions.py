"""Changed test images against closed forms and SciPy; Gaussian clones by their moments."""

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from kernelstudy.data import corruptions, images
from kernelstudy.system.errors import ConfigError


@pytest.fixture(scope="module")
def digits():
    found = images.load("mnist5k")
    return found.test_images, found.test_labels


def changed(text, some, labels=None):
    return corruptions.changed(text, some, np.zeros(len(some), int) if labels is None else labels)


def test_noise_is_white_and_of_the_variance_it_says(digits):
    some, labels = digits
    added = changed("noise@0.2", some, labels).astype(float) - some
    n = added.size
    assert abs(added.mean()) < 5 * 0.2 / np.sqrt(n)
    assert abs(added.var() / 0.04 - 1) < 5 * np.sqrt(2 / n)
    assert abs((added[:, 1:] * added[:, :-1]).mean()) < 5 * 0.04 / np.sqrt(n)
    assert stats.kstest(added.ravel()[::10] / 0.2, "norm").pvalue > 1e-3


def test_changes_are_of_the_row_alone(digits):
    some, labels = digits
    for text in ("noise@0.2", "shift@2", "blur@1", "contrast@0.5"):
        whole = changed(text, some, labels)
        assert whole.dtype == some.dtype
        np.testing.assert_array_equal(whole[:50], changed(text, some[:50], labels[:50]))
        np.testing.assert_array_equal(whole, changed(text, some, labels))


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.5])
def test_blur_is_scipys_and_attenuates_a_grating_as_a_gaussian_does(sigma):
    rng = np.random.default_rng(0)
    some = rng.standard_normal((3, 20, 24, 3)).astype(np.float32)
    found = changed(f"blur@{sigma}", some)
    for n in range(3):
        for c in range(3):
            one = gaussian_filter1d(
                gaussian_filter1d(some[n, ..., c].astype(float), sigma, 0), sigma, 1
            )
            np.testing.assert_allclose(found[n, ..., c], one, atol=1e-6)
    np.testing.assert_allclose(
        found[0, ..., 0], gaussian_filter(some[0, ..., 0].astype(float), sigma), atol=1e-6
    )
    frequency, x = 0.1, np.arange(64)
    grating = (
        np.sin(2 * np.pi * frequency * x)[None, None, :, None].repeat(64, 1).astype(np.float32)
    )
    middle = np.s_[0, 32, 16:48, 0]
    expected = np.exp(-2 * (np.pi * frequency * sigma) ** 2) * grating[middle]
    np.testing.assert_allclose(changed(f"blur@{sigma}", grating)[middle], expected, atol=4e-3)


def test_contrast_keeps_the_mean_and_scales_the_deviation(digits):
    rng = np.random.default_rng(0)
    some = rng.standard_normal((5, 8, 9, 3))
    found = changed("contrast@0.25", some)
    np.testing.assert_allclose(found.mean((1, 2)), some.mean((1, 2)))
    np.testing.assert_allclose(found.std((1, 2)), 0.25 * some.std((1, 2)))
    np.testing.assert_allclose(changed("contrast@4", found), some)


def test_shift_moves_by_so_many_pixels_in_each_of_four_directions(digits):
    some, labels = digits
    found, seen = changed("shift@3", some, labels), []
    for before, after in zip(some[:60], found[:60], strict=True):
        padded = np.pad(before, ((3, 3), (3, 3), (0, 0)), mode="edge")
        moved = {
            (y, x): padded[3 - y : 31 - y, 3 - x : 31 - x]
            for y, x in ((3, 0), (-3, 0), (0, 3), (0, -3))
        }
        seen.append([move for move, image in moved.items() if np.array_equal(image, after)])
    assert all(len(moves) == 1 for moves in seen)
    assert {moves[0] for moves in seen} == {(3, 0), (-3, 0), (0, 3), (0, -3)}


def test_a_clone_has_the_mean_and_covariance_of_its_class_and_is_gaussian(digits, monkeypatch):
    some, labels = digits
    for most in (corruptions.MOST, 40):  # in one piece, and in parts
        monkeypatch.setattr(corruptions, "MOST", most)
        clone = changed("gaussian_clone", some, labels)
        for label in (0, 7):
            real, made = (
                of[labels == label].reshape(100, -1).astype(float) for of in (some, clone)
            )
            np.testing.assert_allclose(made.mean(0), real.mean(0), atol=1e-5)
            np.testing.assert_allclose(np.cov(made.T), np.cov(real.T), atol=1e-4)
            assert abs(made - real).max() > 1
    monkeypatch.undo()
    clone = changed("gaussian_clone", some, labels)

    def excess(of):
        """Mean excess kurtosis and mean |skewness| of the pixels that vary most, within classes."""
        found = []
        for label in range(10):
            pixels = of[labels == label].reshape(100, -1).astype(float)
            pixels = pixels[:, np.argsort(pixels.var(0))[-50:]]
            found.append((stats.kurtosis(pixels).mean(), abs(stats.skew(pixels)).mean()))
        return np.mean(found, 0)

    assert excess(some)[0] < -1  # digits are black or white
    assert abs(excess(clone)[0]) < 0.15
    assert excess(clone)[1] < 1.5 * np.sqrt(6 / 100)


def test_clones_of_colours_keep_how_these_go_together():
    rng = np.random.default_rng(0)
    some = (rng.standard_normal((60, 4, 4, 3)) ** 3 @ rng.standard_normal((3, 3))).astype(
        np.float32
    )
    labels = np.arange(60) % 2
    clone = changed("gaussian_clone", some, labels)
    for label in (0, 1):
        real, made = (np.cov(of[labels == label].reshape(30, -1).T) for of in (some, clone))
        np.testing.assert_allclose(made, real, atol=1e-3 * abs(real).max())


def test_weights_of_a_clone_are_drawn_from_all_rotations():
    """Of a point on the sphere that the mean leaves free each coordinate has variance 1 - 1/n, over draws."""
    rng, n = np.random.default_rng(0), 5
    weights = np.stack([corruptions._rotated(np.eye(n), rng) for _ in range(4000)]) - 1 / n
    np.testing.assert_allclose(weights.mean(0), 0, atol=0.03)
    np.testing.assert_allclose((weights**2).mean(0), (1 - 1 / n) / n, atol=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shift@8", r"tests\[0\]: shift@8 leaves nothing of images of 8 x 9"),
        (
            "gaussian_clone",
            r"tests\[0\]: .* needs 20 test images of every class, and class 1 has 19",
        ),
    ],
)
def test_tests_that_the_images_cannot_serve(text, said):
    labels = np.repeat([0, 1], [30, 19])
    with pytest.raises(ConfigError, match=said):
        corruptions.check([text], labels, (8, 9, 1))
    corruptions.check(["shift@7", "noise@1"], labels, (8, 9, 1))
