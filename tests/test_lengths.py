"""A function that needs more than 80 lines has more than one thing to do."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "kernelstudy"
MOST = 80


def test_no_function_is_longer_than_its_reader_holds():
    long = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST:
                    long.append(f"{path.relative_to(PACKAGE)}: {node.name} has {lines} lines")
    assert long == []
