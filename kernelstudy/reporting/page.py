"""report.html, one self-contained file, and report.md, the same for code hosts."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kernelstudy.reporting import markdown
from kernelstudy.system.files import write_text

_FORMULA, _NUMBER = re.compile(r"[=+\-@\t\r]."), re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|-inf")
# Of a page but for its words. Tables and SVG have what figures and explorer leave of it, the smaller ones
# first; all are beside the page, in tables/ and figures/.
PAGE_BYTES = 4_700_000


@dataclass
class Figure:
    """A picture of the report: its file under figures/ (and <name>-dark), what is seen in it, and how to read
    it.

    `title`: one sentence that states what is seen. `is_open`: it is shown at once, and not behind its title.
    `narrow`: there is <name>_narrow, too, for a phone. `pictures`: there are pictures in it, whose colours a
    dark
    page must not turn as it turns those of lines (to spare a second file in it).
    """

    name: str
    title: str
    caption: str
    is_open: bool = False
    narrow: bool = False
    pictures: bool = False

    @property
    def embedded(self) -> list[str]:
        """Names of the PNG that a page holds of it."""
        shapes = [self.name, *([f"{self.name}_narrow"] if self.narrow else [])]
        grounds = ["", *(["-dark"] if self.pictures else [])]
        return [f"{shape}{ground}" for shape in shapes for ground in grounds]


@dataclass
class Page:
    """What a report says. Both renderings are made from this and from nothing else."""

    title: str
    facts: list[tuple[str, str]]
    headline: list[str]  # the answer with its numbers, folded
    answer: list[tuple[str, list[str]]]  # arm, its sentences
    notes: list[str]
    lead: Figure
    sections: list[tuple[str, str, list[Figure]]]  # title, text, figures
    tables: list[tuple[str, pd.DataFrame]]
    method: list[str]
    reproduce: str
    provenance: dict[str, Any] = field(default_factory=dict)
    tables_note: str = "At the final step."
    points: dict[str, list[str]] = field(default_factory=dict)  # of a section, by its title
    section_tables: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    ladder: dict[str, Any] | None = None  # `ladder_words.in_words`
    explorer: dict[str, Any] | None = None  # `explorer.payload`
    sentence: str = ""  # the answer in one, in plain words
    glance: pd.DataFrame | None = (
        None  # a row an arm, in plain words; a column `name` goes small below the first
    )
    glance_note: str = ""  # what its words mean
    lines: list[str] = field(
        default_factory=list
    )  # what follows it and the picture, in plain words
    facts_title: str = "What was run"
    numbers_title: str = (
        "Every arm in numbers: intervals, p and q"  # of headline and answer, folded
    )
    animation: str = ""  # a file beside the page
    csv: dict[str, str] = field(
        default_factory=dict
    )  # whole tables by name, as `write_tables` made them


class Link(str):
    """A cell that leads somewhere; `href`: relative to the page."""

    href: str

    def __new__(cls, text: str, href: str):
        link = super().__new__(cls, text)
        link.href = quote(href)
        return link


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> dict[str, str]:
    """Write each table into `folder`/tables; the texts, for a page that holds them.

    A cell that a spreadsheet would take for a formula has an apostrophe in front: names come from anybody.
    """
    texts = {name: _inert(table).to_csv(index=False) for name, table in tables.items()}
    for name, text in texts.items():
        write_text(folder / "tables" / f"{name}.csv", text)
    return texts


def _inert(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts, columns included, are not read as formulas."""
    table = table.rename(columns=_quoted)
    texts = [name for name in table.columns if table[name].dtype.kind not in "biufc"]
    return table.assign(**{name: table[name].map(_quoted) for name in texts})


def _quoted(value: Any) -> Any:
    """A text that would be read as a formula, with an apostrophe in front; signs and numbers are none."""
    is_formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def write(page: Page, folder: Path) -> Path:
    """Write report.md and report.html into `folder`, where figures/ is; the page's path."""
    # Autoescape: names of arms and runs come from users.
    environment = Environment(
        loader=PackageLoader("kernelstudy", "reporting/templates"),
        autoescape=lambda name: bool(name) and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["uri"] = lambda name: _data_uri(folder / f"figures/{name}.png")
    environment.filters["number"] = _number
    environment.filters["cell"] = _cell
    environment.filters["plain"] = markdown.escaped
    environment.filters["in_html"] = markdown.in_html
    environment.filters["label"] = markdown.label
    environment.filters["code"] = markdown.code
    environment.filters["block"] = markdown.block
    script = asset("explorer.js")
    plotly, plotly_hash = _plotly() if page.explorer else ("", "")
    hashes = f"{script_hash(script)} {plotly_hash}".strip()
    # in a script element '<' is all that could end it; JSON may write it another way
    explorer = json.dumps(page.explorer).replace("<", "\\u003c")
    figures = [page.lead, *(figure for _, _, shown in page.sections for figure in shown)]
    pictures = [folder / f"figures/{name}.png" for one in figures for name in one.embedded]
    base64_bytes = sum(path.stat().st_size for path in pictures) * 4 // 3
    room = PAGE_BYTES - len(plotly) - len(explorer) - base64_bytes
    csv = _fitting({name: _zip(text.encode()) for name, text in page.csv.items()}, room)
    shared = {
        "page": page,
        "provenance": json.dumps(page.provenance, indent=2),
        "css": Markup(asset("report.css")),
        "script": Markup(script),
        "plotly": plotly,
        "vectors": _vectors(figures, folder, room - sum(map(len, csv.values()))),
        "script_hashes": Markup(hashes),
        "explorer_json": Markup(explorer),
        "csv": csv,
    }
    for name in ("report.md", "report.html"):
        text = environment.get_template(f"{name}.j2").render(shared)
        write_text(folder / name, text)
    return folder / "report.html"


def asset(name: str) -> str:
    return (resources.files("kernelstudy") / "reporting/assets" / name).read_text(encoding="utf-8")


@functools.cache
def _plotly() -> tuple[str, str]:
    """Plotly's own script, as its package ships it: zipped, and its hash."""
    place = resources.files("plotly") / "package_data/plotly.min.js"
    script = place.read_text(encoding="utf-8")
    return _zip(script.encode()), script_hash(script)


def script_hash(script: str) -> str:
    """How a content security policy names a script that may run: by what it is."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _vectors(figures: list[Figure], folder: Path, room: int) -> dict[str, str]:
    """The figures' SVG by name, as many as there is room for."""
    files = {f.name: _zipped(folder / f"figures/{f.name}.svg") for f in figures}
    return _fitting(files, room)


def _fitting(files: dict[str, str], room: int) -> dict[str, str]:
    """Those that have room together, the smaller ones first; in the order of their names."""
    kept, total = {}, 0
    for name, content in sorted(files.items(), key=lambda pair: len(pair[1])):
        total += len(content)
        if total <= room:
            kept[name] = content
    return dict(sorted(kept.items()))


def _zipped(path: Path) -> str:
    return _zip(path.read_bytes())


def _zip(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _cell(value: Any) -> str | Markup:
    """A cell of a table in HTML."""
    if isinstance(value, Link):
        return Markup('<a href="{}">{}</a>').format(value.href, value)
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
