"""The Python blocks of docs/how_to.md, run in order."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "how_to.md"


def test_the_recipes_work(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 7
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})
    assert (tmp_path / "runs" / "mine" / "adamw" / "0" / "report.html").exists()
    plt.close("all")
