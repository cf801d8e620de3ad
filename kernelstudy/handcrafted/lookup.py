"""Look kernels up by name or by group."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature

import numpy as np
from numpy.typing import ArrayLike

from kernelstudy.handcrafted import stencils as st
from kernelstudy.handcrafted.entries import GROUPS, OPERATORS, sizes_of

_OPERATOR_OF = {name: key for key, op in OPERATORS.items() for name in op.members}


@dataclass(frozen=True)
class Info:
    """What is known of one kernel.

    `scale` tells the published scale, which is ours, and the scale that other libraries use.
    `symmetry` is read off the kernel at its smallest size. `sizes` are those where it exists.
    """

    name: str
    operator: str
    groups: tuple[str, ...]
    source: str
    formula: str
    scale: str
    symmetry: str
    sizes: tuple[int, ...]


def names(size: int | None = None) -> tuple[str, ...]:
    """Names of the kernels that exist at `size`; without a size, those of size 2 or 3.

    Larger sizes add only higher frequencies of the DCT.
    """
    wanted = {2, 3} if size is None else {size}
    return tuple(n for n, key in _OPERATOR_OF.items() if wanted & {*sizes_of(n, OPERATORS[key])})


def kernel(name: str, size: int | None = None, **parameters: float) -> st.Kernel:
    """A hand-crafted kernel for cross-correlation, at its published scale.

    Args:
        name: one of `names()`. `_x` kernels are positive where intensity grows to the right,
            `_y` kernels where it grows downwards.
        size: rows and columns in pixels: 3 (the default), 5, 7, 9 or 11 where the operator
            generalises; Roberts' two are 2 x 2 only.
        **parameters: `sigma` (gauss_*, log, dog; pixels), `ratio` (dog), and `theta`,
            `wavelength`, `sigma`, `gamma`, `phase` (gabor; radians and pixels).

    Returns:
        float64 array (size, size), free to change.

    Raises:
        ValueError: unknown name, a size at which the operator is not published, or a parameter
            that is not a positive number.
        TypeError: a parameter that this kernel does not have.
    """
    _check_name(name)
    operator = OPERATORS[_OPERATOR_OF[name]]
    sizes = sizes_of(name, operator)
    size = sizes[0] if size is None else size
    if size not in sizes:
        allowed = ", ".join(map(str, sizes))
        raise ValueError(f"{name} does not exist at size {size!r}: allowed is {allowed}")
    make = operator.members[name]
    preset = getattr(make, "keywords", {})
    known = [p for p in list(signature(make).parameters)[1:] if p not in preset]
    if unknown := [p for p in parameters if p not in known]:
        raise TypeError(
            f"{name} has no parameter {unknown[0]!r}: it has {', '.join(known) or 'none'}"
        )
    return make(size, **parameters)


def bank(group: str | Iterable[str] = "all", size: int = 3) -> dict[str, st.Kernel]:
    """Kernels by name, in a fixed order.

    Args:
        group: 'derivative' (x and y of Prewitt, Sobel, Scharr), 'blob', 'smoothing', 'compass',
            'frequency' or 'all'; or one operator ('sobel', 'kirsch', 'dct', ...), one kernel, or
            an iterable of kernel names.
        size: rows and columns in pixels. A group gives those of its kernels that exist at this
            size; a kernel asked for by name must exist.

    Raises:
        ValueError: unknown group or name, or nothing of it at this size.
    """
    if not isinstance(group, str):
        return {name: kernel(name, size) for name in group}
    if group in _OPERATOR_OF:
        return {group: kernel(group, size)}
    if group not in GROUPS and group not in OPERATORS:
        known = [*GROUPS, *OPERATORS]
        raise ValueError(
            f"unknown bank {group!r}{_near(group, [*known, *_OPERATOR_OF])}: "
            f"allowed is a kernel name or one of {', '.join(known)}"
        )
    found = {n: kernel(n, size) for n in names(size) if group in (*_groups(n), _OPERATOR_OF[n])}
    if not found:
        keys = [key for key, op in OPERATORS.items() if group in (key, op.group, "all")]
        allowed = sorted({n for key in keys for n in OPERATORS[key].sizes})
        raise ValueError(
            f"bank {group!r} has no kernel of size {size!r}: "
            f"allowed is {', '.join(map(str, allowed))}"
        )
    return found


def info(name: str) -> Info:
    """Source with its year, formula, scale, symmetry and sizes of a kernel.

    Raises:
        ValueError: unknown name.
    """
    _check_name(name)
    key = _OPERATOR_OF[name]
    op = OPERATORS[key]
    sizes = sizes_of(name, op)
    symmetry = _symmetry(kernel(name))
    return Info(name, key, _groups(name), op.source, op.formula, op.scale, symmetry, sizes)


def steer(gx: ArrayLike, gy: ArrayLike, theta: ArrayLike) -> st.Kernel:
    """cos(theta) gx + sin(theta) gy: the derivative pair turned to `theta`.

    Args:
        gx, gy: kernels (kh, kw) that respond along x and along y.
        theta: angle or angles in radians, from x (right) towards y (down).

    Returns:
        float64 array of shape `theta.shape + (kh, kw)`. Exact turning for Gaussian derivatives
        (Freeman and Adelson 1991, eq. 5); for the others it is the directional derivative.

    Raises:
        ValueError: the two kernels differ in shape.
    """
    gx, gy = np.asarray(gx, dtype=float), np.asarray(gy, dtype=float)
    if gx.shape != gy.shape or gx.ndim != 2:
        raise ValueError(f"gx and gy must be two kernels of one shape, not {gx.shape}, {gy.shape}")
    angle = np.asarray(theta, dtype=float)[..., None, None]
    return np.cos(angle) * gx + np.sin(angle) * gy


def family(a: float, theta: ArrayLike = 0.0) -> st.Kernel:
    """The 3 x 3 derivative [1, a, 1]^T x [-1, 0, 1], steered to `theta`.

    a = 1 is Prewitt, sqrt(2) Frei-Chen, 2 Sobel, 10/3 Scharr (each at the scale of its outer rows)
    and infinity the central difference.

    Args:
        a: weight of the middle row; any number, or infinity.
        theta: angle or angles in radians, from x (right) towards y (down).

    Returns:
        float64 array of shape `theta.shape + (3, 3)`.

    Raises:
        ValueError: `a` is not a number.
    """
    if np.isnan(a):
        raise ValueError("a must be a number or infinity, not nan")
    rows = [0.0, 1.0, 0.0] if np.isinf(a) else [1.0, float(a), 1.0]
    along_x = np.outer(rows, [-1.0, 0.0, 1.0])
    return steer(along_x, along_x.T, theta)


def _groups(name: str) -> tuple[str, ...]:
    group = OPERATORS[_OPERATOR_OF[name]].group
    return ("all",) if group is None else (group, "all")


def _check_name(name: str) -> None:
    if name not in _OPERATOR_OF:
        operators = ", ".join(OPERATORS)
        raise ValueError(
            f"unknown kernel {name!r}{_near(name, _OPERATOR_OF)}: "
            f"allowed are the names() of {operators}"
        )


def _near(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(str(word), list(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _symmetry(K: st.Kernel) -> str:
    """How a kernel changes when the square it lives on is reflected or turned."""
    images = {
        "in x": K[:, ::-1],
        "in y": K[::-1],
        "under half turn": K[::-1, ::-1],
        "under transposition": K.T,
    }
    even = [key for key, image in images.items() if np.allclose(image, K)]
    odd = [key for key, image in images.items() if np.allclose(image, -K)]
    return ", ".join([f"even {key}" for key in even] + [f"odd {key}" for key in odd]) or "none"
