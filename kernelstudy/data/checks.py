"""Which options a data set can be had with: ConfigError, one sentence that names the key, for others."""

import math
import re

from kernelstudy.data.options import TASKS, Data
from kernelstudy.data.photos import SMALLEST
from kernelstudy.data.registry import ARRAYS, FOLDER, OWN, SETS, TFDS
from kernelstudy.system.errors import ConfigError, closest, listed, near_miss
from kernelstudy.system.values import at_least, fraction, one_of, positive


def other_sets(name: str) -> str:
    """How a set of TFDS is named, for a name that none of ours has nor is like."""
    if closest(name, SETS) or not re.fullmatch(r"\w+(/[\w.+-]+)?", name):
        return ""
    return f"; a set of TFDS of that name is data=tfds data.dataset={name}"


def check_data(data: Data) -> None:
    """Raise ConfigError for the first setting of a data set that cannot be."""
    if data.name not in SETS:
        meant = near_miss(data.name, SETS) or other_sets(data.name)
        raise ConfigError(f"data.name: {data.name!r} is not one of {listed(SETS)}{meant}")
    if data.name == TFDS and not data.dataset:
        raise ConfigError("data.dataset: must be given, for instance data.dataset=cifar10")
    if data.name != TFDS and data.dataset is not None:
        raise ConfigError(
            f"data.dataset: {data.name} has none; use data=tfds data.dataset={data.dataset}"
        )
    if data.dataset is not None and not re.fullmatch(
        r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?", data.dataset
    ):
        raise ConfigError(
            f"data.dataset: {data.dataset!r} is no name of a TFDS set, such as cifar10 or name/config:1.0.0"
        )
    if data.dataset in SETS:
        raise ConfigError(
            f"data.dataset: {data.dataset} is a set of its own here; use data={data.dataset}"
        )
    _check_own(data)
    one_of("data.colour", data.colour, (None, "grey", "rgb"))
    if data.colour not in (None, *SETS[data.name].colours):
        raise ConfigError(f"data.colour: {data.name} has no colours, only grey")
    for key in ("crop", "resize", "subset"):
        if getattr(data, key) is not None:
            at_least(f"data.{key}", getattr(data, key), 1)
    fraction("data.val_fraction", data.val_fraction)
    at_least("data.split_seed", data.split_seed, 0)
    if data.split_seed and data.subset is None and not data.val_fraction:
        raise ConfigError(
            "data.split_seed: nothing is drawn without data.subset or data.val_fraction; set one of them"
        )
    at_least("data.shift", data.shift, 0)
    if data.name != "oriented":
        for key in ("orientation", "concentration", "blur"):
            if getattr(data, key) != getattr(Data, key):
                raise ConfigError(f"data.{key}: {data.name} has none; use data=oriented")
    if not math.isfinite(data.orientation):
        raise ConfigError(
            f"data.orientation: {data.orientation} must be a finite number of degrees"
        )
    if not 0 <= data.concentration < math.inf:
        raise ConfigError(f"data.concentration: {data.concentration} must be 0 or more, and finite")
    positive("data.blur", data.blur)
    if not data.in_memory_gib >= 0:
        raise ConfigError(f"data.in_memory_gib: {data.in_memory_gib} must be 0 or more")


def _check_own(data: Data) -> None:
    """What is set of images of one's own, and what is to be told of images."""
    if data.name in OWN and not data.path:
        what = "data.path=DIR" if data.name == FOLDER else "data.path=images.npz"
        raise ConfigError(f"data.path: must be given, as in data={data.name} {what}")
    if data.name not in OWN and data.path is not None:
        raise ConfigError(f"data.path: {data.name} has none; use data={FOLDER} or data={ARRAYS}")
    one_of("data.white", data.white, (None, 1, 255))
    if data.white is not None and data.name != ARRAYS:
        raise ConfigError(f"data.white: {data.name} has none; use data={ARRAYS}")
    one_of("data.task", data.task, TASKS)
    if data.task == "rotation" and data.flip:
        raise ConfigError(
            "data.flip: a mirrored image turned by 90 degrees is another turned by 270, so that "
            "data.task=rotation could not be told"
        )
    if data.task != "photo":
        return
    if data.name != FOLDER:
        raise ConfigError(
            f"data.task: photo is of data={FOLDER}, and what data=photo_patches is already"
        )
    for key in ("crop", "resize"):
        size = getattr(data, key)
        if size is not None and 0 < size < SMALLEST:
            raise ConfigError(
                f"data.{key}: {size} is less than the {SMALLEST} pixels a side that data.task=photo cuts its "
                f"patches from; data.{key}=null takes photographs as they are"
            )
