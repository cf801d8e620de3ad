"""What a Recorder is given, checked and as it is meant."""

from __future__ import annotations

import operator
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.system.errors import InputError, short
from kernelstudy.weights import modules
from kernelstudy.weights.layer import LAYOUTS

_NAME = re.compile(r'[^./\\"<>][^/\\"<>]*')


def check(arm: Any, seed: int, layout: Any, every: Any, to: Any) -> None:
    """InputError for what a Recorder cannot be begun with."""
    usable = isinstance(arm, str) and _NAME.fullmatch(arm) and arm.isprintable()
    if not usable or len(arm.encode()) > 200:
        raise InputError(f"arm: {short(arm)} must be usable as the name of a directory")
    if not 0 <= seed < 2**31:
        raise InputError(f"seed: {seed} must be a whole number from 0 to {2**31 - 1:,}")
    if layout not in ("auto", *LAYOUTS):
        raise InputError(f"layout: {short(layout)} is not one of auto, {', '.join(LAYOUTS)}")
    if every != "log" and not 0 < every < 2**31:
        raise InputError(f"every: {short(every)} is neither 'log' nor a number of steps from 1 on")
    if to not in (None, "tensorboard", "wandb"):
        raise InputError(f"to: {short(to)} is neither 'tensorboard' nor 'wandb'")


def check_probes(probes: Any, labels: Any, forward: Any, mib: Any) -> None:
    """InputError for settings of probes that say nothing, or cannot hold."""
    if probes is None and (labels is not None or forward is not None):
        raise InputError("probe_labels and forward: are of use with probes alone")
    if not (isinstance(mib, int | float) and 0 < mib < np.inf):
        raise InputError(f"probe_mib: {short(mib)} must be above 0")


def whole_number(name: str, value: Any) -> int:
    """A whole number, given as any type that holds one.

    Raises:
        InputError: it is none; `name` is told.
    """
    try:
        return operator.index(value)
    except TypeError:
        with suppress(TypeError, ValueError, RuntimeError):
            if float(value) == int(value):  # 3.0, and arrays of one number
                return int(value)
        raise InputError(f"{name}: {short(value)} is not a whole number") from None


def unwrapped(layer: str) -> str:
    """A layer's description without what compiling or spreading a model puts before its name."""
    return re.sub(r"^((_orig_mod|module)\.)+", "", layer)


def channels_last(images: Any) -> Any:
    """Images as they are meant: torch's have their channels first."""
    if isinstance(images, str | Path) or not hasattr(images, "shape"):
        return images
    values = modules.as_numpy(images)
    first = hasattr(images, "detach") and values.ndim == 4
    if first and values.shape[1] in (1, 3, 4) and values.shape[3] not in (1, 3, 4):
        values = np.moveaxis(values, 1, -1)
    if values.dtype.kind not in "fiub":
        raise InputError(f"images: must be numbers, not {values.dtype}")
    return values
