"""Constants of an ONNX graph: as stored, or computed from stored ones by a few known operators."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .layer import WeightsError
from .limits import Limits, as_wide, from_bytes, inside, read_exactly

_PACKED = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn")  # several numbers a byte
_PASSING = ("Identity", "Cast", "Transpose", "DequantizeLinear", "QuantizeLinear")
_DEEP = 64
MOST_EVALUATIONS = 10_000  # of constants, for one graph with all that is within it
# Folded by onnx's reference implementation, a node at a time; none of them can make much out of little.
_ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Sqrt", "Pow", "Exp", "Log", "Reciprocal", "Sign"),
    *("Max", "Min", "Sum", "Clip", "Round", "Floor", "Ceil", "Relu", "Sigmoid", "Tanh", "Where"),
    *("Equal", "Greater", "Less", "Not", "And", "Or", "Cast", "CastLike", "Identity", "Softplus"),
)
_SHAPING = (
    *("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Split", "Concat"),
    *("Shape", "Expand", "Gather", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceMean"),
    *("ReduceMax", "ReduceMin", "ReduceL1", "LpNormalization"),
)


class Scope:
    """Where the values of a graph's names come from; within a function or subgraph, `outer` ones too."""

    def __init__(self, graph: Any, folder: Path, limits: Limits, outer: Scope | None = None):
        self.folder, self.limits, self.outer = folder, limits, outer
        self.tensors = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
        self.nodes = {output: node for node in graph.node for output in node.output}
        self.aliases: dict[str, tuple[Scope, str]] = {}
        self.given: dict[str, Any] = {}  # a function's attributes
        self.inputs = {value.name for value in graph.input if not isinstance(value, str)}
        self._constant: dict[str, bool] = {}
        self._folds: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}  # within one `value`
        self.opset = outer.opset if outer is not None else 0
        self.evaluations: Iterator[int] = (
            iter(range(MOST_EVALUATIONS)) if outer is None else outer.evaluations
        )

    def of_function(self, function: Any, node: Any) -> Scope:
        """The scope of a call: the function's inputs are this scope's values."""
        own = Scope(function, self.folder, self.limits)
        own.opset, own.evaluations = self._opset(), self.evaluations
        own.aliases = {
            name: (self, outer)
            for name, outer in zip(function.input, node.input, strict=False)
            if outer
        }
        own.given = {a.name: a for a in (*function.attribute_proto, *node.attribute)}
        own.inputs = set(function.input) - set(own.aliases)
        return own

    def shape(self, name: str) -> tuple[tuple[int, ...], str]:
        """Shape and type of a constant; of a stored one without its numbers.

        Raises:
            WeightsError: it is computed from the network's input, or by what is not folded.
        """
        for tensor, axes in self._source(name, 0):
            shape = tuple(int(n) for n in tensor.dims)
            if axes is not None:
                if sorted(axes) != list(range(len(shape))):
                    raise WeightsError(f"{name} is transposed over axes that it has not")
                shape = tuple(shape[i] for i in axes)
            return shape, _dtype(tensor.data_type)[1]
        values = self.value(name)
        return values.shape, str(values.dtype)

    def value(self, name: str) -> np.ndarray:
        """A constant in real numbers: dequantised, transposed, cast and computed as the graph does it."""
        try:
            return self._value(name, 0)[0]
        finally:
            self._folds.clear()

    def step(self, name: str) -> np.ndarray | None:
        """The quantisation step that DequantizeLinear gives it, one or one a filter."""
        try:
            return self._value(name, 0)[1]
        finally:
            self._folds.clear()

    def knows(self, name: str) -> bool:
        """Whether something in the file gives this value."""
        if name in self.tensors or name in self.nodes or name in self.aliases:
            return True
        return self.outer is not None and self.outer.knows(name)

    def is_stored(self, name: str) -> bool:
        """Whether it lies in the file, up to the order of axes and the type."""
        return any(True for _ in self._source(name, 0))

    def stored_name(self, name: str | None) -> str:
        """Its own name, or that under which the caller of the function has stored it."""
        scope: Scope | None = self
        for _ in range(_DEEP):
            if scope is None or name is None:
                return ""
            if name in scope.tensors:
                return name
            if name in scope.aliases:
                scope, name = scope.aliases[name]
            else:
                scope = scope.outer
        return ""

    def is_constant(self, name: str) -> bool:
        """Whether no input of the network has a part in it, by a look at its few last makers."""
        try:
            return self.is_stored(name) or self._depends_on_constants(name, 0)
        except WeightsError:
            return False

    def rule(self, name: str) -> str:
        """The operators that the last value comes from, in a few words."""
        found = []
        for _ in range(4):
            node = self.nodes.get(name)
            if node is None or not node.input:
                break
            found.append(node.op_type)
            name = node.input[0]
        return " of ".join(found) or "a function"

    def _depends_on_constants(self, name: str, depth: int) -> bool:
        if depth > _DEEP or name in self.inputs:
            return False
        if name in self.aliases:
            scope, outer = self.aliases[name]
            return scope.is_constant(outer)
        node = self.nodes.get(name)
        if node is None:
            return self.outer is not None and self.outer.is_constant(name)
        if name not in self._constant:
            self._constant[name] = False  # of a circle
            self._constant[name] = all(
                self.is_stored(n) or self._depends_on_constants(n, depth + 1)
                for n in node.input
                if n
            )
        return self._constant[name]

    def _source(self, name: str, depth: int) -> Iterator[tuple[Any, tuple[int, ...] | None]]:
        axes: tuple[int, ...] | None = None
        for _ in range(16):
            if name in self.tensors:
                yield self.tensors[name], axes
                return
            if name in self.aliases and depth < _DEEP:
                scope, outer = self.aliases[name]
                found = scope._source(outer, depth + 1)
                yield from ((tensor, _composed(own, axes)) for tensor, own in found)
                return
            node = self.nodes.get(name)
            if node is None:
                if self.outer is not None and name not in self.inputs and depth < _DEEP:
                    found = self.outer._source(name, depth + 1)
                    yield from ((tensor, _composed(own, axes)) for tensor, own in found)
                return
            if node.op_type == "Constant":
                for entry in node.attribute:
                    if entry.name == "value":
                        yield entry.t, axes
                return
            if node.op_type not in _PASSING or not node.input:
                return
            if node.op_type == "Transpose":
                perm = tuple(attribute(node, "perm") or ())
                if not perm:
                    return  # the order depends on how many axes there are
                axes = _composed(perm, axes)
            name = node.input[0]

    def _value(self, name: str, depth: int) -> tuple[np.ndarray, np.ndarray | None]:
        if depth > _DEEP:
            raise WeightsError(f"{name} is computed by too many operators")
        if next(self.evaluations, None) is None:
            raise WeightsError(
                f"the graph takes more than {MOST_EVALUATIONS:,} steps to its weights"
            )
        if name in self.tensors:
            return self._numbers(self.tensors[name]), None
        if name not in self._folds:
            self._folds[name] = self._made(name, depth)
        return self._folds[name]

    def _made(self, name: str, depth: int) -> tuple[np.ndarray, np.ndarray | None]:
        if name in self.aliases:
            scope, outer = self.aliases[name]
            return scope._value(outer, depth + 1)
        node = self.nodes.get(name)
        if node is None:
            if self.outer is not None and name not in self.inputs:
                return self.outer._value(name, depth + 1)
            raise WeightsError(f"its weights depend on the network's input {name}")
        if node.op_type == "Constant":
            for tensor, _ in self._source(name, 0):
                return self._numbers(tensor), None
            if node.attribute and node.attribute[0].name in ("value_float", "value_int"):
                return np.array(node.attribute[0].f or node.attribute[0].i), None
            if node.attribute and node.attribute[0].name in ("value_ints", "value_floats"):
                return np.array(list(node.attribute[0].ints or node.attribute[0].floats)), None
            raise WeightsError(f"{name} is not a tensor")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return self._quantised(node, depth)
        if node.op_type not in (*_ELEMENTWISE, *_SHAPING):
            raise WeightsError(
                f"its weights are computed in the graph by {node.op_type}, not stored: simplify the model "
                "(onnxsim, for instance)"
            )
        found = [self._value(n, depth + 1) if n else None for n in node.input]
        values = self._folded(node, name, [None if f is None else f[0] for f in found])
        steps = found[0][1] if found and found[0] and node.op_type in _KEEPING else None
        return values, steps

    def _folded(self, node: Any, name: str, values: list[Any]) -> np.ndarray:
        """The node's output of that name, by onnx's own implementation in NumPy."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        self.limits.array((_bound(node.op_type, values),), 8, name)
        copy = type(node)()
        copy.CopyFrom(node)
        for i, entry in enumerate(node.attribute):
            if entry.ref_attr_name:
                if entry.ref_attr_name not in self.given:
                    raise WeightsError(f"{name} lacks the attribute {entry.ref_attr_name}")
                copy.attribute[i].CopyFrom(self.given[entry.ref_attr_name])
                copy.attribute[i].name = entry.name
        names = [f"i{i}" if n else "" for i, n in enumerate(node.input)]
        del copy.input[:]
        copy.input.extend(names)
        copy.domain = ""
        opset = self._opset()
        try:
            made = helper.make_graph(
                [copy],
                "fold",
                [helper.make_tensor_value_info(n, 0, None) for n in names if n],
                [helper.make_tensor_value_info(name, 0, None)],
            )
            model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
            given = {n: v for n, v in zip(names, values, strict=True) if n}
            with np.errstate(all="ignore"):
                (made_values,) = ReferenceEvaluator(model).run([name], given)
                return np.asarray(made_values)
        except Exception as error:  # a node that is damaged raises anything
            raise WeightsError(f"its weights cannot be computed by {node.op_type}") from error

    def _opset(self) -> int:
        scope: Scope = self
        while scope.opset == 0 and scope.outer is not None:
            scope = scope.outer
        return scope.opset or 17

    def _quantised(self, node: Any, depth: int) -> tuple[np.ndarray, np.ndarray | None]:
        values, _ = self._value(node.input[0], depth + 1)
        scale, zero = self._scales(node.input[1], node.input[2:3], values.ndim, node, depth)
        as_wide(values, (scale, zero), node.input[0])
        if node.op_type == "QuantizeLinear":  # and back, at once: rounding to the steps
            low, high = (0, 255) if zero.dtype == np.uint8 else (-128, 127)
            return np.clip(np.round(values / scale) + zero.astype(float), low, high), None
        return (values.astype(float) - zero.astype(float)) * scale, np.ravel(scale)

    def _scales(
        self, scale: str, zero: Any, ndim: int, node: Any, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        axis = attribute(node, "axis") if ndim > 1 else 0
        axis = (1 if axis is None else int(axis)) % max(ndim, 1)
        found: list[np.ndarray] = [self._value(scale, depth + 1)[0].astype(np.float64)]
        given = self._value(zero[0], depth + 1)[0] if zero and zero[0] else np.zeros((), np.int8)
        found.append(given)
        shape = [-1 if i == axis else 1 for i in range(ndim)]
        return tuple(v if v.size == 1 else v.reshape(shape) for v in found)  # type: ignore[return-value]

    def _numbers(self, tensor: Any) -> np.ndarray:
        shape, what = tuple(int(n) for n in tensor.dims), tensor.name or "a constant"
        dtype, _ = _dtype(tensor.data_type)
        if dtype is None:
            raise WeightsError(f"{what} is of a type that is not read")
        size = self.limits.array(shape, dtype.itemsize, what)
        if tensor.data_location == 1:
            return from_bytes(self._external(tensor, size), dtype, shape, self.limits, what)
        if tensor.raw_data and dtype.name not in _PACKED:
            return from_bytes(tensor.raw_data, dtype.newbyteorder("<"), shape, self.limits, what)
        from onnx import numpy_helper

        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise WeightsError(f"{what} does not hold the numbers that its shape needs") from error

    def _external(self, tensor: Any, size: int) -> bytes:
        told = {entry.key: entry.value for entry in tensor.external_data}
        path = inside(self.folder, told.get("location", ""))
        offset = int(told.get("offset", "0")) if told.get("offset", "0").isdigit() else 0
        with path.open("rb") as file:
            file.seek(min(offset, path.stat().st_size))
            return read_exactly(file, size, path.name)


_KEEPING = ("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten")


def _composed(
    inner: tuple[int, ...] | None, outer: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """The axes after two transpositions, `inner` the first."""
    if inner is None or outer is None:
        return outer if inner is None else inner
    return tuple(inner[i] for i in outer if i < len(inner))


def _bound(kind: str, values: list[Any]) -> int:
    """How many numbers an operator can give at most."""
    shapes = [np.shape(v) for v in values if v is not None]
    if not shapes:
        return 0
    if kind in _ELEMENTWISE:
        try:
            return math.prod(np.broadcast_shapes(*shapes))
        except ValueError as error:
            raise WeightsError(
                f"its weights are computed from shapes that do not fit: {shapes}"
            ) from error
    if kind == "Concat":
        return sum(map(math.prod, shapes))
    if kind == "Expand":
        return math.prod(shapes[0]) * math.prod(max(1, int(n)) for n in np.ravel(values[1])[:32])
    if kind == "Gather":
        return math.prod(shapes[0]) * max(1, math.prod(shapes[1]))
    return math.prod(shapes[0])


def attribute(node: Any, name: str) -> Any:
    for entry in node.attribute:
        if entry.name == name:
            return entry.i if entry.type == 2 else list(entry.ints)
    return None


def _dtype(code: int) -> tuple[np.dtype | None, str]:
    from onnx import helper

    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError, TypeError):
        return None, f"type {code}"
    return (None if dtype.hasobject else dtype), str(dtype)
