"""Hand-designed stencils, as numbers.

Every array is a kernel for cross-correlation, `K[y, x]` with y down and x to the right. Fixed
stencils are constants; operators defined at every odd size are functions of that size.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]

_S = np.sqrt(2.0)

SCHARR_X = np.outer([3.0, 10.0, 3.0], [-1.0, 0.0, 1.0])

ROBERTS = (
    np.array([[1.0, 0.0], [0.0, -1.0]]),
    np.array([[0.0, 1.0], [-1.0, 0.0]]),
)

FREI_CHEN = tuple(
    np.array(rows) / norm
    for norm, rows in [
        (2 * _S, [[1, _S, 1], [0, 0, 0], [-1, -_S, -1]]),
        (2 * _S, [[1, 0, -1], [_S, 0, -_S], [1, 0, -1]]),
        (2 * _S, [[0, -1, _S], [1, 0, -1], [-_S, 1, 0]]),
        (2 * _S, [[_S, -1, 0], [-1, 0, 1], [0, 1, -_S]]),
        (2.0, [[0, 1, 0], [-1, 0, -1], [0, 1, 0]]),
        (2.0, [[-1, 0, 1], [0, 0, 0], [1, 0, -1]]),
        (6.0, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]),
        (6.0, [[-2, 1, -2], [1, 4, 1], [-2, 1, -2]]),
        (3.0, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    ]
)

# Outer ring of a compass mask, clockwise on the screen from the top left; one step is 45 degrees.
_RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
KIRSCH_RING = (-3, -3, 5, 5, 5, -3, -3, -3)
ROBINSON_RING = (-1, 0, 1, 2, 1, 0, -1, -2)

LAPLACIAN_4 = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
LAPLACIAN_8 = np.array([[1.0, 1.0, 1.0], [1.0, -8.0, 1.0], [1.0, 1.0, 1.0]])

# Fornberg (1988), table 1: order of accuracy 2..10, brought to integers.
CENTRAL = {
    3: (-1, 0, 1),
    5: (1, -8, 0, 8, -1),
    7: (-1, 9, -45, 0, 45, -9, 1),
    9: (3, -32, 168, -672, 0, 672, -168, 32, -3),
    11: (-2, 25, -150, 600, -2100, 0, 2100, -600, 150, -25, 2),
}


def compass(ring: tuple[int, ...], direction: int) -> Kernel:
    """The mask whose outer ring is `ring` turned by `direction` x 45 degrees, from x towards y."""
    mask = np.zeros((3, 3))
    for place, weight in zip(_RING, np.roll(ring, direction), strict=True):
        mask[place] = weight
    return mask


def offsets(size: int) -> Kernel:
    """-m, ..., 0, ..., m for an odd size 2m + 1."""
    return np.arange(size, dtype=float) - (size - 1) / 2


def impulse(size: int) -> Kernel:
    """1 in the centre, 0 elsewhere."""
    return np.outer(offsets(size) == 0, offsets(size) == 0).astype(float)


def binomial(size: int) -> Kernel:
    """Row `size - 1` of Pascal's triangle."""
    return np.array([comb(size - 1, k) for k in range(size)], dtype=float)


def central_x(size: int) -> Kernel:
    """Central difference of the highest order of accuracy that `size` taps allow."""
    return np.outer(offsets(size) == 0, np.array(CENTRAL[size], dtype=float))


def prewitt_x(size: int) -> Kernel:
    """Slope along x of the least-squares plane through a size x size window, times a constant."""
    return np.outer(np.ones(size), offsets(size))


def sobel_x(size: int) -> Kernel:
    """Sobel's 3 x 3 operator smoothed by the binomial filter that brings it to `size`."""
    return np.outer(binomial(size), np.convolve([-1.0, 0.0, 1.0], binomial(size - 2)))


