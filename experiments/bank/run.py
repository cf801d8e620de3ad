"""python experiments/bank/run.py: every kernel of the bank, its spectrum and its response."""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage import data

from kernelstudy.conv import correlate
from kernelstudy.handcrafted import bank, info
from kernelstudy.reporting.maps import CLIPPED, is_smoothing
from kernelstudy.reporting.style import DIVERGING, MAPS, styled
from kernelstudy.system.files import replacing, write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 8
SHEETS = {
    "gradients": (3, ["prewitt", "sobel", "scharr", "central", "gauss"]),
    "compass": (3, ["kirsch", "robinson"]),
    "frei_chen": (3, ["freichen"]),
    "second_order_and_smoothing": (3, ["laplacian", "log", "dog", "box", "gaussian", "identity"]),
    "roberts": (2, ["roberts"]),
    "frequency": (3, ["dct", "gabor"]),
    "size_5": (5, ["prewitt", "sobel", "central", "gauss", "log", "dog", "gaussian", "gabor"]),
    "size_11": (11, ["prewitt", "sobel", "central", "gauss", "log", "dog", "gaussian", "gabor"]),
}
TITLES = {
    "gradients": "Gradient operators and Gaussian derivatives, 3 x 3",
    "compass": "Compass masks of Kirsch and Robinson",
    "frei_chen": "The orthonormal basis of Frei and Chen",
    "second_order_and_smoothing": "Second order, smoothing and identity, 3 x 3",
    "roberts": "The cross of Roberts, 2 x 2",
    "frequency": "DCT-II basis and Gabor, 3 x 3",
    "size_5": "Operators that generalise, at 5 x 5",
    "size_11": "Operators that generalise, at 11 x 11",
}


def spectrum(kernel: NDArray, size: int = 65) -> NDArray:
    """|H(u, v)| with zero frequency in the middle, the largest value 1."""
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(kernel, (size, size))))
    return magnitude / magnitude.max()


def sheet(kernels: dict[str, NDArray], photo: NDArray, title: str) -> Figure:
    """Three rows for each line of kernels: weights, |H|, response."""
    names = list(kernels)
    lines = [names[i : i + COLUMNS] for i in range(0, len(names), COLUMNS)]
    columns = max(len(line) for line in lines)
    with styled(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(1.75 * columns + 0.6, 5.2 * len(lines) + 0.4))
        figure.suptitle(title, fontweight="bold")
        grid = figure.subplots(3 * len(lines), columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        for number, line in enumerate(lines):
            rows = grid[3 * number : 3 * number + 3]
            for label, axes in zip(("kernel", "|H(u, v)|", "response"), rows[:, 0], strict=True):
                axes.set_ylabel(label)
            for (top, middle, bottom), name in zip(rows.T, line, strict=False):
                _weights(top, kernels[name], name)
                middle.imshow(spectrum(kernels[name]), cmap=MAPS, vmin=0, vmax=1)
                _response(bottom, kernels[name], photo)
    return figure


def _weights(axes: Axes, kernel: NDArray, name: str) -> None:
    peak = np.abs(kernel).max()
    axes.imshow(kernel, cmap=DIVERGING, vmin=-1.6 * peak, vmax=1.6 * peak)
    axes.set_title(name, loc="center")
    if max(kernel.shape) > 5:
        return
    for (row, column), weight in np.ndenumerate(kernel.round(9) + 0.0):
        text = f"{weight:.0f}" if float(weight).is_integer() else f"{weight:.2f}"
        size = 7.5 if max(kernel.shape) < 5 else 5
        axes.text(column, row, text, ha="center", va="center", fontsize=size)


def _response(axes: Axes, kernel: NDArray, photo: NDArray) -> None:
    """Smoothed images as images, all others on their own symmetric scale."""
    response = np.asarray(correlate(photo, kernel, padding="reflect")[..., 0])
    if is_smoothing(kernel):
        axes.imshow(response, cmap="gray")
        return
    response = response - kernel.sum() * photo.mean()
    scale = np.percentile(np.abs(response), CLIPPED)
    axes.imshow(response, cmap=DIVERGING, vmin=-scale, vmax=scale)


def alike(kernels: dict[str, NDArray]) -> Figure:
    """|cosine| between every two kernels: what 'looks like Sobel' can mean at best."""
    flat = np.stack([k.ravel() / np.linalg.norm(k) for k in kernels.values()])
    cosine = np.abs(flat @ flat.T)
    with styled(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(11, 10))
        axes = figure.subplots()
        picture = axes.imshow(cosine, cmap=MAPS, vmin=0, vmax=1)
        axes.set_xticks(range(len(flat)), list(kernels), rotation=90, fontsize=7)
        axes.set_yticks(range(len(flat)), list(kernels), fontsize=7)
        axes.set_title("|cosine| between every two 3 x 3 kernels of the bank")
        figure.colorbar(picture, shrink=0.7, label="|cosine|")
    return figure


def report(sheets: dict[str, dict[str, NDArray]]) -> str:
    parts = [
        "# The bank of hand-crafted kernels",
        "All kernels are for cross-correlation; x kernels are positive where brightness grows to "
        "the right, y kernels where it grows downwards. Orange is positive, purple negative. "
        "|H(u, v)| has zero frequency in the middle and ends at half a cycle per pixel; its "
        "largest value is 1. Responses are those to scikit-image's camera photo, each on its own "
        "symmetric scale, smoothed images in grey. How it is made: "
        "[experiments/bank](../../experiments/bank/README.md).",
    ]
    for key in sheets:
        parts += [f"## {TITLES[key]}", f"![{TITLES[key]}]({key}.png)"]
    parts += ["## How alike the kernels are", "![cosines](alike.png)", _likeness()]
    lines = ["| operator | source | formula | scale | sizes |", "|---|---|---|---|---|"]
    seen = {}
    for name in (n for kernels in sheets.values() for n in kernels):
        entry = info(name)
        seen.setdefault(entry.operator, entry)
    for key, entry in seen.items():
        sizes = ", ".join(map(str, entry.sizes))
        lines.append(f"| {key} | {entry.source} | {entry.formula} | {entry.scale} | {sizes} |")
    parts += ["## Sources, formulas and scales", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _likeness() -> str:
    kernels = bank("all")

    def cosine(a: str, b: str) -> float:
        x, y = kernels[a].ravel(), kernels[b].ravel()
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    pairs = [("sobel_x", other) for other in ("prewitt_x", "scharr_x", "central_x", "gauss_dx")]
    said = ", ".join(f"{b} {cosine(a, b):.4f}" for a, b in pairs)
    return f"The gradient operators are near copies of each other. Cosine with sobel_x: {said}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "bank")
    out = parser.parse_args().out
    photo = data.camera()[40:300, 120:380].astype(np.float32) / 255
    sheets = {
        key: {n: k for operator in operators for n, k in bank(operator, size).items()}
        for key, (size, operators) in SHEETS.items()
    }
    figures = {key: sheet(kernels, photo, TITLES[key]) for key, kernels in sheets.items()}
    figures["alike"] = alike(bank("all"))
    for key, figure in figures.items():
        with replacing(out / f"{key}.png") as temporary:
            figure.savefig(temporary, dpi=85)
    write_text(out / "provenance.json", json.dumps(environment(), indent=2) + "\n")
    write_text(out / "report.md", report(sheets))
    print(f"report: {out / 'report.md'}")


if __name__ == "__main__":
    main()
