"""Tables of the report on whole commands: where a job's seconds go, what an installation is made of."""

import json
from pathlib import Path

import pandas as pd
from measure import OURS


def told(out: Path, name: str) -> dict:
    path = out / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def markdown(rows: pd.DataFrame) -> str:
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def whole_job(out: Path) -> list[str]:
    """Where its seconds go."""
    job = told(out, "whole_job")
    if not job:
        return []
    start, train = job["ours: start"], job["ours: train"]
    trained = job["training and logging"]
    parts = {
        "the command, its imports, the report's measures, figures and page": job[OURS]
        - start
        - train,
        "loading data, starting devices": start,
        "compiling, training, log points, checkpoints": trained,
        "putting the trajectory together, writing it": train - trained,
    }
    rows = [(name, f"{s:.1f}", f"{s / job[OURS]:.0%}") for name, s in parts.items()]
    table = pd.DataFrame(rows, columns=["of the whole job", "seconds", "share"])
    return ["## Where the seconds of the whole job go", "", markdown(table), ""]


def installed(out: Path) -> list[str]:
    if not (out / "install.csv").exists():
        return []
    found = pd.read_csv(out / "install.csv").fillna("")
    numbers = ["own", "alone", "whole"]
    found[numbers] = found[numbers].map("{:,.1f}".format)
    return ["## What an installation is made of", "", markdown(found), "", INSTALLED, ""]


INSTALLED = """MB (10^6 bytes) of files with their bytecode. Own: of that package itself. Alone: what would go
if it alone were dropped. Whole: it with all that it needs, shared or not. In the last row, own is what no line
of `pyproject.toml` names, and whole is all there is. Brings: the largest of what it needs that is not named."""
