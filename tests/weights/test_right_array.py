"""The array that is measured: never an optimiser's, a mask, a depthwise, transposed or later layer's.

In every network the layer that sees the image holds STEM, and everything else noise.
"""

import functools
import io
import json
import zipfile

import numpy as np
import pytest

from kernelstudy import compare
from kernelstudy.weights import WeightsError, choose, modules, read
from tests.weights.files import OIHW, STEM

torch = pytest.importorskip("torch")
nn = torch.nn
RNG = np.random.default_rng(8)


def noise(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def t(array):
    return torch.tensor(np.ascontiguousarray(array))


def save(place, content, name="net.pt"):
    torch.save(content, place / name)
    return place / name


def safetensors(place, arrays):
    from safetensors.torch import save_file

    save_file({k: t(v) for k, v in arrays.items()}, place / "n.safetensors", {"format": "pt"})
    return place / "n.safetensors"


def network():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    with torch.no_grad():
        net[0].weight.copy_(t(OIHW))
    return net


def measured(path, wanted=STEM, name=None, rtol=0.0):
    layer, _ = choose(read(path), name)
    np.testing.assert_allclose(layer.hwio(), wanted, rtol=rtol, atol=rtol)
    return layer


def asked(path, *names):
    with pytest.raises(WeightsError, match="name one with --layer") as told:
        choose(read(path))
    assert all(name in str(told.value) for name in names), told.value


def trained(kind, **settings):
    net = network()
    optimiser = kind(net.parameters(), lr=1e-3, **settings)
    net(torch.randn(2, 3, 9, 9)).square().mean().backward()
    optimiser.step()
    with torch.no_grad():
        net[0].weight.copy_(t(OIHW))
    return net, optimiser


@pytest.mark.parametrize("key", ["optimizer_states", "opt", "anything", "state"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.Adadelta, {}),
        (torch.optim.Rprop, {}),
    ],
)
def test_optimiser_states_saved_first(tmp_path, key, kind, settings):
    net, optimiser = trained(kind, **settings)
    states = [optimiser.state_dict()] if key.endswith("s") else optimiser.state_dict()
    path = save(tmp_path, {key: states, "state_dict": net.state_dict()})
    assert measured(path).name == "0.weight"
    with pytest.raises(WeightsError, match=r"holds no weights of a layer.*an optimiser's state"):
        choose(read(save(tmp_path, {key: states})))


@pytest.mark.parametrize("how", ["flat", "pickled"])
def test_optimiser_states_of_other_forms(tmp_path, how):
    net, optimiser = trained(torch.optim.Adam)
    flat = {f"a.state.0.{k}": v for k, v in optimiser.state_dict()["state"][0].items()}
    first = flat if how == "flat" else {"trainer": optimiser}
    measured(save(tmp_path, {**first, **{f"net.{k}": v for k, v in net.state_dict().items()}}))


def test_an_optax_state_and_averages_beside_flax_parameters(tmp_path):
    import jax
    import optax
    from flax import serialization

    params = {"stem": {"kernel": STEM}}
    state = optax.adamw(1e-3).init(params)
    state = jax.tree.map(lambda a: a + 1.0 if a.ndim else a, state)
    for key in ("opt_state", "a_state"):
        tree = {key: serialization.to_state_dict(state), "params": params}
        (tmp_path / "a.msgpack").write_bytes(serialization.to_bytes(tree))
        assert measured(tmp_path / "a.msgpack").name == "params/stem/kernel"
    for key in ("ema_params", "params_ema", "swa", "avg_params", "target_params"):
        tree = {key: {"stem": {"kernel": noise(*STEM.shape)}}, "params": params}
        (tmp_path / "a.msgpack").write_bytes(serialization.to_bytes(tree))
        found = compare.compare(tmp_path / "a.msgpack")
        assert "params/stem/kernel: 3x3" in found.introduction[1]
        assert f"candidates too: {key}/stem" in found.introduction[3]


