"""What settings can be run together: ConfigError, one sentence that names the key, where they cannot."""

import math
import re
from dataclasses import fields
from typing import Any

import numpy as np

from kernelstudy.config import arm_checks
from kernelstudy.config.study import (
    ACTIVATIONS,
    DEPTHS,
    FAMILIES,
    FIRST_LAYERS,
    FIRST_STRIDES,
    KERNEL_SIZES,
    METRICS,
    OPTIMIZERS,
    PARAMETRIZATIONS,
    PRECISIONS,
    RANDOM_INITS,
    SCHEDULES,
    STRIDES,
    Arm,
    Bank,
    Model,
    Optim,
    Study,
)
from kernelstudy.data import corruptions
from kernelstudy.data.checks import check_data
from kernelstudy.handcrafted import names as bank_names
from kernelstudy.system.errors import ConfigError, short
from kernelstudy.system.values import at_least, fraction, one_of, positive

# Initialisers that draw a dense first layer in seconds.
_OF_ANY_SIZE = tuple(n for n in RANDOM_INITS if n not in ("orthogonal", "delta_orthogonal"))


def check(study: Study) -> None:
    """Raise ConfigError for the first setting that cannot be run."""
    if study.recorded:
        raise ConfigError("recorded: only kernelstudy.Recorder sets it")
    _check_name(study.name)
    _check_seeds(study.seeds)
    for key in ("steps", "batch_size"):
        at_least(key, getattr(study, key), 1)
    at_least("log_points", study.log_points, 2)
    at_least("eval_images", study.eval_images, 1)
    _check_tests(study.tests)
    for index, arm in enumerate(study.arms):
        if arm.first_layer == "frozen" and study.model.depth < 1:
            raise ConfigError(
                f"arms[{index}].first_layer: nothing to freeze, for model.depth is "
                f"{study.model.depth}; it must be at least 1"
            )
        if study.model.first == "dense" and arm.init not in _OF_ANY_SIZE:
            raise ConfigError(
                f"arms[{index}].init: {arm.init} is not for model.first=dense, whose weights are as large as "
                f"the images; it takes {', '.join(_OF_ANY_SIZE)}"
            )
    at_least("probe_seeds", study.probe_seeds, 0)
    positive("probe_mib", study.probe_mib)
    _check_model(study.model)
    if study.devices is not None:
        at_least("devices", study.devices, 1)
    check_data(study.data)
    one_of("impl", study.impl, ("auto", "lax", "gemm"))
    one_of("precision", study.precision, PRECISIONS)
    one_of("log", study.log, (None, "tensorboard"))
    positive("memory_gib", study.memory_gib)
    at_least("most_networks", study.most_networks, 1)
    if not 0 <= study.checkpoint_seconds < math.inf:
        raise ConfigError(
            f"checkpoint_seconds: {study.checkpoint_seconds} must be a finite number from 0"
        )
    _check_optim(study)
    _check_bank(study.bank, study.model.kernel_size)
    arm_checks.check_arms(study.arms, study.model)


def _check_tests(tests: list[str]) -> None:
    for index, text in enumerate(tests):
        corruptions.parse(f"tests[{index}]", text)
        if text in tests[:index]:
            raise ConfigError(f"tests: {text} is listed {tests.count(text)} times")


def _check_optim(study: Study) -> None:
    optim = study.optim
    one_of("optim.name", optim.name, OPTIMIZERS)
    one_of("optim.schedule", optim.schedule, SCHEDULES)
    at_least("optim.warmup_steps", optim.warmup_steps, 0)
    if optim.warmup_steps >= study.steps:
        raise ConfigError(
            f"optim.warmup_steps: {optim.warmup_steps} must be less than steps, {study.steps}"
        )
    if not all(0 < at < 1 for at in optim.decay_at) or len(set(optim.decay_at)) < len(
        optim.decay_at
    ):
        raise ConfigError(
            f"optim.decay_at: {short(optim.decay_at)} must be distinct parts of all steps, between 0 and 1"
        )
    positive("optim.decay_factor", optim.decay_factor)
    _check_rates("optim", optim, optim.name)
    for index, arm in enumerate(study.arms):
        _check_rates(f"arms[{index}]", arm, optim.name)


def _check_rates(key: str, of: Optim | Arm, rule: str) -> None:
    """The learning rate, momentum and decay of the study or of an arm; None: the study's."""
    if of.learning_rate is not None:
        positive(f"{key}.learning_rate", of.learning_rate)
    if of.momentum is not None:
        fraction(f"{key}.momentum", of.momentum)
    if of.weight_decay is not None and not 0 <= of.weight_decay < math.inf:
        raise ConfigError(f"{key}.weight_decay: {of.weight_decay} must be 0 or more")
    if of.weight_decay and rule == "adam":
        raise ConfigError(f"{key}.weight_decay: adam has none; use optim=adamw")
    if of.momentum and rule not in ("sgd", "sgdw"):
        raise ConfigError(f"{key}.momentum: {rule} has none; use optim=sgd or optim=sgdw")


