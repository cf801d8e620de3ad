"""The schema of a study: what can be set, and of what type.

Everything here is plain data. Hydra fills it from `conf/` and the command line (`compose`); `checks`
holds it to what can be run. The meaning of a key stands once, behind it in `conf/` or, as `#:`, here; the
documentation's page of all keys is made of both.
"""

import math
import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from omegaconf import MISSING

from kernelstudy.config import arm_words
from kernelstudy.data.options import Data
from kernelstudy.data.registry import SETS
from kernelstudy.system.errors import ConfigError, short

# The names of what the other rooms implement, so that a config is checked without importing JAX;
# the tests hold each list to its implementation.
# Drawn at random, from nothing that is known of images or of hand-crafted kernels ...
RANDOM_INITS = (
    "lecun_normal",
    "lecun_uniform",
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "orthogonal",
    "delta_orthogonal",
    "sparse",
)
# ... and those that are not.
STRUCTURED_INITS = (
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
# Kernels that somebody names: hand-crafted ones, a file's, a run's.
GIVEN_INITS = ("bank", "file", "run")
INITS = (*RANDOM_INITS, *STRUCTURED_INITS, *GIVEN_INITS)
HOW = ("copy", "covariance")
DEEPER = ("learned", "frozen", "mixed")
DATA_SETS = tuple(SETS)
INPUTS = ("natural", "phase_scrambled", "iid", "permuted", "whitened")
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "identity")
OPTIMIZERS = ("adam", "adamw", "sgd", "sgdw")
SCHEDULES = ("constant", "cosine", "step")
PARAMETRIZATIONS = ("standard", "mup")
METRICS = ("best_abs_cos", "r2_sobel", "r2_sobel_centered", "r2_prewitt", "odd")
KERNEL_SIZES = (3, 5, 7, 9, 11)
DEPTHS = (1, 2, 3, 4, 5)
STRIDES = (1, 2)
FIRST_LAYERS = ("conv", "depthwise", "patchify", "dense")
FIRST_STRIDES = (1, 2, 4)
FAMILIES = ("plain", "vgg", "resnet", "convnext")
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


@dataclass
class Arm:
    """One condition; its networks differ from each other in the seed alone."""

    init: str = MISSING  #: how the first layer's kernels start, one of INITS; it must be given
    scale: float = 1.0  #: what those kernels are multiplied by
    first_layer: str = "learned"  #: learned | frozen: whether training changes them
    # `Any`, for YAML reads a bare `true` as a boolean
    labels: Any = "true"  #: true | shuffled: a control whose labels say nothing of the images
    inputs: str = "natural"  #: the images as they are, or a control made from them, one of INPUTS
    learning_rate: float | None = None  #: this arm's own; null: `optim.learning_rate`
    weight_decay: float | None = None  #: this arm's own; null: `optim.weight_decay`
    momentum: float | None = None  #: this arm's own; null: `optim.momentum`

    #: of init=file: the first layer's kernels (kh, kw, cin, cout) in a .npy or .npz, or a network's file that
    #: `compare` reads; of init=run: RUN:arm, the directory of a finished run and one of its arms, whose last
    #: step is taken; RUN alone where it has one
    path: str | None = None
    #: of init=run. copy: seed s has the kernels of that run's seed s. covariance: Gaussian kernels with the
    #: second moment of all that arm's kernels about 0, and so with their mean squared norm
    how: str = "copy"
    #: of init=bank: hand-crafted kernels, names of `kernelstudy.names(size)`; channel i starts as kernel i,
    #: over and over
    kernels: list[str] = field(default_factory=list)
    #: the share of the first layer's kernels, the first ones, that keep their start, with their biases; 1 is
    #: first_layer=frozen. Of a steered bank (sobel, prewitt, gabor) the first half is from 0 to 90 degrees
    frozen: float | None = None
    #: learned | frozen | mixed: what training changes of the deeper convolutions. mixed: every plane (input,
    #: output) is a fixed kernel times a number, and the numbers are learned
    deeper: str = "learned"
    #: hand-crafted 3 x 3 kernels that deeper planes start as, kernel (input + output) modulo their number,
    #: times normal numbers; none: Flax's start, and with deeper=mixed random kernels
    deeper_kernels: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`he_normal`, `he_normal*0.1`, `sobel/frozen`, `he_normal/shuffled`, `he_normal/wd=1`, ..."""
        return arm_words.name_of(self)

    @property
    def words(self) -> str:
        """The same in people's words: 'random start, weight decay 1', 'started as Sobel, frozen', ..."""
        return arm_words.words_of(self)

    @property
    def starts_random(self) -> bool:
        """Whether its first kernels are drawn from nothing that is known of images or of operators."""
        return self.init in RANDOM_INITS

    @property
    def learns(self) -> bool:
        """Whether it learns its first layer, or some kernels of it, from true labels."""
        return self.labels == "true" and self.frozen_share < 1

    @property
    def frozen_share(self) -> float:
        """Of the first layer's kernels, 0 to 1."""
        return 1.0 if self.first_layer == "frozen" else self.frozen or 0.0

    def frozen_of(self, width: int) -> int:
        """How many of so many kernels keep their start."""
        return math.floor(self.frozen_share * width + 0.5)

    @property
    def holds_deeper(self) -> bool:
        """Whether its deeper layers start or learn in a way of their own."""
        return self.deeper != "learned" or bool(self.deeper_kernels)

    @property
    def reads(self) -> bool:
        """Whether it starts from a file or a run."""
        return self.init in ("file", "run")


