"""Text of any origin as Markdown that shows it as it is: no heading, link, picture or element comes of it."""

from __future__ import annotations

import html
import re
from typing import Any

# What begins a block where a line begins, and what marks up within one. An underscore between letters does
# not, and stays as it is: names are full of them; nor do brackets that no address follows: intervals are.
_WITHIN = re.compile(r"[\\`*]|(?<!\w)_|_(?!\w)|!(?=\[)|(?<=\])[(:\[]|~(?=~)|\|")
_BRACKETS = re.compile(r"[\[\]]")


def one_line(value: Any) -> str:
    """On one line, '?' for whatever else is not printed: nothing may steer a terminal that shows the file."""
    text = " ".join(str(value).split())
    return "".join(c if c.isprintable() else "?" for c in text)


def escaped(value: Any) -> str:
    """As part of a paragraph, an entry or a heading."""
    text = _WITHIN.sub(r"\\\g<0>", one_line(value))
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    if re.match(r"[#>+\-=~](?!\d)", text):
        return f"\\{text}"
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)  # a numbered entry


def label(value: Any) -> str:
    """As the text of a link or picture."""
    return _BRACKETS.sub(r"\\\g<0>", escaped(value))


def in_html(value: Any) -> str:
    """Within an element of HTML, or an attribute of one, as Markdown lets them stand on a line of their own."""
    return html.escape(one_line(value))


def code(value: Any) -> str:
    """As code within a line, in as many backticks as it takes; HTML is escaped there, too."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", one_line(value))
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def block(text: str) -> str:
    """As a block of code, line by line."""
    lines = [one_line(line) if line.strip() else "" for line in text.split("\n")]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return "\n".join([fence, *lines, fence])