def check_reported(study: Study) -> None:
    """Raise ConfigError for the first setting of a run that its report cannot rest on."""
    _check_name(study.name)
    _check_seeds(study.seeds)
    for key in ("steps", "batch_size"):
        at_least(key, getattr(study, key), 1)
    one_of("model.kernel_size", study.model.kernel_size, KERNEL_SIZES)
    if study.recorded:
        at_least("model.stride", study.model.stride, 1)
    else:
        one_of("model.stride", study.model.stride, STRIDES)
    _check_first_layer(study.model)
    _check_family(study.model)
    _check_bank(study.bank, study.model.kernel_size)
    if not study.arms:
        raise ConfigError("arms: there is none")


def _check_name(name: str) -> None:
    # The length is that of the names of files, with room for what is written beside them.
    usable = re.fullmatch(r'[^./\\"<>][^/\\"<>]*', name) and name.isprintable()
    if not usable or len(name.encode()) > 200:
        raise ConfigError(f"name: {short(name)} must be usable as the name of a directory")


def _check_bank(bank: Bank, size: int) -> None:
    one_of("bank.metric", bank.metric, METRICS)
    if not bank.kernels:
        raise ConfigError("bank.kernels: must name at least one hand-crafted kernel")
    arm_checks.check_known("bank.kernels", bank.kernels)
    if not set(bank.kernels) & set(bank_names(size)):
        raise ConfigError(f"bank.kernels: none of them exists at model.kernel_size={size}")


def _check_model(model: Model) -> None:
    for key in ("width", "deep_width"):
        at_least(f"model.{key}", getattr(model, key), 1)
    one_of("model.depth", model.depth, DEPTHS)
    one_of("model.kernel_size", model.kernel_size, KERNEL_SIZES)
    one_of("model.activation", model.activation, ACTIVATIONS)
    one_of("model.stride", model.stride, STRIDES)
    one_of("model.parametrization", model.parametrization, PARAMETRIZATIONS)
    _check_first_layer(model)
    _check_family(model)
    _check_own(model)
    for key in ("base_width", "base_deep_width"):
        at_least(f"model.{key}", getattr(model, key), 1)
    alike = model.depth > 1 and model.width == model.deep_width
    if model.residual and not (alike or model.depth > 2):
        raise ConfigError(
            "model.residual: no layer has as many channels in as out; it needs model.depth=3 or more, "
            "or model.deep_width equal to model.width"
        )


def _check_first_layer(model: Model) -> None:
    one_of("model.first", model.first, FIRST_LAYERS)
    one_of("model.first_stride", model.first_stride, FIRST_STRIDES)
    if model.first_stride > 1 and model.first in ("patchify", "dense"):
        reason = {"patchify": "patches do not overlap: model.kernel_size is their stride"}
        raise ConfigError(
            f"model.first_stride: {reason.get(model.first, 'a dense layer has none')}"
        )
    if model.first != "conv" and model.parametrization == "mup":
        raise ConfigError(
            f"model.parametrization: mup is not defined for model.first={model.first}"
        )


def _check_family(model: Model) -> None:
    one_of("model.family", model.family, FAMILIES)
    if model.family == "plain":
        return
    for key, plain, why in (
        ("stride", 1, "its stages halve in their own way"),
        ("residual", False, "its stages are what they are"),
        ("parametrization", "standard", "mup is of the plain network"),
    ):
        if getattr(model, key) != plain:
            raise ConfigError(f"model.{key}: not with model.family={model.family}: {why}")
    if model.family == "convnext" and model.batch_norm:
        raise ConfigError("model.batch_norm: not with model.family=convnext, which has layer norms")


def _check_own(model: Model) -> None:
    """Of the built-in network's keys a network of one's own has only those that it is found to have."""
    if model.own is None:
        if model.parameters:
            raise ConfigError(
                "model.parameters: they are found, of a network of one's own, and never given"
            )
        return
    built_in = Model(model.own, model.parameters, model.kernel_size, model.width)
    for entry in fields(Model):
        if getattr(model, entry.name) != getattr(built_in, entry.name):
            raise ConfigError(
                f"model.{entry.name}: is of the built-in network, and model.own={model.own} is another: leave "
                "it out"
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


def check_against_data(
    study: Study,
    *,
    examples: int,
    image_shape: tuple[int, int, int],
    test_labels: np.ndarray | None = None,
) -> None:
    """Raise ConfigError for a setting that the data cannot serve."""
    if test_labels is not None:
        corruptions.check(study.tests, test_labels, image_shape)
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
    colours = image_shape[-1]
    if study.model.first == "depthwise" and study.model.width % colours:
        raise ConfigError(
            f"model.width: {study.model.width} must be a multiple of the images' {colours} colours with "
            "model.first=depthwise"
        )
    for index, arm in enumerate(study.arms):
        if arm.init == "delta_orthogonal" and study.model.width < image_shape[-1]:
            raise ConfigError(
                f"arms[{index}].init: delta_orthogonal needs at least as many kernels as the images "
                f"have colours; model.width is {study.model.width}"
            )
