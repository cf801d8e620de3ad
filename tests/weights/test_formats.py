"""Every format gives the kernel that was put in, in Flax's order, chosen among others."""

import json
import pickle
import shutil
import warnings

import numpy as np
import pytest

from kernelstudy.weights import Limits, WeightsError, choose, read, with_layout
from kernelstudy.weights.stem import unfold
from tests.weights import files
from tests.weights.files import FORMATS, OIHW, SECOND, STEM

DATA = files.Path(__file__).parent / "data"


def chosen(path, layout="auto", name=None):
    network = read(path)
    layers = tuple(with_layout(layer, layout) for layer in network.layers)
    return choose(type(network)(**{**network.__dict__, "layers": layers}), name)[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """format -> path, written once."""
    done = {}

    def get(name):
        if name not in done:
            if name.startswith("torch"):
                pytest.importorskip("torch")
            done[name] = FORMATS[name][0](tmp_path_factory.mktemp(name))
        return done[name]

    return get


@pytest.mark.parametrize("name", FORMATS)
def test_the_known_kernel_comes_back(written, name):
    _, tells_stride, layout = FORMATS[name]
    layer = chosen(written(name), layout, "stem" if name == "npz" else None)
    np.testing.assert_array_equal(layer.hwio(), STEM)
    assert layer.shape_hwio() == STEM.shape
    assert layer.stride == ((2, 2) if tells_stride else None)
    if name != "npy":
        others = [
            with_layout(o, layout) for o in read(written(name)).layers if o.name != layer.name
        ]
        np.testing.assert_array_equal(others[0].hwio(), SECOND)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"orbax", "tensorflow_js"}))
def test_the_ending_says_nothing(written, name, tmp_path):
    renamed = tmp_path / "weights.png"
    shutil.copy(written(name), renamed)
    assert read(renamed).format == read(written(name)).format


def test_a_directory_of_tensorflow_js_and_an_orbax_manager(written, tmp_path):
    np.testing.assert_array_equal(chosen(written("tensorflow_js").parent).hwio(), STEM)
    shutil.copytree(written("orbax"), tmp_path / "steps" / "10" / "default")
    (tmp_path / "steps" / "9").mkdir()
    np.testing.assert_array_equal(chosen(tmp_path / "steps").hwio(), STEM)


def test_real_files():
    pnet = chosen(DATA / "facenet_pnet.pt")
    assert (pnet.name, pnet.shape_hwio()) == ("conv1.weight", (3, 3, 3, 10))
    known = np.random.default_rng(7).standard_normal((3, 3, 3, 8)).astype(np.float32)
    for name in ("keras3.keras", "keras3.weights.h5"):
        np.testing.assert_array_equal(chosen(DATA / name).hwio(), known)
    assert chosen(DATA / "keras3.keras").name == "stem/kernel"
    depthwise = chosen(DATA / "keras3.keras", name="dw")
    assert depthwise.depthwise
    assert depthwise.shape_hwio() == (3, 3, 1, 8)


def test_a_legacy_torch_file_as_torch_reads_it():
    torch = pytest.importorskip("torch")
    theirs = torch.load(DATA / "facenet_pnet.pt", weights_only=True)
    for layer in read(DATA / "facenet_pnet.pt").layers:
        assert np.array_equal(layer.hwio().transpose(3, 2, 0, 1), theirs[layer.name].numpy())


def test_npy_in_any_byte_and_axis_order(tmp_path):
    for i, array in enumerate(
        (np.asfortranarray(OIHW), OIHW.astype(">f8"), OIHW.astype(np.float16))
    ):
        np.save(tmp_path / f"{i}.npy", array)
        np.testing.assert_allclose(chosen(tmp_path / f"{i}.npy", "oihw").hwio(), STEM, rtol=1e-3)


def test_what_no_format_tells_must_be_given(written):
    with pytest.raises(WeightsError, match=r"order of its axes .* --layout hwio, oihw, ohwi"):
        chosen(written("npy")).hwio()
    with pytest.raises(WeightsError, match="give --layout"):
        chosen(written("npz"))


