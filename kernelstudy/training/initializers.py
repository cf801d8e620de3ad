"""First-layer initialisers: Flax's own, hand-crafted kernels, and those of image patches."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from kernelstudy import handcrafted
from kernelstudy.analysis import patch_pca

_FLAX = {
    "lecun_normal": nnx.initializers.lecun_normal,
    "lecun_uniform": nnx.initializers.lecun_uniform,
    "he_normal": nnx.initializers.he_normal,
    "he_uniform": nnx.initializers.he_uniform,
    "glorot_normal": nnx.initializers.glorot_normal,
    "glorot_uniform": nnx.initializers.glorot_uniform,
    "orthogonal": nnx.initializers.orthogonal,
    "delta_orthogonal": nnx.initializers.delta_orthogonal,  # Xiao et al. 2018
}
JITTER = 0.25  # noise of a jittered bank, as a part of a kernel's norm
SPARSE_TAPS = 3  # of a sparse kernel that are not zero


def steered_bank(operator: str, size: int, count: int) -> np.ndarray:
    """`operator` ('sobel' or 'prewitt') at `count` angles over 180 degrees: (count, size, size)."""
    gx, gy = (handcrafted.kernel(f"{operator}_{axis}", size) for axis in "xy")
    angles = np.arange(count) * np.pi / count
    return np.stack([handcrafted.steer(gx, gy, angle) for angle in angles])


def gabor_bank(size: int, count: int) -> np.ndarray:
    """Gabor functions at `count` angles over 180 degrees, even and odd in turn: (count, size, size).

    The wavelength is the kernel's size and the envelope's sigma a quarter of it, so that one period
    fits the kernel.
    """
    return np.stack(
        [
            handcrafted.kernel(
                "gabor",
                size,
                theta=np.pi * index / count,
                wavelength=float(size),
                sigma=size / 4,
                gamma=1.0,
                phase=np.pi / 2 * (index % 2),
            )
            for index in range(count)
        ]
    )


def dct_bank(size: int, count: int) -> np.ndarray:
    """DCT-II basis functions by rising frequency, from the constant one on: (count, size, size)."""
    order = sorted(np.ndindex(size, size), key=lambda uv: (sum(uv), uv))
    kernels = [handcrafted.kernel(f"dct_{u}_{v}", size) for u, v in order]
    return np.stack([kernels[index % size**2] for index in range(count)])


def named_bank(names: Sequence[str], size: int, count: int) -> np.ndarray:
    """The hand-crafted kernels of these names, over and over: (count, size, size)."""
    kernels = [handcrafted.kernel(name, size) for name in names]
    return np.stack([kernels[index % len(kernels)] for index in range(count)])


_BANKS = {
    "sobel": lambda size, count: steered_bank("sobel", size, count),
    "prewitt": lambda size, count: steered_bank("prewitt", size, count),
    "sobel_prewitt": lambda size, count: np.concatenate(
        [
            steered_bank("sobel", size, count - count // 2),
            steered_bank("prewitt", size, count // 2) if count > 1 else np.zeros((0, size, size)),
        ]
    ),
    "gabor": gabor_bank,
    "dct": dct_bank,
}


def _jittered(key: jax.Array, bank: jax.Array) -> jax.Array:
    """A bank (kh, kw, cin, cout) of kernels of norm 1 plus white noise of norm `JITTER` on average."""
    taps = bank.shape[0] * bank.shape[1]
    return bank + JITTER / taps**0.5 * jax.random.normal(key, bank.shape, bank.dtype)


def _scrambled(key: jax.Array, bank: jax.Array) -> jax.Array:
    """The kernels' amplitude spectra with the phases of white noise (real, so the result is)."""
    noise = jnp.fft.fft2(jax.random.normal(key, bank.shape, bank.dtype), axes=(0, 1))
    amplitude = jnp.abs(jnp.fft.fft2(bank, axes=(0, 1)))
    return jnp.fft.ifft2(amplitude * noise / jnp.abs(noise), axes=(0, 1)).real.astype(bank.dtype)


