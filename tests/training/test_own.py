"""Networks of one's own against the built-in one, and against Flax itself."""

import dataclasses
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from kernelstudy.analysis.fields import fields_of, receptive_fields
from kernelstudy.analysis.variables import layers_of
from kernelstudy.config import Arm, Bank, Model, Optim, Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.system.errors import ConfigError, RunError
from kernelstudy.system.signals import Stopped
from kernelstudy.training import (
    checkpoints,
    ops,
    own,
    own_network,
    parallel,
    population,
    recorder,
    responses,
    substitutes,
    train,
)
from kernelstudy.training.observer import Observer

SHAPE, CLASSES = (12, 10, 1), 3
STUDY = Study(
    arms=[Arm("he_normal"), Arm("sobel", first_layer="frozen"), Arm("gabor", weight_decay=0.5)],
    seeds=2,
    steps=20,
    batch_size=16,
    log_points=4,
    probe_seeds=1,
    model=Model(width=4, deep_width=6),
    optim=Optim(name="adamw", learning_rate=1e-2),
    bank=Bank(["sobel_x"]),
)


class Plain(nnx.Module):
    """The built-in network, written by a user."""

    def __init__(self, rngs, first_init):
        self.conv1 = nnx.Conv(1, 4, (3, 3), kernel_init=first_init, rngs=rngs)
        self.conv2 = nnx.Conv(4, 6, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(3 * 2 * 6, CLASSES, rngs=rngs)

    def __call__(self, x):
        for conv in (self.conv1, self.conv2):
            x = nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2))
        return self.dense(x.reshape(len(x), -1))


class Stateful(nnx.Module):
    """With batch norm, dropout, a counter and sown values; its blocks in lists and sequences."""

    def __init__(self, rngs, first_init):
        self.blocks = nnx.List(
            [
                nnx.Sequential(
                    nnx.Conv(1, 4, (5, 5), kernel_init=first_init, use_bias=False, rngs=rngs),
                    nnx.BatchNorm(4, momentum=0.8, rngs=rngs),
                )
            ]
        )
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, CLASSES, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        self.calls[...] += 1
        for block in self.blocks:
            x = nnx.relu(block(x))
        return self.head(self.dropout(x.mean((1, 2))))


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=120).astype(np.int32)
    labels[:CLASSES] = range(CLASSES)
    # a bright column at a place that tells the class
    made = rng.standard_normal((120, *SHAPE)).astype(np.float32)
    made[np.arange(120), :, 2 + 3 * labels] += 2
    return Images(made[:80], labels[:80], made[80:], labels[80:], CLASSES, {}, made[:9], labels[:9])


def trained(make, images, study=STUDY, observer=None, **settings):
    found = own.find(make, own.name_of(make))
    model = Model(
        own=found.name,
        parameters=found.parameters,
        kernel_size=found.shape[0],
        width=found.shape[3],
    )
    study = dataclasses.replace(study, model=model, **settings)
    return population.train_population(study, images, own=found, observer=observer or Observer())


def assert_equal(one, other):
    assert "feature_map_1" in one
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def plain(images):
    return trained(Plain, images, impl="lax")


@pytest.fixture(scope="module")
def built_in(images):
    return population.train_population(dataclasses.replace(STUDY, impl="lax"), images)


def assert_shown_alike(one, other):
    """What of layers is shown, up to halves; of maxima that are near ties it may be another one."""
    assert {*one} == {*other}
    for name, values in other.items():
        if "top_example" in name or "top_place" in name:
            assert np.mean(np.asarray(one[name]) == np.asarray(values)) > 0.97, name
        else:
            np.testing.assert_allclose(one[name], values, rtol=5e-3, atol=2e-3, err_msg=name)


