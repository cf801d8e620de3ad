"""How a set comes to be on disk: made, downloaded or prepared once, decoded once, then read."""

from pathlib import Path
from typing import Any

from kernelstudy.data import DataError, Parts, data_dir, decoded, idx, own, packed, stock
from kernelstudy.data.decoded import Arrays, Decoded
from kernelstudy.data.options import Data
from kernelstudy.data.registry import OWN, SETS, TFDS, folder
from kernelstudy.system.errors import first_line

GIB = 2**30


def obtain(
    data: Data,
    *,
    prepare: bool = False,
    source: str | None = None,
    progress: idx.Progress = lambda *_: None,
) -> Decoded:
    """A set under the options of `data`: from its decoded arrays, or else decoded now.

    What comes with a package is packed on its first use. All else is downloaded only where `prepare`
    is set, or taken from `source`, a directory (or the address of a mirror).

    Raises:
        DataError: where the set is not prepared, or cannot be prepared or read.
    """
    place, name = data_dir(), folder(data)
    path, limit = decoded.path_of(place, name, data), data.in_memory_gib * GIB
    try:
        if data.name in OWN:
            return own.obtain(data, place, limit, progress)
        # without a lock: a reader may have no right to write
        if found := decoded.read(path, limit=limit):
            return found
        with decoded.at_work(place, name):
            if found := _decoded(path, limit, place / name):
                return found
            splits, facts = _splits(data, place, prepare=prepare, source=source, progress=progress)
            found = _decode(splits, data, limit, progress)
            found.facts.update(facts)
            _keep(path, found, place / name, must=prepare)
            return found
    except OSError as error:
        raise DataError(
            f"data: {name} cannot be prepared in {place} ({_reason(error)}); "
            "KERNELSTUDY_DATA_DIR names another place"
        ) from error


def _decoded(path: Path, limit: float, packed_set: Path) -> Decoded | None:
    """The decoded arrays, if they are there, and the packed set too where images come from that."""
    found = decoded.read(path, limit=limit)
    return found if found and (found.train.images is not None or packed_set.is_dir()) else None


def _splits(
    data: Data, place: Path, *, prepare: bool, source: str | None, progress: idx.Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The splits of a set to be decoded, prepared first where that is allowed; and facts of it."""
    name, entry = folder(data), SETS[data.name]
    if data.name == TFDS:
        if prepare:
            stock.prepare(place, name, progress)
        splits, info = stock.open_tfds(place, name)
        return splits, {
            "source": f"TensorFlow Datasets, {info.full_name}, {info.homepage}",
            "classes": info.features[splits["train"].label_key].num_classes,
        }
    try:
        if splits := packed.open_packed(place, name):
            return splits, {}
    except Exception as error:
        raise _damaged(data, error) from error
    if entry.make:
        progress(f"making {name}", 0, 0)
        parts = entry.make(data)
    elif prepare:
        with packed.partial(place, name) as scratch:
            parts = idx.read_all(
                entry.files, source or entry.url, scratch=scratch, progress=progress
            )
    else:
        raise packed.unprepared(name, place)
    packed.sweep(place, name)
    packed.pack(place, name, parts, what=entry.what, progress=progress)
    return dict(zip(Parts._fields, map(Arrays, parts), strict=True)), {}


def _decode(splits: Any, data: Data, limit: float, progress: idx.Progress) -> Decoded:
    name, entry = folder(data), SETS[data.name]
    try:
        found = decoded.decode(splits, data, name, limit=limit, progress=progress)
    except (DataError, OSError):
        raise
    except Exception as error:  # whatever a damaged file makes TFDS and its readers raise
        raise _damaged(data, error) from error
    whole = not (data.crop or data.resize) and found.train.images is not None
    if whole and entry.sha256 and found.facts["sha256"] != entry.sha256:
        raise _damaged(data, ValueError(f"its sha256 is {found.facts['sha256']}"))
    if whole and entry.files:
        arrays = (a for part in (found.train, found.test) for a in part)
        for array, file in zip(arrays, entry.files, strict=True):
            if idx.idx_hash(array.reshape(file.shape).astype("u1")) != file.sha256:
                raise _damaged(data, ValueError(f"{file.name} is not the expected one"))
    return found


def _keep(path: Path, found: Decoded, source: Path, *, must: bool) -> None:
    if not source.is_dir():  # TFDS is mocked: there is nothing on disk that it belongs to
        return
    try:
        decoded.write(path, found)
    except OSError:
        if must:
            raise  # else decoded again at the next start


def _reason(error: OSError) -> str:
    """What the system said; TFDS' writer and NumPy wrap it."""
    full = ("No space left", "Not enough free space", "requested and")
    if any(words in str(error) for words in full):
        return "No space left on device"
    return error.strerror or str(error)


def _damaged(data: Data, error: Exception) -> DataError:
    return DataError(
        f"data: {folder(data)} in {data_dir()} cannot be read ({first_line(error)}); delete it there, then "
        f"python -m kernelstudy.prepare {data.dataset or data.name}"
    )
