"""What `import kernelstudy` offers, and what it costs."""

import subprocess
import sys

import pytest

import kernelstudy


def test_all_public_names_are_there():
    assert set(kernelstudy.__all__) == set(kernelstudy._PLACE_OF) <= set(dir(kernelstudy))
    for name in kernelstudy.__all__:
        assert getattr(kernelstudy, name).__doc__


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'sobel'"):
        _ = kernelstudy.sobel


@pytest.mark.parametrize("module", ["kernelstudy", "kernelstudy.analysis", "kernelstudy.report"])
def test_importing_needs_no_jax(module):
    code = f"import sys, {module}; kernelstudy.bank('derivative'); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import kernelstudy; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'jax'" not in done.stdout
    assert "tensorflow_datasets" not in done.stdout