def test_the_built_in_network_written_by_a_user_is_trained_alike(plain, built_in):
    """XLA compiles another program, so that the last bits may differ."""
    for name in ("kernel", "train_loss", "test_accuracy"):
        np.testing.assert_allclose(plain[name], built_in[name], rtol=1e-4, atol=1e-5)
    assert list(plain["arm"].values) == list(built_in["arm"].values)
    learned = plain["train_loss"].sel(arm="he_normal").mean("seed").values
    assert learned[-1] < 0.7 * learned[0]


def test_its_layers_are_watched_as_those_of_the_built_in_one(plain, built_in):
    assert layers_of(plain) == [1, 2]
    assert {n: v.dims for n, v in plain.variables.items()} == {
        n: v.dims for n, v in built_in.variables.items()
    }
    watched = [n for n in built_in.data_vars if "probe_seed" in built_in[n].dims]
    assert "kernel_2" in watched
    assert_shown_alike(*({n: of[n].values for n in watched} for of in (plain, built_in)))
    assert fields_of(plain, 1) == receptive_fields(SHAPE[:2], kernel_size=3, depth=2)


def test_the_size_of_what_is_watched_is_known_before(images, plain):
    network = own_network.network_of(own.find(Plain, "Plain"), SHAPE, on_cpu=False)
    built = train.make_train(STUDY, images, network)
    mapped = parallel.make_population(built, population.choose_devices(STUDY))
    one = parallel.shapes_of_one(mapped, STUDY, images)
    each = recorder.bytes_of_one(STUDY, images, built, one)
    watched = [n for n in plain.data_vars if "probe_seed" in plain[n].dims]
    assert sum(plain[name].nbytes for name in watched) == each
    held = dataclasses.replace(STUDY, probe_mib=0.9 * each / 2**20)
    assert responses.watched_seeds(held, each) == 0


@pytest.fixture(scope="module")
def subjects(images):
    """What networks are watched on, and how many of those are probes."""
    seen = feed.variants(images, STUDY.data, ["natural"])
    return responses.subjects(images, seen).images[0], responses.probe_count(images)


def shown(network, subjects, kernel):
    params, state = network.build(jax.random.key(3), kernel)
    return jax.jit(network.watch, static_argnums=3)(params, state, *subjects)


@pytest.mark.parametrize("impl", ["lax", "gemm"])
def test_layers_are_shown_alike_in_either_form(images, subjects, impl):
    kernel = jax.random.normal(jax.random.key(5), (3, 3, 1, 4))
    networks = (
        own_network.network_of(own.find(Plain, "Plain"), SHAPE, on_cpu=impl == "gemm"),
        train.built_in(STUDY, images, ops.IMPLS[impl]),
    )
    assert_shown_alike(*(shown(network, subjects, kernel) for network in networks))


def test_a_single_convolution_is_watched_after_its_norm(subjects):
    """In evaluation mode: dropout and the batch's own statistics have no part in it."""
    found = own.find(Stateful, "Stateful")
    assert own_network.watched(found, SHAPE) == (["blocks/0/layers/0"], 1)
    network = own_network.network_of(found, SHAPE, on_cpu=True)
    kernel = jax.random.normal(jax.random.key(5), found.shape)
    values = shown(network, subjects, kernel)
    assert layers_of_names(values) == [1]
    module = Stateful(nnx.Rngs(jax.random.key(3)), lambda *_: kernel)
    module.eval()
    maps = nnx.relu(module.blocks[0](subjects[0][: subjects[1]]))
    np.testing.assert_allclose(values["feature_map_1"], maps, rtol=2e-3, atol=2e-3)
    assert [tuple(field) for field in network.fields()] == [(5, 1, -2)]


def layers_of_names(values):
    return sorted(int(n.rpartition("_")[2]) for n in values if n.startswith("feature_map_"))


