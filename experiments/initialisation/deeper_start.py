"""python experiments/initialisation/deeper_start.py [--tiny]: does the start of deeper layers move the first?

The network of `+exp=mnist`, written as one of one's own, with all layers but the first started from LeCun's
normal distribution (Flax's default, and the built-in network's) and from He's. Networks are paired by seed:
the same first layer, batches, and deeper weights but for their scale.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from flax import nnx

import kernelstudy
from kernelstudy.analysis.intervals import bootstrap_t_interval
from kernelstudy.system import files

ROOT = Path(__file__).parents[2]
STARTS = {"LeCun": nnx.initializers.lecun_normal(), "He": nnx.initializers.he_normal()}
MEASURES = ("movement", "memory", "r2_sobel_centered", "delta_r2_sobel_centered", "test_accuracy")
WORDS = (
    *("+exp=mnist", "probe_seeds=0", "report=false"),
    "arms=[{init: he_normal}, {init: he_normal, weight_decay: 2}]",
)
TINY = ("+debug=tiny", "seeds=6")


class Net(nnx.Module):
    """Two convolutions with pools and a dense layer, as conf/model/default.yaml has them."""

    def __init__(self, rngs, first_init, deeper):
        self.first = nnx.Conv(1, 16, (3, 3), kernel_init=first_init, rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), kernel_init=deeper, rngs=rngs)
        self.dense = nnx.Linear(7 * 7 * 32, 10, kernel_init=deeper, rngs=rngs)

    def __call__(self, images):
        x = images
        for conv in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2))
        return self.dense(x.reshape(len(x), -1))


def measured(run: Path) -> dict[tuple[str, str], np.ndarray]:
    """(arm, measure) -> (seed,) at the final step."""
    opened = kernelstudy.open_run(run, measures=True).isel(step=-1)
    return {
        (str(arm), measure): opened[measure].sel(arm=arm).values
        for arm in opened["arm"].values
        for measure in MEASURES
    }


def table(lecun: dict, he: dict) -> pd.DataFrame:
    """A row for each arm and measure: means, and the paired difference with its 95% interval."""
    rows = []
    for (arm, measure), values in lecun.items():
        less = he[arm, measure] - values
        low, high = bootstrap_t_interval(less)
        means = values.mean(), he[arm, measure].mean()
        rows.append((arm, measure, len(less), *means, less.mean(), float(low), float(high)))
    columns = ["arm", "measure", "n", "lecun", "he", "he_less_lecun", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="into a temporary directory: does it run?"
    )
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp()) if given.tiny else ROOT / "results"
    runs = {}
    for name, deeper in STARTS.items():
        words = (*WORDS, *(TINY if given.tiny else ()), f"name=deeper_start_{name.lower()}")
        where = f"runs_dir={place / 'runs'}"
        runs[name] = kernelstudy.train([*words, where], model=partial(Net, deeper=deeper))
    found = table(*(measured(runs[name]) for name in ("LeCun", "He")))
    out = place / "initialisation" / "tables" / "deeper_start.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(out, found.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    print(found.to_string(index=False))
    print(f"table: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
