"""Feature maps of an image under a bank of kernels, as one figure."""

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from kernelstudy.handcrafted import info
from kernelstudy.reporting.style import DIVERGING, styled

CELL = 2.6  # inches
CLIPPED = 98.5  # percentile of |map| at which the scale ends

Maps = dict[str, NDArray]


def block_mean(image: NDArray, step: int) -> NDArray:
    """(H, W) to means over step x step pixels; an incomplete last row or column of blocks goes."""
    return _blocks(image, step).mean(axis=-1, dtype=np.float32)


def block_strongest(maps: NDArray, step: int) -> NDArray:
    """(H, W, K) to the values at each block's strongest pixel, the one of largest norm over K.

    What max-pooling keeps of a feature map, with its sign, and the maps of a pair from one place.
    """
    norm = np.square(maps).sum(axis=-1)
    strongest = _blocks(norm, step).argmax(axis=-1)[..., None]
    values = [np.take_along_axis(_blocks(m, step), strongest, -1) for m in np.moveaxis(maps, -1, 0)]
    return np.concatenate(values, axis=-1)


def _blocks(image: NDArray, step: int) -> NDArray:
    down, across = (
        min(step, n) for n in image.shape
    )  # of an image narrower than a block all of it
    h, w = image.shape[0] // down, image.shape[1] // across
    cut = image[: h * down, : w * across].reshape(h, down, w, across)
    return cut.swapaxes(1, 2).reshape(h, w, down * across)


def groups(kernels: Maps) -> list[tuple[str, ...]]:
    """Names of kernels that belong together: x and y of one operator first, then each other one."""
    pairs = []
    for x, y in (("_x", "_y"), ("_dx", "_dy")):
        ends = [name for name in kernels if name.endswith(x)]
        candidates = [(name, name.removesuffix(x) + y) for name in ends]
        pairs += [pair for pair in candidates if pair[1] in kernels]
    names_in_pairs = {name for pair in pairs for name in pair}
    return [*pairs, *((name,) for name in kernels if name not in names_in_pairs)]


def is_smoothing(kernel: NDArray) -> bool:
    """Whether a kernel mostly passes brightness on: its weights have mostly one sign."""
    return bool(abs(kernel.sum()) > 0.5 * np.abs(kernel).sum())


def direction_colours(angle: NDArray, strength: NDArray) -> NDArray:
    """Angles (radians, from x right to y down) as hue; strength 0..1 as brightness; (..., 3) RGB.

    Hues run in Oklch (Ottosson 2020) from yellow at 0 to blue at pi, which no common form of colour
    blindness confuses; up is lighter than down.
    """
    lightness = 0.78 - 0.08 * np.sin(angle)
    hue = angle + np.deg2rad(100)
    a, b = 0.13 * np.cos(hue), 0.13 * np.sin(hue)
    lms = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=-1,
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(lms**3 @ to_rgb.T, 0, 1)
    encoded = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded * np.clip(strength, 0, 1)[..., None]


def feature_maps(
    image: NDArray, kernels: Maps, maps: Maps, *, title: str, note: str = ""
) -> Figure:
    """The image, each kernel with its weights, and its map; of x/y pairs magnitude and direction.

    Args:
        image: (H, W) grey levels.
        kernels: by name, (kh, kw).
        maps: by the same names, (H', W'). Each is shown divided by its kernel's sum of |weights|;
            all on one symmetric scale, but the smoothed images as images.
        title: what the image is.
        note: how the maps were made, for the caption.
    """
    responses = {name: maps[name] / np.abs(kernels[name]).sum() for name in maps}
    strengths = [np.abs(responses[name]) for name in kernels if not is_smoothing(kernels[name])]
    scale = float(np.percentile(np.stack(strengths), CLIPPED)) if strengths else 1.0
    scale = scale or 1.0
    cells = [cell for names in groups(kernels) for cell in _cells(names, kernels, responses, scale)]
    columns = 8 if len(cells) > 24 else min(4, max(3, len(cells)))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    aspect = float(np.clip(image.shape[0] / image.shape[1], 0.3, 2))
    heights = [CELL * max(1.1, 1.4 * aspect)] + [CELL * (aspect + 0.62)] * len(rows)
    with styled(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(CELL * columns, sum(heights)))
        parts = np.ravel(np.array(figure.subfigures(len(heights), 1, height_ratios=heights)))
        has_pairs = any(len(names) == 2 for names in groups(kernels))
        _head(parts[0], image, title, note, scale if strengths else None, wheel=has_pairs)
        for part, row in zip(parts[1:], rows, strict=True):
            axes = part.subplots(2, columns, height_ratios=(0.5, aspect), squeeze=False)
            for axis in axes.ravel():
                axis.axis("off")
            for (top, bottom), cell in zip(axes.T, row, strict=False):
                _weights(top, cell)
                bottom.imshow(cell.picture, **cell.look)
    return figure