class Traced(nnx.Module):
    """Its second convolution is within nnx.jit, its third is rematerialised; `first`: also the first one."""

    def __init__(self, rngs, first_init, first=False):
        self.first = first
        self.convs = nnx.List(
            [nnx.Conv(1, 4, (3, 3), kernel_init=first_init, rngs=rngs)]
            + [nnx.Conv(cin, cout, (3, 3), rngs=rngs) for cin, cout in ((4, 5), (5, 6), (6, 7))]
        )
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.head = nnx.Linear(7, CLASSES, rngs=rngs)

    def __call__(self, x):
        first, second, third, last = self.convs
        x = nnx.relu(jitted(first, x) if self.first else first(x))
        x = nnx.relu(self.norm(jitted(second, x)))
        x = nnx.relu(nnx.remat(lambda conv, x: conv(x))(third, x))
        return self.head(nnx.relu(last(x)).mean((1, 2)))


@nnx.jit
def jitted(conv, x):
    return conv(x)


@pytest.mark.parametrize("on_cpu", [False, True])
def test_convolutions_within_other_traces_are_left_out(subjects, on_cpu):
    found = own.find(Traced, "Traced")
    assert own_network.watched(found, SHAPE) == (["convs/0", "convs/3"], 4)
    network = own_network.network_of(found, SHAPE, on_cpu=on_cpu)
    kernel = jax.random.normal(jax.random.key(5), found.shape)
    values = shown(network, subjects, kernel)
    assert layers_of_names(values) == [1, 2]
    assert values["feature_map_2"].shape[-1] == 7
    assert "kernel_2" not in values
    assert [field.size for field in network.fields()] == [3, 9]
    assert all(np.isfinite(of).all() for of in values.values())


def test_nothing_is_watched_where_the_first_convolution_is_out_of_reach(images):
    def make(rngs, first_init):
        return Traced(rngs, first_init, first=True)

    told = []

    class Told(Observer):
        def on_start(self, text):
            told.append(text)

    trajectory = trained(make, images, steps=2, observer=Told())
    assert layers_of(trajectory) == []
    assert "probe_seed" not in trajectory.variables
    assert told == ["nothing is logged of deeper layers"]


def test_of_many_convolutions_five_are_watched():
    class Deep(nnx.Module):
        def __init__(self, rngs, first_init):
            self.convs = nnx.List(
                [nnx.Conv(1, 4, (3, 3), kernel_init=first_init, rngs=rngs)]
                + [nnx.Conv(4, 4, (3, 3), rngs=rngs) for _ in range(8)]
            )
            self.head = nnx.Linear(4, CLASSES, rngs=rngs)

        def __call__(self, x):
            for conv in self.convs:
                x = nnx.relu(conv(x))
            return self.head(x.mean((1, 2)))

    found = own_network.watched(own.find(Deep, "Deep"), SHAPE)
    assert found == ([f"convs/{i}" for i in (0, 2, 4, 6, 8)], 9)
    network = own_network.network_of(own.find(Deep, "Deep"), SHAPE, on_cpu=True)
    key, kernel = jax.random.key(0), jnp.zeros((3, 3, 1, 4))
    images = jax.ShapeDtypeStruct((4 + 370 + 20, *SHAPE), jnp.float32)
    values = jax.eval_shape(lambda x: network.watch(*network.build(key, kernel), x, 4), images)
    assert layers_of_names(values) == [1, 2, 3, 4, 5]
    assert "kernel_2" not in values  # it takes what another layer answers


def test_a_frozen_layer_stays_as_it_is(plain):
    kernels = plain["kernel"].sel(arm="sobel/frozen").values
    np.testing.assert_array_equal(kernels, np.broadcast_to(kernels[:, :1], kernels.shape))
    learned = plain["kernel"].sel(arm="gabor/wd=0.5").values
    assert (np.abs(learned[:, -1] - learned[:, 0]).max((1, 2, 3, 4)) > 1e-3).all()


