"""MNIST and its relatives: four IDX files (LeCun et al. 1998), downloaded or taken from a directory.

They are known by their content, so copies that were compressed anew, or not at all, are as good.
"""

import gzip
import hashlib
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.system.errors import first_line

TIMEOUT = 5.0  # seconds without an answer
STALLED = 60.0  # seconds for a mebibyte
CHUNK = 1 << 20

Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all (0: unknown)


class File(NamedTuple):
    name: str
    sha256: str  # of the content, not compressed
    shape: tuple[int, ...]


def files(images: tuple[str, str], labels: tuple[str, str]) -> tuple[File, ...]:
    """Training images, training labels, test images, test labels, in MNIST's format."""
    return (
        File("train-images-idx3-ubyte", images[0], (60_000, 28, 28)),
        File("train-labels-idx1-ubyte", labels[0], (60_000,)),
        File("t10k-images-idx3-ubyte", images[1], (10_000, 28, 28)),
        File("t10k-labels-idx1-ubyte", labels[1], (10_000,)),
    )


def read_all(
    wanted: tuple[File, ...],
    place: str,
    *,
    scratch: Path,
    progress: Progress = lambda *_: None,
) -> Parts:
    """The images of four files that lie in `place`, a directory or an address to download from.

    Args:
        wanted: training images, training labels, test images, test labels.
        scratch: a directory for what is downloaded; nothing is left in it.

    Raises:
        DataError: where a file cannot be had or is not the expected one.
    """
    remote = place.startswith(("http://", "https://"))
    arrays = []
    for file in wanted:
        if remote:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                path = Path(folder) / f"{file.name}.gz"
                download(f"{place.rstrip('/')}/{path.name}", path, progress)
                arrays.append(parse(content(path), file, path.name))
        else:
            path = find(Path(place).expanduser(), file.name)
            progress(f"reading {path.name}", 0, 0)
            arrays.append(parse(content(path), file, str(path)))
    images, labels, test_images, test_labels = arrays
    return Parts(
        Part(images[..., None], labels.astype(np.int32)),
        Part(test_images[..., None], test_labels.astype(np.int32)),
    )


def find(folder: Path, name: str) -> Path:
    """The file `name` in `folder`, compressed or not, 'idx' after a hyphen or a dot."""
    names = [n + end for n in (name, name.replace("-idx", ".idx")) for end in (".gz", "")]
    try:
        there = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise DataError(f"--from: {folder} cannot be read ({error.strerror or error})") from error
    for candidate in names:
        if candidate in there:
            return folder / candidate
    raise DataError(f"--from: {folder} holds no {names[0]}, nor {name} that is not compressed")


def content(path: Path) -> bytes:
    """What a file holds, decompressed if it is gzip."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut short or damaged ({first_line(error)})") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error


def parse(data: bytes, file: File, path: str) -> np.ndarray:
    """The array of uint8 in an IDX file's content, held to its expected shape and hash."""
    rank = len(file.shape)
    magic = bytes([0, 0, 8, rank])  # 8: unsigned bytes
    header = 4 + 4 * rank
    if data[:4] != magic:
        raise DataError(
            f"{path} is no IDX file of unsigned bytes with {rank} axes: it starts with "
            f"{data[:4].hex(' ') or 'nothing'} in place of {magic.hex(' ')}"
        )
    shape = (
        tuple(int(n) for n in np.frombuffer(data[:header], ">u4", offset=4))
        if len(data) >= header
        else ()
    )
    if shape != file.shape:
        raise DataError(f"{path} holds {_times(shape)} bytes, not {_times(file.shape)}")
    if len(data) != header + int(np.prod(shape)):
        raise DataError(
            f"{path} holds {len(data) - header:,} bytes of data where its header says "
            f"{int(np.prod(shape)):,}"
        )
    found = np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    if (digest := idx_hash(found)) != file.sha256:
        raise DataError(
            f"{path} is not the expected file: the sha256 of its content is {digest}, not {file.sha256}"
        )
    return found


def idx_hash(array: np.ndarray) -> str:
    """SHA-256 of the IDX file that holds an array of bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def download(url: str, path: Path, progress: Progress) -> None:
    """Fetch `url` into `path`; a network that does not answer is given up in seconds."""
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open("wb") as out:
            size = int(answer.headers.get("Content-Length") or 0)
            done, since, mark = 0, time.monotonic(), 0
            while chunk := answer.read1(CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(f"downloading {path.name}", done, size)
                if done - mark >= CHUNK:
                    since, mark = time.monotonic(), done
                elif time.monotonic() - since > STALLED:
                    raise TimeoutError("the network is too slow")
    except urllib.error.HTTPError as error:
        raise _unreachable(url, f"the server says {error.code} {error.reason}") from error
    except (
        urllib.error.URLError,
        TimeoutError,
        http.client.HTTPException,
        ConnectionError,
        ValueError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(url, first_line(reason)) from error
    if size and done != size:
        raise _unreachable(url, f"{done:,} of {size:,} bytes came")


def _unreachable(url: str, why: str) -> DataError:
    return DataError(
        f"{url} cannot be downloaded ({why}); try again, or give a directory that holds the four "
        "files with --from DIR"
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no"
