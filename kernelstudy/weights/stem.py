"""Space-to-depth stems: blocks of pixels stacked as channels, laid out as an image again."""

from __future__ import annotations

import re

import numpy as np

# Shifted copies of a grey or colour image stacked as channels: input channels -> side of the block.
BLOCK_OF = {12: 2, 16: 4, 48: 4}
# What stacks them, and the order of (row in the block, column in the block, colour), slowest first.
_ORDERS = {
    # Focus of YOLOv5 and YOLOX: (0, 0), (1, 0), (0, 1), (1, 1), each with all colours
    "torch": (1, 0, 2),
    # space_to_depth of TensorFlow and ONNX
    "tensorflow": (0, 1, 2),
}


def is_named(name: str) -> bool:
    """Whether a layer's name says that it sees blocks of pixels."""
    return bool(re.search(r"focus|space_?to_?depth|s2d|unshuffle|patchify", name, re.IGNORECASE))


def unfold(kernels_hwio: np.ndarray, family: str) -> tuple[np.ndarray, str]:
    """Kernels (kh, kw, b*b*c, out) on stacked blocks as (b*kh, b*kw, c, out) on the image itself.

    Returns them and a sentence on what was assumed; other kernels as they are, and nothing. The order
    of the stacked channels is not in a file: it is taken to be that of the framework's `family`.
    """
    kh, kw, cin, out = kernels_hwio.shape
    block = BLOCK_OF.get(cin, 1) if kh == kw else 1
    if block == 1:
        return kernels_hwio, ""
    colours = cin // block**2
    order = _ORDERS[family]
    sizes = (block, block, colours)
    split = kernels_hwio.reshape(kh, kw, *(sizes[i] for i in order), out)
    place = {axis: 2 + i for i, axis in enumerate(order)}
    turned = split.transpose(0, place[0], 1, place[1], place[2], 5)
    whole = turned.reshape(block * kh, block * kw, colours, out)
    how = "as YOLO's Focus stacks them" if family == "torch" else "as space_to_depth stacks them"
    return whole, (
        f"{cin} input channels are read as a space-to-depth stem of {block}x{block} pixels in {colours} "
        f"colours, {how} (the file does not tell): {kh}x{kw} kernels on the blocks are "
        f"{block * kh}x{block * kw} on the image, in steps of {block} pixels. Named with --layer, the "
        "layer is measured as it is stored."
    )
