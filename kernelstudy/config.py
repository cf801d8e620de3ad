"""The schema of a study: what can be set, of what type, and what goes together.

Everything here is plain data. Hydra fills it from `conf/` and the command line; `check` holds it to
what can be run and answers with one sentence that names the key.
"""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kernelstudy.data.registry import SETS, TFDS
from kernelstudy.handcrafted import names as bank_names

# The names of what the other rooms implement, so that a config is checked without importing JAX;
# the tests hold each list to its implementation.
INITS = (
    "lecun_normal",
    "lecun_uniform",
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "orthogonal",
    "delta_orthogonal",
    "sparse",
    "sobel",
    "prewitt",
    "sobel_prewitt",
    "gabor",
    "dct",
    "sobel_jittered",
    "sobel_scrambled",
    "patch_pca",
    "patch_gaussian",
)
DATA_SETS = tuple(SETS)
INPUTS = ("natural", "phase_scrambled", "iid", "permuted", "whitened")
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "identity")
OPTIMIZERS = ("adam", "adamw", "sgd")
METRICS = ("best_abs_cos", "r2_sobel", "r2_sobel_centered", "r2_prewitt", "odd")
KERNEL_SIZES = (3, 5, 7, 9, 11)
DEPTHS = (1, 2, 3, 4, 5)
STRIDES = (1, 2)
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


class ConfigError(ValueError):
    """The user's input is wrong; the message is one sentence that names the key."""


@dataclass
class Arm:
    """One condition; its networks differ from each other in the seed alone."""

    init: str = MISSING
    scale: float = 1.0
    first_layer: str = "learned"
    # `Any`, for YAML reads a bare `true` as a boolean
    labels: Any = "true"
    inputs: str = "natural"

    @property
    def name(self) -> str:
        """`he_normal`, `he_normal*0.1`, `sobel/frozen`, `he_normal/shuffled`, ..."""
        scale = "" if self.scale == 1 else f"*{self.scale:g}"
        parts = [
            self.init + scale,
            *(["frozen"] if self.first_layer == "frozen" else []),
            *(["shuffled"] if self.labels == "shuffled" else []),
            *([self.inputs] if self.inputs != "natural" else []),
        ]
        return "/".join(parts)


@dataclass
class Data:
    """What is looked at; results/data/ tells of every set."""

    name: str = "mnist5k"
    dataset: str | None = None  # of TFDS, for data=tfds
    colour: str | None = None  # grey, rgb; null: as the set has it
    crop: int | None = None  # pixels: the central square, taken first
    resize: int | None = None  # pixels: what that is then scaled to
    subset: int | None = None  # so many training examples, stratified
    val_fraction: float = 0.0  # of the training examples, stratified, held out to validate
    flip: bool = False  # augmentation: mirrored at random
    shift: int = 0  # augmentation: moved at random by up to so many pixels
    # for data=oriented
    orientation: float = 0.0  # degrees, mean direction of gradients
    concentration: float = 0.0  # of orientations; 0: all alike
    blur: float = 1.0  # pixels
    in_memory_gib: float = 2.0  # larger training sets (as float32) are streamed


@dataclass
class Model:
    kernel_size: int = 3
    width: int = 16
    depth: int = 2
    deep_width: int = 32
    activation: str = "relu"
    batch_norm: bool = False
    stride: int = 1
    residual: bool = False


@dataclass
class Optim:
    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0


@dataclass
class Bank:
    """What is looked for, declared before the run: the kernels and the primary measure."""

    kernels: list[str] = field(default_factory=list)
    metric: str = "r2_sobel_centered"


@dataclass
class Study:
    """A study: arms x seeds, trained as one population."""

    name: str = "study"
    arms: list[Arm] = MISSING
    seeds: Any = 10
    steps: int = 400
    batch_size: int = 128
    log_points: int = 24
    eval_images: int = 128
    probe_seeds: int = 3
    probe_mib: float = 200.0
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    optim: Optim = field(default_factory=Optim)
    bank: Bank = field(default_factory=Bank)
    impl: str = "auto"
    precision: str = "float32"
    # Where and on what it runs; none of it changes the result.
    runs_dir: str = "results/runs"
    log: str | None = None
    report: bool = True
    devices: int | None = None
    memory_gib: float = 8.0
    distributed: bool = False
    checkpoint_seconds: float = 5.0
    allow_stale: bool = False

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @property
    def log_steps(self) -> list[int]:
        """Step 0, then log-spaced steps up to the last, `log_points` in all if there are so many."""
        wanted = min(self.log_points - 1, self.steps)
        for points in range(wanted, 100 * wanted + 2):  # close steps round to one: ask for more
            spaced = np.unique(np.geomspace(self.steps, 1, points).round().astype(int))
            if len(spaced) >= wanted:
                break
        # Rounding can jump over the number wanted; then the surplus goes from the dense start.
        return [0, *spaced[len(spaced) - wanted :].tolist()]


# Keys that came after the first runs: where they have these values they leave a run's id as it was.
NEUTRAL = {
    "model.batch_norm": False,
    "model.stride": 1,
    "model.residual": False,
    "probe_seeds": 3,
    "probe_mib": 200.0,
}
NOT_IN_ID = (
    *("runs_dir", "log", "report", "devices", "memory_gib", "distributed", "data.in_memory_gib"),
    *("checkpoint_seconds", "allow_stale"),
)


def register() -> None:
    """Make the schema known to Hydra as `schema`."""
    ConfigStore.instance().store(name="schema", node=Study)


