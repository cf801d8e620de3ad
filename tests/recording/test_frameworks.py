"""Models of every framework: the layer that `compare` finds, bit for bit, its effective weights."""

import numpy as np
import pytest

import kernelstudy
from kernelstudy.recording import points
from kernelstudy.recording.kernels import find_source


def recorded(tmp_path, *models, **settings):
    """Kernels (step, kh, kw, cin, cout) as recorded from models that are one network's at steps 0, 1, ..."""
    log = kernelstudy.Recorder(tmp_path, every=1, **settings)
    for step, model in enumerate(models):
        log(step, model)
    log.close()
    return np.stack([point.kernel for point in points.read_points(log.folder)])


def test_torch_modules_while_they_train(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 4, 3), torch.nn.Flatten()
    )
    net.append(torch.nn.Linear(4 * 4 * 4, 2))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    x, y = torch.randn(16, 1, 8, 8), torch.randint(0, 2, (16,))
    log = kernelstudy.Recorder(tmp_path, images=x, every=3)
    seen = []
    for step in range(8):
        log(step, net, loss=torch.tensor(1.5))
        seen.append(net[0].weight.detach().numpy().copy())
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    log.close()
    run = kernelstudy.open_run(log.folder)
    kernels = run["kernel"].values[0, 0].transpose(0, 4, 3, 1, 2)
    assert run["step"].values.tolist() == [0, 3, 6, 7]
    for row, step in enumerate((0, 3, 6)):
        np.testing.assert_array_equal(kernels[row], seen[step])
    np.testing.assert_array_equal(kernels[-1], seen[7])  # as it was when it was seen
    assert run["patch_basis"].shape == (9, 3, 3)


@pytest.mark.parametrize("form", ["prune", "weight_norm", "parametrized", "spectral_norm"])
def test_torch_weights_are_those_that_are_computed_with(tmp_path, form):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(3, 5, 3)
    if form == "prune":
        from torch.nn.utils import prune

        prune.random_unstructured(conv, "weight", 0.4)
    elif form == "weight_norm":
        with pytest.warns(FutureWarning):
            torch.nn.utils.weight_norm(conv)
    elif form == "parametrized":
        torch.nn.utils.parametrizations.weight_norm(conv)
    else:
        torch.nn.utils.spectral_norm(conv)
    net = torch.nn.Sequential(conv, torch.nn.Conv2d(5, 2, 3))
    net.eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.7)  # the attribute `weight` of older forms is now that of before
    got = recorded(tmp_path, net, net)[0]
    net(torch.zeros(1, 3, 8, 8))
    used = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(got, used, rtol=1e-6)


def test_torch_wrappers_and_state_dicts(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.Conv2d(4, 4, 3))
    wrapped = torch.nn.DataParallel(net)
    want = net[0].weight.detach().numpy().transpose(2, 3, 1, 0)
    for number, model in enumerate((wrapped, net.state_dict())):
        np.testing.assert_array_equal(recorded(tmp_path, model, model, seed=number)[1], want)
    half = net.to(torch.bfloat16)
    got = recorded(tmp_path, half, half, seed=2)[1]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(
        got, half[0].weight.detach().float().numpy().transpose(2, 3, 1, 0)
    )


def test_flax_nnx(tmp_path):
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.stem = nnx.Conv(3, 8, (7, 7), strides=2, rngs=rngs)
            self.head = nnx.Conv(8, 4, (3, 3), rngs=rngs)

    net = Net(nnx.Rngs(0))
    want = np.asarray(net.stem.kernel[...])
    log = kernelstudy.Recorder(tmp_path)
    log(0, net)
    net.stem.kernel[...] = net.stem.kernel[...] * 2
    log(1, net)
    log.close()
    got = kernelstudy.open_run(log.folder)["kernel"].values[0, 0]
    np.testing.assert_array_equal(got, [want, 2 * want])


def test_flax_linen(tmp_path):
    import jax
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(6, (5, 5))(x)
            return nn.Conv(2, (3, 3))(x)

    variables = Net().init(jax.random.key(0), np.zeros((1, 9, 9, 1), np.float32))
    got = recorded(tmp_path, variables, variables)[1]
    np.testing.assert_array_equal(got, variables["params"]["Conv_0"]["kernel"])


