"""PyTorch's and NumPy's tensors as a pickle describes them; their numbers are read when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np

from .layer import WeightsError
from .limits import Limits, as_wide, from_bytes, plain_dtype, plain_shape
from .pickles import Name

_DTYPES: dict[str, Any] = {
    **{
        "Double": np.float64,
        "Float": np.float32,
        "Half": np.float16,
        "BFloat16": ml_dtypes.bfloat16,
    },
    **{"Long": np.int64, "Int": np.int32, "Short": np.int16, "Char": np.int8, "Byte": np.uint8},
    **{"QInt8": np.int8, "QUInt8": np.uint8, "QInt32": np.int32, "Bool": np.bool_},
    **{"float64": np.float64, "float32": np.float32, "float16": np.float16, "int8": np.int8},
    **{"bfloat16": ml_dtypes.bfloat16, "uint8": np.uint8, "Untyped": np.uint8},
    **{"ComplexFloat": np.complex64, "ComplexDouble": np.complex128},
}


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file; `read` gives its bytes."""

    dtype: np.dtype
    key: str
    numel: int
    read: Callable[[], bytes] = field(repr=False)


@dataclass
class Tensor:
    """A view on a storage, of a torch tensor or a NumPy array (whose `storage` comes as its state)."""

    storage: Storage | None
    offset: int = 0
    size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    scale: Any = None  # (scales, zero points, axis or None) of a quantised one
    torch: bool = True

    def set_state(self, state: Any) -> None:
        """The state of a NumPy array: version, shape, dtype, whether Fortran order, bytes."""
        if self.torch:
            return
        _, shape, dtype, fortran, data = state
        self.size = plain_shape(shape, "an array")
        data = data.encode("latin1") if isinstance(data, str) else data
        dtype = dtype.dtype if isinstance(dtype, _Dtype) else None
        if dtype is None or not isinstance(data, bytes):
            self.size = ()  # of Python objects
            return
        self.storage = Storage(dtype, "", len(data) // max(dtype.itemsize, 1), lambda: data)
        steps = np.cumprod([1, *(self.size if fortran else self.size[::-1])], dtype=object)[:-1]
        self.stride = tuple(steps if fortran else steps[::-1])

    def numbers(self, limits: Limits, what: str) -> np.ndarray:
        """The values, in real numbers, if they lie within the storage."""
        s = self.storage
        assert s is not None
        limits.array(self.size, s.dtype.itemsize, what)
        limits.array((s.numel,), s.dtype.itemsize, f"the storage of {what}")
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.size, self.stride, strict=True)
        )
        if math.prod(self.size) > s.numel:
            raise WeightsError(
                f"{what} shows its numbers more than once: {self.size} of {s.numel:,}"
            )
        if self.offset < 0 or min(self.stride, default=0) < 0 or last >= s.numel:
            raise WeightsError(f"{what} lies outside of its storage")
        flat = from_bytes(s.read(), s.dtype, (s.numel,), limits, f"the storage of {what}")
        steps = tuple(step * s.dtype.itemsize for step in self.stride)
        values = np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps)
        if self.scale is None:
            return values
        scales, zeros = self._scales(limits, what)
        as_wide(values, (scales, zeros), what)
        return (values.astype(np.float64) - zeros) * scales

    def step(self, limits: Limits, what: str) -> np.ndarray:
        """The quantisation step of every filter (the first axis), or one for all."""
        return np.ravel(self._scales(limits, what)[0])

    def _scales(self, limits: Limits, what: str) -> tuple[np.ndarray, np.ndarray]:
        *pair, axis = self.scale
        found = [p.numbers(limits, what) if isinstance(p, Tensor) else np.array(p) for p in pair]
        if axis is None:
            return found[0], found[1]
        shape = [-1 if i == axis else 1 for i in range(len(self.size))]
        return found[0].reshape(shape), found[1].reshape(shape)


@dataclass
class _Dtype:
    dtype: np.dtype | None

    def set_state(self, state: Any) -> None:
        if self.dtype is not None and len(state) > 1 and state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


def storage_dtype(kind: Any) -> np.dtype:
    name = kind.name.removesuffix("Storage") if isinstance(kind, Name) else kind
    if not isinstance(name, str):
        raise WeightsError("tensors of no named type are not read")
    if name not in _DTYPES:
        raise WeightsError(f"tensors of type {name[:80]} are not read")
    return np.dtype(_DTYPES[name])


def count(n: Any) -> int:
    if not isinstance(n, int) or n < 0:
        raise WeightsError("a storage claims a size that is none")
    return n


def _ints(values: Any) -> tuple[int, ...]:
    return plain_shape(values, "a tensor")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise WeightsError("a tensor without a storage")
    return Tensor(storage, count(offset), _ints(size), _ints(stride))


def _typed_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    found = _tensor(storage, offset, size, stride)
    dtype = storage_dtype(rest[2])
    numel = storage.numel // dtype.itemsize
    found.storage = Storage(
        dtype.newbyteorder(storage.dtype.byteorder), storage.key, numel, storage.read
    )
    return found


def _quantised(
    storage: Any, offset: Any, size: Any, stride: Any, quantiser: Any, *_: Any
) -> Tensor:
    found = _tensor(storage, offset, size, stride)
    _, scale, zero, *axis = quantiser
    found.scale = (scale, zero, axis[0] if axis else None)
    return found


def _numpy_dtype(name: Any, *_: Any) -> _Dtype:
    try:
        return _Dtype(plain_dtype(name, "an array"))
    except WeightsError:
        return _Dtype(None)


def _numpy_from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Tensor:
    found = Tensor(None, torch=False)
    found.set_state((1, shape, dtype, order == "F", data))
    return found


def _from_numpy(array: Any, *_: Any) -> Any:
    """A tensor of another device, saved as a NumPy array."""
    return replace(array, torch=True) if isinstance(array, Tensor) else array


def _encoded(text: Any, *_: Any) -> bytes:
    if not isinstance(text, str):
        raise WeightsError("the pickle encodes what is not text")
    return text.encode("latin1")


def _first(value: Any, *_: Any) -> Any:
    return value


REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": lambda rebuild, kind, arguments, state: REBUILD[
        str(rebuild)
    ](*arguments),
    "torch.jit._pickle.restore_type_tag": _first,
    "torch.Size": lambda values=(): tuple(values),
    "_codecs.encode": _encoded,
    "numpy.dtype": _numpy_dtype,
    **{
        f"torch.jit._pickle.build_{kind}list": _first
        for kind in ("int", "tensor", "double", "bool")
    },
}
for _core in ("numpy.core", "numpy._core"):
    REBUILD[f"{_core}.multiarray._reconstruct"] = lambda *_: Tensor(None, torch=False)
    REBUILD[f"{_core}.multiarray.scalar"] = lambda *_: None
    REBUILD[f"{_core}.numeric._frombuffer"] = _numpy_from_buffer