def test_kinds_of_torch_files(tmp_path):
    torch = pytest.importorskip("torch")
    net = files.torch_module()
    torch.save(net, tmp_path / "module.pt")
    assert chosen(tmp_path / "module.pt").stride == (2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript's, on newer Pythons
        torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    view = torch.tensor(np.stack([SECOND.ravel()[:216]] * 2)).T.reshape(8, 3, 3, 6)[..., ::2]
    torch.save({"w": view, "half": net[0].weight.bfloat16()}, tmp_path / "views.pt")
    for name in ("module.pt", "script.pt"):
        np.testing.assert_array_equal(chosen(tmp_path / name).hwio(), STEM)
    np.testing.assert_array_equal(
        chosen(tmp_path / "views.pt").hwio(), view.permute(2, 3, 1, 0).numpy()
    )
    half = chosen(tmp_path / "views.pt", name="half")
    assert half.dtype == "bfloat16"
    np.testing.assert_allclose(half.hwio(), STEM, rtol=1 / 128)


def test_quantised_torch_weights(tmp_path):
    torch = pytest.importorskip("torch")
    scales = torch.linspace(0.02, 0.05, 8)
    zeros = torch.zeros(8, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that quantised tensors go out of fashion
        weight = torch.quantize_per_channel(torch.tensor(OIHW), scales, zeros, 0, torch.qint8)
        torch.save({"conv.weight": weight}, tmp_path / "q.pt")
    layer = chosen(tmp_path / "q.pt")
    theirs = weight.dequantize().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(layer.hwio(), theirs, rtol=1e-6)
    np.testing.assert_allclose(layer.steps(), scales, rtol=1e-6)


def test_plain_pickles_of_arrays(tmp_path):
    for protocol in range(6):
        (tmp_path / "p.pkl").write_bytes(pickle.dumps({"a": {"w": STEM}, "n": 3}, protocol))
        np.testing.assert_array_equal(chosen(tmp_path / "p.pkl", "hwio").hwio(), STEM)


@pytest.mark.parametrize(
    "way",
    ["constant", "dequantised", "integer", "qlinear", "transposed", "there_and_back", "outside"],
)
def test_onnx_weights_however_they_come(tmp_path, way):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    node, tensor = helper.make_node, numpy_helper.from_array
    scale = np.linspace(0.02, 0.05, 8).astype(np.float32)
    column = scale[:, None, None, None]
    q = np.clip(np.round(OIHW / column), -127, 127).astype(np.int8)
    wanted, step = q * column, scale
    conv = node("Conv", ["x", "w"], ["y"], strides=[2, 1])
    weights, nodes = [], [conv]
    if way == "constant":
        nodes = [node("Constant", [], ["w"], value=tensor(OIHW.copy())), conv]
        wanted, step = OIHW, None
    elif way == "dequantised":
        weights = [tensor(q, "q"), tensor(scale, "s")]
        nodes = [node("DequantizeLinear", ["q", "s"], ["w"], axis=0), conv]
    elif way == "integer":
        u = (q.astype(np.int16) + 128).astype(np.uint8)
        weights = [
            tensor(u, "w"),
            tensor(np.array(128, np.uint8), "z"),
            tensor(np.array(0, np.uint8), "xz"),
        ]
        nodes = [node("ConvInteger", ["x", "w", "xz", "z"], ["y"], strides=[2, 1])]
        wanted, step = q, np.ones(8)
    elif way == "qlinear":
        weights = [tensor(q, "w"), tensor(scale, "s"), tensor(np.zeros(8, np.int8), "z")]
        names = ["x", "xs", "xz", "w", "s", "z", "ys", "yz"]
        nodes = [node("QLinearConv", names, ["y"], strides=[2, 1])]
    elif way == "transposed":
        weights = [tensor(STEM, "t")]
        nodes = [node("Transpose", ["t"], ["w"], perm=[3, 2, 0, 1]), conv]
        wanted, step = OIHW, None
    elif way == "there_and_back":
        weights = [tensor(OIHW.copy(), "f"), tensor(scale, "s"), tensor(np.zeros(8, np.int8), "z")]
        nodes = [
            node("QuantizeLinear", ["f", "s", "z"], ["q"], axis=0),
            node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
            conv,
        ]
        wanted = np.clip(np.round(OIHW / column), -128, 127) * column
        step = None  # the stored type is a float's
    else:
        (tmp_path / "data.bin").write_bytes(b"12345678" + OIHW.tobytes())
        outside = onnx.TensorProto(name="w", dims=OIHW.shape, data_type=1, data_location=1)
        outside.external_data.add(key="location", value="data.bin")
        outside.external_data.add(key="offset", value="8")
        weights, wanted, step = [outside], OIHW, None
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, None)],
        [value("y", TensorProto.FLOAT, None)],
        weights,
    )
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    layer = chosen(tmp_path / "m.onnx")
    np.testing.assert_allclose(layer.hwio(), np.transpose(wanted, (2, 3, 1, 0)), rtol=1e-6)
    assert layer.stride == (2, 1)
    if step is None:
        assert layer.steps() is None
    else:
        np.testing.assert_allclose(layer.steps(), step, rtol=1e-6)


