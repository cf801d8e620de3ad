"""The rules of import: which room may use which, and what must not be loaded by whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kernelstudy"
COMMANDS = {"run", "report", "compare", "filter", "explain", "prepare", "status"}
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}

# What a room may import of the package, at most; None: anything that makes no circle.
ALLOWED = {
    "system": set(),
    "handcrafted": set(),
    "analysis": {"handcrafted"},
    "reporting": {"analysis", "handcrafted", "system"},
}
FORBIDDEN = {"data": {"config"}, "training": {"runs"}, "weights": {"runs"}}


@cache
def imports(path: Path, text: str) -> tuple[tuple[str, bool], ...]:
    """Every module that a file imports, by its full name, and whether it does when it is imported itself."""
    package = ("kernelstudy", *path.relative_to(PACKAGE).parent.parts)

    def walk(node: ast.AST, at_once: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            at_once = False
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            at_once = False
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_once) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            yield from ((f"{base}.{alias.name}", at_once) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_once)

    return tuple(walk(ast.parse(text), True))


def room(name: str) -> str:
    """The room of a module of the package; of a command or the face, its own name."""
    return name.split(".")[1] if "." in name else ""


def files() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def place(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] if len(parts) > 1 or parts[0] != "__init__" else ""


def complaints(texts: dict[Path, str]) -> list[str]:
    """Every import that a rule forbids."""
    found = []
    for path, text in texts.items():
        mine = place(path)
        for name, at_once in imports(path, text):
            other = room(name) if name.startswith("kernelstudy.") else ""
            told = f"{path.relative_to(PACKAGE)} imports {name}"
            if name.split(".")[0] == "experiments":
                found.append(f"{told}: nothing in the package imports experiments")
            if other in COMMANDS and mine not in {"", other}:
                found.append(f"{told}: only the face imports a command")
            if other in ROOMS - {mine} and mine in ALLOWED and other not in ALLOWED[mine]:
                found.append(
                    f"{told}: {mine} imports {', '.join(ALLOWED[mine]) or 'no room'} alone"
                )
            if other in FORBIDDEN.get(mine, ()):
                found.append(f"{told}: {mine} imports no {other}")
            if at_once and mine not in {"conv", "training"} and loads_jax(name):
                found.append(f"{told}: only conv and training load JAX when they are imported")
    return found


@cache
def loads_jax(name: str) -> bool:
    """Whether JAX is loaded where this module, or name of a module, is imported."""
    seen, left = set(), [name]
    while left:
        name = left.pop()
        if name.split(".")[0] in JAX:
            return True
        path = _file_of(name)
        if path and path not in seen:
            seen.add(path)
            text = path.read_text(encoding="utf-8")
            left += [used for used, at_once in imports(path, text) if at_once]
    return False


def _file_of(name: str) -> Path | None:
    """Where a module of the package is, or the module that has this name."""
    parts = name.split(".")[1:] if name.startswith("kernelstudy.") else []
    for count in range(len(parts), 0, -1):
        here = PACKAGE.joinpath(*parts[:count])
        for path in (here.with_suffix(".py"), here / "__init__.py"):
            if path.is_file():
                return path
    return None


def order(texts: dict[Path, str]) -> list[str]:
    """The rooms, lower ones first; CycleError, which names the circle, where rooms or modules have one."""
    rooms: dict[str, set[str]] = {name: set() for name in ROOMS}
    modules: dict[str, set[str]] = {}
    known = {_module(path) for path in texts}
    for path, text in texts.items():
        used = modules.setdefault(_module(path), set())
        for name, _ in imports(path, text):
            if place(path) in ROOMS and room(name) in ROOMS - {place(path)}:
                rooms[place(path)].add(room(name))
            used |= {n for n in (name, name.rpartition(".")[0]) if n in known} - {_module(path)}
    for path in texts:  # a face gathers what its room has
        if path.name == "__init__.py":
            modules.pop(_module(path))
    tuple(TopologicalSorter(modules).static_order())
    return list(TopologicalSorter(rooms).static_order())


def test_no_import_is_forbidden():
    assert complaints(files()) == []


def test_rooms_stand_on_floors():
    """Imports within functions included."""
    assert set(order(files())) == ROOMS


def test_the_rules_are_felt():
    """Each kind of forbidden import, added to a file, is told."""
    for module, line, told in (
        ("analysis/layer", "import jax.numpy", "load JAX"),
        ("runs/measures", "from kernelstudy.training import ops", "load JAX"),
        ("analysis/layer", "from kernelstudy.system import files", "handcrafted alone"),
        ("reporting/page", "def f():\n    from kernelstudy import runs", "alone"),
        ("data/feed", "from kernelstudy.config import Study", "imports no config"),
        ("training/train", "import kernelstudy.runs.directory", "imports no runs"),
        ("weights/layer", "from ..runs import untrusted", "imports no runs"),
        ("jobs/job", "from kernelstudy.report import main", "only the face"),
        ("studies/plan", "from experiments import findings", "nothing in the package"),
    ):
        path = PACKAGE / f"{module}.py"
        (found,) = complaints({path: line})
        assert told in found
    for module, line in (
        ("system/files", "from kernelstudy import runs"),
        ("analysis/layer", "def f():\n    from .verdict import judge"),
    ):
        path = PACKAGE / f"{module}.py"
        with pytest.raises(CycleError):
            order({**files(), path: line})


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_top_level_holds_commands_and_rooms_only():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*COMMANDS, "__init__"}
    others = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} - ROOMS
    assert others <= {"conf"}


@pytest.mark.parametrize(
    ("face", "absent"),
    [
        ("kernelstudy", "jax hydra matplotlib xarray numpy"),
        ("kernelstudy.config", "jax hydra matplotlib xarray"),
        ("kernelstudy.runs", "jax hydra matplotlib xarray"),
        ("kernelstudy.report", "jax hydra"),
        ("kernelstudy.status", "jax hydra matplotlib xarray"),
    ],
)
def test_faces_are_light(face, absent):
    code = f"import sys, {face}; print(*({{*{absent.split()}}} & {{*sys.modules}}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
