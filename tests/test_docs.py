"""What the documentation says to type works, and every key has its meaning."""

import re
import runpy
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from kernelstudy.config.compose import known_keys
from tests.commands import run_here

DOCS = Path(__file__).parents[1] / "docs"
LISTED = re.search(r"{toctree}.*?```", (DOCS / "how_to" / "index.md").read_text(), re.DOTALL)
PAGES = [DOCS / "how_to" / f"{name}.md" for name in re.findall(r"^(\w+)$", LISTED[0], re.MULTILINE)]


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_page_of_how_to_is_listed():
    assert {*PAGES, DOCS / "how_to" / "index.md"} == set((DOCS / "how_to").glob("*.md"))


@pytest.mark.usefixtures("coarse")
def test_the_recipes_work(tmp_path, monkeypatch):
    """In the order of the list, for later ones use what earlier ones have recorded."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {})
        plt.close("all")
    assert (tmp_path / "runs" / "mine" / "adamw" / "0" / "report.html").exists()
    (command,) = blocks(DOCS / "how_to" / "only_checkpoints.md", "sh")
    done = run_here(tmp_path, *shlex.split(command)[2:])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "epochs" / "report.html").exists()


@pytest.mark.slow
def test_the_sweep_works(tmp_path):
    """The commands of the page on sweeps for one machine, made short."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    for command in blocks(DOCS / "tutorials" / "sweep.md", "sh"):
        words = shlex.split(command.replace("\\\n", ""))[2:]
        if words[0] == "kernelstudy.run":
            words += ["+debug=tiny", "arms=[{init: he_normal}]", "seeds=6", "steps=2"]
        done = run_here(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    assert "report: " in done.stdout


def test_every_key_has_one_meaning():
    pytest.importorskip("sphinx")
    made = runpy.run_path(str(DOCS / "config_keys.py"))
    groups = ("arms", "data", "model", "optim", "bank")
    assert {*made["meanings"]()} == {*known_keys()} - {*groups[1:]}
    shown = re.findall(r"^\| `([\w.]+)` \|", made["tables"](), re.MULTILINE)
    assert len(shown) == len(set(shown)) == len(made["meanings"]())


def test_pages_hold_the_values_of_today():
    """`python docs/values.py` writes them."""
    made = runpy.run_path(str(DOCS / "values.py"))
    pages = {page: page.read_text(encoding="utf-8") for page in made["pages"]()}
    assert {"statistics.md", "cite.md", "config.md"} <= {page.name for page in pages}
    values = {name: f"{value}!" for name, value in made["facts"]().items()}

    def as_it_stands(name: str) -> str:  # of blocks, whose own test needs Sphinx
        return "-"

    for page, text in pages.items():
        today = made["written"](text, made["facts"](), as_it_stands)
        assert made["VALUE"].findall(text) == made["VALUE"].findall(today)
        assert re.sub(r"(?s)(<!-- made: \w+ -->).*?(?=<!-- /made)", r"\1\n-\n", text) == today, page
        changed = made["written"](
            text, values, as_it_stands
        )  # each value is one that the script writes
        assert changed.count("!<!--") == len(made["VALUE"].findall(text))


def test_blocks_of_pages_are_those_of_today():
    pytest.importorskip("sphinx")
    made = runpy.run_path(str(DOCS / "values.py"))
    for page in made["pages"]():
        for block in made["BLOCK"].finditer(page.read_text(encoding="utf-8")):
            assert block[0] == f"{block[1]} -->\n{made['block'](block[1])}\n", page


def test_no_page_shows_a_placeholder():
    """Code hosts show pages as they stand."""
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"{{ *\w+ *}}", page.read_text(encoding="utf-8")), page


def test_no_page_names_a_hypothesis_by_its_number_alone():
    """Its number, if any, is in brackets behind its words, or a heading's, before them."""
    root = DOCS.parent
    pages = [
        *(root / "results").glob("*/report.md"),
        root / "results" / "README.md",
        root / "README.md",
    ]
    assert len(pages) > 10
    alone = re.compile(r"(?<!\()\b[Hh]ypothes[ie]s \d(?!, ')|\b[DLW]\d (?:holds|does not|fails)")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not alone.search(text), f"{page}: {alone.search(text)}"