def _of_bank(make: Callable, change: Callable, key, shape, dtype=jnp.float32) -> jax.Array:
    """Channel i is kernel i of a bank, changed, at He's norm and the same in every input channel."""
    kh, _, cin, cout = shape
    bank = make(kh, cout)
    bank /= np.linalg.norm(bank, axis=(1, 2), keepdims=True)
    kernels = change(key, jnp.asarray(bank.transpose(1, 2, 0)[:, :, None, :], dtype))
    return jnp.broadcast_to((2 / cin) ** 0.5 * kernels, shape)


def _sparse(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """`SPARSE_TAPS` taps of every kernel are normal, the others zero (in the manner of Martens 2010)."""
    taps = shape[0] * shape[1]
    places, values = jax.random.split(key)
    # float32 by name: where JAX has 64 bits on, others would be drawn
    at = jax.random.uniform(places, (taps, *shape[2:]), jnp.float32)
    rank = jnp.argsort(jnp.argsort(at, axis=0), axis=0)
    drawn = jax.random.normal(values, shape, dtype) * (2 / (SPARSE_TAPS * shape[2])) ** 0.5
    return jnp.where((rank < SPARSE_TAPS).reshape(shape), drawn, 0)


def _patch_axes(images: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (d,) and axes (d, kh, kw, cin) of the images' patches, colours kept apart."""
    values, axes = patch_pca(images, shape[0])
    return values, axes.reshape(-1, *shape[:3])


def _patch_pca(images: np.ndarray, key, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Channel i is principal axis i of the patches, of norm sqrt(2); after the last axis, mirrored in sign."""
    del key
    _, axes = _patch_axes(images, shape)
    rounds, rows = np.divmod(np.arange(shape[3]), len(axes))
    chosen = axes[rows] * np.where(rounds % 2, -1, 1)[:, None, None, None]
    return jnp.asarray(2**0.5 * np.moveaxis(chosen, 0, -1), dtype)


def _patch_gaussian(
    images: np.ndarray, key, shape: tuple[int, ...], dtype=jnp.float32
) -> jax.Array:
    """Gaussian kernels with the patches' own covariance, scaled to He's mean squared norm, 2."""
    values, axes = _patch_axes(images, shape)
    root = np.sqrt(2 * np.maximum(values, 0) / values.sum())[:, None, None, None] * axes
    weights = jax.random.normal(key, (len(root), shape[3]), dtype)
    return jnp.tensordot(jnp.asarray(root, dtype), weights, axes=(0, 0))


_OF_IMAGES = {"patch_pca": _patch_pca, "patch_gaussian": _patch_gaussian}
_DRAWN = {
    "sparse": _sparse,
    **{name: partial(_of_bank, make, lambda _, bank: bank) for name, make in _BANKS.items()},
    "sobel_jittered": partial(_of_bank, _BANKS["sobel"], _jittered),
    "sobel_scrambled": partial(_of_bank, _BANKS["sobel"], _scrambled),
}
NAMES = (*_FLAX, *_DRAWN, *_OF_IMAGES)


def first_layer(
    name: str,
    scale: float = 1.0,
    images: np.ndarray | None = None,
    kernels: Sequence[str] = (),
) -> nnx.Initializer:
    """The initialiser `name` times `scale`, for kernels (kh, kw, cin, cout).

    A hand-crafted bank gives channel i its kernel i, the same in every input channel, at the norm
    that He's initialiser has on average: sqrt(2) a kernel (He et al. 2015, eq. 10).

    Args:
        images: (N, H, W, C), a sample of what the layer will see; for patch_pca and patch_gaussian.
        kernels: of the name 'bank', which kernels (`kernelstudy.names(size)`), over and over.

    Raises:
        ValueError: for an unknown name, or where images or kernels are needed and not given.
    """
    if name in _FLAX:
        draw: Any = _FLAX[name]()
    elif name in _DRAWN:
        draw = _DRAWN[name]
    elif name == "bank":
        if not kernels:
            raise ValueError("bank needs the names of hand-crafted kernels")
        draw = partial(_of_bank, partial(named_bank, kernels), lambda _, bank: bank)
    elif name not in _OF_IMAGES:
        raise ValueError(f"{name!r} is not one of {', '.join(NAMES)}")
    elif images is None:
        raise ValueError(f"{name} needs images")
    else:
        draw = partial(_OF_IMAGES[name], images)
    return lambda key, shape, dtype=jnp.float32, out_sharding=None: scale * draw(key, shape, dtype)