def default_sigma(size: int) -> float:
    """The standard deviation of the binomial filter of this size, sqrt(size - 1) / 2."""
    return float(np.sqrt(size - 1) / 2)


def gaussian_1d(size: int, order: int, sigma: float | None = None) -> Kernel:
    """Taps that differentiate `order` (0, 1, 2) times after smoothing with a sampled Gaussian.

    The second derivative is freed of its response to a constant by subtracting a multiple of the
    Gaussian itself, so that it stays separable and decays as fast as before.
    """
    s = sigma_of(size, sigma)
    x = offsets(size)
    g = np.exp(-(x**2) / (2 * s**2)) / (np.sqrt(2 * np.pi) * s)
    if order == 0:
        return g
    if order == 1:
        return x / s**2 * g
    second = (x**2 - s**2) / s**4 * g
    return second - g * second.sum() / g.sum()


def sigma_of(size: int, sigma: float | None) -> float:
    """`sigma` checked, or the default of this size."""
    if sigma is not None and not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be a positive number of pixels, not {sigma!r}")
    return default_sigma(size) if sigma is None else float(sigma)


def gaussian_derivative(size: int, nx: int, ny: int, *, sigma: float | None = None) -> Kernel:
    """The sampled derivative of a Gaussian, `nx` times along x and `ny` times along y."""
    return np.outer(gaussian_1d(size, ny, sigma), gaussian_1d(size, nx, sigma))


def laplacian_of_gaussian(size: int, *, sigma: float | None = None) -> Kernel:
    """Trace of the Gaussian's Hessian; negative centre, response 0 to a constant."""
    return gaussian_derivative(size, 2, 0, sigma=sigma) + gaussian_derivative(
        size, 0, 2, sigma=sigma
    )


def difference_of_gaussians(size: int, *, sigma: float | None = None, ratio: float = 1.6) -> Kernel:
    """Wide minus narrow, each summing to 1: the sign of the Laplacian of Gaussian."""
    if not (np.isfinite(ratio) and ratio > 1):
        raise ValueError(f"ratio must be a number above 1 (wide over narrow sigma), not {ratio!r}")
    s = sigma_of(size, sigma)
    wide, narrow = (gaussian_derivative(size, 0, 0, sigma=t) for t in (ratio * s, s))
    return wide / wide.sum() - narrow / narrow.sum()


def gabor(
    size: int,
    *,
    theta: float = 0.0,
    wavelength: float | None = None,
    sigma: float | None = None,
    gamma: float = 1.0,
    phase: float = 0.0,
) -> Kernel:
    """exp(-(u^2 + gamma^2 v^2) / (2 sigma^2)) cos(2 pi u / wavelength + phase).

    u = x cos theta + y sin theta runs along the wave and v across it, in pixels; angles are in
    radians. By default the wavelength is size/2 + 1 and sigma 0.4 of it. phase 0 is even;
    phase -pi/2 is odd and positive where u grows.
    """
    length = size / 2 + 1 if wavelength is None else wavelength
    width = 0.4 * length if sigma is None else sigma
    for key, value in {"wavelength": length, "sigma": width, "gamma": gamma}.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{key} must be a positive number, not {value!r}")
    y, x = np.meshgrid(offsets(size), offsets(size), indexing="ij")
    u = x * np.cos(theta) + y * np.sin(theta)
    v = -x * np.sin(theta) + y * np.cos(theta)
    envelope = np.exp(-(u**2 + gamma**2 * v**2) / (2 * width**2))
    return envelope * np.cos(2 * np.pi * u / length + phase)


def dct(size: int, u: int, v: int) -> Kernel:
    """Orthonormal DCT-II basis picture with frequency u along x and v along y."""
    k = np.arange(size)

    def wave(order: int) -> Kernel:
        norm = np.sqrt((1 if order == 0 else 2) / size)
        return norm * np.cos(np.pi * (2 * k + 1) * order / (2 * size))

    return np.outer(wave(v), wave(u))
