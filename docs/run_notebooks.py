"""python docs/run_notebooks.py [NOTEBOOK ...]: run notebooks, all without one, and keep what they show."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).resolve().parent / "tutorials"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, from its first cell to its last, in a kernel of its own.

    Raises:
        CellExecutionError: a cell ends in an error.
    """
    notebook = nbformat.read(path, as_version=4)
    # without times, so that the same outputs are the same file
    NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


if __name__ == "__main__":
    for path in [Path(word) for word in sys.argv[1:]] or sorted(TUTORIALS.glob("*.ipynb")):
        nbformat.write(executed(path), path)
