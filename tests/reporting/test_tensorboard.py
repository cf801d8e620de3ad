"""TensorBoard's event files, read back by their own reader, hold what the run holds."""

import json
import struct

import numpy as np
import pytest

from kernelstudy import runs
from kernelstudy.analysis.sectors import SECTORS, sector_energies
from kernelstudy.reporting import tensorboard
from tests.commands import run_here

OTHER, CLEAN = "he_normal*0.1", "he_normal_0.1"  # the event files know no *


def events(folder):
    """Every event of a folder's one file: records are length, checksum, bytes, checksum."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def scalars(folder) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def test_scalars_shares_and_grids(tmp_path):
    from PIL import Image

    pytest.importorskip("tensorboardX")
    rng = np.random.default_rng(0)
    kernels = rng.standard_normal((2, 3, 3, 3, 1, 10))
    kernels[1, 0] = np.nan  # a network that diverged
    losses = {"he_normal": [1.0, 2.0, 6.0], OTHER: [None, 1.0, 2.0]}
    with tensorboard.tensorboard(tmp_path, ["he_normal", OTHER]) as write:
        write({"step": 7, "seconds": 0.1, "train_loss": losses}, kernels)
        write({"step": 9, "seconds": 0.1, "train_loss": losses}, kernels.repeat(3, axis=-2))
    found = scalars(tmp_path / tensorboard.FOLDER)
    assert found["train_loss/he_normal", 7] == 3
    assert found[f"train_loss/{CLEAN}", 7] == 1.5
    energies = sector_energies(np.moveaxis(kernels[0, :, :, :, 0], -1, 1)).sum((0, 1))
    shares = [found[f"sectors/{s}/he_normal", 7] for s in SECTORS]
    np.testing.assert_allclose(shares, energies / energies.sum(), rtol=1e-5)
    for sector in SECTORS:  # the same in three colours
        assert found[f"sectors/{sector}/he_normal", 9] == pytest.approx(
            found[f"sectors/{sector}/he_normal", 7], rel=1e-5
        )
    pictures = [
        value.image
        for event in events(tmp_path / tensorboard.FOLDER)
        for value in event.summary.value
        if value.tag == "kernels/he_normal"
    ]
    import io

    grid = np.asarray(Image.open(io.BytesIO(pictures[0].encoded_image_string)).convert("L"))
    first = kernels[0, 0, :, :, 0]
    expected = np.round(127.5 * (1 + first / np.abs(first).max()))
    np.testing.assert_array_equal(grid[4:24:8, 4:24:8], expected[..., 0])
    assert grid.shape == (2 * 26, 8 * 26)


@pytest.mark.slow
def test_a_run_writes_them_while_it_trains(tmp_path):
    pytest.importorskip("tensorboardX")
    words = (
        "+exp=mnist",
        "+debug=tiny",
        "arms=[{init: sobel}]",
        "seeds=1",
        "steps=2",
        "probe_seeds=0",
    )
    done = run_here(tmp_path, "kernelstudy.run", *words, "log=tensorboard", "runs_dir=.")
    assert done.returncode == 0, done.stderr
    (place,) = (tmp_path / "mnist").iterdir()
    found = scalars(place / tensorboard.FOLDER)
    for line in (place / runs.METRICS).read_text().splitlines():
        record = json.loads(line)
        for name in ("train_loss", "test_accuracy"):
            value = record[name]["sobel"][0]
            if value is not None:
                assert found[f"{name}/sobel", record["step"]] == pytest.approx(value, rel=1e-5)
    assert found["sectors/odd/sobel", 0] == pytest.approx(1, abs=1e-5)
