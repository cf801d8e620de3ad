"""One small cross-correlation, term by term."""

import numpy as np

from kernelstudy.handcrafted.linear import as_matrix

KERNEL = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
IMAGE = np.array([[9, 8, 7, 6], [5, 4, 3, 2], [1, 2, 3, 4], [5, 6, 7, 8]])
# The text this example comes from reads a 1 here in the sum of output (0, 0).
MISREAD, READ_AS = (2, 1), 1


def explain() -> str:
    """The example as text: all products and sums, the slip in print, the map as a matrix."""
    outputs = [_output(y, x) for y in range(2) for x in range(2)]
    values = np.array([value for value, _ in outputs]).reshape(2, 2)
    matrix = as_matrix(KERNEL, IMAGE.shape)
    if not np.array_equal(matrix @ IMAGE.ravel(), values.ravel()):
        raise AssertionError("the matrix and the sums disagree")
    turned = (as_matrix(KERNEL[::-1, ::-1], IMAGE.shape) @ IMAGE.ravel()).astype(int)
    entries, free = matrix.shape[0] * matrix.shape[1], KERNEL.size
    parts = [
        "A convolutional layer cross-correlates: out[y, x] = sum_ij K[i, j] I[y + i, x + j]",
        f"kernel K\n{_table(KERNEL)}",
        f"image I\n{_table(IMAGE)}",
        "padding 'valid': 4 - 3 + 1 = 2 rows, 2 columns",
        *(text for _, text in outputs),
        f"result\n{_table(values)}",
        _slip(int(values[0, 0])),
        "A signal-processing library convolves: it turns K by 180 degrees first and gets\n"
        + _table(turned.reshape(2, 2)),
        f"Dense or convolutional? As a dense layer this map is a matrix of {matrix.shape[0]} x "
        f"{matrix.shape[1]} = {entries} weights.\nThe convolution uses {matrix.nnz} of them and "
        f"ties these into {free} free weights ({free / entries:.0%} of the dense\nlayer's); matrix "
        "times flattened image gives the same four numbers.",
    ]
    return "\n\n".join(parts)


def _output(y: int, x: int) -> tuple[int, str]:
    window = IMAGE[y : y + 3, x : x + 3]
    pairs = list(zip(KERNEL.ravel(), window.ravel(), strict=True))
    terms = [int(k * i) for k, i in pairs]
    products = " + ".join(f"{k}*{i}" for k, i in pairs)
    sums = " + ".join(map(str, terms))
    return sum(terms), f"out[{y}, {x}] = {products}\n          = {sums}\n          = {sum(terms)}"


def _slip(right: int) -> str:
    weight, pixel = KERNEL[MISREAD], IMAGE[MISREAD]
    lost = weight * (pixel - READ_AS)
    return (
        f"A text that prints {right - lost} for out[0, 0] slips: the right value is {right}. "
        f"It writes {weight}*{READ_AS}\nwhere the image has {weight}*{pixel} (row {MISREAD[0]}, "
        f"column {MISREAD[1]}), and so loses {lost}."
    )


def _table(rows: np.ndarray) -> str:
    width = max(len(str(v)) for v in rows.ravel())
    return "\n".join("  " + " ".join(f"{v:>{width}}" for v in row) for row in rows)
