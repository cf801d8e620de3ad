"""A function with its convolutions and pools in the forms that suit a CPU.

XLA's own convolutions and maxima over windows are slow inside compiled loops there. `on_cpu` traces a function
and evaluates what it traced, operation by operation, with those that have a faster form in that form; values
and gradients are the same up to rounding. What is inside a scan, a branch or a rematerialised block stays.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxprs_in_params

from kernelstudy.training import gemm, ops

_CALLS = ("jit", "pjit")  # the same primitive, by version
_NHWC, _HWIO = (0, 3, 1, 2), (3, 2, 0, 1)  # as `lax.ConvDimensionNumbers` has them


def on_cpu(function: Callable) -> Callable:
    """`function` of trees of arrays, whose convolutions and pools are computed in the forms below."""

    def substituted(*args: Any) -> Any:
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        found = _evaluate(traced.jaxpr, traced.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), found)

    return substituted


def left_over(function: Callable, *args: Any) -> tuple[int, int]:
    """How many convolutions of `function` stay as they are, and how many there are in all."""
    found = [suited for _, suited in _convolutions(jax.make_jaxpr(function)(*args).jaxpr, True)]
    return found.count(False), len(found)


def _convolutions(jaxpr: Jaxpr, reached: bool) -> Iterator[tuple[JaxprEqn, bool]]:
    """Every convolution, and whether it is substituted."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "conv_general_dilated":
            yield eqn, reached and _form_of(eqn) is not None
        for inner in jaxprs_in_params(eqn.params):
            inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
            yield from _convolutions(inner, reached and eqn.primitive.name in _CALLS)


def _evaluate(jaxpr: Jaxpr, consts: Any, args: Any) -> list[Any]:
    """The interpreter of JAX's documentation ("Writing custom Jaxpr interpreters")."""
    values: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        form = _form_of(eqn)
        if form is not None:
            outputs = [form(*inputs)]
        elif eqn.primitive.name in _CALLS:
            inner = eqn.params["jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, inputs)
        else:
            params = eqn.primitive.get_bind_params(eqn.params)
            outputs = eqn.primitive.bind(*inputs, **params)
            outputs = outputs if eqn.primitive.multiple_results else [outputs]
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _form_of(eqn: JaxprEqn) -> Callable[..., Array] | None:
    """What computes the same on a CPU; None where there is nothing faster."""
    if any(getattr(v.aval, "dtype", None) != jnp.float32 for v in (*eqn.invars, *eqn.outvars)):
        return None
    if eqn.primitive.name == "conv_general_dilated":
        return _conv_of(eqn)
    if eqn.primitive.name in ("reduce_window_max", "reduce_window_sum"):
        return _pool_of(eqn)
    return None


def _conv_of(eqn: JaxprEqn) -> Callable[[Array, Array], Array] | None:
    params, shape = eqn.params, eqn.invars[1].aval.shape  # pyright: ignore[reportAttributeAccessIssue]
    specs = params["dimension_numbers"]
    ones = (*params["lhs_dilation"], *params["rhs_dilation"])
    groups = params["feature_group_count"], params["batch_group_count"]
    if tuple(specs) != (_NHWC, _HWIO, _NHWC) or {*ones, *groups} != {1} or 0 in shape:
        return None
    strides, padding = tuple(params["window_strides"]), tuple(map(tuple, params["padding"]))
    same = tuple(((k - 1) // 2, k // 2) for k in shape[:2])
    if strides == (1, 1) and padding == same:
        conv = ops.GEMM.conv
        return lambda x, kernel: _last(conv(_first(x), kernel, 1))
    return lambda x, kernel: _last(_windowed_conv(_first(x), kernel, strides, padding))


def _first(x: Array) -> Array:
    """(N, H, W, C) as (C, H, W, N), the layout of `gemm`."""
    return x.transpose(3, 1, 2, 0)


def _last(x: Array) -> Array:
    return x.transpose(3, 1, 2, 0)


def _windowed_conv(x: Array, kernel: Array, strides: Any, padding: Any) -> Array:
    """Cross-correlate (cin, H, W, N) with any strides and padding: (cout, p, q, N)."""
    kh, kw, _, cout = kernel.shape
    around = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), around)
    _, h, w, n = padded.shape
    (down, along), p, q = strides, (h - kh) // strides[0] + 1, (w - kw) // strides[1] + 1
    taps = [
        padded[:, i : i + down * (p - 1) + 1 : down, j : j + along * (q - 1) + 1 : along]
        for i in range(kh)
        for j in range(kw)
    ]
    patches = jnp.concatenate(taps).reshape(-1, p * q * n)
    return jnp.matmul(kernel.reshape(-1, cout).T, patches).reshape(cout, p, q, n)


def _pool_of(eqn: JaxprEqn) -> Callable[[Array], Array] | None:
    """Of pools whose windows lie side by side."""
    params = eqn.params
    window, strides = tuple(params["window_dimensions"]), tuple(params["window_strides"])
    dilations = {*params["base_dilation"], *params["window_dilation"]}
    aside = len(window) == 4 and window == strides and window[0] == window[3] == 1
    if not aside or dilations != {1} or any(map(any, params["padding"])) or math.prod(window) == 1:
        return None
    if eqn.primitive.name == "reduce_window_max":
        return (lambda x: _last(gemm.pool(_first(x)))) if window == (1, 2, 2, 1) else None
    return lambda x: _sums(x, *window[1:3])


def _sums(x: Array, down: int, along: int) -> Array:
    n, h, w, c = x.shape
    p, q = h // down, w // along
    cut = x[:, : p * down, : q * along]
    return cut.reshape(n, p, down, q, along, c).sum((2, 4))
