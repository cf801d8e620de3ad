"""Configs from outside conf/ are data: what in them would have Hydra run code or write files is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kernelstudy.system import files, plain_yaml
from kernelstudy.system.errors import ConfigError, first_line

_RESOLVER = re.compile(
    r"\$\{[^}]*:"
)  # ${name:arguments}; ${key} alone is a value of the same config
_PACKAGE = re.compile(r"^\s*#\s*@package\b.*\bhydra\b", re.MULTILINE)
MOST_FILES = 10_000


def check(folder: Path) -> None:
    """Check every YAML file in and below `folder`, which --config-dir names.

    Hydra calls what `_target_` names; its own settings name classes, commands and places to write to;
    resolvers read the environment.

    Raises:
        ConfigError: for the first file that holds one of them, or that cannot be read.
    """
    for count, path in enumerate(sorted(folder.rglob("*.y*ml"))):
        if count > MOST_FILES:
            raise ConfigError(f"{folder} has more than {MOST_FILES:,} configs")
        try:
            with files.opened(path) as file:
                text = file.read(plain_yaml.MOST_CHARACTERS + 1).decode()
            content = plain_yaml.load(text)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {first_line(error)}") from error
        inside = path.relative_to(folder).parts
        if "hydra" in inside[:-1] or inside[-1].startswith("hydra.") or _PACKAGE.search(text):
            raise _refusal(path, "Hydra's own settings")
        _check(content, path)


def _check(content: Any, path: Path) -> None:
    for key, value in _entries(content):
        if key == "_target_" or key.endswith("._target_"):
            raise _refusal(path, "_target_")
        named = key or (value if isinstance(value, str) else "")  # an entry of a list of defaults
        named = re.sub(r"^(?:override|optional)\s+", "", named.strip()).lstrip("/")
        if re.match(r"hydra(?!/launcher$)\b", named):
            raise _refusal(path, "Hydra's own settings")
        for text in (key, value):
            if isinstance(text, str) and _RESOLVER.search(text):
                raise _refusal(path, "a resolver")


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth; values in lists have the key ''."""
    left = [content]
    while left:
        of = left.pop()
        inside: Iterable[tuple[str, Any]] = (
            of.items()
            if isinstance(of, dict)
            else (("", value) for value in of)
            if isinstance(of, list)
            else ()
        )
        for key, value in inside:
            yield key, value
            left.append(value)


def _refusal(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{path} has {what}, which can run code: in configs from outside conf/ that is refused; give it on the "
        "command line"
    )