@dataclass
class Model:
    #: a network of one's own in place of the built-in one: the name of an entry point of the group
    #: `kernelstudy.models` of an installed package, or what `kernelstudy.train` calls its function. Then
    #: `model.kernel_size` and `model.width` are found, and the other keys are not of it
    own: str | None = None
    #: of a network of one's own, each with its shape; found, never given
    parameters: list[str] = field(default_factory=list)
    kernel_size: int = 3
    width: int = 16  #: kernels of the first layer
    depth: int = 2
    deep_width: int = 32  #: channels of each deeper convolution
    first: str = "conv"
    first_stride: int = 1
    family: str = "plain"
    activation: str = "relu"
    batch_norm: bool = False
    stride: int = 1
    residual: bool = False
    parametrization: str = "standard"
    base_width: int = 16
    base_deep_width: int = 32  #: as `model.base_width`, of the deeper convolutions


@dataclass
class Optim:
    name: str = "adam"  #: the rule that turns gradients into steps, one of OPTIMIZERS
    learning_rate: float = 1e-3  #: length of a step, at its highest if there is a schedule
    momentum: float = 0.0  #: the share of the last step that is taken again; sgd and sgdw
    weight_decay: float = 0.0  #: how fast kernels shrink by themselves; all but adam
    decay_all: bool = False  #: true: weight decay also of biases and norms
    schedule: str = "constant"  #: how the learning rate goes on after the warm-up, one of SCHEDULES
    warmup_steps: int = 0  #: steps over which the learning rate first rises from 0
    #: schedule=step: the parts of all steps after which the learning rate falls
    decay_at: list[float] = field(default_factory=lambda: [0.5, 0.75])
    decay_factor: float = 0.1  #: schedule=step: what it is multiplied by each time


@dataclass
class Bank:
    """What is looked for, declared before the run: the kernels and the primary measure."""

    #: hand-crafted kernels that are looked for, names of `kernelstudy.names()`
    kernels: list[str] = field(default_factory=list)
    metric: str = "r2_sobel_centered"  #: the measure that decides, one of METRICS


@dataclass
class Study:
    """A study: arms x seeds, trained as one population."""

    name: str = "study"  #: the directory of the runs within runs_dir
    #: ways to train, each a mapping of the keys below; an experiment lists them
    arms: list[Arm] = MISSING
    seeds: Any = 10
    steps: int = 400  #: updates of each network
    batch_size: int = 128  #: images an update
    log_points: int = 24
    eval_images: int = 128
    tests: list[str] = field(default_factory=list)
    probe_seeds: int = 3
    probe_mib: float = 200.0
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    optim: Optim = field(default_factory=Optim)
    bank: Bank = field(default_factory=Bank)
    impl: str = "auto"
    precision: str = "float32"
    #: whether somebody else's loop trained it, of which only arms, seeds, steps and the first layer's shape
    #: are known; only `kernelstudy.Recorder` sets it
    recorded: bool = False
    # Where and on what it runs; none of it changes the result.
    runs_dir: str = "results/runs"  #: where runs are kept
    log: str | None = None
    report: bool = True
    devices: int | None = None
    memory_gib: float = 8.0
    most_networks: int = 10_000
    distributed: bool = False
    checkpoint_seconds: float = 10.0
    allow_stale: bool = False

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @property
    def learning_arms(self) -> list[str]:
        """The names of the arms that learn their first layer from true labels."""
        return [arm.name for arm in self.arms if arm.learns]

    @property
    def controls(self) -> list[int | None]:
        """Of each arm the index of the one that differs from it in shuffled labels alone, if there is one."""
        wanted = [replace(arm, labels="shuffled") for arm in self.arms]
        return [
            self.arms.index(control) if control in self.arms and control != arm else None
            for arm, control in zip(self.arms, wanted, strict=True)
        ]

    @property
    def log_steps(self) -> list[int]:
        """Step 0, then log-spaced steps up to the last, `log_points` in all if there are so many."""
        return list(_log_steps(self.steps, self.log_points))


