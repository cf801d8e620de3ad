"""What each operator is: source, formula, scale, sizes, and how to make it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kernelstudy.handcrafted import stencils as st

ODD = (3, 5, 7, 9, 11)
GROUPS = ("derivative", "blob", "smoothing", "compass", "frequency", "all")


@dataclass(frozen=True)
class Operator:
    """A family of kernels with one source; `members[name](size, **keywords)` makes one."""

    source: str
    formula: str
    scale: str
    members: dict[str, Callable[..., st.Kernel]]
    group: str | None = None
    sizes: tuple[int, ...] = ODD


def _fixed(mask: st.Kernel) -> Callable[[int], st.Kernel]:
    return lambda size: mask.copy()


def _pair(name: str, along_x: Callable[[int], st.Kernel]) -> dict[str, Callable[..., st.Kernel]]:
    return {f"{name}_x": along_x, f"{name}_y": lambda size: along_x(size).T.copy()}


def _compass(name: str, ring: tuple[int, ...]) -> dict[str, Callable[..., st.Kernel]]:
    return {f"{name}_{k}": _fixed(st.compass(ring, k)) for k in range(8)}


OPERATORS: dict[str, Operator] = {
    "prewitt": Operator(
        "Prewitt, Object enhancement and extraction, in Picture Processing and "
        "Psychopictorics (1970)",
        "ones(n)^T x [-m..m]: the least-squares plane's slope over the window",
        "integers; scikit-image prewitt_v: 1/3 of it; divide by 6 (n = 3) "
        "for grey levels per pixel",
        _pair("prewitt", st.prewitt_x),
        "derivative",
    ),
    "sobel": Operator(
        "Sobel and Feldman, A 3x3 isotropic gradient operator for image processing (1968); printed "
        "in Duda and Hart, Pattern Classification and Scene Analysis (1973)",
        "[1, 2, 1]^T x [-1, 0, 1]; size n: convolved with the binomial filter of size n - 2",
        "integers, as OpenCV Sobel and getDerivKernels (normalize=False); scikit-image sobel_v: "
        "1/4 of it; divide by 8 (n = 3) for grey levels per pixel",
        _pair("sobel", st.sobel_x),
        "derivative",
    ),
    "scharr": Operator(
        "Scharr, Optimale Operatoren in der Digitalen Bildverarbeitung, PhD thesis, "
        "Heidelberg (2000)",
        "[3, 10, 3]^T x [-1, 0, 1]",
        "integers, as OpenCV Scharr; scikit-image scharr_v: 1/16 of it; divide by 32 for grey "
        "levels per pixel",
        _pair("scharr", lambda size: st.SCHARR_X.copy()),
        "derivative",
        (3,),
    ),
    "central": Operator(
        "Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, "
        "Mathematics of Computation 51 (1988)",
        "[-1, 0, 1] on the middle row; size n: the central difference of accuracy n - 1",
        "integers; divide by 2, 12, 60, 840, 2520 (n = 3, 5, 7, 9, 11) for grey levels per pixel",
        _pair("central", st.central_x),
    ),
    "roberts": Operator(
        "Roberts, Machine perception of three-dimensional solids, in Optical and Electro-Optical "
        "Information Processing (1965)",
        "[[1, 0], [0, -1]] and [[0, 1], [-1, 0]]",
        "integers, as scikit-image roberts_pos_diag and roberts_neg_diag, which convolve",
        {f"roberts_{k + 1}": _fixed(mask) for k, mask in enumerate(st.ROBERTS)},
        sizes=(2,),
    ),
    "freichen": Operator(
        "Frei and Chen, Fast boundary detection: a generalization and a new algorithm, IEEE "
        "Transactions on Computers C-26 (1977)",
        "orthonormal basis of the 3 x 3 window: 1-2 gradient (a = sqrt 2), 3-4 ripple, 5-6 line, "
        "7-8 Laplacian, 9 mean",
        "unit norm; twice sqrt 2 times freichen_1..4 has the published outer weights 1 and sqrt 2",
        {f"freichen_{k + 1}": _fixed(mask) for k, mask in enumerate(st.FREI_CHEN)},
        sizes=(3,),
    ),
    "kirsch": Operator(
        "Kirsch, Computer determination of the constituent structure of biological images, "
        "Computers and Biomedical Research 4 (1971)",
        "5 on three neighbours in the direction k x 45 degrees (from x towards y, as `steer`), "
        "-3 on the other five",
        "integers; divide by 15 for grey levels on the bright side",
        _compass("kirsch", st.KIRSCH_RING),
        "compass",
        (3,),
    ),
    "robinson": Operator(
        "Robinson, Edge detection by compass gradient masks, Computer Graphics and Image "
        "Processing 6 (1977)",
        "the five-level mask: Sobel's ring turned by k x 45 degrees (from x towards y, as `steer`)",
        "integers; robinson_0 is sobel_x and robinson_2 is sobel_y",
        _compass("robinson", st.ROBINSON_RING),
        "compass",
        (3,),
    ),
    "laplacian": Operator(
        "Rosenfeld and Kak, Digital Picture Processing (1976); 4 neighbours is the five-point "
        "difference formula",
        "sum of the 4 (or 8) neighbours minus 4 (or 8) times the centre",
        "integers with negative centre, as OpenCV Laplacian (ksize=1) and scipy.ndimage.laplace; "
        "scikit-image laplace: -1 times it",
        {"laplacian4": _fixed(st.LAPLACIAN_4), "laplacian8": _fixed(st.LAPLACIAN_8)},
        "blob",
        (3,),
    ),
    "log": Operator(
        "Marr and Hildreth, Theory of edge detection, Proceedings of the Royal Society B 207 "
        "(1980)",
        "gauss_dxx + gauss_dyy, keyword sigma: negative centre, sums to 0",
        "sampled; as scipy.ndimage.gaussian_laplace up to truncation and the sum-to-zero "
        "correction",
        {"log": st.laplacian_of_gaussian},
        "blob",
    ),
    "dog": Operator(
        "Marr and Hildreth (1980) for the ratio 1.6; Lowe, Distinctive image features from "
        "scale-invariant keypoints, IJCV 60 (2004), for the sign",
        "G(ratio sigma) - G(sigma), keywords sigma and ratio = 1.6; about (ratio - 1) sigma^2 LoG",
        "each Gaussian sums to 1; scikit-image difference_of_gaussians: -1 times it",
        {"dog": st.difference_of_gaussians},
        "blob",
    ),
    "box": Operator(
        "Rosenfeld and Kak, Digital Picture Processing (1976)",
        "ones(n, n)",
        "integers; OpenCV blur and scipy.ndimage.uniform_filter: 1/n^2 of it",
        {"box": lambda size: np.ones((size, size))},
        "smoothing",
    ),
    "gaussian": Operator(
        "Burt and Adelson, The Laplacian pyramid as a compact image code, IEEE Transactions on "
        "Communications 31 (1983)",
        "binomial(n)^T x binomial(n), sigma = sqrt(n - 1) / 2",
        "integers; divide by 4^(n - 1) to sum to 1, as OpenCV GaussianBlur(sigma=0) for n = 3, 5",
        {"gaussian": lambda size: np.outer(st.binomial(size), st.binomial(size))},
        "smoothing",
    ),
    "gauss": Operator(
        "Koenderink and van Doorn, Representation of local geometry in the visual system, "
        "Biological Cybernetics 55 (1987)",
        "derivatives of a sampled Gaussian, keyword sigma (default sqrt(n - 1) / 2); second "
        "derivatives freed of their response to a constant",
        "sampled; as scipy.ndimage.gaussian_filter(order=...) up to truncation and normalisation",
        {
            f"gauss_{axes}": partial(st.gaussian_derivative, nx=nx, ny=ny)
            for axes, nx, ny in [
                ("dx", 1, 0),
                ("dy", 0, 1),
                ("dxx", 2, 0),
                ("dxy", 1, 1),
                ("dyy", 0, 2),
            ]
        },
    ),
    "gabor": Operator(
        "Daugman, Uncertainty relation for resolution in space, spatial frequency, and "
        "orientation, JOSA A 2 (1985)",
        "exp(-(u^2 + gamma^2 v^2) / 2 sigma^2) cos(2 pi u / wavelength + phase), "
        "u = x cos theta + y sin theta",
        "peak 1, as OpenCV getGaborKernel; scikit-image gabor_kernel: 1 / (2 pi sigma^2) of it",
        {"gabor": st.gabor},
        "frequency",
    ),
    "dct": Operator(
        "Ahmed, Natarajan and Rao, Discrete cosine transform, IEEE Transactions on Computers C-23 "
        "(1974)",
        "product of cosines, frequency u along x and v along y, 0 <= u, v < n",
        "unit norm, as scipy.fft.idctn(norm='ortho') of an impulse",
        {
            f"dct_{u}_{v}": partial(st.dct, u=u, v=v)
            for u in range(max(ODD))
            for v in range(max(ODD))
        },
        "frequency",
    ),
    "identity": Operator(
        "Oppenheim and Schafer, Digital Signal Processing (1975): the unit sample",
        "1 in the centre, 0 elsewhere",
        "integers",
        {"identity": st.impulse},
    ),
}


def sizes_of(name: str, operator: Operator) -> tuple[int, ...]:
    """The sizes at which a member exists; a DCT picture needs a size above both frequencies."""
    if not name.startswith("dct_"):
        return operator.sizes
    highest = max(int(order) for order in name.split("_")[1:])
    return tuple(size for size in operator.sizes if size > highest)
