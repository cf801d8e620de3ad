"""python worker.py CONTENDER WORK [key=value ...]: one contender in a process of its own.

Says `ready` once it is compiled and warm; then each line on stdin makes it train one burst, and it answers
with net-images and seconds. Kept alive, so that contenders are measured in turn, round by round.
"""

import os
import sys
import time


def main() -> None:
    contender, work, *pairs = sys.argv[1:]
    options = dict(pair.split("=", 1) for pair in pairs)
    if "cpu" in options:
        os.sched_setaffinity(0, {int(options["cpu"])})
    if contender == "sgemm":
        burst = sgemm()
    elif contender.startswith("torch"):
        import torch_forms

        burst = torch_forms.FORMS[contender](work, options)
    else:
        import ours

        burst = ours.burst(work, options)
    burst()
    burst()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        done = burst()
        print(done, time.perf_counter() - start, flush=True)


def sgemm():
    """A 2048 x 2048 float32 product by NumPy's BLAS; counts FLOP."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32)
    out = np.empty_like(a)

    def burst() -> float:
        for _ in range(4):
            np.matmul(a, a, out=out)
        return 4 * 2 * 2048.0**3

    return burst


if __name__ == "__main__":
    main()
