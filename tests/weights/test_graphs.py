"""Graphs of TensorFlow.js, TFLite and Keras: the layer that the input reaches, or why it cannot be had."""

import json

import flatbuffers
import numpy as np
import pytest

from kernelstudy.weights import WeightsError, choose, read
from kernelstudy.weights.graphs import LAYER, Step, in_running_order, origins
from tests.weights.files import STEM

RNG = np.random.default_rng(9)


def noise(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def answer(path, match=None):
    """The chosen kernel is STEM, or the sentence of the refusal has `match`."""
    if match is None:
        np.testing.assert_allclose(choose(read(path))[0].hwio(), STEM, rtol=1e-3)
    else:
        with pytest.raises(WeightsError, match=match):
            choose(read(path))


def test_steps_are_put_in_running_order_and_circles_end():
    steps = [Step("b", "conv", ("a",)), Step("a", "conv", ("x",)), Step("x", "input", ())]
    assert [s.name for s in in_running_order(steps)] == ["x", "a", "b"]
    assert origins(in_running_order(steps))["a"] == {LAYER}
    circle = [Step("a", "other", ("b",)), Step("b", "other", ("a",)), Step("c", "other", ("c",))]
    assert {s.name for s in in_running_order(circle)} == {"a", "b", "c"}
    deep = [Step(str(i), "other", (str(i + 1),)) for i in range(20_000)]
    assert in_running_order(deep)[0].name == "19999"


DEEP = "D Conv2D C w2"
WEIGHTS = {"w": STEM, "w2": noise(3, 3, 8, 4), "w3": noise(3, 3, 3, 3, 8)}


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        (["C Conv2D x w", DEEP], None),
        ([DEEP, "C Conv2D x i", "i Identity w"], None),
        (["m Mul w w", "C Conv2D x m", DEEP], "computed in the graph .by Mul., not stored"),
        (["C StatefulPartitionedCall x w", DEEP], "a function of the graph"),
        (["C Conv3D x w3", DEEP], "w3, .*is a 3-D convolution"),
        (["s Const", "m MatMul x w2", "C Conv2DBackpropInput s w m"], "no layer sees the image"),
    ],
)
def test_tensorflow_js_graphs(tmp_path, nodes, match):
    (tmp_path / "s.bin").write_bytes(b"".join(v.tobytes() for v in WEIGHTS.values()))
    entries = [{"name": k, "shape": list(v.shape), "dtype": "float32"} for k, v in WEIGHTS.items()]
    all_nodes = ["x Placeholder", "w Const", "w2 Const", "w3 Const", *nodes]
    split = [node.split() for node in all_nodes]
    topology = {"node": [{"name": n, "op": op, "input": rest} for n, op, *rest in split]}
    manifest = [{"paths": ["s.bin"], "weights": entries}]
    model = {"format": "graph-model", "modelTopology": topology, "weightsManifest": manifest}
    (tmp_path / "model.json").write_text(json.dumps(model))
    answer(tmp_path / "model.json", match)


