"""Under JAX_ENABLE_X64=1, which an environment may bring along: the same answers, of the right types."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import kernelstudy
from kernelstudy import initializers
from tests.commands import run_here

pytestmark = pytest.mark.slow  # a process of its own
RUN = ["+exp=mnist", "+debug=tiny", "arms=[{init: sobel}]", "seeds=1", "steps=2", "probe_seeds=0"]
SCRIPT = """
import json, runpy, sys
import jax, numpy as np
assert jax.config.jax_enable_x64
import kernelstudy
from flax import nnx
from kernelstudy import compare, initializers
image = np.arange(48, dtype=np.float32).reshape(6, 8)
told = {"correlate": {}, "initializers": {}}
for kind in ("float32", "float64"):
    found = kernelstudy.correlate(image.astype(kind), kernelstudy.kernel("sobel_x").astype(kind))
    told["correlate"][kind] = [str(found.dtype), np.asarray(found, float).tolist()]
for name in ("gabor", "sobel_jittered", "sobel_scrambled", "sparse"):
    made = getattr(initializers, name)()(jax.random.key(0), (3, 3, 1, 4), np.float32)
    told["initializers"][name] = [str(made.dtype), np.asarray(made, float).tolist()]
conv = nnx.Conv(1, 8, (3, 3), kernel_init=initializers.gabor(), rngs=nnx.Rngs(0))
found = compare(conv)
numbers = [found.kernels["r2_centered"].tolist(), found.ladder["p"].tolist()]
told["compare"] = [str(conv.kernel[...].dtype), *numbers]
print(json.dumps(told), flush=True)
sys.argv[0] = "kernelstudy.run"
runpy.run_module("kernelstudy.run", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    place = tmp_path_factory.mktemp("x64")
    words = [*RUN, "report=false", f"runs_dir={place}"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env=os.environ | {"JAX_ENABLE_X64": "1"},
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[0]), place


def test_correlation_and_initialisers(told):
    import jax

    found, _ = told
    image = np.arange(48, dtype=np.float32).reshape(6, 8)
    wanted = np.asarray(kernelstudy.correlate(image, kernelstudy.kernel("sobel_x")))
    for kind, (dtype, values) in found["correlate"].items():
        assert dtype == kind  # what is given in float32 stays so, and float64 is not narrowed
        np.testing.assert_allclose(values, wanted, rtol=1e-6)
    for name, (dtype, values) in found["initializers"].items():
        assert dtype == "float32"
        made = getattr(initializers, name)()(jax.random.key(0), (3, 3, 1, 4), np.float32)
        np.testing.assert_allclose(values, made, atol=1e-6, err_msg=name)


def test_a_module_is_compared_alike(told):
    nnx = pytest.importorskip("flax.nnx")
    dtype, r2, p = told[0]["compare"]
    assert dtype == "float32"
    conv = nnx.Conv(1, 8, (3, 3), kernel_init=initializers.gabor(), rngs=nnx.Rngs(0))
    wanted = kernelstudy.compare(conv)
    np.testing.assert_allclose(r2, wanted.kernels["r2_centered"], atol=1e-6)
    assert p == wanted.ladder["p"].tolist()


def test_a_run_has_the_same_bits(told, tmp_path):
    _, place = told
    done = run_here(tmp_path, "kernelstudy.run", *RUN, "report=false", "runs_dir=.")
    assert done.returncode == 0, done.stderr
    (here,), (there,) = ([*folder.glob("mnist/*/trajectory.zarr")] for folder in (tmp_path, place))
    assert here.parent.name == there.parent.name
    ours, theirs = (xr.open_zarr(one, chunks=None) for one in (here, there))
    assert theirs["kernel"].dtype == np.float32
    xr.testing.assert_identical(ours.drop_attrs(), theirs.drop_attrs())
    provenance = json.loads((there.parent / "provenance.json").read_text())
    assert provenance["variables"]["JAX_ENABLE_X64"] == "1"
