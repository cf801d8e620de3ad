"""What the value of a setting may be: ConfigError, with the key in its sentence, for any other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from kernelstudy.system.errors import ConfigError, listed, near_miss


def one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    if value not in allowed:
        hint = near_miss(value, map(str, allowed)) if isinstance(value, str) else ""
        raise ConfigError(f"{key}: {value!r} is not one of {listed(allowed)}{hint}")


def at_least(key: str, value: int, least: int) -> None:
    if not least <= value < 2**31:
        raise ConfigError(f"{key}: {value} must be a whole number from {least} to {2**31 - 1:,}")


def positive(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}: {value} must be a finite number above 0")


def fraction(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{key}: {value} must be from 0 up to, not including, 1")
