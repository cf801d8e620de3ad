"""report.html, one self-contained file, and report.md, the same for code hosts."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from kernelstudy.runs import write_text


@dataclass
class Figure:
    """A picture of the report: its file under figures/, what it shows and how to read it."""

    name: str
    title: str
    caption: str


@dataclass
class Page:
    """What a report says. Both renderings are made from this and from nothing else."""

    title: str
    facts: list[tuple[str, str]]
    headline: list[str]
    answer: list[tuple[str, list[str]]]  # arm, its sentences
    notes: list[str]
    lead: Figure
    sections: list[tuple[str, str, list[Figure]]]  # title, text, figures
    tables: list[tuple[str, pd.DataFrame]]
    method: list[str]
    reproduce: str
    provenance: dict[str, Any] = field(default_factory=dict)
    tables_note: str = "At the final step."


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
    environment.filters["picture"] = lambda figure: _data_uri(folder / f"figures/{figure.name}.png")
    environment.filters["number"] = _number
    environment.filters["plain"] = lambda text: re.sub(r"<(?=[A-Za-z/!?])", "&lt;", str(text))
    environment.filters["cell"] = lambda value: _number(value).replace("|", "\\|")
    provenance = json.dumps(page.provenance, indent=2)
    for name in ("report.md", "report.html"):
        text = environment.get_template(f"{name}.j2").render(page=page, provenance=provenance)
        write_text(folder / name, text)
    return folder / "report.html"


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