def lite(path, tensors, operators):
    """A TFLite model of tensors name -> (shape, data or None) whose input is x, and (kind, in, out)."""
    import tflite as s

    b = flatbuffers.Builder(4096)

    def vector(start, offsets):
        start(b, len(offsets))
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    s.BufferStart(b)
    buffers, made, names = [s.BufferEnd(b)], [], list(tensors)
    for name, (shape, data) in tensors.items():
        buffer = 0
        if data is not None:
            content = b.CreateByteVector(np.ascontiguousarray(data).tobytes())
            s.BufferStart(b)
            s.BufferAddData(b, content)
            buffer = len(buffers)
            buffers.append(s.BufferEnd(b))
        dims, text = b.CreateNumpyVector(np.array(shape, np.int32)), b.CreateString(name)
        s.TensorStart(b)
        s.TensorAddShape(b, dims)
        s.TensorAddName(b, text)
        s.TensorAddBuffer(b, buffer)
        s.TensorAddType(b, 1 if data is not None and data.dtype == np.float16 else 0)
        made.append(s.TensorEnd(b))
    kinds = sorted({getattr(s.BuiltinOperator, kind) for kind, _, _ in operators})
    steps = []
    for kind, inputs, outputs in operators:
        ins, outs = (
            b.CreateNumpyVector(np.array([names.index(n) for n in part.split()], np.int32))
            for part in (inputs, outputs)
        )
        s.OperatorStart(b)
        s.OperatorAddOpcodeIndex(b, kinds.index(getattr(s.BuiltinOperator, kind)))
        s.OperatorAddInputs(b, ins)
        s.OperatorAddOutputs(b, outs)
        steps.append(s.OperatorEnd(b))
    tensor_list = vector(s.SubGraphStartTensorsVector, made)
    operator_list = vector(s.SubGraphStartOperatorsVector, steps)
    given = b.CreateNumpyVector(np.array([names.index("x")], np.int32))
    s.SubGraphStart(b)
    s.SubGraphAddTensors(b, tensor_list)
    s.SubGraphAddOperators(b, operator_list)
    s.SubGraphAddInputs(b, given)
    graph = s.SubGraphEnd(b)
    codes = []
    for kind in kinds:
        s.OperatorCodeStart(b)
        s.OperatorCodeAddDeprecatedBuiltinCode(b, min(kind, 127))
        s.OperatorCodeAddBuiltinCode(b, kind)
        codes.append(s.OperatorCodeEnd(b))
    code_list = vector(s.ModelStartOperatorCodesVector, codes)
    graphs = vector(s.ModelStartSubgraphsVector, [graph])
    buffer_list = vector(s.ModelStartBuffersVector, buffers)
    s.ModelStart(b)
    s.ModelAddVersion(b, 3)
    s.ModelAddOperatorCodes(b, code_list)
    s.ModelAddSubgraphs(b, graphs)
    s.ModelAddBuffers(b, buffer_list)
    b.Finish(s.ModelEnd(b), b"TFL3")
    path.write_bytes(bytes(b.Output()))
    return path


OHWI = STEM.transpose(3, 0, 1, 2)
AFTER = ("CONV_2D", "a w2", "y")


@pytest.mark.parametrize(
    ("weight", "steps", "match"),
    [
        (OHWI, [("CONV_2D", "x w", "a"), AFTER], None),
        (OHWI, [AFTER, ("CONV_2D", "x w", "a")], None),
        (OHWI.astype(np.float16), [("DEQUANTIZE", "w", "d"), ("CONV_2D", "x d", "a"), AFTER], None),
        (OHWI.reshape(8, 27), [("RESHAPE", "w", "d"), ("CONV_2D", "x d", "a"), AFTER], None),
        (OHWI, [("DENSIFY", "w", "d"), ("CONV_2D", "x d", "a"), AFTER], "by DENSIFY, not stored"),
        (OHWI, [("MUL", "w w", "d"), ("CONV_2D", "x d", "a"), AFTER], "by MUL, not stored"),
        (OHWI, [("CUSTOM", "x w", "a"), AFTER], "operator CUSTOM: what is within it"),
        (noise(3, 3, 3, 3, 8), [("CONV_3D", "x w", "a"), AFTER], "3 x 3 x 3 x 3 x 8"),
        (OHWI, [("FULLY_CONNECTED", "x w", "a"), AFTER], "come after other layers"),
        (OHWI, [("TRANSPOSE_CONV", "s w x", "y")], "no layer sees an image"),
    ],
)
def test_tflite_graphs(tmp_path, weight, steps, match):
    shape = (1, 9, 9, 3)
    tensors = {"x": (shape, None), "w": (weight.shape, weight), "d": (OHWI.shape, None)}
    tensors |= {"w2": ((4, 3, 3, 8), noise(4, 3, 3, 8)), "a": (shape, None), "y": (shape, None)}
    tensors["s"] = ((4,), np.zeros(4, np.float32))
    answer(lite(tmp_path / "m.tflite", tensors, steps), match)


