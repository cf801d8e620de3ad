"""The networks of some works as somebody would write them in plain Flax."""

from collections.abc import Callable

from flax import nnx
from works import CLASSES, Work


def maker(work: Work) -> Callable[[nnx.Rngs, nnx.Initializer], nnx.Module]:
    """For `kernelstudy.train`: two convolutions with pools and a dense layer, with batch norm or without."""

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs, first_init: nnx.Initializer):
            h, w, channels = work.shape
            size = (work.kernel_size, work.kernel_size)
            bias = not work.batch_norm
            self.conv1 = nnx.Conv(
                channels, work.width, size, use_bias=bias, kernel_init=first_init, rngs=rngs
            )
            self.conv2 = nnx.Conv(work.width, work.deep_width, (3, 3), use_bias=bias, rngs=rngs)
            if work.batch_norm:
                self.norm1 = nnx.BatchNorm(work.width, rngs=rngs)
                self.norm2 = nnx.BatchNorm(work.deep_width, rngs=rngs)
            self.dense = nnx.Linear(h // 4 * (w // 4) * work.deep_width, CLASSES, rngs=rngs)

        def __call__(self, x):
            for number in (1, 2):
                x = getattr(self, f"conv{number}")(x)
                if work.batch_norm:
                    x = getattr(self, f"norm{number}")(x)
                x = nnx.max_pool(nnx.relu(x), (2, 2), (2, 2))
            return self.dense(x.reshape(len(x), -1))

    return Net
