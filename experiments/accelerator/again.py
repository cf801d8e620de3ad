"""The same training in another process, compiled anew: `run.py` compares the bits."""

from collections.abc import Iterator

import training
from rows import MEASURED, Row

from kernelstudy.training.backend import start


def rows(tiny: bool) -> Iterator[Row]:
    start(None)
    bits = training.digest(training.first(tiny)[2])
    yield Row("trained again", MEASURED, f"bits {bits}", {"digest": bits})
