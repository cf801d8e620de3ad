"""Files made to harm: nothing in them is executed, nothing large allocated, one sentence is the answer."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import kernelstudy.comparison  # noqa: F401  (so that its import is not traced)
from kernelstudy import compare
from kernelstudy.weights import Limits, WeightsError, read
from kernelstudy.weights.pytorch import LEGACY_START
from tests.weights import files
from tests.weights.files import FORMATS, STEM
from tests.weights.fuzzing import fuzz

MOST = 100 * 2**20  # bytes that a refusal may take


def refused(path, capsys, match, *options):
    """The command's answer: exit status 2 and one sentence, in bounded memory."""
    tracemalloc.start()
    status = compare.main([str(path), "--out", str(path.parent / "out"), *options])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    told = capsys.readouterr()
    assert status == 2, told
    assert told.out == ""
    assert len(told.err.splitlines()) == 1, told.err
    assert match in told.err
    assert not (path.parent / "out").exists()
    assert peak < MOST


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def _torch_zip(path, text, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", text)
        for key, data in storages:
            archive.writestr(f"net/data/{key}", data)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "protocol 0", "npy"])
def test_pickles_that_call_the_system_are_never_executed(tmp_path, capsys, form):
    mark, path = tmp_path / "executed", tmp_path / "bomb.pt"
    text = pickle.dumps({"weight": Bomb(mark)}, 0 if form == "protocol 0" else 2)
    if form == "zip":
        _torch_zip(path, text)
    elif form == "legacy":
        path.write_bytes(LEGACY_START + pickle.dumps(1001) + pickle.dumps({}) + text)
    elif form == "npy":
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.array([Bomb(mark)], dtype=object))
    else:
        path.write_bytes(text)
    refused(
        path, capsys, "never loaded" if form == "npy" else "system: refused, nothing was executed"
    )
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cbuiltins\ngetattr\n(S'a'\nS'upper'\ntR.",
        b"c__builtin__\nexec\n(S'1'\ntR.",
        b"cimportlib\nimport_module\n(S'os'\ntR.",
        b"ctorch.hub\nload\n(S'a'\ntR0cnobody\nknows\n(tR.",
        b"(S'touch x'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04(cos\nsystem\nS'x'\no.",
    ],
)
def test_pickles_that_call_anything_else(tmp_path, capsys, text):
    path = tmp_path / "bomb.pt"
    _torch_zip(path, text)
    refused(path, capsys, "bomb.pt")


def test_pickles_that_would_take_memory_or_time(tmp_path, capsys):
    nested = b"\x80\x04)" + b"\x94h\x00\x86" * 0 + b"".join(b"2\x86" for _ in range(60))
    for text in (
        b"\x80\x05\x96" + struct.pack("<Q", 10**15) + b".",  # a bytearray
        b"\x80\x04\x8e" + struct.pack("<Q", 10**15) + b".",  # bytes
        b"\x80\x04\x95" + struct.pack("<Q", 10**15) + b".",  # a frame
        b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",  # a place in the memo
        b"\x80\x04}" + nested[3:] + b"Ns.",  # a key whose hash takes 2^60 steps
    ):
        path = tmp_path / "bomb.pt"
        _torch_zip(path, text)
        refused(path, capsys, "bomb.pt")
    _torch_zip(path, b"\x80\x02" + b"}" * 1_100_000 + b".")
    with pytest.raises(WeightsError, match="more than 1,000,000 operations"):
        read(path)


def test_zip_bombs(tmp_path, capsys):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (1024, 1024, 1, 1024)}
    np.lib.format.write_array_header_1_0(header, shape)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("w.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(64):
            member.write(bytes(2**20))
    refused(path, capsys, "--max-gib", "--layout", "oihw")
    _torch_zip(path, b"")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(80 * 2**20))
    refused(path, capsys, "more than the 64 MiB that a description")


def test_a_zip_that_unpacks_to_more_than_it_claims(tmp_path, capsys):
    path = tmp_path / "lie.npz"
    np.savez_compressed(path, w=np.zeros((16, 3, 3, 3)))
    data = bytearray(path.read_bytes())
    for place in (data.find(b"PK\x01\x02") + 24, 22):
        data[place : place + 4] = struct.pack("<I", 200)
    path.write_bytes(data)
    refused(path, capsys, "lie.npz" if b"lie" in data else "", "--layout", "oihw")


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"orbax"}))
def test_truncated_files(tmp_path, capsys, name):
    if name.startswith("torch"):
        pytest.importorskip("torch")
    make, _, layout = FORMATS[name]
    path = make(tmp_path)
    whole = path.read_bytes()
    for keep in (0, 1, 9, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:keep])
        refused(path, capsys, "", "--layout", layout)


