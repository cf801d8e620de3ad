"""What is watched, against plain reductions of whole feature maps; its size on disk."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from kernelstudy.config import Arm, Bank, Model, Study
from kernelstudy.data import feed, stimuli
from kernelstudy.data.images import Images
from kernelstudy.training import parallel, population, recorder, responses, train
from kernelstudy.training.model import CNN
from kernelstudy.training.ops import GEMM, LAX

STUDY = Study(
    arms=[Arm("he_normal"), Arm("sobel", first_layer="frozen", inputs="permuted")],
    seeds=3,
    steps=4,
    batch_size=16,
    log_points=3,
    probe_seeds=2,
    model=Model(width=3, deep_width=4),
    bank=Bank(["sobel_x"]),
)


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(0)
    made = rng.standard_normal((90, 10, 11, 1)).astype(np.float32)
    labels = rng.integers(6, size=90).astype(np.int32)
    return Images(made[:60], labels[:60], made[60:], labels[60:], 6, {})


@pytest.fixture(scope="module")
def trained(images):
    return population.train_population(STUDY, images)


@pytest.mark.parametrize("ops", [LAX, GEMM], ids=["lax", "gemm"])
def test_what_is_kept_of_the_maps(ops):
    model = CNN(
        image_shape=(6, 7, 1),
        classes=3,
        kernel_size=3,
        width=3,
        deep_width=4,
        depth=3,
        activation="relu",
        first_init=nnx.initializers.he_normal(),
        rngs=nnx.Rngs(0),
    )
    gratings, (_, local) = stimuli.gratings(6, 7), stimuli.local(6, 7)
    flat = gratings.reshape(-1, 6, 7)
    probes, examples = np.random.default_rng(0).standard_normal((2, 20, 6, 7))
    images = np.concatenate([probes[:4], flat, local, examples])[..., None].astype(np.float32)
    found = jax.jit(lambda x: responses.watch(partial(model.activations, ops=ops), ops, x, 4))(
        images
    )
    whole = [np.asarray(m, float) for m in jax.jit(lambda x: model.feature_maps(x, LAX))(images)]
    close = {"rtol": 2e-3, "atol": 2e-3}  # halves
    for i, maps in enumerate(whole, 1):
        h, w = maps.shape[1:3]
        middle = maps[:, h // 4 : h - h // 4, w // 4 : w - w // 4]
        np.testing.assert_allclose(found[f"feature_map_{i}"], maps[:4], **close)
        curves = middle[4:324].mean((1, 2)).reshape(16, 5, 4, -1).mean(2)
        np.testing.assert_allclose(found[f"grating_{i}"], curves, **close)
        stimulus = found[f"stimulus_{i}"]
        np.testing.assert_allclose(stimulus[:, 1], middle[324:-20].max((1, 2)), **close)
        last = maps[-20:]
        np.testing.assert_allclose(
            found[f"top_value_{i}"], np.sort(last.max((1, 2)), 0)[::-1][:6], **close
        )
        for rank in range(6):
            for c in range(maps.shape[-1]):
                example = found[f"top_example_{i}"][rank, c]
                y, x = found[f"top_place_{i}"][rank, :, c]
                np.testing.assert_allclose(
                    last[example, y, x, c], found[f"top_value_{i}"][rank, c], **close
                )
    assert found["feature_3"].shape == (20, 1, 4)  # one pixel has no quarters
    rows, columns = (slice(0, 3), slice(3, 6)), (slice(0, 4), slice(3, 7))
    quarters = [whole[0][-20:, r, c].mean((1, 2)) for r in rows for c in columns]
    np.testing.assert_allclose(found["feature_1"], np.stack(quarters, 1), **close)


def test_every_layer_at_every_log_point(trained, images):
    assert list(trained["probe_seed"].values) == [0, 1]
    assert trained["feature_map_1"].shape == (2, 2, 3, 8, 10, 11, 3)
    assert trained["feature_map_2"].dims[-1] == "map_channel_2"
    assert trained["kernel_2"].shape == (2, 2, 3, 3, 3, 3, 4)
    assert all(np.isfinite(trained[name]).all() for name in trained.data_vars if name[-1] in "12")
    assert list(trained["probe_label"].values) == [0, 1, 2, 3, 4, 5, 0, 1]
    assert list(trained["probe_part"].values) == ["train"] * 4 + ["test"] * 4
    natural = trained["probe_image"].sel(arm="he_normal")
    first = np.flatnonzero(images.train_labels == 2)[0]
    np.testing.assert_array_equal(natural[2], images.train_images[first])
    # maps are of the arm's own images: the first layer by SciPy's correlation
    from scipy.ndimage import correlate

    for arm in range(2):
        kernel = trained["kernel"].values[arm, 0, 0, :, :, 0, 1]
        probe = trained["probe_image"].values[arm, 5, :, :, 0]
        expected = np.maximum(correlate(probe, kernel, mode="constant"), 0)
        found = trained["feature_map_1"].values[arm, 0, 0, 5, :, :, 1]
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_logging_changes_nothing_else(trained, images):
    without = population.train_population(dataclasses.replace(STUDY, probe_seeds=0), images)
    for name in without.data_vars:
        np.testing.assert_array_equal(without[name], trained[name], err_msg=str(name))


def test_the_size_is_known_before_and_held(trained, images):
    built = train.make_train(STUDY, images)
    mapped = parallel.make_population(built, population.choose_devices(STUDY))
    each = recorder.bytes_of_one(
        STUDY, images, built, parallel.shapes_of_one(mapped, STUDY, images)
    )
    logged = [n for n in trained.data_vars if "probe_seed" in trained[n].dims]
    assert sum(trained[name].nbytes for name in logged) == 2 * each
    for mib, count in ((3 * each / 2**20, 2), (1.5 * each / 2**20, 1), (0.01, 0)):
        held = dataclasses.replace(STUDY, probe_mib=mib)
        assert responses.watched_seeds(held, each) == count
        said = responses.told(held, each)
        assert said.startswith(f"all layers of {count} of 3" if count else "nothing is logged")
        assert ("probe_seeds=2 would take" in said) == (count < 2)


def test_large_maps_are_averaged_and_few_classes_repeat():
    maps = np.arange(2 * 70 * 40 * 70, dtype=float).reshape(2, 70, 40, 70)
    shown = responses._shown(maps)
    assert shown.shape == (2, 23, 13, 64)
    np.testing.assert_allclose(shown[1, 2, 3], maps[1, 6:9, 9:12, :64].mean((0, 1)))
    rng = np.random.default_rng(0)
    made, labels = rng.standard_normal((40, 6, 6, 1)), np.arange(40) % 2
    few = Images(made, labels, made, labels, 2, {})
    seen = feed.variants(few, STUDY.data, ["natural"])
    chosen = responses.subjects(few, seen)
    assert responses.probe_count(few) == 4
    assert [*labels[chosen.train_rows], *labels[chosen.test_rows]] == [0, 1, 0, 1]
    assert chosen.images.shape[1] == responses.image_count(few)
