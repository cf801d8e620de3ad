"""python worker.py CONTENDER WORK [key=value ...]: one contender in a process of its own.

Says `ready` once it is compiled and warm; then each line on stdin makes it train one burst, and it answers
with net-images and seconds. Kept alive, so that contenders are measured in turn, round by round.
"""

import os
import sys
import time

WORKS = {  # image shape, kernel size and width of the first layer; what follows is the same
    "mnist": ((28, 28, 1), 3, 16),
    "colour": ((32, 32, 3), 5, 32),
    "seven": ((28, 28, 1), 7, 16),
}
BATCH, EXAMPLES, CLASSES, DEEP_WIDTH = 128, 1024, 10, 32


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


def flop_an_image(shape, size, width) -> float:
    """Of training on one image by direct convolution: forward, kernel gradient, and input gradient
    where one is needed (not in the first layer)."""
    h, w, c = shape
    first = h * w * size**2 * c * width
    second = (h // 2) * (w // 2) * 9 * width * DEEP_WIDTH
    dense = (h // 4) * (w // 4) * DEEP_WIDTH * CLASSES
    return 2.0 * (2 * first + 3 * second + 3 * dense)


if __name__ == "__main__":
    main()
