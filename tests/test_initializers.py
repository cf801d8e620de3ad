"""Hand-crafted starts for anybody's first layer."""

import jax
import numpy as np
import pytest

import kernelstudy
from kernelstudy import initializers
from kernelstudy.training.initializers import first_layer

IMAGES = np.random.default_rng(0).random((20, 9, 9, 3)).cumsum(axis=2).astype(np.float32)
OF_IMAGES = ("patch_pca", "patch_gaussian")


@pytest.mark.parametrize("name", initializers.NAMES)
def test_each_is_the_package_s_own_at_he_s_norm(name):
    make = getattr(initializers, name)
    settings = {"images": IMAGES} if name in OF_IMAGES else {}
    shape = (5, 5, 3, 64)
    draw = make(**settings)
    found = np.asarray(draw(jax.random.key(3), shape, np.float32))
    expected = first_layer(name, images=IMAGES)(jax.random.key(3), shape)
    np.testing.assert_array_equal(found, expected)
    norms = np.linalg.norm(found.reshape(-1, 64), axis=0)
    assert np.sqrt((norms**2).mean()) == pytest.approx(np.sqrt(2), rel=0.25)
    np.testing.assert_allclose(
        make(**settings, scale=0.1)(jax.random.key(3), shape), 0.1 * found, rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(
        initializers.kernels(name, shape, seed=3, images=settings.get("images")), found
    )


def test_kernels_by_their_names():
    names, shape = ["dog", "sobel_x"], (3, 3, 1, 5)
    found = initializers.bank(names)(jax.random.key(0), shape)
    for channel in range(5):
        wanted = kernelstudy.kernel(names[channel % 2])
        wanted = np.sqrt(2) * wanted / np.linalg.norm(wanted)
        np.testing.assert_allclose(found[:, :, 0, channel], wanted, atol=1e-6)
    np.testing.assert_array_equal(initializers.kernels(names, shape), found)
    with pytest.raises(ValueError, match="did you mean dog"):
        initializers.kernels(["dogg"], shape)
    with pytest.raises(ValueError, match="bank is for square"):
        initializers.kernels(names, (3, 5, 1, 4))


def test_as_a_start_of_flax_layers():
    from flax import linen, nnx

    layer = nnx.Conv(1, 8, (3, 3), kernel_init=kernelstudy.initializers.sobel(), rngs=nnx.Rngs(0))
    first = np.asarray(layer.kernel[...])[:, :, 0, 0]
    sobel = kernelstudy.kernel("sobel_x", 3)
    assert abs((first * sobel).sum()) / np.linalg.norm(first) / np.linalg.norm(sobel) > 0.999
    made = linen.Conv(8, (7, 7), kernel_init=kernelstudy.initializers.gabor())
    variables = made.init(jax.random.key(0), np.zeros((1, 9, 9, 3), np.float32))
    assert variables["params"]["kernel"].shape == (7, 7, 3, 8)


def test_what_cannot_be_made():
    with pytest.raises(ValueError, match="square"):
        initializers.sobel()(jax.random.key(0), (3, 5, 1, 4))
    with pytest.raises(ValueError, match="square"):
        initializers.dct()(jax.random.key(0), (3, 4))
    with pytest.raises(ValueError, match=r"\(N, H, W, C\)"):
        initializers.patch_pca(IMAGES[0])
    with pytest.raises(ValueError, match="is not one of"):
        initializers.kernels("sobbel", (3, 3, 1, 4))


def test_torch_layers():
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(3, 16, 7)
    weight = kernelstudy.torch.init_(conv, "gabor", scale=0.5)
    assert weight is conv.weight or weight.data_ptr() == conv.weight.data_ptr()
    expected = initializers.kernels("gabor", (7, 7, 3, 16), scale=0.5).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(conv.weight.detach().numpy(), expected)
    assert conv.weight.requires_grad
    kernelstudy.torch.init_(conv, ["dog", "log"])
    expected = initializers.kernels(["dog", "log"], (7, 7, 3, 16)).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(conv.weight.detach().numpy(), expected)
    half = torch.nn.Conv2d(1, 4, 3).to(torch.bfloat16)
    kernelstudy.torch.init_(half.weight, "sobel")
    assert half.weight.dtype == torch.bfloat16
    for wrong in (torch.nn.Linear(3, 3), torch.nn.ConvTranspose2d(1, 4, 3)):
        with pytest.raises(ValueError, match="init_ is for"):
            kernelstudy.torch.init_(wrong, "sobel")


def test_some_kernels_may_be_kept_as_they_are():
    """The recipe of the docs: a gradient hook keeps the first half of a layer's kernels."""
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(1, 8, 3)
    kernelstudy.torch.init_(conv, "sobel")
    kept = torch.zeros(8, 1, 1, 1)
    kept[4:] = 1
    conv.weight.register_hook(lambda gradient: gradient * kept)
    before = conv.weight.detach().clone()
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
    conv(torch.randn(4, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    assert torch.equal(conv.weight[:4], before[:4])
    assert not torch.equal(conv.weight[4:], before[4:])
