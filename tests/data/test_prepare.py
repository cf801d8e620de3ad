"""The prepare command: from a directory, over HTTP, and everything that goes wrong on the way."""

import gzip
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import pytest

from kernelstudy import prepare
from kernelstudy.data import DataError, idx, images, packed, registry, store

IMAGES = "train-images-idx3-ubyte.gz"


def left(place):
    return sorted(str(p.relative_to(place)) for p in place.rglob("*")) if place.exists() else []


def refused(capsys, *words):
    """The one sentence that the command ends with."""
    assert prepare.main(list(words)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def server(small_fashion):
    """The four files, served from 127.0.0.1."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=str(small_fashion))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_arrays(found, idx_arrays):
    mean, std = found.facts["pixel_mean"], found.facts["pixel_std"]
    wanted = list(idx_arrays.values())
    for ours, theirs in ((found.train_images, wanted[0]), (found.test_images, wanted[2])):
        np.testing.assert_array_equal((ours[..., 0] * std + mean).round(), theirs)
    np.testing.assert_array_equal(found.train_labels, wanted[1])
    np.testing.assert_array_equal(found.test_labels, wanted[3])
    assert mean == pytest.approx(wanted[0].mean())
    assert std == pytest.approx(wanted[0].std())


def test_from_a_directory_then_idempotent(small_fashion, place, idx_arrays, capsys):
    assert prepare.main(["fashion_mnist", "--from", str(small_fashion)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "packing train images" in told.out
    assert told.out.splitlines()[-1].startswith("prepared: fashion_mnist: 60 training and 20 test")
    check_arrays(images.load("fashion_mnist"), idx_arrays)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}
    assert not [p for p in before if packed.PARTIAL in str(p)]
    assert prepare.main(["fashion_mnist", "--from", str(small_fashion)]) == 0
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()} == before


def test_the_packed_set_itself_holds_the_images(small_fashion, place, idx_arrays):
    prepare.main(["fashion_mnist", "--from", str(small_fashion)])
    import shutil

    shutil.rmtree(place / "decoded")
    check_arrays(images.load("fashion_mnist"), idx_arrays)


def test_files_of_another_compression_and_of_other_names_are_as_good(
    small_fashion, place, idx_arrays
):
    for path in small_fashion.iterdir():
        content = gzip.decompress(path.read_bytes())
        path.unlink()
        name = path.name.removesuffix(".gz")
        if "images" in name:
            (small_fashion / name.replace("-idx", ".idx")).write_bytes(content)
        else:
            (small_fashion / path.name).write_bytes(gzip.compress(content, 1, mtime=1))
    assert prepare.main(["fashion_mnist", "--from", str(small_fashion)]) == 0
    check_arrays(images.load("fashion_mnist"), idx_arrays)


def test_download(server, place, idx_arrays, monkeypatch, capsys):
    entry = registry.SETS["fashion_mnist"]._replace(url=server)
    monkeypatch.setitem(registry.SETS, "fashion_mnist", entry)
    assert prepare.main(["fashion_mnist"]) == 0
    assert f"downloading {IMAGES}" in capsys.readouterr().out
    check_arrays(images.load("fashion_mnist"), idx_arrays)


def test_a_mirror(server, place, idx_arrays):
    assert prepare.main(["fashion_mnist", "--from", server + "/"]) == 0
    check_arrays(images.load("fashion_mnist"), idx_arrays)


def test_a_file_that_the_server_has_not(server, small_fashion, place, capsys):
    (small_fashion / "t10k-labels-idx1-ubyte.gz").unlink()
    assert "404" in refused(capsys, "fashion_mnist", "--from", server)
    assert left(place) == []


def test_nobody_answers(small_fashion, place, capsys):
    began = time.monotonic()
    said = refused(capsys, "fashion_mnist")
    assert "--from DIR" in said
    assert "cannot be downloaded" in said
    assert time.monotonic() - began < 60  # no waiting for what will not come
    assert left(place) == []


def test_a_server_that_says_nothing(small_fashion, place, capsys, monkeypatch):
    monkeypatch.setattr(idx, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = refused(
            capsys, "fashion_mnist", "--from", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
    assert "timed out" in said


def test_a_download_cut_short(place, small_fashion, capsys):
    def serve(listening):
        with listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "4 of 1,000 bytes came" in refused(capsys, "fashion_mnist", "--from", url)
        thread.join()
    assert left(place) == []


@contextmanager
def answering(respond):
    """A server of which every answer is `respond(handler)`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with suppress(OSError):
                respond(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(2**16))


def huge(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()


def steering(handler):
    handler.wfile.write(b"HTTP/1.1 404 \x1b[2J\x1b]0;pwned\x07gone\r\n\r\n")


def to(address):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return redirect


def bomb(handler):
    handler.send_response(200)
    handler.end_headers()
    zipped = gzip.compress(bytes(2**24))
    for _ in range(3):
        handler.wfile.write(zipped)


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (endless, "goes on after"),
        (huge, "1,000,000,000,000 bytes where"),
        (steering, "the server says 404 ?[2J"),
        (to("file:///etc/passwd"), "the server says 302"),
        (to("ftp://127.0.0.1/x"), "not on the web"),
        (bomb, "in place of"),
    ],
)
def test_a_mirror_that_means_harm(respond, said, small_fashion, place, capsys):
    with answering(respond) as url:
        sentence = refused(capsys, "fashion_mnist", "--from", url)
    assert said in sentence
    assert sentence.isprintable()
    assert left(place) == []


def test_no_more_is_decompressed_than_the_file_has(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(2**25)))
    assert len(idx.content(path, 1000)) == 1001


