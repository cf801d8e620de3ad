"""Who runs: each contender is a function that does the whole job once, into the same memory."""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from skimage import filters

import kernelstudy.conv as ks
from kernelstudy.handcrafted import bank

BANK = bank(["prewitt_x", "prewitt_y", "sobel_x", "sobel_y", "scharr_x", "scharr_y"])
BANK |= bank("laplacian")
KERNELS = [k.astype(np.float32) for k in BANK.values()]
K = len(BANK)
THREADS = 2
POOL = ThreadPoolExecutor(THREADS)


@dataclass(frozen=True)
class Contender:
    """`run` does the job; `maps` gives what it wrote for image 0 as (H, W, K), or None.

    `pixels` are the output values of one run: slow contenders filter some of the images only.
    """

    run: Callable[[], object]
    pixels: int
    maps: Callable[[], np.ndarray] | None = None


def contenders(images: np.ndarray, *, slow: int) -> dict[str, Contender]:
    """All contenders for images (N, H, W); `slow` images are enough for the slow ones."""
    return {
        **_ours(images),
        **_opencv(images),
        **_opencv_bytes(images),
        **_slow(images[:slow]),
        **_torch(images),
        **_limits(images),
    }


class _Reused:
    """apply_bank into the memory of its own last result."""

    def __init__(self, images: jax.Array, padding: ks.Padding):
        self.images, self.padding = images, padding
        self.maps = ks.apply_bank(images, BANK, padding=padding)

    def __call__(self) -> None:
        self.maps = ks.apply_bank(self.images, BANK, padding=self.padding, out=self.maps)
        self.maps.block_until_ready()


def _ours(images: np.ndarray) -> dict[str, Contender]:
    one = jax.device_put(images, jax.devices()[0])
    fresh = lambda: ks.apply_bank(one, BANK, padding="same").block_until_ready()  # noqa: E731
    jobs = {
        "kernelstudy out=, same, one device": _Reused(one, "same"),
        "kernelstudy out=, valid, one device": _Reused(one, "valid"),
    }
    if len(images) % len(jax.devices()) == 0:
        spread = ks.spread(images)
        jobs["kernelstudy out=, same, a device per core"] = _Reused(spread, "same")
        jobs["kernelstudy out=, valid, a device per core"] = _Reused(spread, "valid")
    else:
        jobs["kernelstudy out=, same, a device per core"] = _Reused(ks.spread(images[0]), "same")
    found = {
        name: Contender(job, job.maps.size, lambda job=job: _first(job.maps))
        for name, job in jobs.items()
    }
    found["kernelstudy fresh memory, same"] = Contender(fresh, K * images.size)
    return found


def _first(maps: jax.Array) -> np.ndarray:
    """The maps of the first image; of a single image its own."""
    return np.asarray(maps[0] if maps.ndim == 4 else maps)


def _parts(n: int) -> list[range]:
    edges = np.linspace(0, n, THREADS + 1).astype(int)
    return [range(a, b) for a, b in pairwise(edges)]


def _threads(job: Callable[[int], object], n: int) -> Callable[[], object]:
    """Run job(0..n-1) on Python threads: OpenCV and NumPy let go of the interpreter lock."""
    return lambda: list(POOL.map(lambda part: [job(i) for i in part], _parts(n)))


