"""TFDS' own sets: prepared by its builders, which mostly need TensorFlow for that, never to be read."""

import contextlib
import importlib.util
import inspect
import io
import sys
from pathlib import Path
from typing import Any

from kernelstudy.data import DataError
from kernelstudy.data.idx import Progress
from kernelstudy.data.packed import FILE_FORMAT, partial, quiet_tfds, sweep, tfds_builder

# What a builder's module says that needs TensorFlow: its own use of it, or TFDS' extraction of archives.
_NEEDS_TENSORFLOW = (
    "import tensorflow as tf",
    "import tensorflow\n",
    "download_and_extract",
    "dl_manager.extract",
    "iter_archive",
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
            raise DataError(f"{name} cannot be prepared: {_one_line(error)}") from error
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
        f"{name} cannot be downloaded ({_one_line(error)}); try again where there is a network, or copy "
        "what another machine has prepared into KERNELSTUDY_DATA_DIR"
    )


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