def test_sets_are_fetched_over_https():
    assert all(entry.url.startswith("https://") for entry in registry.SETS.values() if entry.url)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(make, small_fashion, place, capsys):
    (small_fashion / IMAGES).unlink()
    make(small_fashion / IMAGES)
    assert "not a regular file" in refused(capsys, "fashion_mnist", "--from", str(small_fashion))
    assert left(place) == []


def other_pixel(raw):
    content = bytearray(gzip.decompress(raw))
    content[-1] ^= 1
    return gzip.compress(bytes(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_pixel, "sha256"),
        (lambda raw: raw[: len(raw) // 2], "cut short"),
        (lambda raw: raw[:200] + bytes(200) + raw[400:], "damaged"),
        (lambda raw: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(raw)[4:]), "00 00 0d 03"),
        (lambda raw: b"<html>no such file</html>", "IDX"),
        (lambda raw: b"", "nothing"),
        (lambda raw: gzip.compress(gzip.decompress(raw)[:4]), "60 x 28 x 28"),
        (lambda raw: gzip.compress(gzip.decompress(raw)[:-1]), "47,039 bytes"),
        (
            lambda raw: gzip.compress(
                b"\0\0\x08\x03\0\0\0\x3b" + gzip.decompress(raw)[8 : -28 * 28]
            ),
            "59 x 28 x 28 bytes, not 60 x 28 x 28",
        ),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_left(damage, said, small_fashion, place, capsys):
    path = small_fashion / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    sentence = refused(capsys, "fashion_mnist", "--from", str(small_fashion))
    assert said in sentence
    assert IMAGES in sentence
    assert left(place) == []


def test_a_directory_that_cannot_be_read(small_fashion, place, tmp_path, capsys):
    assert "No such file" in refused(capsys, "fashion_mnist", "--from", str(tmp_path / "nowhere"))
    assert "Not a directory" in refused(
        capsys, "fashion_mnist", "--from", str(small_fashion / IMAGES)
    )
    (tmp_path / "empty").mkdir()
    assert f"holds no {IMAGES}" in refused(
        capsys, "fashion_mnist", "--from", str(tmp_path / "empty")
    )
    (small_fashion / IMAGES).unlink()
    (small_fashion / IMAGES).mkdir()
    assert "Is a directory" in refused(capsys, "fashion_mnist", "--from", str(small_fashion))
    assert left(place) == []


def test_a_data_directory_that_is_a_file(small_fashion, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELSTUDY_DATA_DIR", str(tmp_path / "file"))
    said = refused(capsys, "fashion_mnist", "--from", str(small_fashion))
    assert "KERNELSTUDY_DATA_DIR" in said


def test_a_full_disk_is_one_sentence(tmp_path):
    """A file system of 1 MB, mounted for this process alone."""
    script = (
        "mkdir small && mount -t tmpfs -o size=1m tmpfs small && "
        f"KERNELSTUDY_DATA_DIR=small/data {sys.executable} -m kernelstudy.prepare oriented;"
        " status=$?; find small -mindepth 1; exit $status"
    )
    process = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if "unshare" in process.stderr or "mount" in process.stderr:
        pytest.skip("this system mounts nothing for its users")
    assert process.returncode == 2
    assert "No space left on device" in process.stderr
    assert len(process.stderr.splitlines()) == 1
    assert "small" not in process.stdout


@pytest.mark.parametrize("where", ["reading", "packing test", "decoding"])
def test_stopped_half_way_nothing_is_left(where, small_fashion, place):
    def stop(what, done, total):
        if what.startswith(where):
            raise KeyboardInterrupt

    from kernelstudy.data.options import Data

    with pytest.raises(KeyboardInterrupt):
        store.obtain(Data("fashion_mnist"), prepare=True, source=str(small_fashion), progress=stop)
    assert left(place) == []


def test_what_a_killed_preparation_left_is_never_read_and_swept_away(small_fashion, place):
    remains = place / f"{packed.PARTIAL}fashion_mnist-x" / "fashion_mnist" / packed.VERSION
    remains.mkdir(parents=True)
    (remains / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match=r"python -m kernelstudy.prepare fashion_mnist$"):
        images.load("fashion_mnist")
    assert prepare.main(["fashion_mnist", "--from", str(small_fashion)]) == 0
    assert not list(place.glob(f"{packed.PARTIAL}*"))


def test_a_run_never_downloads(small_fashion, place, server, monkeypatch):
    entry = registry.SETS["fashion_mnist"]._replace(url=server)
    monkeypatch.setitem(registry.SETS, "fashion_mnist", entry)
    with pytest.raises(DataError, match=r"first python -m kernelstudy\.prepare fashion_mnist"):
        images.load("fashion_mnist")
    assert left(place) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tfds"], "name the set itself"),
        (["fashon_mnist"], "did you mean fashion_mnist"),
        (["digits", "--from", "/tmp"], "--from: digits takes no files"),
        (["../digits"], "no name of a TFDS set"),
        (["no_such_set_at_all"], "no data set that TFDS knows"),
        (["cifar10/nope"], "BuilderConfig nope not found"),
    ],
)
def test_names_that_cannot_be(words, said, place, capsys):
    assert said in refused(capsys, *words)


def test_a_set_whose_builder_needs_tensorflow(place, capsys):
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        said = refused(capsys, "cifar10")
        assert "[tfds-prepare]" in said
        assert "TensorFlow" in said
        assert left(place) == []
    else:
        pytest.skip("TensorFlow is installed")


def test_what_comes_with_a_package_is_prepared_too(place, capsys):
    assert prepare.main(["oriented"]) == 0
    assert "4,000 training and 1,000 test images of 28 x 28" in capsys.readouterr().out
    assert list(place.glob("oriented_*"))
