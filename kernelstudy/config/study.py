"""The schema of a study: what can be set, and of what type.

Everything here is plain data. Hydra fills it from `conf/` and the command line (`compose`); `checks`
holds it to what can be run.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from omegaconf import MISSING

from kernelstudy.data.options import Data
from kernelstudy.data.registry import SETS

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
INITS = (*RANDOM_INITS, *STRUCTURED_INITS)
DATA_SETS = tuple(SETS)
INPUTS = ("natural", "phase_scrambled", "iid", "permuted", "whitened")
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "identity")
OPTIMIZERS = ("adam", "adamw", "sgd")
METRICS = ("best_abs_cos", "r2_sobel", "r2_sobel_centered", "r2_prewitt", "odd")
KERNEL_SIZES = (3, 5, 7, 9, 11)
DEPTHS = (1, 2, 3, 4, 5)
STRIDES = (1, 2)
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


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
    checkpoint_seconds: float = 10.0
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