def _opencv(images: np.ndarray) -> dict[str, Contender]:
    cv2.setNumThreads(1)
    n, height, width = images.shape
    out = np.zeros((n, K, height, width), np.float32)
    border = {"borderType": cv2.BORDER_CONSTANT}
    factors = [_separate(k) for k in KERNELS]

    def general(task: int) -> None:
        i, j = divmod(task, K)
        cv2.filter2D(images[i], cv2.CV_32F, KERNELS[j], dst=out[i, j], **border)

    def separable(task: int) -> None:
        i, j = divmod(task, K)
        if factors[j] is None:
            general(task)
        else:
            row, column = factors[j]
            cv2.sepFilter2D(images[i], cv2.CV_32F, row, column, dst=out[i, j], **border)

    by_kernel = out.reshape(K, n, height, width)

    def kernel_outer(task: int) -> None:
        j, i = divmod(task, n)
        cv2.filter2D(images[i], cv2.CV_32F, KERNELS[j], dst=by_kernel[j, i], **border)

    tasks, pixels = n * K, K * images.size

    def maps() -> np.ndarray:
        return np.moveaxis(out[0], 0, -1)

    def kernel_outer_maps() -> np.ndarray:
        return np.moveaxis(by_kernel[:, 0], 0, -1)

    def own_threads() -> None:
        cv2.setNumThreads(THREADS)
        for task in range(tasks):
            general(task)
        cv2.setNumThreads(1)

    found = {
        "OpenCV filter2D, 2 threads": Contender(_threads(general, tasks), pixels, maps),
        "OpenCV sepFilter2D, 2 threads": Contender(_threads(separable, tasks), pixels, maps),
        "OpenCV filter2D, maps (K, N, H, W), 2 threads": Contender(
            _threads(kernel_outer, tasks), pixels, kernel_outer_maps
        ),
        "OpenCV filter2D, its own threads": Contender(own_threads, pixels, maps),
        "OpenCV filter2D, 1 thread": Contender(
            lambda: [general(t) for t in range(tasks)], pixels, maps
        ),
    }
    if n > 1:
        tall, tall_out = images.reshape(n * height, width), out.reshape(K, n * height, width)

        def stacked(j: int) -> None:
            cv2.filter2D(tall, cv2.CV_32F, KERNELS[j], dst=tall_out[j], **border)

        # Its maps mix neighbouring images at their borders: for the rate only.
        found["OpenCV filter2D, images stacked, 2 threads"] = Contender(
            _threads(stacked, K), pixels
        )
    else:
        rows = 64

        def strips(task: int) -> None:
            s, j = divmod(task, K)
            part = slice(s * rows, (s + 1) * rows)
            cv2.filter2D(images[0, part], cv2.CV_32F, KERNELS[j], dst=out[0, j, part], **border)

        # Its maps are wrong at the borders of strips: for the rate only.
        found["OpenCV filter2D, strips of 64 rows, 2 threads"] = Contender(
            _threads(strips, K * (height // rows)), pixels
        )
    return found


def _separate(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    u, s, vt = np.linalg.svd(kernel)
    return (vt[0] * s[0], u[:, 0]) if s[1] < 1e-5 * s[0] else None


def _opencv_bytes(images: np.ndarray) -> dict[str, Contender]:
    """Other depths, for information: bytes in, and 16-bit or 32-bit numbers out."""
    grey = np.clip(images * 40 + 128, 0, 255).astype(np.uint8)
    found = {}
    for name, dtype, depth in [
        ("int16", np.int16, cv2.CV_16S),
        ("float32", np.float32, cv2.CV_32F),
    ]:
        out = np.zeros((len(grey), K, *grey.shape[1:]), dtype)

        def one(task: int, out: np.ndarray = out, depth: int = depth) -> None:
            i, j = divmod(task, K)
            cv2.filter2D(grey[i], depth, KERNELS[j], dst=out[i, j], borderType=cv2.BORDER_CONSTANT)

        key = f"(other depth) OpenCV filter2D, uint8 to {name}, 2 threads"
        found[key] = Contender(_threads(one, len(grey) * K), out.size)
    return found


def _slow(images: np.ndarray) -> dict[str, Contender]:
    out = np.zeros((len(images), K, *images.shape[1:]), np.float32)

    def scipy(task: int) -> None:
        i, j = divmod(task, K)
        ndimage.correlate(images[i], KERNELS[j], output=out[i, j], mode="constant")

    ready = [filters.prewitt_v, filters.prewitt_h, filters.sobel_v, filters.sobel_h]
    ready += [filters.scharr_v, filters.scharr_h, filters.laplace]

    def skimage() -> None:
        for image in images:
            for operator in ready:
                operator(image)

    tasks = len(images) * K

    def maps() -> np.ndarray:
        return np.moveaxis(out[0], 0, -1)

    return {
        "SciPy ndimage.correlate, 2 threads": Contender(_threads(scipy, tasks), out.size, maps),
        "SciPy ndimage.correlate, 1 thread": Contender(
            lambda: [scipy(t) for t in range(tasks)], out.size, maps
        ),
        "scikit-image filters (7 of the 8), 1 thread": Contender(skimage, len(ready) * images.size),
    }


def _torch(images: np.ndarray) -> dict[str, Contender]:
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    torch.set_num_threads(THREADS)
    weights = torch.tensor(np.stack(KERNELS))[:, None]
    x = torch.tensor(images)[:, None]
    found = {}
    for name, layout in {
        "": torch.contiguous_format,
        ", channels last": torch.channels_last,
    }.items():
        xs, ws = x.contiguous(memory_format=layout), weights.contiguous(memory_format=layout)

        @torch.inference_mode()
        def run(xs=xs, ws=ws) -> "torch.Tensor":
            return torch.nn.functional.conv2d(xs, ws, padding=1)

        def maps(run=run) -> np.ndarray:
            return run()[0].numpy().transpose(1, 2, 0)

        found[f"PyTorch conv2d{name}, 2 threads"] = Contender(run, K * images.size, maps)
    return found


def _limits(images: np.ndarray) -> dict[str, Contender]:
    """What the machine can do: the same bytes with no arithmetic."""
    n = K * images.size
    source, target = np.ones(n, np.float32), np.zeros(n, np.float32)
    parts = [slice(part.start, part.stop) for part in _parts(n)]
    scale = jnp.ones((K, 1, 1))
    spread = ks.spread(images) if len(images) % len(jax.devices()) == 0 else jnp.asarray(images)
    state = [ks.correlate(spread, scale)]

    def no_taps() -> None:
        state[0] = ks.correlate(spread, scale, out=state[0])
        state[0].block_until_ready()

    def copy() -> None:
        list(POOL.map(lambda part: np.copyto(target[part], source[part]), parts))

    def fill() -> None:
        list(POOL.map(lambda part: target[part].fill(1), parts))

    return {
        "(limit) kernelstudy, eight 1 x 1 kernels": Contender(no_taps, n),
        "(limit) NumPy copy, 2 threads": Contender(copy, n),
        "(limit) NumPy fill, 2 threads": Contender(fill, n),
    }