def test_three_dimensions_are_read_where_they_are_named(tmp_path):
    weight = noise(3, 3, 3, 3, 8)
    tensors = {
        "x": ((1, 9, 9, 9, 3), None),
        "w": (weight.shape, weight),
        "y": ((1, 9, 9, 9, 8), None),
    }
    path = lite(tmp_path / "m.tflite", tensors, [("CONV_3D", "x w", "y")])
    np.testing.assert_array_equal(choose(read(path), "w")[0].kernels(), weight)
    (tmp_path / "s.bin").write_bytes(weight.tobytes())
    nodes = [("x", "Placeholder", []), ("w3", "Const", []), ("C", "Conv3D", ["x", "w3"])]
    topology = {"node": [{"name": n, "op": op, "input": given} for n, op, given in nodes]}
    entries = [{"name": "w3", "shape": list(weight.shape), "dtype": "float32"}]
    manifest = [{"paths": ["s.bin"], "weights": entries}]
    model = {"format": "graph-model", "modelTopology": topology, "weightsManifest": manifest}
    (tmp_path / "model.json").write_text(json.dumps(model))
    np.testing.assert_array_equal(choose(read(tmp_path), "w3")[0].kernels(), weight)


def keras(kind, name, *before):
    nodes = [[[b, 0, 0, {}] for b in before]] if before else []
    return {"class_name": kind, "config": {"name": name}, "name": name, "inbound_nodes": nodes}


@pytest.mark.parametrize(
    ("layers", "arrays", "match"),
    [
        (
            [keras("InputLayer", "i"), keras("Conv2D", "z", "i"), keras("Conv2D", "a", "z")],
            {"z": STEM, "a": noise(3, 3, 8, 4)},
            None,
        ),
        (
            [keras("Dense", "d"), keras("Conv2D", "a"), keras("Conv2D", "b")],
            {"a": noise(3, 3, 8, 4), "b": noise(3, 3, 4, 3)},
            "come after other layers",
        ),
        (
            [
                keras("InputLayer", "i"),
                keras("InputLayer", "j"),
                keras("Conv2D", "a", "i"),
                keras("Conv2D", "b", "j"),
            ],
            {"a": STEM, "b": noise(3, 3, 1, 4)},
            "several inputs",
        ),
        (
            [keras("Conv3D", "a"), keras("Conv2D", "b")],
            {"a": noise(3, 3, 3, 3, 4), "b": STEM},
            "a 3-D convolution",
        ),
        ([keras("Conv2D", "a"), keras("Conv2D", "b")], {"b": STEM}, "its weights .Conv2D. are not"),
    ],
)
def test_keras_graphs(tmp_path, layers, arrays, match):
    h5py = pytest.importorskip("h5py")
    kind = "Functional" if any(layer["inbound_nodes"] for layer in layers) else "Sequential"
    with h5py.File(tmp_path / "k.h5", "w") as file:
        config = {"class_name": kind, "config": {"layers": layers}}
        file.attrs["model_config"] = json.dumps(config)
        for name, array in arrays.items():
            file[f"model_weights/{name}/{name}/kernel:0"] = array
            file[f"optimizer_weights/Adam/{name}/kernel/m:0"] = noise(*array.shape)
    answer(tmp_path / "k.h5", match)


def test_what_tensorflow_writes_is_named_with_what_to_convert_it_to(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    (tmp_path / "variables" / "variables.index").write_bytes(bytes(60))
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        answer(path, "SavedModel, which is not read: convert it")
    for path in (tmp_path / "variables", tmp_path / "variables" / "variables.index"):
        answer(path, "TensorFlow checkpoint, which is not read: load it")
