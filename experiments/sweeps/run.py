"""python experiments/sweeps/run.py [--tiny]: generate a sweep of synthetic runs, and measure its report.

1,000 runs (10 learning rates x 10 widths x 10 deep widths) of 4 arms x 10 seeds, measured at 24 log points
as their own reports would have left them. The update's primary measure rises with the learning rate in
every arm but the last; widths do nothing.
"""

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import yaml
import zarr

from kernelstudy import runs
from kernelstudy.analysis import patch_pca
from kernelstudy.analysis.trajectory import judge_arms, measure_trajectory
from kernelstudy.config import Arm, Bank, Optim, Study, result_settings
from kernelstudy.runs import measures
from kernelstudy.system import files
from kernelstudy.system.software import environment

ROOT = Path(__file__).parents[2]
STUDY = Study(
    name="synthetic",
    arms=[
        Arm("he_normal"),
        Arm("he_normal", 0.1),
        Arm("sobel"),
        Arm("he_normal", labels="shuffled"),
    ],
    seeds=10,
    bank=Bank(["sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "laplacian4", "laplacian8"]),
)
RISE = 0.03  # of the update's measure, from one learning rate to the next
SPREAD = 0.03  # between networks


def trajectory(rng: np.random.Generator) -> xr.Dataset:
    """Kernels that are noise, of STUDY's networks."""
    arms, seeds, steps = len(STUDY.arms), len(STUDY.seed_list), len(STUDY.log_steps)
    per_step = (arms, seeds, steps)
    eigenvalues, axes = patch_pca(rng.standard_normal((20, 12, 12)).cumsum(1).cumsum(2), 3)
    return xr.Dataset(
        {
            "kernel": (
                ("arm", "seed", "step", "ky", "kx", "cin", "cout"),
                rng.standard_normal((*per_step, 3, 3, 1, 16)).astype(np.float32),
            ),
            "train_loss": (("arm", "seed", "step"), rng.uniform(0.5, 2, per_step)),
            "test_accuracy": (("arm", "seed", "step"), rng.uniform(0.9, 1, per_step)),
            "diverged": (("arm", "seed"), np.zeros((arms, seeds), bool)),
            "patch_eigenvalue": ("component", eigenvalues),
            "patch_basis": (("component", "ky", "kx"), axes.reshape(-1, 3, 3)),
        },
        coords={
            "arm": [arm.name for arm in STUDY.arms],
            "seed": STUDY.seed_list,
            "step": STUDY.log_steps,
        },
    )


def generate(place: Path, sides: int) -> int:
    """sides^3 run directories under `place`; how many."""
    rng = np.random.default_rng(0)
    base = trajectory(rng)
    template = place.with_name("template")
    analysis = measure_trajectory(base, STUDY.bank.kernels)
    verdicts = judge_arms(base, STUDY.controls)
    facts = {
        **{"name": "made", "source": "made", "sha256": "0" * 64, "classes": 10},
        **{"train": 1, "val": 0, "test": 1, "image_shape": [28, 28, 1]},
    }
    provenance = {"command": "made", "device": "none", "data": facts, **environment()}
    settings = result_settings(STUDY)
    write_texts(template, settings, provenance)
    metric = STUDY.bank.metric
    runs.write_dataset(
        template / runs.ANALYSIS,
        measures.seal(analysis, measures.fingerprint_of(template), verdicts, metric),
    )
    name = f"delta_{metric}"
    shape = analysis[name].shape
    grid = itertools.product(range(sides), repeat=3)
    for number, (rate, width, deep) in enumerate(grid):
        run = place / f"{number:04d}"
        shutil.copytree(template, run)
        settings["optim"] = vars(Optim(learning_rate=round(1e-4 * 2**rate, 6)))
        settings["model"] |= {"width": 4 * (width + 1), "deep_width": 8 * (deep + 1)}
        write_texts(run, settings, provenance)
        rise = np.array([RISE, RISE, RISE, 0])[:, None, None] * rate
        values = np.clip(0.3 + rise + SPREAD * rng.standard_normal(shape), 0, 1)
        group = zarr.open_group(run / runs.ANALYSIS, mode="r+", use_consolidated=False)
        group[name][...] = values
        changed = analysis.assign({name: (analysis[name].dims, values)})
        sealed = measures.seal(changed, measures.fingerprint_of(run), verdicts, metric).attrs
        group.attrs.update(sealed)
    shutil.rmtree(template)
    return sides**3


def write_texts(run: Path, settings: dict, provenance: dict) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / runs.CONFIG).write_text(yaml.safe_dump(settings, sort_keys=False))
    (run / runs.PROVENANCE).write_text(json.dumps(provenance))
    (run / runs.DONE).write_text("")


def measure(place: Path, out: Path) -> dict:
    """The report's command in a process of its own: seconds, memory and what it found."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "kernelstudy.report", str(place), "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    effects = pd.read_csv(out / "tables" / "effects.csv")
    effects = effects[effects["part"] == "update"]
    found = effects["q"] <= 0.05
    planted = (effects["key"] == "optim.learning_rate") & (effects["arm"] != "he_normal/shuffled")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "gib": round(after.ru_maxrss / 2**20, 2),
        "networks": len(pd.read_csv(out / "tables" / "networks.csv")),
        "planted": int(planted.sum()),
        "planted_found": int((found & planted).sum()),
        "without_effect": int((~planted).sum()),
        "without_effect_found": int((found & ~planted).sum()),
    }


def page(count: int, found: dict) -> str:
    made_by = environment()
    rows = [
        ("runs", f"{count:,}"),
        ("networks in the report", f"{found['networks']:,}"),
        ("seconds", found["seconds"]),
        ("CPU seconds", found["cpu_seconds"]),
        ("largest memory, GiB", found["gib"]),
        (
            "comparisons with an effect, and found (q ≤ .05)",
            f"{found['planted']}, {found['planted_found']}",
        ),
        (
            "comparisons without, and found",
            f"{found['without_effect']}, {found['without_effect_found']}",
        ),
    ]
    return "\n".join(
        [
            "# How long one report over many runs takes",
            "",
            "Synthetic runs of 4 arms x 10 seeds at 24 log points; the learning rate acts in three arms.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            f"NumPy {made_by['packages']['numpy']}, Python {made_by['python']}, "
            f"{made_by['machine']}. Made by `python experiments/sweeps/run.py`.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="27 runs")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "sweeps")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweeps-") as place:
        count = generate(Path(place) / "runs", 3 if given.tiny else 10)
        found = measure(Path(place) / "runs", Path(place) / "report")
    print(json.dumps(found, indent=2))
    files.write_text(given.out / "scale.md", page(count, found))


if __name__ == "__main__":
    main()
