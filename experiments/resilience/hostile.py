"""Files and servers that mean harm, each given to the command that reads it, in a process of its own.

Right is one sentence and exit status 2 (or, from `status`, a row), in a minute of computing, with nothing
run and nothing outside read.
"""

import gzip
import http.server
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

SECRET = "the-secret-of-this-machine"
MOST_SECONDS, MOST_BYTES = 60.0, 2 * 2**30


class Tried(NamedTuple):
    """One input. `right`: it was refused, or shown, as it should be; `said`: its last words."""

    input: str
    command: str
    status: int
    seconds: float
    right: bool
    said: str


class Case(NamedTuple):
    """`words` of a command, made in a directory; the status that is right; what its words must hold."""

    input: str
    words: Callable[[Path, Path], list[str]]  # of a place, and a copy of a finished run in it
    status: int = 2
    said: str = ""


def tried(place: Path, finished: Path, *, tiny: bool = False) -> list[Tried]:
    """Every case, each in a directory of its own, with a copy of a finished run."""
    found = []
    with mirror() as address:
        os.environ["MIRROR"] = address
        for index, case in enumerate(CASES[:3] if tiny else CASES):
            here = place / f"hostile{index}"
            run = shutil.copytree(finished, here / "runs" / "run")
            (here / "secret").write_text(SECRET)
            found.append(ask(case, here, run))
            shutil.rmtree(here)
    return found


# Limits itself, then becomes the command: what forks within a process of many threads can hang.
LIMITED = """import os, resource, sys
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])"""


def ask(case: Case, here: Path, run: Path) -> Tried:
    """What a command answers, with an address space of `MOST_BYTES`."""
    words = case.words(here, run)
    began, computed = time.monotonic(), _computed()
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(MOST_BYTES), *words],
            cwd=here,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=10 * MOST_SECONDS,  # a slow machine, or one that is busy, is no fault
            env=os.environ
            | {"KERNELSTUDY_DATA_DIR": str(here / "data"), "OPENBLAS_NUM_THREADS": "1"},
            check=False,
        )
        status, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        status, out, err = -1, "", "does not end"
    seconds = time.monotonic() - began
    # where a command that takes long is, it says every half a minute
    lines = [line for line in err.strip().splitlines() if not line.endswith(" by now")]
    right = (
        status == case.status and _computed() - computed < MOST_SECONDS and case.said in out + err
    )
    right = right and len(lines) == (1 if status else 0) and "\x1b" not in out + err
    right = right and not any(SECRET in text for text in (out, err, *pages(here)))
    right = right and not (here / "pwned").exists()
    said = (lines or out.strip().splitlines() or [""])[-1]
    command = " ".join(words[:1]).removeprefix("kernelstudy.")
    return Tried(case.input, command, status, seconds, right, said.replace(f"{here}/", "")[:200])


def _computed() -> float:
    """Seconds that processes which have ended took of a core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pages(here: Path) -> Iterator[str]:
    for path in here.rglob("report.*"):
        yield path.read_text(errors="replace")


@contextmanager
def mirror() -> Iterator[str]:
    """A server that sends elsewhere, without an end, or what steers a terminal."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.split("/")[1]
            if kind == "steering":
                self.wfile.write(b"HTTP/1.1 404 \x1b[2J\x1b]0;pwned\x07\r\n\r\n")
                return
            self.send_response(302 if kind == "file" else 200)
            if kind == "file":
                self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            try:
                while kind == "endless":
                    self.wfile.write(bytes(2**16))
                if kind == "bomb":
                    self.wfile.write(gzip.compress(bytes(2**28)))
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetching(kind: str) -> Callable[[Path, Path], list[str]]:
    return lambda here, run: [
        "kernelstudy.prepare",
        "fashion_mnist",
        "--from",
        f"{os.environ['MIRROR']}/{kind}",
    ]


def reporting(spoil: Callable[[Path, Path], object]) -> Callable[[Path, Path], list[str]]:
    def words(here: Path, run: Path) -> list[str]:
        spoil(here, run)
        return ["kernelstudy.report", str(run)]

    return words


