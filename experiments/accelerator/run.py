"""python experiments/accelerator/run.py [--tiny]: check this machine's GPU, TPU or CPU, and write the page.

Exit status 0 if nothing failed, else 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from part import PARTS
from rows import FAILS, NOT_HERE, Row, judged

from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600  # seconds of a part; nothing should come near it
_DEVICES = """
import importlib.metadata as m, json, jax
names = ("jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu", "torch")
found = {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"] in names}
print(json.dumps({"platform": jax.default_backend(), "kind": jax.devices()[0].device_kind,
    "devices": jax.device_count(), "packages": found}))
"""


def device() -> dict:
    """What JAX finds, asked of a process that then ends."""
    told = subprocess.run([sys.executable, "-c", _DEVICES], capture_output=True, text=True)
    if told.returncode:
        lines = told.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"JAX finds no device: {lines[-1]}")
    return json.loads(told.stdout.splitlines()[-1])


def run_part(name: str, place: Path, *, tiny: bool) -> tuple[list[Row], float]:
    """Its rows, and one more if its process did not end well; and the seconds that it took."""
    out = place / f"{name}.jsonl"
    script = Path(__file__).with_name("part.py")
    words = [sys.executable, str(script), name, str(out), *(["--tiny"] if tiny else [])]
    print(f"{name}:", flush=True)
    began, ended = time.perf_counter(), ""
    try:
        status = subprocess.run(words, timeout=LIMIT).returncode
        if status:
            ended = f"its process ended with status {status}"
    except subprocess.TimeoutExpired:
        ended = f"it was ended after {LIMIT} s"
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    found = [Row(**json.loads(line)) for line in lines]
    if ended or not found:
        found.append(Row("the part itself", FAILS, ended or "it told nothing"))
    return found, time.perf_counter() - began


def repeated(parts: dict[str, list[Row]]) -> Row:
    """Whether a training came out bit by bit as it had in another process."""
    bits = [
        row.values["digest"]
        for name in ("training", "again")
        for row in parts.get(name, [])
        if "digest" in row.values
    ]
    check = "the same bits in another process"
    if len(bits) < 2:
        return Row(check, FAILS, "the two trainings were not both made")
    hint = "; with XLA_FLAGS=--xla_gpu_deterministic_ops=true they may be"
    said = f"{bits[0]} and {bits[1]}" + ("" if bits[0] == bits[1] else hint)
    return judged(check, bits[0] == bits[1], said)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a minute, to see that all runs")
    parser.add_argument(
        "--out", type=Path, help="default: results/accelerator; of --tiny a temporary directory"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    given = parser.parse_args(words)
    default = Path(tempfile.mkdtemp()) if given.tiny else ROOT / "results" / "accelerator"
    out = given.out or default
    began = time.perf_counter()
    try:
        found = device()
    except RuntimeError as error:
        print(f"accelerator: {error}", file=sys.stderr)
        return 1
    print(f"on {found['devices']} x {found['kind']} ({found['platform']})", flush=True)
    parts, seconds = {}, {}
    with tempfile.TemporaryDirectory() as place:
        for name in given.parts:
            parts[name], seconds[name] = run_part(name, Path(place), tiny=given.tiny)
    if "again" in parts:
        parts["again"].append(repeated(parts))
    facts = {
        "device": found,
        "tiny": given.tiny,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "seconds_in_all": round(time.perf_counter() - began, 1),
        **environment(),
    }
    print(f"report: {report.write(out, parts, facts)}")
    rows = [row for of_part in parts.values() for row in of_part]
    failed, absent = ([r for r in rows if r.status == s] for s in (FAILS, NOT_HERE))
    print(f"{len(rows)} rows, {len(failed)} failed, {len(absent)} cannot be done here")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
