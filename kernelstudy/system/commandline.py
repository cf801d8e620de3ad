"""The command `kernelstudy`, and what commands that are not Hydra's read their words with."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

from kernelstudy.system import process
from kernelstudy.system.errors import InputError, listed, near_miss, printable, short
from kernelstudy.system.version import __version__

COMMANDS = {
    "run": "train, measure and report; -m runs a sweep",
    "report": "make the report of a run again, or one report over many runs",
    "compare": "hold any network's first layer against hand-crafted kernels and chance",
    "filter": "show an image under the hand-crafted kernels",
    "explain": "make a page that explains convolution and kernels, to play with",
    "prepare": "fetch and prepare a data set once; runs never download",
    "status": "show which runs are done, running, failed or missing",
}
COMPLETION = ("-sc", "--shell-completion")
_WIDTH = max(map(len, COMMANDS))
_HELP = f"""\
usage: kernelstudy COMMAND [WORD ...]

Do the kernels a CNN learns look like the ones people designed by hand?

{chr(10).join(f"  {name:{_WIDTH}}  {what}" for name, what in COMMANDS.items())}

'kernelstudy COMMAND --help' shows what a command takes, 'kernelstudy --version' the version.
'kernelstudy COMMAND' and 'python -m kernelstudy.COMMAND' are the same.
For completion by TAB: eval "$(kernelstudy -sc install=bash)" in ~/.bashrc, or install=zsh in ~/.zshrc."""


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def output_file(out: Path, endings: Sequence[str], image: Path | None = None) -> Path:
    """`out`, if a file of one of the `endings` can be written there; InputError if not, or if it is `image`."""
    if out.suffix.lower() not in endings:
        raise InputError(f"--out must end in {listed(endings)}, not {out.name!r}")
    try:
        if out.is_dir():
            raise InputError(f"--out {out} is a directory: name a file")
        if image is not None and out.exists() and out.samefile(image):
            raise InputError(f"--out {out} would overwrite the image itself: name another file")
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            return out
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror}") from error


def tell(message: str, status: int) -> int:
    """Say in one line on stderr what is wrong; the exit status, for the command to return."""
    print(f"kernelstudy: {printable(message)}", file=sys.stderr)
    return status


def to_the_end(command: Callable[[], int | None]) -> int:
    """A command's exit status; 130 where it was interrupted, 141 without a word where the reader of its output
    has left (`| head`)."""
    process.interruptible()
    try:
        try:
            return command() or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:  # `run` and `prepare` tell of their own
        print(process.INTERRUPTED, file=sys.stderr)
        return 130


def main() -> int:
    """`kernelstudy COMMAND ...` is `python -m kernelstudy.COMMAND ...`, exit status included.

    Commands are imported by name and only when they are called: nothing in the package imports one.
    """
    return to_the_end(_command())


def _command() -> Callable[[], int | None]:
    """What the words of the command line ask for; they are left as that command is to see them."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        return lambda: print(_HELP)
    if name == "--version":
        return lambda: print(f"kernelstudy {__version__}")
    if name in COMPLETION:
        return _completing
    if name not in COMMANDS:
        setting = "=" in name or name in ("-m", "--multirun")
        hint = " (did you mean kernelstudy run?)" if setting else near_miss(name, COMMANDS)
        told = f"{short(name)} is not one of {listed(COMMANDS)}{hint}"
        return lambda: tell(told, 2)
    sys.argv[1:] = words
    return importlib.import_module(f"kernelstudy.{name}").main


def _completing() -> int | None:
    """Answer a shell that asks how a line goes on, or print what makes it ask, as Hydra does for `run`."""
    line = os.environ.get("COMP_LINE", "")
    if sys.argv[2:3] == ["query=bash"]:
        words = line.split()[1:] + [""] * line.endswith(" ")
        if len(words) < 2:
            print(*COMMANDS)
            return 0
        if words[0] != "run":  # its files are the shell's to complete
            return 0
        os.environ["COMP_LINE"] = line.replace(" run ", " ", 1)
    return importlib.import_module("kernelstudy.run").main()
