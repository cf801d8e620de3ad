"""All implementations against SciPy, OpenCV and PyTorch, and the algebra of a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy import ndimage, signal
from skimage import data

from kernelstudy.conv import IMPLS, apply_bank, as_matrix, convolve, correlate, spread
from kernelstudy.handcrafted import bank, kernel, steer
from kernelstudy.handcrafted.linear import PADDINGS

FORMS = [impl for impl in IMPLS if impl != "auto"]
MODES = {"same": "constant", "reflect": "mirror"}


@pytest.fixture(autouse=True)
def strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found, wanted, scale=1.0):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=2e-5, atol=2e-5 * scale)


@pytest.mark.parametrize("impl", IMPLS)
def test_worked_example(impl):
    K = np.arange(1, 10).reshape(3, 3)
    image = np.array([[9, 8, 7, 6], [5, 4, 3, 2], [1, 2, 3, 4], [5, 6, 7, 8]])
    assert correlate(image, K, impl=impl)[..., 0].tolist() == [[154, 157], [200, 233]]
    assert convolve(image, K, impl=impl)[..., 0].tolist() == [[266, 233], [160, 157]]


@pytest.mark.parametrize("impl", FORMS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(3, 3), (5, 5), (5, 3), (1, 4), (2, 2), (11, 11)])
def test_every_form_and_padding_is_the_matrix(impl, padding, size):
    images, kernels = draw(2, 13, 12), draw(4, *size, seed=1)
    found = correlate(images, kernels, padding=padding, impl=impl)
    rows = [[as_matrix(k, (13, 12), padding) @ x.ravel() for k in kernels] for x in images]
    wanted = np.moveaxis(np.array(rows), 1, -1)
    close(found, wanted.reshape(found.shape), scale=np.prod(size))


@pytest.mark.parametrize("impl", FORMS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_a_buffer_is_written_to(impl, padding):
    images, kernels = draw(2, 13, 12), draw(4, 5, 3, seed=1)
    found = correlate(images, kernels, padding=padding, impl=impl)
    buffer = jnp.zeros_like(found)
    again = correlate(images, kernels, padding=padding, impl=impl, out=buffer)
    close(again, found, scale=15)
    assert buffer.is_deleted()


@pytest.mark.parametrize("impl", FORMS)
@pytest.mark.parametrize("padding", MODES)
def test_scipy_on_a_photo(impl, padding):
    photo = data.camera()[100:180, 150:250]
    for weights in bank("derivative").values():
        found = correlate(photo, weights, padding=padding, impl=impl)[..., 0]
        wanted = ndimage.correlate(photo.astype(float), weights, mode=MODES[padding])
        close(found, wanted, scale=255)
    wanted = ndimage.convolve(photo.astype(float), kernel("sobel_x"), mode=MODES[padding])
    close(convolve(photo, kernel("sobel_x"), padding=padding)[..., 0], wanted, scale=255)


def test_opencv_on_a_photo():
    cv2 = pytest.importorskip("cv2")
    photo = data.camera().astype(np.float32) / 255
    borders = {"same": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
    for padding, border in borders.items():
        maps = apply_bank(photo, "derivative", padding=padding)
        for i, weights in enumerate(bank("derivative").values()):
            close(maps[..., i], cv2.filter2D(photo, cv2.CV_32F, weights, borderType=border), 10)


@pytest.mark.parametrize("impl", FORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_torch_conv2d(impl, channels):
    torch = pytest.importorskip("torch")
    images, kernels = draw(3, 9, 8, channels), draw(5, 5, channels, 7, seed=1)
    theirs = torch.nn.functional.conv2d(
        torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(kernels.transpose(3, 2, 0, 1))
    )
    close(correlate(images, kernels, impl=impl), theirs.numpy().transpose(0, 2, 3, 1), scale=25)


def test_convolve_flips_and_correlate_does_not():
    ramp = np.tile(np.arange(8.0), (6, 1))
    step = (ramp > 3).astype(float)
    for image in (ramp, step):
        assert correlate(image, kernel("sobel_x")).max() > 0
        assert convolve(image, kernel("sobel_x")).min() < 0
        close(convolve(image, kernel("sobel_x")), -correlate(image, kernel("sobel_x")))
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    weights = draw(3, 3)
    close(convolve(impulse, weights)[..., 0], weights)
    close(correlate(impulse, weights)[..., 0], weights[::-1, ::-1])
    layer = draw(3, 3, 2, 4)
    images = draw(2, 6, 6, 2, seed=1)
    close(convolve(images, layer), correlate(images, layer[::-1, ::-1]), scale=9)


@pytest.mark.parametrize(
    ("images", "kernels", "wanted"),
    [
        ((7, 8), (3, 3), (5, 6, 1)),
        ((7, 8), (4, 3, 3), (5, 6, 4)),
        ((2, 7, 8), (3, 3), (2, 5, 6, 1)),
        ((2, 7, 8), (4, 3, 3), (2, 5, 6, 4)),
        ((2, 7, 8, 3), (3, 3, 3, 4), (2, 5, 6, 4)),
        ((2, 7, 8, 1), (4, 3, 3), (2, 5, 6, 4)),
    ],
)
def test_shapes(images, kernels, wanted):
    for impl in IMPLS:
        found = correlate(draw(*images), draw(*kernels), impl=impl)
        assert found.shape == wanted
        assert correlate(draw(*images), draw(*kernels), out=found).shape == wanted


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from(PADDINGS), st.sampled_from(FORMS))
def test_linear_translated_adjoint(seed, padding, impl):
    x, y, k = draw(10, 9, seed=seed), draw(10, 9, seed=seed + 1), draw(3, 3, seed=seed + 2)

    def layer(image):
        return correlate(image, k, padding=padding, impl=impl)[..., 0]

    close(layer(2 * x - y), 2 * layer(x) - layer(y), scale=9)
    inside = layer(np.roll(x, (1, 1), (0, 1)))[2:-1, 2:-1]
    close(inside, layer(x)[1:-2, 1:-2], scale=9)
    matrix = as_matrix(k, (10, 9), padding)
    z = draw(*layer(x).shape, seed=seed + 3)
    _, adjoint = jax.vjp(layer, jnp.asarray(x))
    close(adjoint(jnp.asarray(z))[0].ravel(), matrix.T @ z.ravel(), scale=9)
    close((layer(x) * z).sum(), (x.ravel() * (matrix.T @ z.ravel())).sum(), scale=90)


@pytest.mark.parametrize("impl", FORMS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_gradients_in_float64(impl, padding):
    with jax.enable_x64(True):
        x, k = np.float64(draw(6, 5)), np.float64(draw(2, 3, 3, seed=1))
        found = correlate(x, k, padding=padding, impl=impl)
        assert found.dtype == jnp.float64
        wanted = as_matrix(k[1], (6, 5), padding) @ x.ravel()
        np.testing.assert_allclose(found[..., 1].ravel(), wanted, rtol=1e-12, atol=1e-12)

        def f(x, k):
            return correlate(x, k, padding=padding, impl=impl)

        check_grads(f, (jnp.asarray(x), jnp.asarray(k)), order=1, modes=["fwd", "rev"])


def test_steering_and_separability():
    photo = data.camera()[:40, :50].astype(np.float32)
    pair = apply_bank(photo, "sobel")
    for theta in (0.3, 2.0):
        turned = correlate(photo, steer(kernel("sobel_x"), kernel("sobel_y"), theta))[..., 0]
        close(turned, np.cos(theta) * pair[..., 0] + np.sin(theta) * pair[..., 1], scale=255)
    rows = correlate(photo, np.array([[-1.0, 0.0, 1.0]]))[..., 0]
    close(correlate(rows, np.array([[1.0], [2.0], [1.0]])), pair[..., :1], scale=255)


def test_apply_bank_takes_groups_names_and_kernels():
    image = draw(12, 12)
    whole = apply_bank(image, "derivative", padding="same")
    assert whole.shape == (12, 12, 6)
    np.testing.assert_array_equal(
        apply_bank(image, ["sobel_x"], padding="same")[..., 0], whole[..., 2]
    )
    own = {"mine": kernel("sobel_x")}
    np.testing.assert_array_equal(apply_bank(image, own, padding="same")[..., 0], whole[..., 2])
    assert apply_bank(image, "derivative", size=5).shape == (8, 8, 4)


def test_types():
    bytes_ = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8
    assert correlate(bytes_, kernel("sobel_x")).dtype == jnp.float32
    assert correlate(bytes_ > 40, kernel("sobel_x")).dtype == jnp.float32
    close(correlate(bytes_, kernel("sobel_x"))[..., 0], np.full((3, 4), 64.0))
    half = correlate(bytes_.astype(jnp.bfloat16), kernel("sobel_x"))
    assert half.dtype == jnp.bfloat16


def test_works_inside_jit_and_vmap():
    images, kernels = draw(4, 8, 8), draw(3, 3, 3, seed=1)
    whole = correlate(images, kernels)
    close(jax.jit(correlate)(images, kernels), whole, scale=9)
    close(jax.vmap(lambda x: correlate(x, kernels))(images), whole, scale=9)


@pytest.mark.parametrize("shape", [(64, 50), (8, 9), (6, 3)])
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (3, 1), (2, 3), (1, 3)])
def test_an_image_in_bands_is_the_image(shape, size):
    """Bands of rows on two devices that tell each other their edges."""
    image, kernels = draw(*shape), draw(5, *size)
    whole = correlate(image, kernels, padding="same")
    bands = correlate(spread(image), kernels, padding="same")
    close(bands, whole, scale=9)
    close(correlate(spread(image), kernels, padding="same", out=bands), whole, scale=9)


def test_what_bands_cannot_do():
    with pytest.raises(ValueError, match="padding 'same'"):
        correlate(spread(draw(8, 8)), draw(3, 3), padding="valid")
    with pytest.raises(ValueError, match="bands no smaller than the kernel"):
        correlate(spread(draw(8, 8)), draw(5, 5), padding="same")


def test_spread_keeps_values():
    images = draw(2 * len(jax.local_devices()), 9, 9)
    close(apply_bank(spread(images)), apply_bank(images), scale=9)
    with pytest.raises(ValueError, match="multiple of"):
        spread(draw(9, 9))


@pytest.mark.parametrize(
    ("images", "kernels", "options", "words"),
    [
        (draw(9, 9), draw(3, 3), {"padding": "full"}, "valid, same, reflect"),
        (draw(9, 9), draw(3, 3), {"impl": "fft"}, "auto, lax, gemm, shift"),
        (draw(9), draw(3, 3), {}, "images must be"),
        (draw(9, 9), draw(3), {}, "kernels must be"),
        (draw(2, 9, 9, 3), draw(3, 3), {}, "images of 3 channels need kernels"),
        (draw(2, 9, 9), draw(3, 3, 2, 4), {}, "images of 1 channels need kernels"),
        (draw(2, 2), draw(3, 3), {}, "at least 3 pixels"),
        (draw(2, 2), draw(5, 5), {"padding": "reflect"}, "at least 3 pixels"),
        (draw(0, 9, 9), draw(3, 3), {}, "empty"),
        (draw(9, 9) * 1j, draw(3, 3), {}, "real numbers"),
        (draw(9, 9), draw(3, 3), {"out": np.zeros((7, 7))}, r"\(7, 7, 1\)"),
    ],
)
def test_errors(images, kernels, options, words):
    with pytest.raises(ValueError, match=words):
        correlate(images, kernels, **options)


def test_a_bank_of_unequal_sizes_is_refused():
    with pytest.raises(ValueError, match="all of one size"):
        apply_bank(draw(9, 9), {"a": np.ones((3, 3)), "b": np.ones((5, 5))})
    with pytest.raises(ValueError, match="unknown bank"):
        apply_bank(draw(9, 9), "edges")


def test_valid_correlation_is_scipys_on_a_ramp_a_step_and_an_impulse():
    y, x = np.mgrid[:12, :12].astype(float)
    for image in (x, y, x > 5, x**2 + y**2, (x == 4) & (y == 5)):
        for weights in bank("all").values():
            wanted = signal.correlate2d(image.astype(float), weights, mode="valid")
            close(correlate(image, weights)[..., 0], wanted, scale=300)
