"""python experiments/derived_labels/images.py [--out DIR]: images of 12 x 12 with an operator's labels."""

import argparse
import sys
from pathlib import Path

import numpy as np

from kernelstudy import handcrafted
from kernelstudy.analysis.gradients import OPERATORS as A_OF
from kernelstudy.data import images as sets

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = {name: A_OF[name.capitalize()] for name in ("prewitt", "sobel", "scharr")}  # to their a
SIZE, DIRECTIONS, TRAIN, TEST = 12, 8, 60_000, 10_000


def direction(images: np.ndarray, a: float) -> np.ndarray:
    """Which of `DIRECTIONS` the strongest response of [1, a, 1]ᵀ x [-1, 0, 1], steered, has in an image.

    images: (n, H, W). The answer: (n,), 0 to DIRECTIONS − 1, counted from the x axis.
    """
    along, across = np.array([1.0, a, 1.0]), np.array([-1.0, 0.0, 1.0])
    gx, gy = np.outer(along, across), np.outer(across, along)
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32), (3, 3), (1, 2))
    strongest = [
        np.einsum("nyxij,ij->nyx", windows, handcrafted.steer(gx, gy, angle)).max((1, 2))
        for angle in 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ]
    return np.argmax(strongest, axis=0)


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """White noise: images whose statistics prefer no kernel."""
    pixels = np.rint(128 + 40 * rng.normal(size=(count, SIZE, SIZE)))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def patches(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random places of random photographs (n, H, W), as uint8 around 128."""
    which = rng.integers(len(images), size=count)
    top, left = rng.integers(images.shape[1] - SIZE + 1, size=(2, count))
    cut = [images[i, y : y + SIZE, x : x + SIZE] for i, y, x in zip(which, top, left, strict=True)]
    return np.clip(np.rint(128 + 40 * np.array(cut)), 0, 255).astype(np.uint8)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT / "results" / "runs" / "derived_labels_images"
    parser.add_argument("--out", type=Path, default=default)
    out = parser.parse_args(words).out
    out.mkdir(parents=True, exist_ok=True)
    rng, photographs = np.random.default_rng(0), sets.load("photo_patches")
    made = {
        "noise": [noise(count, rng) for count in (TRAIN, TEST)],
        "photographs": [
            patches(np.asarray(of)[..., 0], count, rng)
            for of, count in (
                (photographs.train_images, TRAIN),
                (photographs.test_images, TEST),
            )
        ],
    }
    for kind, (train, test) in made.items():
        for name, a in OPERATORS.items():
            np.savez(
                out / f"{kind}_{name}.npz",
                train_images=train,
                train_labels=direction(train, a),
                test_images=test,
                test_labels=direction(test, a),
            )
            print(out / f"{kind}_{name}.npz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
