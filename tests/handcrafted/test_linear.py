"""The convolution as a matrix, and the worked example."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage, signal

from kernelstudy.handcrafted import kernel
from kernelstudy.handcrafted.linear import as_matrix, margins
from kernelstudy.handcrafted.worked_example import explain

RNG = np.random.default_rng(0)
MODES = {"same": {"mode": "constant"}, "reflect": {"mode": "mirror"}}


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (1, 4), (2, 2), (4, 4)])
def test_valid_is_scipys_correlation(shape):
    image, weights = RNG.standard_normal((7, 9)), RNG.standard_normal(shape)
    theirs = signal.correlate2d(image, weights, mode="valid")
    np.testing.assert_allclose(as_matrix(weights, (7, 9)) @ image.ravel(), theirs.ravel())


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (1, 7)])
def test_padded_is_scipys_correlation(shape, padding):
    image, weights = RNG.standard_normal((7, 9)), RNG.standard_normal(shape)
    theirs = ndimage.correlate(image, weights, **MODES[padding])
    found = as_matrix(weights, (7, 9), padding) @ image.ravel()
    np.testing.assert_allclose(found, theirs.ravel(), atol=1e-12)


def test_an_even_kernel_is_padded_at_the_bottom_right():
    assert margins(2, "same") == (0, 1)
    image = np.arange(6.0).reshape(2, 3)
    found = (as_matrix(kernel("roberts_1"), (2, 3), "same") @ image.ravel()).reshape(2, 3)
    np.testing.assert_array_equal(found, [[-4, -4, 2], [3, 4, 5]])


def test_counts_of_weights_in_the_docstring():
    matrix = as_matrix(kernel("sobel_x"), (28, 28), "same")
    dense = matrix.shape[0] * matrix.shape[1]
    text = " ".join(str(as_matrix.__doc__).split())
    assert f"{dense:,} free weights" in text
    assert f"{matrix.nnz:,} of these entries ({matrix.nnz / dense:.1%})" in text
    assert f"9 free weights ({9 / dense:.4%})" in text


def test_block_toeplitz():
    matrix = as_matrix(RNG.standard_normal((3, 3)), (6, 5)).toarray().reshape(4, 3, 6, 5)
    for y in range(3):
        for x in range(2):
            np.testing.assert_array_equal(matrix[y, x, :-1, :-1], matrix[y + 1, x + 1, 1:, 1:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((3, 3)), (2, 9)), "at least 3 pixels"),
        ((np.ones((5, 5)), (2, 2), "reflect"), "at least 3 pixels"),
        ((np.ones((3, 3)), (9, 9), "full"), "valid, same, reflect"),
        ((np.ones((2, 3, 3)), (9, 9)), "one kernel"),
        ((np.ones((3, 3)), (0, 9)), "empty"),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        as_matrix(*arguments)


def test_worked_example():
    text = explain()
    assert "154 157\n  200 233" in text
    assert "prints 146" in text
    assert "the right value is 154" in text
    assert "8*1\nwhere the image has 8*2" in text
    assert "9 + 16 + 21 + 20 + 20 + 18 + 7 + 16 + 27" in text


def test_the_bank_needs_no_jax():
    code = "import sys, kernelstudy.handcrafted.linear; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