def test_int8_tflite_has_its_scales(tmp_path):
    scales = (np.abs(STEM).max(axis=(0, 1, 2)) / 127).astype(np.float32)
    layer = chosen(files.tflite(tmp_path, scales=scales))
    np.testing.assert_allclose(layer.steps(), scales, rtol=1e-6)
    assert np.all(np.abs(layer.hwio() - STEM) <= scales / 2 * (1 + 1e-5))
    assert layer.dtype == "int8"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_quantised_tensorflow_js_graph_model(tmp_path, dtype):
    low, high = float(STEM.min()), float(STEM.max())
    entry = {"name": "stem/w", "shape": list(STEM.shape), "dtype": "float32"}
    if dtype == "float16":
        data, step = STEM.astype(np.float16).tobytes(), 2e-3
        entry["quantization"] = {"dtype": dtype, "original_dtype": "float32"}
    else:
        step = (high - low) / np.iinfo(dtype).max
        data = np.round((STEM - low) / step).astype(dtype).tobytes()
        entry["quantization"] = {
            "dtype": dtype,
            "scale": step,
            "min": low,
            "original_dtype": "float32",
        }
    strides = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}}
    node = {"name": "conv", "op": "_FusedConv2D", "input": ["x", "stem/w", "b"], "attr": strides}
    model = {
        "format": "graph-model",
        "modelTopology": {"node": [{"name": "x", "op": "Placeholder", "input": []}, node]},
        "weightsManifest": [{"paths": ["a.bin"], "weights": [entry]}],
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "a.bin").write_bytes(data)
    layer = chosen(tmp_path / "model.json")
    assert layer.stride == (2, 2)
    assert np.abs(layer.hwio() - STEM).max() <= step / 2 * (1 + 1e-6)
    if dtype == "float16":
        assert layer.steps() is None
    else:
        np.testing.assert_allclose(layer.steps(), step)


def test_space_to_depth_stems_are_laid_out_again():
    """Convolving the stacked blocks is convolving the image with the unfolded kernel in steps of 2."""

    def correlate(pixels, taps):
        windows = np.lib.stride_tricks.sliding_window_view(pixels, taps.shape[:2], axis=(0, 1))
        return np.einsum("yxcij,ijc->yx", windows, taps)

    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((12, 12, 3)), rng.standard_normal((3, 3, 12, 2))
    stacked = {
        "torch": [image[y::2, x::2] for x in (0, 1) for y in (0, 1)],
        "tensorflow": [image[y::2, x::2] for y in (0, 1) for x in (0, 1)],
    }
    for family, parts in stacked.items():
        blocks = np.concatenate(parts, axis=-1)
        whole, told = unfold(kernel, family)
        assert whole.shape == (6, 6, 3, 2)
        assert "space-to-depth" in told
        for out in range(2):
            mine = correlate(image, whole[..., out])[::2, ::2]
            np.testing.assert_allclose(mine, correlate(blocks, kernel[..., out]), atol=1e-12)


def test_modules_and_trees_in_memory():
    from flax import nnx

    from kernelstudy.weights import modules

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.stem = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
            self.again = nnx.Conv(8, 4, (3, 3), rngs=rngs)

    net = Net(nnx.Rngs(0))
    layer = choose(modules.read(net))[0]
    assert (layer.name, layer.stride) == ("stem/kernel", (2, 2))
    np.testing.assert_array_equal(layer.hwio(), np.asarray(net.stem.kernel[...]))
    state = choose(modules.read(nnx.state(net)))[0]
    np.testing.assert_array_equal(state.hwio(), layer.hwio())
    linen = choose(modules.read({"params": {"Conv_0": {"kernel": STEM}}}))[0]
    assert linen.name == "params/Conv_0/kernel"
    torch = pytest.importorskip("torch")
    module = files.torch_module()
    for given in (module, module.state_dict()):
        np.testing.assert_array_equal(choose(modules.read(given))[0].hwio(), STEM)
    assert choose(modules.read(module))[0].stride == (2, 2)
    with pytest.raises(WeightsError, match="no convolution"):
        modules.read(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("order", "shapes", "wanted"),
    [
        ("declared", {"a": (8, 16, 3, 3), "stem": (16, 3, 7, 7), "b": (8, 1, 3, 3)}, "stem"),
        ("declared", {"grey": (8, 1, 3, 3), "late": (8, 3, 3, 3)}, "grey"),
        ("names", {"blocks.dw": (8, 1, 3, 3), "stem": (8, 3, 3, 3)}, "stem"),
        ("declared", {"focus": (8, 12, 3, 3), "dw": (8, 1, 3, 3)}, "focus"),
        ("declared", {"anchors": (1, 1, 8400, 2), "stem": (8, 3, 3, 3)}, "stem"),
        ("graph", {"first": (8, 7, 1, 1), "then": (8, 3, 3, 3)}, "first"),
        ("declared", {"optimizer/mu": (8, 3, 3, 3), "net": (8, 3, 5, 5)}, "net"),
    ],
)
def test_the_layer_that_sees_the_image(order, shapes, wanted):
    from kernelstudy.weights import Layer, Network

    layers = [Layer(n, s, "oihw", lambda s=s: np.zeros(s)) for n, s in shapes.items()]
    network = Network("test", tuple(layers), order)
    assert choose(network)[0].name == wanted
    for layer in layers:
        assert choose(network, layer.name)[0] is layer
    with pytest.raises(WeightsError, match="is no layer"):
        choose(network, "nothing")