def status_of_config(text: str) -> Callable[[Path, Path], list[str]]:
    def words(here: Path, run: Path) -> list[str]:
        bad = shutil.copytree(run, here / "runs" / "bad")
        (bad / "DONE").unlink()
        (bad / "config.yaml").write_text(text)
        return ["kernelstudy.status", str(here / "runs")]

    return words


def comparing(name: str, make: Callable[[Path], object]) -> Callable[[Path, Path], list[str]]:
    def words(here: Path, run: Path) -> list[str]:
        make(here / name)
        return ["kernelstudy.compare", name, "--max-gib", "0.1", "--layout", "hwio"]

    return words


def filtering(make: Callable[[Path], object]) -> Callable[[Path, Path], list[str]]:
    def words(here: Path, run: Path) -> list[str]:
        make(here / "image.png")
        return ["kernelstudy.filter", "image.png"]

    return words


def configured(text: str) -> Callable[[Path, Path], list[str]]:
    def words(here: Path, run: Path) -> list[str]:
        (here / "conf" / "exp").mkdir(parents=True)
        (here / "conf" / "exp" / "own.yaml").write_text(f"# @package _global_\n{text}")
        return ["kernelstudy.run", "--config-dir=conf", "+exp=own"]

    return words


def linked_table(here: Path, run: Path) -> None:
    (run / "tables").mkdir(exist_ok=True)
    (run / "tables" / "x.csv").symlink_to(here / "secret")
    os.mkfifo(run / "tables" / "y.csv")


def second_frame(here: Path, run: Path) -> None:
    (run / "DONE").write_text("")
    path = next(p for p in (run / "trajectory.zarr/kernel/c").rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes() * 2)


def edited(here: Path, run: Path) -> None:
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("steps: ", "steps: 1"))


def long_header(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x02\x00\xfe\xff\xff\xff" + b" " * 2**24)


def manifest(path: Path) -> None:
    path.mkdir()
    (path / "model.json").symlink_to("/dev/zero")


def structure(path: Path) -> None:
    np.save(path, np.zeros((3, 3, 1, 8), "f4,f4"))


def shapes(path: Path) -> None:
    big = "1" + "0" * 4200
    weights = [{"name": "c", "shape": ["@"], "dtype": "float32"}]
    text = json.dumps({"weightsManifest": [{"paths": ["s"], "weights": weights}]})
    path.write_text(text.replace('"@"', ",".join([big] * 5000)))


CASES = [
    Case("a link and a pipe among a run's tables", reporting(linked_table), 0),
    Case(
        "a config of aliases of aliases", status_of_config("a: &a [x]\nb: &b [*a, *a]"), 0, "alias"
    ),
    Case("an integer of 5,000 digits", status_of_config("steps: " + "9" * 5000), 0, "1 failed"),
    Case("a million digits to base 60", status_of_config("steps: " + "59:" * 10**6), 0, "1 failed"),
    Case("a second frame in a chunk", reporting(second_frame), said="damaged"),
    Case("an edited config.yaml", reporting(edited), said="its checksum says"),
    Case("a mirror that sends to file:", fetching("file"), said="302"),
    Case("a mirror without an end", fetching("endless"), said="goes on after"),
    Case("a mirror with a gzip bomb", fetching("bomb")),
    Case("a mirror that steers the terminal", fetching("steering"), said="404"),
    Case(
        "PostScript named .png",
        filtering(lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")),
        said="not an image",
    ),
    Case("a pipe named .png", filtering(os.mkfifo), said="not a regular file"),
    Case("a config with _target_", configured("model:\n  _target_: os.system\n"), said="_target_"),
    Case(
        "a config with a callback",
        configured("hydra:\n  callbacks:\n    x: {y: 1}\n"),
        said="Hydra's own settings",
    ),
    Case(
        "a config that reads the environment", configured("name: ${oc.env:HOME}"), said="resolver"
    ),
    Case("a header of 4 GiB in .npz", comparing("w.npz", long_header), said="header claims"),
    Case("a manifest that is /dev/zero", comparing("model", manifest), said="not a regular file"),
    Case("an array of structures", comparing("w.npy", structure), said="structures"),
    Case("a product of 5,000 shapes", comparing("m.json", shapes)),
]