def test_an_average_alone_is_told_to_be_one(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(network())
    for content in (averaged.state_dict(), {"model_ema": network().state_dict()}):
        found = compare.compare(save(tmp_path, content))
        assert any("an average of the weights" in line for line in found.introduction)
        assert any("an average of the weights" in note for note in found.opened[0].notes)
    live = {f"current_model_state.{k}": v for k, v in network().state_dict().items()}
    other = {k: torch.randn_like(v) for k, v in network().state_dict().items()}
    path = save(tmp_path, {"state_dict": other, **live})  # Lightning's WeightAveraging
    assert measured(path).name == "current_model_state.0.weight"


def test_twins_that_no_name_tells_apart_are_a_question(tmp_path):
    two = {k: network().state_dict() for k in ("a", "b")}
    measured(save(tmp_path, two))  # the same numbers twice
    two["b"]["0.weight"] += 1
    asked(save(tmp_path, two), "a.0.weight", "b.0.weight")
    streams = {"rgb.conv.weight": t(OIHW), "flow.conv.weight": t(noise(8, 3, 3, 3))}
    asked(save(tmp_path, streams), "rgb.conv.weight", "flow.conv.weight")
    asked(safetensors(tmp_path, streams), "rgb.conv.weight", "flow.conv.weight")
    depth = {"rgb.conv1.weight": t(OIHW), "depth.conv1.weight": t(noise(8, 1, 3, 3))}
    asked(save(tmp_path, depth), "rgb.conv1.weight", "depth.conv1.weight")
    assert compare.main([str(save(tmp_path, two)), "--out", str(tmp_path / "o")]) == 2


@pytest.mark.parametrize("dw", ["blocks.0.0.conv_dw", "a.depthwise", "blocks.dwconv", "a.dw_conv"])
def test_depthwise_layers_sort_before_a_grey_stem(tmp_path, dw):
    grey = OIHW[:, :1]
    path = safetensors(tmp_path, {"conv_stem.weight": grey, f"{dw}.weight": noise(8, 1, 3, 3)})
    assert measured(path, STEM[:, :, :1]).name == "conv_stem.weight"
    plain = safetensors(tmp_path, {"x.weight": grey, "b.weight": noise(8, 1, 3, 3)})
    asked(plain, "x.weight", "b.weight")


@pytest.mark.parametrize("bias", [True, False])
def test_a_generator_sees_no_image(tmp_path, capsys, bias):
    net = nn.Sequential(
        nn.ConvTranspose2d(16, 8, 4, bias=bias), nn.ConvTranspose2d(8, 3, 4, bias=bias)
    )
    for content in (net.state_dict(), net):
        path = save(tmp_path, content)
        with pytest.raises(WeightsError, match=r"no layer sees an image.*transposed"):
            choose(read(path))
        assert choose(read(path), "1")[0].shape_hwio() == (4, 4, 8, 3)
    with pytest.raises(WeightsError, match="no layer sees an image"):
        choose(modules.read(net))
    assert compare.main([str(path), "--out", str(tmp_path / "o")]) == 2
    discriminator = nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.Conv2d(8, 16, 3, bias=bias))
    with torch.no_grad():
        discriminator[0].weight.copy_(t(OIHW))
    measured(save(tmp_path, {"g": net.state_dict(), "d": discriminator.state_dict()}))


def test_bands_that_no_layer_makes(tmp_path):
    stem = noise(8, 13, 3, 3)
    content = {"conv_stem.weight": t(stem), "blocks.conv_dw.weight": t(noise(8, 1, 3, 3))}
    measured(save(tmp_path, content), stem.transpose(2, 3, 1, 0))
    path = safetensors(tmp_path, {k: v.numpy() for k, v in content.items()})
    measured(path, stem.transpose(2, 3, 1, 0))


def test_pruned_and_masked_weights(tmp_path):
    from torch.nn.utils import prune

    net = network()
    prune.random_unstructured(net[0], "weight", 0.5)
    wanted = net[0].weight.detach().numpy().transpose(2, 3, 1, 0)
    for content in (net.state_dict(), {f"module.{k}": v for k, v in net.state_dict().items()}):
        layer = measured(save(tmp_path, content), wanted, rtol=1e-6)
        assert "weight_orig * " in layer.notes[0]
    assert choose(modules.read(net))[0].hwio() == pytest.approx(wanted)
    mask = (RNG.random(OIHW.shape) > 0.5).astype(np.float32)
    content = {"c.weight": t(OIHW), "c.mask": t(mask)}  # a masked convolution
    measured(save(tmp_path, content), STEM * mask.transpose(2, 3, 1, 0))
    content = {"c.parametrizations.weight.original": t(OIHW)}
    content["c.parametrizations.weight.0.mask"] = t(mask)  # torch.ao.pruning
    measured(save(tmp_path, content), STEM * mask.transpose(2, 3, 1, 0))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("new", [True, False])
