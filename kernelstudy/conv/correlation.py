"""Cross-correlation and convolution of images with kernels, in JAX.

A CNN layer cross-correlates: `(K * I)[y, x] = sum_ij K[i, j] I[y + i, x + j]`. Images are NHWC.
Three implementations give the same values: `lax` (the vendor's convolution, best on GPU and TPU,
and on a CPU for many channels), `gemm` (patches times a matrix, the one that stays fast under vmap
and scan on a CPU) and `shift` (shifted copies, multiplied and added: XLA fuses them into one pass
over memory with the K maps as the vector's lanes, best on a CPU for few channels).
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from kernelstudy.conv.bands import bands_of, correlate_bands, empty_maps, shifted, spread
from kernelstudy.handcrafted import bank
from kernelstudy.handcrafted.linear import Padding, as_matrix, check_padding, margins

__all__ = ["apply_bank", "as_matrix", "convolve", "correlate", "spread"]

Impl = Literal["auto", "lax", "gemm", "shift"]

IMPLS = ("auto", "lax", "gemm", "shift")
# Measured on a CPU: beyond either, the library's convolution is faster than shifts.
SHIFT_TAPS, SHIFT_CHANNELS = 100, 4


def correlate(
    images: ArrayLike,
    kernels: ArrayLike,
    *,
    padding: Padding = "valid",
    impl: Impl = "auto",
    out: Array | None = None,
) -> Float[Array, "..."]:
    """Cross-correlate images with kernels, as a CNN layer does.

    Args:
        images: (H, W), (N, H, W) or (N, H, W, C), real. Integers are taken to float32.
        kernels: (kh, kw), (K, kh, kw) or (kh, kw, C, K). Taken to the images' type.
        padding: 'valid' (no border), 'same' (zeros; OpenCV's BORDER_CONSTANT) or 'reflect' (mirror
            without repeating the edge; OpenCV's BORDER_REFLECT_101, SciPy's 'mirror'). An even
            kernel's extra row and column of padding go to the bottom right.
        impl: 'lax', 'gemm', 'shift', or 'auto': by backend and shape. All are equal up to rounding.
        out: an array of the result's shape and type whose memory takes the result, as the `maps` of
            an earlier call: `maps = correlate(images, kernels, out=maps)`. It is donated and can
            not be used afterwards. On a CPU this is several times faster than fresh memory.

    Returns:
        (H', W', K) or (N, H', W', K); K = 1 for a single kernel. H' = H - kh + 1
        for 'valid', else H. Images spread over devices (`spread`) give maps spread in the same
        way; a single image spread in bands of rows takes padding 'same'.

    Raises:
        ValueError: unknown padding or impl, shapes that do not fit, or an `out` of another shape.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl must be one of {', '.join(IMPLS)}, not {impl!r}")
    x, k = _real("images", images), _real("kernels", kernels)
    _check_shapes(x.shape, k.shape, padding)
    kh, kw, channels, K = _layer_shape(k.shape)
    if impl == "auto":
        few = kh * kw * channels <= SHIFT_TAPS and channels <= SHIFT_CHANNELS
        impl = "shift" if few and jax.default_backend() == "cpu" else "lax"
    bands = bands_of(x)
    if bands is not None and (
        padding != "same" or x.shape[0] // bands.size < kh or x.shape[1] < kw
    ):
        raise ValueError(
            f"an image spread over devices takes padding 'same' and bands no smaller than the kernel, "
            f"not {padding!r} and {x.shape[0] // bands.size} rows"
        )
    if out is None and bands is None:
        return _correlate(x, k, padding, impl)
    H, W = _plane(x.shape)
    lost = (kh - 1, kw - 1) if padding == "valid" else (0, 0)
    shape, dtype = (*x.shape[:1][: x.ndim - 2], H - lost[0], W - lost[1], K), _float_type(x.dtype)
    if out is not None and (out.shape != shape or out.dtype != dtype):
        raise ValueError(
            f"out must be of shape {shape} and type {dtype}, not {out.shape} and {out.dtype}"
        )
    if bands is not None:
        image, layer = x.astype(dtype), _as_layer(jnp.asarray(k, dtype))
        out = empty_maps(image, layer, bands) if out is None else out
        return correlate_bands(image, layer, out, bands)
    return _correlate_into(x, k, padding, impl, out)


def convolve(
    images: ArrayLike,
    kernels: ArrayLike,
    *,
    padding: Padding = "valid",
    impl: Impl = "auto",
    out: Array | None = None,
) -> Float[Array, "..."]:
    """Convolve, as signal processing does: `correlate` with kernels turned by 180 degrees.

    Arguments, result and errors are those of `correlate`.
    """
    k = _real("kernels", kernels)
    flipped = k[::-1, ::-1] if k.ndim == 4 else k[..., ::-1, ::-1] if k.ndim > 1 else k
    return correlate(images, flipped, padding=padding, impl=impl, out=out)


def apply_bank(
    images: ArrayLike,
    group: str | Iterable[str] | Mapping[str, ArrayLike] = "derivative",
    *,
    size: int = 3,
    padding: Padding = "valid",
    impl: Impl = "auto",
    out: Array | None = None,
) -> Float[Array, "..."]:
    """Feature maps of grey images under a bank of hand-crafted kernels, at their published scale.

    Args:
        images: (H, W), (N, H, W) or (N, H, W, 1), real.
        group: what `kernelstudy.bank` takes, or kernels of one size by name.
        size: rows and columns of the kernels, where `group` does not hold the kernels itself.
        padding, impl, out: as in `correlate`.

    Returns:
        (H', W', K) or (N, H', W', K), the K maps in the order of the bank.

    Raises:
        ValueError: an unknown bank or size, and all of `correlate`.
    """
    kernels = group if isinstance(group, Mapping) else bank(group, size)
    if not kernels or len({np.shape(k) for k in kernels.values()}) != 1:
        raise ValueError("a bank needs at least one kernel, and all of one size")
    stack = np.stack([np.asarray(k) for k in kernels.values()])
    return correlate(images, stack, padding=padding, impl=impl, out=out)