@pytest.mark.slow
def test_the_forms_for_a_cpu_change_nothing_but_the_last_bits(images, plain):
    """Over few steps: near-ties of pools make trajectories part later."""
    fast = trained(Plain, images, impl="gemm")
    for name in ("kernel", "train_loss"):
        np.testing.assert_allclose(
            fast[name].isel(step=[0, 1]), plain[name].isel(step=[0, 1]), rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(fast["train_loss"], plain["train_loss"], rtol=0.05)


@pytest.mark.slow
def test_groups_and_devices_do_not_matter(images, plain):
    told = []

    class Groups(Observer):
        def on_group(self, index, count):
            told.append((index, count))

    one_by_one = trained(Plain, images, impl="lax", memory_gib=4e-5, observer=Groups())
    assert told == [(0, 2), (1, 2)]
    assert_equal(one_by_one, plain)
    assert_equal(trained(Plain, images, impl="lax", devices=1), plain)


@pytest.mark.parametrize("training", [True, False])
def test_state_is_flaxs_own(training):
    """Logits, running statistics, dropout's stream and a counter, after three calls."""
    found = own.find(Stateful, "Stateful")
    network = own_network.network_of(found, SHAPE, on_cpu=True)
    assert network.whole_batch
    kernel = jax.random.normal(jax.random.key(5), found.shape)
    module = Stateful(nnx.Rngs(jax.random.key(3)), lambda *_: kernel)
    module.train() if training else module.eval()
    params, state = network.build(jax.random.key(3), kernel)
    for seed in range(3):
        batch = 2 + jax.random.normal(jax.random.key(seed), (6, *SHAPE))
        logits, state = network.logits(params, state, batch, training)
        np.testing.assert_allclose(logits, module(batch), rtol=1e-4, atol=1e-5)
    norm = module.blocks[0].layers[1]
    kept = state["blocks"][0]["layers"][1]
    np.testing.assert_allclose(kept["mean"][...], norm.mean[...], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept["var"][...], norm.var[...], rtol=1e-5)
    assert bool(jnp.any(norm.mean[...] != 0)) == training
    assert int(state["calls"][...]) == int(module.calls[...]) == 3
    assert int(state["dropout"]["rngs"]["count"][...]) == int(module.dropout.rngs.count[...])


def test_networks_under_vmap_are_those_one_by_one():
    """The form on GPU and TPU: streams of dropout and running statistics are each network's own."""
    found = own.find(Stateful, "Stateful")
    network = own_network.network_of(found, SHAPE, on_cpu=False)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    kernels = jax.random.normal(jax.random.key(5), (2, *found.shape))
    batch = jax.random.normal(jax.random.key(6), (2, 6, *SHAPE))

    def two_steps(key, kernel, images):
        params, state = network.build(key, kernel)
        first, state = network.logits(params, state, images, True)
        return first, *network.logits(params, state, images, True)

    mapped = jax.jit(jax.vmap(two_steps))(keys, kernels, batch)
    one_by_one = [two_steps(keys[i], kernels[i], batch[i]) for i in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), mapped, stacked
    )
    assert not np.array_equal(mapped[0], mapped[1])  # other units are dropped


def test_memory_of_a_batch_grows_with_it():
    found = own.find(Plain, "Plain")
    small, large = (own_network.bytes_of_batch(found, SHAPE, batch) for batch in (32, 64))
    assert 1.9 < large / small < 2.1
    assert small > 4 * 32 * (12 * 10 * 4 + 6 * 5 * 6)  # what the convolutions answer


def test_what_mixes_images_is_given_whole_batches():
    class Mixes(Plain):
        def __call__(self, x):
            return super().__call__(x - x.mean(0))

    for make, mixes in ((Plain, False), (Mixes, True), (Stateful, True)):
        found = own.find(make, "it")
        assert own_network.network_of(found, SHAPE, on_cpu=True).whole_batch == mixes


class Stops(Observer):
    """Asks for an end after so many dispatches."""

    def __init__(self, dispatches):
        self.left = iter(range(dispatches))

    def signal(self):
        return signal.SIGTERM if next(self.left, None) is None else 0


