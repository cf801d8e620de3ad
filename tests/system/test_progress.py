"""What a command says of itself where no bar can be drawn."""

import io
import sys
import time

from kernelstudy.system import progress


def test_where_there_is_no_terminal_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "TOLD_EVERY", 0.02)
    where = iter(range(10**6))
    with progress.telling(lambda: f"step {next(where)}\x1b[2J"):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["kernelstudy: step 0?[2J", "kernelstudy: step 1?[2J"]
    time.sleep(0.1)
    assert capsys.readouterr().err == ""  # it has ended


def test_what_takes_less_than_that_says_nothing(capsys):
    with progress.working("measuring"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_dumb_terminal_is_told_in_lines_too(monkeypatch):
    """Which is a terminal, but cannot draw over a line."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "TOLD_EVERY", 0.02)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with progress.working("measuring"):
        time.sleep(0.2)
    assert terminal.getvalue().startswith("kernelstudy: measuring, for 0 s by now\n")
    monkeypatch.setenv("TERM", "xterm")
    assert progress.is_lively(progress.console())
