"""python experiments/own_training/run.py [--tiny]: PyTorch networks recorded, beside our own trainer's."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import torch
from torch import nn

import kernelstudy
from kernelstudy.data.images import load
from kernelstudy.recording import points
from kernelstudy.system.files import write_text
from kernelstudy.system.software import environment

ROOT = Path(__file__).parents[2]
METRIC = "r2_sobel_centered"
MEASURES = {
    METRIC: "R² of W",
    f"delta_{METRIC}": "R² of the update",
    f"new_{METRIC}": "R² of the new part",
    "movement": "movement",
    "memory": "memory of the start",
    "test_accuracy": "test accuracy",
}
DECAYS = (0.0, 2.0)
RATE = 3e-3


def network() -> nn.Module:
    """The network of `+exp=mnist` with PyTorch's default first layer."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )
    for layer in (model[3], model[7]):
        nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    for layer in (model[0], model[3], model[7]):
        nn.init.zeros_(layer.bias)
    return model


def train(place: Path, data, arm: str, decay: float, seed: int, steps: int) -> None:
    """A plain loop with three lines of recording."""
    torch.manual_seed(seed)
    model = network()
    x, y, test_x, test_y = data
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    log = kernelstudy.Recorder(place, arm=arm, seed=seed, images=x)
    seen = {}
    for step in range(steps + 1):
        accuracy = None
        if log.is_due(step) or step == steps:
            with torch.no_grad():
                accuracy = float((model(test_x).argmax(1) == test_y).float().mean())
            seen[step] = model[0].weight.detach().numpy().copy()
        log(step, model, accuracy=accuracy, now=step == steps)
        if step == steps:
            break
        if step % (len(x) // 128) == 0:
            order = torch.randperm(len(x))
        rows = order[step % (len(x) // 128) * 128 :][:128]
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    log.close()
    for point in points.read_points(log.folder):
        kernel = seen[point.step].transpose(2, 3, 1, 0)
        if not np.array_equal(kernel, point.kernel):
            raise SystemExit(f"step {point.step}: what was recorded is not what was there")


def recorded(place: Path, seeds: int, steps: int) -> Path:
    """The report on recorded PyTorch networks."""
    images = load("mnist5k")
    to_torch = [
        torch.from_numpy(np.moveaxis(np.asarray(part), -1, 1).astype(np.float32))
        for part in (images.train_images, images.test_images)
    ]
    labels = [
        torch.from_numpy(np.asarray(part).astype(np.int64))
        for part in (images.train_labels, images.test_labels)
    ]
    data = (to_torch[0], labels[0], to_torch[1], labels[1])
    for decay in DECAYS:
        for seed in range(seeds):
            train(place / "torch", data, f"decay={decay:g}", decay, seed, steps)
    return kernelstudy.report(place / "torch").parent


def trained_here(place: Path, seeds: int, steps: int) -> Path:
    """The same by `kernelstudy.run`."""
    arms = ", ".join(
        f"{{init: lecun_uniform, scale: {3**-0.5:.5f}, weight_decay: {decay:g}}}"
        for decay in DECAYS
    )
    words = [
        *("+exp=mnist", "name=here", f"arms=[{arms}]", f"optim.learning_rate={RATE}"),
        *(f"steps={steps}", f"seeds={seeds}", f"runs_dir={place}", "probe_seeds=0"),
    ]
    command = [sys.executable, "-m", "kernelstudy.run", *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return next(place.glob("here/*/DONE")).parent


def markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(
        ["| " + " | ".join(table.columns) + " |", "| --- " * len(table.columns) + "|", *lines]
    )


def compared(ours: Path, theirs: Path) -> pd.DataFrame:
    """Final measures of both, their difference and its 95% interval (Welch)."""
    rows = []
    runs = [kernelstudy.open_run(run, measures=True).isel(step=-1) for run in (ours, theirs)]
    for index, decay in enumerate(DECAYS):
        for measure, words in MEASURES.items():
            here, there = (run[measure].isel(arm=index).values.astype(float) for run in runs)
            test = scipy.stats.ttest_ind(there, here, equal_var=False).confidence_interval()
            rows.append((decay, words, here.mean(), there.mean(), test.low, test.high))
    columns = [
        "decay",
        "measure",
        "kernelstudy",
        "PyTorch, recorded",
        "difference_low",
        "difference_high",
    ]
    return pd.DataFrame(rows, columns=columns)


def first_lines(run: Path) -> str:
    """A report's answer, quoted, without its figure and links."""
    text = (
        (run / "report.md").read_text(encoding="utf-8").partition("\n")[2].partition("<details>")[0]
    )
    lines = [line for line in text.strip().splitlines() if not line.startswith(("<", "["))]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(f"> {line}".rstrip() for line in kept).strip("> \n").join(("> ", ""))


def answered(measures: pd.DataFrame, ladder: pd.DataFrame) -> str:
    """How many measures and rungs agree, and which do not."""
    holds = (measures["difference_low"] <= 0) & (measures["difference_high"] >= 0)
    same = (ladder["passed"] == ladder["passed_torch"]).sum()
    outside = "; ".join(
        f"{row.measure} at decay {row.decay:g}, {row.difference_low:+.3f} to {row.difference_high:+.3f}"
        for row in measures[~holds].itertuples()
    )
    r2 = measures[measures["measure"].str.startswith("R²")]
    higher = int((r2["PyTorch, recorded"] > r2["kernelstudy"]).sum())
    return (
        f"The 95% interval of the difference holds zero for {int(holds.sum())} of {len(holds)} measures "
        f"(at least {len(holds) - 1} were expected to){f', but not for {outside}' if outside else ''}. "
        f"{int(same)} of {len(ladder)} rungs of the ladder have the same answer in both reports. R² is the "
        f"higher one in PyTorch in {higher} of {len(r2)} rows: a difference smaller than these intervals "
        "is not excluded."
    )


def verdicts(ours: Path, theirs: Path) -> pd.DataFrame:
    """The ladder's answers of both reports, side by side."""
    parts = []
    for run in (ours, theirs):
        ladder = pd.read_csv(run / "tables" / "ladder.csv")
        order = {
            arm: f"{decay:g}"
            for arm, decay in zip(dict.fromkeys(ladder["arm"]), DECAYS, strict=True)
        }
        ladder["decay"] = ladder["arm"].map(order)
        parts.append(ladder.set_index(["decay", "part", "null", "measure"])[["diff", "passed"]])
    both = parts[0].join(parts[1], lsuffix="", rsuffix="_torch").reset_index()
    return both[both["measure"] == both["measure"].iloc[0]].drop(columns="measure")


class Block(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)


def resnet18() -> nn.Module:
    """Modules and parameters of ResNet-18 (11.7 million); it is never called."""
    stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [
        Block(a if i == 0 else b, b, s if i == 0 else 1) for a, b, s in stages for i in (0, 1)
    ]
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), *blocks, nn.Linear(512, 1000)
    )


def cost(place: Path, calls: int) -> dict[str, float]:
    """Median milliseconds of a call that does not log, and of one that does."""
    model, found = resnet18(), {}
    for name, every in (("not logged", 10**6), ("logged", 1)):
        log = kernelstudy.Recorder(place / "cost", arm=name.replace(" ", "_"), every=every)
        log(0, model)
        seconds = []
        for step in range(1, calls):
            start = time.perf_counter()
            log(step, model)
            seconds.append(time.perf_counter() - start)
        found[name] = 1e3 * float(np.median(seconds))
        log.close()
    return found


TEXT = """# Does a recorded training say the same as our own trainer's?

The question and the hypotheses were stated before the run:
[experiments/own_training](../../experiments/own_training/README.md). Every number is read from the tables
beside this file.

{answer}

## The same networks in two programs

mnist5k, AdamW, learning rate {rate}, batches of 128, PyTorch's default start of the first layer, which moves
further than He's in `+exp=mnist`. Means over {seeds} networks each at step {steps}, and the 95% interval of
PyTorch's less ours (Welch: seeds and orders of the data are not shared).

{measures}

## The ladder of chance in both reports

`diff`: the networks' mean less chance's, and whether the rung was passed; `_torch`: of the recorded networks.

{ladder}

## How the report on the recorded networks begins

{first}

## What recording costs

On a torch module of ResNet-18's size: a call that does not log {idle:.3f} ms (limit 0.2), one that does
{busy:.2f} ms (limit 5); medians of {calls} calls. The recorded kernels were the loop's to the bit at all log
points.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="seconds long, to see that all runs")
    tiny = parser.parse_args().tiny
    seeds, steps, calls = (2, 6, 20) if tiny else (8, 500, 400)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        out = place / "results" if tiny else ROOT / "results" / "own_training"
        theirs, ours = recorded(place, seeds, steps), trained_here(place, seeds, steps)
        measures, ladder, took = compared(ours, theirs), verdicts(ours, theirs), cost(place, calls)
        for name, table in (("measures", measures), ("ladder", ladder)):
            write_text(out / f"{name}.csv", table.to_csv(index=False, float_format="%.5g"))
        write_text(out / "cost.json", json.dumps(took) + "\n")
        write_text(out / "provenance.json", json.dumps(environment(), indent=2) + "\n")
        answer = answered(measures, ladder)
        text = TEXT.format(
            answer=answer,
            seeds=seeds,
            steps=steps,
            rate=RATE,
            measures=markdown(measures.round(3)),
            ladder=markdown(ladder.round(3)),
            first=first_lines(theirs),
            idle=took["not logged"],
            busy=took["logged"],
            calls=calls,
        )
        write_text(out / "report.md", text)
        print(f"report: {out / 'report.md'}")


if __name__ == "__main__":
    main()
