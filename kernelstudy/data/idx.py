"""MNIST and its relatives: four IDX files (LeCun et al. 1998), downloaded or taken from a directory.

They are known by their content, so copies that were compressed anew, or not at all, are as good.
"""

import gzip
import hashlib
import http.client
import math
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernelstudy.data import DataError, Part, Parts
from kernelstudy.system import files as system_files
from kernelstudy.system.errors import first_line

TIMEOUT = 5.0  # seconds without an answer
STALLED = 60.0  # seconds for a mebibyte
CHUNK = 1 << 20

Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all (0: unknown)


class File(NamedTuple):
    name: str
    sha256: str  # of the content, not compressed
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of the content, header included."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)


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
                most = file.bytes + file.bytes // 100 + 2**16  # if nothing in it can be compressed
                download(f"{place.rstrip('/')}/{path.name}", path, progress, most)
                arrays.append(parse(content(path, file.bytes), file, path.name))
        else:
            path = find(Path(place).expanduser(), file.name)
            progress(f"reading {path.name}", 0, 0)
            arrays.append(parse(content(path, file.bytes), file, str(path)))
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


def content(path: Path, most: int) -> bytes:
    """What a file holds, decompressed if it is gzip; of more than `most` bytes that many and one."""
    try:
        with system_files.opened(path) as file:
            if file.peek(2)[:2] != b"\x1f\x8b":
                return file.read(most + 1)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return unzipped.read(most + 1)
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
            f"{path} holds {_more(len(data) - header, file)} bytes of data where its header says "
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


def download(url: str, path: Path, progress: Progress, most: int) -> None:
    """Fetch `url`, of `most` bytes at most, into `path`; a network that does not answer is given up in
    seconds."""
    fetch = urllib.request.OpenerDirector()  # for the web alone: no files, no FTP
    for handler in (
        *(urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
        *(urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler, _Redirects),
    ):
        fetch.add_handler(handler())
    try:
        with fetch.open(url, timeout=TIMEOUT) as answer, path.open("wb") as out:
            size = int(answer.headers.get("Content-Length") or 0)
            if size > most:
                raise ValueError(f"it has {size:,} bytes where the file has {most:,} at most")
            done, since, mark = 0, time.monotonic(), 0
            while chunk := answer.read1(CHUNK):
                out.write(chunk)
                done += len(chunk)
                if done > most:
                    raise ValueError(
                        f"it goes on after the {most:,} bytes that the file has at most"
                    )
                progress(f"downloading {path.name}", done, size)
                if done - mark >= CHUNK:
                    since, mark = time.monotonic(), done
                elif time.monotonic() - since > STALLED:
                    raise TimeoutError("the network is too slow")
    except urllib.error.HTTPError as error:
        raise _unreachable(
            url, f"the server says {error.code} {str(error.reason)[:200]}"
        ) from error
    except (
        urllib.error.URLError,
        TimeoutError,
        http.client.HTTPException,
        ConnectionError,
        ValueError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(
            url, first_line(reason)[:300] if isinstance(reason, Exception) else str(reason)
        ) from error
    if size and done != size:
        raise _unreachable(url, f"{done:,} of {size:,} bytes came")


def _more(found: int, file: File) -> str:
    wanted = math.prod(file.shape)
    return f"more than {wanted:,}" if found > wanted else f"{found:,}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Elsewhere on the web, and nowhere else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.lower().startswith(("http://", "https://")):
            told = f"and sends to {newurl[:200]}, which is not on the web"
            raise urllib.error.HTTPError(req.full_url, code, told, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _unreachable(url: str, why: str) -> DataError:
    return DataError(
        f"{url} cannot be downloaded ({why}); try again, or give a directory that holds the four "
        "files with --from DIR"
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no"
