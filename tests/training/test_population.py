"""The population: pairing, freezing, repeatability, independence of neighbours and devices."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr

from kernelstudy.analysis import variables
from kernelstudy.config import ACTIVATIONS, OPTIMIZERS, Arm, Bank, Model, Optim, Study
from kernelstudy.data import corruptions, feed
from kernelstudy.data import images as data
from kernelstudy.system.errors import ConfigError
from kernelstudy.training import inputs, journal, model, population, train
from kernelstudy.training.observer import Observer

ARMS = [
    Arm("he_normal"),
    Arm("he_normal", scale=0.1),
    Arm("sobel", first_layer="frozen"),
    Arm("he_normal", labels="shuffled"),
]
STUDY = Study(
    arms=ARMS,
    seeds=3,
    steps=20,
    batch_size=32,
    log_points=4,
    probe_seeds=0,  # test_responses.py has its own
    model=Model(width=4, deep_width=8),
    optim=Optim(learning_rate=1e-2),
    bank=Bank(["sobel_x"]),
)


@pytest.fixture(scope="module")
def images() -> data.Images:
    """A few hundred of the real digits."""
    whole = data.load("mnist5k")
    return whole._replace(
        train_images=whole.train_images[:400],
        train_labels=whole.train_labels[:400],
        test_images=whole.test_images[:130],
        test_labels=whole.test_labels[:130],
    )


@pytest.fixture(scope="module")
def trained(images):
    return population.train_population(STUDY, images)


def test_dimensions(trained):
    assert trained["kernel"].dims == ("arm", "seed", "step", "ky", "kx", "cin", "cout")
    assert trained["kernel"].shape == (4, 3, 4, 3, 3, 1, 4)
    assert trained["test_accuracy"].dims == trained["train_loss"].dims == ("arm", "seed", "step")
    assert list(trained["arm"].values) == [arm.name for arm in ARMS]
    assert list(trained["step"].values) == STUDY.log_steps
    assert not any(name.startswith("feature") for name in map(str, trained.data_vars))
    assert all(np.isfinite(trained[name]).all() for name in trained.data_vars)


def test_networks_learn(trained):
    loss = trained["train_loss"].sel(arm="he_normal").mean("seed").values
    assert loss[-1] < 0.6 * loss[0]
    assert (trained["test_accuracy"].isel(step=-1).sel(arm="he_normal") > 0.4).all()


def test_a_frozen_layer_stays_as_it_is(trained):
    kernels = trained["kernel"].sel(arm="sobel/frozen").values
    np.testing.assert_array_equal(kernels, np.broadcast_to(kernels[:, :1], kernels.shape))
    learned = trained["kernel"].sel(arm="he_normal").values
    assert not np.array_equal(learned[:, 0], learned[:, -1])


def test_arms_are_paired_by_seed(trained):
    he, small, _, shuffled = (trained["kernel"].values[i, :, 0] for i in range(4))
    np.testing.assert_array_equal(he, shuffled)
    np.testing.assert_allclose(small, 0.1 * he, rtol=1e-6)
    assert len({k.tobytes() for k in he}) == 3


def test_the_same_config_gives_the_same_bits(trained, images):
    again = population.train_population(STUDY, images)
    for name in trained.data_vars:
        np.testing.assert_array_equal(again[name], trained[name], err_msg=name)


def test_arrays_lie_as_they_will_be_read_back(trained):
    """Else what is measured at a run's end differs in its last bits from what its report says again."""
    for name in trained.variables:
        assert trained[name].values.flags.c_contiguous, name


def test_changed_test_images_are_scored_and_leave_all_else_as_it_is(trained, images):
    tests = ["noise@2", "gaussian_clone"]
    found = population.train_population(dataclasses.replace(STUDY, tests=tests), images)
    assert found["changed_accuracy"].dims == ("arm", "seed", "step", "test")
    assert list(found["test"].values) == tests
    for name in trained.data_vars:
        np.testing.assert_array_equal(found[name], trained[name], err_msg=name)
    noisy = images._replace(
        test_images=corruptions.changed("noise@2", images.test_images, images.test_labels)
    )
    again = population.train_population(STUDY, noisy)  # as if it were the set's own test images
    scored = found["changed_accuracy"].sel(test="noise@2")
    np.testing.assert_array_equal(scored, again["test_accuracy"])
    assert (scored.isel(step=-1) != trained["test_accuracy"].isel(step=-1)).any()


def test_a_journal_keeps_scores_on_changed_images():
    written = journal.Journal()
    written.log({"step": 0}, **{variables.accuracy_on("noise@0.2"): np.ones((2, 3))})
    read = journal.unpacked(journal.packed(written))
    np.testing.assert_array_equal(read.points["test_accuracy[noise@0.2]"], np.ones((1, 2, 3)))


def test_neighbours_and_devices_do_not_matter(trained, images):
    """A population of 12 on two devices equals populations of 1 on one."""
    assert jax.device_count() > 1
    for arm, seed in [(0, 0), (1, 2), (3, 1)]:
        alone = dataclasses.replace(STUDY, arms=[ARMS[arm]], seeds=[seed], devices=1)
        found = population.train_population(alone, images)
        for name in ("kernel", "train_loss", "test_accuracy"):
            together = trained[name].isel(arm=[arm]).sel(seed=[seed])
            np.testing.assert_array_equal(found[name], together, err_msg=name)


