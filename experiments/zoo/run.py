"""python experiments/zoo/run.py [--packages DIR]: networks that packages ship, first layers and all others."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from copies import clusters, fingerprint
from depthwise import depthwise_kernels, dog_rows, shared_nulls
from first_layers import measured, shown
from packages import unpacked
from pages import make
from why import photographs, photographs_a

from kernelstudy import weights
from kernelstudy.analysis.theory import patch_pca
from kernelstudy.compare import compare
from kernelstudy.comparison import shape_figures
from kernelstudy.data.images import load
from kernelstudy.reporting import style
from kernelstudy.system.files import write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
SIZES = (3, 5, 7, 9, 11)
KEPT = ["depth", "layer", "shape", "kernels", "measured", "dead", "r2", "r2_chance", "r2_p", "r2_q"]
KEPT += ["share_significant", "best_abs_cos", "best_chance", "odd", "a", "verdict"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--packages", type=Path, help="where packages are kept (default: a temporary directory)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "zoo")
    parser.add_argument("--only", default="", help="networks whose words hold this, to try it")
    given = parser.parse_args()
    listed = pd.read_csv(Path(__file__).with_name("networks.csv"), dtype=str, keep_default_na=False)
    listed = listed[listed["what"].str.contains(given.only, regex=False)]
    with tempfile.TemporaryDirectory() as temporary:
        place = given.packages or Path(temporary)
        tables, pictures = measure(listed, place)
        volumes = [
            of_volume(row, place, given.out)
            for _, row in listed.iterrows()
            if row["dimensions"] == "3"
        ]
    tables["volumes"] = pd.DataFrame(volumes)
    for name, table in tables.items():
        write_text(given.out / f"{name}.csv", table.to_csv(index=False, float_format="%.5g"))
    np.savez_compressed(given.out / "kernels.npz", **pictures)
    if not given.only:
        make(given.out)
    provenance = {"command": "python experiments/zoo/run.py", **environment()}
    write_text(given.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")


class OfNetwork(NamedTuple):
    """What is measured of one network: its line, its layers, its depthwise kernels by size, and its kernels."""

    line: dict
    survey: pd.DataFrame
    dog: list[dict]
    fitted: dict[int, tuple]
    prints: dict[tuple, np.ndarray]
    shown: np.ndarray


def of_network(
    row: pd.Series, place: Path, a_photos: float, bases: dict[int, np.ndarray]
) -> OfNetwork:
    with unpacked(row, place) as (path, terms):
        inner = depthwise_kernels(weights.read(path))
        line, found = measured(path, row["layer"] or None, a_photos)
        survey = compare(path, layers="all").table
    about = {"network": row["what"], "package": row["package"], "maker": row["maker"]}
    more = {"version": row["version"], "licence": terms, "round": row["round"]}
    rows, fitted = dog_rows(inner, bases)
    return OfNetwork(
        {**about, **more, **line},
        survey[KEPT].assign(network=row["what"]),
        [{**about, **entry} for entry in rows],
        fitted,
        fingerprint(found.measured[0].subject.kernels[0], inner),
        shown(found).astype(np.float32),
    )


def of_volume(row: pd.Series, place: Path, out: Path) -> dict:
    """A line of the table of 3-D layers; the figure of the last one's kernels in `out`."""
    with unpacked(row, place) as (path, _):
        found = compare(path, layer=row["layer"])
    style.save(shape_figures.pictures(found.measured), out, "volumes")
    table, rungs = found.kernels, found.ladder.set_index("null")
    planes = found.tables["slices"].set_index("plane")["odd"]
    return {
        "network": row["what"],
        "maker": row["maker"],
        "shape": "x".join(map(str, found.measured.profiles.shape[1:])),
        "kernels": int(table["live"].sum()),
        "derivative_like": int((table["q_r2"] <= 0.05).sum()),
        "beyond_permuted": int((table["q_permuted"] <= 0.05).sum()),
        "r2": rungs.loc["N0", "value"],
        "r2_chance": rungs.loc["N0", "chance"],
        "odd_low": planes.drop("chance").min(),
        "odd_high": planes.drop("chance").max(),
        "odd_chance": planes["chance"],
    }


def measure(listed: pd.DataFrame, place: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    images = photographs_a(photographs())
    crops = load("photo_patches").sample().mean(axis=-1)
    bases = {size: patch_pca(crops, size)[1] for size in SIZES}
    found = []
    for _, row in listed[listed["dimensions"] == "2"].iterrows():
        found.append(of_network(row, place, float(images["a"][0]), bases))
        line = found[-1].line
        print(f"{row['what']}: {line['derivative_like']} of {line['kernels']}", flush=True)
    table = pd.DataFrame([one.line for one in found])
    first_of = clusters([one.prints for one in found])
    table["copy_of"] = ["" if c == i else table["network"][c] for i, c in enumerate(first_of)]
    pictures = {f"first_{i}": one.shown for i, one in enumerate(found)}
    examples: dict[int, list[tuple]] = {}
    for one in found:
        for size, parts in one.fitted.items():
            examples.setdefault(size, []).append(parts)
    everything = {
        "networks": table,
        "layers": pd.concat([one.survey for one in found]),
        "dog": pd.DataFrame([entry for one in found for entry in one.dog]),
        "photographs": images,
    }
    return everything, pictures | _examples(examples)


def _examples(found: dict[int, list[tuple]], count: int = 12) -> dict[str, np.ndarray]:
    """Of each size, kernels drawn at random from all networks and their nulls, with the R2 of their fits."""
    pictures, rng = {}, np.random.default_rng(0)
    for size, parts in found.items():
        groups = {"trained": np.concatenate([kernels for kernels, _, _ in parts])}
        fits = {"trained": np.concatenate([fitted["trained"] for _, _, fitted in parts])}
        for null in ("permuted", "phases"):
            groups[null] = np.concatenate([made[null] for _, made, _ in parts])
            fits[null] = np.concatenate([fitted[null] for _, _, fitted in parts])
        groups["smoothed"], fits["smoothed"] = (
            shared_nulls(size)["smoothed"],
            parts[0][2]["smoothed"],
        )
        for name, kernels in groups.items():
            picked = rng.choice(len(kernels), count, replace=False)
            pictures[f"dog_{size}_{name}"] = kernels[picked].astype(np.float32)
            pictures[f"dog_{size}_{name}_r2"] = fits[name][picked].astype(np.float32)
    return pictures


if __name__ == "__main__":
    main()
