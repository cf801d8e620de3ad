"""python docs/architecture.py: draws docs/architecture.svg; its arrows are the imports of the package."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kernelstudy.reporting.style import styled
from kernelstudy.system.commandline import COMMANDS

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "kernelstudy"
# Where each room is drawn (the middle of its box; a floor is 1 high), and what is in it.
ROOMS = {
    "studies": (5.0, 6, "many runs: sweeps,\nplans and hypotheses"),
    "callbacks": (7.6, 6, "Keras, Lightning,\nHugging Face"),
    "recording": (6.6, 5, "trainings of\none's own, logged"),
    "torch": (3.2, 5, "starts for PyTorch's\nlayers"),
    "plot": (9.2, 5, "figures on Axes of\none's own"),
    "jobs": (1.2, 5, "one run, from its\nconfig to its report"),
    "initializers": (3.2, 4, "starts for others'\nlayers"),
    "comparison": (8.5, 4, "anybody's network\nbeside chance"),
    "training": (1.8, 3, "populations of\nnetworks, logged"),
    "runs": (5.0, 3, "a run's directory,\nand its report"),
    "config": (1.8, 2, "schema, checks,\nHydra"),
    "reporting": (5.5, 2, "words, figures,\npages"),
    "data": (0.95, 1, "sets of images,\ncontrols"),
    "analysis": (6.1, 1, "measures, nulls,\ninference"),
    "conv": (7.9, 1, "correlation on\nany device"),
    "system": (3.4, 0, "files, signals,\nerrors"),
    "handcrafted": (6.1, 0, "the kernels, with\ntheir sources"),
    "weights": (9.68, 1, "readers, one\na format"),
}
WIDTH, HEIGHT = 1.64, 0.6
# Boxes have their own ground and lines a middle grey, so that the picture reads on light and dark pages.
PLAIN, JAX, COMMAND, LINE = "#cfe3f3", "#fbd38a", "#3b4754", "#848d97"
INK = "#16202b"


def imported(path: Path) -> Iterator[str]:
    """The full names of all that a file imports, within functions and for type checkers too."""
    package = ("kernelstudy", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def read() -> tuple[dict[str, set[str]], set[str]]:
    """Which rooms each room, or command, imports; and which rooms import JAX.

    Raises:
        SystemExit: a room is not in the picture, or is in it and not in the package.
        CycleError: two rooms import each other.
    """
    there = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    if there != set(ROOMS):
        sys.exit(f"docs/architecture.py: ROOMS and the package differ: {there ^ set(ROOMS)}")
    uses: dict[str, set[str]] = {name: set() for name in (*ROOMS, *COMMANDS)}
    jax = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in uses:
            continue
        for name in imported(path):
            first, _, rest = name.partition(".")
            if first == "kernelstudy":
                uses[parts[0]] |= {rest.split(".")[0]} & there - {parts[0]}
            elif first == "jax":
                jax.add(parts[0])
    tuple(TopologicalSorter(uses).static_order())
    return uses, jax


def direct(uses: dict[str, set[str]], name: str) -> list[str]:
    """What `name` imports, but for what it reaches through another of its rooms already."""

    def below(room: str) -> set[str]:
        return uses[room].union(*(below(other) for other in uses[room]))

    return sorted(o for o in uses[name] if not any(o in below(p) for p in uses[name]))


def description() -> str:
    """The picture's arrows in words; the SVG has them too."""
    uses, _ = read()
    found = {name: direct(uses, name) for name in ROOMS}
    return "; ".join(f"{name} imports {', '.join(o)}" for name, o in found.items() if o)


def draw() -> Figure:
    uses, jax = read()
    with styled():
        figure = Figure(figsize=(10.4, 9.0), layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.05, 10.55), ylim=(-0.85, 7.63))
    axes.axis("off")
    for name in ROOMS:
        for other in direct(uses, name):
            _arrow(axes, name, other)
    for name, (x, floor, what) in ROOMS.items():
        _box(axes, x, floor, WIDTH, HEIGHT, JAX if name in jax else PLAIN)
        axes.text(
            x, floor + 0.15, name, ha="center", va="center", size=11.5, weight="bold", color=INK
        )
        axes.text(
            x, floor - 0.105, what, ha="center", va="center", size=8.2, color=INK, linespacing=1.15
        )
    for index, name in enumerate(COMMANDS):
        x = 0.8 + index * 8.8 / (len(COMMANDS) - 1)
        called = ", ".join(room for room in direct(uses, name) if room != "system")
        _box(axes, x, 7.14, 1.34, 0.46, COMMAND)
        axes.text(x, 7.23, name, ha="center", va="center", size=11.5, weight="bold", color="white")
        axes.text(x, 7.03, f"calls {called}", ha="center", va="center", size=6, color="white")
    _note(
        axes,
        0.1,
        7.49,
        "Commands parse arguments, call a room and report errors. No room imports them.",
    )
    _note(
        axes,
        0.1,
        6.6,
        "Rooms: arrows are imports and only point down; those implied by others are left out.",
    )
    for x, colour, what in (
        (0.1, JAX, "imports JAX"),
        (1.75, PLAIN, "imports no JAX itself, so that reports start fast and need no device"),
    ):
        _box(axes, x + 0.12, -0.62, 0.22, 0.17, colour)
        _note(axes, x + 0.35, -0.625, what)
    return figure


def _note(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, size=9, color=LINE, va="center")


def _box(axes: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    round_ = f"round,pad=0,rounding_size={min(0.1, height / 4)}"
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=round_, fc=colour, ec="none"))


def _arrow(axes: Axes, above: str, below: str) -> None:
    """From the foot of one box to the head of the other, both nearer to where the line comes from."""
    (x, top, _), (to, bottom, _) = ROOMS[above], ROOMS[below]
    if top <= bottom:
        sys.exit(f"docs/architecture.py: {above} imports {below}: draw it on a higher floor")
    lean = max(-0.5, min(0.5, (to - x) / 4))
    start, end = (x + lean, top - HEIGHT / 2), (to - lean, bottom + HEIGHT / 2)
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=11, lw=1.3, color=LINE, shrinkA=1, shrinkB=1
    )
    axes.add_patch(arrow)


if __name__ == "__main__":
    about = {"Title": "The rooms of kernelstudy", "Description": description()}
    with styled():
        # no date, so that the same picture is the same file
        draw().savefig(
            HERE / "architecture.svg", transparent=True, metadata={"Date": None, **about}
        )