def _maps(x: Array, k: Array, padding: Padding, impl: Impl, out: Array | None = None) -> Array:
    k = _as_layer(k)
    x, k = x.astype(_float_type(x.dtype)), k.astype(_float_type(x.dtype))
    stack = x.reshape(-1, *x.shape[-2:], 1) if x.ndim < 4 else x
    has_interior = stack.shape[1] >= k.shape[0] and stack.shape[2] >= k.shape[1]
    if out is not None and impl == "shift" and padding != "valid" and has_interior:
        maps = _framed(stack, k, padding, out.reshape(-1, *out.shape[-3:]))
    else:
        maps = _FORMS[impl](_pad(stack, k, padding), k)
    return maps[0] if x.ndim == 2 else maps


# Where `out` is not used, its donation alone makes XLA write the result into its memory.
_correlate = jax.jit(_maps, static_argnums=(2, 3))
_correlate_into = jax.jit(_maps, static_argnums=(2, 3), donate_argnums=4, keep_unused=True)


def _gemm(x: Array, k: Array) -> Array:
    kh, kw, channels, K = k.shape
    h, w = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    shifted = [x[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]
    patches = jnp.concatenate(shifted, axis=-1)
    weights = k.reshape(kh * kw * channels, K)
    return jnp.matmul(patches, weights, precision=lax.Precision.HIGHEST)


def _lax(x: Array, k: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        k,
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )


_FORMS = {"shift": shifted, "gemm": _gemm, "lax": _lax}


def _framed(x: Array, k: Array, padding: Padding, out: Array) -> Array:
    """Write the interior, which needs no padded copy of the images, then the four borders."""
    kh, kw = k.shape[:2]
    (top, bottom), (left, right) = margins(kh, padding), margins(kw, padding)
    H, W = x.shape[1:3]

    def same(strip: Array) -> Array:
        return shifted(_pad(strip, k, padding), k)

    write = lax.dynamic_update_slice
    out = write(out, shifted(x, k), (0, top, left, 0))
    out = write(out, same(x[:, :kh])[:, :top], (0, 0, 0, 0))
    out = write(out, same(x[:, -kh:])[:, kh - bottom :], (0, H - bottom, 0, 0))
    out = write(out, same(x[:, :, :kw])[:, :, :left], (0, 0, 0, 0))
    return write(out, same(x[:, :, -kw:])[:, :, kw - right :], (0, 0, W - right, 0))


def _pad(x: Array, k: Array, padding: Padding) -> Array:
    if padding == "valid":
        return x
    widths = ((0, 0), *(margins(n, padding) for n in k.shape[:2]), (0, 0))
    return jnp.pad(x, widths, mode="reflect" if padding == "reflect" else "constant")


def _as_layer(k: Array) -> Array:
    k = k.reshape(_layer_shape(k.shape)) if k.ndim == 2 else k
    return jnp.moveaxis(k, 0, -1)[:, :, None] if k.ndim == 3 else k


def _layer_shape(kernels: tuple[int, ...]) -> tuple[int, ...]:
    """(kh, kw) or (K, kh, kw) as (kh, kw, 1, K)."""
    if len(kernels) == 4:
        return kernels
    return (*kernels[-2:], 1, kernels[0] if len(kernels) == 3 else 1)


def _float_type(dtype: np.dtype) -> np.dtype:
    kept = jnp.issubdtype(dtype, jnp.floating)
    return jax.dtypes.canonicalize_dtype(dtype if kept else np.float32)


def _plane(image_shape: tuple[int, ...]) -> tuple[int, int]:
    H, W = image_shape if len(image_shape) == 2 else image_shape[1:3]
    return H, W


def _real(name: str, values: ArrayLike) -> Array:
    # NumPy arrays go to jit as they are: each jnp call outside it would cost a dispatch.
    array = values if isinstance(values, jax.Array) else np.asarray(values)
    kinds = (jnp.floating, jnp.integer, np.bool_)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
        raise ValueError(f"{name} must be real numbers, not {array.dtype}")
    return array  # pyright: ignore[reportReturnType]


def _check_shapes(image: tuple[int, ...], layer: tuple[int, ...], padding: Padding) -> None:
    if len(image) not in (2, 3, 4):
        raise ValueError(f"images must be (H, W), (N, H, W) or (N, H, W, C), not {image}")
    if len(image) == 3 and image[2] in (3, 4) and image[1] > 8:
        raise ValueError(
            f"images {image} may be one colour image (H, W, C): give its planes, (C, H, W), or "
            "(1, H, W, C) with kernels (kh, kw, C, K)"
        )
    if len(layer) not in (2, 3, 4):
        raise ValueError(f"kernels must be (kh, kw), (K, kh, kw) or (kh, kw, C, K), not {layer}")
    channels = image[3] if len(image) == 4 else 1
    if channels != (layer[2] if len(layer) == 4 else 1):
        raise ValueError(f"images of {channels} channels need kernels (kh, kw, {channels}, K)")
    check_padding(padding, _plane(image), layer[:2] if len(layer) == 4 else layer[-2:])
    if 0 in (*image, *layer):
        raise ValueError(f"images and kernels must not be empty, not {image} and {layer}")
