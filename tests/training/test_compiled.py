"""Compiled programs are kept where they should be, and only there."""

import os
import subprocess
import sys

import pytest

from kernelstudy.training import compiled

CODE = """
from kernelstudy.training import compiled; compiled.keep()
import jax; jax.jit(lambda x: 2 * x)(1.0).block_until_ready()
"""


def kept(place, **variables):
    """What a process leaves under `place`, its user's cache directory, and what it says."""
    told = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    told |= {"XDG_CACHE_HOME": str(place)} | variables
    words = [sys.executable, "-c", CODE]
    done = subprocess.run(words, env=told, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return sorted(p for p in place.rglob("*-cache"))


def test_in_the_users_cache_directory_by_kind_of_machine(tmp_path, monkeypatch):
    first = kept(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert {path.parent for path in first} == {compiled.cache_dir()}
    stamps = [path.stat().st_mtime_ns for path in first]
    assert kept(tmp_path) == first  # found again, not compiled again
    assert [path.stat().st_mtime_ns for path in first] == stamps


@pytest.mark.parametrize(
    "variables",
    [{"JAX_ENABLE_COMPILATION_CACHE": "false"}, {"JAX_COMPILATION_CACHE_DIR": ""}],
)
def test_turned_off(tmp_path, variables):
    assert kept(tmp_path, **variables) == []


def test_a_place_that_cannot_be_written_is_no_matter(tmp_path):
    (tmp_path / "kernelstudy").write_text("")
    assert kept(tmp_path) == []
