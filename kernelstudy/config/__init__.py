"""Configs: the schema (`study`), what goes together (`checks`), and how Hydra's becomes one (`compose`).

This face is light: it needs neither JAX nor Hydra.
"""

from kernelstudy.config.study import (
    ACTIVATIONS,
    DATA_SETS,
    DEPTHS,
    INITS,
    INPUTS,
    KERNEL_SIZES,
    METRICS,
    NOT_IN_ID,
    OPTIMIZERS,
    PRECISIONS,
    RANDOM_INITS,
    STRIDES,
    STRUCTURED_INITS,
    Arm,
    Bank,
    Model,
    Optim,
    Study,
    result_settings,
    settings_in_id,
    study_of,
)
from kernelstudy.data.options import Data
from kernelstudy.system.errors import ConfigError

__all__ = [
    "ACTIVATIONS",
    "DATA_SETS",
    "DEPTHS",
    "INITS",
    "INPUTS",
    "KERNEL_SIZES",
    "METRICS",
    "NOT_IN_ID",
    "OPTIMIZERS",
    "PRECISIONS",
    "RANDOM_INITS",
    "STRIDES",
    "STRUCTURED_INITS",
    "Arm",
    "Bank",
    "ConfigError",
    "Data",
    "Model",
    "Optim",
    "Study",
    "result_settings",
    "settings_in_id",
    "study_of",
]
