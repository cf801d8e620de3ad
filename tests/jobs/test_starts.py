"""Kernels that arms start from: out of files and runs, held to the first layer, and known by their contents."""

import dataclasses
import pickle
import re
import zipfile

import numpy as np
import pytest

import kernelstudy
from kernelstudy import runs
from kernelstudy.config import Arm, Bank, ConfigError, Study
from kernelstudy.data.images import Images
from kernelstudy.jobs import job, starts
from kernelstudy.system.errors import RunError
from kernelstudy.training import population
from tests.synthetic import make_run, trajectory

KERNELS = np.random.default_rng(0).standard_normal((3, 3, 1, 5))
GREY = (12, 12, 1)


def study(*arms, seeds=3, width=5, **changes) -> Study:
    made = Study(arms=list(arms), seeds=seeds, bank=Bank(["sobel_x"]), **changes)
    made.model.width = width
    return made


def start(arm: Arm, image_shape=GREY, **changes) -> starts.Start:
    (found,) = starts.of_study(study(arm, **changes), image_shape).values()
    return found


def refused(arm: Arm, said: str, image_shape=GREY, **changes) -> None:
    with pytest.raises(ConfigError, match=rf"arms\[0\].path: .*{said}") as told:
        start(arm, image_shape, **changes)
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of two arms, he_normal and sobel/frozen, of 7 seeds and 5 kernels."""
    return make_run(tmp_path_factory.mktemp("run") / "done")


@pytest.mark.parametrize("dtype", ["f8", ">f4", "f2", "i1", "u2"])
def test_a_file_is_every_seeds_start(tmp_path, dtype):
    kernels = (10 * KERNELS + 40).astype(dtype)
    np.save(tmp_path / "k.npy", np.asfortranarray(kernels))
    np.savez(tmp_path / "k.npz", kernels=kernels)
    found = [start(Arm("file", path=str(tmp_path / name))) for name in ("k.npy", "k.npz")]
    for one in found:
        assert one.kernels.dtype == np.float32
        np.testing.assert_array_equal(one.kernels, [kernels.astype("f4")] * 3)
    assert found[0].facts["sha256"] == found[1].facts["sha256"]
    kernels[0, 0, 0, 0] += 1
    np.save(tmp_path / "k.npy", kernels)
    changed = start(Arm("file", path=str(tmp_path / "k.npy")))
    assert changed.facts["sha256"] != found[0].facts["sha256"]


def test_a_depthwise_first_layer_takes_kernels_of_one_plane(tmp_path):
    np.save(tmp_path / "k.npy", np.repeat(KERNELS, 3, -1)[..., :6])
    arm, colour = Arm("file", path=str(tmp_path / "k.npy")), (12, 12, 3)
    of = study(arm, width=6)
    of.model.first = "depthwise"
    (found,) = starts.of_study(of, colour).values()
    assert found.kernels.shape == (3, 3, 3, 1, 6)
    refused(arm, "the images' colours", colour, width=6)


def test_a_networks_file(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 7, 3))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    found = start(Arm("file", path=str(tmp_path / "net.pt")), (12, 12, 3))
    weight = net[0].weight.detach().numpy()
    np.testing.assert_array_equal(found.kernels[0], weight.transpose(2, 3, 1, 0))
    assert found.facts["layer"] == "0.weight"


def test_files_that_do_not_serve(tmp_path):
    path = tmp_path / "k.npy"
    arm = Arm("file", path=str(path))
    refused(arm, "k.npy")
    np.save(path, KERNELS)
    refused(
        arm, r"are 3 x 3 x 1 x 5 \(kh, .* where 3 x 3 x 1 x 6 is needed: .*model.width", width=6
    )
    refused(arm, "where 3 x 3 x 1 x 4 is needed", width=4)
    refused(arm, "where 3 x 3 x 3 x 5 is needed: .* the images' colours", (12, 12, 3))
    np.save(path, KERNELS.transpose(3, 2, 0, 1))
    refused(arm, r"are 5 x 1 x 3 x 3 .* PyTorch are turned by transpose\(2, 3, 1, 0\)")
    np.save(path, KERNELS[0])
    refused(arm, "k")
    for wrong in (np.nan, np.inf, 1e39):
        np.save(path, np.where(KERNELS.max() == KERNELS, wrong, KERNELS))
        refused(arm, "holds kernels that are not finite float32 numbers")
    np.save(path, KERNELS.astype(complex))
    refused(arm, "real numbers")
    path.write_bytes(b"")
    refused(arm, "k.npy")


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "hit").touch, ()

    np.save(tmp_path / "k.npy", np.array([Evil()], object), allow_pickle=True)
    refused(Arm("file", path=str(tmp_path / "k.npy")), "pickled")
    with zipfile.ZipFile(tmp_path / "k.npz", "w") as archive:
        archive.writestr("k.npy", (tmp_path / "k.npy").read_bytes())
    refused(Arm("file", path=str(tmp_path / "k.npz")), "pickled")
    (tmp_path / "k.npy").write_bytes(pickle.dumps(Evil()))
    refused(Arm("file", path=str(tmp_path / "k.npy")), "")
    assert not (tmp_path / "hit").exists()


def test_a_runs_kernels_are_paired_by_seed(done):
    then = kernelstudy.open_run(done)["kernel"].isel(step=-1)
    found = start(Arm("run", path=f"{done}:sobel/frozen"), seeds=[4, 0])
    np.testing.assert_array_equal(found.kernels, then.sel(arm="sobel/frozen", seed=[4, 0]))
    assert found.facts["arm"] == "sobel/frozen"
    assert (found.facts["step"], found.facts["networks"]) == (9, 7)


def test_kernels_of_a_runs_covariance(done):
    """The uncentred second moment over all kernels of all networks, and the same kernels for the same seed."""
    arm = Arm("run", path=f"{done}:he_normal", how="covariance")
    then = kernelstudy.open_run(done)["kernel"].sel(arm="he_normal").isel(step=-1).values
    flat = np.moveaxis(then, -1, 1).reshape(-1, 9)
    wanted = flat.T @ flat / len(flat)
    found = start(arm, seeds=[9, 70], width=30_000).kernels
    assert found.dtype == np.float32
    drawn = found[0].reshape(9, -1)
    error = np.abs(drawn @ drawn.T / 30_000 - wanted).max()
    assert error < 0.03 * np.trace(wanted)
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], start(arm, seeds=[70], width=30_000).kernels[0])


def test_colours_are_drawn_together():
    kernels = np.random.default_rng(1).standard_normal((2, 3, 3, 1, 400))
    kernels = np.concatenate([kernels, -2 * kernels], 3)  # the second colour is the first, mirrored
    found = starts.drawn(kernels, 0, 7)
    assert found.shape == (3, 3, 2, 7)
    np.testing.assert_allclose(found[:, :, 1], -2 * found[:, :, 0], atol=1e-5)


def test_runs_that_do_not_serve(done, tmp_path):
    refused(Arm("run", path=str(done)), r"has 2 arms: name one, as .*:he_normal; there are")
    refused(Arm("run", path=f"{done}:sobel"), "no arm 'sobel'; allowed are he_normal, sobel/fr")
    refused(Arm("run", path=f"{done}:he_normal:3"), "after the run comes one of its arms, no more")
    refused(Arm("run", path=str(done.parent)), f"is no run .* holds some, {re.escape(str(done))}")
    refused(Arm("run", path=str(tmp_path / "none")), "none is no run directory")
    refused(Arm("file", path=str(done)), r"is a run: \{init: run, path:")
    of_arm = Arm("run", path=f"{done}:he_normal")
    refused(of_arm, "has no seed 7 that did not diverge, only 7: .* how: covariance", seeds=8)
    refused(of_arm, "where 3 x 3 x 1 x 6 is needed", width=6)
    covariance = dataclasses.replace(of_arm, how="covariance")
    assert start(covariance, seeds=8, width=6).kernels.shape == (8, 3, 3, 1, 6)
    refused(covariance, "where 3 x 3 x 3 is needed", (12, 12, 3))
    unfinished = tmp_path / "unfinished"
    runs.start(unfinished, study(Arm("he_normal"), name="x"))
    refused(Arm("run", path=str(unfinished)), "is not finished")


def test_a_run_that_was_changed_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("demo", "dem0"))
    refused(Arm("run", path=f"{run}:he_normal"), "config.yaml is not what the run wrote")


def test_a_network_that_diverged_is_nobodys_start(tmp_path):
    made = trajectory()
    made["diverged"][0, 2] = True
    run = make_run(tmp_path / "run")
    runs.write_dataset(run / runs.TRAJECTORY, made)
    (run / runs.DONE).write_text("")
    refused(Arm("run", path=f"{run}:he_normal"), "has no seed 2 that did not diverge, only 6")
    assert start(Arm("run", path=f"{run}:he_normal"), seeds=2).facts["networks"] == 6


def test_a_finished_run_remembers_what_it_started_from(tmp_path, monkeypatch):
    """Other contents are refused, unless that is allowed; what is gone is not needed."""
    monkeypatch.chdir(tmp_path)
    np.save("k.npy", KERNELS)
    of = study(Arm("file", path="k.npy"))
    facts = {name: one.facts for name, one in starts.of_study(of, GREY).items()}
    told = {"starts": facts}
    monkeypatch.setattr(runs, "read_facts", lambda directory: (of, told))
    job._refuse_other_kernels(of, tmp_path)
    np.save("k.npy", 2 * KERNELS)
    with pytest.raises(
        RunError, match=r"file\[k.npy\] started from other kernels than k.npy holds"
    ):
        job._refuse_other_kernels(of, tmp_path)
    job._refuse_other_kernels(dataclasses.replace(of, allow_stale=True), tmp_path)
    (tmp_path / "k.npy").unlink()
    job._refuse_other_kernels(of, tmp_path)


def test_training_begins_with_them(done):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((40, 8, 8, 1)).astype(np.float32)
    labels = np.arange(40, dtype=np.int32) % 3
    data = Images(images, labels, images, labels, 3, {})
    path = f"{done}:he_normal"
    of = study(
        Arm("run", 0.5, path=path),
        Arm("run", path=path, how="covariance", frozen=0.4),
        steps=2,
        batch_size=8,
        log_points=2,
        probe_seeds=0,
        memory_gib=1e-4,  # groups of seeds
    )
    given = {name: one.kernels for name, one in starts.of_study(of, (8, 8, 1)).items()}
    kernels = population.train_population(of, data, starts=given)["kernel"].values
    np.testing.assert_array_equal(kernels[0, :, 0], 0.5 * given[of.arms[0].name])
    np.testing.assert_array_equal(kernels[1, :, 0], given[of.arms[1].name])
    np.testing.assert_array_equal(kernels[1, :, 0, ..., :2], kernels[1, :, 1, ..., :2])
    assert (kernels[:, :, 0, ..., 2:] != kernels[:, :, 1, ..., 2:]).any((2, 3, 4)).all()
