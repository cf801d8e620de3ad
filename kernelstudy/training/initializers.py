"""First-layer initialisers: Flax's own where Flax has them, and hand-crafted kernels."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from kernelstudy import handcrafted

_FLAX = {
    "lecun_normal": nnx.initializers.lecun_normal,
    "lecun_uniform": nnx.initializers.lecun_uniform,
    "he_normal": nnx.initializers.he_normal,
    "he_uniform": nnx.initializers.he_uniform,
    "glorot_normal": nnx.initializers.glorot_normal,
    "glorot_uniform": nnx.initializers.glorot_uniform,
    "orthogonal": nnx.initializers.orthogonal,
}


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


_BANKS = {
    "sobel": lambda size, count: steered_bank("sobel", size, count),
    "prewitt": lambda size, count: steered_bank("prewitt", size, count),
    "gabor": gabor_bank,
}
NAMES = (*_FLAX, *_BANKS)


def first_layer(name: str, scale: float = 1.0) -> nnx.Initializer:
    """The initialiser `name` times `scale`, for kernels (kh, kw, cin, cout).

    A hand-crafted bank gives channel i its kernel i, the same in every input channel, at the norm
    that He's initialiser has on average: sqrt(2) a kernel (He et al. 2015, eq. 10).

    Raises:
        ValueError: for an unknown name.
    """
    if name in _FLAX:
        draw = _FLAX[name]()
    elif name in _BANKS:
        make = _BANKS[name]

        def draw(key, shape, dtype=jnp.float32, out_sharding=None):
            del key, out_sharding
            kh, _, cin, cout = shape
            bank = make(kh, cout)
            bank *= np.sqrt(2 / cin) / np.linalg.norm(bank, axis=(1, 2), keepdims=True)
            return jnp.broadcast_to(
                jnp.asarray(bank.transpose(1, 2, 0)[:, :, None, :], dtype), shape
            )
    else:
        raise ValueError(f"{name!r} is not one of {', '.join(NAMES)}")
    return lambda key, shape, dtype=jnp.float32, out_sharding=None: scale * draw(key, shape, dtype)