def test_two_at_once_equal_one_and_one(images):
    two = dataclasses.replace(STUDY, arms=ARMS[:1], seeds=[4, 9])
    together = population.train_population(two, images)["kernel"]
    apart = [  # by the program of the test above
        population.train_population(dataclasses.replace(two, seeds=[seed], devices=1), images)
        for seed in (4, 9)
    ]
    np.testing.assert_array_equal(together, np.concatenate([a["kernel"] for a in apart], axis=1))


def test_lax_and_gemm_train_alike(images):
    """By tolerance: two right float32 convolutions may pick another maximum of a near-tie."""
    few = dataclasses.replace(STUDY, arms=ARMS[:2], seeds=1, steps=3, log_points=2)
    lax, gemm = (
        population.train_population(dataclasses.replace(few, impl=impl), images)
        for impl in ("lax", "gemm")
    )
    np.testing.assert_allclose(lax["train_loss"], gemm["train_loss"], rtol=2e-3)
    np.testing.assert_allclose(lax["kernel"], gemm["kernel"], atol=2e-3)


def test_a_step_is_optaxs_step_on_the_plain_loss(images):
    """One SGD step by hand, with Flax's own forward pass and no chunks, gives the same kernels."""
    import optax
    from flax import nnx

    sgd = dataclasses.replace(
        STUDY, arms=ARMS[:1], seeds=[5], steps=1, log_points=2, optim=Optim("sgd", 0.1)
    )
    found = population.train_population(sgd, images)["kernel"].values[0, 0]
    rows = feed.batches(5, 0, 1, len(images.train_labels), sgd.batch_size)[0]
    first = found[0]
    network = model.CNN(
        image_shape=images.image_shape,
        classes=10,
        kernel_size=3,
        width=4,
        deep_width=8,
        depth=2,
        activation="relu",
        first_init=lambda *_: jax.numpy.asarray(first),
        rngs=nnx.Rngs(jax.random.key(5)),
    )

    def loss(network):
        x = images.train_images[rows]
        for conv in network.convs:
            x = nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2))
        logits = network.dense(x.reshape(len(rows), -1))
        labels = images.train_labels[rows]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    gradient = nnx.grad(loss)(network)["convs"][0]["kernel"][...]
    np.testing.assert_allclose(found[1], first - 0.1 * gradient, atol=1e-5)


def test_a_network_that_diverges_is_marked_and_the_others_go_on(images):
    wild = dataclasses.replace(
        STUDY, arms=[Arm("he_normal"), Arm("he_normal", scale=1e38)], seeds=1, steps=6
    )
    found = population.train_population(wild, images)
    np.testing.assert_array_equal(found["diverged"], [[False], [True]])
    assert np.isfinite(found["kernel"].values[0]).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimisers(optimizer, images):
    momentum = 0.9 if optimizer == "sgd" else 0.0
    decay = 0.0 if optimizer == "adam" else 1e-3
    few = dataclasses.replace(
        STUDY,
        arms=[Arm("he_normal"), Arm("sobel", first_layer="frozen")],
        seeds=1,
        steps=2,
        log_points=2,
        optim=Optim(optimizer, 1e-2, momentum, decay),
    )
    kernels = population.train_population(few, images)["kernel"].values[:, 0]
    assert not np.array_equal(kernels[0, 0], kernels[0, 1])
    np.testing.assert_array_equal(kernels[1, 0], kernels[1, 1])


@pytest.mark.parametrize(
    ("batch", "chunk"), [(128, 32), (100, 25), (127, 127), (8, 8), (1, 1), (62, 31)]
)
def test_chunks_divide_the_batch(batch, chunk):
    assert train.chunk_size(batch) == chunk


def test_the_schema_knows_the_implementations():
    assert set(ACTIVATIONS) == set(model.ACTIVATIONS)


def test_groups_that_fit_memory_change_nothing(images, trained):
    logged = []

    class Log(Observer):
        def on_log(self, record, kernels):
            logged.append((record["step"], record["seeds"], kernels))

    small = dataclasses.replace(STUDY, memory_gib=0.001)
    grouped = population.train_population(small, images, observer=Log())
    assert {tuple(seeds) for _, seeds, _ in logged} == {(0, 1), (2,)}
    for step, seeds, kernels in logged:
        np.testing.assert_array_equal(kernels, grouped["kernel"].sel(step=step, seed=seeds))
    xr.testing.assert_identical(grouped, trained)


def test_memory_that_holds_no_network_is_refused(images):
    with pytest.raises(ConfigError, match=r"memory_gib: 1e-06 does not hold the networks of one"):
        population.train_population(dataclasses.replace(STUDY, memory_gib=1e-6), images)


@pytest.mark.parametrize(("precision", "said"), [("float32", "HIGHEST"), ("bfloat16", "DEFAULT")])
def test_precision_is_that_of_the_products(images, precision, said):
    study = dataclasses.replace(STUDY, precision=precision, impl="lax")
    built = train.make_train(study, images)
    kernel = np.zeros(train.first_kernel_shape(study, images), np.float32)
    task = inputs.task_of(study, images, feed.variants(images, study.data, ["natural"]), [0])
    net = inputs.nets_of(study, feed.variants(images, study.data, ["natural"]), [(0, 0)])
    net = jax.tree.map(lambda leaf: leaf[0], net)
    state = built.init(jax.random.key(0), kernel)
    text = str(jax.make_jaxpr(built.evaluate)(state, net, task, 2))
    assert text.count("conv_general_dilated") == 2
    assert f"Precision.{said}" in text
