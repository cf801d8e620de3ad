"""python experiments/fixed_banks/random_banks.py: banks of random kernels of a number and a dimension, as .npy.

Each is 16 kernels of 3 x 3 (kh, kw, 1, 16): `number` of them over and over, isotropic in a random subspace of
`dimension` dimensions, each at the norm that He's initialisation has on average, as hand-crafted banks are.
"""

from pathlib import Path

import numpy as np

WIDTH, DRAWS = 16, 2
SHAPES = ((2, 2), (8, 4), (8, 8))  # number, dimension


def drawn(number: int, dimension: int, seed: int) -> np.ndarray:
    """(3, 3, 1, `WIDTH`) float32."""
    rng = np.random.default_rng((number, dimension, seed))
    axes = np.linalg.qr(rng.standard_normal((9, dimension)))[0]
    kernels = rng.standard_normal((number, dimension)) @ axes.T
    kernels *= np.sqrt(2) / np.linalg.norm(kernels, axis=1, keepdims=True)
    bank = kernels[np.arange(WIDTH) % number].reshape(WIDTH, 3, 3)
    return bank.transpose(1, 2, 0)[:, :, None].astype(np.float32)


def main() -> None:
    for number, dimension in SHAPES:
        for seed in range(DRAWS):
            name = f"random_{number}_{dimension}_{'ab'[seed]}.npy"
            np.save(Path(__file__).parent / name, drawn(number, dimension, seed))


if __name__ == "__main__":
    main()
