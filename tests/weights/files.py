"""One small network, a known kernel first, written in every format."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

STEM = np.random.default_rng(3).standard_normal((3, 3, 3, 8)).astype(np.float32)
SECOND = np.random.default_rng(4).standard_normal((3, 3, 8, 4)).astype(np.float32)
OIHW = STEM.transpose(3, 2, 0, 1)


def npy(place: Path) -> Path:
    np.save(place / "stem.npy", STEM)
    return place / "stem.npy"


def npz(place: Path) -> Path:
    np.savez_compressed(place / "net.npz", stem=STEM, second=SECOND, bias=np.zeros(8))
    return place / "net.npz"


def safetensors(place: Path) -> Path:
    from safetensors.numpy import save_file

    tensors = {
        "conv10.weight": SECOND.transpose(3, 2, 0, 1),
        "conv2.weight": OIHW,
        "fc.weight": np.zeros((2, 2), np.float32),
    }
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, place / "net.safetensors")
    return place / "net.safetensors"


def torch_module():
    import torch

    stem = torch.nn.Conv2d(3, 8, 3, stride=2)
    second = torch.nn.Conv2d(8, 4, 3)
    with torch.no_grad():
        stem.weight.copy_(torch.tensor(OIHW))
        second.weight.copy_(torch.tensor(SECOND.transpose(3, 2, 0, 1)))
    return torch.nn.Sequential(stem, torch.nn.BatchNorm2d(8), second)


def torch_zip(place: Path) -> Path:
    import torch

    torch.save({"epoch": 3, "state_dict": torch_module().state_dict()}, place / "net.pt")
    return place / "net.pt"


def torch_legacy(place: Path) -> Path:
    import torch

    net = torch_module().state_dict()
    torch.save(net, place / "net.pth", _use_new_zipfile_serialization=False)
    return place / "net.pth"


def onnx(place: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Identity", ["w"], ["w_same"]),
        helper.make_node("Conv", ["x", "w_same"], ["y"], strides=[2, 2], name="first"),
        helper.make_node("Conv", ["y", "second"], ["z"]),
    ]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(SECOND.transpose(3, 2, 0, 1)), "second"),
        numpy_helper.from_array(np.ascontiguousarray(OIHW), "w"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [value("z", TensorProto.FLOAT, None)],
        weights,
    )
    onnx.save(helper.make_model(graph), place / "net.onnx")
    return place / "net.onnx"


def onnx_computed(place: Path) -> Path:
    """The first weight is a product, within a function of the model's own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    inner = [
        helper.make_node("Mul", ["g", "v"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["r"], strides=[2, 2]),
    ]
    block = helper.make_function("own", "Block", ["x", "g", "v"], ["r"], inner, opsets)
    nodes = [
        helper.make_node("Block", ["x", "gain", "direction"], ["y"], domain="own"),
        helper.make_node("Conv", ["y", "second"], ["z"]),
    ]
    arrays = {
        "second": SECOND.transpose(3, 2, 0, 1),
        "gain": np.full((8, 1, 1, 1), 0.5, np.float32),
        "direction": OIHW * 2,
    }
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [value("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in arrays.items()],
    )
    onnx.save(helper.make_model(graph, functions=[block], opset_imports=opsets), place / "own.onnx")
    return place / "own.onnx"


def torch_exported(place: Path) -> Path:
    import torch

    net = torch_module().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 16, 16),)), place / "net.pt2")
    return place / "net.pt2"


def keras_h5(place: Path) -> Path:
    """As Keras 2 writes it: the config an attribute, the weights under the layers' names."""
    import h5py

    with h5py.File(place / "net.h5", "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": KERAS_CONFIG}
        )
        file["model_weights/a_second/a_second/kernel:0"] = SECOND
        file["model_weights/stem/stem/kernel:0"] = STEM
    return place / "net.h5"


def _convolution(name: str, stride: int) -> dict:
    return {"class_name": "Conv2D", "config": {"name": name, "strides": [stride, stride]}}


KERAS_CONFIG = {"layers": [_convolution("stem", 2), _convolution("a_second", 1)]}


def keras3(place: Path) -> Path:
    """As Keras 3 writes it: classes counted in place of names."""
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = STEM
        file["layers/conv2d_1/vars/0"] = SECOND
    with zipfile.ZipFile(place / "net.keras", "w") as archive:
        archive.writestr(
            "config.json", json.dumps({"class_name": "Sequential", "config": KERAS_CONFIG})
        )
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", weights.getvalue())
    return place / "net.keras"


