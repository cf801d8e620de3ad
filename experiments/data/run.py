"""python experiments/data/run.py: facts, patch statistics and a montage of every data set and control."""

import argparse
import json
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernelstudy.analysis import a_pca, patch_pca
from kernelstudy.config import INPUTS
from kernelstudy.data import DataError, controls
from kernelstudy.data.images import STATISTICS, Images, load
from kernelstudy.data.options import Data
from kernelstudy.data.registry import ARRAYS, FOLDER, OWN, SETS, TFDS
from kernelstudy.reporting.style import colour_of, styled
from kernelstudy.system.files import replacing, write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
SIZES = (3, 5, 7)
FLAT = (
    2.0  # second eigenvalue (the first is brightness) over the smallest: below, axes are arbitrary
)
CONTROLLED = ("mnist5k", "photo_patches rgb")
COLUMNS, ROWS = 16, 4
EVERY = 4  # of the images that statistics are taken from: enough here


def prepared() -> tuple[dict[str, Images], dict[str, str]]:
    """Every set in every colour that can be read here, and why the others cannot."""
    found, missing = {}, {}
    for name, entry in SETS.items():
        for colour in entry.colours if name not in (TFDS, *OWN) else ():
            label = f"{name} {colour}" if len(entry.colours) > 1 else name
            try:
                found[label] = load(Data(name=name, colour=colour))
            except DataError as error:
                missing[label] = str(error).split(" in ")[0]
    return found, missing


def own(path: Path, resize: int | None) -> dict[str, Images]:
    """The set in a directory or an .npz file, by the name of that."""
    name = FOLDER if path.is_dir() else ARRAYS
    return {path.name: load(Data(name=name, path=str(path), resize=resize))}


