"""The odd sector of a 3x3 kernel as a 2x2 matrix: orientation, the family's number a, and purity.

Write fam(a) = [1, a, 1]^T x [-1, 0, 1]: a = 1 is Prewitt, sqrt(2) Frei-Chen, 2 Sobel, 10/3 Scharr,
infinity the central difference. Its bounded form is phi = atan2(sqrt(2) a, 2) in (-pi/2, pi/2], a
direction (period pi) in the plane of (corner, middle) weights, so that infinity is an ordinary
point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_kernels, moderate, wrapped

# The named members, by a.
OPERATORS = {
    "Prewitt": 1.0,
    "Frei-Chen": 2**0.5,
    "Sobel": 2.0,
    "Scharr": 10 / 3,
    "central difference": np.inf,
}

# Orthonormal, as columns: the middle row's and the two corner rows' difference along x; transposes
# for y.
_MIDDLE_X = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]]) / 2**0.5
_CORNER_X = np.array([[-1, 0, 1], [0, 0, 0], [-1, 0, 1]]) / 2
_ODD = np.stack([_MIDDLE_X, _MIDDLE_X.T, _CORNER_X, _CORNER_X.T]).reshape(4, 9).T


class DerivativeFit(NamedTuple):
    """`theta` in (-pi, pi], `a` in (-inf, inf], `purity` in [1/2, 1], each of shape (...)."""

    theta: np.ndarray
    a: np.ndarray
    purity: np.ndarray


def phi_of_a(a: ArrayLike) -> np.ndarray:
    """phi = atan2(sqrt(2) a, 2) of a in (-inf, inf]: the scale of the intervals of a."""
    return np.arctan(np.asarray(a, dtype=np.float64) / 2**0.5)


def a_of_phi(phi: ArrayLike) -> np.ndarray:
    """a = sqrt(2) tan(phi); phi has period pi, and a quarter turn (either sign) is a = inf."""
    phi = wrap_phi(phi)
    infinite = phi >= np.pi / 2
    return np.where(infinite, np.inf, 2**0.5 * np.tan(np.where(infinite, 0.0, phi)))


def wrap_phi(phi: ArrayLike) -> np.ndarray:
    """phi brought into (-pi/2, pi/2]."""
    return np.pi / 2 - wrapped(np.pi / 2 - np.asarray(phi, dtype=np.float64), np.pi)


def gradient_matrix(kernels: ArrayLike) -> np.ndarray:
    """Coordinates of the odd sector of 3x3 kernels: (..., 3, 3) -> M (..., 2, 2).

    Rows: middle, corners; columns: x, y; the basis is orthonormal, so |M|^2 is the odd energy.
    fam(a) turned to theta has M = (sqrt(2) a, 2)^T (cos theta, sin theta).
    """
    kernels = as_kernels(kernels)
    if kernels.shape[-2:] != (3, 3):
        raise ValueError(f"kernels must be 3x3, (..., 3, 3), not {kernels.shape}")
    return (kernels.reshape(*kernels.shape[:-2], 9) @ _ODD).reshape(*kernels.shape[:-2], 2, 2)


def gradient_moments(kernels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """M M^T of 3x3 kernels as (z, t): its anisotropy as a complex number and its trace, both (...).

    z = (r - p) + 2qi for M M^T = [[p, q], [q, r]], so that angle(z)/2 is the phi of the top
    eigenvector and |z| the difference of the eigenvalues. Both add up over kernels.
    """
    m = gradient_matrix(kernels)
    (xx, xy), (yx, yy) = np.moveaxis(m, (-2, -1), (0, 1))
    p, r, q = xx**2 + xy**2, yx**2 + yy**2, xx * yx + xy * yy
    return (r - p) + 2j * q, p + r


def derivative_fit(kernels: ArrayLike) -> DerivativeFit:
    """The steered member of fam(a) nearest to each 3x3 kernel, in closed form.

    kernels: (..., 3, 3) -> theta, a, purity, each (...). The best rank-one approximation of the
    odd sector's 2x2 matrix M = s1 u v^T + s2 ...: theta = angle of v, a = sqrt(2) u1/u2 and
    purity = s1^2 / (s1^2 + s2^2). fam(a) steered to theta, cos(theta) Gx + sin(theta) Gy with a >=
    0, returns exactly (theta, a, 1). A negative a means that middle and corners pull against each
    other; theta is then the corners' direction. NaN where there is no odd energy (zero or even
    kernels). ValueError unless 3x3.

    Source: singular value decomposition (Eckart & Young 1936) in the basis of the module docstring.
    Blind to all outside the odd sector: a kernel that is 1% gradient has a theta and an a as well,
    so read it beside the odd share or R2. Chance purity (isotropic noise) is about 0.89 on average.
    """
    kernels = moderate(as_kernels(kernels))
    m = gradient_matrix(kernels)
    z, trace = gradient_moments(kernels)
    total = np.einsum("...ij,...ij->...", kernels, kernels)
    live = trace > 1e-24 * total  # an even kernel leaves only rounding in the odd sector
    phi = wrap_phi(np.angle(z) / 2)
    along = np.sin(phi)[..., None] * m[..., 0, :] + np.cos(phi)[..., None] * m[..., 1, :]
    theta = np.arctan2(along[..., 1], along[..., 0])
    theta = np.where(theta <= -np.pi, np.pi, theta)
    trace = np.where(live, trace, np.nan)
    missing = np.where(live, 0.0, np.nan)
    return DerivativeFit(theta + missing, a_of_phi(phi) + missing, 0.5 + np.abs(z) / (2 * trace))