def test_weight_normalisation(tmp_path, new, dim):
    utils = nn.utils
    norm = utils.parametrizations.weight_norm if new else utils.weight_norm
    net = network()
    norm(net[0], dim=dim)
    with torch.no_grad():
        g = net[0].parametrizations.weight.original0 if new else net[0].weight_g
        g.mul_(1.7)
    net(torch.zeros(1, 3, 9, 9))
    wanted = net[0].weight.detach().numpy().transpose(2, 3, 1, 0)
    measured(save(tmp_path, net.state_dict()), wanted, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("new", [True, False])
def test_spectral_normalisation(tmp_path, new):
    norm = nn.utils.parametrizations.spectral_norm if new else nn.utils.spectral_norm
    net = network()
    norm(net[0])
    net(torch.zeros(1, 3, 9, 9))
    net.eval()(torch.zeros(1, 3, 9, 9))
    wanted = net[0].weight.detach().numpy().transpose(2, 3, 1, 0)
    measured(save(tmp_path, net.state_dict()), wanted, rtol=1e-5)


def test_flax_norms_are_applied(tmp_path):
    import jax
    from flax import linen, serialization

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.WeightNorm(linen.Conv(8, (3, 3)))(x)

    variables = Net().init(jax.random.key(0), np.zeros((1, 9, 9, 3), np.float32))
    (scale,) = jax.tree.leaves(variables["params"]["WeightNorm_0"])
    variables["params"]["WeightNorm_0"] = jax.tree.map(
        lambda s: s * np.arange(1.0, 9), variables["params"]["WeightNorm_0"]
    )
    (tmp_path / "a.msgpack").write_bytes(serialization.to_bytes(variables))
    layer, _ = choose(read(tmp_path / "a.msgpack"))
    norms = np.sqrt((layer.hwio() ** 2).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(norms, np.arange(1.0, 9) * np.asarray(scale), rtol=1e-5)


def test_what_cannot_be_computed_is_refused_by_name(tmp_path):
    net = network()
    nn.utils.parametrizations.orthogonal(net[0])
    path = save(tmp_path, net.state_dict())
    for name in (None, "0"):
        with pytest.raises(WeightsError, match="argument of a parametrisation"):
            choose(read(path), name)
    np.testing.assert_allclose(
        choose(modules.read(net))[0].hwio(), net[0].weight.detach().permute(2, 3, 1, 0).numpy()
    )
    lora = {"b.c.lora_A.weight": noise(4, 3, 3, 3), "b.c.lora_B.weight": noise(8, 4, 1, 1)}
    with pytest.raises(WeightsError, match="factor of an adapter's increment"):
        choose(read(safetensors(tmp_path, lora)))
    beside = {**lora, "b.c.base_layer.weight": OIHW}
    assert "not added" in measured(safetensors(tmp_path, beside)).notes[0]


def test_16_inputs_of_a_later_layer_are_no_blocks_of_pixels(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))
    path = save(tmp_path, net.state_dict())
    found = compare.compare(path, layer="2")
    assert found.measured[0].subject.kernels.shape == (1, 8, 3, 3)


class Inert:
    def __init__(self, *made):
        self.made = made

    def __reduce__(self):
        return self.made


def test_unknown_calls_among_the_hyperparameters_stay_records(tmp_path):
    hyper = {
        "loss": functools.partial(nn.functional.cross_entropy, label_smoothing=0.1),
        "size": Inert(divmod, (7, 2)),
        "bound": Inert(getattr, ("text", "upper")),
    }
    path = save(tmp_path, {"hyper_parameters": hyper, "state_dict": network().state_dict()})
    measured(path)


@pytest.mark.filterwarnings("ignore")  # that TorchScript and quantised modules go out of fashion
def test_torchscript_and_quantised_modules(tmp_path):
    net = network().eval()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 9, 9)), tmp_path / "traced.pt")
    torch.jit.save(torch.jit.freeze(torch.jit.script(net)), tmp_path / "frozen.pt")
    for name in ("traced.pt", "frozen.pt"):
        measured(tmp_path / name)
    made = torch.ao.nn.quantized.Conv2d(3, 8, 3)
    weight = torch.quantize_per_tensor(t(OIHW), 0.02, 0, torch.qint8)
    made.set_weight_bias(weight, None)
    net = nn.Sequential(made)
    torch.save(net.state_dict(), tmp_path / "q.pt")
    torch.jit.save(torch.jit.script(net), tmp_path / "qscript.pt")
    wanted = weight.dequantize().permute(2, 3, 1, 0).numpy()
    for name in ("q.pt", "qscript.pt"):
        layer = measured(tmp_path / name, wanted, rtol=1e-6)
        np.testing.assert_allclose(layer.steps(), 0.02)
    np.testing.assert_allclose(choose(modules.read(net))[0].hwio(), wanted, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_exported_programs(tmp_path):
    class Net(nn.Module):  # what is declared first sees the image last
        def __init__(self):
            super().__init__()
            self.head = nn.Conv2d(8, 3, 3)
            self.again = nn.Conv2d(3, 4, 3)
            self.stem = nn.Conv2d(3, 8, 3, stride=2)

        def forward(self, x):
            return self.again(self.head(self.stem(x)))

    net = Net().eval()
    with torch.no_grad():
        net.stem.weight.copy_(t(OIHW))
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 19, 19),)), tmp_path / "n.pt2")
    layer = measured(tmp_path / "n.pt2")
    assert (layer.name, layer.stride) == ("stem.weight", (2, 2))


