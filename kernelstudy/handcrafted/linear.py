"""What padding means, and the convolution written out as a matrix. NumPy and SciPy only."""

from typing import Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

Padding = Literal["valid", "same", "reflect"]
PADDINGS = ("valid", "same", "reflect")


def as_matrix(
    kernel: ArrayLike, image_shape: tuple[int, int], padding: Padding = "valid"
) -> scipy.sparse.csr_array:
    """The convolution layer as the dense layer that it is: a sparse block-Toeplitz matrix.

    `as_matrix(k, image.shape, p) @ image.ravel()` is `correlate(image, k, padding=p).ravel()`.

    Dense or convolutional? Both are linear maps; the convolution is the dense one with most weights
    set to zero and the others tied. For a 28 x 28 image, a 3 x 3 kernel and 'same' padding the
    dense layer has 784 x 784 = 614,656 free weights. The convolution keeps 6,724 of these entries
    (1.1%) and ties them into 9 free weights (0.0015%): each output sees its neighbours only, and
    all outputs look for the same thing.

    Args:
        kernel: (kh, kw).
        image_shape: (H, W) in pixels.
        padding: 'valid', 'same' (zeros) or 'reflect', as in `correlate`.

    Returns:
        float64 (H' W', H W) in compressed rows. Zero weights keep their places, so `nnz` counts
        the entries that a kernel of this size can reach.

    Raises:
        ValueError: an unknown padding, shapes of other ranks, or a kernel that does not fit.
    """
    k = np.asarray(kernel, dtype=float)
    if k.ndim != 2 or len(image_shape) != 2:
        raise ValueError(
            f"a matrix takes one kernel (kh, kw) and one image (H, W), not {k.shape}, {image_shape}"
        )
    check_padding(padding, tuple(image_shape), k.shape)
    pads = [margins(taps, padding) for taps in k.shape]
    source = np.arange(np.prod(image_shape)).reshape(image_shape)
    if padding == "reflect":
        source = np.pad(source, pads, mode="reflect")
    else:
        source = np.pad(source, pads, constant_values=-1)
    columns = np.lib.stride_tricks.sliding_window_view(source, k.shape).reshape(-1, k.size)
    rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
    weights = np.broadcast_to(k.ravel(), columns.shape)
    inside = columns >= 0
    entries = (weights[inside], (rows[inside], columns[inside]))
    shape = (len(columns), int(np.prod(image_shape)))
    return scipy.sparse.csr_array(scipy.sparse.coo_array(entries, shape=shape))


def margins(taps: int, padding: Padding) -> tuple[int, int]:
    """Pixels added before and after an axis; an even kernel's extra pixel comes after."""
    return (0, 0) if padding == "valid" else ((taps - 1) // 2, taps // 2)


def check_padding(padding: str, image: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    """Raise ValueError unless a kernel (kh, kw) fits on an image (H, W) with this padding."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, not {padding!r}")
    if 0 in image or 0 in kernel:
        raise ValueError(f"images and kernels must not be empty, not {image} and {kernel}")
    for pixels, taps in zip(image, kernel, strict=True):
        needed = {"valid": taps, "same": 1, "reflect": taps // 2 + 1}[padding]
        if pixels < needed:
            raise ValueError(
                f"{taps} taps with padding {padding!r} need an image of at least {needed} pixels "
                f"along that axis, not {pixels}"
            )
