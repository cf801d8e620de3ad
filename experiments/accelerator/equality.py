"""`lax`, which GPUs and TPUs use, against `gemm` and against float64, in values and gradients.

Everything is mapped over two networks by vmap, as a population is on a GPU or TPU.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from rows import HOLDS, NOT_HERE, Row, judged
from scipy import ndimage

from kernelstudy.config import KERNEL_SIZES, Model
from kernelstudy.conv import correlate
from kernelstudy.training.model import CNN
from kernelstudy.training.ops import GEMM, LAX, Ops

NETWORKS = 2
# Largest differences, as parts of a result's norm. Between float32 and float64 a near-tie of a maximum may
# be broken otherwise, which moves a single number of a gradient.
FLOAT64, FLOAT32, NEAR_TIES = 1e-10, 1e-5, 5e-3
SMALL = 1e-4  # of the largest result's norm: what is smaller may be zero but for rounding


class Case(NamedTuple):
    kind: str
    name: str
    function: Callable[..., Any]  # (ops, *arguments) -> arrays, of one network
    arguments: Any  # float64 (or int32) trees with a leading axis of networks
    limit: float  # of float32


class Reference(NamedTuple):
    """Where float64 is computed, and in words."""

    device: Any
    said: str


def rows(tiny: bool) -> Iterator[Row]:
    """Every kind of operation and every family of networks; then `kernelstudy.correlate`."""
    reference, told = _reference()
    yield told
    with jax.default_matmul_precision("float32"):
        for case in (*_operations(tiny), *_families(tiny)):
            yield compare(case, reference)
    yield from _correlation()


def compare(case: Case, reference: Reference | None) -> Row:
    """One case in both implementations and precisions; without float64, `lax` against `gemm` alone."""
    tables = {"lax": LAX, "gemm": GEMM}
    single = {name: _computed(case, ops, np.float32) for name, ops in tables.items()}
    if reference is None:
        found = {"lax": _difference(single["lax"], single["gemm"])}
        right = found["lax"] <= 2 * case.limit
        said = f"lax and gemm differ by {found['lax']:.1e} in float32"
    else:
        with jax.enable_x64(True), jax.default_device(reference.device):
            exact = {name: _computed(case, ops, np.float64) for name, ops in tables.items()}
        found = {name: _difference(of, exact["lax"]) for name, of in single.items()}
        found["gemm64"] = _difference(exact["gemm"], exact["lax"])
        right = found["gemm64"] <= FLOAT64 and max(found["lax"], found["gemm"]) <= case.limit
        said = (
            f"from float64: lax {found['lax']:.1e}, gemm {found['gemm']:.1e} (limit {case.limit:.0e}); "
            f"gemm from lax, both in float64: {found['gemm64']:.1e} (limit {FLOAT64:.0e})"
        )
    values = {"table": "equality", "kind": case.kind, "case": case.name, **found}
    return judged(f"{case.kind}: {case.name}", right, said, **values)


def _computed(case: Case, ops: Ops, kind: Any) -> list[np.ndarray]:
    def cast(leaf: Any) -> Any:
        return jnp.asarray(leaf, kind if np.issubdtype(leaf.dtype, np.floating) else leaf.dtype)

    run = jax.jit(jax.vmap(partial(case.function, ops)))
    results = jax.tree.leaves(run(*jax.tree.map(cast, case.arguments)))
    return [np.asarray(leaf, np.float64) for leaf in results]


def _difference(found: list[np.ndarray], exact: list[np.ndarray]) -> float:
    """The largest of all results, each as a part of its norm; infinite where one is not finite."""
    if not all(np.isfinite(leaf).all() for leaf in (*found, *exact)):
        return np.inf
    least = SMALL * max(float(np.linalg.norm(leaf)) for leaf in exact)
    return max(
        float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), least))
        for a, b in zip(found, exact, strict=True)
    )


def _reference() -> tuple[Reference | None, Row]:
    """float64 on this device if its convolutions are SciPy's, else on the CPU beside it."""
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((9, 8)), rng.standard_normal((5, 5))
    expected = ndimage.correlate(image, kernel, mode="constant")
    why = ""
    for device in (jax.devices()[0], *_cpu()):
        try:
            with jax.enable_x64(True), jax.default_device(device):
                found = LAX.conv(
                    jnp.asarray(image[None, :, :, None]), jnp.asarray(kernel[..., None, None]), 1
                )
                error = float(np.abs(np.asarray(found)[0, :, :, 0] - expected).max())
        except Exception as problem:  # whatever a compiler without float64 says
            why = why or str(problem).splitlines()[0][:150]
            continue
        if error < 1e-12:
            here = device == jax.devices()[0]
            said = f"a float64 convolution is SciPy's to {error:.0e} on {device.device_kind}"
            status = HOLDS if here else NOT_HERE
            no = "" if here else f"not on {jax.devices()[0].device_kind} ({why}): "
            return Reference(device, said), Row("float64", status, no + said)
        why = why or f"its convolution is off by {error:.0e}"
    return None, Row("float64", NOT_HERE, f"no device here has it ({why}): lax against gemm alone")


