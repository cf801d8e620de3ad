"""Why is a first layer's a what it is? What weights tell of it, and photographs made smaller or blurred."""

from importlib import resources

import numpy as np
import pandas as pd
import scipy
from PIL import Image

from kernelstudy.analysis.gradients import a_of_phi, gradient_matrix, phi_of_a
from kernelstudy.analysis.theory import a_pca, patch_pca_of
from kernelstudy.comparison.within import kernels_a
from kernelstudy.data.photos import PHOTOS, luma

DRAWS = 2000


def gradient_columns(stored: np.ndarray, profiles: np.ndarray, a_photos: float) -> dict:
    """Of a 3x3 layer (3, 3, in, out) and its live profiles (n, 3, 3): a of its achromatic part, a with every
    kernel at norm 1, and the coherence of the smooth and the fine gradient with the p of random signs."""
    grey = np.moveaxis(stored.mean(axis=2), -1, 0)
    grey_a = kernels_a(grey, np.zeros(len(grey)))
    unit = profiles / np.linalg.norm(profiles, axis=(1, 2), keepdims=True)
    unit_a = kernels_a(unit, np.zeros(len(unit)))
    value, p = coherence(unit, a_photos)
    energy = (grey**2).sum() * stored.shape[2] / np.sum(stored**2)
    return {
        "achromatic": energy,
        "a_achromatic": grey_a.a,
        "a_achromatic_resolved": bool(grey_a.resolved),
        "a_unit": unit_a.a,
        "a_unit_resolved": bool(unit_a.resolved),
        "coherence": value,
        "coherence_p": p,
    }


def coherence(kernels: np.ndarray, a_photos: float, seed: int = 0) -> tuple[float, float]:
    """How far the fine gradient goes along with the smooth one over kernels (n, 3, 3): sum of m1 . m2 over the
    root of (sum |m1|^2 sum |m2|^2), m1 and m2 (2,) a kernel's coefficients on the two pairs of odd axes, of
    which the first has a = `a_photos`. p: the share of 2,000 draws of random signs with as much, one-sided."""
    m = gradient_matrix(kernels)
    phi = float(phi_of_a(a_photos))
    smooth = np.sin(phi) * m[:, 0] + np.cos(phi) * m[:, 1]
    fine = np.cos(phi) * m[:, 0] - np.sin(phi) * m[:, 1]
    scale = np.sqrt((smooth**2).sum() * (fine**2).sum())
    if scale <= 1e-12 * (m**2).sum():  # on one pair alone
        return 0.0, 1.0
    products = (smooth * fine).ravel()
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (DRAWS, products.size))
    drawn = signs @ products
    p = (1 + np.sum(drawn >= products.sum() - 1e-12)) / (1 + DRAWS)
    return float(products.sum() / scale), float(p)


def photographs() -> list[np.ndarray]:
    """The photographs of `photo_patches`, whole, in brightness."""
    found = []
    for package, file in PHOTOS:
        with (resources.files(package) / file).open("rb") as opened:
            found.append(luma(np.asarray(Image.open(opened).convert("RGB"), dtype=float)))
    return found


def photographs_a(photos: list[np.ndarray]) -> pd.DataFrame:
    """a of the patches of photographs as they are, blurred, and made smaller: treatment, a."""
    rows = [("as they are", 0.0, photos)]
    for sigma in (0.5, 1.0, 2.0):
        blurred = [scipy.ndimage.gaussian_filter(photo, sigma) for photo in photos]
        rows.append(("blurred, sigma in pixels", sigma, blurred))
    for factor in (2, 3, 4):
        rows.append(("made smaller by area", factor, [_area(p, factor) for p in photos]))
        rows.append(("every so many pixels", factor, [p[::factor, ::factor] for p in photos]))
    found = []
    for treatment, amount, images in rows:
        stacks = [(image / image.std())[None] for image in images]
        found.append((treatment, amount, a_pca(*patch_pca_of(stacks, 3))))
    return pd.DataFrame(found, columns=["treatment", "amount", "a"])


def _area(photo: np.ndarray, factor: int) -> np.ndarray:
    height, width = (n // factor for n in photo.shape)
    cut = photo[: height * factor, : width * factor]
    return cut.reshape(height, factor, width, factor).mean(axis=(1, 3))


def sampled_gaussian(a: float) -> float:
    """sigma in pixels of the Gaussian whose sampled derivative has this a > 1."""
    return float(1 / np.sqrt(2 * np.log(a)))


def middle() -> float:
    """The a half-way between Prewitt's and Sobel's on the bounded scale of a."""
    return float(a_of_phi((phi_of_a(1.0) + phi_of_a(2.0)) / 2))
