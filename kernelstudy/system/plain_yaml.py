"""YAML of others: plain values alone, in a time and a size that the length of the text bounds."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, ClassVar

import yaml

MOST_CHARACTERS, MOST_EVENTS, DEEPEST, LONGEST_SCALAR = 4 * 2**20, 300_000, 32, 4096
_CORE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


class PlainYamlError(ValueError):
    """A text is no YAML, or holds more than plain values; the message is one sentence."""


class _Loader(_CORE):
    """Null, true, false, decimal numbers and text: no dates, base 60, octal numbers or merged keys."""

    yaml_implicit_resolvers: ClassVar[dict[str | None, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # up to 18 digits: larger ones of one remainder would all fall into one place of a hash table
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?|\.[0-9]{1,40}(?:[eE][-+][0-9]{1,3})?"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first
    )


def load(text: str) -> Any:
    """The value of a YAML document: mappings with text as keys, lists, text, numbers, booleans and None.

    Raises:
        PlainYamlError: it is no YAML, too large or too deep, has an alias, an anchor, a tag, a key twice or
            a key that is no text.
    """
    if len(text) > MOST_CHARACTERS:
        raise PlainYamlError(f"it has more than {MOST_CHARACTERS:,} characters")
    try:
        _check_events(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            _check_keys(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise PlainYamlError(" ".join(str(error).split())[:300]) from error
    except (ValueError, RecursionError) as error:
        raise PlainYamlError(str(error)[:300]) from error


def _check_events(text: str) -> None:
    """Before anything is composed, for that is recursive."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_CORE)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PlainYamlError("it has an alias or an anchor, which are not read")
        if getattr(event, "tag", None):
            raise PlainYamlError(f"it has the tag {event.tag[:80]!r}: plain values alone are read")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > LONGEST_SCALAR:
            raise PlainYamlError(f"it has a value of more than {LONGEST_SCALAR:,} characters")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or count > MOST_EVENTS:
            raise PlainYamlError("it is too deep or has too many entries")


def _check_keys(node: Any) -> None:
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if key.tag == "tag:yaml.org,2002:str"]
            if len(keys) != len(node.value):
                raise PlainYamlError("it has a key that is not text")
            if twice := [key for key, count in Counter(keys).items() if count > 1]:
                raise PlainYamlError(f"it has the key {twice[0][:80]!r} twice")
            left += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