def test_headers_that_claim_10_to_the_15(tmp_path, capsys):
    huge = 10**15
    (tmp_path / "a").write_bytes(struct.pack("<Q", huge) + b"{}" + bytes(100))
    refused(tmp_path / "a", capsys, "header")
    entry = {"w": {"dtype": "F32", "shape": [huge, 3, 3, 3], "data_offsets": [0, 4 * 27 * huge]}}
    text = json.dumps(entry).encode()
    (tmp_path / "b").write_bytes(struct.pack("<Q", len(text)) + text)
    refused(tmp_path / "b", capsys, "b is not a safetensors file")
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (huge, 3, 3, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    (tmp_path / "c").write_bytes(header.getvalue() + bytes(100))
    refused(tmp_path / "c", capsys, "GiB, more than --max-gib 2", "--layout", "oihw")
    weights = [{"name": "w", "shape": [3, 3, 3, huge], "dtype": "float32"}]
    model = {"weightsManifest": [{"paths": ["x.bin"], "weights": weights}]}
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "x.bin").write_bytes(b"1234")
    refused(tmp_path / "model.json", capsys, "more than --max-gib 2")


def test_a_tensor_over_the_whole_address_space(tmp_path, capsys):
    """Strides of 0 make a small storage a huge tensor; offsets lead out of it."""
    torch = pytest.importorskip("torch")
    huge = torch.zeros(1).expand(10**5, 3, 10**4, 10**4)
    torch.save({"w": huge}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", capsys, "more than --max-gib 2")
    torch.save({"w": torch.zeros(8, 3, 3, 3)}, tmp_path / "b.pt")
    with zipfile.ZipFile(tmp_path / "b.pt") as archive:
        text = archive.read("b/data.pkl")
    # 216 numbers, of which the storage in the archive has 8
    _torch_zip(tmp_path / "c.pt", text, [("0", bytes(32))])
    refused(tmp_path / "c.pt", capsys, "c.pt" if b"c.pt" in text else "storage of w")


def test_hdf5_that_claims_more_than_it_holds(tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("conv/kernel", (10**6, 10**6, 3, 8), "f4", chunks=(1, 1, 3, 8))
    refused(tmp_path / "huge.h5", capsys, "more than --max-gib 2")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        np.save(tmp_path / "secret.npy", STEM)
        file["conv"] = h5py.ExternalLink(str(tmp_path / "huge.h5"), "conv")
        file["circle"] = file["/"]
        outside = [(str(tmp_path / "secret.npy"), 128, STEM.nbytes)]
        file.create_dataset("kernel", STEM.shape, "f4", external=outside)
    refused(tmp_path / "links.h5", capsys, "no convolution")


def test_links_and_paths_out_of_a_directory(tmp_path, capsys):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(STEM.tobytes())
    folder = tmp_path / "js"
    folder.mkdir()
    entry = {"name": "w", "shape": list(STEM.shape), "dtype": "float32"}
    (folder / "link.bin").symlink_to(secret)
    for name in ("../secret.bin", str(secret), "link.bin"):
        model = {"weightsManifest": [{"paths": [name], "weights": [entry]}]}
        (folder / "model.json").write_text(json.dumps(model))
        refused(folder / "model.json", capsys, "leads out of js")
    orbax = files.orbax(tmp_path)
    (orbax / "d" / "link").symlink_to(secret)
    refused(orbax, capsys, "is a link that leads out of it")


def test_onnx_data_out_of_its_directory(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    place = tmp_path / "in"
    place.mkdir()
    (tmp_path / "secret.bin").write_bytes(STEM.tobytes())
    weight = onnx.TensorProto(name="w", dims=(8, 3, 3, 3), data_type=1, data_location=1)
    weight.external_data.add(key="location", value="../secret.bin")
    nodes = [onnx.helper.make_node("Conv", ["x", "w"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [weight])
    (place / "m.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    refused(place / "m.onnx", capsys, "leads out of in")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path, capsys, bad):
    kernels = STEM.copy()
    kernels[0, 0, 0, [2, 5]] = bad
    np.save(tmp_path / "w.npy", kernels)
    refused(tmp_path / "w.npy", capsys, "2 of 8 filters hold NaN or infinite", "--layout", "hwio")


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path, capsys):
    files.npz(tmp_path)
    np.savez(tmp_path / "net.npz", **{"\x1b[2J\nw": STEM})
    assert compare.main([str(tmp_path / "net.npz"), "--layout", "hwio", "--list"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert len(told.splitlines()) == 1


def test_what_is_no_weights_at_all(tmp_path, capsys):
    for name, data in {
        "empty": b"",
        "text": b"hello, world\n" * 100,
        "picture.pt": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "graph.pb": b"\n\x0bPlaceholder" + bytes(50),
        "json": b'{"a": ' + b"[" * 100_000,
    }.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, capsys, name)
    refused(tmp_path / "missing.pt", capsys, "is not there")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", capsys, "none of the known formats")


@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_damaged_files(tmp_path, name):
    if name.startswith("torch"):
        pytest.importorskip("torch")
    make, _, layout = FORMATS[name]
    path = make(tmp_path)
    found = fuzz(path, layout, 1000)
    assert found["refused"] > 100
    assert sum(found.values()) >= 1000


def test_the_limit_is_a_limit_on_files_too(tmp_path):
    files.onnx(tmp_path)
    with pytest.raises(WeightsError, match="more than --max-gib"):
        read(tmp_path / "net.onnx", Limits(100))


def _tensor(path, size, stride, count=9, quantised=b""):
    """A .pt of one tensor with a storage of `count` floats, seen as `size` with `stride`."""
    numbers = b"".join(b"J" + struct.pack("<i", n) for n in size)
    steps = b"".join(b"J" + struct.pack("<i", n) for n in stride)
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ"
    text = b"\x80\x02}X\x0c\0\0\0conv1.weightctorch._utils\n_rebuild_tensor_v2\n("
    text += storage + struct.pack("<i", count) + b"tQJ\0\0\0\0(" + numbers + b"t(" + steps + b"t"
    _torch_zip(path, text + b"\x89}tRs.", [("0", np.ones(count, "f4").tobytes())])


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((100_000, 1, 3, 3), (0, 0, 3, 1)),
        ((2_000, 1, 3, 3), (0, 0, 3, 1)),
        ((1, 1, 3000, 3000), (0, 0, 0, 0)),
        ((2, 1, 3, 3), (1, 0, 3, 1)),
        ((8, 1, 3, 3), (2**30, 9, 3, 1)),
    ],
)
def test_tensors_that_show_a_number_more_than_once(tmp_path, capsys, size, stride):
    path = tmp_path / "wide.pt"
    _tensor(path, size, stride)
    refused(path, capsys, "conv1.weight")


def _text(words):
    return b"X" + struct.pack("<I", len(words)) + words


def test_pickles_whose_calls_copy(tmp_path, capsys):
    """One text of 1 MB, encoded again and again; large numbers of one remainder as keys and places."""
    path = tmp_path / "copies.pt"
    call = b"c_codecs\nencode\n(h\x00t" + b"R0"
    _torch_zip(path, b"\x80\x04" + _text(b"y" * 2**20) + b"q\x00" + call * 400 + b".")
    refused(path, capsys, "copy more than 64 MiB")
    long = [pickle.encode_long(n * (2**61 - 1)) for n in range(1, 30_000)]
    keys = b"".join(b"\x8a" + bytes([len(n)]) + n + b"N" for n in long)
    _torch_zip(path, b"\x80\x04}(" + keys + b"u.")
    refused(path, capsys, "no convolution")
    _torch_zip(path, b"N" + b"".join(b"p%d\n" % (n * (2**61 - 1)) for n in range(9)) + b".")
    refused(path, capsys, "copies.pt")
    laughs = (
        b"\x80\x04" + b"(h\x00h\x00t" * 0 + _text(b"f4") + b"".join(b"2\x86" for _ in range(40))
    )
    _torch_zip(path, laughs + b"cnumpy\ndtype\n(h\x00tR.")
    refused(path, capsys, "copies.pt")


def test_headers_and_chunks_that_claim_more_than_there_is(tmp_path, capsys):
    path = tmp_path / "header.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        member = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 2) + b" " * 2**20
        archive.writestr("w.npy", member)
    refused(path, capsys, "header claims 4,294,967,294 bytes")
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "chunk.h5"
    with h5py.File(path, "w") as file:
        shapes = {"maxshape": (3, 3, 1, None), "chunks": (3, 3, 1, 10**8)}
        file.create_dataset("conv/kernel:0", (3, 3, 1, 8), dtype="f4", compression="gzip", **shapes)
    refused(path, capsys, "a chunk of conv/kernel:0 needs")
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv/kernel:0", (3, 3, 1, 8), dtype=h5py.string_dtype())
    refused(path, capsys, "not numbers")


def test_structures_are_no_weights(tmp_path, capsys):
    path = tmp_path / "structure.npy"
    np.save(path, np.zeros((3, 3, 1, 8), "f4,f4"))
    refused(path, capsys, "structures", "--layout", "hwio")


def test_graphs_that_broadcast_or_branch(tmp_path, capsys, monkeypatch):
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    from kernelstudy.weights import onnx_values

    def write(nodes, arrays):
        tensors = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
        value = helper.make_tensor_value_info("x", 1, [1, 1, 9, 9])
        graph = helper.make_graph(nodes, "g", [value], [], tensors)
        (tmp_path / "graph.onnx").write_bytes(helper.make_model(graph).SerializeToString())

    assert onnx
    convolution = helper.make_node("Conv", ["x", "wq"], ["y"])
    arrays = {"w": np.ones((4000, 1, 1, 1), "i1"), "s": np.ones(4000, "f4")}
    write([helper.make_node("DequantizeLinear", ["w", "s"], ["wq"], axis=1), convolution], arrays)
    refused(tmp_path / "graph.onnx", capsys, "do not fit its shape")
    laughs = [
        helper.make_node("DequantizeLinear", ["c", f"s{i + 1}", f"s{i + 1}"], [f"s{i}"])
        for i in range(15)
    ]
    last = helper.make_node("DequantizeLinear", ["w", "s0", "s0"], ["wq"])
    arrays = {"w": np.ones((8, 1, 3, 3), "i1"), "c": np.array(1, "i1"), "s15": np.array(1, "f4")}
    write([*laughs, last, convolution], arrays)
    monkeypatch.setattr(onnx_values, "MOST_EVALUATIONS", 64)  # of 2**15, were each made anew
    assert not read(tmp_path / "graph.onnx").layers[0].hwio().any()
    monkeypatch.setattr(onnx_values, "MOST_EVALUATIONS", 8)
    with pytest.raises(WeightsError, match="steps to its weights"):
        read(tmp_path / "graph.onnx").layers[0].hwio()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_manifests_that_are_no_files(tmp_path, capsys, make):
    (tmp_path / "model").mkdir()
    make(tmp_path / "model" / "model.json")
    refused(tmp_path / "model", capsys, "not a regular file")


def test_a_reader_that_takes_too_much_is_ended(tmp_path, monkeypatch):
    """Whatever readers overlook: the process that reads has bounds of its own."""
    from kernelstudy.weights import isolated

    path = tmp_path / "good.npy"
    np.save(path, np.ones((3, 3, 1, 8), "f4"))
    hungry = isolated._START.replace("isolated.serve()", "bytearray(2**33); isolated.serve()")
    for start, told, waited in (
        (
            hungry.replace(
                "bytearray", "__import__('resource').setrlimit(9, (2**30,) * 2) or bytearray"
            ),
            "its reader ended",
            isolated.WAITED,
        ),
        (
            isolated._START.replace("isolated.serve()", "__import__('time').sleep(600)"),
            "takes more than",
            1.0 - isolated.SECONDS,
        ),
        (
            isolated._START.replace("isolated.serve()", "__import__('os').abort()"),
            "its reader ended",
            isolated.WAITED,
        ),
    ):
        monkeypatch.setattr(isolated, "_START", start)
        monkeypatch.setattr(isolated, "WAITED", waited)
        with pytest.raises(WeightsError, match=told):
            isolated.read_isolated(path, Limits(2**26), layout="hwio")


def test_names_with_superscripts_are_sorted(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "odd.safetensors"
    save_file({"conv1\u00b2.weight": np.ones((8, 1, 3, 3), "f4"), "\u00b2": np.ones(1, "f4")}, path)
    assert [layer.name for layer in read(path).layers] == ["conv1\u00b2.weight"]


def test_layers_that_no_network_begins_with(tmp_path, capsys):
    path = tmp_path / "many.npy"
    np.save(path, np.ones((3, 3, 1, 20_000), "f4"))
    refused(path, capsys, "20,000 kernels", "--layout", "hwio")