def _cpu() -> list[Any]:
    try:
        return jax.devices("cpu")[:1]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return []


def pulled(function: Callable[..., Any]) -> Callable[..., Any]:
    """(ops, weights, *arguments) -> the values, and the gradients of all arguments that weights pull back.

    `function`: (ops, *arguments) -> values with gradients, and others, each a list of arrays.
    """

    def run(ops: Ops, weights: Any, *arguments: Any) -> Any:
        values, back, others = jax.vjp(partial(function, ops), *arguments, has_aux=True)
        return values, others, back(weights)

    return run


def images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Sixteenths, which add and multiply without rounding: what ties in one form ties in all. Half of each
    image is constant, as the background of MNIST, so that whole windows tie."""
    x = np.round(16 * rng.standard_normal((NETWORKS, *shape))) / 16
    x[:, :, : shape[1] // 2] = -0.4375
    return x


def _operations(tiny: bool) -> Iterator[Case]:
    """Each operation of the table by itself."""
    rng = np.random.default_rng(1)

    def case(kind: str, name: str, function: Any, shape: tuple[int, ...], *more: Any) -> Case:
        x = images(rng, *shape)
        arguments = (x, *more)
        specs = [jax.ShapeDtypeStruct(leaf.shape, np.float32) for leaf in arguments]
        values, _ = jax.eval_shape(jax.vmap(partial(function, LAX)), *specs)
        weights = [rng.standard_normal(value.shape) for value in values]
        return Case(kind, name, pulled(function), (weights, *arguments), FLOAT32)

    def kernel(size: int, cin: int, cout: int) -> np.ndarray:
        return np.round(16 * rng.standard_normal((NETWORKS, size, size, cin, cout))) / 16

    for size in (5,) if tiny else KERNEL_SIZES:
        name, shape = f"{size} x {size}, 3 to 5 channels, strides 1 and 2", (3, 13, 12, 3)
        yield case("convolution", name, _convs, shape, kernel(size, 3, 5))
    if not tiny:
        name = "3 x 3, 8 to 5 channels, strides 1 and 2"
        yield case("convolution", name, _convs, (3, 13, 12, 8), kernel(3, 8, 5))
    for shape in ((8, 8),) if tiny else ((8, 8), (7, 9)):
        said = f"images {shape[0]} x {shape[1]}"
        yield case("max pooling with ties", said, _pool, (4, *shape, 3))
        for size, cin, cout in ((3, 1, 16), (3, 4, 4)):
            name = f"{size} x {size}, {cin} to {cout} channels, {said}"
            k, x = kernel(size, cin, cout), (16, *shape, cin)
            scale = np.resize([1.5, -0.7, 0.2, -2.0], (NETWORKS, cout))
            learned = (scale, rng.standard_normal((NETWORKS, cout)))
            yield case("convolution and pool", name, _conv_pool, x, k)
            norms = partial(_normed, ("conv_norm", "conv_norm_pool"))
            yield case("batch norm", f"without and with a pool, {name}", norms, x, k, *learned)
            if cin == cout:
                skip = partial(_normed, ("skip_norm_pool",))
                yield case("residual and batch norm", name, skip, x, k, *learned)
    dense = rng.standard_normal((NETWORKS, 4 * 5 * 3, 7))
    yield case("dense", "60 to 7", _dense, (3, 4, 5, 3), dense)


def _convs(ops: Ops, x: Any, kernel: Any) -> Any:
    return [ops.leave(ops.conv(ops.enter(x), kernel, stride)) for stride in (1, 2)], []


def _pool(ops: Ops, x: Any) -> Any:
    return [ops.leave(ops.pool(ops.enter(x)))], []


def _conv_pool(ops: Ops, x: Any, kernel: Any) -> Any:
    return [ops.leave(ops.conv_pool(ops.enter(x), kernel))], []


def _normed(forms: tuple[str, ...], ops: Ops, x: Any, *given: Any) -> Any:
    found = [getattr(ops, form)(ops.enter(x), *given) for form in forms]
    return [ops.leave(y) for y, *_ in found], [moments for _, *moments in found]


def _dense(ops: Ops, x: Any, kernel: Any) -> Any:
    return [ops.dense(ops.enter(x), kernel)], []


# Every value of every key of conf/model, and every combination of norm, stride and residual.
FAMILIES = (
    Model(),
    Model(batch_norm=True),
    Model(kernel_size=7, activation="elu", stride=2),
    Model(kernel_size=9, depth=4, activation="gelu", stride=2, residual=True),
    Model(kernel_size=5, depth=3, activation="leaky_relu", residual=True),
    Model(kernel_size=3, depth=3, batch_norm=True, residual=True),
    Model(kernel_size=5, depth=5, activation="identity", batch_norm=True, stride=2),
    Model(kernel_size=3, depth=3, activation="tanh", batch_norm=True, stride=2, residual=True),
    Model(kernel_size=11, depth=1, activation="silu", batch_norm=True),
    Model(first="depthwise", first_stride=4),
    Model(first="dense", first_stride=1, batch_norm=True),
    Model(family="vgg", depth=3, batch_norm=True),
    Model(family="resnet", depth=4, batch_norm=True, first_stride=2),
    Model(family="convnext", depth=3, first="patchify", activation="gelu"),
)
OF_TINY = FAMILIES[5:6]
SHAPES = ((16, 16, 1), (13, 14, 3))


def _families(tiny: bool) -> Iterator[Case]:
    """A step's loss, gradients and statistics, and the logits of evaluation, of whole networks."""
    for index, model in enumerate(OF_TINY if tiny else FAMILIES):
        yield family(model, SHAPES[index % 2])


