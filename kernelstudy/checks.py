"""What settings can be run together: ConfigError, one sentence that names the key, where they cannot."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

from kernelstudy.config import (
    ACTIVATIONS,
    DATA_SETS,
    DEPTHS,
    INITS,
    INPUTS,
    KERNEL_SIZES,
    METRICS,
    OPTIMIZERS,
    PRECISIONS,
    STRIDES,
    Arm,
    ConfigError,
    Data,
    Model,
    Study,
)
from kernelstudy.data.registry import SETS, TFDS
from kernelstudy.handcrafted import names as bank_names


def check(study: Study) -> None:
    """Raise ConfigError for the first setting that cannot be run."""
    # The length is that of the names of files, with room for what is written beside them.
    if (
        not re.fullmatch(r'[^./\\"<>][^/\\"<>]*', study.name)
        or not study.name.isprintable()
        or len(study.name.encode()) > 200
    ):
        raise ConfigError(f"name: {short(study.name)} must be usable as the name of a directory")
    _check_seeds(study.seeds)
    for key in ("steps", "batch_size"):
        _at_least(key, getattr(study, key), 1)
    _at_least("log_points", study.log_points, 2)
    _at_least("eval_images", study.eval_images, 1)
    for index, arm in enumerate(study.arms):
        if arm.first_layer == "frozen" and study.model.depth < 1:
            raise ConfigError(
                f"arms[{index}].first_layer: nothing to freeze, for model.depth is "
                f"{study.model.depth}; it must be at least 1"
            )
    _at_least("probe_seeds", study.probe_seeds, 0)
    _positive("probe_mib", study.probe_mib)
    _check_model(study.model)
    if study.devices is not None:
        _at_least("devices", study.devices, 1)
    check_data(study.data)
    _one_of("optim.name", study.optim.name, OPTIMIZERS)
    _one_of("impl", study.impl, ("auto", "lax", "gemm"))
    _one_of("precision", study.precision, PRECISIONS)
    _one_of("log", study.log, (None, "tensorboard"))
    _positive("memory_gib", study.memory_gib)
    if not 0 <= study.checkpoint_seconds < math.inf:
        raise ConfigError(
            f"checkpoint_seconds: {study.checkpoint_seconds} must be a finite number from 0"
        )
    _positive("optim.learning_rate", study.optim.learning_rate)
    _fraction("optim.momentum", study.optim.momentum)
    if not 0 <= study.optim.weight_decay < math.inf:
        raise ConfigError(f"optim.weight_decay: {study.optim.weight_decay} must be 0 or more")
    if study.optim.weight_decay and study.optim.name == "adam":
        raise ConfigError("optim.weight_decay: adam has none; use optim.name=adamw")
    if study.optim.momentum and study.optim.name != "sgd":
        raise ConfigError(f"optim.momentum: {study.optim.name} has none; use optim.name=sgd")
    _one_of("bank.metric", study.bank.metric, METRICS)
    if not study.bank.kernels:
        raise ConfigError("bank.kernels: must name at least one hand-crafted kernel")
    known, size = bank_names(), study.model.kernel_size
    for kernel in study.bank.kernels:
        if kernel not in known:
            hint = near_miss(kernel, known) or "; kernelstudy.names() lists them"
            raise ConfigError(f"bank.kernels: {kernel!r} is none of the {len(known)} kernels{hint}")
    if not set(study.bank.kernels) & set(bank_names(size)):
        raise ConfigError(f"bank.kernels: none of them exists at model.kernel_size={size}")
    _check_arms(study.arms)


def _check_model(model: Model) -> None:
    for key in ("width", "deep_width"):
        _at_least(f"model.{key}", getattr(model, key), 1)
    _one_of("model.depth", model.depth, DEPTHS)
    _one_of("model.kernel_size", model.kernel_size, KERNEL_SIZES)
    _one_of("model.activation", model.activation, ACTIVATIONS)
    _one_of("model.stride", model.stride, STRIDES)
    alike = model.depth > 1 and model.width == model.deep_width
    if model.residual and not (alike or model.depth > 2):
        raise ConfigError(
            "model.residual: no layer has as many channels in as out; it needs model.depth=3 or more, "
            "or model.deep_width equal to model.width"
        )


def _check_seeds(seeds: Any) -> None:
    is_count = isinstance(seeds, int) and not isinstance(seeds, bool) and 0 < seeds <= 10**6
    is_list = (
        isinstance(seeds, list)
        and len(seeds) > 0
        and all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**31 for s in seeds)
        and len(set(seeds)) == len(seeds)
    )
    if not (is_count or is_list):
        raise ConfigError(
            f"seeds: {short(seeds)} must be a whole number from 1 to 1,000,000 or a list of distinct seeds "
            "from 0"
        )


def _check_arms(arms: list[Arm]) -> None:
    if not arms:
        raise ConfigError("arms: must list at least one arm, for instance {init: he_normal}")
    for index, arm in enumerate(arms):
        key = f"arms[{index}]"
        _one_of(f"{key}.init", arm.init, INITS)
        _positive(f"{key}.scale", arm.scale)
        _one_of(f"{key}.first_layer", arm.first_layer, ("learned", "frozen"))
        _one_of(f"{key}.labels", arm.labels, ("true", "shuffled"))
        _one_of(f"{key}.inputs", arm.inputs, INPUTS)
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"arms: {name} is listed {names.count(name)} times")


def check_data(data: Data) -> None:
    """Raise ConfigError for the first setting of a data set that cannot be."""
    _one_of("data.name", data.name, DATA_SETS)
    if data.name == TFDS and not data.dataset:
        raise ConfigError("data.dataset: must be given, for instance data.dataset=cifar10")
    if data.name != TFDS and data.dataset is not None:
        raise ConfigError(f"data.dataset: {data.name} has none; use data=tfds")
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
    _one_of("data.colour", data.colour, (None, "grey", "rgb"))
    if data.colour not in (None, *SETS[data.name].colours):
        raise ConfigError(f"data.colour: {data.name} has no colours, only grey")
    for key in ("crop", "resize", "subset"):
        if getattr(data, key) is not None:
            _at_least(f"data.{key}", getattr(data, key), 1)
    _fraction("data.val_fraction", data.val_fraction)
    _at_least("data.shift", data.shift, 0)
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
    _positive("data.blur", data.blur)
    if not data.in_memory_gib >= 0:
        raise ConfigError(f"data.in_memory_gib: {data.in_memory_gib} must be 0 or more")


def check_against_data(study: Study, *, examples: int, image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError for a setting that the data cannot serve."""
    if study.batch_size > examples:
        raise ConfigError(
            f"batch_size: {study.batch_size} is more than the {examples:,} training examples of "
            f"{study.data.name}"
        )
    side = min(image_shape[:2])
    if study.model.kernel_size > side:
        raise ConfigError(
            f"model.kernel_size: {study.model.kernel_size} is larger than the images of "
            f"{study.data.name}, {image_shape[0]} x {image_shape[1]}"
        )
    for index, arm in enumerate(study.arms):
        if arm.init == "delta_orthogonal" and study.model.width < image_shape[-1]:
            raise ConfigError(
                f"arms[{index}].init: delta_orthogonal needs at least as many kernels as the images "
                f"have colours; model.width is {study.model.width}"
            )


def near_miss(word: str, allowed: Iterable[str]) -> str:
    """' (did you mean X?)' or nothing."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def short(value: Any) -> str:
    """A value as it was typed, where that prints; not too much of it."""
    plain = isinstance(value, str) and value.isprintable() and "'" not in value
    text = f"'{value}'" if plain else repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def listed(allowed: Iterable[Any]) -> str:
    return ", ".join(str(a) for a in allowed)


def _one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    if value not in allowed:
        hint = near_miss(value, map(str, allowed)) if isinstance(value, str) else ""
        raise ConfigError(f"{key}: {value!r} is not one of {listed(allowed)}{hint}")


def _at_least(key: str, value: int, least: int) -> None:
    if not least <= value < 2**31:
        raise ConfigError(f"{key}: {value} must be a whole number from {least} to {2**31 - 1:,}")


def _positive(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}: {value} must be a finite number above 0")


def _fraction(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{key}: {value} must be from 0 up to, not including, 1")