def from_hydra(config: DictConfig) -> Study:
    """The checked study behind a composed config.

    Raises:
        ConfigError: for anything that cannot be run.
    """
    if "arms" not in config:  # there too where it is missing its value
        raise ConfigError("arms: nothing to train; choose an experiment, for instance +exp=mnist")
    # Merging into the schema once more refuses keys that '+' has appended to it.
    try:
        for index, arm in enumerate(config.arms):
            if OmegaConf.is_missing(arm, "init"):
                raise ConfigError(f"arms[{index}].init: must be given, one of {_listed(INITS)}")
        plain = OmegaConf.to_container(config, resolve=True)
        study = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Study), plain))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(study, Study)
    for arm in study.arms:
        arm.labels = str(arm.labels).lower()
    check(study)
    return study


def check(study: Study) -> None:
    """Raise ConfigError for the first setting that cannot be run."""
    # The length is that of the names of files, with room for what is written beside them.
    if (
        not re.fullmatch(r'[^./\\"<>][^/\\"<>]*', study.name)
        or not study.name.isprintable()
        or len(study.name.encode()) > 200
    ):
        raise ConfigError(f"name: {_short(study.name)} must be usable as the name of a directory")
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
            f"seeds: {_short(seeds)} must be a whole number from 1 to 1,000,000 or a list of distinct seeds "
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


def explain(error: BaseException, words: Sequence[str] = ()) -> str:
    """One sentence for an error of Hydra, OmegaConf or our own; `words`: the command line."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, OverrideParseException):
        key, word = error.override.partition("=")[0], _short(error.override)
        return f"{key or word}: {word} is not a setting that can be read; quote values with signs in them"
    outer = _one_line(error)
    found = re.search(r"Could not (?:override|append(?: value)?(?: to config)?) '([^'=]+)", outer)
    key = found[1].strip("+~") if found else ""
    while error.__cause__ is not None:  # Hydra wraps what OmegaConf says of the matter
        error = error.__cause__
    text, where = _one_line(error), ""
    if in_file := re.match(r"In '([^']+)': \w+ raised while composing config: (.*)", text):
        where, text = f"{in_file[1]}.yaml: ", in_file[2]
        error = error.__context__ or error
        if re.match(r"Key '(exp|debug)' not in", text):
            return f"{where}its first line must be '# @package _global_'"
    if isinstance(error, UnicodeDecodeError | RecursionError):
        return f"{_unreadable(words)} cannot be read: {text}"
    if text.startswith("Unexpected type annotation"):  # a sweep within a list or a mapping
        swept = [
            w for w in words if re.search(r"(choice|range|interval|glob|sort|shuffle|tag)\(", w)
        ]
        return f"{(swept or [key])[0]}: only a whole value can be swept, with -m"
    inner = str(getattr(error, "full_key", None) or key)
    key = inner if inner.startswith(key) else f"{key}.{inner}"
    if re.search(r"^Key '[^']*' (?:is )?not in|No match in the defaults list", text):
        key = key or str((re.findall(r"'([^']*)'", text) or [""])[0])
        unindexed = re.sub(r"\[\d+\]", "", key)
        parent = unindexed.rpartition(".")[0]
        siblings = [k for k in known_keys() if k.rpartition(".")[0] == parent]
        hint = near_miss(unindexed, siblings or known_keys())
        return f"{where}{key}: no such key; allowed are {_listed(siblings or known_keys())}{hint}"
    if option := re.search(
        r"Could not find '(\w+)/([^']*)' Available options in '\w+': (.*)", text
    ):
        group, wrong, allowed = option[1], option[2], option[3].split()
        return f"{group}: {wrong!r} is not one of {_listed(allowed)}{near_miss(wrong, allowed)}"
    return where + (f"{key}: {text}" if key and not text.startswith(key) else text)


def _unreadable(words: Sequence[str]) -> str:
    """Which of the user's own files (--config-dir) is no YAML."""
    given = (
        " ".join(words).replace("--config-dir ", "--config-dir=").replace("-cd ", "--config-dir=")
    )
    for folder in re.findall(r"--config-dir=(\S+)", given):
        for path in sorted(Path(folder).rglob("*.yaml")):
            try:
                yaml.safe_load(path.read_text(encoding="utf-8"))
            except (ValueError, yaml.YAMLError, RecursionError, OSError):
                return str(path)
    return "a configuration file"


def _one_line(error: BaseException) -> str:
    """An error's message without OmegaConf's and Hydra's further lines on types and places."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.split(
        r" (?:full_key:|object_type=|reference_type=|Config search path:|See https:)", text
    )[0]


def known_keys(prefix: str = "", schema: type = Study) -> list[str]:
    """All dotted keys of the schema."""
    keys = []
    for entry in fields(schema):
        keys.append(prefix + entry.name)
        if entry.name == "arms":
            keys += known_keys(f"{prefix}arms.", Arm)
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            keys += known_keys(f"{prefix}{entry.name}.", entry.type)
    return keys


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def _listed(allowed: Iterable[Any]) -> str:
    return ", ".join(str(a) for a in allowed)


def _one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    if value not in allowed:
        hint = near_miss(value, map(str, allowed)) if isinstance(value, str) else ""
        raise ConfigError(f"{key}: {value!r} is not one of {_listed(allowed)}{hint}")


def _at_least(key: str, value: int, least: int) -> None:
    if not least <= value < 2**31:
        raise ConfigError(f"{key}: {value} must be a whole number from {least} to {2**31 - 1:,}")


def _positive(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}: {value} must be a finite number above 0")


def _fraction(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{key}: {value} must be from 0 up to, not including, 1")