def test_keras_3_names_within_containers(tmp_path):
    h5py = pytest.importorskip("h5py")

    def keras(kind, name, *before, **more):
        tensors = [{"config": {"keras_history": [b, 0, 0]}} for b in before]
        nodes = [{"args": tensors}] if before else []
        config = {"name": name, **more}
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}

    inner = [keras("InputLayer", "i2"), keras("Conv2D", "conv2d", "i2")]
    layers = [
        keras("InputLayer", "i1"),
        keras("Functional", "backbone", "i1", layers=inner, output_layers=[["conv2d", 0, 0]]),
        keras("SeparableConv2D", "conv2d_9", "backbone"),
        keras("Conv2D", "head", "conv2d_9"),
    ]
    config = {"class_name": "Functional", "config": {"name": "f", "layers": layers}}
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = noise(3, 3, 8, 2)
        file["layers/functional/layers/conv2d/vars/0"] = STEM
        file["layers/separable_conv2d/vars/0"] = noise(3, 3, 8, 1)
        file["layers/separable_conv2d/vars/1"] = noise(1, 1, 8, 8)
        file["optimizer/vars/1"] = noise(*STEM.shape)
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
    layer = measured(tmp_path / "n.keras")
    assert layer.name == "backbone/conv2d/kernel"
    separable = choose(read(tmp_path / "n.keras"), "conv2d_9/depthwise_kernel")[0]
    assert separable.depthwise
    assert choose(read(tmp_path / "n.keras"), "head")[0].shape_hwio() == (3, 3, 8, 2)
    (tmp_path / "n.weights.h5").write_bytes(weights.getvalue())
    measured(tmp_path / "n.weights.h5")


def test_keras_3_bfloat16_and_transposed(tmp_path):
    import ml_dtypes

    h5py = pytest.importorskip("h5py")
    stored = STEM.astype(ml_dtypes.bfloat16)
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = stored.view("V2")
        file["layers/conv2d/vars/0"].attrs["dtype"] = "bfloat16"
    layer = measured(tmp_path / "a.weights.h5", stored.astype(float))
    assert layer.dtype == "bfloat16"
    with h5py.File(tmp_path / "g.weights.h5", "w") as file:
        file["layers/conv2d_transpose/vars/0"] = noise(3, 3, 16, 64)
        file["layers/conv2d_transpose_1/vars/0"] = noise(3, 3, 3, 16)
    with pytest.raises(WeightsError, match="no layer sees an image"):
        choose(read(tmp_path / "g.weights.h5"))