def test_no_layer_sees_an_image():
    from kernelstudy.weights import Layer, Network

    deep = Layer("deep", (8, 64, 3, 3), "oihw", lambda: np.zeros((8, 64, 3, 3)))
    with pytest.raises(WeightsError, match="name one with --layer, for instance deep, deeper"):
        choose(Network("test", (deep, Layer("deeper", deep.shape, "oihw", deep.load)), "declared"))


def test_limits_hold_before_anything_is_read(written):
    for name, (_, _, layout) in FORMATS.items():
        if name.startswith("torch"):
            pytest.importorskip("torch")
        with pytest.raises(WeightsError, match="--max-gib"):
            layers = read(written(name), Limits(200)).layers
            with_layout(layers[0], layout).hwio()


@pytest.mark.parametrize("form", ["onnx", "keras_h5", "tflite", "orbax"])
def test_a_process_of_its_own_reads_the_same(tmp_path, form):
    """Those whose libraries take most, within a tenth of a GiB."""
    from kernelstudy.weights.isolated import read_isolated

    make, _, layout = FORMATS[form]
    path, limits = make(tmp_path), Limits(2**30 // 10)
    inside = read(path, limits)
    outside = read_isolated(path, limits, layout=layout).network
    assert [layer.describe() for layer in outside.layers] == [
        layer.describe() for layer in inside.layers
    ]
    assert (outside.order, outside.family, outside.facts) == (
        inside.order,
        inside.family,
        inside.facts,
    )
    chosen, _ = choose(outside)
    (same,) = [layer for layer in inside.layers if layer.name == chosen.name]
    np.testing.assert_array_equal(chosen.hwio(), same.hwio())


@pytest.mark.parametrize("form", ["onnx", "keras_h5", "tflite"])
def test_a_process_of_its_own_reads_all_layers(tmp_path, form):
    from kernelstudy.weights.isolated import read_isolated

    path = FORMATS[form][0](tmp_path)
    inside = read(path)
    outside = read_isolated(path, Limits(2**30 // 10), wanted="all").network
    for one, other in zip(outside.layers, inside.layers, strict=True):
        for field in ("sees", "source", "role", "transposed", "refused", "notes", "stride"):
            assert getattr(one, field) == getattr(other, field)
        if (one.shape_hwio() or (1, 1))[:2] != (1, 1):
            np.testing.assert_array_equal(one.hwio(), other.hwio())


def test_questions_come_unchanged_out_of_the_process(tmp_path):
    from safetensors.numpy import save_file

    from kernelstudy.weights.isolated import read_isolated

    path, rng = tmp_path / "two.safetensors", np.random.default_rng(0)
    names = ("left.stem.weight", "right.stem.weight")
    save_file({name: rng.normal(size=(8, 3, 3, 3)).astype("f4") for name in names}, path)
    with pytest.raises(WeightsError, match="name one with --layer") as inside:
        choose(read(path))
    with pytest.raises(WeightsError) as outside:
        read_isolated(path, Limits())
    assert str(outside.value) == str(inside.value)
    assert read_isolated(path, Limits(), layer=names[1]).chosen == 1
    size = 8 * 3 * 3 * 3 * 8  # of one, in float64
    with pytest.raises(WeightsError, match=r"all layers of .* --max-gib"):
        read_isolated(path, Limits(size), wanted="all")
    assert read_isolated(path, Limits(size), layer=names[1]).chosen == 1
