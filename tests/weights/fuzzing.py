"""Damaged files: every reader answers with a layer or with one sentence, and takes little memory.

The long form: `python -m tests.weights.fuzzing 100000 [format ...]`.
"""

import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kernelstudy.weights import Limits, WeightsError, choose, read, with_layout

LIMITS = Limits(64 * 2**20)
_EXTREMES = [
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\0" * 8,
    (10**15).to_bytes(8, "little"),
    b"\xff\xff",
]


def mutants(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged copies: bits, bytes, extremes, cuts, repeats and losses, most near the start."""
    rng = random.Random(seed)
    for _ in range(count):
        found = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            reach = rng.choice((64, 512, len(found))) if rng.random() < 0.9 else len(found)
            place = rng.randrange(max(1, min(reach, len(found))))
            if rng.random() < 0.3:  # many formats keep their index at the end
                place = max(0, len(found) - 1 - place)
            kind = rng.randrange(6)
            if kind == 0:
                found[place : place + 1] = (
                    bytes([found[place] ^ 1 << rng.randrange(8)]) if found else b""
                )
            elif kind == 1:
                found[place : place + 1] = bytes([rng.randrange(256)])
            elif kind == 2:
                extreme = rng.choice(_EXTREMES)
                found[place : place + len(extreme)] = extreme
            elif kind == 3:
                del found[place : place + rng.choice((1, 4, 64))]
            elif kind == 4:
                found[place:place] = found[place : place + rng.choice((1, 8, 64))]
            elif rng.random() < 0.3:
                del found[place:]
        yield bytes(found)


def answer(path: Path, layout: str) -> str:
    """'read' or the sentence of the refusal; anything else that is raised is a fault."""
    try:
        network = read(path, LIMITS)
        layers = [with_layout(layer, layout) for layer in network.layers]
        network = type(network)(**{**network.__dict__, "layers": tuple(layers)})
        layer, _ = choose(network)
        with np.errstate(all="ignore"):
            layer.kernels()
            layer.steps()
    except WeightsError as error:
        return str(error)
    return "read"


def targets(path: Path) -> list[Path]:
    """The files to damage: the file itself, or those of a directory."""
    if path.name == "model.json":
        return [path]
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def fuzz(path: Path, layout: str, count: int, seed: int = 0) -> dict[str, int]:
    """Damage `path` (a file, or the files of a directory in turn) `count` times; answers counted."""
    found: dict[str, int] = {"read": 0, "refused": 0}
    files = targets(path)
    for index, file in enumerate(files):
        whole = file.read_bytes()
        for data in mutants(whole, -(-count // len(files)), seed + index):
            file.write_bytes(data)
            told = answer(path, layout)
            assert told
            assert "\n" not in told, repr(told)
            found["read" if told == "read" else "refused"] += 1
        file.write_bytes(whole)
    return found


def main() -> None:
    from tests.weights.files import FORMATS

    count, *names = sys.argv[1:]
    for name in names or FORMATS:
        make, _, layout = FORMATS[name]
        place = Path(tempfile.mkdtemp())
        start = time.process_time()
        found = fuzz(make(place), layout, int(count))
        shutil.rmtree(place)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"{name}: {found}, {time.process_time() - start:.1f} s, peak {peak:.0f} MiB", flush=True
        )


if __name__ == "__main__":
    main()