def test_shards_with_their_index_as_the_hub_lays_them_out(tmp_path):
    from safetensors.numpy import save_file

    blobs, snapshot = tmp_path / "m" / "blobs", tmp_path / "m" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    parts = {"a": {"conv1.weight": OIHW}, "b": {"layer1.conv.weight": noise(8, 8, 3, 3)}}
    for key, arrays in parts.items():
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, blobs / key)
        (snapshot / f"model-{key}.safetensors").symlink_to(f"../../blobs/{key}")
    places = {name: f"model-{key}.safetensors" for key, p in parts.items() for name in p}
    index = snapshot / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for path in (index, snapshot):
        assert measured(path).name == "conv1.weight"
    (snapshot / "model-a.safetensors").unlink()
    (tmp_path / "out").write_bytes((blobs / "a").read_bytes())
    (snapshot / "model-a.safetensors").symlink_to(tmp_path / "out")
    with pytest.raises(WeightsError, match="leads out of abc"):
        read(index)


def test_a_bare_manifest_of_tensorflow_js(tmp_path):
    (tmp_path / "s.bin").write_bytes(STEM.tobytes() + noise(3, 3, 8, 1).tobytes())
    weights = [
        {"name": "entry/conv_in/filters", "shape": [3, 3, 3, 8], "dtype": "float32"},
        {"name": "x/depthwise_filter", "shape": [3, 3, 8, 1], "dtype": "float32"},
    ]
    path = tmp_path / "net-weights_manifest.json"
    path.write_text(json.dumps([{"paths": ["s.bin"], "weights": weights}]))
    assert measured(path).name == "entry/conv_in/filters"


def test_dicts_of_arrays_are_never_read_in_a_guessed_order():
    named = choose(modules.read({"conv1.weight": OIHW, "bn.weight": np.ones(8)}))[0]
    np.testing.assert_array_equal(named.hwio(), STEM)
    with pytest.raises(WeightsError, match="--layout"):
        compare.compare({"a": noise(3, 3, 3, 3)})
    assert choose(modules.read({"a": OIHW}))[0].shape_hwio() == STEM.shape
    with pytest.raises(WeightsError, match=r"give layout='hwio'.*or layout='oihw'"):
        compare.compare(noise(3, 3, 3, 3))
    with pytest.raises(WeightsError, match="several networks"):
        compare.compare(noise(2, 3, 3, 1, 4))


def onnx_model(path, nodes, arrays, functions=(), inputs=("x",), folder=None):
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, TensorProto.FLOAT, None) for name in inputs],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("pkg", 1)]
    model = helper.make_model(graph, functions=list(functions), opset_imports=opsets)
    path.write_bytes(model.SerializeToString())
    return path


def onnx_node(kind, inputs, outputs, **settings):
    from onnx import helper

    return helper.make_node(kind, inputs.split(), outputs.split(), **settings)


FLAT = OIHW.reshape(8, 27)
ONES = np.ones((8, 1, 1, 1), np.float32)
COMPUTED = {
    "Mul": ([("Mul", "g v", "w")], {"g": ONES, "v": OIHW}),
    "Reshape": ([("Reshape", "v s", "w")], {"v": FLAT, "s": np.array([8, 3, 3, 3])}),
    "Cast": ([("Cast", "v", "w", {"to": 1})], {"v": OIHW.astype(np.float64)}),
    "weight norm": (
        [
            ("ReduceL2", "v", "n", {"axes": [1, 2, 3], "keepdims": 1}),
            ("Div", "v n", "d"),
            ("Mul", "d g", "w"),
        ],
        {"v": OIHW * 3, "g": np.sqrt((OIHW**2).sum(axis=(1, 2, 3), keepdims=True))},
    ),
    "Transpose and Reshape": (
        [("Transpose", "v", "r", {"perm": [1, 0]}), ("Reshape", "r s", "w")],
        {"v": FLAT.T, "s": np.array([8, 3, 3, 3])},
    ),
    "Concat": ([("Concat", "a b", "w", {"axis": 0})], {"a": OIHW[:3], "b": OIHW[3:]}),
}


@pytest.mark.parametrize("way", COMPUTED)
def test_onnx_weights_that_the_graph_computes(tmp_path, way):
    nodes, arrays = COMPUTED[way]
    made = [onnx_node(*n[:3], **(n[3] if len(n) > 3 else {})) for n in nodes]
    made += [onnx_node("Conv", "x w", "a"), onnx_node("Conv", "a w2", "y")]
    path = onnx_model(tmp_path / "m.onnx", made, {**arrays, "w2": noise(4, 8, 3, 3)})
    layer = measured(path, rtol=1e-5)
    assert way == "Cast" or any("computed in the graph" in note for note in layer.notes)


