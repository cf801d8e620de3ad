"""How JAX starts in all tests."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from hypothesis import settings

# A shell's background jobs have it ignored, and with them whatever they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two CPU devices, so that sharing networks out over devices is always exercised.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Hundreds of small programs run once each: compile them quickly rather than well, in this process and
# those it starts. Commands whose programs are as their users' are run by .ci/run.
_quickly = "--xla_backend_optimization_level=0"
# Without its emitters of fusions XLA compiles in three fifths of the time; a later JAX has no such flag.
if version("jax").startswith("0.10."):
    _quickly += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", _quickly)

# Each run draws other examples, and a failure prints how to draw it again. `default` draws more.
settings.register_profile("few", max_examples=30)
settings.load_profile("few")

# Matrices are small and workers as many as cores: BLAS' threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What several tests compile is compiled once, by whichever worker comes first; workers inherit this.
_own_cache = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _own_cache = tempfile.mkdtemp(prefix="kernelstudy-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _own_cache
    # A start compiles some fifty small programs, which together take as long as the large one.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_collection_finish() -> None:
    """What is imported stays: looking for garbage in it again and again takes an eighth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure() -> None:
    if _own_cache is not None:
        shutil.rmtree(_own_cache, ignore_errors=True)


@pytest.fixture(scope="module")
def coarse() -> Iterator[None]:
    """Figures of few pixels, for files whose tests are not of pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kernelstudy.reporting.style.DPI", 40)
        yield


# Files whose tests start commands take longest: first, so that no worker is left with one at the end.
_SLOW = (
    "test_notebooks.py",
    "test_launchers.py",
    "test_run.py",
    "test_readme.py",
    "test_population.py",
    "test_report.py",
    "test_resilience.py",
    "test_checkpoints.py",
    "test_processes.py",
    "test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (*_SLOW, item.path.name).index(item.path.name))
