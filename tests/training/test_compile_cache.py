"""Compiled programs are kept where they should be, and only there."""

import os
import subprocess
import sys

import jax
import pytest

from kernelstudy.training import compile_cache

CODE = """
from kernelstudy.training import compile_cache; compile_cache.keep()
import jax; jax.jit(lambda x: 2 * x)(1.0).block_until_ready()
"""


def test_in_the_users_cache_directory_by_kind_of_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    found = []
    for _ in range(2):  # the second process finds them and compiles nothing again
        words = [sys.executable, "-c", CODE]
        done = subprocess.run(words, env=told, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")})
    assert {path.parent for path in found[0]} == {compile_cache.cache_dir()}
    assert found[0] == found[1]


@pytest.fixture
def untold(monkeypatch, tmp_path):
    """JAX told nothing of a cache; the user's cache directory, where no cache may appear."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = jax.config.jax_compilation_cache_dir
    yield tmp_path
    assert jax.config.jax_compilation_cache_dir == before
    assert not compile_cache.cache_dir().exists()


def test_jaxs_own_variable_comes_first(untold, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    compile_cache.keep()


def test_turned_off(untold):
    assert jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)  # what JAX does with its variable
    try:
        compile_cache.keep()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_a_place_that_cannot_be_written_is_no_matter(untold):
    (untold / "kernelstudy").write_text("")
    compile_cache.keep()