def test_onnx_functions_subgraphs_and_side_branches(tmp_path):
    from onnx import helper

    after = onnx_node("Conv", "a w2", "y")
    arrays = {"w": OIHW, "w2": noise(4, 8, 3, 3)}
    inner = [onnx_node("Conv", "x k", "r")]
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("pkg", 1)]
    block = helper.make_function("pkg", "Block", ["x", "k"], ["r"], inner, ids)
    outer = [onnx_node("Block", "x k", "r", domain="pkg")]
    twice = helper.make_function("pkg", "Outer", ["x", "k"], ["r"], outer, ids)
    for kind in ("Block", "Outer"):
        nodes = [onnx_node(kind, "x w", "a", domain="pkg"), after]
        path = onnx_model(tmp_path / "m.onnx", nodes, arrays, [block, twice])
        assert measured(path).name == "w"
    branch = helper.make_graph(
        [onnx_node("Conv", "x w", "r")], "b", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    choice = onnx_node("If", "c", "a", then_branch=branch, else_branch=branch)
    path = onnx_model(
        tmp_path / "m.onnx",
        [choice, after],
        {**arrays, "c": np.array(True)},
    )
    measured(path)
    side = [onnx_node("Conv", "noise w2", "n"), onnx_node("Conv", "x w", "a"), after]
    path = onnx_model(tmp_path / "m.onnx", side, {**arrays, "noise": noise(1, 8, 9, 9)})
    measured(path)  # the first in order sees no input


def test_onnx_tells_what_it_cannot_measure(tmp_path):
    path, deep = tmp_path / "m.onnx", noise(4, 8, 3, 3)
    after = onnx_node("Conv", "a w2", "y")
    video = [onnx_node("Conv", "x w3", "b"), onnx_node("Squeeze", "b", "a"), after]
    volume = noise(8, 3, 3, 3, 3)
    onnx_model(path, video, {"w3": volume, "w2": deep})
    with pytest.raises(WeightsError, match=r"w3, .*a 3-D convolution"):
        choose(read(path))
    kernels = choose(read(path), "w3")[0].kernels()  # named, it is read
    np.testing.assert_array_equal(kernels, volume.transpose(2, 3, 4, 1, 0))
    assert choose(read(path), "w2")[0].shape_hwio() == (3, 3, 8, 4)
    dynamic = [onnx_node("Conv", "x k", "a"), after]
    onnx_model(path, dynamic, {"w2": deep}, inputs=("x", "k"))
    with pytest.raises(WeightsError, match="depend on the network's input k"):
        choose(read(path))
    generator = [onnx_node("ConvTranspose", "x w", "y")]
    onnx_model(path, generator, {"w": noise(8, 3, 3, 3)})
    with pytest.raises(WeightsError, match="no layer sees an image"):
        choose(read(path))
    dense = [onnx_node("MatMul", "x m", "a"), onnx_node("Conv", "a w", "y")]
    onnx_model(path, dense, {"m": noise(9, 9), "w": OIHW})
    with pytest.raises(WeightsError, match="come after other layers"):
        choose(read(path))
    two = [
        onnx_node("Conv", "x w", "a"),
        onnx_node("Conv", "z w", "b"),
        onnx_node("Add", "a b", "y"),
    ]
    onnx_model(path, two, {"w": OIHW}, inputs=("x", "z"))
    with pytest.raises(WeightsError, match="several inputs"):
        choose(read(path))


def test_onnx_data_in_a_hub_cache(tmp_path):
    import onnx

    blobs, snapshot = tmp_path / "m" / "blobs", tmp_path / "m" / "snapshots" / "abc" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "d").write_bytes(OIHW.tobytes())
    weight = onnx.TensorProto(name="w", dims=OIHW.shape, data_type=1, data_location=1)
    weight.external_data.add(key="location", value="model.onnx_data")
    nodes = [onnx_node("Conv", "x w", "y")]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [weight])
    (blobs / "m").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    for name, blob in (("model.onnx", "m"), ("model.onnx_data", "d")):
        (snapshot / name).symlink_to(f"../../../blobs/{blob}")
    measured(snapshot / "model.onnx")
