"""What can be set: the configs in conf/ by their groups, and every key of the schema."""

from dataclasses import fields, is_dataclass
from pathlib import Path

from kernelstudy.config.study import Arm, Study


def conf_dir() -> Path:
    """conf/ of the installed package, or of the checkout it runs from."""
    package = Path(__file__).parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def groups() -> list[str]:
    """The groups of configs: exp, data, model, ..."""
    return sorted(path.name for path in conf_dir().iterdir() if path.is_dir())


def options(group: str) -> list[str]:
    """The names of a group's configs."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


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