def test_dropout_is_repeatable_and_resumes_to_the_same_bits(images, tmp_path):
    study = dataclasses.replace(STUDY, arms=STUDY.arms[:2], steps=40)
    found = own.find(Stateful, "Stateful")
    model = Model(own="Stateful", parameters=found.parameters, kernel_size=5, width=4)
    study = dataclasses.replace(study, model=model)

    def run(place, observer=None, network="1"):
        store = checkpoints.Store(place, seconds=0, versions={"network": network})
        return population.train_population(
            study, images, own=found, store=store, observer=observer or Observer()
        )

    whole = run(tmp_path / "whole")
    place = tmp_path / "stopped"
    with pytest.raises(Stopped):
        run(place, Stops(3))
    with pytest.raises(RunError, match=r"was begun with another network \(network 1, now 2\)"):
        run(place, network="2")
    assert_equal(run(place), whole)


def test_the_first_convolution_is_the_one_declared_first():
    """Not the first by name."""

    class Named(nnx.Module):
        def __init__(self, rngs, first_init):
            self.stem = nnx.Conv(3, 8, (7, 7), kernel_init=first_init, rngs=rngs)
            self.body = nnx.List([nnx.Conv(8, 3, (1, 1), rngs=rngs)])
            self.again = nnx.Conv(3, 8, (3, 3), rngs=rngs)

    found = own.find(Named, "Named")
    assert found.first == ("stem", "kernel")
    assert found.shape == (7, 7, 3, 8)
    assert "body/0/kernel 1 x 1 x 8 x 3" in found.parameters


def conv(*words, **more):
    return lambda rngs, first_init: Wrapped(nnx.Conv(*words, **more, rngs=rngs))


class Wrapped(nnx.Module):
    def __init__(self, inner):
        self.inner = inner


def _also_second(rngs, first_init):
    module = Plain(rngs, first_init)
    module.conv2 = nnx.Conv(4, 6, (3, 3), kernel_init=first_init, rngs=rngs)
    return module


