"""python experiments/zoo/pages.py: the zoo's figures and page again, out of its tables."""

from pathlib import Path

import figures
import numpy as np
import pandas as pd
from all_layer_words import with_places
from depthwise import LEVELS
from report import distinct, report

from kernelstudy.reporting import style
from kernelstudy.system.files import write_text

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("networks", "layers", "dog", "photographs", "volumes")
PIPELINES = {
    "ccexam": ["digits (ccexam, MNIST)", "digits (ccexam, USPS)", "house numbers (ccexam, SVHN)"],
    "Topaz": [
        "particle detector resnet8_u32 (Topaz)",
        "micrograph denoiser U-Net L2, 0.2.2 (Topaz)",
    ],
    "UpscalerJS": ["upscaler, slim x2 (ESRGAN)", "upscaler, slim x8 (ESRGAN)"],
    "EfficientNet-Lite": ["EfficientNet-Lite0 (ImageNet)", "EfficientNet-Lite2 (ImageNet)"],
}


def read(out: Path) -> dict[str, pd.DataFrame]:
    """The tables in `out`, by name."""
    texts = dict.fromkeys(("stride", "a_holds", "copy_of"), str)
    found = {name: pd.read_csv(out / f"{name}.csv", dtype=texts) for name in TABLES}  # pyright: ignore
    found["networks"] = found["networks"].fillna(dict.fromkeys(texts, ""))
    return found


def make(out: Path) -> None:
    """Figures and report.md in `out`."""
    tables = read(out)
    with np.load(out / "kernels.npz") as file:
        pictures = dict(file)
    table = distinct(tables["networks"])
    dog = tables["dog"][tables["dog"]["network"].isin(table["network"])]
    layers = with_places(tables["layers"])
    drawn = {
        "zoo": figures.first_layers(table),
        "kernels": figures.kernels(table, pictures),
        "pairs": figures.pairs(tables["networks"], pictures, PIPELINES),
        "why": figures.why(table[table["a_resolved"].astype(bool)], tables["photographs"]),
        "depth": figures.depth(layers[layers["network"].isin(table["network"])]),
        "dog": figures.dogs(dog, LEVELS),
        "dog_kernels": figures.dog_kernels(pictures),
    }
    for name, figure in drawn.items():
        style.save(figure, out, name)
    write_text(out / "report.md", report(tables, pair_lines(tables["networks"])))


def pair_lines(table: pd.DataFrame) -> list[str]:
    """Of every pipeline, how many kernels of each network are derivative-like."""
    known = table.set_index("network")
    lines = []
    for maker, names in PIPELINES.items():
        told = ", ".join(
            f"{name} {known.loc[name, 'derivative_like']} of {known.loc[name, 'kernels']}"
            for name in names
        )
        lines.append(f"{maker}: {told} kernels are derivative-like beyond chance.")
    return lines


if __name__ == "__main__":
    make(ROOT / "results" / "zoo")
