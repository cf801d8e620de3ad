"""Errors that are the user's to mend, and the words in which they are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(ValueError):
    """What the user can mend; the message is one sentence, of which nothing can steer a terminal: names in it
    come from files, servers and directories."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class InputError(UserError):
    """What the user gave cannot be used."""


class ConfigError(UserError):
    """A setting is wrong; the message names the key."""


class RunError(UserError):
    """A run directory is not what it should be."""


def printable(text: str) -> str:
    """`text` with '?' for every character that is not printed: nothing in a name may steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def closest(word: str, allowed: Iterable[str]) -> str:
    """The one of `allowed` that `word` is most like, in whatever case it is typed, or nothing."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    close = close or [name for name in names if len(word) > 2 and name.startswith(word.lower())]
    return names[close[0]] if close else ""


def near_miss(word: str, allowed: Iterable[str]) -> str:
    """' (did you mean X?)' or nothing."""
    close = closest(word, allowed)
    return f" (did you mean {close}?)" if close else ""


def short(value: Any) -> str:
    """A value as it was typed, where that prints; not too much of it."""
    plain = isinstance(value, str) and value.isprintable() and "'" not in value
    text = f"'{value}'" if plain else repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def listed(allowed: Iterable[Any]) -> str:
    return ", ".join(str(a) for a in allowed)
