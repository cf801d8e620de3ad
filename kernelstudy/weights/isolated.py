"""Files of others are read by a process of its own, whose memory and time are bounded.

Readers account for what they make before they make it (`limits`); what they or the libraries below them
overlook ends that process and not this one. What comes back is JSON and numbers, no pickle.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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


Wanted = Literal["chosen", "all", "none"]


@dataclass(frozen=True)
class Isolated:
    """A network read elsewhere. The weights of its layers are here as far as they were asked for;
    `chosen` is the index of the one that `choose` took, None where it was not asked, and `why` its words."""

    network: Network
    chosen: int | None = None
    why: str = ""


def read_isolated(
    path: Path,
    limits: Limits,
    *,
    layer: str | None = None,
    layout: str = "auto",
    wanted: Wanted = "chosen",
) -> Isolated:
    """As `recognise.read`, with the weights of the layer that `choose` takes for `layer`; with those of
    'all' layers that have a shape in space; or with 'none'.

    Raises:
        WeightsError: as `read` and `choose`; or it takes more memory than the limits allow, or too long.
    """
    seconds = SECONDS + int(SECONDS_A_GIB * min(limits.max_bytes / GIB, 60))
    request = {
        "path": str(path.absolute()),
        "shown": str(path),
        "bytes": limits.max_bytes,
        "layer": layer,
        "layout": layout,
        "wanted": wanted,
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
    return _unpacked(done.stdout)


def _too_long(path: Path, seconds: int) -> WeightsError:
    return WeightsError(
        f"{path.name} takes more than {seconds} s to read, as no network's file does"
    )


def serve() -> None:
    """The process's side: one request from stdin; to stdout the network, then layer after layer."""
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
        for part in _answer(request, limits):
            answer.write(part)
    except WeightsError as error:
        answer.write(_head({"error": str(error)}))
    except MemoryError:
        name = Path(request["path"]).name
        told = f"{name} needs more memory than --max-gib {limits.max_bytes / GIB:g} allows"
        answer.write(_head({"error": told}))
    answer.close()
    os._exit(0)  # taking apart what a hostile file has made may take long


def _answer(request: dict[str, Any], limits: Limits) -> Iterator[bytes]:
    network = read(Path(request["path"]), limits, shown=request["shown"])
    if request["wanted"] == "none":
        yield _described(network, None, "")
        return
    layers = tuple(with_layout(layer, request["layout"]) for layer in network.layers)
    if request["wanted"] == "all":
        yield _described(network, None, "")
        total = 0
        for index, layer in enumerate(layers):
            if layer.refused or set((layer.shape_of_kernels() or (1, 1, 1))[:-2]) == {1}:
                continue
            try:
                parts = _packed(index, layer)
            except WeightsError as error:
                parts = [_head({"layer": index, "refused": str(error)})]
            total += sum(map(len, parts))
            limits.check(total, f"all layers of {request['shown']}, weights and all,")
            yield from parts
        return
    selection, why = choose(replace(network, layers=layers), request["layer"])
    chosen = next(i for i, layer in enumerate(layers) if layer is selection)
    parts = _packed(chosen, selection)
    yield _described(network, chosen, why)
    yield from parts


def _head(content: dict[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


_PLAIN = ("name", "layout", "dtype", "depthwise", "transposed", "role", "refused", "sees", "source")


def _described(network: Network, chosen: int | None, why: str) -> bytes:
    described = [
        {
            **{key: getattr(layer, key) for key in _PLAIN},
            "shape": [int(n) for n in layer.shape],
            "stride": layer.stride and [int(n) for n in layer.stride],
            "notes": list(layer.notes),
        }
        for layer in network.layers
    ]
    head = {key: getattr(network, key) for key in ("format", "order", "family", "facts")}
    return _head({**head, "layers": described, "chosen": chosen, "why": why})


def _packed(index: int, layer: Layer) -> list[bytes]:
    """The weights as stored, and the quantisation steps where there are any."""
    layer.kernels()  # says what is wrong with it
    values = [layer.stored()]
    if layer.step is not None:
        layer.steps()
        values.append(np.asarray(layer.step()))
    # ml_dtypes' small floats have no name that NumPy knows
    values = [v.astype(np.float64) if v.dtype.kind not in "fiu" else v for v in values]
    told = [[v.dtype.newbyteorder("<").str, v.shape] for v in values]
    parts = [np.ascontiguousarray(v, dtype=v.dtype.newbyteorder("<")).tobytes() for v in values]
    return [_head({"layer": index, "values": told}), *parts]


def _unpacked(content: bytes) -> Isolated:
    head, start = _next_head(content, 0)
    layers = [
        Layer(
            **{key: layer[key] for key in _PLAIN},
            shape=tuple(layer["shape"]),
            load=_not_read,
            stride=layer["stride"] and tuple(layer["stride"]),
            notes=tuple(layer["notes"]),
        )
        for layer in head["layers"]
    ]
    while start < len(content):
        told, start = _next_head(content, start)
        index, values = told["layer"], []
        if "refused" in told:
            layers[index] = replace(layers[index], load=_refusing(told["refused"]))
            continue
        for dtype, shape in told["values"]:
            count = math.prod(shape)
            values.append(np.frombuffer(content, dtype, count, start).reshape(shape))
            start += values[-1].nbytes
        step = _known(values[1]) if values[1:] else None
        layers[index] = replace(layers[index], load=_known(values[0]), step=step)
    facts = tuple((name, value) for name, value in head["facts"])
    network = Network(head["format"], tuple(layers), head["order"], head["family"], facts)
    return Isolated(network, head["chosen"], head["why"])


def _next_head(content: bytes, start: int) -> tuple[dict[str, Any], int]:
    place = start + 8
    end = place + int.from_bytes(content[start:place], "little")
    head = json.loads(content[place:end])
    if "error" in head:
        raise WeightsError(head["error"])
    return head, end


def _known(values: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: values


def _refusing(told: str) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        raise WeightsError(told)

    return load


_not_read = _refusing("this layer was not read")
