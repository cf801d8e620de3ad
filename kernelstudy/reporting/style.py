"""One look for all figures, and how a figure is written."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter
from PIL import Image

from kernelstudy.reporting.dark import darken
from kernelstudy.system.files import replacing, write_text

# Okabe & Ito (2008): told apart with any colour vision.
ARM_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#8C6D1F",
    "#666666",
)
SECTOR_COLOURS = {
    "dc": "#666666",
    "isotropic": "#E69F00",
    "b1": "#56B4E9",
    "b2": "#CC79A7",
    "odd": "#D55E00",
}
CHANCE = "#9aa0a6"
DIVERGING = "PuOr_r"  # symmetric about zero, told apart with any colour vision
MAPS = "magma"
DPI = 128
# Colours of a PNG's palette: the most frequent, which are grounds, bands and letters, as they are, and others
# spread over all that are there, so that a few dots of an arm keep theirs.
FREQUENT, SPREAD = 32, 96
# Widths of a paper's page and of its column. SVG has them; PNG is for screens.
PAGE_MM, COLUMN_MM = 180.0, 85.0

_SIZE = re.compile(r'width="[\d.]+pt" height="[\d.]+pt"')

_RC: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "kernelstudy",  # the same figure gives the same file
}


def colour_of(index: int) -> str:
    return ARM_COLOURS[index % len(ARM_COLOURS)]


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """The look, for the figures made inside the block."""
    with mpl.rc_context(_RC):
        yield


def _take_literally(figure: Figure) -> None:
    """Dollars in names begin no mathematics, which may end in an error; the numbers of logarithmic axes are
    mathematics."""
    numbers: set[Text] = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
                numbers |= {*axis.get_ticklabels(), *axis.get_ticklabels(minor=True)}
                numbers.add(axis.get_offset_text())
    for text in figure.findobj(Text):
        if text not in numbers:
            text.set_parse_math(False)


def save(
    figure: Figure,
    folder: Path,
    name: str,
    *,
    width_mm: float = PAGE_MM,
    dark: bool = False,
    vector: bool = True,
    palette: bool = True,
    dpi: int = DPI,
) -> Path:
    """Write <name>.png, each file whole or not at all; <name>.svg if `vector`, <name>-dark.png if `dark`.

    The SVG is `width_mm` wide; its drawing is the same. PNG have a palette (`with_palette`): a third of the
    bytes, and to the eye the same, but for pictures in colour, which have none (not `palette`).

    A drawing a file: `Figure.savefig` would draw each file twice, and lay it out again.

    Returns:
        The path of the PNG.
    """
    figure.set_dpi(dpi)
    _take_literally(figure)
    png, svg = (folder / f"{name}{suffix}" for suffix in (".png", ".svg"))
    with styled():
        _write_png(figure, png, palette=palette)
        figure.set_layout_engine("none")  # the layout found for the PNG stands
        if vector:
            _write_svg(figure, svg, width_mm)
        if dark:
            darken(figure)
            figure.set_dpi(dpi)  # SVG has another
            _write_png(figure, folder / f"{name}-dark.png", palette=palette)
    return png


def _write_svg(figure: Figure, path: Path, width_mm: float) -> None:
    text = io.StringIO()
    # a date in the file would make the same figure another file
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    across, down = figure.get_size_inches()
    size = f'width="{width_mm:g}mm" height="{width_mm * down / across:.4g}mm"'
    write_text(path, _SIZE.sub(size, text.getvalue(), count=1))


def _write_png(figure: Figure, path: Path, *, palette: bool) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with replacing(path) as temporary:
        shown = with_palette(picture) if palette else picture
        shown.save(temporary, format="PNG", dpi=(figure.dpi, figure.dpi))


def with_palette(picture: Image.Image) -> Image.Image:
    """An RGB picture in `FREQUENT` + `SPREAD` colours at most, the frequent ones as they are."""
    few = np.asarray(picture)[::2, ::2]  # tells as much of the colours in a quarter of the time
    # one number a colour is sorted faster than rows of three
    codes, counts = np.unique(few.reshape(-1, 3) @ _PLACES, return_counts=True)
    codes = codes[np.argsort(-counts, kind="stable")][: 4 * FREQUENT]
    spread = Image.fromarray(few).quantize(SPREAD, Image.Quantize.MAXCOVERAGE)
    chosen = _apart(codes[:, None] // _PLACES % 256)[:FREQUENT]
    chosen = _apart(np.concatenate([chosen, np.array(spread.getpalette()).reshape(-1, 3)]))
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.ravel().tolist())
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


_PLACES = np.array([1 << 16, 1 << 8, 1])
# Levels: Pillow looks for the nearest colour in steps of 4, and may take the other of two that are nearer.
_NEAR = 9


def _apart(colours: np.ndarray) -> np.ndarray:
    """Those of the colours (n, 3) that are near none before them."""
    near = np.all(np.abs(colours[:, None] - colours) <= _NEAR, axis=-1)
    kept = np.zeros(len(colours), bool)
    for i, row in enumerate(near):
        kept[i] = not (row & kept).any()
    return colours[kept]
