"""TFDS' own sets: read without TensorFlow, prepared by TFDS' builders, which mostly need it."""

import contextlib
import importlib.util
import inspect
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelstudy.data import DataError, Parts
from kernelstudy.data.idx import Progress
from kernelstudy.data.packed import (
    FILE_FORMAT,
    Split,
    partial,
    quiet_tfds,
    sweep,
    unprepared,
)
from kernelstudy.system.errors import first_line

HELD_OUT = 5  # every so manieth example is for testing, in sets that have none for it
# What a builder's module says that needs TensorFlow: its own use of it, or TFDS' extraction of archives.
_NEEDS_TENSORFLOW = (
    "import tensorflow as tf",
    "import tensorflow\n",
    "download_and_extract",
    "dl_manager.extract",
    "iter_archive",
)


def open_tfds(place: Path, name: str) -> tuple[dict[str, Split], Any]:
    """The splits of any TFDS image classification set, and TFDS' facts of it.

    'test' is the set's own test split if that has labels, else its validation split; of a set that has
    neither every fifth training example is for testing.

    Raises:
        DataError: where the set is not known, not prepared or not for image classification.
    """
    builder = tfds_builder(place, name)
    info = builder.info
    image_key, label_key = keys(info.features, name)
    known = list(info.splits) or list(Parts._fields)  # a mocked set knows none
    if "train" not in known:
        raise DataError(f"data.dataset: {name} has no split 'train', only {', '.join(known)}")
    found: dict[str, Split] = {}
    for split in ("train", "test", "validation"):
        role = "train" if split == "train" else "test"
        if split not in known or role in found:
            continue
        try:
            source = builder.as_data_source(split=split)
        except Exception as error:  # TFDS asserts, or its readers do not find their files
            raise unprepared(name, place) from error
        of_split = Split(source, image_key, label_key)
        if min(label for _, label in of_split.examples(range(min(8, len(of_split))))) >= 0:
            found[role] = of_split  # TFDS gives -1 where labels are withheld
    if "test" not in found:
        every = np.arange(len(found["train"]))
        of_test = every % HELD_OUT == HELD_OUT - 1
        found = {
            "train": replace(found["train"], rows=every[~of_test]),
            "test": replace(found["train"], rows=every[of_test]),
        }
    return found, info


def tfds_builder(place: Path, name: str) -> Any:
    """TFDS' builder of a set, its own or read from `place`."""
    tfds = quiet_tfds()
    try:
        return tfds.builder(name, data_dir=place, file_format=FILE_FORMAT)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataError(f"data.dataset: {name!r} is no data set that TFDS knows") from error
    except ImportError as error:
        raise DataError(f"data.dataset: {name} needs a package: {first_line(error)}") from error
    except (ValueError, AssertionError, OSError) as error:  # of a config or a version there is not
        if "file format" in str(error).lower():
            raise DataError(
                f"data.dataset: {name} in {place} is packed in another format than {FILE_FORMAT}; "
                f"delete it there, then python -m kernelstudy.prepare {name}"
            ) from error
        raise DataError(f"data.dataset: {name} cannot be had: {_reason(error)}") from error


def keys(features: Any, name: str) -> tuple[str, str]:
    """Which features are the image and its class."""
    tfds = quiet_tfds()
    entries = dict(features.items()) if hasattr(features, "items") else {}
    labels = [k for k, f in entries.items() if isinstance(f, tfds.features.ClassLabel)]
    images = [
        k
        for k, f in entries.items()
        if isinstance(f, tfds.features.Image)
        or (f.__class__ is tfds.features.Tensor and len(f.shape) == 3)
    ]
    if not images or not labels:
        raise DataError(
            f"data.dataset: {name} is not for image classification: it has no "
            f"{'image' if labels else 'class label'} among {', '.join(entries)}"
        )
    return ("image" if "image" in images else images[0]), (
        "label" if "label" in labels else labels[0]
    )


def prepare(place: Path, name: str, progress: Progress) -> None:
    """Download and pack a stock TFDS set into `place`, whole or not at all; nothing if it is there.

    Raises:
        DataError: where TFDS does not know the set or cannot prepare it, with what to do.
        OSError: where it cannot be written.
    """
    builder = tfds_builder(place, name)
    if builder.data_path.exists():
        return
    if needs_tensorflow(type(builder)) and importlib.util.find_spec("tensorflow") is None:
        raise _needs_tensorflow(name)
    tfds = quiet_tfds()
    progress(f"preparing {name}", 0, 0)
    sweep(place, name)
    with partial(place, name) as temporary, _few_retries():
        builder = tfds.builder(name, data_dir=temporary, file_format=FILE_FORMAT)
        if sys.stderr.isatty():
            tfds.enable_progress_bar()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(
                    file_format=FILE_FORMAT, download_dir=temporary / "downloads"
                )
        except ImportError as error:
            if "tensorflow" in str(error).lower():
                raise _needs_tensorflow(name) from error
            raise DataError(f"{name} cannot be prepared: {error}") from error
        except ConnectionError as error:
            raise _unreachable(name, error) from error
        except OSError as error:
            if error.errno is None:  # requests' errors of a network are OSErrors
                raise _unreachable(name, error) from error
            raise
        except Exception as error:  # TFDS': a download changed, files that a user must fetch, ...
            raise DataError(f"{name} cannot be prepared: {first_line(error)}") from error
        finally:
            tfds.disable_progress_bar()
        target = place / Path(builder.data_path).relative_to(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(builder.data_path).rename(target)


def needs_tensorflow(builder: type) -> bool:
    """Whether a builder's module speaks of TensorFlow or of TFDS' extraction, which needs it."""
    for cls in builder.__mro__:
        if cls.__module__.startswith("tensorflow_datasets.core."):
            continue
        try:
            source = inspect.getsource(sys.modules[cls.__module__])
        except (OSError, TypeError, KeyError):
            continue
        if any(words in source for words in _NEEDS_TENSORFLOW):
            return True
    return False


@contextlib.contextmanager
def _few_retries():
    """TFDS tries a dead network for minutes."""
    from tensorflow_datasets.core.download import downloader

    usual: Any = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 1
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual


def _needs_tensorflow(name: str) -> DataError:
    return DataError(
        f"{name}: its TFDS builder needs TensorFlow to prepare it (not to read it); "
        f"pip install 'kernelstudy[tfds-prepare]', then python -m kernelstudy.prepare {name}"
    )


def _unreachable(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot be downloaded ({first_line(error)}); try again where there is a network, or copy "
        "what another machine has prepared into KERNELSTUDY_DATA_DIR"
    )


def _reason(error: BaseException) -> str:
    """What TFDS says of the matter, without its arguments and its lists."""
    return first_line(error).split('": ')[-1].split(". Here are")[0][:200]