@dataclass(frozen=True)
class _Cell:
    title: str
    kernel: NDArray | None
    picture: NDArray
    look: dict[str, Any]


def _cells(names: tuple[str, ...], kernels: Maps, responses: Maps, scale: float) -> list[_Cell]:
    signed = {"cmap": DIVERGING, "vmin": -scale, "vmax": scale}
    grey = {"cmap": "gray"}
    cells = [
        _Cell(n, kernels[n], responses[n], grey if is_smoothing(kernels[n]) else signed)
        for n in names
    ]
    if len(names) == 2:
        x, y = (responses[name] for name in names)
        strength = np.hypot(x, y)
        operator = info(names[0]).operator
        colours = direction_colours(np.arctan2(y, x), np.sqrt(strength / scale))
        title = f"{operator}: magnitude\nsqrt(x² + y²)"
        cells.append(_Cell(title, None, strength, {**grey, "vmin": 0, "vmax": scale}))
        cells.append(_Cell(f"{operator}: direction\natan2(y, x), see the wheel", None, colours, {}))
    return cells


def _head(
    part: SubFigure, image: NDArray, title: str, note: str, scale: float | None, *, wheel: bool
) -> None:
    left, right = part.subplots(1, 2)
    left.imshow(image, cmap="gray", vmin=min(0, image.min()), vmax=max(1, image.max()))
    left.set_title(title, loc="center")
    left.axis("off")
    right.axis("off")
    lines = [
        "Cross-correlation: x kernels answer where the image",
        "brightens to the right, y kernels where it brightens",
        "downwards. Colour was taken to Rec. 709 luma.",
        note,
    ]
    if scale is not None:
        lines = ["All signed maps share this scale, which clips them.", *lines]
        norm = Normalize(-scale, scale)
        bar_axes = right.inset_axes((0.02, 0.8, 0.9, 0.06))
        mappable = ScalarMappable(norm, DIVERGING)
        bar = part.colorbar(mappable, cax=bar_axes, orientation="horizontal")
        bar_axes.set_title("response / sum of |weights|  (white = 1)", loc="center")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    right.text(0.36 if wheel else 0.02, 0.6, "\n".join(lines), va="top", linespacing=1.5)
    if wheel:
        _wheel(right.inset_axes((0.0, 0.2, 0.3, 0.4)))


def _wheel(axes: Axes) -> None:
    y, x = np.mgrid[-1:1:181j, -1:1:181j]
    colours = direction_colours(np.arctan2(y, x), np.sqrt(np.hypot(x, y)))
    inside = np.hypot(x, y) <= 1
    axes.imshow(np.dstack([colours, inside]), extent=(-1, 1, 1, -1))
    axes.set_title("brightens towards", fontsize=8, loc="center", fontweight="normal")
    axes.axis("off")


def _weights(axes: Axes, cell: _Cell) -> None:
    """The kernel as a small picture, its weights printed where they can be read."""
    if cell.kernel is None:
        axes.text(0.5, 0.1, cell.title, ha="center", transform=axes.transAxes)
        return
    peak = np.abs(cell.kernel).max()
    axes.imshow(cell.kernel, cmap=DIVERGING, vmin=-1.6 * peak, vmax=1.6 * peak)
    axes.set_title(cell.title, loc="center")
    if max(cell.kernel.shape) > 5:
        return
    for (row, column), weight in np.ndenumerate(cell.kernel.round(9) + 0.0):
        text = f"{weight:.0f}" if float(weight).is_integer() else f"{weight:.2f}"
        small = len(text) > 3 or max(cell.kernel.shape) > 3
        axes.text(column, row, text, ha="center", va="center", fontsize=5.5 if small else 8)