def tensorflow_js(place: Path) -> Path:
    """A layers model in two shards, the second weight across their border."""
    folder = place / "js"
    folder.mkdir()
    data = SECOND.tobytes() + STEM.tobytes()
    (folder / "one.bin").write_bytes(data[:1500])
    (folder / "two.bin").write_bytes(data[1500:])
    weights = [
        {"name": "a_second/kernel", "shape": list(SECOND.shape), "dtype": "float32"},
        {"name": "stem/kernel", "shape": list(STEM.shape), "dtype": "float32"},
    ]
    model = {
        "format": "layers-model",
        "modelTopology": {"model_config": {"class_name": "Sequential", "config": KERAS_CONFIG}},
        "weightsManifest": [{"paths": ["one.bin", "two.bin"], "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


def tflite(place: Path, *, scales: np.ndarray | None = None) -> Path:
    """A flatbuffer with two convolutions; with `scales` (8,) the first is int8, a scale a filter."""
    path = place / "net.tflite"
    ohwi = np.ascontiguousarray(STEM.transpose(3, 0, 1, 2))
    if scales is not None:
        ohwi = np.round(ohwi / scales[:, None, None, None]).clip(-127, 127).astype(np.int8)
    path.write_bytes(flatbuffer([(ohwi, scales, 2), (SECOND.transpose(3, 0, 1, 2), None, 1)]))
    return path


def flatbuffer(weights: list[tuple[np.ndarray, np.ndarray | None, int]]) -> bytes:
    """The least of a TFLite model: CONV_2D operators in a row with (weights, scales, stride)."""
    import flatbuffers
    import tflite as schema

    b = flatbuffers.Builder(4096)

    def vector(start: Callable, offsets: list[int]) -> int:
        start(b, len(offsets))
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    buffers, tensors, operators = [], [], []
    for i, (values, scales, stride) in enumerate(weights):
        data = b.CreateByteVector(np.ascontiguousarray(values).tobytes())
        schema.BufferStart(b)
        schema.BufferAddData(b, data)
        buffers.append(schema.BufferEnd(b))
        shape = b.CreateNumpyVector(np.array(values.shape, np.int32))
        name = b.CreateString(f"conv{i}")
        quantisation = None
        if scales is not None:
            scale = b.CreateNumpyVector(scales.astype(np.float32))
            schema.QuantizationParametersStart(b)
            schema.QuantizationParametersAddScale(b, scale)
            quantisation = schema.QuantizationParametersEnd(b)
        schema.TensorStart(b)
        schema.TensorAddShape(b, shape)
        schema.TensorAddName(b, name)
        schema.TensorAddBuffer(b, i)
        schema.TensorAddType(b, 9 if scales is not None else 0)
        if quantisation is not None:
            schema.TensorAddQuantization(b, quantisation)
        tensors.append(schema.TensorEnd(b))
        schema.Conv2DOptionsStart(b)
        schema.Conv2DOptionsAddStrideW(b, stride)
        schema.Conv2DOptionsAddStrideH(b, stride)
        options = schema.Conv2DOptionsEnd(b)
        inputs = b.CreateNumpyVector(np.array([0, i], np.int32))
        schema.OperatorStart(b)
        schema.OperatorAddInputs(b, inputs)
        schema.OperatorAddBuiltinOptions(b, options)
        operators.append(schema.OperatorEnd(b))
    tensor_list = vector(schema.SubGraphStartTensorsVector, tensors)
    operator_list = vector(schema.SubGraphStartOperatorsVector, operators)
    schema.SubGraphStart(b)
    schema.SubGraphAddTensors(b, tensor_list)
    schema.SubGraphAddOperators(b, operator_list)
    graph = schema.SubGraphEnd(b)
    schema.OperatorCodeStart(b)
    schema.OperatorCodeAddDeprecatedBuiltinCode(b, schema.BuiltinOperator.CONV_2D)
    schema.OperatorCodeAddBuiltinCode(b, schema.BuiltinOperator.CONV_2D)
    code = schema.OperatorCodeEnd(b)
    codes = vector(schema.ModelStartOperatorCodesVector, [code])
    graphs = vector(schema.ModelStartSubgraphsVector, [graph])
    buffer_list = vector(schema.ModelStartBuffersVector, buffers)
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddOperatorCodes(b, codes)
    schema.ModelAddSubgraphs(b, graphs)
    schema.ModelAddBuffers(b, buffer_list)
    b.Finish(schema.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def msgpack(place: Path) -> Path:
    from flax import serialization

    tree = {
        "params": {"Conv_10": {"kernel": SECOND}, "Conv_2": {"kernel": STEM, "bias": np.zeros(8)}}
    }
    (place / "net.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    return place / "net.msgpack"


def orbax(place: Path) -> Path:
    import orbax.checkpoint as ocp

    tree = {
        "params": {"Conv_10": {"kernel": SECOND}, "Conv_2": {"kernel": STEM, "bias": np.zeros(8)}}
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(place / "orbax", tree)
    return place / "orbax"


# format -> how it is written, whether it tells the stride, the layout it needs to be told
FORMATS: dict[str, tuple[Callable[[Path], Path], bool, str]] = {
    "npy": (npy, False, "hwio"),
    "npz": (npz, False, "hwio"),
    "safetensors": (safetensors, False, "auto"),
    "torch_zip": (torch_zip, False, "auto"),
    "torch_legacy": (torch_legacy, False, "auto"),
    "torch_exported": (torch_exported, True, "auto"),
    "onnx": (onnx, True, "auto"),
    "onnx_computed": (onnx_computed, True, "auto"),
    "keras_h5": (keras_h5, True, "auto"),
    "keras3": (keras3, True, "auto"),
    "tensorflow_js": (tensorflow_js, True, "auto"),
    "tflite": (tflite, True, "auto"),
    "msgpack": (msgpack, False, "auto"),
    "orbax": (orbax, False, "auto"),
}
