"""What contenders train: made-up images, and networks of two convolutions and a dense layer."""

WORKS = {  # image shape, kernel size and width of the first layer; what follows is the same
    "mnist": ((28, 28, 1), 3, 16),
    "colour": ((32, 32, 3), 5, 32),
    "seven": ((28, 28, 1), 7, 16),
}
BATCH, EXAMPLES, CLASSES, DEEP_WIDTH = 128, 1024, 10, 32


def flop_an_image(shape, size, width) -> float:
    """Of training on one image by direct convolution: forward, kernel gradient, and input gradient
    where one is needed (not in the first layer)."""
    h, w, c = shape
    first = h * w * size**2 * c * width
    second = (h // 2) * (w // 2) * 9 * width * DEEP_WIDTH
    dense = (h // 4) * (w // 4) * DEEP_WIDTH * CLASSES
    return 2.0 * (2 * first + 3 * second + 3 * dense)
