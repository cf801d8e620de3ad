"""What every reader answers: named layers whose kernels are read when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kernelstudy.system.errors import UserError

# Orders of the stored axes, named as those of two dimensions; of one and three they are alike. Besides these
# three 'hwim' is Keras' depthwise order, in x multiplier; transposed convolutions are stored with inputs and
# outputs in each other's place.
LAYOUTS = ("hwio", "oihw", "ohwi")
DIMENSIONS = {3: 1, 4: 2, 5: 3}  # of a convolution, by the axes of its weights
TURNED = {"hwio": "hwoi", "oihw": "iohw", "hwim": "hwoi", None: None}


class WeightsError(UserError):
    """Weights cannot be used."""


@dataclass(frozen=True)
class Layer:
    """One convolution of a network, described; its weights are read by `hwio`.

    `shape` as stored; `layout` one of `LAYOUTS`, 'hwim' (Keras' depthwise), or None where the format
    does not tell; `load` gives the stored array in real numbers; `step` the quantisation step of
    every filter (out,) or one for all, in the units of `load`; `stride` (y, x) where known;
    `depthwise`: every filter sees one channel; `transposed`: it makes an image rather than sees one;
    `role`: what it is where it is not the network's weight (an optimiser's state, an average);
    `refused`: why its kernels cannot be had; `sees`: whether it sees the network's input, None
    where no graph tells, and `source` the name of that input; `notes`: what a reader of the report should know.
    """

    name: str
    shape: tuple[int, ...]
    layout: str | None
    load: Callable[[], np.ndarray] = field(repr=False)
    dtype: str = ""
    stride: tuple[int, int] | None = None
    depthwise: bool = False
    step: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    transposed: bool = False
    role: str = ""
    refused: str = ""
    sees: bool | None = None
    source: str = ""

    def hwio(self) -> np.ndarray:
        """The kernels of a convolution of two dimensions as float64 (kh, kw, in, out)."""
        if len(self.shape) != 4 and not self.refused:
            raise WeightsError(f"{self.name} is {self.kind()}: convolutions of two are needed here")
        return self.kernels()

    def kernels(self) -> np.ndarray:
        """The kernels as float64 (*space, in, out), of one to three dimensions."""
        if self.refused:
            raise WeightsError(f"{self.name}: {self.refused}")
        if self.layout is None:
            raise WeightsError(
                f"{self.name}: the file does not tell the order of its axes {self.shape}; "
                f"give --layout {', '.join(LAYOUTS)}"
            )
        stored = self.stored()
        if stored.shape != self.shape:
            raise WeightsError(f"{self.name} is {stored.shape}, where {self.shape} was told")
        if stored.dtype.names or stored.dtype.kind not in "fiuV":  # V: ml_dtypes' small floats
            raise WeightsError(f"{self.name}: weights must be real numbers, not {stored.dtype}")
        values = stored.astype(np.float64)
        values = values.transpose(_order(self.layout, values.ndim))
        return np.ascontiguousarray(values.reshape(self.shape_of_kernels()))

    def stored(self) -> np.ndarray:
        """The weights as the file has them, in real numbers."""
        return self._read(self.load)

    def steps(self) -> np.ndarray | None:
        """The quantisation steps of the filters of `hwio`, (out,), zeros for floats; None if unquantised."""
        if self.step is None:
            return None
        found = np.abs(self._read(self.step).astype(np.float64).ravel())
        out = (self.shape_of_kernels() or (1,))[-1]
        if found.size == 0 or not np.isfinite(found).all():
            raise WeightsError(f"{self.name}: its quantisation scales are not finite numbers")
        return np.broadcast_to(found if found.size in (1, out) else found.max(), (out,))

    def _read(self, load: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            return np.asarray(load())
        except WeightsError:
            raise
        except OSError as error:
            raise WeightsError(f"{self.name} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # a decoder may answer damaged bytes with any exception
            raise WeightsError(f"{self.name} is damaged: {said(error)}") from error

    def shape_hwio(self) -> tuple[int, ...] | None:
        """(kh, kw, in, out) without reading the weights; None where the layout is unknown, or of other
        dimensions."""
        return self.shape_of_kernels() if len(self.shape) == 4 else None

    def shape_of_kernels(self) -> tuple[int, ...] | None:
        """(*space, in, out) without reading the weights; None where the layout is unknown."""
        if self.layout is None or len(self.shape) not in DIMENSIONS:
            return None
        *space, cin, cout = (self.shape[i] for i in _order(self.layout, len(self.shape)))
        return (*space, 1, cin * cout) if self.layout == "hwim" else (*space, cin, cout)

    def kind(self) -> str:
        """`a 3-D convolution (8 x 3 x 3 x 3 x 3 as stored)`."""
        return (
            f"a {len(self.shape) - 2}-D convolution ({' x '.join(map(str, self.shape))} as stored)"
        )

    def describe(self) -> str:
        """`name: 3x3, 3 -> 32, stride 2, float32`."""
        shape = self.shape_of_kernels()
        if not self.shape:
            text = self.name
        elif shape is None:
            text = f"{self.name}: {' x '.join(map(str, self.shape))} as stored"
        else:
            *space, cin, cout = shape
            text = f"{self.name}: {'x'.join(map(str, space))}, {cin} -> {cout}"
        stride = "" if self.stride is None else f", stride {_pair(self.stride)}"
        return (
            text
            + stride
            + (", depthwise" if self.depthwise else "")
            + (", transposed" if self.transposed else "")
            + (f", {self.dtype}" if self.dtype else "")
            + (f", {self.role}" if self.role else "")
            + (f"; {self.refused}" if self.refused else "")
        )


def _order(layout: str, axes: int) -> tuple[int, ...]:
    """The stored axes in the order (*space, in, out)."""
    n = axes - 2
    first, cin, cout = {
        "hwio": (0, n, n + 1), "hwim": (0, n, n + 1), "hwoi": (0, n + 1, n),
        "oihw": (2, 1, 0), "iohw": (2, 0, 1), "ohwi": (1, n + 1, 0),
    }[layout]  # fmt: skip
    return (*range(first, first + n), cin, cout)


@dataclass(frozen=True)
class Network:
    """The convolutions of one file, in the order that `order` names.

    `order`: 'graph' (as the network computes), 'declared' (as it was built or saved) or 'names'
    (sorted, which says nothing).
    """

    format: str
    layers: tuple[Layer, ...]
    order: str
    family: str = "torch"  # or 'tensorflow': who orders a space-to-depth stem's channels how
    facts: tuple[tuple[str, str], ...] = ()


def with_layout(layer: Layer, layout: str) -> Layer:
    """The layer read in another layout, 'auto' leaving it as it is."""
    if layout == "auto":
        return layer
    if layout not in LAYOUTS:
        raise WeightsError(f"layout: {layout!r} is not one of auto, {', '.join(LAYOUTS)}")
    return replace(layer, layout=layout)


def said(error: BaseException) -> str:
    """What an error says, on one line of bounded length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def natural(name: str) -> list[Any]:
    """A sort key under which conv2 comes before conv10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _pair(stride: tuple[int, int]) -> str:
    return str(stride[0]) if stride[0] == stride[1] else f"{stride[0]}x{stride[1]}"
