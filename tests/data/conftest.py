"""Small sets in places of their own."""

import gzip

import numpy as np
import pytest

from kernelstudy.data import idx, registry


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty data directory."""
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def idx_arrays():
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (60, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": np.arange(60, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (20, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(20, dtype=np.uint8) % 10,
    }


@pytest.fixture
def small_fashion(idx_arrays, tmp_path, monkeypatch):
    """Four IDX files, gzipped, in a directory; fashion_mnist is told to expect them."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, array in idx_arrays.items():
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes()))
    files = tuple(
        idx.File(name, idx.idx_hash(array), array.shape) for name, array in idx_arrays.items()
    )
    entry = registry.SETS["fashion_mnist"]._replace(files=files, url="http://127.0.0.1:9/none")
    monkeypatch.setitem(registry.SETS, "fashion_mnist", entry)
    return folder
