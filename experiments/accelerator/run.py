"""python experiments/accelerator/run.py [--tiny]: check this machine's GPU, TPU or CPU, and write the page.

Exit status 0 if nothing failed, else 1.
"""

import argparse
import json
import os
import resource
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


def others_share(
    before: tuple[float, float] | None, after: tuple[float, float] | None
) -> float | None:
    """The part of the processors that other processes took between two `busy()`; None where it is unknown."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(max(0.0, (after[0] - before[0]) / (after[1] - before[1])), 3)


def busy() -> tuple[float, float] | None:
    """Processor seconds of all but this process and those it started, and processor seconds in all."""
    try:
        numbers = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    except OSError:
        return None
    ticks = [int(number) / os.sysconf("SC_CLK_TCK") for number in numbers[:8]]
    mine = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle - sum(u.ru_utime + u.ru_stime for u in mine), sum(ticks)


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


def _earlier(out: Path, facts: dict, chosen: list[str]) -> tuple[dict[str, list[Row]], dict]:
    """The parts of the page in `out` that are not `chosen`, if it is of the same device and form; and facts."""
    parts, new = {}, {**facts, "seconds": {}, "others": {}, "commits": {}}
    known = out / "provenance.json"
    before = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    if all(before.get(name) == fact for name, fact in facts.items()):
        parts = {name: rows for name, rows in report.kept(out).items() if name not in chosen}
        for name in ("seconds", "others", "commits"):
            new[name] = {
                part: value for part, value in before.get(name, {}).items() if part in parts
            }
    return parts, new


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a minute, to see that all runs")
    parser.add_argument(
        "--out", type=Path, help="default: results/accelerator; of --tiny a temporary directory"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="run these again and keep the others of the page that is there",
    )
    given = parser.parse_args(words)
    default = Path(tempfile.mkdtemp()) if given.tiny else ROOT / "results" / "accelerator"
    out = given.out or default
    try:
        found = device()
    except RuntimeError as error:
        print(f"accelerator: {error}", file=sys.stderr)
        return 1
    print(f"on {found['devices']} x {found['kind']} ({found['platform']})", flush=True)
    parts, facts = _earlier(out, {"device": found, "tiny": given.tiny}, given.parts)
    with tempfile.TemporaryDirectory() as place:
        for name in given.parts:
            before = busy()
            parts[name], seconds = run_part(name, Path(place), tiny=given.tiny)
            facts["seconds"][name] = round(seconds, 1)
            facts["others"][name] = others_share(before, busy())
            facts["commits"][name] = environment()["git_commit"]
    if "again" in given.parts and "training" in given.parts:
        parts["again"].append(repeated(parts))
    parts = {name: parts[name] for name in PARTS if name in parts}
    facts |= environment()
    print(f"report: {report.write(out, parts, facts)}")
    rows = [row for of_part in parts.values() for row in of_part]
    failed, absent = ([r for r in rows if r.status == s] for s in (FAILS, NOT_HERE))
    print(f"{len(rows)} rows, {len(failed)} failed, {len(absent)} cannot be done here")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
