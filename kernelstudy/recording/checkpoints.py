"""Checkpoints saved earlier, as one network over its training: `compare ckpt_*.pt --as steps`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.comparison import opening
from kernelstudy.comparison.patches import patch_axes
from kernelstudy.config import KERNEL_SIZES
from kernelstudy.recording import joined
from kernelstudy.recording.points import Point
from kernelstudy.system.errors import InputError, printable
from kernelstudy.weights import Limits, WeightsError

_TOLD_BY = ("step", "iter", "it", "global_step", "batch", "update", "epoch", "ep", "e")


def record_files(
    files: list[Path],
    out: Path,
    *,
    limits: Limits,
    layer: str | None,
    layout: str,
    images: Any,
    command: str,
) -> list[str]:
    """Write a run directory `out` whose log points are these files; what was read, in lines.

    The layer is the one that `compare` finds in the last of them, by its name in all others.

    Raises:
        ValueError: a file cannot be read, or its layer has another shape than the last one's.
    """
    names = [file.name for file in files]
    if len(set(names)) < len(names):  # checkpoint-500/model.safetensors
        names = [file.absolute().as_posix() for file in files]
    steps, how = steps_of(names)
    ordered = sorted(zip(steps, files, strict=True), key=lambda pair: pair[0])
    last = opening.open_any(ordered[-1][1], limits, layer=layer, layout=layout)
    name = last.provenance.get("layer") if layer is None else layer
    found = []
    for step, file in ordered:
        one = _open(file, limits, name, layout, named=layer is not None)
        if one.kernels.shape != last.kernels.shape:
            raise InputError(
                f"{file.name}: its layer is {one.kernels.shape[1:]}, that of {last.name} "
                f"{last.kernels.shape[1:]}"
            )
        found.append(Point(step, _narrow(one.kernels[0]), np.nan, np.nan))
    kh, kw = last.kernels.shape[1:3]
    if kh != kw or kh not in KERNEL_SIZES:
        sizes = ", ".join(map(str, KERNEL_SIZES))
        raise InputError(
            f"{last.name}: its kernels are {kh}x{kw}; followed over training are square ones of {sizes} pixels"
        )
    patches, told = None, "no images"
    if images is not None:
        eigenvalues, basis, told = patch_axes(images, kh)
        patches = eigenvalues, basis
    facts = dict(last.facts)
    about = {
        "name": printable(out.name),
        "arm": "trained",
        "seed": 0,
        "layer": facts.get("Layer", ""),
        "why": f"of {len(files)} files, steps from {how}",
        "form": f"{len(files)} files",
        "stride": 1,
        "images": told,
        "command": command,
    }
    one = joined.Recording(out, about, found, patches, ended=True)
    joined.write([one], out)
    lines = [f"{file.name}: step {step:,}" for step, file in ordered]
    return [f"layer: {about['layer']}", f"steps, from {how}: " + "; ".join(lines)]


def _open(
    file: Path, limits: Limits, layer: str | None, layout: str, *, named: bool
) -> opening.Opened:
    """A file's layer of this name; unless the user gave the name, else the one that sees the image."""
    try:
        return opening.open_any(file, limits, layer=layer, layout=layout)
    except WeightsError:
        if named:
            raise
        return opening.open_any(file, limits, layout=layout)


def steps_of(names: list[str]) -> tuple[list[int], str]:
    """The step of every file, and where it was taken from: the number in their names that differs, or order.

    Where several numbers differ, the one after 'step', 'iter', ..., 'epoch' in this order, else the last
    of which no two are alike.
    """
    split = [re.split(r"(\d+)", name) for name in names]
    words = {tuple(parts[::2]) for parts in split}
    if len(words) == 1 and len(names) > 1:
        numbers = [[int(part) for part in parts[1::2]] for parts in split]
        columns = [list(column) for column in zip(*numbers, strict=True)]
        distinct = [i for i, column in enumerate(columns) if len(set(column)) == len(column)]
        before = [re.sub(r"[^a-z]", "", word.lower()) for word in split[0][::2]]
        for word in _TOLD_BY:
            told = [i for i in distinct if before[i].endswith(word) and before[i]]
            if told:
                return columns[told[-1]], f"the numbers after '{word}' in their names"
        if distinct:
            return columns[distinct[-1]], "the numbers in their names"
    return list(range(len(names))), "the order in which they were given"


def _narrow(kernels: np.ndarray) -> np.ndarray:
    """As float32 where that loses nothing."""
    narrow = kernels.astype(np.float32)
    return narrow if np.array_equal(narrow, kernels, equal_nan=True) else kernels