def a_of_size(images: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Eigenvalues of size x size patches as shares, and a of the 3 x 3 taps (size - 1) / 2 apart.

    Those taps - corners, middles of the sides, centre - are the patch seen at its own scale. NaN
    where their spectrum is flat: then no axis is preferred.
    """
    grey = images.mean(-1)
    values, axes = patch_pca(grey, size)
    step = (size - 1) // 2
    taps = axes.reshape(-1, size, size)[:, ::step, ::step].reshape(-1, 9)
    of_taps, basis = np.linalg.eigh(taps.T @ (values[:, None] * taps))
    if of_taps[-2] < FLAT * of_taps[0]:
        return values / values.sum(), math.nan
    return values / values.sum(), a_pca(of_taps[::-1], basis.T[::-1])


def statistics(sets: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row for every set and size: a, and how the variance of patches falls."""
    rows = []
    for label, images in sets.items():
        for size in SIZES:
            shares, a = a_of_size(images, size)
            parts = {f"share_{i + 1}": shares[i] for i in range(9)}
            rows.append({"set": label, "size": size, "a_pca": a, **parts})
        print(f"  {label}", flush=True)
    return pd.DataFrame(rows)


def montage(images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """COLUMNS x ROWS images as one; with labels, each class in turn."""
    order = np.arange(len(images))
    if labels is not None:
        rank = np.array([np.count_nonzero(labels[:i] == y) for i, y in enumerate(labels)])
        order = np.lexsort((labels, rank))
    chosen = images[order[: COLUMNS * ROWS]]
    low, high = np.percentile(chosen, [0.5, 99.5])
    scaled = np.clip((chosen - low) / (high - low), 0, 1)
    room = COLUMNS * ROWS - len(scaled)
    padded = np.pad(scaled, ((0, room), (0, 1), (0, 1), (0, 0)), constant_values=1)
    _, h, w, c = padded.shape
    grid = padded.reshape(ROWS, COLUMNS, h, w, c).transpose(0, 2, 1, 3, 4)
    return grid.reshape(ROWS * h, COLUMNS * w, c)[:-1, :-1]


def show(pictures: dict[str, np.ndarray]) -> Figure:
    """Montages below each other."""
    with styled(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(8, 2.3 * len(pictures)))
        for axes, (title, picture) in zip(
            np.atleast_1d(figure.subplots(len(pictures))), pictures.items(), strict=True
        ):
            shown = picture if picture.shape[-1] == 3 else picture[..., 0]
            axes.imshow(shown, cmap="gray", interpolation="nearest", vmin=0, vmax=1)
            axes.set_title(title)
            axes.set_axis_off()
    return figure


def spectra(table: pd.DataFrame, titles: dict[str, list[str]]) -> Figure:
    """Shares of the first nine axes against their rank, a panel for each group of sets."""
    with styled():
        figure = Figure(figsize=(3.4 * len(titles), 3.2))
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axes, (title, labels) in zip(panels, titles.items(), strict=True):
            for index, label in enumerate(labels):
                row = table[(table["set"] == label) & (table["size"] == 3)].iloc[0]
                shares = [row[f"share_{i + 1}"] for i in range(9)]
                name = label.split(": ")[-1]
                axes.plot(range(1, 10), shares, "o-", ms=3, color=colour_of(index), label=name)
            axes.set(yscale="log", xlabel="principal axis", title=title, xticks=range(1, 10))
            axes.legend(fontsize=7)
        panels[0].set_ylabel("share of variance, 3 x 3 patches")
    return figure


def save(figure: Figure, folder: Path, name: str) -> None:
    with styled(), replacing(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, dpi=130)


def facts_table(found: dict[str, Images]) -> str:
    head = (
        "| set | training | test | image | classes | pixels | mean, std | sha256 | licence | from |"
    )
    lines = [head, "|" + "---|" * 10]
    for label, images in found.items():
        f = images.facts
        shape = " x ".join(map(str, f["image_shape"]))
        low, high = f["pixel_range"]
        lines.append(
            f"| `{label}` | {f['train']:,} | {f['test']:,} | {shape} | {f['classes']} | {low} to {high} | "
            f"{f['pixel_mean']:.2f}, {f['pixel_std']:.2f} | `{f['sha256'][:16]}` | {f['licence']} | "
            f"{f['source']} |"
        )
    return "\n".join(lines)


def a_table(table: pd.DataFrame) -> str:
    wide = table.pivot(index="set", columns="size", values="a_pca").loc[table["set"].unique()]
    lines = ["| set | " + " | ".join(f"{s} x {s}" for s in SIZES) + " |", "|" + "---|" * 4]
    for label, row in wide.iterrows():
        cells = ["flat" if math.isnan(a) else f"{a:.2f}" for a in row]
        lines.append(f"| `{label}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(
    found: dict[str, Images],
    missing: dict[str, str],
    table: pd.DataFrame,
    controlled: list[str],
    every: int,
) -> str:
    absent = "".join(
        f"\nNot prepared where this was made: `{k}` ({v}).\n" for k, v in missing.items()
    )
    montages = "\n\n".join(
        f"![Training images of {label}, classes in turn]({label.replace(' ', '_')}.png)"
        for label in found
    )
    forms = "\n\n".join(
        f"![Controls of {label}](controls_{label.replace(' ', '_')}.png)" for label in controlled
    )
    return f"""# What the networks look at

How it is made: [experiments/data](../../experiments/data/README.md). All sets are standardised by the mean and
standard deviation of all pixels of their training images. Hashes are of the bytes of training images, training
labels, test images and test labels in turn; those of `photo_patches` rest on a JPEG decoder, those of
`oriented` on its options.

## Facts

{facts_table(found)}
{absent}
`data=tfds data.dataset=NAME` reads any image classification set of TensorFlow Datasets; its facts go to the
run's `provenance.json`.

## Statistics of patches

![Spectra of 3 x 3 patches](spectra.png)

Colours are averaged; at most {STATISTICS // every:,} training images, evenly spaced. a_PCA is the a of the
patches' own gradients: 1 is Prewitt, 1.41 Frei-Chen, 2 Sobel, 3.33 Scharr. At 5 x 5 and 7 x 7 it is that of
the nine taps (size - 1) / 2 apart, the patch at its own scale (7 x 7 patches fit into `digits` at four places
only). 'flat': the second eigenvalue (the first is mostly brightness) is less than {FLAT:g} times the smallest,
so no gradient is preferred and a is undefined. All shares of variance are in [statistics.csv](statistics.csv).

{a_table(table)}

## Training images

{montages}

## Controls

What the controls make of the same images. `phase_scrambled`: every image keeps its own amplitude spectrum and
mean, its phases are random, one phase for all colours. `iid`: independent Gaussian pixels with the set's mean
and variance. `permuted`: one fixed permutation of pixels. `whitened`: the mean image taken off, then one
periodic zero-phase filter that makes the mean power spectrum flat and colours uncorrelated.

{forms}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "data")
    parser.add_argument("--path", type=Path, help="of one's own: a directory or an .npz file alone")
    parser.add_argument("--resize", type=int, help="with --path: as data.resize")
    options = parser.parse_args()
    out = options.out
    found, missing = (own(options.path, options.resize), {}) if options.path else prepared()
    every = 1 if options.path else EVERY
    controlled = list(found) if options.path else list(CONTROLLED)
    sets = {label: images.sample()[::every] for label, images in found.items()}
    titles = {"data sets": list(sets)}
    for label in controlled:
        forms = {
            name: controls.apply(controls.fit(name, sets[label]), sets[label]) for name in INPUTS
        }
        named = {f"{label}: {name}": images for name, images in forms.items()}
        titles[f"controls of {label}"] = list(named)
        sets |= named
        sheet = show({name: montage(images) for name, images in forms.items()})
        save(sheet, out, f"controls_{label.replace(' ', '_')}")
    table = statistics(sets)
    for label, images in found.items():
        picture = montage(sets[label], images.train_labels[images.sample_rows()][::every])
        save(show({label: picture}), out, label.replace(" ", "_"))
    save(spectra(table, titles), out, "spectra")
    write_text(out / "statistics.csv", table.to_csv(index=False, float_format="%.6g"))
    write_text(out / "report.md", report(found, missing, table, controlled, every))
    facts = {label: images.facts for label, images in found.items()}
    write_text(
        out / "provenance.json", json.dumps({**environment(), "data": facts}, indent=2) + "\n"
    )
    print(f"report: {out / 'report.md'}")


if __name__ == "__main__":
    main()
