"""Hand-crafted starts for anybody's first layer, with the signature of `jax.nn.initializers`::

    nnx.Conv(3, 32, (7, 7), kernel_init=kernelstudy.initializers.gabor(), rngs=rngs)
    nn.Conv(32, (3, 3), kernel_init=kernelstudy.initializers.sobel())             # Flax Linen

Each function returns an initialiser `(key, shape, dtype) -> array` of kernels (kh, kw, cin, cout), square
and, for the banks, of odd size. Channel i is kernel i of a bank, the same in every input channel, at the
norm that He's initialiser has on average, sqrt(2) a kernel (He et al. 2015), times `scale`. For PyTorch
there is `kernelstudy.torch.init_`; `kernels` gives NumPy arrays for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Initializer = Callable[..., Any]
NAMES = (
    *("sobel", "prewitt", "sobel_prewitt", "gabor", "dct", "sobel_jittered", "sobel_scrambled"),
    *("patch_pca", "patch_gaussian", "sparse"),
)


def sobel(scale: float = 1.0) -> Initializer:
    """Sobel's operator at as many angles over 180 degrees as there are channels (Sobel & Feldman 1968)."""
    return _named("sobel", scale)


def prewitt(scale: float = 1.0) -> Initializer:
    """Prewitt's operator at as many angles over 180 degrees as there are channels (Prewitt 1970)."""
    return _named("prewitt", scale)


def sobel_prewitt(scale: float = 1.0) -> Initializer:
    """`sobel` in the first half of the channels, `prewitt` in the second."""
    return _named("sobel_prewitt", scale)


def gabor(scale: float = 1.0) -> Initializer:
    """Gabor functions of one period in the kernel, even and odd in turn, over 180 degrees (Daugman 1985)."""
    return _named("gabor", scale)


def dct(scale: float = 1.0) -> Initializer:
    """The functions of the DCT-II by rising frequency, the constant one first (Ahmed et al. 1974)."""
    return _named("dct", scale)


def sobel_jittered(scale: float = 1.0) -> Initializer:
    """`sobel` plus white noise of a quarter of its norm."""
    return _named("sobel_jittered", scale)


def sobel_scrambled(scale: float = 1.0) -> Initializer:
    """Kernels with Sobel's amplitude spectra and random phases: its frequencies, not its shape."""
    return _named("sobel_scrambled", scale)


def patch_pca(images: Any, scale: float = 1.0) -> Initializer:
    """The principal axes of patches of `images` (N, H, W, C), by falling variance, then mirrored in sign."""
    return _named("patch_pca", scale, images)


def patch_gaussian(images: Any, scale: float = 1.0) -> Initializer:
    """Gaussian kernels with the covariance of patches of `images` (N, H, W, C)."""
    return _named("patch_gaussian", scale, images)


def sparse(scale: float = 1.0) -> Initializer:
    """Three taps of every kernel are normal, the others zero (in the manner of Martens 2010)."""
    return _named("sparse", scale)


def bank(names: Sequence[str], scale: float = 1.0) -> Initializer:
    """Hand-crafted kernels by their names (`kernelstudy.names(size)`), in turn, over and over."""
    return _named(tuple(names), scale)


def kernels(
    name: str | Sequence[str],
    shape: tuple[int, int, int, int],
    *,
    scale: float = 1.0,
    seed: int = 0,
    images: Any = None,
) -> np.ndarray:
    """What the initialiser `name` gives for `shape` (kh, kw, cin, cout), as float32 NumPy.

    `name`: one of `NAMES`, or a list of hand-crafted kernels' names, for `bank`. `seed`: of what is random in
    it; `images` (N, H, W, C): for 'patch_pca' and 'patch_gaussian'.

    Raises:
        ValueError: no such name, images are needed and not given, or no such kernels of that shape.
    """
    import jax

    return np.asarray(_named(name, scale, images)(jax.random.key(seed), tuple(shape)))


def _named(name: str | Sequence[str], scale: float, images: Any = None) -> Initializer:
    from kernelstudy.training.initializers import first_layer  # it brings JAX along

    if images is not None:
        images = np.asarray(images)
        if images.ndim != 4:
            raise ValueError(f"images must be (N, H, W, C), not {images.shape}")
    told = name if isinstance(name, str) else "bank"
    if isinstance(name, str):
        draw = first_layer(name, scale, images)
    else:
        draw = first_layer("bank", scale, kernels=tuple(name))

    def initializer(key: Any, shape: Any, dtype: Any = np.float32, **settings: Any) -> Any:
        if len(shape) != 4 or shape[0] != shape[1]:
            raise ValueError(
                f"{told} is for square kernels (kh, kw, cin, cout), not {tuple(shape)}"
            )
        return draw(key, tuple(shape), dtype, **settings)

    return initializer
