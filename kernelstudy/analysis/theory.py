"""What images alone predict: principal axes of patches, their a, a linear layer's energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .gradients import a_of_phi, gradient_moments, wrap_phi
from .nulls import as_basis


def patch_pca(images: ArrayLike, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of all overlapping size x size patches that fit in the images.

    images: (N, H, W) or (N, H, W, C). Returns eigenvalues (d,), falling, and basis (d, d), an axis
    a row, d = size*size*C in the order (y, x, c). Each tap's mean is removed; the variances have n
    - 1 below. An axis' sign is such that its largest entry is positive. ValueError if a patch does
    not fit. Blind to: everything beyond second moments; near-equal eigenvalues make their axes
    arbitrary.
    """
    return patch_pca_of([np.asarray(images)], size)


def check_images(shape: tuple[int, ...]) -> None:
    """ValueError unless the shape is that of images (N, H, W[, C]) and can be no other's."""
    if len(shape) not in (3, 4):
        raise ValueError(f"images must be (N, H, W) or (N, H, W, C), not {shape}")
    if len(shape) == 3 and shape[2] in (3, 4) and shape[1] > 8:
        raise ValueError(
            f"images {shape} may be one colour image (H, W, C): give (1, H, W, C), or grey ones (N, H, W)"
        )
    if len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] > 8:
        raise ValueError(f"images {shape} seem to be (N, C, H, W): give (N, H, W, C)")


def patch_pca_of(stacks: Sequence[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """`patch_pca` of stacks of images, each of a size of its own, (N, H, W[, C])."""
    for images in stacks:
        if images.ndim not in (3, 4) or not 0 < size <= min(images.shape[1:3]):
            raise ValueError(
                f"patch_pca needs images (N, H, W[, C]) of at least {size} pixels, not {images.shape}"
            )
        check_images(images.shape)
    stacks = [images[..., None] if images.ndim == 3 else images for images in stacks]
    d = size * size * stacks[0].shape[-1]
    # near each tap's own: keeps sums small
    mean = stacks[0].mean(axis=(0, 1, 2), dtype=np.float64)
    count, total, square = 0, np.zeros(d), np.zeros((d, d))
    for images in stacks:
        step = max(1, 2_000_000 // images[0].size) if len(images) else 1
        for start in range(0, len(images), step):
            block = images[start : start + step] - mean
            windows = np.lib.stride_tricks.sliding_window_view(block, (size, size), axis=(1, 2))
            patches = np.moveaxis(windows, 3, -1).reshape(-1, d)
            count += len(patches)
            total += patches.sum(axis=0)
            square += patches.T @ patches
    if count < 2:
        raise ValueError("patch_pca needs at least 2 patches")
    covariance = (square - np.outer(total, total) / count) / (count - 1)
    values, axes = np.linalg.eigh(covariance)
    values, axes = np.maximum(values[::-1], 0.0), axes.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return values, axes * np.sign(largest)


def a_pca(eigenvalues: ArrayLike, basis: ArrayLike) -> float:
    """The a of the images' own gradients, to set beside `population_a` of the kernels.

    eigenvalues (9,), basis (9, 9): from `patch_pca(images, 3)` of grey images. The top eigenvector
    of sum_i lambda_i M_i M_i^T, which is E[M M^T] over patches: the number `population_a` would
    give for the patches themselves. Natural images lie near 1.0-1.4, nearer Prewitt than Sobel.
    """
    values = np.asarray(eigenvalues, dtype=np.float64)
    axes = as_basis(basis, (3, 3)).reshape(9, 3, 3)
    z, _ = gradient_moments(axes)
    return float(a_of_phi(wrap_phi(np.angle(np.sum(values * z)) / 2)))


def predicted_update(eigenvalues: ArrayLike, b: ArrayLike, eta: float, t: float) -> np.ndarray:
    """Coordinates of w(t) - w(0) on the axes of `eigenvalues`: (1 - (1 - eta l)^t) b / l, (..., d).

    See `predicted_profile` for what the symbols mean and the derivation.
    """
    values = np.asarray(eigenvalues, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    if values.ndim != 1 or b.shape[-1:] != values.shape:
        raise ValueError(f"b must be (..., {values.size}), a number an axis, not {b.shape}")
    if np.any(values < 0) or eta <= 0 or t < 0:
        raise ValueError("eigenvalues and t must not be negative, and eta must be positive")
    rate = eta * values
    if np.any(rate >= 2):
        raise ValueError(f"eta must be below 2 / largest eigenvalue = {2 / values.max():.3g}")
    contraction = np.where(rate < 1, -np.expm1(t * np.log1p(-np.minimum(rate, 0.5))), 0.0)
    exact = rate > 0.5  # log1p(-rate) has no room near 1, and (1 - rate)^t has no rounding trouble
    base = 1 - rate[exact]
    contraction[exact] = 1 - np.sign(base) ** round(t) * np.abs(base) ** t
    slope = np.where(values > 0, contraction / np.where(values > 0, values, 1.0), eta * t)
    return slope * b


def predicted_profile(eigenvalues: ArrayLike, b: ArrayLike, eta: float, t: float) -> np.ndarray:
    """Energy profile of the update W - W0 of a linear conv + global-average-pool net, closed form.

    eigenvalues (d,): of C = E[p p^T], the second moments of an image's *mean patch* p (averaged
    over the positions that the pool averages over); b: (d,) or (outputs, d), E[r p] on C's axes, r
    the target minus the net's output at the start; eta: step size; t: steps. Returns (d,), shares
    that sum to 1. ValueError if eta is too large to converge (eta * largest eigenvalue >= 2).

    Derivation. With kernels K_c and a fixed readout v the net's output is::

        f(x) = sum_c v_c mean_s <K_c, patch_s(x)> = <w, p(x)>,  w = sum_c v_c K_c.

    The gradient of E (f - y)^2 / 2 with respect to K_c is v_c (C w - E[y p]), so a step of size h
    moves K_c by v_c u and w by |v|^2 u. On C's axes, with eta = h |v|^2 and b = E[(y - f_0) p]::

        w_i(t) - w_i(0) = (1 - (1 - eta l_i)^t) b_i / l_i,

    and each K_c(t) - K_c(0) is v_c/|v|^2 times that: the profile of W - W0 is the square of the
    right-hand side, whatever c, v and W0. Several outputs with orthogonal readouts add up. It is
    *not* the profile of W unless W0 is small. What follows: early (eta l t << 1) the profile is
    b_i^2, late it is (b_i/l_i)^2. If labels are unrelated to patches, E b_i^2 is proportional to
    l_i, and the profile goes from l_i to 1/l_i, that is to whitening (the result of Chowers & Weiss
    2023, derived here in our notation). Blind to: nonlinearity, a trained readout, Adam. Circular
    padding makes p constant over taps: then only the mean is ever learned.
    """
    energy = predicted_update(eigenvalues, b, eta, t) ** 2
    energy = energy.reshape(-1, energy.shape[-1]).sum(axis=0)
    total = energy.sum()
    return energy / (total if total > 0 else np.nan)
