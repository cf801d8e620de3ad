"""The same training in PyTorch, where PyTorch is there and has the device."""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from rows import MEASURED, NOT_HERE, Row

sys.path.append(str(Path(__file__).resolve().parents[1] / "throughput"))

WORK, BUDGET = "mnist", 45.0
TOGETHER = (8, 64, 512)  # networks by torch.func.vmap
OF_CPU = TOGETHER[
    :2
]  # 512 need over 20 GiB, and a CPU's memory ends with the process rather than an error


def rows(tiny: bool) -> Iterator[Row]:
    if importlib.util.find_spec("torch") is None:
        yield Row("PyTorch", NOT_HERE, "it is not installed")
        return
    import torch
    import torch_forms

    backend = jax.default_backend()
    if backend not in ("cpu", "gpu") or (backend == "gpu" and not torch.cuda.is_available()):
        yield Row("PyTorch", NOT_HERE, f"{torch.__version__} cannot use this {backend}")
        return
    device = "cuda" if backend == "gpu" else "cpu"
    began = time.perf_counter()
    precisions = ["float32", *(["tensorfloat32", "bfloat16"] if device == "cuda" else [])]
    alone = ("PyTorch eager, channels_last, one after another", "torch-eager", 1)
    counts = (2,) if tiny else OF_CPU if device == "cpu" else TOGETHER
    together = [("torch.func.vmap", "torch-vmap", nets) for nets in counts]
    for precision in precisions:
        for name, form, nets in (alone, *together):
            check = f"{name}, {precision}, {nets:,} networks"
            if time.perf_counter() - began > BUDGET:
                yield Row(check, NOT_HERE, "the time was up")
                continue
            options = {"device": device, "precision": precision, "nets": str(nets)}
            try:
                rate = _rate(torch_forms.FORMS[form](WORK, options))
            except torch.OutOfMemoryError as error:
                yield Row(check, NOT_HERE, f"out of memory ({str(error).splitlines()[0][:100]})")
                break
            values = {"table": "rates", "form": f"{name}, {precision}", "nets": nets, "rate": rate}
            yield Row(check, MEASURED, f"{rate:,.0f} net-images/s", values)


def _rate(burst: Callable[[], int]) -> float:
    """Net-images a second, after two bursts that are not timed."""
    burst()
    burst()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < 0.6:
        done += burst()
    return done / (time.perf_counter() - began)
