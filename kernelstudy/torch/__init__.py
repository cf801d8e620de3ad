"""PyTorch's first layers, started with hand-crafted kernels: `kernelstudy.torch.init_(conv, "gabor")`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from kernelstudy import initializers


def init_(
    conv: Any, name: str | Sequence[str], *, scale: float = 1.0, seed: int = 0, images: Any = None
) -> Any:
    """Fill the weight of a convolution, in place, with hand-crafted kernels; returns the weight.

    Args:
        conv: a `torch.nn.Conv2d`, or its weight (out, in, kh, kw).
        name: one of `kernelstudy.initializers.NAMES`, or of the random ones, as 'he_normal'; or a list of
            hand-crafted kernels' names, which follow each other over and over.
        scale: times the norm that He's initialiser has on average.
        seed: of what is random in it.
        images: (N, H, W, C), for 'patch_pca' and 'patch_gaussian'.

    Raises:
        ValueError: no such name, or no such kernels for a weight of that shape.
    """
    torch: Any = import_module("torch")

    weight = getattr(conv, "weight", conv)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 4:
        raise ValueError("init_ is for a Conv2d or its weight (out, in, kh, kw)")
    if getattr(conv, "transposed", False):
        raise ValueError("init_ is for convolutions that see an image, not transposed ones")
    computed = conv is not weight and "weight" not in conv._parameters
    if computed and not torch.nn.utils.parametrize.is_parametrized(conv, "weight"):
        raise ValueError("init_: this weight is computed (pruned, or normed): fill it before that")
    cout, cin, kh, kw = weight.shape
    made = initializers.kernels(name, (kh, kw, cin, cout), scale=scale, seed=seed, images=images)
    with torch.no_grad():
        values = torch.from_numpy(np.ascontiguousarray(made.transpose(3, 2, 0, 1)))
        if computed:
            conv.weight = values.to(weight)  # a parametrized weight is turned back into its parts
            return conv.weight
        return weight.copy_(values)
