"""Arms that see their images in other forms; streamed, augmented and held-out images."""

import dataclasses

import numpy as np
import pytest

from kernelstudy.analysis import patch_pca
from kernelstudy.analysis.trajectory import judge_arms, measure_trajectory
from kernelstudy.config import INPUTS, Arm, Bank, Model, Optim, Study
from kernelstudy.data import controls, images
from kernelstudy.data.options import Data
from kernelstudy.training import group, population

STUDY = Study(
    arms=[Arm("he_normal", inputs=inputs) for inputs in INPUTS],
    seeds=2,
    steps=19,
    batch_size=16,
    log_points=3,
    data=Data("oriented", subset=120, val_fraction=0.02, crop=12),
    model=Model(width=4, depth=1),
    optim=Optim(learning_rate=1e-2),
    bank=Bank(["sobel_x"]),
)


def train(**changes):
    data = dataclasses.replace(STUDY.data, **changes.pop("data", {}))
    changed = dataclasses.replace(STUDY, data=data, **changes)
    return population.train_population(changed, images.load(data))


@pytest.fixture(scope="module")
def trained():
    return train()


def equal(found, expected, *, arms=None):
    for name in ("kernel", "train_loss", "test_accuracy", "val_accuracy", "feature_map_1"):
        ours, theirs = (
            x[name] if arms is None else x[name].sel(arm=arms) for x in (found, expected)
        )
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_arms_with_other_inputs_are_paired_and_differ(trained):
    start = trained["kernel"].isel(step=0)
    np.testing.assert_array_equal(start[0], start[1])
    end = trained["kernel"].isel(step=-1)
    assert len({kernels.values.tobytes() for kernels in end}) == len(INPUTS)
    assert np.isfinite(trained["train_loss"]).all()


def test_a_controlled_arm_is_a_natural_arm_on_controlled_images(trained):
    """The same training on images that were permuted beforehand."""
    loaded = images.load(STUDY.data)
    parts = {}
    for name, part in (("train", controls.TRAIN), ("test", controls.TEST), ("val", controls.VAL)):
        control = controls.fit("permuted", loaded.sample(), part=part)
        own = getattr(loaded, f"{name}_images")
        parts[f"{name}_images"] = controls.apply(control, own)
    found = population.train_population(
        dataclasses.replace(STUDY, arms=STUDY.arms[:1]), loaded._replace(**parts)
    )
    for name in ("kernel", "train_loss", "test_accuracy", "val_accuracy", "feature_map_1"):
        np.testing.assert_array_equal(found[name][0], trained[name].sel(arm="he_normal/permuted"))
    np.testing.assert_array_equal(
        found["patch_eigenvalue"], trained["patch_eigenvalue"].sel(arm="he_normal/permuted")
    )


def test_patch_statistics_and_probes_are_those_of_the_arms_own_inputs(trained):
    loaded = images.load(STUDY.data)
    for arm in STUDY.arms:
        seen = controls.apply(controls.fit(arm.inputs, loaded.sample()), loaded.train_images)
        values, _ = patch_pca(seen.mean(-1), 3)
        np.testing.assert_allclose(trained["patch_eigenvalue"].sel(arm=arm.name), values)
    own = trained["probe_image"]
    assert own.dims[0] == "arm"
    natural, permuted = (own.sel(arm=a).values.ravel() for a in ("he_normal", "he_normal/permuted"))
    np.testing.assert_allclose(np.sort(natural), np.sort(permuted))
    assert not np.array_equal(natural, permuted)


def test_reports_measure_arms_by_their_own_images(trained):
    arms = [dataclasses.asdict(arm) for arm in STUDY.arms]
    assert np.isfinite(measure_trajectory(trained, ["sobel_x"])["a_pca"])
    assert judge_arms(trained, arms)


def test_streamed_training_has_the_same_bits(trained):
    equal(train(data={"in_memory_gib": 0.0}), trained)


def test_augmentation_changes_training_and_not_the_start(trained):
    found = train(data={"shift": 2, "flip": True}, arms=STUDY.arms[:1])
    np.testing.assert_array_equal(
        found["test_accuracy"][0, :, 0], trained["test_accuracy"][0, :, 0]
    )
    assert not np.array_equal(found["kernel"][0, :, -1], trained["kernel"][0, :, -1])
    assert "arm" not in found["probe_image"].dims  # one form, no axis


def test_validation_accuracy_is_of_the_part_held_out(trained):
    assert trained["val_accuracy"].dims == ("arm", "seed", "step")
    eighty = trained["val_accuracy"].values * 80
    np.testing.assert_allclose(eighty, eighty.round(), atol=1e-4)  # 2% of 4,000 images


def test_a_dispatch_does_not_go_beyond_a_log_point():
    assert group.spans([0, 1, 3, 40]) == [(0, 1), (1, 2), (3, 16), (19, 16), (35, 5)]
