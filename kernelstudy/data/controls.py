"""Inputs with less in them than natural images, to learn what of it the kernels come from.

A control is fitted on training images and applied alike to those and to test images, seeded, each
image by itself: what becomes of an image depends on its row alone, not on its neighbours. Images
are (n, H, W, C); work is done in float64, the result has the images' type.
"""

from collections.abc import Callable

import numpy as np

Apply = Callable[[np.ndarray, np.ndarray], np.ndarray]  # images (n, H, W, C), rows (n,) -> images

TRAIN, TEST, VAL = 0, 1, 2  # rows of the parts are numbered apart
_SCRAMBLED, _IID, _PERMUTED = 0, 1, 2
_FLOOR = 1e-10  # spectral power, as a part of the largest, that is taken for none


def fit(name: str, train_images: np.ndarray, *, part: int = TRAIN, seed: int = 0) -> Apply:
    """The control `name`, fitted on training images (or a sample), for rows of one part.

    natural: nothing is done.
    phase_scrambled: every image gets random phases of its own, and keeps its amplitude spectrum and
        mean exactly. One phase serves all colours, so how they go together is kept as well.
    iid: independent Gaussian pixels with the mean and variance, per colour, of all training pixels;
        nothing of an image is left.
    permuted: one fixed permutation of pixels for all images; colours stay together.
    whitened: the mean image is taken off and one filter applied, such that the mean power spectrum
        of training images is flat, and colours are uncorrelated at every frequency: zero-phase
        whitening (Olshausen & Field 1997), periodic at the edges, of unit variance.

    Raises:
        ValueError: for any other name.
    """
    images = np.asarray(train_images)
    if name == "natural":
        return natural
    if name == "phase_scrambled":
        return lambda images, rows: scramble(images, rows, stream=(seed, _SCRAMBLED, part))
    if name == "iid":
        moments = images.mean((0, 1, 2), dtype=float), images.std((0, 1, 2), dtype=float)
        return lambda images, rows: gaussian(images, rows, *moments, stream=(seed, _IID, part))
    if name == "permuted":
        pixels = images.shape[1] * images.shape[2]
        order = np.random.default_rng([seed, _PERMUTED]).permutation(pixels)
        return lambda images, rows: permute(images, order)
    if name == "whitened":
        mean = images.mean(0, dtype=float)
        matrices = whitening(images - mean)
        return lambda images, rows: filtered(images - mean, matrices).astype(images.dtype)
    raise ValueError(f"inputs: {name!r} is no control")


def natural(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Images as they are."""
    del rows
    return images


def apply(control: Apply, images: np.ndarray, *, block: int = 1024) -> np.ndarray:
    """A control's form of all images of a part, in blocks; natural images themselves."""
    if control is natural:
        return images
    found = np.empty_like(images)
    for start in range(0, len(images), block):
        rows = np.arange(start, min(len(images), start + block))
        found[rows] = control(images[rows], rows)
    return found


def scramble(images: np.ndarray, rows: np.ndarray, *, stream: tuple[int, ...]) -> np.ndarray:
    """Images with the phases of white noise added to their own, alike for all colours; see `fit`."""
    size = images.shape[1:3]
    phase = np.exp(1j * np.angle(np.fft.rfft2(_noise(size, rows, stream))))
    phase[:, 0, 0] = 1  # the mean stays
    spectrum = np.fft.rfft2(images.astype(float), axes=(1, 2)) * phase[..., None]
    return np.fft.irfft2(spectrum, s=size, axes=(1, 2)).astype(images.dtype)


def gaussian(
    images: np.ndarray,
    rows: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    *,
    stream: tuple[int, ...],
) -> np.ndarray:
    """Independent Gaussian pixels in place of images; mean and std (C,)."""
    return (mean + std * _noise(images.shape[1:], rows, stream)).astype(images.dtype)


def permute(images: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Pixel i of the result is pixel order[i] of the image, row by row."""
    return images.reshape(len(images), len(order), -1)[:, order].reshape(images.shape)


def whitening(centred: np.ndarray) -> np.ndarray:
    """(H, W // 2 + 1, C, C): at every frequency the inverse square root of the colours' cross spectrum."""
    _, h, w, channels = centred.shape
    power = np.zeros((h, w // 2 + 1, channels, channels), complex)
    for start in range(0, len(centred), 1024):
        spectrum = np.fft.rfft2(centred[start : start + 1024], axes=(1, 2))
        power += np.einsum("nhwc,nhwd->hwcd", spectrum, spectrum.conj())
    values, axes = np.linalg.eigh(power / (len(centred) * h * w))
    present = values > _FLOOR * values.max()
    inverse = np.where(present, 1 / np.sqrt(np.where(present, values, 1)), 0)
    return (axes * inverse[..., None, :]) @ axes.conj().swapaxes(-1, -2)


def filtered(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Images under the periodic filter that has these colour matrices; see `whitening`."""
    spectrum = np.fft.rfft2(images.astype(float), axes=(1, 2))
    spectrum = np.einsum("hwcd,nhwd->nhwc", matrices, spectrum)
    return np.fft.irfft2(spectrum, s=images.shape[1:3], axes=(1, 2))


def _noise(shape: tuple[int, ...], rows: np.ndarray, stream: tuple[int, ...]) -> np.ndarray:
    """White noise (n, *shape), that of each row its own."""
    return np.stack([np.random.default_rng([*stream, row]).standard_normal(shape) for row in rows])
