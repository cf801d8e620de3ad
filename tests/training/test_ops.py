"""The two tables of operations are the same mathematics, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from kernelstudy.training import gemm, norm, pieces
from kernelstudy.training.ops import GEMM, LAX


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        yield


def images(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal(shape)
    if kind == "constant":  # MNIST's background: whole windows tie
        x[:, : shape[1] // 2] = -0.42
    if kind == "ties":
        x = np.round(x)
    return x


def test_the_worked_example():
    """K slid along I gives [[154, 157], [200, 233]]."""
    image = np.array([[9, 8, 7, 6], [5, 4, 3, 2], [1, 2, 3, 4], [5, 6, 7, 8]], float)
    kernel = np.arange(1.0, 10).reshape(3, 3)
    for ops in (LAX, GEMM):
        x = ops.enter(jnp.asarray(image[None, :, :, None]))
        y = np.asarray(ops.leave(ops.conv(x, jnp.asarray(kernel[:, :, None, None]), 1)))
        np.testing.assert_allclose(y[0, 1:-1, 1:-1, 0], [[154, 157], [200, 233]])


@pytest.mark.parametrize(
    ("size", "cin", "cout"),
    [(size, 3, 5) for size in range(1, 12)]
    + [(size, 1, 1) for size in (1, 2, 3, 4, 5, 11)]
    + [(3, 4, 1), (3, 8, 5)],  # Winograd's form
)
def test_convolutions_agree(size, cin, cout):
    rng = np.random.default_rng(size)
    x = jnp.asarray(rng.standard_normal((3, 13, 12, cin)))
    kernel = jnp.asarray(rng.standard_normal((size, size, cin, cout)))
    weight = jnp.asarray(rng.standard_normal((3, 13, 12, cout)))

    def total(ops, x, kernel):
        return (ops.leave(ops.conv(ops.enter(x), kernel, 1)) * weight).sum()

    found = [
        jax.jit(jax.value_and_grad(lambda *a, o=ops: total(o, *a), (0, 1)))(x, kernel)
        for ops in (LAX, GEMM)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-10), *found)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(9, 8), (10, 7)])
def test_convolution_is_scipys_correlation(shape, size, stride):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, *shape)), rng.standard_normal((size, size))
    expected = [correlate2d(image, kernel, mode="same")[::stride, ::stride] for image in x]
    for ops in (LAX, GEMM):
        y = ops.leave(
            ops.conv(
                ops.enter(jnp.asarray(x[..., None])), jnp.asarray(kernel[..., None, None]), stride
            )
        )
        np.testing.assert_allclose(np.asarray(y)[..., 0], expected, atol=1e-12)


def both_tables(of, *given):
    """A weighted sum of `of` (ops, x, kernel) of each table, and its gradients."""

    def total(ops, x, kernel):
        y = ops.leave(of(ops, ops.enter(x), kernel))
        return (y * jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum()

    found = [
        jax.jit(jax.value_and_grad(lambda *a, o=ops: total(o, *a), (0, 1)))(
            *map(jnp.asarray, given)
        )
        for ops in (LAX, GEMM)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-10), *found)


@pytest.mark.parametrize(
    ("shape", "stride"),
    [((8, 8), 2), ((7, 9), 2), ((6, 7), 2), ((2, 1), 2), ((9, 14), 4), ((3, 8), 4)],
)
@pytest.mark.parametrize("size", [1, 3, 5, 7, 11])
def test_strided_convolutions_agree(shape, stride, size):
    rng = np.random.default_rng(size)
    x, kernel = rng.standard_normal((3, *shape, 2)), rng.standard_normal((size, size, 2, 5))
    both_tables(lambda ops, x, kernel: ops.conv(x, kernel, stride), x, kernel)


@pytest.mark.parametrize(
    ("shape", "channels", "each", "stride", "size"),
    [
        ((7, 8), 6, 1, 1, 7),  # one matrix for each channel
        ((1, 2), 6, 1, 1, 7),
        ((13, 14), 5, 1, 1, 7),  # row by row
        ((20, 9), 5, 1, 1, 4),
        ((8, 9), 3, 2, 1, 5),  # few channels
        ((8, 9), 3, 2, 4, 3),
    ],
)
def test_depthwise_convolutions_agree(shape, channels, each, stride, size):
    rng = np.random.default_rng(size)
    x = rng.standard_normal((3, *shape, channels))
    kernel = rng.standard_normal((size, size, 1, each * channels))
    both_tables(lambda ops, x, kernel: ops.depthwise(x, kernel, stride), x, kernel)


@pytest.mark.parametrize(("shape", "size"), [((8, 8), 4), ((10, 7), 3), ((5, 5), 5)])
def test_patches_agree(shape, size):
    rng = np.random.default_rng(size)
    x, kernel = rng.standard_normal((3, *shape, 2)), rng.standard_normal((size, size, 2, 5))
    both_tables(lambda ops, x, kernel: ops.patchify(x, kernel), x, kernel)


@pytest.fixture(params=["two rows of 16 images", "four rows of 48", "all"])
def small_pieces(request, monkeypatch):
    """Pieces as they are cut of larger images and batches."""
    if request.param != "all":
        monkeypatch.setattr(pieces, "CACHE", 1)
    if "16" in request.param:
        monkeypatch.setattr(pieces, "IMAGES", 16)
    elif "four" in request.param:
        cut = pieces.pieces_of
        monkeypatch.setattr(norm, "pieces_of", lambda *a: cut(*a)._replace(rows=4, images=48))


@given(
    height=st.integers(1, 40).map(lambda n: 2 * n),
    batch=st.integers(1, 300),
    channels=st.integers(1, 600),
    size=st.sampled_from([1, 3, 5, 11]),
)
def test_pieces_cover_each_row_of_each_image_once(height, batch, channels, size):
    cut = pieces.pieces_of((channels, height, 16, batch), (size, size, channels, 32))
    seen = np.zeros((height, batch), int)
    for row, image in cut.starts:
        seen[row : row + cut.rows, image : image + cut.images] += 1
    assert (seen == 1).all()
    assert cut.rows % 2 == 0
    assert cut.images >= min(batch, 8)


@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
@pytest.mark.parametrize(("size", "cin", "cout"), [(3, 1, 5), (3, 1, 16), (3, 4, 5), (5, 2, 5)])
def test_norms_agree(shape, size, cin, cout, small_pieces):
    """By themselves and fused with a pool, where scales of both signs decide which value is largest."""
    rng = np.random.default_rng(size)
    # Sixteenths add and multiply without rounding, so that what ties in one form ties in all.
    x, kernel = (
        jnp.asarray(np.round(16 * a) / 16)
        for a in (
            images("constant", (48, *shape, cin), rng),
            rng.standard_normal((size, size, cin, cout)),
        )
    )
    scale = jnp.asarray(np.resize([1.5, -0.7, 0.2, -2.0, 1.0], cout))
    bias = jnp.asarray(rng.standard_normal(cout))
    given = (x, kernel, scale, bias)

    def pooled(ops, x, *rest):
        y, mean, variance = ops.conv_norm_pool(ops.enter(x), *rest)
        return jnp.sin(ops.leave(y)).sum(), (ops.leave(y), mean, variance)

    def whole(ops, x, kernel, scale, bias):
        y, mean, variance = ops.norm(ops.conv(ops.enter(x), kernel, 1), scale, bias)
        y = ops.pool(y)
        return jnp.sin(ops.leave(y)).sum(), (ops.leave(y), mean, variance)

    def apart(ops, x, *rest):
        y, mean, variance = ops.conv_norm(ops.enter(x), *rest)
        y = ops.pool(y)
        return jnp.sin(ops.leave(y)).sum(), (ops.leave(y), mean, variance)

    found = [
        jax.jit(jax.value_and_grad(lambda *a, f=f, o=o: f(o, *a), (0, 1, 2, 3), has_aux=True))(
            *given
        )
        for f in (pooled, whole, apart)
        for o in (LAX, GEMM)
    ]
    for other in found[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found[0], other
        )


@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
@pytest.mark.parametrize(("size", "channels"), [(3, 5), (5, 2)])
def test_norms_beside_a_skip_agree(shape, size, channels, small_pieces):
    rng = np.random.default_rng(size)
    given = (
        jnp.asarray(rng.standard_normal((48, *shape, channels))),
        jnp.asarray(rng.standard_normal((size, size, channels, channels))),
        jnp.asarray(np.resize([1.5, -0.7, 0.2], channels)),
        jnp.asarray(rng.standard_normal(channels)),
    )

    def total(ops, x, *rest):
        y, mean, variance = ops.skip_norm_pool(ops.enter(x), *rest)
        return jnp.sin(ops.leave(y)).sum(), (ops.leave(y), mean, variance)

    found = [
        jax.jit(jax.value_and_grad(lambda *a, o=o: total(o, *a), (0, 1, 2, 3), has_aux=True))(
            *given
        )
        for o in (LAX, GEMM)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), *found)


@pytest.mark.parametrize("ops", [LAX, GEMM])
def test_a_norm_is_flaxs(ops):
    rng = np.random.default_rng(0)
    x = jnp.asarray(2 + rng.standard_normal((4, 5, 6, 3)), jnp.float32)
    flax = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    flax.scale[...] = scale = jnp.asarray([1.0, -2.0, 0.5], jnp.float32)
    flax.bias[...] = bias = jnp.asarray([0.1, 0.2, -0.3], jnp.float32)
    y, mean, variance = ops.norm(ops.enter(x), scale, bias)
    with jax.numpy_rank_promotion("allow"):
        expected = flax(x, use_running_average=False)
    np.testing.assert_allclose(ops.leave(y), expected, atol=1e-5)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["random", "constant", "ties"])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 7, 9, 1), (1, 2, 2, 1)])
def test_pools_agree_first_tie_wins(kind, shape):
    rng = np.random.default_rng(1)
    x = jnp.asarray(images(kind, shape, rng))
    weight = jnp.asarray(rng.standard_normal((shape[0], shape[1] // 2, shape[2] // 2, shape[3])))

    def pulled(ops, x):
        value, back = jax.vjp(lambda x: ops.leave(ops.pool(ops.enter(x))), x)
        return value, back(weight)

    found = [jax.jit(lambda a, o=ops: pulled(o, a))(x) for ops in (LAX, GEMM)]
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize("shape", [(14, 14), (7, 9), (2, 3)])
@pytest.mark.parametrize(
    ("size", "cin", "cout"), [(3, 1, 4), (3, 4, 5), (3, 16, 3), (5, 3, 2), (4, 2, 2), (7, 1, 1)]
)
def test_pooled_convolutions_agree(shape, size, cin, cout):
    pooled_convolutions_agree(shape, size, cin, cout)


@pytest.mark.parametrize(("size", "cin", "cout"), [(11, 3, 2), (9, 1, 128), (3, 3, 128)])
def test_large_pooled_convolutions_agree(size, cin, cout):
    pooled_convolutions_agree((6, 5), size, cin, cout)


def pooled_convolutions_agree(shape, size, cin, cout):
    """Winograd's form, the product of tiles and XLA's own, in value and both gradients."""
    rng = np.random.default_rng(size)
    weight = jnp.asarray(rng.standard_normal((2, shape[0] // 2, shape[1] // 2, cout)))

    def total(ops, x, kernel):
        return (ops.leave(ops.conv_pool(ops.enter(x), kernel)) * weight).sum()

    forms = [
        jax.jit(jax.value_and_grad(lambda *a, o=ops: total(o, *a), (0, 1))) for ops in (LAX, GEMM)
    ]
    for kind in ("random", "constant"):
        # Sixteenths add and multiply without rounding, so that what ties in one form ties in all.
        x, kernel = (
            jnp.asarray(np.round(16 * a) / 16)
            for a in (
                images(kind, (2, *shape, cin), rng),
                rng.standard_normal((size, size, cin, cout)),
            )
        )
        found = [form(x, kernel) for form in forms]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-10), *found)


@pytest.mark.parametrize("cin", [1, 4])
def test_a_number_that_is_none_is_not_hidden(cin):
    """The branch by which values are written to memory does not turn NaN into a number."""
    x = jnp.full((cin, 6, 6, 2), jnp.nan)

    @jax.jit
    def pulled(x, kernel):
        value, back = jax.vjp(GEMM.conv_pool, x, kernel)
        return value, back(jnp.ones_like(value))

    value, gradients = pulled(x, jnp.ones((3, 3, cin, 5)))
    assert np.isnan(value).all()
    assert np.isnan(gradients[1]).all()


def test_winograds_form_is_the_one_in_use(monkeypatch):
    x, kernel = jnp.ones((4, 6, 6, 2)), jnp.ones((3, 3, 4, 5))
    monkeypatch.setattr(gemm, "conv_pool", None)
    assert GEMM.conv_pool(x, kernel).shape == (5, 3, 3, 2)


def test_dense_layers_agree():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((3, 4, 5, 2)), rng.standard_normal((40, 7))
    for ops in (LAX, GEMM):
        found = ops.dense(ops.enter(jnp.asarray(x)), jnp.asarray(kernel))
        np.testing.assert_allclose(found, x.reshape(3, -1) @ kernel, atol=1e-12)


def test_pool_gradient_of_a_constant_image_goes_to_one_place():
    for ops in (LAX, GEMM):
        gradient = jax.grad(lambda x, o=ops: o.leave(o.pool(o.enter(x))).sum())(
            jnp.ones((1, 2, 2, 1))
        )
        np.testing.assert_array_equal(np.asarray(gradient)[0, :, :, 0], [[1, 0], [0, 0]])


def test_ops_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    # Quarters add without rounding, so that what ties in one library ties in the other.
    x, kernel = (np.round(4 * rng.standard_normal(s)) / 4 for s in [(2, 8, 8, 3), (3, 3, 3, 4)])
    x[:, :4] = -0.5
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, kernel)]
    y = torch.nn.functional.conv2d(
        inputs[0].permute(0, 3, 1, 2), inputs[1].permute(3, 2, 0, 1), padding="same"
    )
    loss = torch.nn.functional.max_pool2d(y, 2).square().sum()
    loss.backward()

    def total(ops, x, kernel):
        return (ops.pool(ops.conv(ops.enter(x), kernel, 1)) ** 2).sum()

    for ops in (LAX, GEMM):
        value, grads = jax.jit(jax.value_and_grad(lambda *a, o=ops: total(o, *a), (0, 1)))(
            jnp.asarray(x), jnp.asarray(kernel)
        )
        np.testing.assert_allclose(value, loss.item(), rtol=1e-12)
        for ours, theirs in zip(grads, inputs, strict=True):
            np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-10)