class NotStored(nnx.Module):
    def __init__(self, rngs, first_init):
        conv = nnx.Conv(1, 4, (3, 3), kernel_init=first_init, rngs=rngs)
        conv.kernel = nnx.BatchStat(conv.kernel[...])
        self.conv = conv


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Plain(nnx.Rngs(0), nnx.initializers.zeros_init()), "not a Plain, for every network is"),
        ("net:make", "not a str"),
        (lambda rngs: None, r"must take \(rngs, first_init\): too many positional arguments"),
        (lambda rngs, first_init: {}, "makes a dict, and must make a Flax nnx.Module"),
        (lambda rngs, _: Wrapped(nnx.Linear(2, 2, rngs=rngs)), "no convolution that can be"),
        (conv(1, 4, (3, 3)), "does not start from first_init: give it kernel_init=first_init"),
        (conv(1, 4, (3, 5)), "is 3 x 5 x 1 x 4, and kernels that are measured are square"),
        (conv(1, 4, (3,)), "is 3 x 1 x 4, and"),
        (conv(1, 4, (13, 13)), "is 13 x 13 x 1 x 4, and"),
        (_also_second, "starts a layer of 3 x 3 x 4 x 6 from first_init, too"),
        (NotStored, "is not one parameter"),
        (
            lambda rngs, init: Wrapped(
                nnx.Conv(1, 4, (3, 3), kernel_init=init, param_dtype=jnp.bfloat16, rngs=rngs)
            ),
            "inner/bias is bfloat16, and parameters must be float32",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_sentence(make, told):
    with pytest.raises(ConfigError, match=told) as caught:
        own.find(make, "it")
    assert "\n" not in str(caught.value)
    assert "--layer" not in str(caught.value)


def _answering(answer):
    return type("Answers", (Plain,), {"__call__": answer})


@pytest.mark.parametrize(
    ("make", "shape", "told"),
    [
        (Plain, (12, 10, 3), "takes 1 channels, and the images have 3"),
        (
            _answering(lambda self, x: x.mean((1, 2))),
            SHAPE,
            "with 2 x 1, and must with logits, 2 x 3",
        ),
        (_answering(lambda self, x: (x, x)), SHAPE, "with a tuple, and must"),
        (
            _answering(
                lambda self, x: setattr(self, "n", nnx.Variable(x)) or Plain.__call__(self, x)
            ),
            SHAPE,
            "other variables after a call",
        ),
    ],
)
def test_what_does_not_fit_the_images_is_told_in_a_sentence(make, shape, told):
    with pytest.raises(ConfigError, match=told):
        own_network.check(own.find(make, "it"), shape, CLASSES)


def test_a_kernel_that_is_changed_after_it_was_drawn_is_told(images):
    def make(rngs, first_init):
        return Plain(rngs, lambda *args: 0.5 * first_init(*args))

    with pytest.raises(ConfigError, match="does not start from what first_init draws"):
        trained(make, images)


def test_digest_is_of_what_is_computed():
    def digest(make, **more):
        return own_network.digest(own.find(make, "it"), SHAPE)

    class Same(Plain):
        pass

    class Gelu(Plain):
        def __call__(self, x):
            x = nnx.max_pool(nnx.gelu(self.conv1(x)), (2, 2), (2, 2))
            x = nnx.max_pool(nnx.gelu(self.conv2(x)), (2, 2), (2, 2))
            return self.dense(x.reshape(len(x), -1))

    class Starts(Plain):
        def __init__(self, rngs, first_init):
            super().__init__(rngs, first_init)
            self.dense.bias[...] += 1

    found = [digest(make) for make in (Plain, Same, Gelu, Starts)]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_names():
    assert own.name_of(Plain) == f"{__name__}:Plain"
    assert own.name_of(jax.tree_util.Partial(Plain)) == f"{__name__}:Plain"


FORMS = {
    "same": lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", **NHWC),
    "valid": lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "VALID", **NHWC),
    "stride": lambda x, k: lax.conv_general_dilated(x, k, (2, 3), "SAME", **NHWC),
    "patches": lambda x, k: lax.conv_general_dilated(x, k, k.shape[:2], "VALID", **NHWC),
    "cropped": lambda x, k: lax.conv_general_dilated(x, k, (2, 1), [(-1, 2), (3, 0)], **NHWC),
    "in jit": lambda x, k: jax.jit(FORMS["same"])(x, k),
    "maximum": lambda x, k: nnx.max_pool(FORMS["same"](x, k), (2, 2), (2, 2)),
    "mean": lambda x, k: nnx.avg_pool(FORMS["same"](x, k), (2, 3), (2, 3)),
}
NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("form", FORMS)
def test_substitutes_are_what_xla_computes(form, size):
    keys = jax.random.split(jax.random.key(0), 3)
    x, k = jax.random.normal(keys[0], (2, 9, 8, 3)), jax.random.normal(keys[1], (*size, 3, 5))

    def loss(function, x, k):
        y = jnp.sin(function(x, k))
        return (y * jax.random.normal(keys[2], y.shape)).sum()

    function = FORMS[form]
    both = [
        jax.jit(jax.value_and_grad(lambda *args, f=f: loss(f, *args), (0, 1)))(x, k)
        for f in (function, substitutes.on_cpu(function))
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *both)
    assert substitutes.left_over(function, x, k) == (0, 1)
    made = str(jax.make_jaxpr(substitutes.on_cpu(function))(x, k))
    assert "conv_general_dilated" not in made
    assert "reduce_window" not in made


def test_what_has_no_other_form_stays_as_it_is():
    x, k = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 1, 8))

    def grouped(x, k):
        return lax.conv_general_dilated(x, k, (1, 1), "SAME", feature_group_count=4, **NHWC)

    def scanned(x, k):
        k = jnp.tile(k, (1, 1, 4, 1))[..., :4]
        return lax.scan(lambda x, _: (FORMS["same"](x, k), None), x, None, 2)[0]

    for function in (grouped, scanned):
        assert substitutes.left_over(function, x, k) == (1, 1)
        np.testing.assert_allclose(substitutes.on_cpu(function)(x, k), function(x, k))
