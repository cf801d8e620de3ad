"""What contenders train: networks on made-up images."""

from typing import NamedTuple

BATCH, EXAMPLES, CLASSES = 128, 1024, 10


class Work(NamedTuple):
    """Images (H, W, C), and a network of `kernelstudy.training.model.CNN`."""

    shape: tuple[int, int, int]
    kernel_size: int
    width: int
    depth: int = 2
    deep_width: int = 32
    batch_norm: bool = False
    stride: int = 1
    residual: bool = False
    family: str = "plain"
    first: str = "conv"
    activation: str = "relu"


GREY, COLOUR = (28, 28, 1), (32, 32, 3)
WORKS = {
    "mnist": Work(GREY, 3, 16),
    "colour": Work(COLOUR, 5, 32),
    "seven": Work(GREY, 7, 16),
    "norm": Work(GREY, 3, 16, batch_norm=True),
    "norm_colour": Work(COLOUR, 5, 32, depth=3, batch_norm=True),
    "residual": Work(COLOUR, 5, 32, depth=4, batch_norm=True, residual=True),
    "stride": Work(GREY, 3, 16, stride=2),
    "stride_norm": Work(GREY, 3, 16, batch_norm=True, stride=2),
    "vgg": Work(COLOUR, 3, 16, depth=4, batch_norm=True, family="vgg"),
    "resnet": Work(COLOUR, 3, 16, depth=4, batch_norm=True, family="resnet"),
    "convnext": Work(
        COLOUR, 3, 16, depth=3, family="convnext", first="patchify", activation="gelu"
    ),
}


def flop_an_image(work: Work) -> float:
    """Of training a plain network on one image by direct convolution: forward, kernel gradient, and input
    gradient where one is needed (not in the first layer). Norms and activations are not counted."""
    h, w, channels = work.shape
    total = 0.0
    for layer in range(work.depth):
        size, out = (work.kernel_size, work.width) if layer == 0 else (3, work.deep_width)
        if work.stride > 1:
            h, w = -(-h // work.stride), -(-w // work.stride)
        total += 2.0 * h * w * size**2 * channels * out * (2 if layer == 0 else 3)
        if work.stride == 1:
            h, w = h // 2, w // 2
        channels = out
    return total + 2.0 * 3 * h * w * channels * CLASSES
