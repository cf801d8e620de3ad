"""Net-images a second of training from 1 to 4,096 networks, and the memory that they take.

The network and its training step are those of `experiments/throughput` (its work 'mnist').
"""

import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rows import MEASURED, NOT_HERE, Row, judged
from throughput import BATCH, ours

from kernelstudy.training.backend import start

SIZES = (1, 8, 64, 512, 4096)
OF_TINY = (1, 2)
LOWER = (64, 512)  # networks of the forms that are measured at few sizes
WORK, STEPS = "mnist", 16
BUDGET, OF_CPU = 80.0, 170.0  # seconds of this part; what would take longer is left out, and said
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory", "failed to allocate")
# What the package reckons of a network's memory may be short of what the program takes by this factor.
SHORT = 1.5


def rows(tiny: bool) -> Iterator[Row]:
    start(None)
    began, measured = time.perf_counter(), []
    cpu = jax.default_backend() == "cpu"
    budget = OF_CPU if cpu else BUDGET
    forms = [("kernelstudy", "float32", {}, OF_TINY if tiny else SIZES)]
    if cpu:
        yield Row("lower precisions", NOT_HERE, "a CPU has float32 alone")
    else:
        forms += [("kernelstudy", p, {}, LOWER) for p in ("tensorfloat32", "bfloat16")]
        forms += [("kernelstudy by gemm", "float32", {"impl": "gemm"}, LOWER)]
    for name, precision, options, sizes in forms:
        for nets in sizes:
            took = time.perf_counter() - began
            # Two steps or three at the rate of the population before.
            wanted = 3 * nets * BATCH / measured[-1]["rate"] if measured else 0
            if took + wanted > budget:
                yield Row(f"{name}, {precision}, {nets:,} networks", NOT_HERE, "the time was up")
                continue
            try:
                found = _measured(nets, {**options, "precision": precision, "nets": str(nets)})
            except Exception as error:
                if not any(words in str(error) for words in OUT_OF_MEMORY):
                    raise
                said = f"out of memory: stopped there, as memory_gib would ({_first(error)})"
                yield Row(f"{name}, {precision}, {nets:,} networks", NOT_HERE, said)
                break
            values = {"table": "rates", "form": f"{name}, {precision}", "nets": nets, **found}
            measured.append({"nets": nets, **found})
            said = (
                f"{found['rate']:,.0f} net-images/s; compiled in {found['compiling']:.1f} s; "
                f"{found['mib']:,.0f} MiB by the compiler, {found['reckoned_mib']:,.0f} by the package"
            )
            yield Row(f"{name}, {precision}, {nets:,} networks", MEASURED, said, values)
    kept = [row["nets"] for row in measured if not row["donated"]]
    said = f"not with {kept} networks" if kept else "every state was donated to the next"
    yield judged("memory of the networks is reused", not kept, said)
    yield from _memory(measured)


def _measured(nets: int, options: dict[str, str]) -> dict[str, Any]:
    """The rate, and the memory of the compiled program on one device."""
    made = ours.prepared(WORK, options)
    state, began = made.state, time.perf_counter()
    compiled = made.advance.lower(state, *made.inputs, jnp.asarray(1)).compile()
    compiling = time.perf_counter() - began

    def advance(state: Any, steps: int) -> tuple[Any, float]:
        began = time.perf_counter()
        state, losses = compiled(state, *made.inputs, jnp.asarray(steps))
        jax.block_until_ready(losses)
        return state, time.perf_counter() - began

    before = jax.tree.leaves(state)
    state, took = advance(state, 1)  # which also touches all memory
    donated = all(leaf.is_deleted() for leaf in before)
    if took < 1:
        state, took = advance(state, 1)
    steps, seconds = int(np.clip(0.5 / took, 1, STEPS)), []
    while sum(seconds) < 0.6 and len(seconds) < 9:
        state, took = advance(state, steps)
        seconds.append(took)
    sizes = compiled.memory_analysis()
    held = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    devices = jax.local_device_count()
    peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", np.nan)
    return {
        "rate": nets * steps * BATCH / float(np.median(seconds)),
        "compiling": compiling,
        "mib": (held - sizes.alias_size_in_bytes) / 2**20,
        "reckoned_mib": made.bytes_each * -(-nets // devices) / 2**20,
        "peak_mib": peak / 2**20,
        "donated": donated,
    }


def _memory(measured: list[dict[str, Any]]) -> Iterator[Row]:
    """Whether a network takes what `memory_gib` is reckoned with: the slope between the smallest and the
    largest population."""
    if len(measured) < 2:
        return
    low, high = measured[0], max(measured, key=lambda row: row["nets"])
    devices = jax.local_device_count()
    nets = -(-high["nets"] // devices) - -(-low["nets"] // devices)
    if not nets:
        yield Row("memory of a network", NOT_HERE, "each device had one network")
        return
    each, reckoned = ((high[k] - low[k]) / nets for k in ("mib", "reckoned_mib"))
    said = (
        f"{each:.2f} MiB by the compiler, {reckoned:.2f} as memory_gib reckons (at least a "
        f"{SHORT:g}th of the former is wanted)"
    )
    yield judged("memory of a network", reckoned * SHORT >= each, said)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:120]
