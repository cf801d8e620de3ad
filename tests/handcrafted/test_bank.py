"""Each kernel against an independent library, a closed form, or its published numbers."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft, ndimage, signal
from skimage import filters

from kernelstudy.handcrafted import bank, family, info, kernel, names, steer
from kernelstudy.handcrafted.entries import ODD, OPERATORS
from kernelstudy.handcrafted.stencils import default_sigma

ALL = [(name, size) for size in (2, *ODD) for name in names(size)]
DERIVATIVES = ["prewitt", "sobel", "scharr", "central"]


def respond(image, weights):
    """Cross-correlation on the pixels where the kernel fits."""
    return signal.correlate2d(image, weights, mode="valid")


def ramp(size=15):
    return np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float))


@pytest.mark.parametrize(("name", "size"), ALL)
def test_every_kernel_has_its_size_and_is_a_fresh_finite_float64(name, size):
    first = kernel(name, size)
    assert first.shape == (size, size)
    assert first.dtype == np.float64
    assert np.isfinite(first).all()
    assert np.abs(first).max() > 0
    first[...] = 7
    assert not np.array_equal(first, kernel(name, size))


def test_published_numbers():
    assert kernel("sobel_x").tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert kernel("prewitt_y").tolist() == [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]
    assert kernel("scharr_x").tolist() == [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]
    assert kernel("kirsch_0").tolist() == [[-3, -3, 5], [-3, 0, 5], [-3, -3, 5]]
    assert kernel("kirsch_1").tolist() == [[-3, -3, -3], [-3, 0, 5], [-3, 5, 5]]
    assert kernel("laplacian4").tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert kernel("laplacian8").tolist() == [[1, 1, 1], [1, -8, 1], [1, 1, 1]]
    assert kernel("gaussian").tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert kernel("roberts_1").tolist() == [[1, 0], [0, -1]]
    assert kernel("central_x", 5)[2].tolist() == [1, -8, 0, 8, -1]


@pytest.mark.parametrize("operator", DERIVATIVES)
@pytest.mark.parametrize("size", ODD)
def test_derivatives_are_positive_where_brightness_grows_along_their_axis(operator, size):
    if f"{operator}_x" not in names(size):
        pytest.skip("not published at this size")
    along_x, along_y = (kernel(f"{operator}_{axis}", size) for axis in "xy")
    x, y = ramp()
    slope = respond(x, along_x)
    assert np.ptp(slope) < 1e-9 * slope.mean()
    assert slope.mean() > 0
    np.testing.assert_allclose(respond(y, along_y), slope)
    np.testing.assert_allclose(respond(y, along_x), 0, atol=1e-9 * slope.mean())
    np.testing.assert_array_equal(along_y, along_x.T)


@pytest.mark.parametrize(
    ("name", "size", "divisor"),
    [
        ("prewitt_x", 3, 6),
        ("sobel_x", 3, 8),
        ("scharr_x", 3, 32),
        *[("central_x", n, d) for n, d in zip(ODD, (2, 12, 60, 840, 2520), strict=True)],
    ],
)
def test_stated_divisor_gives_grey_levels_per_pixel(name, size, divisor):
    np.testing.assert_allclose(respond(ramp()[0], kernel(name, size)) / divisor, 1)


@pytest.mark.parametrize("size", ODD)
def test_central_difference_is_exact_for_polynomials_up_to_its_order(size):
    x = ramp(size)[0] - size // 2
    taps = kernel("central_x", size)
    unit = (taps * x).sum()
    for power in range(3, size, 2):
        assert (taps * x**power).sum() == pytest.approx(0, abs=1e-9 * unit * size**power)
    assert abs((taps * x**size).sum()) > 0.1


@pytest.mark.parametrize("size", ODD)
def test_prewitt_is_the_slope_of_the_least_squares_plane(size):
    window = np.random.default_rng(size).standard_normal((size, size))
    x, y = ramp(size)
    design = np.stack([x.ravel(), y.ravel(), np.ones(size**2)], axis=1)
    slope = np.linalg.lstsq(design, window.ravel(), rcond=None)[0][0]
    weights = kernel("prewitt_x", size)
    unit = (weights * x).sum()
    assert (weights * window).sum() / unit == pytest.approx(slope)


def test_laplacians_of_a_paraboloid():
    x, y = ramp()
    bowl = x**2 + y**2
    np.testing.assert_allclose(respond(bowl, kernel("laplacian4")), 4)
    np.testing.assert_allclose(respond(bowl, kernel("laplacian8")), 12)
    np.testing.assert_array_equal(
        respond(bowl, kernel("laplacian4")), ndimage.laplace(bowl)[1:-1, 1:-1]
    )
    np.testing.assert_allclose(
        respond(bowl, kernel("laplacian4")), -filters.laplace(bowl)[1:-1, 1:-1]
    )


def test_mean_removal_turns_an_impulse_into_minus_laplacian8():
    impulse = kernel("identity")
    np.testing.assert_allclose(9 * (impulse - impulse.mean()), -kernel("laplacian8"))


@pytest.mark.parametrize(
    ("ours", "theirs", "scale"),
    [
        ("prewitt_x", filters.prewitt_v, 1 / 3),
        ("prewitt_y", filters.prewitt_h, 1 / 3),
        ("sobel_x", filters.sobel_v, 1 / 4),
        ("sobel_y", filters.sobel_h, 1 / 4),
        ("scharr_x", filters.scharr_v, 1 / 16),
        ("scharr_y", filters.scharr_h, 1 / 16),
    ],
)
def test_scikit_image_gives_the_stated_scale(ours, theirs, scale):
    image = np.random.default_rng(0).standard_normal((20, 23))
    np.testing.assert_allclose(
        scale * respond(image, kernel(ours)), theirs(image)[1:-1, 1:-1], atol=1e-12
    )


def test_roberts_against_scikit_image():
    image = np.random.default_rng(1).standard_normal((9, 8))
    for name, theirs in [
        ("roberts_1", filters.roberts_pos_diag),
        ("roberts_2", filters.roberts_neg_diag),
    ]:
        found = signal.convolve2d(image, kernel(name), mode="valid")
        np.testing.assert_allclose(found, theirs(image)[:-1, :-1], atol=1e-12)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_opencv_derivative_kernels(size):
    cv2 = pytest.importorskip("cv2")
    for dx, dy, name in [(1, 0, "sobel_x"), (0, 1, "sobel_y")]:
        row, column = cv2.getDerivKernels(dx, dy, size, normalize=False, ktype=cv2.CV_64F)
        np.testing.assert_array_equal(np.outer(column, row), kernel(name, size))
    row, column = cv2.getDerivKernels(1, 0, cv2.FILTER_SCHARR)
    np.testing.assert_array_equal(np.outer(column, row), kernel("scharr_x"))


def test_opencv_gabor_gaussian_and_laplacian():
    cv2 = pytest.importorskip("cv2")
    theirs = cv2.getGaborKernel((7, 7), 2.0, 0.6, 4.0, 0.7, 0.4, cv2.CV_64F)
    ours = kernel("gabor", 7, sigma=2.0, theta=0.6, wavelength=4.0, gamma=0.7, phase=0.4)
    np.testing.assert_allclose(ours, theirs[::-1, ::-1], atol=1e-12)  # it lays the kernel mirrored
    for size in (3, 5):
        taps = cv2.getGaussianKernel(size, 0, cv2.CV_64F)
        np.testing.assert_allclose(kernel("gaussian", size) / 4 ** (size - 1), taps @ taps.T)
    bumps = np.zeros((5, 5))
    bumps[2, 2] = 1
    np.testing.assert_array_equal(
        cv2.Laplacian(bumps, cv2.CV_64F, ksize=1)[1:-1, 1:-1], kernel("laplacian4")
    )


def test_kornia_sobel_has_the_same_sign():
    torch = pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KORNIA_NO_WARN", "1")
        kornia = pytest.importorskip("kornia.filters", exc_type=ImportError)
    x = torch.tensor(ramp()[0])[None, None]
    gradient = kornia.spatial_gradient(x, mode="sobel", normalized=False)[0, 0].numpy()
    np.testing.assert_allclose(gradient[0, 1:-1, 1:-1], respond(ramp()[0], kernel("sobel_x")))


@pytest.mark.parametrize("size", ODD)
def test_dct_is_scipys_orthonormal_basis(size):
    for u, v in [(0, 0), (1, 0), (0, 2), (2, 1), (size - 1, size - 1)]:
        coefficients = np.zeros((size, size))
        coefficients[v, u] = 1
        theirs = fft.idctn(coefficients, norm="ortho")
        np.testing.assert_allclose(kernel(f"dct_{u}_{v}", size), theirs, atol=1e-12)
    basis = np.stack([k.ravel() for k in bank("dct", size).values()])
    np.testing.assert_allclose(basis @ basis.T, np.eye(size**2), atol=1e-12)


def test_frei_chen_is_an_orthonormal_basis_whose_first_pair_is_the_family_at_root_two():
    basis = np.stack([k.ravel() for k in bank("freichen").values()])
    np.testing.assert_allclose(basis @ basis.T, np.eye(9), atol=1e-12)
    edge = family(np.sqrt(2)) / (2 * np.sqrt(2))
    np.testing.assert_allclose(-kernel("freichen_2"), edge, atol=1e-12)
    np.testing.assert_allclose(-kernel("freichen_1"), edge.T, atol=1e-12)


@pytest.mark.parametrize("order", ["dx", "dy", "dxx", "dxy", "dyy"])
def test_gaussian_derivatives_against_scipy(order):
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    orders = (order.count("y"), order.count("x"))
    theirs = ndimage.gaussian_filter(impulse, 1.2, order=orders, truncate=8)
    ours = kernel(f"gauss_{order}", 11, sigma=1.2)
    # SciPy convolves: the impulse shows it the kernel turned by 180 degrees.
    np.testing.assert_allclose(
        ours, theirs[15:26, 15:26][::-1, ::-1], atol=1e-4 * np.abs(ours).max()
    )


def test_laplacian_of_gaussian_against_scipy_and_the_difference_of_gaussians():
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    theirs = ndimage.gaussian_laplace(impulse, 1.2)[15:26, 15:26]
    ours = kernel("log", 11, sigma=1.2)
    np.testing.assert_allclose(ours, theirs, atol=5e-3 * np.abs(ours).max())
    near = kernel("dog", 11, sigma=1.2, ratio=1.02)
    # (ratio - 1) sigma^2 LoG is the limit for ratio -> 1 (Lowe 2004, section 3).
    cosine = (near * ours).sum() / np.linalg.norm(near) / np.linalg.norm(ours)
    assert cosine > 0.999


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.5])
def test_sampled_gaussian_derivative_is_in_the_family(sigma):
    taps = kernel("gauss_dx", 3, sigma=sigma)
    assert taps[1, 2] / taps[0, 2] == pytest.approx(np.exp(1 / (2 * sigma**2)))
    assert default_sigma(3) == pytest.approx(np.sqrt(0.5))


ZERO_MEAN = ("prewitt", "sobel", "scharr", "central", "roberts", "kirsch", "robinson", "laplacian")
ZERO_MEAN += ("log", "dog", "gauss")


@pytest.mark.parametrize(("name", "size"), ALL)
def test_response_to_a_constant(name, size):
    total = kernel(name, size).sum() / np.abs(kernel(name, size)).sum()
    if info(name).operator in ZERO_MEAN or (name.startswith("dct") and name != "dct_0_0"):
        assert abs(total) < 1e-12
    if info(name).operator in ("box", "gaussian", "identity"):
        assert total == pytest.approx(1)


@pytest.mark.parametrize(
    ("operator", "rank"),
    [("prewitt", 1), ("sobel", 1), ("gauss", 1), ("gaussian", 1), ("box", 1), ("dct", 1)],
)
@pytest.mark.parametrize("size", [3, 7, 11])
def test_separable_operators_have_rank_one(operator, rank, size):
    for weights in bank(operator, size).values():
        assert np.linalg.matrix_rank(weights, tol=1e-9 * np.abs(weights).max()) == rank


@given(st.floats(-10, 10), st.floats(0.4, 3), st.sampled_from(ODD))
def test_steering_a_gaussian_derivative_is_rotating_it(theta, sigma, size):
    steered = steer(*(kernel(f"gauss_{d}", size, sigma=sigma) for d in ("dx", "dy")), theta)
    x, y = ramp(size)
    x, y = x - size // 2, y - size // 2
    u = x * np.cos(theta) + y * np.sin(theta)
    exact = u * np.exp(-(x**2 + y**2) / (2 * sigma**2)) / (2 * np.pi * sigma**4)
    np.testing.assert_allclose(steered, exact, atol=1e-12)


@given(st.floats(0, 50), st.floats(0, 50))
def test_family_cosine(a, b):
    first, second = family(a), family(b)
    cosine = (first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)
    assert cosine == pytest.approx((2 + a * b) / np.sqrt((2 + a**2) * (2 + b**2)))


def test_family_members_and_shapes():
    np.testing.assert_array_equal(family(1), kernel("prewitt_x"))
    np.testing.assert_array_equal(family(2), kernel("sobel_x"))
    np.testing.assert_allclose(family(2, np.pi / 2), kernel("sobel_y"), atol=1e-12)
    np.testing.assert_allclose(3 * family(10 / 3), kernel("scharr_x"))
    np.testing.assert_array_equal(family(np.inf), kernel("central_x"))
    assert family(2, np.linspace(0, np.pi, 16)).shape == (16, 3, 3)


def test_compass_masks_turn_with_steer():
    for k in range(8):
        turned = steer(kernel("sobel_x"), kernel("sobel_y"), k * np.pi / 4)
        scores = {name: (turned * mask).sum() for name, mask in bank("robinson").items()}
        assert max(scores, key=scores.__getitem__) == f"robinson_{k}"
    np.testing.assert_array_equal(kernel("robinson_2"), kernel("sobel_y"))
    ring = sum(bank("kirsch").values())
    np.testing.assert_array_equal(ring, np.zeros((3, 3)))


def test_groups():
    assert list(bank("derivative")) == [
        f"{operator}_{axis}" for operator in ("prewitt", "sobel", "scharr") for axis in "xy"
    ]
    assert list(bank("derivative", 5)) == ["prewitt_x", "prewitt_y", "sobel_x", "sobel_y"]
    assert set(bank("blob")) == {"laplacian4", "laplacian8", "log", "dog"}
    assert set(bank("smoothing")) == {"box", "gaussian"}
    assert len(bank("compass")) == 16
    assert set(bank("frequency", 5)) == {
        "gabor",
        *(f"dct_{u}_{v}" for u in range(5) for v in range(5)),
    }
    assert tuple(bank("all")) == names(3)
    assert tuple(bank("all", 2)) == ("roberts_1", "roberts_2")
    assert list(bank(["sobel_y", "box"])) == ["sobel_y", "box"]
    assert list(bank("kirsch_3")) == ["kirsch_3"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kernel("sobol_x"), "sobel_x"),
        (lambda: kernel("sobel_x", 4), "3, 5, 7, 9, 11"),
        (lambda: kernel("scharr_x", 5), "allowed is 3"),
        (lambda: kernel("roberts_1", 3), "allowed is 2"),
        (lambda: kernel("dct_4_0", 3), "5, 7, 9, 11"),
        (lambda: kernel("gauss_dx", sigma=0.0), "sigma must be a positive number"),
        (lambda: kernel("gabor", wavelength=-1.0), "wavelength must be a positive number"),
        (lambda: kernel("dog", ratio=1.0), "ratio must be a number above 1"),
        (lambda: bank("derivativ"), "derivative"),
        (lambda: bank("compass", 5), "allowed is 3"),
        (lambda: bank(["scharr_x"], 5), "allowed is 3"),
        (lambda: info("nothing"), "names()"),
        (lambda: family(np.nan), "nan"),
        (lambda: steer(np.ones((3, 3)), np.ones((5, 5)), 0.0), "one shape"),
    ],
)
def test_errors_are_one_sentence_that_names_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_info_is_complete_and_states_the_symmetry():
    for name in names():
        entry = info(name)
        assert any(f"({year})" in entry.source for year in range(1900, 2030)), name
        assert entry.formula
        assert entry.scale
        assert entry.sizes
    assert "odd in x" in info("sobel_x").symmetry
    assert "even in y" in info("sobel_x").symmetry
    assert info("kirsch_1").symmetry == "even under transposition"
    assert info("laplacian8").symmetry.count("even") == 4
    assert {name for op in OPERATORS.values() for name in op.members} >= set(names())


@pytest.mark.parametrize(
    ("name", "parameter", "has"),
    [
        ("gaussian", "sigma", "none"),
        ("gauss_dx", "nx", "sigma"),
        ("gabor", "lambda", "theta, wavelength, sigma, gamma, phase"),
    ],
)
def test_a_parameter_that_a_kernel_does_not_have_is_told_with_those_it_has(name, parameter, has):
    with pytest.raises(TypeError, match=f"^{name} has no parameter '{parameter}': it has {has}$"):
        kernel(name, 7 if name == "gabor" else None, **{parameter: 1.0})