def family(model: Model, shape: tuple[int, int, int]) -> Case:
    """One family of networks on images of that shape."""
    rng = np.random.default_rng(2)

    def built(key: Any) -> Any:
        network = CNN(
            image_shape=shape,
            classes=10,
            kernel_size=model.kernel_size,
            width=6,  # a multiple of the colours
            deep_width=6,
            depth=model.depth,
            activation=model.activation,
            first_init=nnx.initializers.he_normal(),
            first=model.first,
            first_stride=model.first_stride,
            family=model.family,
            batch_norm=model.batch_norm,
            stride=model.stride,
            residual=model.residual,
            rngs=nnx.Rngs(key),
        )
        return nnx.split(network, nnx.Param, nnx.BatchStat)

    graph = built(jax.random.key(0))[0]
    states = [built(jax.random.key(seed))[1:] for seed in range(NETWORKS)]
    params, statistics = jax.tree.map(
        lambda *leaves: np.stack([np.asarray(leaf, np.float64) for leaf in leaves]), *states
    )
    labels = rng.integers(10, size=(NETWORKS, 16)).astype(np.int32)
    arguments = (params, statistics, images(rng, 16, *shape), labels)
    flags = [name for name in ("batch_norm", "residual") if getattr(model, name)]
    name = (
        f"{model.kernel_size} x {model.kernel_size}, depth {model.depth}, {model.activation}, "
        f"stride {model.stride}{''.join(', ' + flag for flag in flags)}, images {shape}"
    )
    return Case("network", name, partial(_step, graph), arguments, NEAR_TIES)


def _step(graph: Any, ops: Ops, params: Any, statistics: Any, x: Any, labels: Any) -> Any:
    def loss(params: Any) -> Any:
        own = jax.tree.map(lambda leaf: leaf, statistics)
        model = nnx.merge(graph, params, own)
        logits = model(x, ops, training=True)
        of_each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return of_each.mean(), nnx.state(model, nnx.BatchStat)

    (value, kept), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    return value, gradient, kept, nnx.merge(graph, params, statistics)(x, ops)


def _correlation() -> Iterator[Row]:
    """`kernelstudy.correlate` in all its forms and paddings, in float32, against SciPy in float64."""
    rng = np.random.default_rng(3)
    x, kernel = rng.standard_normal((20, 17)), rng.standard_normal((5, 5))
    modes = {"same": "constant", "reflect": "mirror", "valid": "constant"}
    for impl in ("lax", "gemm", "shift", "auto"):
        errors = []
        for padding, mode in modes.items():
            exact = ndimage.correlate(x, kernel, mode=mode)
            exact = exact[2:-2, 2:-2] if padding == "valid" else exact
            given = x.astype(np.float32), kernel.astype(np.float32)
            found = correlate(*given, padding=padding, impl=impl)
            errors.append(_difference([np.asarray(found)[..., 0]], [exact]))
        values = {"table": "equality", "kind": "correlate", "case": impl, "lax": max(errors)}
        said = f"from SciPy's float64: {max(errors):.1e} (limit {FLOAT32:.0e}), three paddings"
        yield judged(f"correlate: {impl}", max(errors) <= FLOAT32, said, **values)
