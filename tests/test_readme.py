"""The README's commands work as they stand there, made short by the tiny debug config."""

import json
import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.commands import run_here

pytestmark = pytest.mark.usefixtures("coarse")
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


def modules() -> list:
    """The `python -m kernelstudy...` parts of the README's commands; slow: programs of their own."""
    parts = [part.strip() for line in COMMANDS for part in line.split("&&")]
    return [
        pytest.param(part, marks=pytest.mark.slow if re.search(r" -m \+| data=", part) else ())
        for part in parts
        if part.startswith("python -m kernelstudy")
    ]


def test_the_two_commands_stand_first():
    assert COMMANDS[0] == "pip install -e . && python -m kernelstudy.run +exp=mnist"
    assert COMMANDS[1] == "pip install -e '.[dev]' && pytest"


def test_one_screen():
    assert len(README.splitlines()) < 110


def test_links_and_pictures_exist():
    in_markdown = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    for target in in_markdown + re.findall(r'(?:href|src)="([^"]+)"', README):
        assert (ROOT / target).exists(), target


def test_the_picture_of_the_rooms_is_that_of_the_package():
    """`python docs/architecture.py` draws it again; it ends with an error where an arrow points up."""
    made = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    made["draw"]()
    svg = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert re.findall("<dc:description>(.*)</dc:description>", svg) == [made["description"]()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")  # shared: later commands use earlier runs


@pytest.mark.parametrize("command", modules())
def test_commands_run(command, place):
    words = shlex.split(command, comments=True)
    if words[2] == "kernelstudy.run":
        words += [
            w for w in ("+debug=tiny", "seeds=1", "steps=2", "probe_seeds=0") if w not in words
        ]
        if not any(w.startswith("arms=") for w in words):
            words.append("arms=[{init: he_normal}]")
        if "name=" in command:  # of the main job's the report is drawn
            words.append("report=false")
    expanded = []
    for word in words:
        found = sorted(place.glob(word)) if "*" in word and "=" not in word else []
        expanded += [str(path.relative_to(place)) for path in found] or [word]
    done = run_here(place, *expanded[2:])
    assert done.returncode == 0, done.stderr


def test_what_a_run_says_makes_it_again(place):
    """The README's own question, as a shell takes what is told to be pasted."""
    (own,) = (place / "results" / "runs" / "own").glob("*/provenance.json")
    provenance = json.loads(own.read_text())
    paste = f"printf '%s\\0' {provenance['command']}"
    words = subprocess.run(["sh", "-c", paste], capture_output=True, text=True, check=True).stdout
    assert words.split("\0")[:-1] == provenance["argv"]
    assert any("{init: gabor, first_layer: frozen}" in word for word in provenance["argv"])
    again = run_here(place, *provenance["argv"][2:])
    assert f"run: {own.parent.relative_to(place)} is finished" in again.stdout
