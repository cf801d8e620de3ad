"""Each control does what it claims, and nothing besides."""

import numpy as np
import pytest

from kernelstudy.analysis import patch_pca
from kernelstudy.config import INPUTS
from kernelstudy.data import controls

CONTROLS = [name for name in INPUTS if name != "natural"]


def smooth(count, h, w, channels, seed=0):
    """Images with a spectrum that falls, like natural ones, and colours that go together."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, h, w, 1)) + 0.3 * rng.standard_normal(
        (count, h, w, channels)
    )
    for axis in (1, 2):
        noise = noise + 0.45 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
    return noise + rng.standard_normal((1, h, w, channels)) + np.arange(channels)


def form(name, images, train=None, **options):
    return controls.apply(
        controls.fit(name, images if train is None else train, **options), images, block=7
    )


@pytest.fixture(params=[(8, 8, 1), (9, 7, 3), (6, 9, 2)], ids=str)
def images(request):
    return smooth(40, *request.param)


def spectra(images):
    return np.abs(np.fft.fft2(images, axes=(1, 2)))


def test_scrambled_images_keep_their_own_spectrum_and_mean(images):
    found = form("phase_scrambled", images)
    np.testing.assert_allclose(spectra(found), spectra(images), atol=1e-10)
    np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), atol=1e-12)
    assert np.isrealobj(found)


def test_scrambling_keeps_how_colours_go_together():
    images = smooth(5, 9, 7, 3)
    found = form("phase_scrambled", images)
    f, g = (np.fft.fft2(x, axes=(1, 2)) for x in (images, found))
    np.testing.assert_allclose(
        g[..., 0] * g[..., 1].conj(), f[..., 0] * f[..., 1].conj(), atol=1e-9
    )


def test_scrambled_phases_are_uniform_and_differ_between_images():
    images = np.tile(smooth(1, 16, 16, 1), (400, 1, 1, 1))
    found = form("phase_scrambled", images)
    angle = np.angle(np.fft.fft2(found[..., 0]) / np.fft.fft2(images[..., 0]))[:, 3, 5]
    assert abs(np.exp(1j * angle).mean()) < 3 / np.sqrt(400)
    assert abs(np.exp(2j * angle).mean()) < 3 / np.sqrt(400)


def test_scrambling_leaves_no_local_structure():
    """An edge's kurtosis of gradients goes; the same power stays."""
    edge = np.tile((np.arange(32) > 15).astype(float)[None, None, :, None], (50, 32, 1, 1))
    gradient = np.diff(form("phase_scrambled", edge)[..., 0], axis=2)
    kurtosis = (gradient**4).mean() / (gradient**2).mean() ** 2
    before = np.diff(edge[..., 0], axis=2)
    assert (before**4).mean() / (before**2).mean() ** 2 > 10
    assert kurtosis < 4


def test_iid_pixels_have_the_colours_moments_and_nothing_else():
    images = smooth(400, 8, 8, 2)
    found = form("iid", images)
    pixels = found.size / 2
    std = images.std((0, 1, 2))
    assert (abs(found.mean((0, 1, 2)) - images.mean((0, 1, 2))) < 4 * std / np.sqrt(pixels)).all()
    np.testing.assert_allclose(found.std((0, 1, 2)), std, rtol=4 / np.sqrt(2 * pixels))
    z = (found - found.mean((0, 1, 2))) / found.std((0, 1, 2))
    assert abs((z**4).mean() - 3) < 0.1  # Gaussian
    covariance = np.cov(z.reshape(400, -1), rowvar=False)
    off = covariance - np.diag(np.diag(covariance))
    assert abs(off).max() < 5.5 / np.sqrt(400)  # neither neighbours nor colours
    again = form("iid", images[::-1], train=images)
    np.testing.assert_array_equal(again, found)  # nothing of the images themselves


def test_permuted_pixels_are_the_same_pixels_in_one_other_order(images):
    found = form("permuted", images)
    np.testing.assert_array_equal(
        np.sort(found.reshape(40, -1, images.shape[-1]), 1),
        np.sort(images.reshape(40, -1, images.shape[-1]), 1),
    )
    places = np.arange(images[0, ..., 0].size, dtype=float)
    grid = np.repeat(places.reshape(*images.shape[1:3], 1), images.shape[-1], -1)[None]
    order = form("permuted", grid, train=images)[0, ..., 0].astype(int).ravel()
    assert sorted(order) == list(range(len(order)))
    assert list(order) != sorted(order)
    expected = images.reshape(40, -1, images.shape[-1])[:, order]
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_whitened_training_images_have_a_flat_spectrum_and_no_colour_correlation():
    images = smooth(300, 9, 8, 2)
    found = form("whitened", images)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-10)
    f = np.fft.fft2(found, axes=(1, 2))
    cross = np.einsum("nhwc,nhwd->hwcd", f, f.conj()) / (300 * 72)
    np.testing.assert_allclose(cross, np.broadcast_to(np.eye(2), cross.shape), atol=1e-8)


def test_whitening_is_the_same_filter_for_test_images_and_makes_patches_white():
    train, test = smooth(4000, 12, 12, 1), smooth(1000, 12, 12, 1, seed=1)
    test += train.mean(0) - test.mean(0)
    found = form("whitened", test, train=train)
    values = patch_pca(found[..., 0], 3)[0]
    assert values.max() / values.min() < 1.1 < patch_pca(test[..., 0], 3)[0].max()
    both = form("whitened", np.concatenate([train[:5], test[:5]]), train=train)
    np.testing.assert_allclose(both[5:], found[:5], atol=1e-12)


def test_whitening_leaves_out_what_is_not_there():
    grey = np.repeat(smooth(50, 6, 6, 1), 3, axis=-1)  # colours alike: one dimension of three
    found = form("whitened", grey.astype(np.float32))
    assert np.isfinite(found).all()
    assert abs(found).max() < 10
    np.testing.assert_allclose(found[..., 0], found[..., 1], atol=1e-4)


@pytest.mark.parametrize("name", CONTROLS)
def test_an_image_does_not_depend_on_its_neighbours(name, images):
    control = controls.fit(name, images)
    rows = np.array([31, 2, 17])
    np.testing.assert_allclose(
        control(images[rows], rows), controls.apply(control, images)[rows], atol=1e-12
    )


@pytest.mark.parametrize("name", CONTROLS)
def test_seeded_typed_and_numbered_apart_for_test_images(name):
    images = smooth(20, 8, 8, 1).astype(np.float32)
    found = form(name, images)
    assert found.dtype == np.float32
    assert found.shape == images.shape
    np.testing.assert_array_equal(form(name, images), found)
    alike = name in ("permuted", "whitened")
    assert np.array_equal(form(name, images, part=controls.TEST), found) == alike
    assert np.array_equal(form(name, images, seed=1), found) == (name == "whitened")


def test_natural_is_what_it_is_and_others_are_refused():
    images = smooth(3, 4, 4, 1)
    assert form("natural", images).tobytes() == images.tobytes()
    with pytest.raises(ValueError, match="no control"):
        controls.fit("wild", images)
