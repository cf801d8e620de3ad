"""Files of others are read by a process of its own, whose memory and time are bounded.

Readers account for what they make before they make it (`limits`); what they or the libraries below them
overlook ends that process and not this one. What comes back is JSON and numbers, no pickle.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.system.limits import bound_memory

from .choice import choose
from .layer import Layer, Network, WeightsError, with_layout
from .limits import GIB, Limits
from .recognise import read

# What is allowed besides --max-gib: a library that is loaded, the file's own bytes beside their copy.
BESIDES = 160 * 2**20
SECONDS, SECONDS_A_GIB = 15, 10  # of computing
WAITED = 30.0  # seconds more that it may wait, for a slow disk or its turn
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from kernelstudy.weights import isolated; isolated.serve()"
)


# Threads reserve more addresses than they use memory.
_FRUGAL = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class _Answer:
    """A network whose layers can be described, and the one that was chosen of them with its values."""

    network: Network
    chosen: int | None
    values: list[np.ndarray]  # as stored, and the quantisation steps where there are any


def read_isolated(
    path: Path,
    limits: Limits,
    *,
    layer: str | None = None,
    layout: str = "auto",
    weights: bool = True,
) -> Network:
    """As `recognise.read`; of the layers only the one that `choose` takes for `layer` can be loaded.

    `weights`: False reads none.

    Raises:
        WeightsError: as `read`; or it takes more memory than the limits allow, or too long.
    """
    seconds = SECONDS + int(SECONDS_A_GIB * min(limits.max_bytes / GIB, 60))
    request = {
        "path": str(path.absolute()),
        "shown": str(path),
        "bytes": limits.max_bytes,
        "layer": layer,
        "layout": layout,
        "weights": weights,
        "seconds": seconds,
        "absent": [name for name, module in list(sys.modules.items()) if module is None],
    }
    words = [sys.executable, "-c", _START, json.dumps([p for p in sys.path if isinstance(p, str)])]
    try:
        done = subprocess.run(
            words,
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _FRUGAL,
            timeout=seconds + WAITED,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_long(path, seconds) from error
    if done.returncode == -signal.SIGXCPU:
        raise _too_long(path, seconds)
    if done.returncode or not done.stdout:
        raise WeightsError(
            f"{path.name} cannot be read within --max-gib {limits.max_bytes / GIB:g}: its reader ended with "
            f"status {done.returncode}"
        )
    answer = _unpacked(done.stdout)
    layers = tuple(
        replace(
            found,
            load=_known(answer.values[0]),
            step=_known(*answer.values[1:]) if answer.values[1:] else None,
        )
        if index == answer.chosen
        else found
        for index, found in enumerate(answer.network.layers)
    )
    return replace(answer.network, layers=layers)


def _too_long(path: Path, seconds: int) -> WeightsError:
    return WeightsError(
        f"{path.name} takes more than {seconds} s to read, as no network's file does"
    )


def _known(values: np.ndarray) -> Any:
    return lambda: values


def serve() -> None:
    """The process's side: one request from stdin, one answer to stdout."""
    request = json.loads(sys.stdin.buffer.read())
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    limits = Limits(request["bytes"])
    sys.modules.update(
        dict.fromkeys(request["absent"])
    )  # what is not to be had there is not to be had here
    bound_memory(limits.max_bytes + BESIDES)
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))
    try:
        content = _packed(_answer(request, limits))
    except WeightsError as error:
        content = _head({"error": str(error)})
    except MemoryError:
        name = Path(request["path"]).name
        told = f"{name} needs more memory than --max-gib {limits.max_bytes / GIB:g} allows"
        content = _head({"error": told})
    answer.write(content)
    answer.close()
    os._exit(0)  # taking apart what a hostile file has made may take long


def _answer(request: dict[str, Any], limits: Limits) -> _Answer:
    path = Path(request["path"])
    network = read(path, limits, shown=request["shown"])
    if not request["weights"]:
        return _Answer(network, None, [])
    layers = tuple(with_layout(layer, request["layout"]) for layer in network.layers)
    selection, _ = choose(replace(network, layers=layers), request["layer"])
    index = next(i for i, layer in enumerate(layers) if layer is selection)
    selection.hwio()  # says what is wrong with it
    values = [selection.stored()]
    if selection.step is not None:
        selection.steps()
        values.append(np.asarray(selection.step()))
    return _Answer(network, index, values)


def _head(content: dict[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


def _packed(answer: _Answer) -> bytes:
    network = answer.network
    # ml_dtypes' small floats have no name that NumPy knows
    values = [v.astype(np.float64) if v.dtype.kind not in "fiu" else v for v in answer.values]
    described = [
        {
            **{key: getattr(layer, key) for key in _PLAIN},
            "shape": [int(n) for n in layer.shape],
            "stride": layer.stride and [int(n) for n in layer.stride],
            "notes": list(layer.notes),
        }
        for layer in network.layers
    ]
    head = {
        **{key: getattr(network, key) for key in ("format", "order", "family", "facts")},
        "layers": described,
        "chosen": answer.chosen,
        "values": [[v.dtype.newbyteorder("<").str, v.shape] for v in values],
    }
    parts = [np.ascontiguousarray(v, dtype=v.dtype.newbyteorder("<")).tobytes() for v in values]
    return b"".join([_head(head), *parts])


_PLAIN = ("name", "layout", "dtype", "depthwise")


def _unpacked(content: bytes) -> _Answer:
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])
    if "error" in head:
        raise WeightsError(head["error"])
    values = []
    for dtype, shape in head["values"]:
        count = int(np.prod(shape, dtype=np.int64))
        values.append(np.frombuffer(content, dtype, count, start).reshape(shape))
        start += values[-1].nbytes
    layers = tuple(
        Layer(
            **{key: layer[key] for key in _PLAIN},
            shape=tuple(layer["shape"]),
            load=_not_read,
            stride=layer["stride"] and tuple(layer["stride"]),
            notes=tuple(layer["notes"]),
        )
        for layer in head["layers"]
    )
    facts = tuple((name, value) for name, value in head["facts"])
    network = Network(head["format"], layers, head["order"], head["family"], facts)
    return _Answer(network, head["chosen"], values)


def _not_read() -> np.ndarray:
    raise WeightsError("this layer was not read")
