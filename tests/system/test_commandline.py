"""Commands that are not Hydra's: wrong words end in one sentence that names them."""

import pytest

from tests.commands import run_here


@pytest.mark.parametrize(
    ("command", "words", "named"),
    [
        ("compare", (), "WEIGHTS"),
        ("compare", ("a.npy", "--layout", "xy"), "--layout"),
        ("filter", ("--size", "three"), "--size"),
        ("filter", ("--frobnicate",), "--frobnicate"),
        ("prepare", (), "NAME"),
        ("prepare", ("mnist", "--from"), "--from"),
        ("report", (), "RUN"),
        ("report", ("run", "--frobnicate"), "--frobnicate"),
    ],
)
def test_wrong_words(tmp_path, command, words, named):
    told = run_here(tmp_path, f"kernelstudy.{command}", *words)
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert named in told.stderr
    assert told.stdout == ""
    assert list(tmp_path.iterdir()) == []
