"""The command `kernelstudy`, and wrong words: one sentence that names them."""

import importlib
import os
import pty
import select
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest

from kernelstudy.system import commandline
from kernelstudy.system.version import __version__
from tests.commands import run_here, script_here

ROOT = Path(__file__).parents[2]
SMALL = ("+exp=mnist", "+debug=tiny", "arms=[{init: he_normal}]", "steps=2", "probe_seeds=0")


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
        ("explain", ("nowhere.png",), "nowhere.png"),
        ("filter", ("nowhere.png",), "nowhere.png"),
        ("status", ("nowhere",), "nowhere"),
        ("run", ("--frobnicate",), "--frobnicate"),
    ],
)
def test_wrong_words(tmp_path, command, words, named):
    told = run_here(tmp_path, f"kernelstudy.{command}", *words)
    assert told.returncode == 2
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith("kernelstudy: ")
    assert named in told.stderr
    assert told.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_script_that_is_installed():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: resolve_name(place) for name, place in scripts.items()} == {
        "kernelstudy": commandline.main
    }


def test_its_commands_are_the_package_s():
    modules = {path.stem for path in Path(commandline.__file__).parents[1].glob("*.py")}
    assert set(commandline.COMMANDS) == modules - {"__init__"}


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)])
def test_help_lists_the_commands(tmp_path, words):
    told = script_here(tmp_path, *words)
    assert (told.returncode, told.stderr) == (0, "")
    assert all(f"\n  {name} " in told.stdout for name in commandline.COMMANDS)


def test_help_imports_no_command():
    code = (
        "import sys; from kernelstudy.system import commandline; commandline.main();"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "kernelstudy.system.commandline" in loaded
    assert not loaded & {f"kernelstudy.{name}" for name in commandline.COMMANDS}
    assert not loaded & {"numpy", "jax", "hydra"}


def test_version(tmp_path):
    assert script_here(tmp_path, "--version").stdout == f"kernelstudy {__version__}\n"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("rnu", "run"),
        ("raport", "report"),
        ("+exp=mnist", "kernelstudy run"),
        ("-m", "kernelstudy run"),
        ("frobnicate\x1b[2J", None),
    ],
)
def test_an_unknown_command_is_one_sentence(tmp_path, word, meant):
    told = script_here(tmp_path, word, "more")
    assert told.returncode == 2
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 1
    assert "is not one of run, report," in told.stderr
    assert told.stderr.strip().isprintable()
    assert told.stderr.partition(" (did you mean ")[2] == (f"{meant}?)\n" if meant else "")


@pytest.mark.parametrize("command", commandline.COMMANDS)
def test_every_command_has_its_own_help(tmp_path, command):
    told = script_here(tmp_path, command, "--help")
    assert told.returncode == 0, told.stderr
    assert told.stdout == run_here(tmp_path, f"kernelstudy.{command}", "--help").stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("run", "+exp=mnsit"), 2, "exp: 'mnsit' is not one of"),
        (("run", "-m", "+exp=mnist", "model.kernl_size=3,5"), 2, "model.kernl_size: no such key"),
        (("report", "nowhere"), 2, "nowhere is not a directory"),
        (("compare", "nowhere.npy"), 2, "nowhere.npy is not there"),
        (("status", "--frobnicate"), 2, "--frobnicate: no such option"),
        (("filter", "--worked-example"), 0, ""),
    ],
)
def test_words_and_exit_status_are_passed_on(tmp_path, words, status, said):
    told = script_here(tmp_path, *words)
    assert told.returncode == status
    assert said in told.stderr
    assert len(told.stderr.splitlines()) == bool(said)


@pytest.mark.slow
def test_a_sweep(tmp_path):
    swept = script_here(
        tmp_path, "run", "-m", *SMALL, "name=swept", "seeds=[0],[1]", "report=false"
    )
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.count("tables: ") == 2
    listed = script_here(tmp_path, "status")
    assert listed.stdout.splitlines()[-1] == "2 runs: 2 done"


def test_an_interrupted_command_is_one_sentence(tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("kernelstudy.report"), "main", interrupted)
    told = script_here(tmp_path, "report", "run")
    assert (told.returncode, told.stderr) == (130, "kernelstudy: interrupted\n")


