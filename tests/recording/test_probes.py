"""Layers of a recorded network, watched on probes: the maps of every framework, what is kept, the report."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from scipy.signal import correlate

import kernelstudy
from kernelstudy.analysis.deep_tables import measure_deep
from kernelstudy.analysis.fields import Field, receptive_fields
from kernelstudy.analysis.variables import of_layer
from kernelstudy.recording import joined, points, responses
from kernelstudy.recording.forward import Forward, forward_of, in_chunks
from kernelstudy.system.errors import InputError
from kernelstudy.training import ops
from kernelstudy.training.model import CNN
from kernelstudy.training.responses import watch

pytestmark = pytest.mark.usefixtures("coarse")

RNG = np.random.default_rng(0)
FIRST = RNG.standard_normal((3, 3, 1, 4)).astype(np.float32)
SECOND = RNG.standard_normal((3, 3, 4, 5)).astype(np.float32)
SHIFT = np.array([0.5, -0.5, 0.2, 0.0], np.float32)
IMAGES = RNG.standard_normal((35, 12, 12, 1)).cumsum(1).astype(np.float32)
CLASSES = np.arange(35) % 3


def convolved(images, kernels):
    """(n, h, w, cin) by kernels (3, 3, cin, cout), same size, by SciPy."""
    return np.stack(
        [
            [
                sum(
                    correlate(image[..., i], kernels[..., i, o], "same")
                    for i in range(image.shape[-1])
                )
                for o in range(kernels.shape[-1])
            ]
            for image in images
        ]
    ).transpose(0, 2, 3, 1)


def torch_net(between=()):
    torch = pytest.importorskip("torch")
    layers = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Conv2d(4, 5, 3, padding=1, bias=False)
    with torch.no_grad():
        for layer, kernels in zip(layers, (FIRST, SECOND), strict=True):
            layer.weight.copy_(torch.from_numpy(kernels.transpose(3, 2, 0, 1)))
        layers[0].bias.copy_(torch.from_numpy(SHIFT))
    return torch.nn.Sequential(layers[0], *between, torch.nn.ReLU(), layers[1]), (
        "0",
        "3" if between else "2",
    )


class Nnx(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv1 = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(4, 5, (3, 3), use_bias=False, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.conv1.kernel[...], self.conv1.bias[...] = jnp.asarray(FIRST), jnp.asarray(SHIFT)
        self.conv2.kernel[...] = jnp.asarray(SECOND)

    def __call__(self, x):
        return self.conv2(self.dropout(nnx.relu(self.conv1(x)))).mean((1, 2))


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.relu(linen.Conv(4, (3, 3), name="conv1")(x))
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return linen.Conv(5, (3, 3), use_bias=False, name="conv2")(x).mean((1, 2))


def of_framework(name):
    """A model, what `forward` is, and the names of its two convolutions."""
    if name == "torch":
        model, names = torch_net()
        return model, None, names
    if name == "nnx":
        return Nnx(), None, ("conv1", "conv2")
    if name == "linen":
        params = {"conv1": {"kernel": FIRST, "bias": SHIFT}, "conv2": {"kernel": SECOND}}
        return params, Linen(), ("conv1", "conv2")
    if name == "equinox":
        eqx = pytest.importorskip("equinox")
        keys = jax.random.split(jax.random.key(0))
        convs = [eqx.nn.Conv2d(1, 4, 3, padding=1, key=keys[0])]
        convs.append(eqx.nn.Conv2d(4, 5, 3, padding=1, use_bias=False, key=keys[1]))
        weights = [jnp.asarray(k.transpose(3, 2, 0, 1)) for k in (FIRST, SECOND)]
        model = eqx.nn.Sequential([convs[0], eqx.nn.Lambda(jax.nn.relu), convs[1]])
        places = lambda m: (m.layers[0].weight, m.layers[0].bias, m.layers[2].weight)  # noqa: E731
        return (
            eqx.tree_at(places, model, (weights[0], jnp.asarray(SHIFT)[:, None, None], weights[1])),
            None,
            ("layers/0", "layers/2"),
        )
    keras = pytest.importorskip("keras")
    layers = [
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="one"),
        keras.layers.Conv2D(5, 3, padding="same", use_bias=False, name="two"),
    ]
    model = keras.Sequential([keras.Input((12, 12, 1)), *layers])
    model.set_weights([FIRST, SHIFT, SECOND])
    return model, None, ("one", "two")


@pytest.mark.parametrize("framework", ["torch", "nnx", "linen", "equinox", "keras"])
def test_maps_are_what_the_convolutions_answer(framework, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    model, given, names = of_framework(framework)
    forward = forward_of(model, given)
    images = IMAGES.transpose(0, 3, 1, 2) if forward.channels_first else IMAGES
    maps = in_chunks(forward, model, images)
    assert tuple(maps) == names
    first = convolved(IMAGES, FIRST) + SHIFT
    one = np.maximum(maps[names[0]], 0)
    np.testing.assert_allclose(one, np.maximum(first, 0), rtol=1e-4, atol=1e-4)
    second = convolved(np.maximum(first, 0), SECOND)
    np.testing.assert_allclose(maps[names[1]], second, rtol=1e-4, atol=1e-3)


def test_a_convolution_that_answers_within_a_trace_is_left_out():
    class Traced(Nnx):
        def __call__(self, x):
            return nnx.jit(lambda conv, x: conv(x))(self.conv2, nnx.relu(self.conv1(x)))

    model = Traced()
    maps = in_chunks(forward_of(model), model, IMAGES)
    assert list(maps) == ["conv1"]
    first = convolved(IMAGES, FIRST) + SHIFT
    np.testing.assert_allclose(maps["conv1"], first, rtol=1e-4, atol=1e-4)


def test_a_normalisation_that_takes_an_answer_is_part_of_it():
    torch = pytest.importorskip("torch")
    norm = torch.nn.BatchNorm2d(4)
    norm.running_mean.copy_(torch.tensor([1.0, 2, 3, 4]))
    norm.running_var.fill_(4.0)
    model, names = torch_net([norm])
    model[2].eval()
    maps = in_chunks(forward_of(model), model, IMAGES.transpose(0, 3, 1, 2))
    want = (convolved(IMAGES, FIRST) + SHIFT - [1, 2, 3, 4]) / np.sqrt(4 + norm.eps)
    np.testing.assert_allclose(maps[names[0]], want, rtol=1e-3, atol=1e-3)
    # nothing of the model is changed
    assert norm.running_mean.tolist() == [1, 2, 3, 4]
    assert [inner.training for inner in model] == [True, True, False, True]
    assert not any(inner._forward_hooks for inner in model)


def test_what_is_kept_is_what_our_own_networks_keep():
    model = CNN(
        image_shape=(11, 10, 1),
        classes=3,
        kernel_size=3,
        width=6,
        deep_width=5,
        depth=3,
        activation="relu",
        first_init=nnx.initializers.he_normal(),
        rngs=nnx.Rngs(1),
    )
    images = RNG.standard_normal((40, 11, 10, 1)).cumsum(2).astype(np.float32)

    def maps(_, some):
        found = model.feature_maps(jnp.asarray(some), ops.LAX)
        return {str(i): np.asarray(m) for i, m in enumerate(found)}

    forward = Forward(maps, channels_first=False)
    probes = responses.prepare(images, np.arange(40) % 3, forward)
    got = responses.Watch(forward, probes, ["0", "1", "2"], [], 3)(None)
    together = np.concatenate([images[:8], probes.stimuli, images])
    maps_of = partial(model.feature_maps, ops=ops.LAX)
    want = watch(maps_of, ops.LAX, jnp.asarray(together), 8)
    assert set(got) == set(want)
    for name, values in want.items():
        exact = "example" in name or "place" in name
        near = {"rtol": 0} if exact else {"rtol": 5e-3, "atol": 2e-3}
        np.testing.assert_allclose(got[name], values, err_msg=name, **near)
    for number in (1, 2, 3):
        listed = {n for n in of_layer(number) if not n.startswith("kernel")}
        assert listed <= set(got)


def test_receptive_fields_are_measured():
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    layers += [torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    model = torch.nn.Sequential(*layers, torch.nn.Conv2d(4, 4, 3, padding=1))
    images = RNG.standard_normal((2, 1, 28, 28)).astype(np.float32)
    forward = forward_of(model)
    begun = responses.begin(model, forward, responses.prepare(images, None, forward), "0.weight")
    want = receptive_fields((28, 28), kernel_size=3, depth=3)
    assert [Field(*field) for field in begun.fields] == want


def trained(place, seed=0, steps=12, **settings):
    """A small torch network, recorded as its kernels are changed."""
    torch = pytest.importorskip("torch")
    model, _ = torch_net()
    images = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())
    log = kernelstudy.Recorder(place, seed=seed, probes=images, **settings)
    for step in range(steps):
        log(step, model, accuracy=step / steps)
        with torch.no_grad():
            model[0].weight.add_(0.05 * torch.randn_like(model[0].weight))
            model[2].weight.add_(0.05 * torch.randn_like(model[2].weight))
    log.close()
    return log.folder


def test_the_report_shows_the_layers_over_training(tmp_path):
    for seed in range(2):
        trained(tmp_path, seed, probe_labels=CLASSES)
    page = kernelstudy.report(tmp_path)
    run = kernelstudy.open_run(page.parent, measures=True)
    steps = run["step"].values.tolist()
    assert run["feature_map_2"].shape == (1, 2, len(steps), 8, 12, 12, 5)
    assert json.loads(run.attrs["fields"]) == [[3, 1, -1], [5, 1, -2]]
    assert run["cka_final"].isel(step=-1).values.min() > 0.999
    assert np.isfinite(run["class_selectivity_1"].values).any()
    text = page.with_suffix(".md").read_text()
    assert "layer 1: 0; layer 2: 2 (2 of 2 convolutions)" in text
    assert "the features of the probes" in text
    assert "held-out" not in text
    assert (page.parent / "figures" / "feature_maps_0.png").exists()
    content = page.read_text()
    assert '"name":"probe 1, class 0"' in content.replace('": "', '":"')


def test_without_classes_and_within_a_bound(tmp_path):
    with pytest.warns(UserWarning, match="kept at every second log point"):
        folder = trained(tmp_path, steps=40, probe_mib=0.2)
    logged, watched = points.steps(folder), points.steps(folder, points.RESPONSES)
    assert watched[0] == logged[0]
    assert watched[-1] == logged[-1]
    assert sum(p.stat().st_size for p in (folder / points.RESPONSES).iterdir()) < 0.25 * 2**20
    run = kernelstudy.open_run(joined.join([folder]))
    assert run["step"].values.tolist() == watched
    deep = measure_deep(run, [True])
    assert np.isnan(deep.channels["class_selectivity_1"].values).all()
    assert np.isnan(deep.layers["probe_accuracy"].values).all()
    assert np.isfinite(deep.layers["cka_final"].values).all()


def test_networks_that_are_not_alike_are_reported_without_their_layers(tmp_path):
    folders = [trained(tmp_path, 0, probe_labels=CLASSES), trained(tmp_path, 1)]
    run = kernelstudy.open_run(joined.join(folders))
    assert run.sizes["seed"] == 2
    assert "feature_map_1" not in run


def test_what_cannot_be_watched_is_one_sentence(tmp_path):
    model, _ = torch_net()
    images = IMAGES.transpose(0, 3, 1, 2)
    wrong = [
        ({"probes": images[0]}, "two images or more"),
        ({"probes": IMAGES}, "which axis is which"),
        ({"probes": np.full_like(images, np.nan)}, "finite"),
        ({"probes": images, "probe_labels": [1, 2]}, "35 whole numbers"),
        ({"probes": images[:, :, :2, :2].repeat(3, 1)}, "channels"),
        ({"probes": images.repeat(3, 1)}, "does not run on images of 1 x 3 x 12 x 12"),
    ]
    for number, (settings, told) in enumerate(wrong):
        log = kernelstudy.Recorder(tmp_path, seed=number, **settings)
        with pytest.raises(InputError, match=told):
            log(0, model)
    with pytest.raises(InputError, match="forward= gives the Flax Linen module"):
        kernelstudy.Recorder(tmp_path, seed=50, probes=IMAGES)(0, {"conv1": {"kernel": FIRST}})
    with pytest.raises(InputError, match="of use with probes alone"):
        kernelstudy.Recorder(tmp_path, seed=51, probe_labels=CLASSES)
    log = kernelstudy.Recorder(tmp_path, seed=52, probes=images)
    log(0, model)
    model[2].weight.data = model[2].weight.data[:, :2]
    with pytest.warns(UserWarning, match="maps were not logged"):
        log(1, model)
    log.close()
    with pytest.raises(InputError, match="begun with other probes"):
        torch_model, _ = torch_net()
        kernelstudy.Recorder(tmp_path, seed=52, resume=True)(2, torch_model)
