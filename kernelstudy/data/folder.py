"""A directory of image files as a set: which files, of which class, which to test on; and their pixels.

Links, pipes and devices are not followed. A file that is no image, or damaged, is left out and told.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.data import DataError
from kernelstudy.data.image_files import ENDINGS, read_pixels
from kernelstudy.data.options import Data
from kernelstudy.data.packages import split_rows
from kernelstudy.data.photos import patches_of
from kernelstudy.data.registry import colour
from kernelstudy.system.errors import InputError, printable

PARTS = ("train", "test")
TEST = 0.2  # of each class, where no folders say which files are to test on
MOST = 2_000_000  # files


class Listing(NamedTuple):
    """The files of a directory, sorted; names are relative to it."""

    root: Path
    files: list[str]
    labels: np.ndarray  # (files,)
    classes: list[str]
    parts: tuple[np.ndarray, np.ndarray]  # rows to train on, rows to test on
    by_folders: bool  # whether train/ and test/ say which these are
    fingerprint: str  # of names, sizes and times of all files
    left_out: dict[str, str]  # by name, why


def listing(data: Data) -> Listing:
    """The files that `data.path` holds for `data.task`.

    class: DIR/CLASS/FILE, or DIR/train/CLASS/FILE and DIR/test/CLASS/FILE; without these two every fifth file
    of a class is to test on. Other tasks take all files anywhere below DIR, without regard to classes.

    Raises:
        DataError: there is no such directory, or it is not laid out so.
    """
    root = Path(str(data.path)).expanduser()
    left_out: dict[str, str] = {}
    files, folders = _walk(root, left_out)
    text = "".join(f"{name}\0{told}\n" for name, told in (files | left_out).items())
    fingerprint = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    tops = [name for name in folders if "/" not in name]
    loose = any("/" not in name and name.lower().endswith(ENDINGS) for name in files)
    split = sorted(tops) == sorted(PARTS) and not loose
    if data.task == "class":
        split = _check_classes(root, files, folders, tops)
        depth = 2 if split else 1  # folders above a file
        for name in [name for name in files if name.count("/") < depth]:
            left_out[name] = "is in no class's folder"
            del files[name]
        classes = sorted({name.split("/")[depth - 1] for name in files})
        number = {name: label for label, name in enumerate(classes)}
        labels = np.array([number[name.split("/")[depth - 1]] for name in files], int)
    else:
        classes, labels = [""], np.zeros(len(files), int)
    names = list(files)
    if not names:
        raise DataError(f"data.path: {root} holds no files{told(left_out)}")
    if split:
        of_test = np.array([name.startswith("test/") for name in names])
        parts = np.flatnonzero(~of_test), np.flatnonzero(of_test)
    else:
        parts = split_rows(labels, test=TEST)
    found = Listing(root, names, labels, classes, parts, split, fingerprint, left_out)
    if data.task != "photo":
        check_counts(found, *(labels[rows] for rows in parts))
    return found


def check_counts(found: Listing, train: np.ndarray, test: np.ndarray) -> None:
    """DataError where a part, whose labels these are, lacks images of a class."""
    for label, name in enumerate(found.classes):
        counts = [int((of == label).sum()) for of in (train, test)]
        if all(counts):
            continue
        of_class = f" of class {name!r}" if name else ""
        if found.by_folders:
            part = PARTS[counts.index(0)]
            raise DataError(
                f"data.path: {found.root} has no images{of_class} to {part} on: {part}/ needs one or more"
                f"{told(found.left_out)}"
            )
        images = f"{sum(counts)} image{'' if sum(counts) == 1 else 's'}{of_class}"
        raise DataError(
            f"data.path: {found.root} has {images}, too few to train and to test on: 3 are needed"
            f"{told(found.left_out)}"
        )


def told(left_out: dict[str, str]) -> str:
    """' (3 left out, such as NAME, which is ...)' or nothing."""
    if not left_out:
        return ""
    name, why = min(left_out.items())
    return f" ({len(left_out):,} left out, such as {name}, which {why})"


def _walk(root: Path, left_out: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Every regular file below `root` with its size and times, sorted, and every folder."""
    if not root.is_dir():
        what = "is no directory" if root.exists() else "does not exist"
        raise DataError(f"data.path: {root} {what}; name a directory of images")
    files, folders, waiting = {}, [], [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = folder + entry.name
                    if entry.name.startswith("."):
                        left_out[name] = "is hidden"
                    elif entry.is_symlink():
                        left_out[name] = "is a link"
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                        waiting.append(f"{name}/")
                    elif entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        files[name] = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
                    else:
                        left_out[name] = "is no regular file"
        except OSError as error:
            why = f"cannot be read ({error.strerror or error})"
            if not folder:
                raise DataError(f"data.path: {root} {why}") from error
            left_out[folder] = why
        if len(files) > MOST:
            raise DataError(f"data.path: {root} holds more than {MOST:,} files")
    return dict(sorted(files.items())), sorted(folders)


def _check_classes(root: Path, files: Any, folders: list[str], tops: list[str]) -> bool:
    """Whether `train` and `test` hold the classes' folders; DataError where files are not laid out by class."""
    split = [part for part in PARTS if any(name.startswith(f"{part}/") for name in folders)]
    anything = "data.task=rotation or data.task=photo takes any pile of photographs"
    if len(split) == 1:
        lacking = next(part for part in PARTS if part not in split)
        raise DataError(
            f"data.path: {root} has {split[0]}/ with folders in it, and no such {lacking}/: a split by folders "
            "needs both"
        )
    if split and (others := sorted(set(tops) - set(PARTS))):
        raise DataError(
            f"data.path: {root} mixes two layouts: {others[0]}/ lies beside train/ and test/, which hold the "
            "classes"
        )
    depth = 2 if split else 1
    if deeper := [name for name in folders if name.count("/") >= depth]:
        above, _, name = deeper[0].rpartition("/")
        raise DataError(
            f"data.path: {root / above} holds a folder, {name}/, where a class has files alone; {anything}"
        )
    is_image = [name for name in files if name.lower().endswith(ENDINGS)]
    if loose := [name for name in is_image if name.count("/") < depth]:
        raise DataError(
            f"data.path: {root / loose[0]} is in no class's folder: a class is a folder of images; {anything}"
        )
    of_classes = [name for name in folders if name.count("/") == depth - 1]
    filled = {name.rpartition("/")[0] for name in files}
    for name in of_classes:
        if name not in filled:
            raise DataError(f"data.path: {root / name} is empty: a class needs images")
    names = {name.split("/")[-1] for name in of_classes}
    if len(names) == 1:
        raise DataError(
            f"data.path: {root} has one class, {names.pop()!r}, where two are needed to tell apart; {anything}"
        )
    if not names:
        raise DataError(
            f"data.path: {root} is empty: it must hold a folder of images for each class"
        )
    return bool(split)


@dataclass(frozen=True)
class Files:
    """The files of one part, read as a `Split` is; those that cannot be read are added to `left_out`."""

    found: Listing
    rows: np.ndarray
    data: Data
    left_out: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def examples(self, rows: range) -> Iterator[tuple[np.ndarray, int]]:
        own = self.rows[rows]
        names = [self.found.files[row] for row in own]
        read = _each(names, lambda name: _pixels(self.found.root, name, self.data), self.left_out)
        for place, image in read:
            yield image, int(self.found.labels[own[place]])


@dataclass(frozen=True)
class Photographs:
    """Patches of photographs for one part; the class is the photograph.

    Files that cannot be read, or serve no patches, or show what another one shows are left out.
    """

    found: Listing
    part: int  # 0: to train on, 1: to test on
    data: Data
    left_out: dict[str, str]
    names: dict[str, str] = field(
        default_factory=dict
    )  # of those that serve, by a hash of their pixels

    def __len__(self) -> int:
        return len(self.found.files)

    def examples(self, rows: range) -> Iterator[tuple[np.ndarray, int]]:
        names = self.found.files[rows.start : rows.stop]
        numbers = dict(zip(names, rows, strict=True))

        def cut(name: str) -> tuple[str, list[np.ndarray]]:
            photo = _pixels(self.found.root, name, self.data)
            patches = patches_of(photo, numbers[name], str(colour(self.data)))
            return hashlib.sha256(photo.data).hexdigest(), patches[self.part]

        for place, (digest, patches) in _each(names, cut, self.left_out):
            if digest in self.names:
                self.left_out[names[place]] = f"shows what {self.names[digest]} shows"
                continue
            label = len(self.names)
            self.names[digest] = names[place]
            for patch in patches:
                yield patch, label


def _pixels(root: Path, name: str, data: Data) -> np.ndarray:
    try:
        return read_pixels(root / name, str(colour(data)), crop=data.crop, resize=data.resize)
    except InputError as error:
        raise DataError(str(error).removeprefix(printable(f"{root / name} "))) from error


def _each(
    names: list[str], function: Callable[[str], Any], left_out: dict[str, str]
) -> Iterator[tuple[int, Any]]:
    """What `function` makes of each name, with the name's place; a DataError is why it is left out."""

    def attempt(name: str) -> Any:
        try:
            return function(name)
        except DataError as error:
            return error

    cores = len(os.sched_getaffinity(0))
    with warnings.catch_warnings(), ThreadPoolExecutor(cores) as pool:
        warnings.simplefilter("ignore")  # here, for threads share the filters
        for place, result in enumerate(pool.map(attempt, names)):
            if isinstance(result, DataError):
                left_out[names[place]] = str(result)
            else:
                yield place, result
