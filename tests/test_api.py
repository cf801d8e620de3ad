"""What `import kernelstudy` offers, and what it costs."""

import subprocess
import sys

import pytest

import kernelstudy


def test_all_public_names_are_there():
    assert (
        set(kernelstudy.__all__)
        == {*kernelstudy._PLACE_OF, *kernelstudy._ROOMS}
        <= set(dir(kernelstudy))
    )
    for name in kernelstudy.__all__:
        assert getattr(kernelstudy, name).__doc__


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'sobel'"):
        _ = kernelstudy.sobel


def test_importing_is_light():
    """No JAX but for training, and nothing that only the making of a report needs before one is made."""
    steps = ("kernelstudy", "kernelstudy.analysis", "kernelstudy.run", "kernelstudy.report")
    steps += ("kernelstudy.studies.sweep_report",)
    code = "import sys, kernelstudy; kernelstudy.bank('derivative')\n" + "".join(
        f"import {module}; print(*sys.modules)\n" for module in steps
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded = [set(line.split()) for line in done.stdout.splitlines()]
    assert not {"jax", "tensorflow_datasets"} & loaded[-1]
    assert not {"matplotlib", "pandas", "scipy.stats", "scipy.optimize"} & loaded[-2]
    assert {"matplotlib", "pandas"} <= loaded[-1]
