"""Filtering on all local devices: images shared out whole, or one image cut into bands of rows."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from kernelstudy.handcrafted.linear import margins

_ROWS = "rows"


def spread(images: ArrayLike) -> Array:
    """Split images over all local devices, so that `correlate` uses all of them.

    Several images are split along N. A single image is cut into bands of rows that tell each other
    their edges; it takes padding 'same'.

    A CPU counts as one device unless `jax.config.update("jax_num_cpu_devices", cores)` is called
    before the first use of JAX; with one device per core each core filters its own part.

    Args:
        images: (H, W), (N, H, W) or (N, H, W, C), the first axis a multiple of the number of
            devices.

    Raises:
        ValueError: the first axis does not divide by the number of devices.
    """
    devices = jax.local_devices()
    x = images if isinstance(images, jax.Array) else np.asarray(images)
    if x.ndim < 2 or x.shape[0] % len(devices):
        raise ValueError(
            f"the number of images (of one image: of rows) must be a multiple of the {len(devices)} "
            f"devices: images have shape {x.shape}"
        )
    axis = _ROWS if x.ndim == 2 else "images"
    return jax.device_put(x, NamedSharding(Mesh(np.array(devices), (axis,)), PartitionSpec(axis)))


def bands_of(image: object) -> Mesh | None:
    """The devices that hold `image` in bands of rows; None if it is whole."""
    sharding = getattr(image, "sharding", None)
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else None
    if not isinstance(mesh, Mesh):
        return None
    return mesh if _ROWS in mesh.axis_names and mesh.size > 1 else None


@partial(jax.jit, static_argnums=2)
def empty_maps(image: Array, kernels: Array, mesh: Mesh) -> Array:
    """Fresh memory for `correlate_bands`."""
    zeros = jnp.zeros((*image.shape, kernels.shape[-1]), image.dtype)
    return lax.with_sharding_constraint(zeros, NamedSharding(mesh, PartitionSpec(_ROWS)))


@partial(jax.jit, static_argnums=3, donate_argnums=2, keep_unused=True)
def correlate_bands(image: Array, kernels: Array, out: Array, mesh: Mesh) -> Array:
    """Cross-correlate an image in bands with zero padding, into the memory of `out`.

    Args:
        image: (H, W), cut into bands of rows over `mesh`.
        kernels: (kh, kw, 1, K); a band must have at least kh rows and the image kw columns.
        out: (H, W, K), in bands; donated.

    Returns:
        (H, W, K), in bands.
    """
    bands = PartitionSpec(_ROWS)
    mapped = jax.shard_map(
        _band, mesh=mesh, in_specs=(bands, PartitionSpec(), bands), out_specs=bands, check_vma=False
    )
    return mapped(image, kernels, out)


def _band(x: Array, k: Array, out: Array) -> Array:
    """One band: the interior needs nobody, the first and last rows the neighbours' edges."""
    (kh, kw), (h, w) = k.shape[:2], x.shape
    (top, bottom), (left, right) = margins(kh, "same"), margins(kw, "same")
    count = lax.axis_size(_ROWS)
    # A device that is sent nothing has zeros, which is the padding at the image's own edges.
    above = lax.ppermute(x[h - top :], _ROWS, [(i, i + 1) for i in range(count - 1)])
    below = lax.ppermute(x[:bottom], _ROWS, [(i + 1, i) for i in range(count - 1)])

    def write(out: Array, rows: Array, y: int, z: int) -> Array:
        return lax.dynamic_update_slice(out, shifted(rows[None, :, :, None], k)[0], (y, z, 0))

    def sides(rows: Array) -> Array:
        return jnp.pad(rows, ((0, 0), (left, right)))

    out = write(out, x, top, left)
    if left:
        out = write(out, jnp.pad(x[:, : left + right], ((0, 0), (left, 0))), top, 0)
    if right:
        out = write(out, jnp.pad(x[:, w - left - right :], ((0, 0), (0, right))), top, w - right)
    if top:
        out = write(out, sides(jnp.concatenate([above, x[: top + bottom]])), 0, 0)
    if bottom:
        last = sides(jnp.concatenate([x[h - top - bottom :], below]))
        out = write(out, last, h - bottom, 0)
    return out


def shifted(x: Array, k: Array) -> Array:
    """Correlate (N, H, W, C) with (kh, kw, C, K), no padding, as shifted copies that XLA fuses."""
    kh, kw, channels, K = k.shape
    h, w = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    total = 0
    for i in range(kh):
        for j in range(kw):
            for c in range(channels):
                tap = k[i, j, c].reshape(1, 1, 1, K)
                total = total + x[:, i : i + h, j : j + w, c : c + 1] * tap
    return jnp.asarray(total)
