"""Where the kernels of the calibration come from: photographs, training, and chance."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage import color, data

from kernelstudy.analysis import covariance_matched, permute_taps, phase_scrambled
from kernelstudy.config import Arm, Model, Study
from kernelstudy.data.images import load
from kernelstudy.handcrafted import family
from kernelstudy.training.population import train_population

NETWORKS = 10
SCALE = 0.03  # of He's initial kernels: what is there at the end was learned
PHOTOS = ("astronaut", "camera", "coffee", "chelsea", "brick", "grass")

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def photographs() -> np.ndarray:
    """The photographs that scikit-image ships, grey, 300 x 400, standardised one by one."""
    found = []
    for name in PHOTOS:
        image = getattr(data, name)()
        grey = color.rgb2gray(image) if image.ndim == 3 else image / 255
        grey = grey[:300, :400]
        found.append((grey - grey.mean()) / grey.std())
    return np.stack(found)


def digits() -> np.ndarray:
    return load("mnist5k").train_images[..., 0]


def trained_kernels(size: int, cache: Path, *, width: int, steps: int) -> np.ndarray:
    """Kernels at the start and the end of training (2, net, channel, k, k), on real digits.

    They start small, so that at the end they show learning rather than their start.
    """
    path = cache / f"trained_k{size}_w{width}_s{steps}.npy"
    if not path.exists():
        study = Study(
            name="calibration",
            arms=[Arm(init="he_normal", scale=SCALE)],
            seeds=NETWORKS,
            steps=steps,
            batch_size=64,
            log_points=3,
            probe_seeds=0,
            model=Model(kernel_size=size, width=width, deep_width=8),
        )
        trajectory = train_population(study, load("mnist5k"))
        kernels = trajectory["kernel"].isel(arm=0, cin=0, step=[0, -1])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, kernels.transpose("step", "seed", "cout", "ky", "kx").to_numpy())
    return np.load(path)


def null_draws(size: int, trained: np.ndarray, basis: np.ndarray) -> dict[str, Draw]:
    """Each kind of chance as draw(rng, channels) -> kernels, start: (net, channel, k, k) both."""

    def normal(rng, channels):
        return rng.standard_normal((2, NETWORKS, channels, size, size))

    def uniform(rng, channels):
        return rng.uniform(-1, 1, (2, NETWORKS, channels, size, size))

    def permuted(rng, channels):
        return permute_taps(trained[1, :, :channels], rng), permute_taps(
            trained[0, :, :channels], rng
        )

    def image_statistics(rng, channels):
        layer = trained[1, :, :channels]
        drawn = covariance_matched(layer, basis, NETWORKS * channels, rng)
        return drawn.reshape(layer.shape), normal(rng, channels)[0]

    return {
        "normal noise": normal,
        "uniform noise": uniform,
        "permuted taps": permuted,
        "N3 draws": image_statistics,
        **no_operator(size, trained, basis),
    }


def no_operator(size: int, trained: np.ndarray, basis: np.ndarray) -> dict[str, Draw]:
    """Kernels that differ from Gaussian image statistics in much, and hold no operator."""
    d = size * size
    layer = trained[1].reshape(-1, d) @ basis.T
    scale = np.sqrt(np.mean(layer**2, axis=0))

    def on_axes(coefficients, channels):
        return (coefficients @ basis).reshape(NETWORKS, channels, size, size)

    def gauss(rng, channels, of=scale):
        return on_axes(rng.standard_normal((NETWORKS, channels, d)) * of, channels)

    def white(rng, channels):
        return rng.standard_normal((NETWORKS, channels, size, size)) * np.sqrt(np.mean(scale**2))

    def laplace(rng, channels):
        return on_axes(rng.laplace(size=(NETWORKS, channels, d)) * scale, channels)

    def unequal_means(rng, channels):
        kernels = gauss(rng, channels)
        mean = kernels.mean((-2, -1), keepdims=True)
        return kernels - mean + mean * np.exp(1.5 * rng.standard_normal((NETWORKS, channels, 1, 1)))

    def halves(other):
        def draw(rng, channels):
            first = np.arange(channels)[:, None, None] < channels // 2
            return np.where(first, gauss(rng, channels), other(rng, channels))

        return draw

    def whitened(rng, channels):
        kernels = gauss(rng, channels, 1 / np.maximum(scale, 1e-3 * scale.max()))
        return kernels * np.sqrt(np.mean(scale**2) / np.mean(kernels**2))

    def rank_one(rng, channels):
        u, v = rng.standard_normal((2, NETWORKS, channels, size))
        return u[..., :, None] * v[..., None, :]

    def orthogonal(rng, channels):
        q = np.linalg.qr(rng.standard_normal((NETWORKS, -(-channels // d), d, d)))[0]
        return q.reshape(NETWORKS, -1, size, size)[:, :channels]

    def scrambled(rng, channels):
        return phase_scrambled(trained[1, :, :channels], rng)

    made = {
        "Laplace coefficients": laplace,
        "unequal means": unequal_means,
        "half white": halves(white),
        "half whitened": halves(whitened),
        "rank one": rank_one,
        "orthogonal": orthogonal,
        "scrambled phases": scrambled,
    }

    def with_start(draw):
        return lambda rng, channels: (
            draw(rng, channels),
            rng.standard_normal((NETWORKS, channels, size, size)),
        )

    return {name: with_start(draw) for name, draw in made.items()}


def planted(
    rng: np.random.Generator,
    a: float,
    snr: float,
    *,
    networks: int,
    channels: int,
    spread: float = 0,
) -> np.ndarray:
    """fam(a) in random directions plus isotropic noise, (net, channel, 3, 3).

    `snr`: the operator's energy over the noise's, in a kernel. `spread`: the standard deviation of
    phi (of `phi_of_a`) between networks, in radians.
    """
    phi = np.arctan(a / 2**0.5) + spread * rng.standard_normal((networks, 1, 1, 1))
    theta = rng.uniform(-np.pi, np.pi, (networks, channels))
    # of norm 1 both: the central difference and the corners' difference
    middle = (family(1, theta) - family(0, theta)) / 2**0.5
    corners = family(0, theta) / 2
    signal = np.sin(phi) * middle + np.cos(phi) * corners
    return snr**0.5 * signal + rng.standard_normal(signal.shape) / 3