# Ctrl-C as soon as a command's `main` is called; a shell's background jobs would ignore it
CTRL_C = """
import runpy, signal, sys

def at_main(frame, event, _):
    if event == "call" and frame.f_code.co_name == "main":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.setprofile(at_main)
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


@pytest.mark.parametrize("command", sorted(set(commandline.COMMANDS) - {"run"}))
def test_ctrl_c_is_one_sentence(tmp_path, command):
    told = subprocess.run(
        [sys.executable, "-c", CTRL_C, f"kernelstudy.{command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 130, told.stderr
    assert told.stderr.startswith("kernelstudy: interrupted")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("kernelstudy s", {*commandline.COMMANDS}),
        ("kernelstudy run +exp=mn", {"+exp=mnist"}),
        ("kernelstudy run -m +exp=mnist data=photo", {"data=photo_patches"}),
        ("kernelstudy run +exp=mnist model.kernel", {"model.kernel_size="}),
        ("kernelstudy report res", set()),  # files, which the shell completes
    ],
)
def test_how_a_line_goes_on(tmp_path, monkeypatch, line, choices):
    monkeypatch.setenv("COMP_LINE", line)
    told = script_here(tmp_path, "-sc", "query=bash")
    assert (told.returncode, told.stderr) == (0, "")
    assert {*told.stdout.split()} == choices


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_by_tab(tmp_path, shell):
    """In a shell at a terminal, whose startup file has the line that the help tells."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    script = tmp_path / "kernelstudy"
    code = "import sys; from kernelstudy.system.commandline import main; sys.exit(main())"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    script.chmod(0o755)
    startup = tmp_path / f".{shell}rc"
    startup.write_text(f'eval "$(kernelstudy -sc install={shell})"\n')
    words = {"bash": ["bash", "--rcfile", str(startup), "-i"], "zsh": ["zsh", "-d", "-i"]}[shell]
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment = {**os.environ, **places, "ZDOTDIR": str(tmp_path), "TERM": "xterm", "PS1": "> "}
    terminal, inside = pty.openpty()
    ends = {"stdin": inside, "stdout": inside, "stderr": inside}
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, start_new_session=True, **ends)
    try:
        os.write(terminal, b"kernelstudy run +exp=mn\t")
        assert _shown(terminal, b"+exp=mnist")
    finally:
        process.kill()
        process.communicate()
        os.close(terminal)
        os.close(inside)


def _shown(terminal: int, text: bytes) -> bool:
    """Whether a terminal shows `text` in the end."""
    until, shown = time.monotonic() + 240, b""
    while time.monotonic() < until and text not in shown:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 4096)
    return text in shown


# Ctrl-C while a library is imported, told by the name of a module that all of them import
IMPORTING = """
import importlib.abc, os, runpy, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
module = sys.argv.pop(1)
sys.orig_argv = ["python", "-m", module]
sys.argv[0] = "-m" if "." in module else module
if "." in module:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
else:
    from kernelstudy.system.commandline import main
    sys.exit(main())
"""


@pytest.mark.parametrize(
    "words", [("kernelstudy.filter",), ("kernelstudy", "filter"), ("kernelstudy.run",)]
)
def test_ctrl_c_while_libraries_are_imported(tmp_path, words):
    told = subprocess.run(
        [sys.executable, "-c", IMPORTING, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (130, "", "kernelstudy: interrupted\n")


CHATTER = """
import logging, sys, warnings
sys.argv[0], sys.orig_argv = sys.argv[1], ["python", "-m", "kernelstudy.run"]
import kernelstudy
logging.getLogger("jax._src.xla_bridge").warning("No GPU/TPU found")
warnings.warn("deprecated")
"""


@pytest.mark.parametrize(
    ("started", "quiet"), [("-m", True), ("kernelstudy", True), ("mine.py", False)]
)
def test_libraries_are_quiet_within_commands_alone(started, quiet):
    told = subprocess.run(
        [sys.executable, "-c", CHATTER, started], capture_output=True, text=True, check=True
    )
    assert (told.stderr == "") == quiet
    asked = [sys.executable, "-W", "always", "-c", CHATTER, started]
    assert "deprecated" in subprocess.run(asked, capture_output=True, text=True, check=True).stderr