@lru_cache
def _log_steps(steps: int, log_points: int) -> tuple[int, ...]:
    wanted = min(log_points - 1, steps)
    if wanted == steps:
        return tuple(range(steps + 1))
    # Close steps round to one: ask for more, the fewest that will do.
    low, high = wanted, wanted
    while len(_spaced(steps, high)) < wanted:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_spaced(steps, middle)) >= wanted else (middle + 1, high)
    spaced = _spaced(steps, high)
    # Rounding can jump over the number wanted; then the surplus goes from the dense start.
    return (0, *spaced[len(spaced) - wanted :].tolist())


def _spaced(steps: int, points: int) -> np.ndarray:
    return np.unique(np.geomspace(steps, 1, points).round().astype(int))


# Keys that came after the first runs: where they have these values they leave a run's id as it was.
NEUTRAL = {
    "model.first": "conv",
    "model.first_stride": 1,
    "model.family": "plain",
    "model.own": None,
    "model.parameters": [],
    "model.batch_norm": False,
    "model.stride": 1,
    "model.residual": False,
    "model.parametrization": "standard",
    "model.base_width": 16,
    "model.base_deep_width": 32,
    "optim.decay_all": False,
    "optim.schedule": "constant",
    "optim.warmup_steps": 0,
    "optim.decay_at": [0.5, 0.75],
    "optim.decay_factor": 0.1,
    "arms.learning_rate": None,
    "arms.weight_decay": None,
    "arms.momentum": None,
    "arms.path": None,
    "arms.how": "copy",
    "arms.kernels": [],
    "arms.frozen": None,
    "arms.deeper": "learned",
    "arms.deeper_kernels": [],
    "data.path": None,
    "data.white": None,
    "data.task": "class",
    "data.split_seed": 0,
    "tests": [],
    "probe_seeds": 3,
    "probe_mib": 200.0,
    "recorded": False,
}
NOT_IN_ID = (
    *("runs_dir", "log", "report", "devices", "memory_gib", "distributed", "data.in_memory_gib"),
    *("checkpoint_seconds", "allow_stale", "most_networks"),
)


def result_settings(study: Study) -> dict[str, Any]:
    """All settings that change the result, as plain data."""
    settings = asdict(study)
    for key in NOT_IN_ID:
        group, _, entry = key.rpartition(".")
        (settings[group] if group else settings).pop(entry)
    return settings


def settings_in_id(study: Study) -> dict[str, Any]:
    """`result_settings` less the later keys that are as before, and with the seeds spelled out."""
    settings = {**result_settings(study), "seeds": study.seed_list}
    for key, neutral in NEUTRAL.items():
        group, _, entry = key.rpartition(".")
        inside = settings[group] if group else settings
        for mapping in inside if isinstance(inside, list) else [inside]:
            if mapping[entry] == neutral:
                mapping.pop(entry)
    return settings


def study_of(settings: Any) -> Study:
    """The study whose `result_settings` these are; keys that came later, and those that change no result,
    have their defaults.

    Raises:
        ConfigError: for the first entry that is missing, unknown or of the wrong type.
    """
    return _typed(settings, Study, "")


def _unindexed(key: str) -> str:
    """`arms[3].scale` as `arms.scale`."""
    return re.sub(r"\[\d+\]", "", key)


def _typed(value: Any, kind: Any, key: str) -> Any:
    """`value` as `kind` has it: a dataclass, list, union or plain type."""
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _filled(value, kind, key)
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        kind = get_args(kind)[0]
    if get_origin(kind) is list:
        if not isinstance(value, list):
            raise ConfigError(f"{key}: {short(value)} is not a list")
        (of,) = get_args(kind)
        return [_typed(entry, of, f"{key}[{index}]") for index, entry in enumerate(value)]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{key}: {short(value)} is not of type {kind.__name__}")
    return value


def _filled(value: Any, kind: Any, key: str) -> Any:
    """The dataclass `kind` of a mapping."""
    inside = f"{key}." if key else ""
    if not isinstance(value, dict):
        raise ConfigError(f"{key or 'the settings'}: {short(value)} is not a mapping")
    names = [entry.name for entry in fields(kind)]
    if unknown := [name for name in value if name not in names]:
        raise ConfigError(f"{inside}{short(unknown[0])[:80]}: this version knows no such key")
    if absent := [
        name
        for name in names
        if name not in value and _unindexed(inside + name) not in (*NEUTRAL, *NOT_IN_ID)
    ]:
        raise ConfigError(f"{inside}{absent[0]}: is missing")
    kinds = get_type_hints(kind)
    return kind(**{name: _typed(of, kinds[name], inside + name) for name, of in value.items()})
