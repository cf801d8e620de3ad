"""All config keys in Markdown: types from the schema, defaults as Hydra composes them, meanings from either.

The meaning of a key is written once: as the comment behind it in `conf/`, or as `#:` in the schema.
"""

import re
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from sphinx.pycode import ModuleAnalyzer

from kernelstudy.config import study as schema
from kernelstudy.config.compose import conf_dir, register
from kernelstudy.config.study import Arm, Study
from kernelstudy.data.options import Data

CONF = conf_dir()
# What can be typed on the command line to choose a file of a group, and the heading that it has here.
GROUPS = {
    "+exp": "Experiments",
    "data": "Images",
    "model": "Model",
    "optim": "Optimisers",
    "bank": "What is looked for",
    "hydra/launcher": "Launchers of sweeps",
    "+debug": "To try things out",
}
LISTS = ("INITS", "INPUTS", "ACTIVATIONS", "OPTIMIZERS", "SCHEDULES", "METRICS", "PRECISIONS")
_KEY = re.compile(r"(\w+):.*? # (.+)")


def tables() -> str:
    """A table for each group of keys."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        register()
        defaults = compose("config")
    found = meanings()
    hints = get_type_hints(Study)
    groups = [name for name, kind in hints.items() if is_dataclass(kind)]
    parts = [_table("", Study, defaults, found, skip=groups), "## An arm", ""]
    parts += [_table("arms.", Arm, OmegaConf.structured(Arm), found)]
    for name in groups:
        parts += [f"## {name}", "", _table(f"{name}.", hints[name], defaults[name], found)]
    if found:
        raise ValueError(f"{', '.join(found)}: has a meaning and is no key")
    return "\n".join(parts)


def meanings() -> dict[str, str]:
    """Of each key. ValueError where one is told twice."""
    told: dict[str, list[str]] = {}
    for path in [CONF / "config.yaml", *CONF.glob("*/*.yaml")]:
        group = path.parent.name if path.parent != CONF else ""
        if group not in ("exp", "debug"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if match := _KEY.match(line):
                    key = f"{group}.{match[1]}" if group else match[1]
                    told.setdefault(key, []).append(match[2])
    hints = get_type_hints(Study).items()
    prefixes = {kind.__name__: f"{name}." for name, kind in hints if is_dataclass(kind)}
    prefixes |= {"Study": "", "Arm": "arms."}
    for module in (schema.__name__, Data.__module__):
        documented = ModuleAnalyzer.for_module(module).find_attr_docs()
        for (kind, name), lines in documented.items():
            told.setdefault(prefixes[kind] + name, []).append(" ".join(lines).strip())
    if twice := [key for key, texts in told.items() if len(texts) > 1]:
        raise ValueError(f"{', '.join(twice)}: the meaning stands in more than one place")
    return {key: text for key, (text,) in told.items()}


def _table(
    prefix: str, kind: Any, defaults: Any, found: dict[str, str], skip: list[str] | None = None
) -> str:
    """The keys of one dataclass; takes their meanings out of `found`, and KeyError where one has none."""
    rows = ['<div class="keys">', "", "| key | type | default | meaning |", "|---|---|---|---|"]
    hints = get_type_hints(kind)
    for entry in fields(kind):
        if entry.name not in (skip or ()):
            key = prefix + entry.name
            # links to what this page lists by its name in the schema
            meaning = re.sub(r"\b([A-Z]{5,})\b", _link, found.pop(key)).replace("|", "\\|")
            default = _default(defaults, entry.name)
            # what may be of several types has that of its default, and the others in its meaning
            of = type(entry.default) if hints[entry.name] is Any else hints[entry.name]
            rows.append(f"| `{key}` | {_words(of)} | {default} | {meaning} |")
    return "\n".join([*rows, "", "</div>", ""])


def _link(match: re.Match[str]) -> str:
    return f"[{match[1]}](#{match[1].lower()})" if match[1] in LISTS else match[1]


def _default(defaults: DictConfig, name: str) -> str:
    if OmegaConf.is_missing(defaults, name):
        return "must be given"
    value = OmegaConf.to_container(defaults)[name]  # pyright: ignore[reportCallIssue, reportArgumentType]
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).split(chr(10))[0]}`"


def _words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_words(one) for one in get_args(kind))
    if args := get_args(kind):
        return f"list of {'mappings' if is_dataclass(args[0]) else _words(args[0])}"
    known = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return known.get(kind, "null")


def lists() -> str:
    """The names that keys choose from."""
    parts = []
    for name in LISTS:
        values = ", ".join(f"`{value}`" for value in getattr(schema, name))
        parts += [f"### {name}", "", values, ""]
    return "\n".join(parts)


def choices() -> str:
    """Every file of conf/ that can be chosen, with the comment at its head."""
    parts = []
    for group, title in GROUPS.items():
        parts += [f"### {title}", ""]
        for path in sorted((CONF / group.strip("+")).glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            head = re.match(r"(?:#.*\n)+", text)
            lines = [line[1:].strip() for line in head[0].splitlines()] if head else []
            parts += [f"`{group}={path.stem}`", "", *_comment(lines), ""]
    return "\n".join(parts)


def _comment(lines: list[str]) -> list[str]:
    """Commands of a comment as code, the rest as text."""
    lines = [line for line in lines if line != "@package _global_"]
    text = [line for line in lines if not line.startswith(("python -m", "once before: python"))]
    # what is done once before comes second there and is typed first
    commands = [
        re.sub("^once before: (.*)", r"\1  # once", line)
        for line in reversed(lines)
        if line not in text
    ]
    return [*text, "", *(["```sh", *commands, "```"] if commands else [])]