def test_equinox(tmp_path):
    eqx = pytest.importorskip("equinox")
    import jax

    class Net(eqx.Module):
        first: eqx.nn.Conv2d
        second: eqx.nn.Conv2d

        def __init__(self, key):
            one, two = jax.random.split(key)
            self.first = eqx.nn.Conv2d(3, 6, 3, key=one)
            self.second = eqx.nn.Conv2d(6, 2, 3, key=two)

    net = Net(jax.random.key(0))
    got = recorded(tmp_path, net, net)[1]
    np.testing.assert_array_equal(got, np.asarray(net.first.weight).transpose(2, 3, 1, 0))


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore")  # its own
def test_keras_callback(tmp_path, keras):
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            keras.layers.Rescaling(1.0),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    rng = np.random.default_rng(0)
    x, y = rng.random((32, 9, 9, 3)).astype(np.float32), rng.integers(0, 2, 32)
    start = np.asarray(model.get_layer("first").kernel)
    callback = kernelstudy.callbacks.Keras(tmp_path, images=x)
    model.fit(x, y, batch_size=8, epochs=2, validation_data=(x, y), callbacks=[callback], verbose=0)
    run = kernelstudy.open_run(callback.recording.recorder.folder)
    assert run["step"].values[0] == 0
    assert run["step"].values[-1] == 8
    np.testing.assert_array_equal(run["kernel"].values[0, 0, 0], start)
    np.testing.assert_array_equal(
        run["kernel"].values[0, 0, -1], np.asarray(model.get_layer("first").kernel)
    )
    assert 0 <= float(run["test_accuracy"][0, 0, -1]) <= 1
    moved = np.abs(np.diff(run["kernel"].values[0, 0], axis=0)).max(axis=(1, 2, 3, 4))
    assert (moved > 0).all()  # the state within an epoch, not that of its start


def test_keras_depthwise_and_transposed(keras):
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            keras.layers.SeparableConv2D(4, 3, name="separable"),
            keras.layers.Conv2DTranspose(2, 3, name="up"),
        ]
    )
    source = find_source(model, "separable/depthwise_kernel", "auto")
    assert source.kernels(source.pick(model)).shape == (3, 3, 1, 3)
    assert source.layer.depthwise


@pytest.mark.filterwarnings("ignore")  # its own
def test_lightning_callback(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    import torch

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(
                torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2)
            )

        def training_step(self, batch, _):
            x, y = batch
            return torch.nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.TensorDataset(torch.randn(32, 1, 8, 8), torch.randint(0, 2, (32,)))
    module = Module()
    start = module.net[0].weight.detach().numpy().copy()
    callback = kernelstudy.callbacks.Lightning(tmp_path)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8))
    run = kernelstudy.open_run(callback.recording.recorder.folder)
    kernels = run["kernel"].values[0, 0].transpose(0, 4, 3, 1, 2)
    assert run["step"].values.tolist()[-1] == 8
    np.testing.assert_array_equal(kernels[0], start)
    np.testing.assert_array_equal(kernels[-1], module.net[0].weight.detach().numpy())


@pytest.mark.filterwarnings("ignore")  # its own
def test_hugging_face_callback(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 4, 3)
            self.head = torch.nn.Linear(144, 2)

        def forward(self, pixels, labels=None):
            logits = self.head(self.conv(pixels).flatten(1))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            return {"loss": loss, "logits": logits}

    rows = [{"pixels": torch.randn(1, 8, 8), "labels": torch.tensor(i % 2)} for i in range(32)]
    net, callback = Net(), kernelstudy.callbacks.HuggingFace(tmp_path)
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"),
        max_steps=6,
        per_device_train_batch_size=8,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    transformers.Trainer(net, arguments, train_dataset=rows, callbacks=[callback]).train()
    run = kernelstudy.open_run(callback.recording.recorder.folder)
    assert run["step"].values.tolist()[-1] == 6
    kernels = run["kernel"].values[0, 0].transpose(0, 4, 3, 1, 2)
    np.testing.assert_array_equal(kernels[-1], net.conv.weight.detach().numpy())
